// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer (selftests/fuzz/run): primaries that tell anything. The first byte chooses
 * the protocol; then each record is two bytes of length, one of how many descriptors come
 * with it, and its content. With the own protocol, the size in the record is put right in
 * most of them: what is past that check is of interest.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <vfioext/share.h>

#include "../../libvfioext/attach.h"
#include "../../libvfioext/container.h"
#include "../../libvfioext/context.h"
#include "../../libvfioext/share_message.h"
#include "../../libvfioext/share_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/share_fuzzer.XXXXXX", path[64];
static const uint8_t *input;
static size_t input_size;
static int null = -1, listener;
static sem_t answered;

/* Several descriptors, which is more than the library ever sends. */
static void send_record(int socket, const uint8_t *record, size_t size, unsigned int nr)
{
	_Alignas(8) char control[CMSG_SPACE(3 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)record, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header = (struct cmsghdr *)control;
	int fds[] = { null, null, null };

	if (nr) {
		*header = (struct cmsghdr){ CMSG_LEN(nr * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(header), fds, nr * sizeof(int));
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(nr * sizeof(int));
	}
	sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_all(int socket, const uint8_t *data, size_t size, bool own)
{
	uint8_t record[2 * SHARE_RECORD_MAX];
	uint32_t told;
	size_t len;

	while (size > 3) {
		len = data[0] | data[1] << 8;
		len = len < size - 3 ? len : size - 3;
		if (len > sizeof(record))
			len = sizeof(record);
		memcpy(record, data + 3, len);
		told = (uint32_t)len;
		if (own && len >= sizeof(struct share_header) && !(data[2] & 0x80))
			memcpy(record + 4, &told, sizeof(told));
		send_record(socket, record, len, data[2] & 3);
		data += len + 3;
		size -= len + 3;
	}
}

static void *answer(void *data)
{
	uint8_t request[64];
	int socket;

	for (;;) {
		/* Accepting takes a file's number before somebody comes. */
		poll(&(struct pollfd){ listener, POLLIN }, 1, -1);
		socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		/* A request that is not read turns the end into an error. */
		if (input_size & 1)
			recv(socket, request, sizeof(request), 0);
		send_all(socket, input, input_size, false);
		close(socket);
		sem_post(&answered);
	}
	return data;
}

static void end(void)
{
	unlink(path);
	rmdir(directory);
}

static void begin(void)
{
	struct sockaddr_un address;
	pthread_t thread;

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (!mkdtemp(directory))
		abort();
	snprintf(path, sizeof(path), "%s/old", directory);
	share_address(path, &address);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 5) ||
	    sem_init(&answered, 0, 0) || pthread_create(&thread, NULL, answer, NULL))
		abort();
	atexit(end);
}

static int lowest_free(void)
{
	int fd = dup(null);

	close(fd);
	return fd;
}

static void get(bool group)
{
	int fd = -1, ret = group ? vfioext_share_get_group(path, 3, 1000, &fd) :
				   vfioext_share_get_container(path, 1000, &fd);

	if (ret ? fd >= 0 : fd < 0)
		abort();
	if (fd >= 0)
		close(fd);
	sem_wait(&answered);
}

static void check_container(struct vfioext_container *container)
{
	const struct vfioext_dma_limits *limits = &container->limits;
	size_t i;

	for (i = 0; i < limits->nr_ranges; i++)
		if (limits->ranges[i].last < limits->ranges[i].start ||
		    (i && limits->ranges[i].start <= limits->ranges[i - 1].last))
			abort();
}

static void attach(const uint8_t *data, size_t size)
{
	struct vfioext_attachment *attachment = calloc(1, sizeof(*attachment));
	struct vfioext ctx = { .sysfs = "/nonexistent" };
	int sockets[2], ret;

	if (!attachment || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		abort();
	attachment->ctx = &ctx;
	attachment->fd = sockets[0];
	send_all(sockets[1], data, size, true);
	close(sockets[1]);
	do {
		ret = vfioext_attachment_dispatch(attachment, NULL, NULL);
	} while (ret > 0);
	if (vfioext_attachment_container(attachment))
		check_container(vfioext_attachment_container(attachment));
	if (vfioext_detach(attachment))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int before;

	if (null < 0)
		begin();
	if (!size)
		return 0;
	before = lowest_free();
	input = data + 1;
	input_size = size - 1;
	if (*data & 1)
		attach(input, input_size);
	else
		get(*data & 2);
	if (lowest_free() != before)
		abort();
	return 0;
}
