// SPDX-License-Identifier: GPL-2.0-only
/* A device that is free: unbind it, give it to another driver, and say what it has then. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "take.h"

/* What fails leaves the device with the driver that it had. */
int take_unbind(struct vfioext *ctx, const void *data)
{
	const struct take_order *order = data;
	const char *name = order->info->name;
	int ret;

	if (order->driver && strcmp(order->driver, order->info->driver)) {
		ret = vfioext_bind(ctx, name, order->driver);
		return ret == -EALREADY ? 0 : ret;
	}
	if (order->restore) {
		module_load_for(order->info);
		return vfioext_give_back(ctx, name);
	}
	ret = vfioext_unbind(ctx, name);
	if (ret && ret != -EALREADY)
		return ret;
	return order->driver ? vfioext_bind(ctx, name, order->driver) : 0;
}

/* No driver has it: how to give it back. */
static void tell_way_back(struct take *take, const struct vfioext_device_info *info)
{
	if (strcmp(info->bus, "mdev"))
		take_say(take, "%s has no driver now; 'vfioext unbind %s --restore' gives it to the host's",
			 info->name, info->name);
	else
		take_say(take, "%s has no driver now; 'vfioext bind %s' gives it back to its parent's, and 'echo 1 > /sys/bus/mdev/devices/%s/remove' removes it",
			 info->name, info->name, info->name);
}

/* The child's message says what failed. */
void take_tell_failed(struct take *take, struct taken *taken)
{
	struct vfioext_device_info info;

	error("%s: %s", taken->info.name, taken->child.message);
	if (!vfioext_find_device(take->ctx, taken->info.name, &info) && info.driver[0])
		error("%s is bound to %s", info.name, info.driver);
	taken->done = true;
	taken->status = EXIT_FAILED;
	if (take->json)
		take_conclude(take, taken, "failed", EXIT_FAILED);
}

void take_tell_unbound(struct take *take, struct taken *taken)
{
	struct vfioext_device_info info;
	char result[128];
	bool gone = vfioext_find_device(take->ctx, taken->info.name, &info);

	if (gone || !info.driver[0]) {
		take_conclude(take, taken, "unbound", EXIT_DONE);
		/* One that was unplugged meanwhile has no way back. */
		if (!gone)
			tell_way_back(take, &info);
	} else {
		snprintf(result, sizeof(result), "%sbound to %s",
			 taken->info.driver[0] ? "unbound, and " : "", info.driver);
		take_conclude(take, taken, result, EXIT_DONE);
	}
	if (take->persist)
		taken->status = persist_undo(&taken->info, take->json);
	else if (!gone && strcmp(info.driver, taken->info.driver) && persist_find(&info))
		take_say(take, "%s is bound to its former driver again at the next boot; 'vfioext unbind %s --persist' undoes that",
			 info.name, info.name);
}
