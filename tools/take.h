/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking devices back: ask for all of them at once, watch who still holds what, unbind each as
 * it is released.
 */
#ifndef TOOLS_TAKE_H
#define TOOLS_TAKE_H

#include <time.h>

#include "vfioext.h"

/*
 * A device that is taken back.
 * @pf: a PF that it goes with: it is asked for, and then it is that one that is unbound
 * @id: its removal, 0 if none was asked for, or the kernel's is under way
 * @ended, @released, @outcome: how the asking ended
 * @unbinding: @child is at it
 * @done, @status: it is through, and this is what to exit with
 * @shown: who was last said to hold it
 */
struct taken {
	struct vfioext_device_info info;
	struct taken *pf;
	uint32_t id;
	bool ended;
	bool released;
	int outcome;
	unsigned int signaled;
	bool unbinding;
	struct child child;
	bool done;
	int status;
	char shown[256];
};

/*
 * @driver: to bind to afterwards, or NULL; @restore: let the host's own driver have it
 * @persist: and it is not bound again at the next boot
 * @force: do not ask
 */
struct take {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct taken *list;
	size_t nr;
	struct vfioext_policy how;
	const char *driver;
	bool restore;
	bool persist;
	bool force;
	bool json;
	bool tty;
	bool lost;
	bool progress;
	int signals;
	struct timespec begun;
};

/* take.c: run it to its end. Return: what to exit with. */
int take_run(struct take *take);
/* A line of its own, whatever progress is on the terminal. */
void take_say(struct take *take, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The last line of one device, or its JSON. */
void take_conclude(struct take *take, struct taken *taken, const char *result, int status);

/* take_progress.c */
double take_elapsed(const struct take *take);
int take_find_removal(struct take *take, const struct taken *taken,
		      struct vfioext_removal *removal);
void take_show_progress(struct take *take);

/* take_after.c: what a child does with a device, and what is said of it then. */
struct take_order {
	const struct vfioext_device_info *info;
	const char *driver;
	bool restore;
};

int take_unbind(struct vfioext *ctx, const void *data);
void take_tell_unbound(struct take *take, struct taken *taken);
void take_tell_failed(struct take *take, struct taken *taken);

#endif
