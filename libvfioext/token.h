/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_TOKEN_H
#define LIBVFIOEXT_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

struct vfioext;
struct vfioext_device_info;

#define TOKEN_SIZE 16

/* As the kernel has it, in the order in which it is written. @bytes may be NULL. */
bool token_parse(const char *text, uint8_t *bytes);

/* Does the kernel ask for one? For any other device it refuses even the right one. */
bool token_wanted(struct vfioext *ctx, const struct vfioext_device_info *info);

#endif
