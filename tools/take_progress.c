// SPDX-License-Identifier: GPL-2.0-only
/* Who still holds what is asked for, and how long is left. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "take.h"

double take_elapsed(const struct take *take)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - take->begun.tv_sec) +
	       (double)(now.tv_nsec - take->begun.tv_nsec) / 1e9;
}

/* With a handle that is no process's, KVM may be what has it. */
static bool has_device(const struct vfioext_holders *holders, const struct vfioext_holder *holder)
{
	return holder->device_fds || holder->mappings ||
	       (holders->unaccounted && holder->kvm_fds);
}

/* Who holds the device, as much as fits. */
static void describe_holders(struct take *take, const struct taken *taken, char *buffer,
			     size_t size)
{
	struct vfioext_holders holders;
	struct vfioext_group group;
	size_t at = 0, i;

	buffer[0] = '\0';
	if (!vfioext_device_holders(take->ctx, taken->info.name, &holders)) {
		for (i = 0; i < holders.nr && at < size; i++)
			if (has_device(&holders, &holders.list[i]))
				at += (size_t)snprintf(buffer + at, size - at, "%s%s (%d)",
						       at ? ", " : "",
						       printable(holders.list[i].comm),
						       holders.list[i].pid);
		if (holders.unaccounted && at < size)
			at += (size_t)snprintf(buffer + at, size - at, "%s%u without a process",
					       at ? ", " : "", holders.unaccounted);
		if (holders.hidden && at < size)
			at += (size_t)snprintf(buffer + at, size - at, "%s%u of other users",
					       at ? ", " : "", holders.hidden);
		vfioext_holders_release(&holders);
	}
	if (!vfioext_group_get(take->ctx, taken->info.group, &group) && group.external_users &&
	    at < size)
		snprintf(buffer + at, size - at, "%s%u external users", at ? ", " : "",
			 group.external_users);
}

/* Ours that is under way, or the kernel's own for the device. Return: 0, -ENOENT, or an error. */
int take_find_removal(struct take *take, const struct taken *taken,
		      struct vfioext_removal *removal)
{
	struct vfioext_removals removals;
	size_t i;
	int ret;

	ret = vfioext_removals_get(take->ctx, &removals);
	if (ret)
		return ret;
	ret = -ENOENT;
	for (i = 0; i < removals.nr; i++) {
		if (strcmp(removals.list[i].device, taken->info.name) ||
		    (taken->id && removals.list[i].id != taken->id))
			continue;
		*removal = removals.list[i];
		ret = 0;
	}
	vfioext_removals_release(&removals);
	return ret;
}

/* One of several is told by its name. */
static void print_held(struct take *take, const struct taken *taken, const char *holders,
		       const struct vfioext_removal *removal)
{
	printf("%7.3f s  ", take_elapsed(take));
	if (take->nr > 1)
		printf("%s ", taken->info.name);
	printf("held by %s, %.1f s left", holders, removal->remaining_ms / 1000.0);
}

/* On a terminal all the time, elsewhere when the holders change. */
static void show_one(struct take *take, struct taken *taken)
{
	struct vfioext_removal removal;
	char holders[sizeof(taken->shown)];

	if (take_find_removal(take, taken, &removal))
		return;
	describe_holders(take, taken, holders, sizeof(holders));
	if (!holders[0])
		return;
	/* A terminal has one line for it, which several would fight for. */
	if (take->tty && take->nr == 1) {
		fputs("\r\033[K", stdout);
		print_held(take, taken, holders, &removal);
		take->progress = true;
	} else if (strcmp(holders, taken->shown)) {
		print_held(take, taken, holders, &removal);
		putchar('\n');
	}
	strcpy(taken->shown, holders);
	fflush(stdout);
}

void take_show_progress(struct take *take)
{
	size_t i;

	if (take->json)
		return;
	for (i = 0; i < take->nr; i++)
		if (!take->list[i].done)
			show_one(take, &take->list[i]);
}
