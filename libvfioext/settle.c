// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The end of a probe. Some drivers take a device at once, and find out later whether they
 * can work with it: nvme's on 6.1 resets the controller in a work item, and lets go if that
 * fails, a dozen seconds later. Nothing in the driver core tells when they are through.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "settle.h"
#include "sysfs.h"

#define LOOK_MS 20
/* A driver of which nothing is known lets go within this time, or not at all. */
#define QUIET_MS 500
/* An NVMe controller may take 127.5 s to be ready, by its own word. */
#define READY_MS 130000

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_bound(struct vfioext *ctx, const char *device, const char *driver)
{
	char bound[VFIOEXT_NAME_SIZE];

	return !sysfs_read_link(ctx, bound, sizeof(bound), "bus/pci/devices/%s/driver", device) &&
	       !strcmp(bound, driver);
}

/* Return: the state of its NVMe controller is known, and in @state. */
static bool read_nvme(struct vfioext *ctx, const char *device, char *child, size_t size,
		      char *state, size_t state_size)
{
	bool known = false;
	char **names;
	int nr;

	nr = sysfs_list(ctx, &names, "bus/pci/devices/%s/nvme", device);
	if (nr < 0)
		return false;
	if (nr) {
		snprintf(child, size, "%s", names[0]);
		known = sysfs_read(ctx, state, state_size, "bus/pci/devices/%s/nvme/%s/state",
				   device, names[0]) > 0;
	}
	sysfs_list_free(names, nr);
	return known;
}

int settle(struct vfioext *ctx, const char *device, const char *driver, char *child, size_t size)
{
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	long begun = now_ms(), limit;
	char state[32];

	child[0] = '\0';
	for (;;) {
		if (!is_bound(ctx, device, driver))
			return -ENODEV;
		limit = QUIET_MS;
		if (read_nvme(ctx, device, child, size, state, sizeof(state))) {
			if (!strcmp(state, "live"))
				return 0;
			limit = READY_MS;
		}
		if (now_ms() - begun >= limit)
			return limit == READY_MS ? -ETIMEDOUT : 0;
		nanosleep(&pause, NULL);
	}
}
