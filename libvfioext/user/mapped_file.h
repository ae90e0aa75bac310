/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files behind a client's memory. One that a guest maps page by page is mapped once, whole:
 * a page of it costs no system call then, no entry of the process's address space, and is
 * not bound to the size of the file's pages, which may be huge.
 */
#ifndef LIBVFIOEXT_USER_MAPPED_FILE_H
#define LIBVFIOEXT_USER_MAPPED_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "guard.h"

/*
 * @device, @inode: which file it is, as long as it is mapped
 * @prot: how
 * @shared: it is whole, and in the list
 * @offset: where in the file it begins
 * @users: the maps that are of it
 * @mapped: where
 */
struct mapped_file {
	struct mapped_file *next;
	dev_t device;
	ino_t inode;
	int prot;
	bool shared;
	uint64_t offset;
	unsigned int users;
	struct guarded mapped;
};

/*
 * The one that has a file up to @end, and is used once more from then on. Return: NULL if
 * none has.
 */
struct mapped_file *mapped_file_find(struct mapped_file *list, const struct stat *status, int prot,
				     uint64_t end);

/*
 * Map a file, or that part of one that cannot be mapped whole. It has one user and is in no
 * list. @fd stays the caller's. Return: 0, -ENOMEM, or mmap()'s error.
 */
int mapped_file_new(int fd, const struct stat *status, int prot, uint64_t offset, uint64_t size,
		    struct mapped_file **file);

/* Let others find it, if it is whole. */
void mapped_file_share(struct mapped_file **list, struct mapped_file *file);

/* Return: true if it was the last use; it is in no list any longer, and to be freed. */
bool mapped_file_unuse(struct mapped_file **list, struct mapped_file *file);

void mapped_file_free(struct mapped_file *file);

#endif
