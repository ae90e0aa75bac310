// SPDX-License-Identifier: LGPL-2.1-or-later
/* Asking a primary of DPDK's old protocol, ours or DPDK's. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/share.h>

#include "share_message.h"
#include "share_wire.h"

int vfioext_share_dpdk_path(const char *prefix, char *path, size_t size)
{
	const char *directory = geteuid() ? secure_getenv("HOME") : "/var/run";
	int len;

	if (!prefix)
		prefix = "rte";
	if (!prefix[0] || strchr(prefix, '/'))
		return -EINVAL;
	if (!directory || !directory[0])
		return -ENOENT;
	len = snprintf(path, size, "%s/.%s_mp_socket", directory, prefix);
	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

static int answer_error(int32_t answer)
{
	return answer == DPDK_NO_FD ? -ENODEV : answer == DPDK_ERROR ? -ENOENT : -EPROTO;
}

/* One record of the answer, which has a descriptor if it is to have one. */
static int receive_answer(int socket, uint64_t deadline_ms, int *fd)
{
	int32_t answer = DPDK_ERROR;
	bool wanted;
	ssize_t len;
	int passed, ret;

	do {
		ret = share_wait(socket, deadline_ms);
		if (ret)
			return ret;
		len = share_receive(socket, &answer, sizeof(answer), &passed);
	} while (len == -EAGAIN);
	if (len < 0)
		return len == -EMSGSIZE ? -EPROTO : (int)len;
	ret = !len ? -ECONNRESET : len != sizeof(answer) ? -EPROTO :
	      answer != DPDK_OK ? answer_error(answer) : 0;
	/* No error has one. */
	wanted = !ret && fd;
	if (wanted ? passed < 0 : passed >= 0)
		ret = -EPROTO;
	if (!ret && fd)
		*fd = passed;
	else if (passed >= 0)
		close(passed);
	return ret;
}

static int send_request(int socket, const int32_t *records, size_t nr)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++)
		ret = share_send(socket, &records[i], sizeof(records[i]), -1);
	return ret;
}

/*
 * A group is announced before it comes. One who refuses may hang up before all is sent,
 * and what he said still lies there.
 */
static int request(const char *path, const int32_t *records, size_t nr, unsigned int timeout_ms,
		   int *fd)
{
	uint64_t deadline_ms = share_now_ms() + timeout_ms;
	int socket, sent, ret = 0;

	socket = share_connect(path, timeout_ms ? timeout_ms : 1);
	if (socket < 0)
		return socket == -EAGAIN ? -ETIMEDOUT : socket;
	sent = send_request(socket, records, nr);
	if (sent == -EPIPE || sent == -ECONNRESET)
		sent = 0;
	if (!sent) {
		if (nr > 1)
			ret = receive_answer(socket, deadline_ms, NULL);
		if (!ret)
			ret = receive_answer(socket, deadline_ms, fd);
	}
	close(socket);
	return sent ? sent : ret;
}

int vfioext_share_get_container(const char *path, unsigned int timeout_ms, int *fd)
{
	int32_t records[] = { DPDK_CONTAINER };

	return request(path, records, 1, timeout_ms, fd);
}

int vfioext_share_get_group(const char *path, int group, unsigned int timeout_ms, int *fd)
{
	int32_t records[] = { DPDK_GROUP, group };

	if (group < 0)
		return -EINVAL;
	return request(path, records, 2, timeout_ms, fd);
}
