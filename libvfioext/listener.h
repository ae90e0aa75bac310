/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_LISTENER_H
#define LIBVFIOEXT_LISTENER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

struct vfioext;

/*
 * A socket that listens at a path.
 * @fd: -1 for none
 * @directory: where it is
 * @lock: who has it listens at the path, or takes it over
 * @path: as it was given
 * @name: its last part
 * @inode: the socket's; another at the same path is not ours
 * @published: it is at its path
 * @old: DPDK's protocol is spoken there
 * @paused: it is not polled for a while
 * @source: what the epoll tells of it
 */
struct listener {
	int fd;
	int directory;
	int lock;
	int type;
	char path[PATH_MAX];
	const char *name;
	dev_t device;
	ino_t inode;
	bool published;
	bool old;
	bool paused;
	uint64_t source;
};

/*
 * @mode: of the socket
 * @has_group, @group: the group that it is to belong to
 * @trust_directory: whoever may write to its directory may replace it
 */
struct listener_how {
	mode_t mode;
	bool has_group;
	gid_t group;
	bool trust_directory;
};

void listener_init(struct listener *listener);
/* @type: SOCK_STREAM, SOCK_SEQPACKET. Return: 0, or the errors of vfioext_share_new(). */
int listener_open(struct vfioext *ctx, struct listener *listener, const char *path, int type,
		  const struct listener_how *how);
void listener_close(struct listener *listener);

#endif
