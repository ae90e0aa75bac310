// SPDX-License-Identifier: LGPL-2.1-or-later
/* A client: what it says is taken apart here, and answered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../share_message.h"
#include "server.h"

/* The largest VERSION. Until then nobody is to make us keep more. */
#define HELLO_MAX (sizeof(struct vfio_user_header) + sizeof(struct vfio_user_version) + \
		   VERSION_JSON_MAX)

typedef int (*command_fn)(struct session *session, struct message *message);

static struct session *session_of_twin(struct source *source)
{
	return ((struct twin *)source)->session;
}

/* 0: it is waited for no longer. */
static void set_deadline(struct session *session, enum wait what, unsigned int ms)
{
	deadlines_set(&session->timer.deadlines, what, ms ? share_now_ms() + ms : 0);
}

/* Input is of use only if something can be done with it; answers can while commands wait. */
static void update_events(struct session *session)
{
	struct channel *channel = &session->channel;
	uint32_t events = 0;

	if (!channel->end && (session->is_deferred ? channel_has_room(channel) :
						     !channel_is_clogged(channel)))
		events |= EPOLLIN;
	if (channel_unsent(channel))
		events |= EPOLLOUT;
	if (events == session->events)
		return;
	session->events = events;
	if (server_watch(session->device->server, channel->fd, events, &session->source))
		session->doomed = true;
}

static void update_twin_events(struct session *session)
{
	uint32_t events = EPOLLIN | (channel_unsent(&session->twin.channel) ? EPOLLOUT : 0);

	if (session->twin.channel.fd < 0 || events == session->twin.events)
		return;
	session->twin.events = events;
	if (server_watch(session->device->server, session->twin.channel.fd, events,
			 &session->twin.source))
		session->doomed = true;
}

void twin_flush(struct session *session)
{
	int ret;

	if (session->twin.channel.fd < 0)
		return;
	ret = channel_flush(&session->twin.channel);
	if (ret && ret != -EAGAIN)
		session->doomed = true;
	update_twin_events(session);
}

static bool wants_no_reply(const struct vfio_user_header *header)
{
	return header->flags & VFIO_USER_NO_REPLY;
}

void *session_reply(struct session *session, const struct message *message, size_t size)
{
	return channel_answer(&session->channel, &message->header, size);
}

int session_answer(struct session *session, const struct message *message, const void *data,
		   size_t size)
{
	void *body = session_reply(session, message, size);

	if (!body)
		return -ENOMEM;
	if (size)
		memcpy(body, data, size);
	return 0;
}

void session_reply_fds(struct session *session, const int *fds, size_t nr)
{
	channel_put_fds(&session->channel, fds, nr);
}

int session_give_copies(struct session *session, const int *fds, size_t nr)
{
	return channel_put_copies(&session->channel, fds, nr);
}

/* The second socket: what we keep of it, and what the client gets. */
static int make_twin(struct session *session, int *theirs)
{
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	ret = channel_open(&session->twin.channel, fds[0], session->device->closer);
	if (ret) {
		close(fds[0]);
		close(fds[1]);
		return ret;
	}
	update_twin_events(session);
	*theirs = fds[1];
	return 0;
}

/* No more than the client offers. */
static char *format_ours(const struct session *session, bool twin)
{
	struct capabilities ours = {
		.max_msg_fds = CHANNEL_FDS,
		.max_data_xfer_size = CHANNEL_DATA_MAX,
		.max_dma_maps = session->device->memory.files.limits.max_maps,
		/* A piece of a file is mapped in units of these. */
		.pgsizes = (uint64_t)sysconf(_SC_PAGESIZE),
		.write_multiple = session->peer.write_multiple,
		.twin_socket = twin,
		.twin_index = 0,
	};

	return capabilities_format(&ours);
}

static int answer_version(struct session *session, const struct message *message)
{
	struct vfio_user_version version = { VFIO_USER_MAJOR, VFIO_USER_MINOR };
	bool twin = session->peer.twin_socket && session->peer.max_msg_fds;
	char *json;
	uint8_t *body;
	size_t size;
	int theirs = -1;

	if (twin && make_twin(session, &theirs))
		twin = false;
	json = format_ours(session, twin);
	size = json ? strlen(json) + 1 : 0;
	body = session_reply(session, message, sizeof(version) + size);
	if (body) {
		memcpy(body, &version, sizeof(version));
		if (json)
			memcpy(body + sizeof(version), json, size);
	}
	free(json);
	if (!twin)
		return body ? 0 : -ENOMEM;
	if (body) {
		session_reply_fds(session, &theirs, 1);
		/* It is of a new connection, and so there is room for it. */
		if (channel_flush(&session->channel))
			session->doomed = true;
	}
	close(theirs);
	return body ? 0 : -ENOMEM;
}

/* One that did not agree on a version is not on the list of those who are to do so. */
static void unlink_waiting(struct session *session)
{
	struct session **at = &session->device->waiting;

	while (*at != session)
		at = &(*at)->next;
	*at = session->next;
	session->next = NULL;
	session->device->nr_waiting--;
}

/* The device is its own now. */
static void take_device(struct session *session)
{
	struct vfioext_user_device *device = session->device;

	unlink_waiting(session);
	session->agreed = true;
	session->channel.in_max = CHANNEL_MESSAGE_MAX;
	device->session = session;
	set_deadline(session, WAIT_VERSION, 0);
	device_log(device, "a client is attached");
	if (device->ops->attached)
		device->ops->attached(device);
}

/* The first who says what it speaks gets the device: who says nothing keeps nobody away. */
static int command_version(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	struct vfio_user_version version;
	int ret;

	if (session->agreed || message->size < sizeof(version))
		return -EINVAL;
	memcpy(&version, message->body, sizeof(version));
	if (version.major != VFIO_USER_MAJOR)
		return -EINVAL;
	ret = capabilities_parse(&session->peer, message->body + sizeof(version),
				 message->size - sizeof(version));
	if (ret)
		return ret;
	if (device->session)
		device_look_after(device);
	if (device->session)
		return -EBUSY;
	ret = answer_version(session, message);
	if (!ret)
		take_device(session);
	return ret;
}

static int command_reset(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	int ret;

	if (!device->ops->reset)
		return -ENOTSUP;
	ret = device->ops->reset(device);
	if (ret)
		return ret;
	pci_reset(device);
	return session_answer(session, message, NULL, 0);
}

static const command_fn commands[] = {
	[VFIO_USER_VERSION] = command_version,
	[VFIO_USER_DMA_MAP] = command_dma_map,
	[VFIO_USER_DMA_UNMAP] = command_dma_unmap,
	[VFIO_USER_DEVICE_GET_INFO] = command_info,
	[VFIO_USER_DEVICE_GET_REGION_INFO] = command_region_info,
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = command_region_io_fds,
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = command_irq_info,
	[VFIO_USER_DEVICE_SET_IRQS] = command_set_irqs,
	[VFIO_USER_REGION_READ] = command_region_read,
	[VFIO_USER_REGION_WRITE] = command_region_write,
	[VFIO_USER_DEVICE_RESET] = command_reset,
	[VFIO_USER_REGION_WRITE_MULTI] = command_write_multi,
	[VFIO_USER_DEVICE_FEATURE] = command_feature,
	[VFIO_USER_MIG_DATA_READ] = command_migration_read,
	[VFIO_USER_MIG_DATA_WRITE] = command_migration_write,
};

static int run_command(struct session *session, struct message *message)
{
	uint16_t command = message->header.command;
	size_t nr = sizeof(commands) / sizeof(commands[0]);

	if (!session->agreed && command != VFIO_USER_VERSION)
		return -EPROTO;
	if (message->header.flags & VFIO_USER_ERROR)
		return -EINVAL;
	if (message->fds_lost) {
		device_log_limit(session->device, LIMIT_DESCRIPTORS,
				 "a client's descriptors are lost: there are too many, or those before cannot be closed");
		return -EMFILE;
	}
	if (command >= nr || !commands[command])
		return -ENOSYS;
	return commands[command](session, message);
}

/* Without a version there is nothing more to be said. */
static void handle_command(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	struct channel *channel = &session->channel;
	size_t mark = channel->out_end;
	int ret;

	ret = run_command(session, message);
	if (ret == -EINPROGRESS) {
		session->is_deferred = true;
		session->deferred = message->header;
		set_deadline(session, WAIT_UNMAP, UNMAP_MS);
		return;
	}
	if (ret || wants_no_reply(&message->header))
		channel_rewind(channel, mark);
	if (ret && !wants_no_reply(&message->header) &&
	    channel_answer_error(channel, &message->header, ret))
		session->doomed = true;
	if (session->agreed)
		return;
	if (ret == -EBUSY)
		device_log(device, "a client is refused: another is attached");
	else
		device_log(device, "a client did not agree on a version: %s", strerror(-ret));
	session->doomed = true;
}

static void handle(struct session *session, struct message *message)
{
	uint32_t type = message->header.flags & VFIO_USER_TYPE;

	if (type == VFIO_USER_COMMAND) {
		handle_command(session, message);
	} else if (type != VFIO_USER_REPLY || session->twin.channel.fd >= 0 ||
		   transfer_answer(session, message)) {
		device_log(session->device, "a client sends what is neither a command nor an answer");
		session->doomed = true;
	}
}

/* May the next message be dealt with, if need be when others have been sent? */
static bool has_way(struct session *session)
{
	struct channel *channel = &session->channel;
	int ret = 0;

	if (channel_is_clogged(channel))
		ret = channel_flush(channel);
	if (ret && ret != -EAGAIN)
		session->doomed = true;
	return !session->doomed && !channel_is_clogged(channel);
}

/*
 * While a command waits for memory that is in use those behind it wait, too; but answers
 * do not, as the memory may be in use until they are there.
 */
static void run_answers(struct session *session)
{
	struct channel *channel = &session->channel;
	struct message message;

	while (!session->doomed && channel_next_answer(channel, &message)) {
		handle(session, &message);
		channel_remove(channel, &message);
		if (session->queued)
			transfers_send(session);
	}
}

/* No VERSION is as large as that. */
static void refuse_size(struct session *session, const struct message *message)
{
	device_log(session->device, "a client did not agree on a version: its message is too long");
	channel_answer_error(&session->channel, &message->header, -EINVAL);
}

/*
 * What was received, as far as answers go out. If there is more than a client's turn
 * allows, the rest has to wait until others have had theirs.
 */
static void run_messages(struct session *session)
{
	struct channel *channel = &session->channel;
	struct message message;
	unsigned int turn = 0;
	int ret = 0;

	while (!session->doomed && !session->is_deferred && has_way(session)) {
		if (turn++ == TURN_MAX) {
			server_wake(session->device->server);
			break;
		}
		ret = channel_next(channel, &message);
		if (ret <= 0)
			break;
		handle(session, &message);
		channel_done(channel, &message);
		if (session->queued)
			transfers_send(session);
	}
	if (session->is_deferred)
		run_answers(session);
	if (ret == -EMSGSIZE)
		refuse_size(session, &message);
	if (ret < 0)
		session->doomed = true;
}

static void session_drop(struct session *session)
{
	struct vfioext_user_device *device = session->device;

	if (session->agreed)
		device_log(device, "the client has gone");
	session_free(session);
}

/*
 * Who has begun a message is to end it; but for as long as nothing of it is taken we are whom
 * it waits for.
 */
static void watch_message(struct session *session)
{
	struct channel *channel = &session->channel;
	struct timer *timer = &session->timer;

	if (!session->agreed)
		return;
	if (session->is_deferred || channel_is_clogged(channel) || !channel_is_within(channel) ||
	    channel_has_message(channel)) {
		set_deadline(session, WAIT_MESSAGE, 0);
	} else if (!timer->deadlines.at_ms[WAIT_MESSAGE] || timer->within != channel->in_position) {
		timer->within = channel->in_position;
		set_deadline(session, WAIT_MESSAGE, MESSAGE_MS);
	}
}

/* All that was to be said is sent, if it can be, also to one that is dropped then. */
static void finish(struct session *session)
{
	struct channel *channel = &session->channel;
	int ret = channel_flush(channel);

	if (ret && ret != -EAGAIN)
		session->doomed = true;
	if (channel->end && !session->is_deferred && !channel_unsent(channel) &&
	    !channel_has_message(channel))
		session->doomed = true;
	if (!session->doomed)
		update_events(session);
	if (session->doomed)
		session_drop(session);
	else
		watch_message(session);
}

/* What was asked for is done: nobody uses the memory any longer. */
static void answer_deferred(struct session *session)
{
	const struct message command = { .header = session->deferred };

	session->is_deferred = false;
	set_deadline(session, WAIT_UNMAP, 0);
	if (!wants_no_reply(&command.header) &&
	    session_answer(session, &command, &session->deferred_unmap,
			   sizeof(session->deferred_unmap)))
		session->doomed = true;
}

void session_resume(struct session *session)
{
	if (session->is_deferred && !memory_is_dying(&session->device->memory))
		answer_deferred(session);
	transfers_send(session);
	run_messages(session);
	finish(session);
}

static bool may_receive(struct session *session)
{
	return session->is_deferred ? channel_has_room(&session->channel) :
				      !channel_has_message(&session->channel);
}

static int receive(struct session *session)
{
	int ret = channel_receive(&session->channel, false);

	if (ret && ret != -EAGAIN)
		session->doomed = true;
	return ret;
}

/*
 * What was received, and what a client that does not wait for answers has sent since: it
 * is all answered in one send.
 */
static void run(struct session *session)
{
	unsigned int receives = 0;
	bool more;

	do {
		more = channel_is_cut_short(&session->channel);
		run_messages(session);
	} while (more && !session->doomed && receives++ < RECEIVES_MAX &&
		 may_receive(session) && !receive(session));
	finish(session);
}

static void on_client(struct source *source, uint32_t events)
{
	struct session *session = (struct session *)source;

	/* It reads nothing of what it is still sent. */
	if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLIN))
		session->doomed = true;
	if (events & EPOLLOUT && channel_flush(&session->channel) == 0)
		transfers_send(session);
	if (may_receive(session))
		receive(session);
	run(session);
}

static void on_twin(struct source *source, uint32_t events)
{
	struct session *session = session_of_twin(source);
	struct channel *channel = &session->twin.channel;
	struct message message;
	int ret;

	(void)events;
	ret = channel_receive(channel, false);
	while (!ret && (ret = channel_next(channel, &message)) > 0) {
		ret = transfer_answer(session, &message);
		channel_done(channel, &message);
	}
	if ((ret < 0 && ret != -EAGAIN) || channel->end)
		session->doomed = true;
	transfers_send(session);
	finish(session);
}

/*
 * A client that waits for its memory to be unmapped may answer nothing until then, as QEMU,
 * and what the device waits for be such an answer.
 */
static void unmap_is_late(struct session *session)
{
	if (!session->is_deferred)
		return;
	device_log(session->device, "memory that the client unmaps is still in use");
	set_deadline(session, WAIT_UNMAP, UNMAP_MS);
	transfers_abandon(session, -ETIMEDOUT);
}

static void doom(struct session *session, const char *what, unsigned int ms)
{
	device_log(session->device, "a client %s for %u s", what, ms / 1000);
	session->doomed = true;
}

static void on_timer(struct source *source, uint32_t events)
{
	struct session *session = ((struct timer *)source)->session;
	struct deadlines *deadlines = &session->timer.deadlines;
	uint64_t now = share_now_ms();

	(void)events;
	if (deadlines_is_over(deadlines, WAIT_VERSION, now))
		doom(session, "said nothing", VERSION_MS);
	if (deadlines_is_over(deadlines, WAIT_MESSAGE, now))
		doom(session, "was in the middle of a message", MESSAGE_MS);
	if (deadlines_is_over(deadlines, WAIT_UNMAP, now))
		unmap_is_late(session);
	if (deadlines_is_over(deadlines, WAIT_DMA, now))
		transfers_expire(session, now);
	deadlines_go_on(deadlines);
	finish(session);
}

static bool is_trusted(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	       (peer.uid == geteuid() || !peer.uid);
}

/* The client's own descriptor stays the caller's if this fails. */
static int open_files(struct session *session, int fd)
{
	struct vfioext_user *server = session->device->server;
	struct timer *timer = &session->timer;
	int ret;

	ret = deadlines_open(&timer->deadlines);
	if (ret)
		return ret;
	set_deadline(session, WAIT_VERSION, VERSION_MS);
	ret = server_watch(server, timer->deadlines.fd, EPOLLIN, &timer->source);
	if (ret)
		goto err_timer;
	ret = channel_open(&session->channel, fd, session->device->closer);
	if (ret)
		goto err_timer;
	session->channel.in_max = HELLO_MAX;
	session->events = EPOLLIN;
	ret = server_watch(server, fd, EPOLLIN, &session->source);
	if (ret)
		goto err_channel;
	return 0;

err_channel:
	session->channel.fd = -1;
	channel_close(&session->channel);
err_timer:
	deadlines_close(&timer->deadlines);
	return ret;
}

static void link_waiting(struct session *session)
{
	struct session **at = &session->device->waiting;

	while (*at)
		at = &(*at)->next;
	*at = session;
	session->device->nr_waiting++;
}

int session_new(struct vfioext_user_device *device, int fd)
{
	struct session *session = calloc(1, sizeof(*session));
	int ret;

	if (!session)
		return -ENOMEM;
	session->source.ready = on_client;
	session->timer.source.ready = on_timer;
	session->timer.session = session;
	session->twin.source.ready = on_twin;
	session->twin.session = session;
	session->twin.channel.fd = -1;
	session->device = device;
	session->trusted = is_trusted(fd);
	capabilities_init(&session->peer);
	ret = open_files(session, fd);
	if (ret) {
		free(session);
		return ret;
	}
	link_waiting(session);
	return 0;
}

/* Of the device all goes that is the client's. */
static void detach(struct session *session)
{
	struct vfioext_user_device *device = session->device;

	device->session = NULL;
	transfers_fail(session, -ENOTCONN);
	if (device->ops->detached)
		device->ops->detached(device);
	dma_forget(device);
	irqs_detach(device);
}

void session_free(struct session *session)
{
	struct vfioext_user *server = session->device->server;

	server_forget(server, session->channel.fd, &session->source);
	server_forget(server, session->twin.channel.fd, &session->twin.source);
	server_forget(server, session->timer.deadlines.fd, &session->timer.source);
	deadlines_close(&session->timer.deadlines);
	if (session->agreed)
		detach(session);
	else
		unlink_waiting(session);
	channel_close(&session->twin.channel);
	channel_close(&session->channel);
	free(session);
}
