/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_REFUSAL_H
#define LIBVFIOEXT_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

struct vfioext;
struct vfioext_device_info;

/*
 * Leave a message why @driver, NULL if it is whatever matches, has not taken a device.
 * @error is what the kernel said, @log the kernel's log since then, @child the name of what
 * the driver made of the device, or "". Return: the error to return.
 */
int refusal_explain(struct vfioext *ctx, const struct vfioext_device_info *info,
		    const char *driver, int error, int log, const char *child);
/*
 * The kernel keeps the drivers of the host from a group that user space does DMA with, and
 * logs nothing. Return: true if that is the reason, and a message says so.
 */
bool explain_owner(struct vfioext *ctx, const struct vfioext_device_info *info,
		   const char *driver);
/*
 * The processes that hold a device, or a group and what is in it, as "qemu, pid 12; dpdk, pid 17";
 * "" if nobody does, or it cannot be told.
 */
void name_holders(struct vfioext *ctx, const char *device, char *text, size_t size);
void name_group_holders(struct vfioext *ctx, int group, char *text, size_t size);

#endif
