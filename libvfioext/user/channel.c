// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "channel.h"

#define ROOM_MIN 65536u

/*
 * A unix socket takes so much in one piece or not at all. What is sent in pieces of it
 * is cut between messages, as QEMU wants all of a header at once.
 */
#define PIECE_MAX 32768u

/* The largest that Linux has. */
#define ERRNO_MAX 4095

/*
 * How long a receive that waits does at most: what ends a connection wakes it, and so this
 * is only how late it may notice that a deadline is over.
 */
#define PATIENCE_US 100000

int channel_open(struct channel *channel, int fd, struct closer *closer)
{
	const struct timeval patience = { .tv_usec = PATIENCE_US };
	int flags = fcntl(fd, F_GETFL);

	memset(channel, 0, sizeof(*channel));
	channel->fd = -1;
	channel->closer = closer;
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -errno;
	channel->in = malloc(ROOM_MIN);
	channel->out = malloc(ROOM_MIN);
	if (!channel->in || !channel->out) {
		channel_close(channel);
		return -ENOMEM;
	}
	channel->in_room = ROOM_MIN;
	channel->in_max = CHANNEL_MESSAGE_MAX;
	channel->out_room = ROOM_MIN;
	channel->fd = fd;
	return 0;
}

static void close_passed(struct channel *channel, struct passed *passed)
{
	size_t i;

	for (i = 0; i < passed->nr; i++)
		if (passed->fds[i] >= 0)
			closer_close(channel->closer, passed->fds[i]);
	memset(passed, 0, sizeof(*passed));
}

/* They are sent, or are not to be. */
static void drop_out_fds(struct channel *channel)
{
	size_t i;

	for (i = 0; channel->own_out_fds && i < channel->nr_out_fds; i++)
		close(channel->out_fds[i]);
	channel->own_out_fds = false;
	channel->nr_out_fds = 0;
}

void channel_close(struct channel *channel)
{
	while (channel->nr_passed)
		close_passed(channel, &channel->passed[--channel->nr_passed]);
	drop_out_fds(channel);
	free(channel->in);
	free(channel->out);
	if (channel->fd >= 0)
		close(channel->fd);
	memset(channel, 0, sizeof(*channel));
	channel->fd = -1;
}

/* Of what is in the buffer; need not be aligned there. */
static struct vfio_user_header header_at(const uint8_t *at)
{
	struct vfio_user_header header;

	memcpy(&header, at, sizeof(header));
	return header;
}

static size_t received(const struct channel *channel)
{
	return channel->in_end - channel->in_begin;
}

/* Room for the rest of the first message, or for more behind it if all of it is there. */
static int make_room(struct channel *channel)
{
	size_t left = received(channel), needed = ROOM_MIN, size;
	uint8_t *more;

	if (left >= sizeof(struct vfio_user_header)) {
		size = header_at(channel->in + channel->in_begin).size;
		if (size > channel->in_max)
			return -EPROTO;
		needed = size > left ? size : left + ROOM_MIN / 2;
	}
	/* It grows to what one message needs, wherever in it that one begins. */
	if (channel->in_begin && (!left || channel->in_room - channel->in_end < ROOM_MIN / 2 ||
				  channel->in_room - channel->in_begin < needed)) {
		memmove(channel->in, channel->in + channel->in_begin, left);
		channel->in_begin = 0;
		channel->in_end = left;
	}
	if (needed <= channel->in_room)
		return 0;
	more = realloc(channel->in, needed);
	if (!more)
		return -ENOMEM;
	channel->in = more;
	channel->in_room = needed;
	return 0;
}

/* Those that are too many the kernel has not let in, and says so. */
static void take_fds(struct msghdr *msg, struct passed *passed)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		passed->nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(passed->fds, CMSG_DATA(cmsg), passed->nr * sizeof(int));
	}
	passed->lost = msg->msg_flags & MSG_CTRUNC;
}

int channel_receive(struct channel *channel, bool wait)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(CHANNEL_FDS * sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct passed *passed;
	ssize_t size;
	int ret;

	if (channel->end)
		return 0;
	/* So many within one message are of no use to anybody. */
	if (!channel_has_fd_room(channel))
		close_passed(channel, &channel->passed[--channel->nr_passed]);
	passed = &channel->passed[channel->nr_passed];
	ret = make_room(channel);
	if (ret)
		return ret;
	iov.iov_base = channel->in + channel->in_end;
	iov.iov_len = channel->in_room - channel->in_end;
	/* What there is no room for the kernel closes, which waits for nobody. */
	if (!closer_is_full(channel->closer)) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	do
		size = recvmsg(channel->fd, &msg,
			       (wait ? 0 : MSG_DONTWAIT) | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR && !wait);
	if (size < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (!size) {
		channel->end = true;
		return 0;
	}
	take_fds(&msg, passed);
	if (passed->nr || passed->lost) {
		channel->nr_passed++;
		passed->begin = channel->in_position + received(channel);
		passed->end = passed->begin + (size_t)size;
		passed->owner = UINT64_MAX;
		passed->last = UINT64_MAX;
	}
	channel->in_end += (size_t)size;
	return 0;
}

bool channel_has_fd_room(const struct channel *channel)
{
	size_t i, parked = 0;

	for (i = 0; i < channel->nr_passed; i++)
		parked += channel->passed[i].nr;
	return channel->nr_passed < CHANNEL_PASSED_MAX &&
	       parked + CHANNEL_FDS <= CHANNEL_PARKED_MAX;
}

bool channel_is_cut_short(const struct channel *channel)
{
	return channel->nr_passed && received(channel) >= sizeof(struct vfio_user_header) &&
	       received(channel) > header_at(channel->in + channel->in_begin).size;
}

/* Commands and replies that descriptors make sense with. */
static bool takes_fds(const struct vfio_user_header *header)
{
	if ((header->flags & VFIO_USER_TYPE) == VFIO_USER_REPLY)
		return header->command == VFIO_USER_VERSION ||
		       header->command == VFIO_USER_DEVICE_GET_REGION_INFO ||
		       header->command == VFIO_USER_DEVICE_GET_REGION_IO_FDS;
	return header->command == VFIO_USER_DMA_MAP || header->command == VFIO_USER_DEVICE_SET_IRQS;
}

/*
 * A receive ends with the piece that descriptors came with, but may begin before it, and in the
 * middle of a message: they are those of the last message in it that can have some, whichever
 * way it was received. Where none can, they are the last one's. Each message is looked at once.
 * Return: false if that depends on a header that has not come yet.
 */
static bool find_owner(const struct channel *channel, struct passed *passed)
{
	uint64_t end = channel->in_position + received(channel);
	struct vfio_user_header header;

	if (passed->at < channel->in_position)
		passed->at = channel->in_position;
	while (passed->at < passed->end) {
		if (end - passed->at < sizeof(header))
			return channel->end;
		header = header_at(channel->in + channel->in_begin +
				   (passed->at - channel->in_position));
		/* What is no message is found out when its turn comes. */
		if (header.size < sizeof(header)) {
			passed->at = passed->end;
			break;
		}
		if (passed->at + header.size > passed->begin) {
			passed->last = passed->at;
			if (takes_fds(&header))
				passed->owner = passed->at;
		}
		passed->at += header.size;
	}
	return true;
}

/* Are there descriptors that may turn out to be those of the first message? */
static bool is_undecided(struct channel *channel)
{
	struct passed *passed = &channel->passed[0];

	return channel->nr_passed && !find_owner(channel, passed) &&
	       (passed->owner == UINT64_MAX ? passed->last : passed->owner) == channel->in_position;
}

bool channel_has_message(struct channel *channel)
{
	struct vfio_user_header header;

	if (received(channel) < sizeof(header))
		return false;
	header = header_at(channel->in + channel->in_begin);
	/* What is no message is to be found out. */
	if (header.size < sizeof(header) || header.size > channel->in_max)
		return true;
	return header.size <= received(channel) && !is_undecided(channel);
}

static void give_fds(struct channel *channel, struct message *message)
{
	struct passed *passed = &channel->passed[0];
	uint64_t end = channel->in_position + message->header.size, owner;

	message->fds = NULL;
	message->nr_fds = 0;
	message->fds_lost = false;
	if (!channel->nr_passed || !find_owner(channel, passed))
		return;
	owner = passed->owner == UINT64_MAX ? passed->last : passed->owner;
	if (owner != channel->in_position)
		return;
	message->fds = passed->fds;
	message->nr_fds = passed->nr;
	/* Those of one message come together. */
	message->fds_lost = passed->lost || (channel->nr_passed > 1 && passed[1].end <= end);
}

int channel_next(struct channel *channel, struct message *message)
{
	size_t size = received(channel);

	if (size < sizeof(message->header))
		return 0;
	message->header = header_at(channel->in + channel->in_begin);
	if (message->header.size < sizeof(message->header) ||
	    message->header.size > CHANNEL_MESSAGE_MAX)
		return -EPROTO;
	if (message->header.size > channel->in_max)
		return -EMSGSIZE;
	if (size < message->header.size || is_undecided(channel))
		return 0;
	message->body = channel->in + channel->in_begin + sizeof(message->header);
	message->size = message->header.size - sizeof(message->header);
	give_fds(channel, message);
	return 1;
}

static void drop_passed(struct channel *channel)
{
	close_passed(channel, &channel->passed[0]);
	channel->nr_passed--;
	memmove(&channel->passed[0], &channel->passed[1],
		channel->nr_passed * sizeof(channel->passed[0]));
	memset(&channel->passed[channel->nr_passed], 0, sizeof(channel->passed[0]));
}

void channel_done(struct channel *channel, struct message *message)
{
	channel->in_begin += message->header.size;
	channel->in_position += message->header.size;
	/* Given to this one, or to none that is still to come. */
	if (message->fds)
		drop_passed(channel);
	while (channel->nr_passed && channel->in_position >= channel->passed[0].end)
		drop_passed(channel);
}

bool channel_next_answer(struct channel *channel, struct message *message)
{
	size_t at, left;

	memset(message, 0, sizeof(*message));
	if (channel->answers < channel->in_position)
		channel->answers = channel->in_position;
	for (;;) {
		at = channel->in_begin + (size_t)(channel->answers - channel->in_position);
		left = channel->in_end > at ? channel->in_end - at : 0;
		if (left < sizeof(message->header))
			return false;
		message->header = header_at(channel->in + at);
		if (message->header.size < sizeof(message->header) || message->header.size > left)
			return false;
		message->body = channel->in + at + sizeof(message->header);
		message->size = message->header.size - sizeof(message->header);
		if ((message->header.flags & VFIO_USER_TYPE) == VFIO_USER_REPLY)
			return true;
		channel->answers += message->header.size;
	}
}

/* A place in the stream when something before it, or that it is in, was taken out. */
static uint64_t moved(uint64_t place, uint64_t begin, uint64_t size)
{
	if (place <= begin || place == UINT64_MAX)
		return place;
	return place - begin < size ? begin : place - size;
}

void channel_remove(struct channel *channel, const struct message *message)
{
	uint8_t *at = message->body - sizeof(message->header), *end = channel->in + channel->in_end;
	uint64_t begin = channel->in_position + (size_t)(at - (channel->in + channel->in_begin));
	struct passed *passed = channel->passed;
	size_t i, size = message->header.size;

	for (i = 0; i < channel->nr_passed; i++) {
		passed[i].begin = moved(passed[i].begin, begin, size);
		passed[i].end = moved(passed[i].end, begin, size);
		passed[i].at = moved(passed[i].at, begin, size);
		passed[i].owner = moved(passed[i].owner, begin, size);
		passed[i].last = moved(passed[i].last, begin, size);
	}
	memmove(at, at + size, (size_t)(end - at) - size);
	channel->in_end -= size;
}

static int make_out_room(struct channel *channel, size_t size)
{
	size_t room = channel->out_room;
	uint8_t *more;

	if (size <= room - channel->out_end)
		return 0;
	while (room - channel->out_end < size)
		room *= 2;
	more = realloc(channel->out, room);
	if (!more)
		return -ENOMEM;
	channel->out = more;
	channel->out_room = room;
	return 0;
}

void *channel_put(struct channel *channel, const struct vfio_user_header *header, size_t size)
{
	struct vfio_user_header own = *header;
	uint8_t *at;

	if (make_out_room(channel, sizeof(own) + size))
		return NULL;
	at = channel->out + channel->out_end;
	own.size = (uint32_t)(sizeof(own) + size);
	memcpy(at, &own, sizeof(own));
	channel->out_last = channel->out_end;
	channel->out_end += own.size;
	return at + sizeof(own);
}

void *channel_answer(struct channel *channel, const struct vfio_user_header *to, size_t size)
{
	struct vfio_user_header header = *to;

	header.flags = VFIO_USER_REPLY;
	header.error = 0;
	return channel_put(channel, &header, size);
}

int channel_answer_error(struct channel *channel, const struct vfio_user_header *to, int error)
{
	struct vfio_user_header header = *to;

	header.flags = VFIO_USER_REPLY | VFIO_USER_ERROR;
	header.error = (uint32_t)-error;
	return channel_put(channel, &header, 0) ? 0 : -ENOMEM;
}

int message_error(const struct message *message)
{
	const struct vfio_user_header *header = &message->header;

	if (!(header->flags & VFIO_USER_ERROR))
		return 0;
	return header->error && header->error <= ERRNO_MAX ? -(int)header->error : -EIO;
}

void channel_put_fds(struct channel *channel, const int *fds, size_t nr)
{
	if (!nr)
		return;
	channel->out_fds_at = channel->out_last;
	memcpy(channel->out_fds, fds, nr * sizeof(*fds));
	channel->nr_out_fds = nr;
}

int channel_put_copies(struct channel *channel, const int *fds, size_t nr)
{
	int copies[CHANNEL_FDS], ret;
	size_t i;

	if (!nr)
		return 0;
	for (i = 0; i < nr; i++) {
		copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (copies[i] < 0)
			goto err_close;
	}
	channel_put_fds(channel, copies, nr);
	channel->own_out_fds = true;
	return 0;

err_close:
	ret = -errno;
	while (i)
		close(copies[--i]);
	return ret;
}

void channel_cut(struct channel *channel, size_t size)
{
	uint8_t *at = channel->out + channel->out_last;
	struct vfio_user_header header = header_at(at);

	header.size -= (uint32_t)size;
	memcpy(at, &header, sizeof(header));
	channel->out_end -= size;
}

void channel_rewind(struct channel *channel, size_t mark)
{
	channel->out_end = mark;
	if (channel->out_fds_at >= mark)
		drop_out_fds(channel);
}

/* How much goes in one piece, and with which descriptors. */
static size_t next_piece(const struct channel *channel, bool *with_fds)
{
	size_t at = channel->out_begin, size;

	*with_fds = false;
	if (channel->out_rest)
		return channel->out_rest;
	while (at < channel->out_end) {
		if (channel->nr_out_fds && at == channel->out_fds_at) {
			if (at != channel->out_begin)
				break;
			*with_fds = true;
			return header_at(channel->out + at).size;
		}
		size = header_at(channel->out + at).size;
		if (at != channel->out_begin && at + size - channel->out_begin > PIECE_MAX)
			break;
		at += size;
	}
	return at - channel->out_begin;
}

static ssize_t send_with_fds(const struct channel *channel, const void *bytes, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(CHANNEL_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(channel->nr_out_fds * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(channel->nr_out_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), channel->out_fds, channel->nr_out_fds * sizeof(int));
	return sendmsg(channel->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t send_piece(struct channel *channel, size_t size, bool with_fds)
{
	const uint8_t *bytes = channel->out + channel->out_begin;
	ssize_t sent;

	do
		sent = with_fds ? send_with_fds(channel, bytes, size) :
				  send(channel->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

/* What is left of a message that was sent in part. */
static void count_sent(struct channel *channel, size_t sent)
{
	size_t at = channel->out_begin;

	channel->out_begin += sent;
	if (channel->out_rest) {
		at += channel->out_rest;
		channel->out_rest = 0;
	}
	while (at < channel->out_begin)
		at += header_at(channel->out + at).size;
	channel->out_rest = at - channel->out_begin;
}

/* What was sent makes room, also if there is always something left of the rest. */
static void reclaim(struct channel *channel)
{
	size_t sent = channel->out_begin;

	if (sent < ROOM_MIN || sent < channel_unsent(channel))
		return;
	memmove(channel->out, channel->out + sent, channel_unsent(channel));
	channel->out_begin = 0;
	channel->out_end -= sent;
	channel->out_last -= sent;
	channel->out_fds_at -= sent;
}

int channel_flush(struct channel *channel)
{
	bool with_fds;
	ssize_t sent;
	size_t size;

	while (channel_unsent(channel)) {
		size = next_piece(channel, &with_fds);
		sent = send_piece(channel, size, with_fds);
		if (sent < 0) {
			reclaim(channel);
			return (int)sent;
		}
		if (with_fds)
			drop_out_fds(channel);
		count_sent(channel, (size_t)sent);
	}
	channel->out_begin = 0;
	channel->out_end = 0;
	return 0;
}
