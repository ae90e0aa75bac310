// SPDX-License-Identifier: LGPL-2.1-or-later
/* Events of the module for those who are attached. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "share.h"
#include "share_message.h"

#define RETRY_MS 100

static bool concerns(const struct client *client, const struct vfioext_event *event)
{
	size_t i;

	for (i = 0; i < client->nr_groups; i++)
		if (client->groups[i] == event->removal.group)
			return true;
	return event->type == VFIOEXT_EVENT_LOST;
}

static void fill(struct share_event *record, const struct vfioext_event *event)
{
	const struct vfioext_removal *removal = &event->removal;

	*record = (struct share_event){
		.header = { SHARE_EVENT, sizeof(*record) },
		.event = event->type,
		.sequence = event->sequence,
		.lost = event->lost,
		.id = removal->id,
		.group = removal->group,
		.origin = removal->origin,
		.state = removal->state,
		.action = removal->action,
		.remaining_ms = removal->remaining_ms,
		.elapsed_ms = removal->elapsed_ms,
		.external_users = removal->external_users,
		.handles = removal->handles,
		.extend_ms = event->extend_ms,
		.signaled = event->signaled,
		.outcome = event->outcome,
	};
	memcpy(record->device, removal->device, sizeof(record->device));
	memcpy(record->bus, removal->bus, sizeof(record->bus));
}

/* Return: 0, -ENOMEM, or -ENOBUFS if the client has not read what it should have. */
static int enqueue(struct client *client, const struct vfioext_event *event)
{
	unsigned int at = (client->first_event + client->nr_events) % SHARE_QUEUE_MAX;

	if (client->nr_events == SHARE_QUEUE_MAX)
		return -ENOBUFS;
	if (!client->events)
		client->events = calloc(SHARE_QUEUE_MAX, sizeof(*client->events));
	if (!client->events)
		return -ENOMEM;
	fill(&client->events[at], event);
	client->nr_events++;
	return 0;
}

static void deliver(struct vfioext_share *share, struct client *client,
		    const struct vfioext_event *event)
{
	int ret = enqueue(client, event);

	while (!ret && client->phase == SHARE_PHASE_ATTACHED && client->nr_events) {
		ret = share_send_next(share, client);
		ret = ret > 0 ? 0 : ret;
	}
	if (!ret || ret == -EAGAIN)
		return;
	share_log(share, "process %d of user %u is dropped: %s", client->peer.pid, client->peer.uid,
		  strerror(-ret));
	client_drop(share, client);
}

static void take_current(const struct vfioext_event *event, void *data)
{
	struct vfioext_share *share = data;
	struct client *client;
	unsigned int i;

	for (i = 0; i < share->options.clients_max; i++) {
		client = &share->clients[i];
		if (client->fd >= 0 && client->current && concerns(client, event))
			deliver(share, client, event);
	}
}

void share_want_current(struct vfioext_share *share, struct client *client)
{
	if (!share->events)
		return;
	client->current = true;
	share->resync = true;
	share->resync_ms = 0;
}

/* Without the module nothing is under way. If the kernel cannot tell now it is asked again. */
void share_resync(struct vfioext_share *share)
{
	unsigned int i;
	int ret;

	if (share_now_ms() >= share->resync_ms) {
		ret = vfioext_events_resync(share->events, share->ctx, take_current, share);
		share->resync = ret < 0 && ret != -EPROTONOSUPPORT;
		share->resync_ms = share_now_ms() + RETRY_MS;
	}
	if (share->resync) {
		share_set_timer(share, share->resync_ms);
		return;
	}
	for (i = 0; i < share->options.clients_max; i++)
		share->clients[i].current = false;
}

/* Who hears that something was lost, needs to hear what is left of it. */
void share_relay(struct vfioext_share *share, const struct vfioext_event *event)
{
	struct client *client;
	unsigned int i;

	for (i = 0; i < share->options.clients_max; i++) {
		client = &share->clients[i];
		if (client->fd < 0 || client->old || !client->container || !concerns(client, event))
			continue;
		if (event->type == VFIOEXT_EVENT_LOST)
			share_want_current(share, client);
		deliver(share, client, event);
	}
}
