/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_SETTLE_H
#define LIBVFIOEXT_SETTLE_H

#include <stddef.h>

struct vfioext;

/*
 * Wait until it is known whether a driver that took a PCI device keeps it. @child gets the
 * name of what the driver made of it, as the kernel's log calls it, or "".
 * Return: 0, -ENODEV if it let go, -ETIMEDOUT.
 */
int settle(struct vfioext *ctx, const char *device, const char *driver, char *child, size_t size);

#endif
