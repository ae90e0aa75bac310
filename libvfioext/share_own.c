// SPDX-License-Identifier: LGPL-2.1-or-later
/* A client of the own protocol: its hello, and then what there is to send. */
#include <errno.h>
#include <string.h>

#include "share.h"
#include "share_message.h"

void share_tell_error(int fd, bool old, int error)
{
	struct share_error record = {
		.header = { SHARE_ERROR, sizeof(record) },
		.error = error,
	};
	int32_t value = DPDK_ERROR;

	if (old)
		share_send(fd, &value, sizeof(value), -1);
	else
		share_send(fd, &record, sizeof(record), -1);
}

/* A later version may say more; this one does not ask. */
static int check_hello(const uint8_t *record, size_t len)
{
	struct share_hello hello;

	if (len < sizeof(hello))
		return -EPROTO;
	memcpy(&hello, record, sizeof(hello));
	if (hello.magic != SHARE_MAGIC || hello.size != len)
		return -EPROTO;
	return hello.version == SHARE_VERSION ? 0 : -EPROTONOSUPPORT;
}

static int receive_hello(struct vfioext_share *share, struct client *client)
{
	uint8_t record[64];
	ssize_t len;
	int ret;

	len = share_receive_plain(client->fd, record, sizeof(record));
	if (len <= 0)
		return len ? (int)len : -ECONNRESET;
	ret = check_hello(record, (size_t)len);
	if (ret)
		return ret;
	if (!share->nr_containers)
		return -ENODEV;
	client->container = share->containers[0];
	client->phase = SHARE_PHASE_CONTAINER;
	return 0;
}

/* Nothing more is expected: it goes, or it breaks the rules. */
static int check_gone(struct client *client)
{
	uint8_t record[1];
	ssize_t len = share_receive_plain(client->fd, record, sizeof(record));

	if (len == -EAGAIN)
		return 0;
	return !len ? -ECONNRESET : len > 0 || len == -EMSGSIZE ? -EPROTO : (int)len;
}

static int serve(struct vfioext_share *share, struct client *client)
{
	int ret = client->phase == SHARE_PHASE_HELLO ? receive_hello(share, client) :
						       check_gone(client);

	if (ret)
		return ret;
	do {
		ret = share_send_next(share, client);
	} while (ret > 0);
	return !ret || ret == -EAGAIN ? -EINPROGRESS : ret;
}

int share_serve_own(struct vfioext_share *share, struct client *client)
{
	int ret = serve(share, client);

	switch (ret) {
	case -EAGAIN:
	case -EBUSY:
	case -EINPROGRESS:
		return ret;
	case -ECONNRESET:
	case -EPIPE:
		/* It ended: that is no fault. */
		return 0;
	}
	if (ret == -EMSGSIZE)
		ret = -EPROTO;
	share_tell_error(client->fd, false, ret);
	return ret;
}
