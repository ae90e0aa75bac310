/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_WATCH_H
#define LIBVFIOEXT_WATCH_H

struct vfioext_device;

void watch_free(struct vfioext_device *device);

#endif
