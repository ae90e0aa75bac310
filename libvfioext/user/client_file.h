/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files behind a client's memory. One that a guest maps page by page is mapped once, whole:
 * a page of it costs no system call then, no entry of the process's address space, and is
 * not bound to the size of the file's pages, which may be huge. One that is read and written
 * has one descriptor.
 */
#ifndef LIBVFIOEXT_USER_CLIENT_FILE_H
#define LIBVFIOEXT_USER_CLIENT_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <vfioext/user.h>

#include "guard.h"

/*
 * @device, @inode: which file it is, as long as it is open or mapped
 * @use: how it is mapped (PROT_*), or open (O_ACCMODE)
 * @fd: its descriptor if it is read and written; -1 if it is mapped
 * @shared: it is all of the file, and in the list
 * @offset: where in the file it begins
 * @users: the maps that are of it
 * @mapped: where
 */
struct client_file {
	struct client_file *next;
	dev_t device;
	ino_t inode;
	int use;
	int fd;
	bool shared;
	uint64_t offset;
	unsigned int users;
	struct guarded mapped;
};

/*
 * All of a client's, and what they take of the process.
 * @shared: those that more maps may be of
 * @limits: what they may take
 * @nr_mappings: entries of the address space
 * @nr_open: descriptors
 * @bytes: of the address space
 * @used: of these, what is mapped for the device
 */
struct client_files {
	struct client_file *shared;
	struct vfioext_user_limits limits;
	unsigned int nr_mappings;
	unsigned int nr_open;
	uint64_t bytes;
	uint64_t used;
};

/* What a map wants of a file; @fd stays the caller's. */
struct memory_file {
	int fd;
	uint64_t offset;
	bool mappable;
};

/* Why a map cannot have what it wants. */
enum limit {
	LIMIT_NONE,
	LIMIT_MAPS,
	LIMIT_MAPPINGS,
	LIMIT_BYTES,
	LIMIT_OPEN,
	LIMIT_KIND,
	LIMIT_DESCRIPTORS,
	NR_LIMITS,
};

/*
 * Use a file for a map of @size bytes. @lock protects @files, and is taken.
 * Return: 0; -EINVAL if that much is not in it; -ENOSPC and the limit that it is beyond;
 * -ENOMEM; or the error of mapping it.
 */
int client_file_get(struct client_files *files, pthread_mutex_t *lock,
		    const struct memory_file *wanted, uint32_t flags, uint64_t size,
		    struct client_file **file, enum limit *limit);

/* A map of so many bytes has gone. */
void client_file_put(struct client_files *files, pthread_mutex_t *lock, struct client_file *file,
		     uint64_t size);

#endif
