/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes and the files that they have open, as /proc tells of them. */
#ifndef LIBVFIOEXT_PROCESSES_H
#define LIBVFIOEXT_PROCESSES_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

struct vfioext;

#define PROC_SIZE 300

/* Where /proc is that goes with a context's sysfs: in it, if that is made up. */
void proc_path(const struct vfioext *ctx, char path[PROC_SIZE]);

/*
 * Call a function with each process, by its number and its directory, which stays open for
 * the length of the call. Return: 0; the error of the directory; or what the function
 * returned that is not 0, which ends it.
 */
typedef int (*process_fn)(void *data, int process, int pid);
int processes_walk(const char *proc, process_fn fn, void *data);

/*
 * Call a function with each descriptor of a process, by its name in the directory of all, and
 * what it stands for. Return: 0, -ENOENT if the process has gone, or -EACCES if one may not
 * look at it.
 */
typedef void (*process_fd_fn)(void *data, int directory, const char *fd, const char *target);
int process_walk_fds(int process, process_fd_fn fn, void *data);

/* Its name; "" if it has gone. */
void process_comm(int process, char *comm, size_t size);

#endif
