/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_SHARE_H
#define VFIOEXT_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <vfioext/container.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_share - hands containers and groups to other processes; opaque.
 *
 * It is used by one thread at a time, as its context is; the containers may be used
 * by others meanwhile.
 */
struct vfioext_share;

/**
 * vfioext_share_log_fn - gets a line on what happened
 * @text: the line, without its end; good for the length of the call
 * @data: what was given with it
 *
 * It must not use the share.
 */
typedef void (*vfioext_share_log_fn)(const char *text, void *data);

/**
 * struct vfioext_share_options - how to share
 * @path: where the socket for vfioext_attach() is to be, or NULL for none
 * @dpdk_path: where the socket for DPDK 1.7 to 18.02 and vfioext_share_get_group() is
 *	to be, or NULL for none; see vfioext_share_dpdk_path()
 * @mode: of both sockets, 0 for 0600; others than the owner need write permission
 * @has_socket_group: the sockets are to belong to @socket_group, and not to the caller's
 * @socket_group: the group; the caller must be a member of it, or root
 * @trust_directory: make the sockets in a directory that others may write to as well, who
 *	could replace them with their own and serve the clients in our place
 * @uids: users who are served, besides root and the one who shares
 * @nr_uids: how many
 * @gids: groups whose members are served, too, as their own or as a supplementary one
 * @nr_gids: how many
 * @clients_max: connections at one time, 0 for 64; up to 65536
 * @clients_per_user_max: those of one user, 0 for 16. Where there is no place for another, a
 *	client that has not said yet what it wants, or not read what it is offered, makes room
 * @timeout_ms: how long a client may take to say what it wants, 0 for 1000; and ten times that to
 *	read what it is offered
 * @log: gets a line for each client that is served, refused or dropped, or NULL; no more than 100
 *	in a minute, and then one that tells how many were left out
 * @data: for @log
 */
struct vfioext_share_options {
	const char *path;
	const char *dpdk_path;
	mode_t mode;
	bool has_socket_group;
	gid_t socket_group;
	bool trust_directory;
	const uid_t *uids;
	size_t nr_uids;
	const gid_t *gids;
	size_t nr_gids;
	unsigned int clients_max;
	unsigned int clients_per_user_max;
	unsigned int timeout_ms;
	vfioext_share_log_fn log;
	void *data;
};

/**
 * vfioext_share_new() - make the sockets, and serve from then on
 * @ctx: the context, which must outlive it
 * @options: how; nothing of it is needed after the call
 * @share: where it goes
 *
 * A socket that nobody listens on any longer is replaced, at once; one that somebody
 * does is left alone. Beside each socket a file of its name with ".lock" at the end is
 * kept locked; a file of that name that is no such lock is left alone. Their directory must
 * be root's or the user's own, and nobody else may write to it unless it is sticky or
 * @trust_directory is set. A path may be longer than a socket's address.
 *
 * Return: 0; -EINVAL without a path, or with one that is no file's, or other options that
 * cannot be; -ENAMETOOLONG if a path is longer than files' may be; -EADDRINUSE if
 * another process has it; -EEXIST if it is no socket, or the lock's name is taken; -EPERM if the directory, or the lock
 * in it, is not to be trusted; -ENOMEM; or the error of the step that vfioext_message()
 * names.
 */
int vfioext_share_new(struct vfioext *ctx, const struct vfioext_share_options *options,
		      struct vfioext_share **share);

/**
 * vfioext_share_free() - drop all clients, and remove the sockets
 * @share: what vfioext_share_new() gave, or NULL
 *
 * What was handed out stays with those who have it. Sockets that others have put in
 * the place of these are left alone.
 */
void vfioext_share_free(struct vfioext_share *share);

/**
 * vfioext_share_add() - hand out a container and its groups
 * @share: the share
 * @container: a VFIO container, which must stay until vfioext_share_remove() or
 *	vfioext_share_free(): vfioext_container_free() gives -EBUSY meanwhile
 *
 * Clients of DPDK's protocol get the container that was added first, and any group that is
 * in one of them when they ask; those who attach get the first container with its groups.
 * For each further container have a share of its own.
 *
 * Return: 0; -EOPNOTSUPP if iommufd or vfio-user stands behind it, or if it came from another
 * process; -EEXIST if it is there; -ENOMEM.
 */
int vfioext_share_add(struct vfioext_share *share, struct vfioext_container *container);

/**
 * vfioext_share_remove() - hand it out no longer
 * @share: the share
 * @container: the container
 *
 * Those who are attached to it are told that the primary is gone. If it was the own one
 * of a device that was closed since, it is freed.
 *
 * Return: 0, or -ENOENT if it is not there.
 */
int vfioext_share_remove(struct vfioext_share *share, struct vfioext_container *container);

/**
 * vfioext_share_fd() - what to poll for input
 * @share: the share
 *
 * Return: a file descriptor that stays the share's own.
 */
int vfioext_share_fd(const struct vfioext_share *share);

/**
 * vfioext_share_dispatch() - serve those who wait
 * @share: the share
 *
 * Does not wait for any client, and takes on a limited number of them: where there are
 * more, the descriptor stays readable. The kernel is asked for what a client is told, which is
 * sysfs and, if the module is loaded, a list of removals.
 *
 * Return: 0; -EDEADLK if it is called from the callback of the log; or the error of waiting
 * for events.
 */
int vfioext_share_dispatch(struct vfioext_share *share);

/**
 * struct vfioext_share_client - who is connected
 * @pid: the process that connected
 * @uid: its user then
 * @gid: its group then
 * @attached: it has all it asked for, and stays to hear of removals
 */
struct vfioext_share_client {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool attached;
};

/**
 * vfioext_share_clients() - list who is connected
 * @share: the share
 * @clients: where they go; may be NULL if @max is 0
 * @max: how many there is room for
 *
 * Return: how many there are, which may be more than @max.
 */
size_t vfioext_share_clients(const struct vfioext_share *share,
			     struct vfioext_share_client *clients, size_t max);

/**
 * vfioext_share_dpdk_path() - where DPDK 1.7 to 18.02 has its socket
 * @prefix: what DPDK was given as --file-prefix, NULL for its default
 * @path: where the path goes
 * @size: room there in bytes; 108 is enough for all that can be used
 *
 * Return: 0; -EINVAL if @prefix is no file's name; -ENOENT if the user has no HOME;
 * -ENAMETOOLONG.
 */
int vfioext_share_dpdk_path(const char *prefix, char *path, size_t size);

/**
 * vfioext_share_get_container() - ask a primary of DPDK's protocol for its container
 * @path: its socket
 * @timeout_ms: how long to wait at most
 * @fd: where the container goes: close-on-exec, and the caller's to close
 *
 * Works with vfioext_share_new() and with DPDK 1.7 to 18.02. It may be called from any
 * thread.
 *
 * Return: 0; -ENOENT if it has none, or @path is not there; -ETIMEDOUT; -EPROTO if the
 * answer is none; -ECONNRESET if it hung up, -ECONNREFUSED if nobody listens,
 * -ENAMETOOLONG, or the error of the socket.
 */
int vfioext_share_get_container(const char *path, unsigned int timeout_ms, int *fd);

/**
 * vfioext_share_get_group() - ask a primary of DPDK's protocol for a group
 * @path: its socket
 * @group: number of the group, at least 0
 * @timeout_ms: how long to wait at most
 * @fd: where the group goes: close-on-exec, and the caller's to close
 *
 * Return: 0; -ENODEV if the primary does not have the group; -ENOENT if there is no such
 * group; -EINVAL if @group is negative; else as vfioext_share_get_container().
 */
int vfioext_share_get_group(const char *path, int group, unsigned int timeout_ms, int *fd);

#ifdef __cplusplus
}
#endif

#endif
