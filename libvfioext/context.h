/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_CONTEXT_H
#define LIBVFIOEXT_CONTEXT_H

#include <sys/types.h>
#include <vfioext/context.h>

#include "netlink.h"

/* A device's regions lie beyond 4 GiB in its file. */
_Static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64");

#define SYSFS_SIZE 256

/*
 * @never_load: the module is not to be loaded by asking for it
 * @nothing: a file that nothing can be had from, from the first device on; else -1
 * @iommufd: of /dev/iommu: one for all address spaces, as devices only move within it
 * @address_spaces: how many there are; the last one closes it
 */
struct vfioext {
	char sysfs[SYSFS_SIZE];
	char message[512];
	struct netlink netlink;
	bool never_load;
	int nothing;
	int iommufd;
	unsigned int address_spaces;
};

/*
 * See that there is @nothing: accessors may be about to use the descriptor of a device that is
 * lost, and its number stands for that until the device is closed. Return: 0, or an error.
 */
int context_need_nothing(struct vfioext *ctx);

int context_fail(struct vfioext *ctx, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What was tried before failed, too: its message comes first. Return: @error */
int context_also(struct vfioext *ctx, int error, const char *before);

#endif
