// SPDX-License-Identifier: LGPL-2.1-or-later
/* Records with descriptors over unix sockets. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "share_message.h"

/* Room for one descriptor; aligned as the kernel's header wants it. */
union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

int share_address(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (!path || !path[0])
		return -EINVAL;
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

/* Only connecting waits, and for as long as one waits to send. */
static int connect_in_time(int fd, const struct sockaddr_un *address, unsigned int timeout_ms)
{
	struct timeval time = { timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000 };
	uint64_t deadline_ms = share_now_ms() + timeout_ms;

	if (timeout_ms && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)))
		return -errno;
	if (!timeout_ms && fcntl(fd, F_SETFL, O_NONBLOCK))
		return -errno;
	while (connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		if (errno != EINTR)
			return -errno;
		if (timeout_ms && share_now_ms() >= deadline_ms)
			return -EAGAIN;
	}
	return timeout_ms && fcntl(fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

/*
 * One that is too long for an address is opened first, and connected to by its descriptor.
 * @fd: to be closed afterwards, -1 for none
 */
static int find_address(const char *path, struct sockaddr_un *address, int *fd)
{
	int ret = share_address(path, address);

	*fd = -1;
	if (ret != -ENAMETOOLONG)
		return ret;
	*fd = open(path, O_PATH | O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d", *fd);
	return 0;
}

int share_connect_as(const char *path, int type, unsigned int timeout_ms)
{
	struct sockaddr_un address;
	int fd, found, ret;

	ret = find_address(path, &address, &found);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	ret = fd < 0 ? -errno : connect_in_time(fd, &address, timeout_ms);
	if (found >= 0)
		close(found);
	if (!ret || fd < 0)
		return ret ? ret : fd;
	close(fd);
	return ret;
}

int share_connect(const char *path, unsigned int timeout_ms)
{
	return share_connect_as(path, SOCK_SEQPACKET, timeout_ms);
}

static void attach_fd(struct msghdr *message, union control *control, int fd)
{
	memset(control, 0, sizeof(*control));
	control->header.cmsg_len = CMSG_LEN(sizeof(fd));
	control->header.cmsg_level = SOL_SOCKET;
	control->header.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&control->header), &fd, sizeof(fd));
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(sizeof(fd));
}

int share_send(int fd, const void *record, size_t size, int passed)
{
	struct iovec iov = { (void *)record, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t len;

	if (passed >= 0)
		attach_fd(&message, &control, passed);
	do {
		len = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	return len < 0 ? -errno : 0;
}

int share_send_two(int fd, const void *records[2], size_t size, int passed)
{
	struct iovec iov[2] = { { (void *)records[0], size }, { (void *)records[1], size } };
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};
	union control control;
	int nr;

	attach_fd(&messages[1].msg_hdr, &control, passed);
	do {
		nr = sendmmsg(fd, messages, 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (nr < 0 && errno == EINTR);
	if (nr == 1)
		return share_send(fd, records[1], size, passed);
	return nr < 0 ? -errno : 0;
}

/* Take the descriptor that came; where there are more, none. */
static int take_fds(struct msghdr *message, int *passed)
{
	struct cmsghdr *header;
	size_t i, nr;
	int fd, ret = 0;

	for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (header->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
		for (i = 0; i < nr; i++) {
			memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd), sizeof(fd));
			if (*passed < 0 && !ret) {
				*passed = fd;
				continue;
			}
			ret = -EPROTO;
			close(fd);
		}
	}
	/* Cut short: there were more than there is room for, or than we may have open. */
	if (!ret && message->msg_flags & MSG_CTRUNC)
		ret = *passed < 0 ? -EMFILE : -EPROTO;
	return ret;
}

ssize_t share_receive(int fd, void *record, size_t size, int *passed)
{
	struct iovec iov = { record, size };
	union control control;
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	bool reset = false;
	ssize_t len;
	int ret;

	*passed = -1;
	/* One who hung up without reading all may have said something before. */
	do {
		len = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && (errno == EINTR || (errno == ECONNRESET && !reset && (reset = true))));
	if (len < 0)
		return -errno;
	ret = take_fds(&message, passed);
	if (!ret && message.msg_flags & MSG_TRUNC)
		ret = -EMSGSIZE;
	if (ret && *passed >= 0) {
		close(*passed);
		*passed = -1;
	}
	return ret ? ret : len;
}

/* Without room for descriptors the kernel drops them, and says so. */
ssize_t share_receive_plain(int fd, void *record, size_t size)
{
	struct iovec iov = { record, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t len;

	do {
		len = recvmsg(fd, &message, MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	if (message.msg_flags & MSG_CTRUNC)
		return -EPROTO;
	return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : len;
}

uint64_t share_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int share_wait(int fd, uint64_t deadline_ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	uint64_t now = share_now_ms(), left;
	int ret;

	do {
		left = deadline_ms > now ? deadline_ms - now : 0;
		ret = poll(&poller, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (ret > 0)
			return 0;
		if (ret < 0 && errno != EINTR)
			return -errno;
		now = share_now_ms();
	} while (now < deadline_ms);
	return -ETIMEDOUT;
}
