/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client lets a device see of its memory. */
#ifndef LIBVFIOEXT_USER_MEMORY_H
#define LIBVFIOEXT_USER_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/user.h>

#include "client_file.h"

/*
 * @public: as the device gets to see it
 * @file: the file behind it; NULL for none
 * @offset: where it is in the file
 * @users: who use it
 * @dying: it is not in the index any longer
 */
struct memory_map {
	struct vfioext_user_memory public;
	struct client_file *file;
	uint64_t offset;
	unsigned int users;
	bool dying;
};

struct memory_index;

/*
 * @lock: protects all of it
 * @index: by IOVA; nothing overlaps
 * @nr: how many are in it
 * @last: what was found last, or NULL
 * @files: those behind them
 * @nr_dying: how many are in use that are not in the index any longer
 * @wake: eventfd that is signaled when one of these is not in use any longer
 * @closed: its device is freed: nobody is to be woken
 */
struct memory {
	pthread_mutex_t lock;
	struct memory_index *index;
	size_t nr;
	struct memory_map *last;
	struct client_files files;
	size_t nr_dying;
	int wake;
	bool closed;
};

/* @wake: eventfd for when memory is not in use any longer. Return: 0, or -ENOMEM. */
int memory_init(struct memory *memory, int wake);

/*
 * Nothing is in the index, and the device goes. Return: true if it can be destroyed; else the
 * last memory_unuse() says so.
 */
bool memory_close(struct memory *memory);
void memory_destroy(struct memory *memory);

/* What the client may have from then on. */
void memory_set_limits(struct memory *memory, const struct vfioext_user_limits *limits);

/*
 * Where the client may not have a file, for a limit, there is none: @limit tells which. @file->fd
 * is -1 for none.
 * Return: 0; -EINVAL if it cannot be: off the pages, or more than is in the file;
 * -EEXIST if it overlaps; -ENOSPC if there are too many; -ENOMEM; or mmap()'s error.
 */
int memory_add(struct memory *memory, const struct vfioext_user_memory *public,
	       const struct memory_file *file, enum limit *limit);

/*
 * Remove exactly that. Return: 1 if it is in use and goes with its last user, 0 if not,
 * -ENOENT if there is none.
 */
int memory_remove(struct memory *memory, uint64_t iova, uint64_t size);

/*
 * The last that is in a range, which is removed at the least cost. Return: 0, -ENOENT if
 * there is none, -EINVAL if some is not wholly in it.
 */
int memory_in_range(struct memory *memory, uint64_t first, uint64_t last,
		    struct vfioext_user_memory *public);

/* All of it; to be freed. Return: 0, or -ENOMEM. */
int memory_copy(struct memory *memory, struct vfioext_user_memory **list, size_t *nr);

/* Are some gone from the index, and still in use? */
bool memory_is_dying(struct memory *memory);

/*
 * The memory that an address is in, and is used from then on.
 * Return: NULL with -ENOENT, -EACCES.
 */
struct memory_map *memory_use(struct memory *memory, uint64_t iova, uint32_t flags, int *error);

/* Return: true if it was the last use after memory_close(). */
bool memory_unuse(struct memory *memory, struct memory_map *map);

#endif
