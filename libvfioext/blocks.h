/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_BLOCKS_H
#define LIBVFIOEXT_BLOCKS_H

#include "uses.h"

/*
 * A disk or partition of a device, or a block device on top of one.
 * @path: its directory in sysfs
 * @on: what it is on top of, by its place in the list, or -1
 * @used: a use of it, or of what is on top of it, was found
 */
struct block {
	char *path;
	const char *name;
	dev_t number;
	long on;
	bool used;
};

struct blocks {
	struct survey *survey;
	struct block *list;
	size_t nr;
};

/* A use of a block device, which is told by the disk that it is on in the end. */
void block_use(struct blocks *blocks, size_t at, enum vfioext_use_kind kind, const char *what);
/* The one of a number, or of the name in a path where that has no file; -1 if none. */
long block_find(const struct blocks *blocks, dev_t number, const char *path);

/* uses_mounts.c */
void uses_of_mounts(struct blocks *blocks);
void uses_of_swaps(struct blocks *blocks);
/* uses_targets.c */
void uses_of_targets(struct blocks *blocks);

#endif
