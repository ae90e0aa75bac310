// SPDX-License-Identifier: GPL-2.0-only
/* Devices on their way from asking to unbound. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "take.h"

#define LOOK_INTERVAL_MS 200

void take_say(struct take *take, const char *format, ...)
{
	va_list args;

	if (take->json)
		return;
	if (take->progress)
		fputs("\r\033[K", stdout);
	take->progress = false;
	printf("%7.3f s  ", take_elapsed(take));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void take_conclude(struct take *take, struct taken *taken, const char *result, int status)
{
	taken->done = true;
	taken->status = status;
	if (!take->json) {
		take_say(take, "%s: %s", taken->info.name, result);
		return;
	}
	putchar('{');
	json_string("device", taken->info.name, true);
	json_string("result", result, false);
	if (taken->outcome >= 0)
		json_string("outcome", name_of_outcome(taken->outcome), false);
	json_number("signaled", taken->signaled, false);
	json_number("elapsed-ms", (unsigned long long)(take_elapsed(take) * 1000), false);
	puts("}");
	fflush(stdout);
}

static struct taken *find_taken(struct take *take, const struct vfioext_removal *removal)
{
	size_t i;

	for (i = 0; i < take->nr; i++)
		if (!strcmp(removal->device, take->list[i].info.name) &&
		    (!take->list[i].id || removal->id == take->list[i].id))
			return &take->list[i];
	return NULL;
}

static void on_event(const struct vfioext_event *event, void *data)
{
	struct take *take = data;
	struct taken *taken;

	if (event->type == VFIOEXT_EVENT_LOST || event->type == VFIOEXT_EVENT_REMOVAL_UNWATCHED)
		take->lost = true;
	taken = find_taken(take, &event->removal);
	if (!taken)
		return;
	switch (event->type) {
	case VFIOEXT_EVENT_REMOVAL_EXTENDED:
		take_say(take, "a holder asked for %.1f s more", event->extend_ms / 1000.0);
		break;
	case VFIOEXT_EVENT_REMOVAL_SIGNALED:
		take_say(take, "time is up: SIGBUS to %u processes", event->signaled);
		taken->signaled += event->signaled;
		break;
	case VFIOEXT_EVENT_REMOVAL_RELEASED:
	case VFIOEXT_EVENT_REMOVAL_DONE:
		taken->released = true;
		taken->ended = true;
		taken->outcome = event->outcome;
		break;
	case VFIOEXT_EVENT_REMOVAL_CANCELLED:
		taken->ended = true;
		taken->outcome = event->outcome;
		break;
	default:
		break;
	}
}

/*
 * Ask what became of one, when the event that told may be among the lost. Return: true if it
 * cannot be known now, and is to be asked again at the next look.
 */
static bool resync_one(struct take *take, struct taken *taken)
{
	struct vfioext_removal removal;
	uint32_t handles = 0;
	int ret;

	ret = taken->ended || taken->done ? 0 : take_find_removal(take, taken, &removal);
	if (!ret)
		return false;
	if (ret == -ENOENT)
		ret = vfioext_device_handles(take->ctx, taken->info.name, &handles);
	if (ret && ret != -ENODEV && ret != -EPROTONOSUPPORT)
		return true;
	taken->ended = true;
	taken->released = ret != -EPROTONOSUPPORT && !handles;
	if (taken->released)
		taken->outcome = VFIOEXT_OUTCOME_LET_GO;
	else
		taken->outcome = ret ? VFIOEXT_OUTCOME_UNLOADED : VFIOEXT_OUTCOME_TIMED_OUT;
	return false;
}

static void resync(struct take *take)
{
	size_t i;

	take->lost = false;
	for (i = 0; i < take->nr; i++)
		take->lost |= resync_one(take, &take->list[i]);
}

/* Wait a little. Return: the signal to stop on, or 0. */
static int step(struct take *take)
{
	struct pollfd fds[2] = {
		{ .fd = take->signals, .events = POLLIN },
		{ .events = POLLIN },
	};

	if (!take->events) {
		poll(fds, 1, LOOK_INTERVAL_MS);
		return signals_take(take->signals);
	}
	fds[1].fd = vfioext_events_fd(take->events);
	take_show_progress(take);
	poll(fds, 2, LOOK_INTERVAL_MS);
	if (vfioext_events_dispatch(take->events, on_event, take) < 0)
		take->lost = true;
	if (take->lost)
		resync(take);
	return signals_take(take->signals);
}

static void ask(struct take *take, struct taken *taken)
{
	int ret;

	ret = vfioext_removal_start(take->ctx, taken->info.name, &take->how, &taken->id);
	if (ret) {
		fail(take->ctx, ret, "asking for %s", taken->info.name);
		taken->done = true;
		taken->status = EXIT_FAILED;
		return;
	}
	take_say(take, "asking for %s (removal %u)", taken->info.name, taken->id);
}

static void start_child(struct take *take, struct taken *taken)
{
	struct take_order order = {
		.info = &taken->info, .driver = take->driver, .restore = take->restore,
	};
	int ret;

	taken->id = 0;
	ret = child_start(&taken->child, take->ctx, take_unbind, &order);
	if (ret) {
		fail(take->ctx, ret, "starting a child");
		taken->done = true;
		taken->status = EXIT_FAILED;
		return;
	}
	taken->unbinding = true;
}

/* It is asked for in vain. */
static void give_up(struct take *take, struct taken *taken)
{
	if (taken->outcome == VFIOEXT_OUTCOME_TIMED_OUT)
		take_conclude(take, taken, "timed out, still bound and working", EXIT_TIMED_OUT);
	else if (taken->outcome == VFIOEXT_OUTCOME_UNLOADED)
		take_conclude(take, taken, "the module was unloaded, still bound", EXIT_FAILED);
	else
		take_conclude(take, taken, "called off by somebody else, still bound", EXIT_FAILED);
}

static void call_off(struct take *take, struct taken *taken, const char *result, int status)
{
	int ret = vfioext_removal_cancel(take->ctx, taken->id);

	if (ret && ret != -ENOENT) {
		fail(take->ctx, ret, "calling it off");
		taken->done = true;
		taken->status = EXIT_FAILED;
		return;
	}
	taken->outcome = VFIOEXT_OUTCOME_CANCELLED;
	take_conclude(take, taken, result, status);
}

/* What becomes of a PF by its VFs. Return: true if all of them are released. */
static bool vfs_are_released(struct take *take, struct taken *pf)
{
	bool released = true;
	size_t i;

	for (i = 0; i < take->nr; i++) {
		struct taken *vf = &take->list[i];

		if (vf->pf != pf)
			continue;
		if (vf->done && vf->status) {
			call_off(take, pf, "a VF of it is not released, still bound", vf->status);
			return false;
		}
		released &= vf->released;
	}
	return released;
}

static void finish_child(struct take *take, struct taken *taken)
{
	int ret;

	if (!child_ended(&taken->child, &ret))
		return;
	if (ret)
		take_tell_failed(take, taken);
	else
		take_tell_unbound(take, taken);
}

/* A VF when its PF is through. */
static void follow(struct take *take, struct taken *vf)
{
	if (!vf->pf->status)
		take_conclude(take, vf, "gone with its PF", EXIT_DONE);
	else if (vf->ended)
		take_conclude(take, vf, "released, still bound", vf->pf->status);
	else
		call_off(take, vf, "called off, still bound", vf->pf->status);
}

/* The next step of one, if it can make one. */
static void advance(struct take *take, struct taken *taken)
{
	if (taken->done)
		return;
	if (taken->unbinding)
		finish_child(take, taken);
	else if (taken->ended && !taken->released)
		give_up(take, taken);
	else if (taken->pf && taken->pf->done)
		follow(take, taken);
	else if (!taken->pf && vfs_are_released(take, taken) && taken->released)
		start_child(take, taken);
}

static void stop(struct take *take, struct taken *taken)
{
	if (taken->done)
		return;
	if (taken->unbinding)
		take_conclude(take, taken, "being unbound by the kernel, which goes on",
			      EXIT_INTERRUPTED);
	else if (taken->ended && !taken->released)
		give_up(take, taken);
	else
		call_off(take, taken, "called off, still bound", EXIT_INTERRUPTED);
}

/* Nobody would see what it ends in. What is free already is unbound all the same. */
static void stop_asking(struct take *take)
{
	size_t i;

	for (i = 0; i < take->nr; i++) {
		struct taken *taken = &take->list[i];

		if (taken->done || taken->unbinding)
			continue;
		stop(take, taken);
		error("%s is called off, still bound: what is printed cannot be written",
		      taken->info.name);
	}
}

/* 130 is told before a failure, and that before a time that ran out. */
static int worse(int a, int b)
{
	static const int order[] = { EXIT_INTERRUPTED, EXIT_FAILED, EXIT_TIMED_OUT };
	size_t i;

	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return EXIT_DONE;
}

static bool all_done(const struct take *take)
{
	size_t i;

	for (i = 0; i < take->nr; i++)
		if (!take->list[i].done)
			return false;
	return true;
}

int take_run(struct take *take)
{
	int status = EXIT_DONE;
	size_t i;

	for (i = 0; i < take->nr; i++) {
		struct taken *taken = &take->list[i];

		taken->outcome = -1;
		/* What VFIO does not have nobody holds. */
		taken->released = take->force || !taken->info.vfio;
		taken->ended = taken->released;
		if (!taken->ended)
			ask(take, taken);
	}
	for (;;) {
		for (i = 0; i < take->nr; i++)
			advance(take, &take->list[i]);
		if (all_done(take))
			break;
		if (output_lost())
			stop_asking(take);
		if (!all_done(take) && step(take))
			for (i = 0; i < take->nr; i++)
				stop(take, &take->list[i]);
	}
	for (i = 0; i < take->nr; i++)
		status = worse(status, take->list[i].status);
	return status;
}
