// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A transfer is asked for message by message, as large as the client takes them; what of
 * it is in files is done without. Messages go out behind the answer to the command that
 * brought them about, as clients wait for that first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../share_message.h"
#include "server.h"
#include "transfer.h"

/* So many messages wait for an answer. */
#define SENT_MAX 16

/*
 * @at: the piece that is next, and @offset in it
 * @done: NULL if it was called; @buffer is nobody's then
 * @buffer: where its bytes are
 * @id, @asked: of the message that was sent
 * @until_ms: when the client must have answered, 0: whenever it likes
 */
struct transfer {
	struct transfer *next;
	vfioext_user_dma_fn done;
	void *data;
	uint8_t *buffer;
	bool write;
	uint16_t id;
	uint64_t until_ms;
	uint64_t asked;
	uint64_t offset;
	size_t at;
	size_t nr;
	struct vfioext_user_sg list[];
};

/* Once. */
static void tell(struct vfioext_user_device *device, struct transfer *transfer, int error)
{
	vfioext_user_dma_fn done = transfer->done;

	transfer->done = NULL;
	if (done)
		done(device, error, transfer->data);
}

static void finish(struct vfioext_user_device *device, struct transfer *transfer, int error)
{
	tell(device, transfer, error);
	free(transfer);
}

static void append(struct transfer **list, struct transfer *transfer)
{
	while (*list)
		list = &(*list)->next;
	transfer->next = NULL;
	*list = transfer;
}

/* The first of them is the first to be over, and the timer is set for it. */
static void set_time(struct session *session, struct transfer *transfer)
{
	struct deadlines *deadlines = &session->timer.deadlines;

	if (!session->device->dma_ms)
		return;
	transfer->until_ms = share_now_ms() + session->device->dma_ms;
	if (!deadlines->at_ms[WAIT_DMA] || transfer->until_ms < deadlines->at_ms[WAIT_DMA])
		deadlines_set(deadlines, WAIT_DMA, transfer->until_ms);
}

int transfer_start(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
		   size_t nr, uint8_t *buffer, bool write, vfioext_user_dma_fn done, void *data)
{
	struct session *session = device->session;
	struct transfer *transfer;

	if (!session)
		return -ENOTCONN;
	if (!session->peer.max_data_xfer_size)
		return -EREMOTE;
	transfer = calloc(1, sizeof(*transfer) + nr * sizeof(*list));
	if (!transfer)
		return -ENOMEM;
	transfer->done = done;
	transfer->data = data;
	transfer->buffer = buffer;
	transfer->write = write;
	transfer->nr = nr;
	memcpy(transfer->list, list, nr * sizeof(*list));
	set_time(session, transfer);
	append(&session->queued, transfer);
	server_wake(device->server);
	return -EINPROGRESS;
}

static struct channel *way(struct session *session)
{
	return session->twin.channel.fd >= 0 ? &session->twin.channel : &session->channel;
}

/* As much of a piece as goes into one message. */
static uint64_t part_size(const struct session *session, const struct transfer *transfer)
{
	const struct vfioext_user_sg *sg = &transfer->list[transfer->at];
	uint64_t size = sg->size - transfer->offset, max = session->peer.max_data_xfer_size;

	if (max > CHANNEL_DATA_MAX)
		max = CHANNEL_DATA_MAX;
	return size < max ? size : max;
}

/* Ask for the next part. Return: 0, or -ENOMEM. */
static int ask(struct session *session, struct transfer *transfer)
{
	struct vfio_user_header header = {
		.id = session->next_id++,
		.command = transfer->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
		.flags = VFIO_USER_COMMAND,
	};
	struct vfio_user_dma_access access = {
		.address = transfer->list[transfer->at].iova + transfer->offset,
		.count = part_size(session, transfer),
	};
	size_t data = transfer->write ? access.count : 0;
	uint8_t *body = channel_put(way(session), &header, sizeof(access) + data);

	if (!body)
		return -ENOMEM;
	memcpy(body, &access, sizeof(access));
	if (data)
		memcpy(body + sizeof(access), transfer->buffer, data);
	transfer->id = header.id;
	transfer->asked = access.count;
	set_time(session, transfer);
	return 0;
}

/* On to the next part. Return: false if there is none. */
static bool advance(struct transfer *transfer, uint64_t size)
{
	transfer->buffer += size;
	transfer->offset += size;
	while (transfer->at < transfer->nr &&
	       transfer->offset == transfer->list[transfer->at].size) {
		transfer->at++;
		transfer->offset = 0;
	}
	return transfer->at < transfer->nr;
}

/* Pieces that are here need not be asked for. Return: 0, -EREMOTE if one is not, an error. */
static int do_local(struct vfioext_user_device *device, struct transfer *transfer)
{
	struct vfioext_user_sg rest;
	int ret = 0;

	while (!ret && advance(transfer, 0)) {
		rest.iova = transfer->list[transfer->at].iova + transfer->offset;
		rest.size = transfer->list[transfer->at].size - transfer->offset;
		ret = dma_access(device, &rest, 1, transfer->buffer, transfer->write);
		if (!ret)
			advance(transfer, rest.size);
	}
	return ret;
}

static void unlink_first(struct session *session)
{
	session->queued = session->queued->next;
}

/* The callback may start others. */
void transfers_send(struct session *session)
{
	struct transfer *transfer;
	int ret;

	while (session->queued && session->nr_sent < SENT_MAX && !channel_is_clogged(way(session))) {
		transfer = session->queued;
		unlink_first(session);
		ret = do_local(session->device, transfer);
		if (ret == -EREMOTE)
			ret = ask(session, transfer);
		else if (!ret)
			ret = 1;
		if (ret) {
			finish(session->device, transfer, ret < 0 ? ret : 0);
			continue;
		}
		append(&session->sent, transfer);
		session->nr_sent++;
	}
	twin_flush(session);
}

void transfers_fail(struct session *session, int error)
{
	struct transfer *transfer;

	while ((transfer = session->sent ? session->sent : session->queued) != NULL) {
		if (session->sent)
			session->sent = transfer->next;
		else
			session->queued = transfer->next;
		finish(session->device, transfer, error);
	}
	session->nr_sent = 0;
}

/* What is begun by those who are told of it is none of these. */
void transfers_abandon(struct session *session, int error)
{
	struct transfer *transfer, *queued = session->queued;

	session->queued = NULL;
	for (transfer = session->sent; transfer; transfer = transfer->next)
		tell(session->device, transfer, error);
	while (queued) {
		transfer = queued;
		queued = transfer->next;
		finish(session->device, transfer, error);
	}
}

static bool is_late(const struct transfer *transfer, uint64_t now_ms)
{
	return transfer->done && transfer->until_ms && transfer->until_ms <= now_ms;
}

/* Those whose message is on its way stay until it is answered, for nobody. */
static bool expire_one(struct session *session, uint64_t now_ms)
{
	struct transfer *transfer, **at;

	for (transfer = session->sent; transfer; transfer = transfer->next) {
		if (is_late(transfer, now_ms)) {
			tell(session->device, transfer, -ETIMEDOUT);
			return true;
		}
	}
	for (at = &session->queued; (transfer = *at) != NULL; at = &transfer->next) {
		if (is_late(transfer, now_ms)) {
			*at = transfer->next;
			finish(session->device, transfer, -ETIMEDOUT);
			return true;
		}
	}
	return false;
}

static uint64_t first_of(const struct transfer *transfer, uint64_t first_ms)
{
	for (; transfer; transfer = transfer->next)
		if (transfer->done && transfer->until_ms &&
		    (!first_ms || transfer->until_ms < first_ms))
			first_ms = transfer->until_ms;
	return first_ms;
}

/* Whoever is told may begin others, and the lists are looked through anew. */
void transfers_expire(struct session *session, uint64_t now_ms)
{
	uint64_t next;

	while (expire_one(session, now_ms))
		;
	next = first_of(session->queued, first_of(session->sent, 0));
	deadlines_set(&session->timer.deadlines, WAIT_DMA, next);
}

static struct transfer *take_sent(struct session *session, const struct vfio_user_header *header)
{
	struct transfer **at = &session->sent, *transfer;
	uint16_t command;

	for (; (transfer = *at) != NULL; at = &transfer->next) {
		command = transfer->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ;
		if (transfer->id != header->id || command != header->command)
			continue;
		*at = transfer->next;
		session->nr_sent--;
		return transfer;
	}
	return NULL;
}

/*
 * How much the client says it did. The specification has 4 bytes for the count of what
 * was written in one place, and 8 in another.
 */
static uint64_t answered(const struct transfer *transfer, const struct message *message)
{
	struct vfio_user_dma_access access;
	uint32_t count;

	if (message->size >= sizeof(access)) {
		memcpy(&access, message->body, sizeof(access));
		return access.count;
	}
	if (!transfer->write || message->size < sizeof(access.address) + sizeof(count))
		return 0;
	memcpy(&count, message->body + sizeof(access.address), sizeof(count));
	return count;
}

/* Return: how many bytes were transferred, or an error. */
static ssize_t take_answer(const struct transfer *transfer, const struct message *message)
{
	size_t fixed = sizeof(struct vfio_user_dma_access);
	int error = message_error(message);
	uint64_t count;

	if (error)
		return error;
	count = answered(transfer, message);
	if (!count || count > transfer->asked)
		return -EPROTO;
	if (transfer->write)
		return (ssize_t)count;
	if (message->size - fixed < count)
		return -EPROTO;
	memcpy(transfer->buffer, message->body + fixed, count);
	return (ssize_t)count;
}

int transfer_answer(struct session *session, const struct message *message)
{
	struct transfer *transfer;
	ssize_t done;
	int ret;

	if ((message->header.flags & VFIO_USER_TYPE) != VFIO_USER_REPLY)
		return -EPROTO;
	transfer = take_sent(session, &message->header);
	if (!transfer)
		return -EPROTO;
	if (!transfer->done) {
		free(transfer);
		return 0;
	}
	done = take_answer(transfer, message);
	if (done > 0 && advance(transfer, (uint64_t)done)) {
		transfer->next = session->queued;
		session->queued = transfer;
		return 0;
	}
	ret = done < 0 ? (int)done : 0;
	finish(session->device, transfer, ret);
	return 0;
}
