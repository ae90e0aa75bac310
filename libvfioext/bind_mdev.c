// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An mdev that has lost its driver. No driver matches on that bus, not even by drivers/X/bind:
 * an mdev gets its driver when it is created, so it is created anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/discovery.h>

#include "bind.h"
#include "context.h"
#include "sysfs.h"

/* The file of its type that makes another one, opened while the mdev leads there. */
static int open_create(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	char path[SYSFS_SIZE + 128];
	int fd;

	snprintf(path, sizeof(path), "%s/bus/mdev/devices/%s/mdev_type/create", ctx->sysfs,
		 info->name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int create_again(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	int fd, ret;

	fd = open_create(ctx, info);
	if (fd < 0)
		return context_fail(ctx, fd, "creating %s anew: %s", info->name, strerror(-fd));
	ret = sysfs_write(ctx, "1", "bus/mdev/devices/%s/remove", info->name);
	if (ret) {
		context_fail(ctx, 0, "removing %s, to create it anew: %s", info->name,
			     strerror(-ret));
	} else if (write(fd, info->name, strlen(info->name)) < 0) {
		ret = -errno;
		context_fail(ctx, 0, "%s was removed, and its type %s does not create it anew: %s",
			     info->name, info->mdev_type, strerror(-ret));
	}
	close(fd);
	return ret;
}

int bind_mdev(struct vfioext *ctx, const struct vfioext_device_info *info, const char *driver)
{
	if (info->driver[0] && (!driver || !strcmp(info->driver, driver)))
		return context_fail(ctx, -EALREADY, "%s is bound to %s already", info->name,
				    info->driver);
	if (driver)
		return context_fail(ctx, -EOPNOTSUPP,
				    "%s is an mdev, which its parent's driver alone can drive",
				    info->name);
	return create_again(ctx, info);
}
