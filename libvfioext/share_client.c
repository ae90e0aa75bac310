// SPDX-License-Identifier: LGPL-2.1-or-later
/* Clients: their places, and how long they are waited for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "share.h"
#include "share_message.h"

/* Memory is being mapped meanwhile. */
#define AGAIN_MS 10

int share_clients_init(struct vfioext_share *share)
{
	unsigned int i;

	TAILQ_INIT(&share->free);
	TAILQ_INIT(&share->fresh);
	TAILQ_INIT(&share->waiting);
	share->clients = calloc(share->options.clients_max, sizeof(*share->clients));
	if (!share->clients)
		return -ENOMEM;
	for (i = 0; i < share->options.clients_max; i++) {
		share->clients[i].fd = -1;
		share->clients[i].list = &share->free;
		TAILQ_INSERT_TAIL(&share->free, &share->clients[i], link);
	}
	return 0;
}

void share_clients_free(struct vfioext_share *share)
{
	unsigned int i;

	for (i = 0; share->clients && i < share->options.clients_max; i++)
		if (share->clients[i].fd >= 0)
			client_drop(share, &share->clients[i]);
	free(share->clients);
}

static void put_on(struct client *client, struct client_list *list)
{
	if (client->list)
		TAILQ_REMOVE(client->list, client, link);
	if (list)
		TAILQ_INSERT_TAIL(list, client, link);
	client->list = list;
}

struct client *client_new(struct vfioext_share *share, int fd, bool old,
			  const struct ucred *peer)
{
	struct client *client = TAILQ_FIRST(&share->free);

	if (!client)
		return NULL;
	put_on(client, &share->fresh);
	client->fd = fd;
	client->peer = *peer;
	client->old = old;
	client->polled = false;
	client->half = false;
	client->again = false;
	client->current = false;
	client->phase = SHARE_PHASE_HELLO;
	client->container = NULL;
	client->group = 0;
	client->at = 0;
	client->iova = 0;
	share->nr_clients++;
	return client;
}

/*
 * Closing takes it out of the epoll, but for a child's copy: see share.h. That would keep
 * the client from hearing of it, too; with the old protocol it has its answer.
 */
void client_drop(struct vfioext_share *share, struct client *client)
{
	if (client->phase == SHARE_PHASE_ATTACHED)
		share_log(share, "process %d of user %u is detached", client->peer.pid,
			  client->peer.uid);
	if (!client->old)
		shutdown(client->fd, SHUT_RDWR);
	close(client->fd);
	client->fd = -1;
	client->number++;
	free(client->events);
	client->events = NULL;
	client->nr_events = 0;
	free(client->groups);
	client->groups = NULL;
	client->nr_groups = 0;
	client->first_event = 0;
	put_on(client, &share->free);
	share->nr_clients--;
}

bool client_run(struct vfioext_share *share, struct client *client)
{
	int ret = client->old ? share_serve_old(share, client) : share_serve_own(share, client);

	if (ret == -EAGAIN)
		return true;
	if (ret == -EBUSY) {
		client->again = true;
		share->again = true;
		share_set_timer(share, share_now_ms() + AGAIN_MS, true);
	}
	if (ret == -EINPROGRESS || ret == -EBUSY) {
		if (client->list == &share->waiting)
			put_on(client, NULL);
		return true;
	}
	if (ret)
		share_log(share, "process %d of user %u is dropped: %s", client->peer.pid,
			  client->peer.uid, strerror(-ret));
	client_drop(share, client);
	return false;
}

void share_set_timer(struct vfioext_share *share, uint64_t deadline_ms, bool anew)
{
	struct itimerspec time = {
		.it_value.tv_sec = (time_t)(deadline_ms / 1000),
		.it_value.tv_nsec = (long)(deadline_ms % 1000 * 1000000 + 1),
	};

	if (share->timed && !anew)
		return;
	share->timed = !timerfd_settime(share->timer, TFD_TIMER_ABSTIME, &time, NULL);
}

static uint64_t source_of(const struct vfioext_share *share, const struct client *client)
{
	return (uint64_t)client->number << 32 | (uint32_t)(client - share->clients);
}

/* Of a client that has nothing to get, room to send to it is no news. */
static int keep(struct vfioext_share *share, struct client *client)
{
	uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET | (client->old ? 0 : EPOLLOUT);
	int ret = share_poll(share, client->fd, events, source_of(share, client));

	if (ret)
		return ret;
	client->polled = true;
	if (client->phase != SHARE_PHASE_HELLO) {
		put_on(client, NULL);
		return 0;
	}
	client->deadline_ms = share_now_ms() + share->options.timeout_ms;
	put_on(client, &share->waiting);
	share_set_timer(share, client->deadline_ms, false);
	return 0;
}

void clients_keep(struct vfioext_share *share)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&share->fresh)) != NULL) {
		if (client_run(share, client) && keep(share, client))
			client_drop(share, client);
	}
}

/* A report on a client that is not there any longer is none. */
void clients_on_event(struct vfioext_share *share, uint64_t source)
{
	uint32_t place = (uint32_t)source;
	struct client *client;

	if (place >= share->options.clients_max)
		return;
	client = &share->clients[place];
	if (client->fd >= 0 && client->number == source >> 32)
		client_run(share, client);
}

void clients_try_again(struct vfioext_share *share)
{
	struct client *client;
	unsigned int i;

	if (!share->again)
		return;
	share->again = false;
	for (i = 0; i < share->options.clients_max; i++) {
		client = &share->clients[i];
		if (client->fd < 0 || !client->again)
			continue;
		client->again = false;
		client_run(share, client);
	}
}

void clients_on_timer(struct vfioext_share *share)
{
	uint64_t now = share_now_ms();
	struct client *client;

	while ((client = TAILQ_FIRST(&share->waiting)) != NULL && client->deadline_ms <= now) {
		share_log(share, "process %d of user %u took too long", client->peer.pid,
			  client->peer.uid);
		share_tell_error(client->fd, client->old, -ETIMEDOUT);
		client_drop(share, client);
	}
	if (client)
		share_set_timer(share, client->deadline_ms, false);
}
