// SPDX-License-Identifier: GPL-2.0-only
/*
 * holder cooperative|asking|stubborn DEVICE: have a device open and mapped, and let go
 * when it is wanted back, or ask for more time first, or do neither.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#define MORE_MS 2000

struct holder {
	struct vfioext *ctx;
	const char *name;
	bool asks;
	bool wanted_back;
};

static void on_event(const struct vfioext_event *event, void *data)
{
	struct holder *holder = data;
	uint32_t more = MORE_MS;

	if (event->type != VFIOEXT_EVENT_REMOVAL_REQUESTED ||
	    strcmp(event->removal.device, holder->name))
		return;
	holder->wanted_back = true;
	if (holder->asks && vfioext_removal_extend(holder->ctx, event->removal.id, &more, NULL))
		fprintf(stderr, "%s\n", vfioext_message(holder->ctx));
}

static int wait_until_wanted(struct holder *holder, struct vfioext_events *events)
{
	struct pollfd fd = { .fd = vfioext_events_fd(events), .events = POLLIN };

	while (!holder->wanted_back)
		if (poll(&fd, 1, -1) < 0 ||
		    vfioext_events_dispatch(events, on_event, holder) < 0)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	struct vfioext_events *events;
	struct vfioext_device *device;
	struct holder holder = { 0 };
	struct vfioext *ctx;
	struct vfioext_region *bar;
	int ret;

	if (argc != 3) {
		fprintf(stderr, "usage: holder cooperative|asking|stubborn DEVICE\n");
		return 2;
	}
	holder.name = argv[2];
	holder.asks = !strcmp(argv[1], "asking");
	if (vfioext_new(&ctx, NULL))
		return 1;
	holder.ctx = ctx;
	ret = vfioext_events_open(&events, VFIOEXT_EVENTS_REMOVAL, -1);
	if (ret) {
		fprintf(stderr, "events: %s\n", strerror(-ret));
		return 1;
	}
	if (vfioext_device_open(ctx, holder.name, NULL, &device)) {
		fprintf(stderr, "%s: %s\n", holder.name, vfioext_message(ctx));
		return 1;
	}
	ret = vfioext_region_get(device, 0, &bar);
	if (!ret)
		ret = vfioext_region_map(bar);
	if (ret && ret != -ENOTSUP) {
		fprintf(stderr, "BAR 0 of %s: %s\n", holder.name, strerror(-ret));
		return 1;
	}
	printf("%s: process %d holds it%s\n", holder.name, getpid(),
	       ret ? "" : " and has BAR 0 mapped");
	fflush(stdout);
	if (!strcmp(argv[1], "stubborn"))
		for (;;)
			pause();

	ret = wait_until_wanted(&holder, events);
	vfioext_device_close(device);
	vfioext_events_close(events);
	vfioext_free(ctx);
	return ret;
}
