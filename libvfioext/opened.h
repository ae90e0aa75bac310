/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_OPENED_H
#define LIBVFIOEXT_OPENED_H

#include <stddef.h>

struct vfioext;
struct vfioext_container;
struct vfioext_device;

/* The device is in a container; it is no longer, and its group may be closed. */
void opened_add(struct vfioext_device *device);
void opened_remove(struct vfioext_device *device);

/* Another device of its group that is open in the same context. Return: NULL, too, if it is itself. */
struct vfioext_device *opened_beside(const struct vfioext_device *device);
/* How many of its group are, itself among them. */
unsigned int opened_count(const struct vfioext_device *device);

/*
 * The file of a group that this process has open, in any container of any context: a descriptor
 * of the caller's own, as another thread may close that one. Return: -1 if it has not.
 */
int opened_group_file(int group);

#endif
