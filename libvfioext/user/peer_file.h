/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a descriptor of a peer's is. Whoever mounts a file system of his own (FUSE) can have
 * any call that reaches it wait for ever, close() and fstat() among them: these do not.
 */
#ifndef LIBVFIOEXT_USER_PEER_FILE_H
#define LIBVFIOEXT_USER_PEER_FILE_H

#include <stdbool.h>

/* A file of memory alone: memfd, tmpfs or hugetlbfs. It never waits for anybody. */
bool peer_file_is_memory(int fd);

/* Memory that stays: nobody can make it shorter, and a page of it can always be had. */
bool peer_file_is_sealed(int fd);

bool peer_file_is_eventfd(int fd);

/* To close it waits for nobody, either. */
bool peer_file_closes_at_once(int fd);

/* Not a regular file, unless of memory: what drivers map, as of VFIO. */
bool peer_file_is_region(int fd);

/*
 * What closes descriptors for one peer. It outlives its owner until all are closed.
 * closer_new(): NULL without memory.
 */
struct closer *closer_new(void);
void closer_free(struct closer *closer);

/* Close a descriptor of the peer's, in a thread of its own if that may wait. */
void closer_close(struct closer *closer, int fd);

/* Do so many of them wait that no more are to be taken? */
bool closer_is_full(const struct closer *closer);

#endif
