/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_KLOG_H
#define LIBVFIOEXT_KLOG_H

#include <stdbool.h>
#include <stddef.h>

struct vfioext;

/* The kernel's log from now on. Return: a descriptor, or -1 if it may not be read. */
int klog_begin(struct vfioext *ctx);
/* The last warning or error since then that names one of @names, a list that NULL ends. */
bool klog_find(int fd, const char *const *names, char *line, size_t size);
void klog_end(int fd);

#endif
