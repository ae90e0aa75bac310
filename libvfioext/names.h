/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_NAMES_H
#define LIBVFIOEXT_NAMES_H

#include <stdbool.h>

struct vfioext;
struct vfioext_device_info;

/* discovery.c: no name that leads out of its directory, and the device of exactly that name. */
bool is_name(const char *name);
int find_exactly(struct vfioext *ctx, const char *name, struct vfioext_device_info *info);

/* nearest.c: the names of @bus that look most like @text, added to the message. */
void nearest_suggest(struct vfioext *ctx, const char *text);

#endif
