/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection of vfio-user: one receive takes all that is there, and messages go out
 * together.
 */
#ifndef LIBVFIOEXT_USER_CHANNEL_H
#define LIBVFIOEXT_USER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer_file.h"
#include "wire.h"

/* In one message; QEMU takes no more. */
#define CHANNEL_FDS 16

/* Data of one message, and what stands before it. */
#define CHANNEL_DATA_MAX 0x100000u
#define CHANNEL_MESSAGE_MAX (CHANNEL_DATA_MAX + 4096)

/* Where there is more to be sent, nothing more is to be done for the peer. */
#define CHANNEL_UNSENT_MAX 0x40000u

/*
 * So many messages with descriptors can be received before the first is dealt with, and no more
 * while there may be so many descriptors: those of two messages.
 */
#define CHANNEL_PASSED_MAX 32
#define CHANNEL_PARKED_MAX 32u

/*
 * Descriptors that came with the bytes from @begin to @end of the stream.
 * @at: the message that is to be looked at next to find out whose they are; all before it were
 * @owner: the last of them that can have some, @last: the last of them; UINT64_MAX for none
 * @lost: there were more than could be taken
 */
struct passed {
	uint64_t begin;
	uint64_t end;
	uint64_t at;
	uint64_t owner;
	uint64_t last;
	int fds[CHANNEL_FDS];
	size_t nr;
	bool lost;
};

/*
 * @in: what was received from @in_begin to @in_end; @in_position is where in the
 *	stream @in_begin is
 * @in_max: messages are no larger
 * @answers: there are no answers before it in the stream
 * @passed: in the order they came in; the first is that of the message that begins at
 *	@in_begin, or behind it
 * @out: what is to be sent; a part of the first message may be sent already, its rest
 *	is @out_rest
 * @out_last: the last message
 * @out_fds: go with the message at @out_fds_at; @own_out_fds: they are the channel's
 * @closer: for descriptors that nobody took; the owner's
 * @end: the peer sends nothing more
 */
struct channel {
	int fd;
	uint8_t *in;
	size_t in_room;
	size_t in_begin;
	size_t in_end;
	uint64_t in_position;
	size_t in_max;
	uint64_t answers;
	struct passed passed[CHANNEL_PASSED_MAX];
	size_t nr_passed;
	uint8_t *out;
	size_t out_room;
	size_t out_begin;
	size_t out_end;
	size_t out_rest;
	size_t out_last;
	size_t out_fds_at;
	int out_fds[CHANNEL_FDS];
	size_t nr_out_fds;
	struct closer *closer;
	bool own_out_fds;
	bool end;
};

/*
 * A message that came, good until the next call.
 * @fds: belong to who takes them, and sets them to -1: the rest is closed by
 *	channel_done()
 * @fds_lost: there were more than could be taken
 */
struct message {
	struct vfio_user_header header;
	uint8_t *body;
	size_t size;
	int *fds;
	size_t nr_fds;
	bool fds_lost;
};

/*
 * It is the channel's from then on, and does not block. @closer: what closes descriptors of
 * the peer's. Return: 0, -ENOMEM, an error.
 */
int channel_open(struct channel *channel, int fd, struct closer *closer);
void channel_close(struct channel *channel);

/*
 * Take what is there, once; if there is nothing, and the caller can wait, wait for a
 * tenth of a second at most. Return: 0, -EAGAIN if nothing came, or an error; see @end.
 */
int channel_receive(struct channel *channel, bool wait);

/*
 * Did a receive end with descriptors, behind another message? Then the client sends without
 * waiting for answers, and has sent more by now.
 */
bool channel_is_cut_short(const struct channel *channel);

/*
 * Return: 1 and a message, 0 if none is there, -EPROTO if what is there is none, -EMSGSIZE and a
 * header alone if it is larger than @in_max.
 */
int channel_next(struct channel *channel, struct message *message);

/* The message is done with. */
void channel_done(struct channel *channel, struct message *message);

/*
 * The first answer, behind whatever commands that have to wait: what they wait for may be
 * what it brings. It has no descriptors. Return: false if there is none.
 */
bool channel_next_answer(struct channel *channel, struct message *message);

/* That answer is done with. */
void channel_remove(struct channel *channel, const struct message *message);

/*
 * Begin a message: room for its body, which must be filled before any other call. The
 * size in the header is set. Return: NULL without memory.
 */
void *channel_put(struct channel *channel, const struct vfio_user_header *header, size_t size);

/*
 * Begin the answer to a command; otherwise as channel_put().
 * channel_answer_error(): it failed, and a header alone says so. Return: 0, or -ENOMEM.
 */
void *channel_answer(struct channel *channel, const struct vfio_user_header *to, size_t size);
int channel_answer_error(struct channel *channel, const struct vfio_user_header *to, int error);

/* Return: the error that an answer tells of, or 0. */
int message_error(const struct message *message);

/*
 * Let the last message have descriptors, which stay the caller's and must be good until
 * it is sent. While a message that has some is not sent, there can be no other.
 */
void channel_put_fds(struct channel *channel, const int *fds, size_t nr);

/* Likewise, with copies, which are the channel's own. Return: 0, or an error. */
int channel_put_copies(struct channel *channel, const int *fds, size_t nr);

/* Shorten the last message by so many bytes. */
void channel_cut(struct channel *channel, size_t size);

/* Drop what was put since @out_end was there; nothing was sent since. */
void channel_rewind(struct channel *channel, size_t mark);

/* Return: 0 if all is sent, -EAGAIN if some is left, or an error. */
int channel_flush(struct channel *channel);

static inline size_t channel_unsent(const struct channel *channel)
{
	return channel->out_end - channel->out_begin;
}

/* May the next message be dealt with, or are others to be sent before? */
static inline bool channel_is_clogged(const struct channel *channel)
{
	return channel->nr_out_fds || channel_unsent(channel) > CHANNEL_UNSENT_MAX;
}

/* Is there room for the descriptors of one message more? */
bool channel_has_fd_room(const struct channel *channel);

/* Can more be received while the first message has to wait? */
static inline bool channel_has_room(const struct channel *channel)
{
	return channel->in_end - channel->in_begin < CHANNEL_MESSAGE_MAX &&
	       channel_has_fd_room(channel);
}

/* Does the buffer hold a whole message, for which nothing more is to be waited for? */
bool channel_has_message(struct channel *channel);

/* Has a message begun whose end is to come? */
static inline bool channel_is_within(const struct channel *channel)
{
	return channel->in_end != channel->in_begin;
}

#endif
