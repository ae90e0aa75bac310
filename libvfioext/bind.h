/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_BIND_H
#define LIBVFIOEXT_BIND_H

#include <stdbool.h>

struct vfioext;
struct vfioext_device_info;

/* By its name, as one that is not loaded has nothing else. */
bool is_vfio_driver(const char *driver);
/* bind_mdev.c */
int bind_mdev(struct vfioext *ctx, const struct vfioext_device_info *info, const char *driver);

#endif
