// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that the server of a device has no file of: it asks for it by messages. They are
 * answered by whoever waits for an answer himself, and by a thread while nobody does; on
 * the second socket, if the server has one, always by the thread.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/dma.h>

#include "../mappings.h"
#include "../share_message.h"
#include "connection.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* While a call is under way the caller answers; it is looked after again so much later. */
#define BUSY_US 500

/* Kernels before 5.14 cannot tell. */
static bool can_check(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint8_t here;

	return !madvise((void *)((uintptr_t)&here & ~(page - 1)), page, MADV_POPULATE_READ);
}

/*
 * That it is there, and is what @flags say, is found out now, as when it is pinned: no
 * server is to make us touch what we must not.
 */
int service_check(void *vaddr, uint64_t size, uint32_t flags)
{
	int advice = flags & VFIOEXT_DMA_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	int error;

	if (!madvise(vaddr, size, advice))
		return 0;
	error = errno;
	if (error == EINVAL)
		return can_check() ? -EFAULT : 0;
	return error == ENOMEM ? -EFAULT : -error;
}

int service_add(struct connection *connection, uint64_t iova, uint64_t size, uint32_t flags,
		void *vaddr)
{
	struct mapping mapping = { (uintptr_t)vaddr, iova, size, flags };
	int ret;

	pthread_mutex_lock(&connection->memory_lock);
	ret = mappings_add(connection->memory, &mapping);
	pthread_mutex_unlock(&connection->memory_lock);
	return ret;
}

void service_remove(struct connection *connection, uint64_t iova)
{
	pthread_mutex_lock(&connection->memory_lock);
	mappings_remove(connection->memory, iova, NULL);
	pthread_mutex_unlock(&connection->memory_lock);
}

/* One piece of what is asked for, as far as it lies in one mapping. Return: its size, or 0. */
static size_t find_piece(const struct connection *connection, uint64_t iova, size_t size,
			 uint32_t flag, uint8_t **at)
{
	struct mapping mapping;
	uint64_t behind;

	if (!mappings_by_iova(connection->memory, iova, &mapping) || !(mapping.flags & flag))
		return 0;
	behind = mapping.size - (iova - mapping.iova);
	*at = (uint8_t *)(uintptr_t)(mapping.vaddr + (iova - mapping.iova));
	return size < behind ? size : behind;
}

/* All of it, or nothing. */
static int check(const struct connection *connection, uint64_t iova, size_t size, uint32_t flag)
{
	uint8_t *at;
	size_t piece;

	for (; size; iova += piece, size -= piece) {
		piece = find_piece(connection, iova, size, flag, &at);
		if (!piece)
			return -EFAULT;
	}
	return 0;
}

static int copy(struct connection *connection, uint64_t iova, uint8_t *bytes, size_t size,
		bool write)
{
	uint32_t flag = write ? VFIOEXT_DMA_WRITE : VFIOEXT_DMA_READ;
	uint8_t *at = NULL;
	size_t piece;
	int ret;

	pthread_mutex_lock(&connection->memory_lock);
	ret = check(connection, iova, size, flag);
	for (; !ret && size; iova += piece, bytes += piece, size -= piece) {
		piece = find_piece(connection, iova, size, flag, &at);
		if (!piece)
			ret = -EFAULT;
		else if (write)
			memcpy(at, bytes, piece);
		else
			memcpy(bytes, at, piece);
	}
	pthread_mutex_unlock(&connection->memory_lock);
	return ret;
}

/* What the message says agrees with itself. */
static int check_access(const struct message *message, struct vfio_user_dma_access *access)
{
	bool write = message->header.command == VFIO_USER_DMA_WRITE;

	if (!write && message->header.command != VFIO_USER_DMA_READ)
		return -ENOSYS;
	if (message->size < sizeof(*access))
		return -EINVAL;
	memcpy(access, message->body, sizeof(*access));
	if (access->count > CHANNEL_DATA_MAX)
		return -E2BIG;
	if (message->size - sizeof(*access) != (write ? access->count : 0))
		return -EINVAL;
	return access->address + access->count < access->address ? -EINVAL : 0;
}

int service_answer(struct connection *connection, struct channel *channel,
		   const struct message *message)
{
	bool write = message->header.command == VFIO_USER_DMA_WRITE;
	bool silent = message->header.flags & VFIO_USER_NO_REPLY;
	struct vfio_user_dma_access access;
	size_t mark = channel->out_end;
	uint8_t *body;
	int ret;

	ret = check_access(message, &access);
	if (!ret && write)
		ret = copy(connection, access.address, message->body + sizeof(access),
			   access.count, true);
	if (silent)
		return 0;
	if (ret)
		return channel_answer_error(channel, &message->header, ret);
	body = channel_answer(channel, &message->header, sizeof(access) + (write ? 0 : access.count));
	if (!body)
		return -ENOMEM;
	memcpy(body, &access, sizeof(access));
	if (!write)
		ret = copy(connection, access.address, body + sizeof(access), access.count, false);
	if (!ret)
		return 0;
	channel_rewind(channel, mark);
	return channel_answer_error(channel, &message->header, ret);
}

/* Nobody else uses it, so there is nothing to be done until all is sent. */
static int flush_twin(struct channel *twin)
{
	uint64_t deadline_ms = share_now_ms() + ANSWER_MS;
	struct pollfd poll_for = { .fd = twin->fd, .events = POLLOUT };
	int ret;

	while ((ret = channel_flush(twin)) == -EAGAIN) {
		if (share_now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		poll(&poll_for, 1, 100);
	}
	return ret;
}

static int serve_twin(struct connection *connection)
{
	struct channel *twin = &connection->twin;
	struct message message;
	int ret;

	ret = channel_receive(twin, false);
	if (ret == -EAGAIN)
		return 0;
	while (!ret && (ret = channel_next(twin, &message)) > 0) {
		ret = (message.header.flags & VFIO_USER_TYPE) == VFIO_USER_COMMAND ?
		      service_answer(connection, twin, &message) : -EPROTO;
		channel_done(twin, &message);
		if (!ret)
			ret = flush_twin(twin);
	}
	if (!ret && twin->end)
		ret = -ECONNRESET;
	return ret;
}

static void *serve(void *data)
{
	struct connection *connection = data;
	bool twin = connection->twin.fd >= 0;
	struct pollfd fds[2] = {
		{ .fd = twin ? connection->twin.fd : connection->channel.fd, .events = POLLIN },
		{ .fd = connection->stop, .events = POLLIN },
	};
	int ret;

	while (!connection->is_dead) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			break;
		ret = twin ? serve_twin(connection) : 0;
		if (ret)
			connection_fail(connection, ret, "the second socket");
		if (!twin && !connection_try_serve(connection))
			usleep(BUSY_US);
	}
	return NULL;
}

/* Signals are for the program's own threads, but for those that a thread brings on itself. */
static int create(struct connection *connection)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	ret = -pthread_create(&connection->thread, NULL, serve, connection);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

int service_start(struct connection *connection)
{
	int ret = 0;

	pthread_mutex_lock(&connection->thread_lock);
	if (!connection->has_thread)
		ret = create(connection);
	connection->has_thread |= !ret;
	pthread_mutex_unlock(&connection->thread_lock);
	return ret;
}

void service_stop(struct connection *connection)
{
	if (!connection->has_thread)
		return;
	eventfd_write(connection->stop, 1);
	pthread_join(connection->thread, NULL);
	connection->has_thread = false;
}
