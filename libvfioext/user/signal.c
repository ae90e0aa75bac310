// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The kernel has one way to signal an eventfd that never waits: as what tells of the end of
 * asynchronous I/O. A read of too little from the eventfd itself ends at once, in an error.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "signal.h"

#define EVENTS_MAX 16

/* How the ring of events begins, which the context is the address of (fs/aio.c). */
struct ring {
	uint32_t id;
	uint32_t nr;
	uint32_t head;
	uint32_t tail;
};

/* Protects the ring, which nobody reads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static aio_context_t context;
/* Whose it is: a child has none of it. */
static pid_t owner;

static bool is_set_up(void)
{
	pid_t pid = getpid();

	if (owner == pid)
		return context;
	owner = pid;
	context = 0;
	if (syscall(SYS_io_setup, EVENTS_MAX, &context))
		context = 0;
	return context;
}

static int submit(int fd)
{
	struct iocb read_nothing = {
		.aio_fildes = (uint32_t)fd,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	}, *list = &read_nothing;
	struct ring *ring = (struct ring *)context;

	if (syscall(SYS_io_submit, context, 1, &list) != 1)
		return -errno;
	ring->head = ring->tail;
	return 0;
}

/* Without asynchronous I/O, that it is not full is found out before. */
static int write_if_not_full(int fd)
{
	struct pollfd out = { .fd = fd, .events = POLLOUT };

	return poll(&out, 1, 0) == 1 ? signal_eventfd(fd, false) : 0;
}

static int signal_carefully(int fd)
{
	bool can;
	int ret = 0;

	pthread_mutex_lock(&lock);
	can = is_set_up();
	if (can)
		ret = submit(fd);
	pthread_mutex_unlock(&lock);
	return can ? ret : write_if_not_full(fd);
}

int signal_eventfd(int fd, bool careful)
{
	const uint64_t one = 1;

	if (careful)
		return signal_carefully(fd);
	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int take_eventfd(int fd)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };
	/* The call itself: musl has preadv2() from 1.2.5 on. */
	ssize_t size = syscall(SYS_preadv2, fd, &iov, 1, -1L, -1L, RWF_NOWAIT);

	if (size < 0)
		return -errno;
	/* The end of a pipe, say. */
	return size == sizeof(count) ? 0 : -EINVAL;
}
