// SPDX-License-Identifier: LGPL-2.1-or-later
/* Clients: their places, and how long they are waited for. */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "share.h"
#include "share_message.h"

/* Memory is being mapped meanwhile. */
#define AGAIN_MS 10
/* To read what is offered takes longer than to say hello: so many times as long. */
#define OFFER_TIMES 10

int share_clients_init(struct vfioext_share *share)
{
	unsigned int i;

	TAILQ_INIT(&share->free);
	TAILQ_INIT(&share->fresh);
	TAILQ_INIT(&share->waiting);
	TAILQ_INIT(&share->offered);
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
	client->deadline_ms = 0;
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

/*
 * Onto the list of those it is waited with, with as much time as they have. Whoever is on it
 * already has no more for that, unless it is us who took it.
 */
static void wait_for(struct vfioext_share *share, struct client *client, bool anew)
{
	bool hello = client->phase == SHARE_PHASE_HELLO;
	struct client_list *list = hello ? &share->waiting : &share->offered;

	if (client->list == list && !anew)
		return;
	put_on(client, list);
	client->deadline_ms = share_now_ms() +
			      (uint64_t)share->options.timeout_ms * (hello ? 1 : OFFER_TIMES);
	share_set_timer(share, client->deadline_ms);
}

bool client_run(struct vfioext_share *share, struct client *client)
{
	bool attached = client->phase == SHARE_PHASE_ATTACHED;
	int ret = client->old ? share_serve_old(share, client) : share_serve_own(share, client);

	if (ret == -EBUSY) {
		client->again = true;
		share->again = true;
		share_set_timer(share, share_now_ms() + AGAIN_MS);
	}
	if (ret == -EAGAIN || ret == -EINPROGRESS || ret == -EBUSY) {
		/* It is on no list once it has all, and on that of fresh ones before. */
		if (client->polled && !attached)
			wait_for(share, client, ret == -EBUSY);
		return true;
	}
	if (ret)
		share_log(share, "process %d of user %u is dropped: %s", client->peer.pid,
			  client->peer.uid, strerror(-ret));
	client_drop(share, client);
	return false;
}

void share_set_timer(struct vfioext_share *share, uint64_t deadline_ms)
{
	struct itimerspec time = {
		.it_value.tv_sec = (time_t)(deadline_ms / 1000),
		.it_value.tv_nsec = (long)(deadline_ms % 1000 * 1000000 + 1),
	};

	if (share->timed && share->timer_ms <= deadline_ms)
		return;
	share->timed = !timerfd_settime(share->timer, TFD_TIMER_ABSTIME, &time, NULL);
	share->timer_ms = deadline_ms;
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
	wait_for(share, client, true);
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

/* It was sent everything: has it read that? What was told since is another matter. */
static bool has_read(const struct client *client)
{
	int unread;

	return client->phase == SHARE_PHASE_ATTACHED &&
	       (client->events || ioctl(client->fd, SIOCOUTQ, &unread) || !unread);
}

static void expire(struct vfioext_share *share, struct client_list *list, uint64_t now)
{
	struct client *client;

	while ((client = TAILQ_FIRST(list)) != NULL && client->deadline_ms <= now) {
		if (has_read(client)) {
			put_on(client, NULL);
			continue;
		}
		share_log(share, "process %d of user %u took too long", client->peer.pid,
			  client->peer.uid);
		share_tell_error(client->fd, client->old, -ETIMEDOUT);
		client_drop(share, client);
	}
	if (client)
		share_set_timer(share, client->deadline_ms);
}

void clients_on_timer(struct vfioext_share *share)
{
	uint64_t now = share_now_ms();

	expire(share, &share->waiting, now);
	expire(share, &share->offered, now);
}

/* Whoever has done by now what it was waited for is not in the way, or has gone. */
static bool drop_first(struct vfioext_share *share, struct client_list *list, const uid_t *uid)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(list); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (uid && client->peer.uid != *uid)
			continue;
		if (!client_run(share, client))
			return true;
		if (client->list != list || has_read(client))
			continue;
		share_log(share, "process %d of user %u makes room for another", client->peer.pid,
			  client->peer.uid);
		share_tell_error(client->fd, client->old, -EUSERS);
		client_drop(share, client);
		return true;
	}
	return false;
}

bool clients_make_room(struct vfioext_share *share, const uid_t *uid)
{
	return drop_first(share, &share->waiting, uid) || drop_first(share, &share->fresh, uid) ||
	       drop_first(share, &share->offered, uid);
}
