// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../mappings.h"
#include "../share_message.h"
#include "connection.h"

/* A server that does not take so much of what it asked for is given up. */
#define UNSENT_MAX 0x2000000u

int connection_open(struct connection *connection, int fd)
{
	int ret;

	memset(connection, 0, sizeof(*connection));
	pthread_mutex_init(&connection->lock, NULL);
	pthread_mutex_init(&connection->memory_lock, NULL);
	pthread_mutex_init(&connection->thread_lock, NULL);
	capabilities_init(&connection->peer);
	connection->channel.fd = -1;
	connection->twin.fd = -1;
	connection->stop = -1;
	connection->closer = closer_new();
	ret = connection->closer ? channel_open(&connection->channel, fd, connection->closer) : -ENOMEM;
	if (ret) {
		close(fd);
		return ret;
	}
	connection->memory = mappings_new();
	if (!connection->memory)
		return -ENOMEM;
	connection->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return connection->stop < 0 ? -errno : 0;
}

/* Who waits on a socket is woken up; both stay open as long as somebody may use them. */
static void hang_up(const struct connection *connection)
{
	shutdown(connection->channel.fd, SHUT_RDWR);
	if (connection->twin.fd >= 0)
		shutdown(connection->twin.fd, SHUT_RDWR);
}

void connection_die(struct connection *connection, int error, const char *format, ...)
{
	va_list args;

	if (atomic_exchange(&connection->is_dying, true))
		return;
	connection->error = error;
	va_start(args, format);
	vsnprintf(connection->reason, sizeof(connection->reason), format, args);
	va_end(args);
	atomic_store(&connection->is_dead, true);
	hang_up(connection);
	if (connection->lost)
		connection->lost(connection->data);
}

void connection_shut(struct connection *connection)
{
	if (!atomic_exchange(&connection->is_dying, true)) {
		connection->error = -ENODEV;
		snprintf(connection->reason, sizeof(connection->reason), "it was closed");
		atomic_store(&connection->is_dead, true);
		hang_up(connection);
	}
	service_stop(connection);
}

void connection_close(struct connection *connection)
{
	channel_close(&connection->twin);
	channel_close(&connection->channel);
	closer_free(connection->closer);
	mappings_free(connection->memory);
	if (connection->stop >= 0)
		close(connection->stop);
	pthread_mutex_destroy(&connection->thread_lock);
	pthread_mutex_destroy(&connection->memory_lock);
	pthread_mutex_destroy(&connection->lock);
}

bool connection_is_lost(struct connection *connection)
{
	struct pollfd poll_for = { .fd = connection->channel.fd, .events = POLLRDHUP };

	if (!connection->is_dead && poll(&poll_for, 1, 0) == 1)
		connection_die(connection, -ECONNRESET, "its server has gone");
	return connection->is_dead;
}

static int died(const struct connection *connection)
{
	return connection->is_dead ? -ENODEV : 0;
}

/* Is a time over that the server had? */
static bool is_late(struct connection *connection, uint64_t deadline_ms, unsigned int timeout_ms)
{
	if (share_now_ms() < deadline_ms)
		return false;
	connection_die(connection, -ETIMEDOUT, "its server was silent for %u s", timeout_ms / 1000);
	return true;
}

void connection_fail(struct connection *connection, int error, const char *what)
{
	if (error == -ECONNRESET || error == -EPIPE)
		connection_die(connection, -ECONNRESET, "its server has gone");
	else
		connection_die(connection, error, "%s: %s", what, strerror(-error));
}

/* What is there, once. @wait: for a tenth of a second at most. */
static void receive(struct connection *connection, bool wait)
{
	int ret = channel_receive(&connection->channel, wait);

	if (ret && ret != -EAGAIN)
		connection_fail(connection, ret, "receiving");
}

/* A message that waits; the server's end only when there is none. */
static bool next(struct connection *connection, struct message *message)
{
	int ret = channel_next(&connection->channel, message);

	if (ret < 0)
		connection_die(connection, ret, "its server sends what is no message");
	else if (!ret && connection->channel.end)
		connection_die(connection, -ECONNRESET, "its server has gone");
	return ret > 0;
}

static bool is_command(const struct message *message)
{
	return (message->header.flags & VFIO_USER_TYPE) == VFIO_USER_COMMAND;
}

static void answer(struct connection *connection, const struct message *message)
{
	int ret;

	if (channel_unsent(&connection->channel) > UNSENT_MAX) {
		connection_die(connection, -ENOBUFS, "its server does not take what it asked for");
		return;
	}
	ret = service_answer(connection, &connection->channel, message);
	if (ret)
		connection_die(connection, ret, "answering its server: %s", strerror(-ret));
}

/* All that came, none of which can be an answer. */
static void serve(struct connection *connection)
{
	struct message message;

	while (!connection->is_dead && next(connection, &message)) {
		if (is_command(&message))
			answer(connection, &message);
		else
			connection_die(connection, -EPROTO, "its server answers what it was not asked");
		channel_done(&connection->channel, &message);
	}
}

/* Return: false if some is left. */
static bool flush(struct connection *connection)
{
	int ret = channel_flush(&connection->channel);

	if (ret && ret != -EAGAIN)
		connection_fail(connection, ret, "sending");
	return !ret;
}

/* Both sides may have so much to send that one has to take some first. */
static void wait_for_room(struct connection *connection)
{
	struct pollfd poll_for = { .fd = connection->channel.fd, .events = POLLIN | POLLOUT };

	if (poll(&poll_for, 1, 10) == 1 && poll_for.revents & ~POLLOUT)
		receive(connection, false);
}

/* While no answer is waited for. */
static void send_all(struct connection *connection)
{
	uint64_t deadline_ms = 0;

	while (!connection->is_dead && !flush(connection)) {
		if (!deadline_ms)
			deadline_ms = share_now_ms() + ANSWER_MS;
		if (connection->is_dead || is_late(connection, deadline_ms, ANSWER_MS))
			break;
		wait_for_room(connection);
		serve(connection);
	}
}

static bool is_answer(const struct connection *connection, const struct call *call,
		      const struct message *message)
{
	return (message->header.flags & VFIO_USER_TYPE) == VFIO_USER_REPLY &&
	       message->header.id == connection->next_id &&
	       message->header.command == call->command;
}

static int take_answer(struct call *call, struct message *message)
{
	size_t fixed = message->size < call->room ? message->size : call->room;
	int error = message_error(message);

	if (error)
		return error;
	if (message->size > call->room + call->rest_room)
		return -EPROTO;
	call->answered = message->size;
	if (fixed)
		memcpy(call->answer, message->body, fixed);
	if (message->size > fixed)
		memcpy(call->rest, message->body + fixed, message->size - fixed);
	if (call->fd && message->nr_fds) {
		*call->fd = message->fds[0];
		message->fds[0] = -1;
	}
	return 0;
}

static int wait_for_answer(struct connection *connection, struct call *call)
{
	uint64_t deadline_ms = share_now_ms() + call->timeout_ms;
	struct message message;
	int ret;

	while (!connection->is_dead) {
		if (!next(connection, &message)) {
			if (connection->is_dead || is_late(connection, deadline_ms, call->timeout_ms))
				break;
			if (flush(connection))
				receive(connection, true);
			else if (!connection->is_dead)
				wait_for_room(connection);
			continue;
		}
		if (!is_command(&message)) {
			ret = -ENODEV;
			if (is_answer(connection, call, &message))
				ret = take_answer(call, &message);
			else
				connection_die(connection, -EPROTO,
					       "its server answers what it was not asked");
			channel_done(&connection->channel, &message);
			return ret;
		}
		answer(connection, &message);
		channel_done(&connection->channel, &message);
		if (is_late(connection, deadline_ms, call->timeout_ms))
			break;
	}
	return -ENODEV;
}

/* A descriptor that is none would be an error of the socket's. */
static int check_fds(const struct call *call)
{
	size_t i;

	for (i = 0; i < call->nr_fds; i++)
		if (fcntl(call->fds[i], F_GETFD) < 0)
			return -errno;
	return 0;
}

static int put(struct connection *connection, const struct call *call, uint32_t flags)
{
	struct vfio_user_header header = {
		.id = ++connection->next_id,
		.command = call->command,
		.flags = VFIO_USER_COMMAND | flags,
	};
	uint8_t *body = channel_put(&connection->channel, &header, call->size + call->data_size);

	if (!body)
		return -ENOMEM;
	if (call->size)
		memcpy(body, call->body, call->size);
	if (call->data_size)
		memcpy(body + call->size, call->data, call->data_size);
	channel_put_fds(&connection->channel, call->fds, call->nr_fds);
	return 0;
}

int connection_call(struct connection *connection, struct call *call)
{
	int ret;

	call->answered = 0;
	pthread_mutex_lock(&connection->lock);
	ret = died(connection);
	if (!ret)
		ret = check_fds(call);
	if (!ret)
		ret = put(connection, call, 0);
	if (!ret) {
		ret = wait_for_answer(connection, call);
		/* What came with the answer the thread does not get to know of. */
		serve(connection);
		send_all(connection);
	}
	pthread_mutex_unlock(&connection->lock);
	return ret;
}

int connection_post(struct connection *connection, const struct call *call)
{
	int ret;

	pthread_mutex_lock(&connection->lock);
	ret = died(connection);
	if (!ret)
		ret = put(connection, call, VFIO_USER_NO_REPLY);
	if (!ret) {
		send_all(connection);
		ret = died(connection);
	}
	pthread_mutex_unlock(&connection->lock);
	return ret;
}

bool connection_try_serve(struct connection *connection)
{
	if (pthread_mutex_trylock(&connection->lock))
		return false;
	if (!connection->is_dead) {
		receive(connection, false);
		serve(connection);
		send_all(connection);
	}
	pthread_mutex_unlock(&connection->lock);
	return true;
}
