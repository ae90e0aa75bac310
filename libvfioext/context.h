/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_CONTEXT_H
#define LIBVFIOEXT_CONTEXT_H

#include <vfioext/context.h>

#include "netlink.h"

#define SYSFS_SIZE 256

struct vfioext {
	char sysfs[SYSFS_SIZE];
	char message[256];
	struct netlink netlink;
};

int context_fail(struct vfioext *ctx, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
