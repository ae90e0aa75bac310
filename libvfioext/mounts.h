/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_MOUNTS_H
#define LIBVFIOEXT_MOUNTS_H

#include <sys/types.h>

struct survey;

/*
 * A file system that is mounted.
 * @number: of its block device, 0 if it has none, or a number of its own as btrfs has
 * @where: "" for the caller's mount namespace, else what tells the other one
 */
struct mount {
	dev_t number;
	char *point;
	char *type;
	char *source;
	const char *where;
};

typedef void (*mount_fn)(void *data, const struct mount *mount);

/* All of the caller's own mount namespace, then those of others of which there is a process. */
void mounts_walk(struct survey *survey, mount_fn fn, void *data);
/* Undo the octal escapes that stand for blanks and the like in files of /proc. */
void mounts_unescape(char *text);

#endif
