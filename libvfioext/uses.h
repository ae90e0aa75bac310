/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_USES_H
#define LIBVFIOEXT_USES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <vfioext/discovery.h>
#include <vfioext/uses.h>

#include "processes.h"

/*
 * A device of the kernel that is below another one: a disk, an interface, a terminal.
 * @path: its directory, @name the last part of it
 * @subsystem: its class or bus
 * @number: of its file in /dev, 0 if it has none
 */
struct below_device {
	char *path;
	const char *name;
	char subsystem[32];
	dev_t number;
};

/*
 * @hides_net: there is a place for network interfaces, and none is seen in it
 */
struct below {
	struct below_device *list;
	size_t nr;
	bool hides_net;
};

/* below.c: all that is below a directory of sysfs, which is a whole path. */
int below_find(struct below *below, const char *path);
/* A device by its whole path, and what is below it. */
int below_add(struct below *below, const char *path);
void below_release(struct below *below);
/* The first line of an attribute of a device, "" if it has none. */
void below_read(const struct below_device *device, const char *attribute, char *value,
		size_t size);
bool below_has(const struct below_device *device, const char *attribute);

/*
 * What is looked at.
 * @real: it is this host's, and not a tree that was made up
 * @proc: the directory of processes that goes with it
 * @error: the first that there was, or 0
 */
struct survey {
	struct vfioext *ctx;
	const struct vfioext_device_info *info;
	struct below below;
	bool real;
	char proc[PROC_SIZE];
	struct vfioext_uses *uses;
	int error;
};

/* below_heads.c: what belongs to the device, but is below it for nobody. */
int below_add_heads(struct survey *survey);

void uses_add(struct survey *survey, enum vfioext_use_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void uses_of_blocks(struct survey *survey);
void uses_of_shares(struct survey *survey);
void uses_of_interfaces(struct survey *survey);
void uses_of_files(struct survey *survey);
void uses_of_consoles(struct survey *survey);
void uses_of_children(struct survey *survey);

/*
 * openers.c: who has files open that are in a list of numbers. @fn is told once for each
 * process and file.
 */
struct process_file {
	mode_t type;
	dev_t number;
};

typedef void (*opener_fn)(void *data, size_t file, int pid, const char *comm);
void processes_with(struct survey *survey, const struct process_file *files, size_t nr,
		    opener_fn fn, void *data);
/* The number of a file in /dev, of a type; 0 if there is no such file. */
dev_t file_number(const char *path, mode_t type);

#endif
