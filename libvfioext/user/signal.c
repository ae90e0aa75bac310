// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The kernel has one way to signal an eventfd that never waits: as what tells of the end of
 * asynchronous I/O. A read of too little from the eventfd itself ends at once, in an error.
 *
 * Each processor has a context of its own, so that threads do not wait for each other. A
 * thread that moves to another one in the middle does no harm: the kernel takes as many as
 * come.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "signal.h"

#define EVENTS_MAX 16
#define CONTEXTS 64
#define CACHE_LINE 64

/* How the ring of events begins, which the context is the address of (fs/aio.c). */
struct ring {
	uint32_t id;
	uint32_t nr;
	_Atomic uint32_t head;
	_Atomic uint32_t tail;
};

struct context {
	_Atomic aio_context_t address;
} __attribute__((aligned(CACHE_LINE)));

/* A child that is forked has none of them, and finds zeros here. */
static struct context *contexts;
static int setup_error;

static void set_up_contexts(void)
{
	size_t size = CONTEXTS * sizeof(*contexts);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, size, MADV_WIPEONFORK))
		setup_error = -errno;
	else
		contexts = memory;
}

int signal_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, set_up_contexts);
	return setup_error;
}

/* Two threads may do it at once: one is first. Return: 0 if there can be none. */
static aio_context_t set_up(struct context *context)
{
	aio_context_t first = 0, new = 0;

	if (syscall(SYS_io_setup, EVENTS_MAX, &new))
		return 0;
	if (atomic_compare_exchange_strong(&context->address, &first, new))
		return new;
	syscall(SYS_io_destroy, new);
	return first;
}

/*
 * Nobody reads what the kernel tells of the end, and so it counts as read. Of several threads
 * one may take that back a little; the next one makes up for it.
 */
static int submit(aio_context_t context, int fd)
{
	struct iocb read_nothing = {
		.aio_fildes = (uint32_t)fd,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	}, *list = &read_nothing;
	struct ring *ring = (struct ring *)context;
	int ret = syscall(SYS_io_submit, context, 1, &list) == 1 ? 0 : -errno;

	atomic_store_explicit(&ring->head,
			      atomic_load_explicit(&ring->tail, memory_order_relaxed),
			      memory_order_relaxed);
	return ret;
}

/* Without asynchronous I/O, that it is not full is found out before. */
static int write_if_not_full(int fd)
{
	struct pollfd out = { .fd = fd, .events = POLLOUT };

	return poll(&out, 1, 0) == 1 ? signal_eventfd(fd, false) : 0;
}

static int signal_carefully(int fd)
{
	struct context *context = &contexts[(unsigned int)sched_getcpu() % CONTEXTS];
	aio_context_t address = context->address;
	int ret = -EAGAIN;

	if (!address)
		address = set_up(context);
	if (address)
		ret = submit(address, fd);
	/* If it was full, it is no longer. */
	if (address && ret == -EAGAIN)
		ret = submit(address, fd);
	return ret == -EAGAIN ? write_if_not_full(fd) : ret;
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
