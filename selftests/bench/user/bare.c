// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the socket and an eventfd allow: answers of the right length to whatever comes, one
 * receive and one send for all that is there, and nothing is looked at.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../libvfioext/user/wire.h"
#include "bench.h"

#define BUFFER 65536

const char server_name[] = "bare";

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s.0", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		err(1, "%s", path);
	return fd;
}

static double signal_bare(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), i;
	double begin = now();
	uint64_t one = 1;

	for (i = 0; i < SIGNALS; i++)
		if (write(fd, &one, sizeof(one)) < 0)
			break;
	close(fd);
	return SIGNALS / (now() - begin);
}

/* What is to be sent for a message. Return: its bytes. */
static size_t answer(const uint8_t *message, uint8_t *to)
{
	struct vfio_user_header header;
	struct vfio_user_region_access access;
	static double rate;

	memcpy(&header, message, sizeof(header));
	memcpy(&access, message + sizeof(header), sizeof(access));
	if (header.command == VFIO_USER_REGION_WRITE && access.offset == REGISTER_SIGNAL)
		rate = signal_bare();
	if (header.flags & VFIO_USER_NO_REPLY)
		return 0;
	header.flags = VFIO_USER_REPLY;
	header.size = sizeof(header);
	if (header.command == VFIO_USER_VERSION)
		header.size += 4;
	if (header.command == VFIO_USER_REGION_WRITE || header.command == VFIO_USER_REGION_READ)
		header.size += sizeof(access);
	if (header.command == VFIO_USER_DMA_UNMAP)
		header.size += sizeof(struct vfio_user_dma_unmap);
	if (header.command == VFIO_USER_REGION_READ)
		header.size += access.count;
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), message + sizeof(header), header.size - sizeof(header));
	if (header.command == VFIO_USER_REGION_READ && access.offset == REGISTER_SIGNAL)
		memcpy(to + sizeof(header) + sizeof(access), &rate, sizeof(rate));
	return header.size;
}

static void serve_client(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control;
	static uint8_t in[BUFFER], out[2 * BUFFER];
	struct vfio_user_header header;
	size_t have = 0, at, size;
	int passed;
	ssize_t got;

	for (;;) {
		struct iovec iov = { in + have, sizeof(in) - have };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				      .msg_controllen = sizeof(control) };

		got = recvmsg(fd, &msg, 0);
		if (got <= 0)
			return;
		if (CMSG_FIRSTHDR(&msg)) {
			memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(passed));
			close(passed);
		}
		have += (size_t)got;
		for (at = 0, size = 0; have - at >= sizeof(header); at += header.size) {
			memcpy(&header, in + at, sizeof(header));
			if (have - at < header.size)
				break;
			size += answer(in + at, out + size);
		}
		have -= at;
		memmove(in, in + at, have);
		if (size && send(fd, out, size, MSG_NOSIGNAL) < 0)
			return;
	}
}

void serve(const char *path, int nr)
{
	int listener = listen_at(path), fd;

	(void)nr;
	for (;;) {
		fd = accept(listener, NULL, NULL);
		serve_client(fd);
		close(fd);
	}
}
