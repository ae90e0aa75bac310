// SPDX-License-Identifier: LGPL-2.1-or-later
/* Answers to DPDK's old protocol. */
#include <errno.h>
#include <string.h>

#include "container.h"
#include "share.h"
#include "share_message.h"
#include "sysfs.h"

static int answer(struct client *client, int32_t value)
{
	return share_send(client->fd, &value, sizeof(value), -1);
}

static int answer_container(struct vfioext_share *share, struct client *client)
{
	int32_t value = DPDK_OK;

	if (!share->nr_containers)
		return answer(client, DPDK_ERROR);
	share_log(share, "process %d of user %u gets the container", client->peer.pid,
		  client->peer.uid);
	return share_send(client->fd, &value, sizeof(value), share->containers[0]->fd);
}

/* A group may leave its container in another thread: the lock keeps it open. */
static int send_group(struct vfioext_container *container, struct client *client, int32_t number)
{
	static const int32_t value = DPDK_OK;
	const void *records[2] = { &value, &value };
	struct group *group;
	int ret = -ENOENT;

	pthread_mutex_lock(&container->groups_lock);
	group = container->groups;
	while (group && group->id != number)
		group = group->next;
	if (group)
		ret = share_send_two(client->fd, records, sizeof(value), group->fd);
	pthread_mutex_unlock(&container->groups_lock);
	return ret;
}

static int answer_group(struct vfioext_share *share, struct client *client, int32_t number)
{
	size_t i;
	int ret;

	if (number < 0)
		return answer(client, DPDK_ERROR);
	for (i = 0; i < share->nr_containers; i++) {
		ret = send_group(share->containers[i], client, number);
		if (ret != -ENOENT) {
			share_log(share, "process %d of user %u gets group %d", client->peer.pid,
				  client->peer.uid, number);
			return ret;
		}
	}
	return answer(client, sysfs_exists(share->ctx, "kernel/iommu_groups/%d", number) ?
			      DPDK_NO_FD : DPDK_ERROR);
}

/* What is cleared is the client's: to him it is done, and here nothing is. */
static int answer_clear(struct vfioext_share *share, struct client *client)
{
	bool any = false;
	size_t i;

	for (i = 0; i < share->nr_containers && !any; i++) {
		pthread_mutex_lock(&share->containers[i]->groups_lock);
		any = share->containers[i]->groups;
		pthread_mutex_unlock(&share->containers[i]->groups_lock);
	}
	return answer(client, any ? DPDK_OK : DPDK_NO_FD);
}

/* The record in a message, if it is one. */
static int take_record(const struct mmsghdr *message, int32_t record)
{
	if (message->msg_len != sizeof(record) ||
	    message->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EPROTO;
	return 0;
}

/* Receive what is missing of a request, both records at once if they are there. */
static int receive_request(struct client *client, int32_t *number)
{
	int32_t *first = client->half ? number : &client->request;
	struct iovec iov[2] = { { first, sizeof(*first) }, { number, sizeof(*number) } };
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};
	int nr, ret;

	do {
		nr = recvmmsg(client->fd, messages, client->half ? 1 : 2, MSG_DONTWAIT, NULL);
	} while (nr < 0 && errno == EINTR);
	if (nr < 0)
		return -errno;
	ret = take_record(&messages[0], *first);
	if (ret || client->half || client->request == DPDK_CONTAINER)
		return ret;
	if (client->request != DPDK_GROUP && client->request != DPDK_CLEAR)
		return -EPROTO;
	client->half = true;
	return nr < 2 ? -EAGAIN : take_record(&messages[1], *number);
}

int share_serve_old(struct vfioext_share *share, struct client *client)
{
	int32_t number = -1;
	int ret;

	ret = receive_request(client, &number);
	if (ret == -EPROTO)
		share_tell_error(client->fd, true, ret);
	if (ret)
		return ret;
	switch (client->request) {
	case DPDK_CONTAINER:
		ret = answer_container(share, client);
		break;
	case DPDK_GROUP:
		ret = answer_group(share, client, number);
		break;
	default:
		ret = answer_clear(share, client);
		break;
	}
	/* A new connection has room for that, or its peer does not play by the rules. */
	if (ret == -EAGAIN)
		return -EPROTO;
	/* Too many descriptors may be on their way to others. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		share_tell_error(client->fd, true, ret);
	return ret;
}
