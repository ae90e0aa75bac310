// SPDX-License-Identifier: GPL-2.0-only
/*
 * holder cooperative|stubborn DEVICE: have a device open and mapped, and let go
 * when it is wanted back, or do not.
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

struct holder {
	const char *name;
	bool wanted_back;
};

static void on_event(const struct vfioext_event *event, void *data)
{
	struct holder *holder = data;

	if (event->type == VFIOEXT_EVENT_REMOVAL_REQUESTED &&
	    !strcmp(event->removal.device, holder->name))
		holder->wanted_back = true;
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
		fprintf(stderr, "usage: holder cooperative|stubborn DEVICE\n");
		return 2;
	}
	holder.name = argv[2];
	if (vfioext_new(&ctx, NULL))
		return 1;
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
