/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_SYSFS_H
#define LIBVFIOEXT_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vfioext;

/* The paths are below the context's sysfs directory, printf-style. */
int sysfs_read(struct vfioext *ctx, char *value, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int sysfs_read_lines(struct vfioext *ctx, char *value, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int sysfs_read_hex(struct vfioext *ctx, uint32_t *value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int sysfs_read_link(struct vfioext *ctx, char *value, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int sysfs_write(struct vfioext *ctx, const char *value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool sysfs_exists(struct vfioext *ctx, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int sysfs_list(struct vfioext *ctx, char ***names, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void sysfs_list_free(char **names, int nr);

#endif
