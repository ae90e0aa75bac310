// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who is served. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "share.h"

/* No process can be in more. */
#define GROUPS_MAX 65536

static bool has_gid(const gid_t *gids, size_t nr, gid_t gid)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (gids[i] == gid)
			return true;
	return false;
}

static bool has_uid(const struct vfioext_share *share, uid_t uid)
{
	size_t i;

	for (i = 0; i < share->options.nr_uids; i++)
		if (share->uids[i] == uid)
			return true;
	return false;
}

/* The supplementary groups that the peer had when it connected. Return: how many. */
static ssize_t read_peer_gids(struct vfioext_share *share, int fd)
{
	socklen_t size = (socklen_t)share->peer_gids_size;
	gid_t *more;

	while (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, share->peer_gids, &size)) {
		if (errno != ERANGE || size <= share->peer_gids_size ||
		    size > GROUPS_MAX * sizeof(gid_t))
			return -1;
		more = realloc(share->peer_gids, size);
		if (!more)
			return -1;
		share->peer_gids = more;
		share->peer_gids_size = size;
	}
	return size / sizeof(gid_t);
}

static bool is_allowed(struct vfioext_share *share, int fd, const struct ucred *peer)
{
	ssize_t i, nr;

	if (!peer->uid || peer->uid == share->owner || has_uid(share, peer->uid))
		return true;
	if (!share->options.nr_gids)
		return false;
	if (has_gid(share->gids, share->options.nr_gids, peer->gid))
		return true;
	nr = read_peer_gids(share, fd);
	for (i = 0; i < nr; i++)
		if (has_gid(share->gids, share->options.nr_gids, share->peer_gids[i]))
			return true;
	return false;
}

/* There need be no count while there are fewer in all than one may have. */
static bool has_many(const struct vfioext_share *share, uid_t uid)
{
	unsigned int i, nr = 0;

	if (share->nr_clients < share->options.clients_per_user_max)
		return false;
	for (i = 0; i < share->options.clients_max; i++)
		nr += share->clients[i].fd >= 0 && share->clients[i].peer.uid == uid;
	return nr >= share->options.clients_per_user_max;
}

int share_check_peer(struct vfioext_share *share, int fd, const struct ucred *peer)
{
	if (!is_allowed(share, fd, peer))
		return -EACCES;
	return has_many(share, peer->uid) ? -EUSERS : 0;
}
