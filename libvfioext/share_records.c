// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a client of the own protocol gets. Each record is made when it can be sent: what is
 * in it is what is so then, and no descriptor is kept open for a client that does not
 * read. Descriptors are sent under a lock, which keeps them from being closed meanwhile.
 * The container's own may be held for as long as the kernel takes to map memory: -EBUSY is
 * to try again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/discovery.h>

#include "container.h"
#include "share.h"
#include "share_message.h"

static int send_container(struct client *client)
{
	struct share_container record = {
		.header = { SHARE_CONTAINER, sizeof(record) },
		.magic = SHARE_MAGIC,
		.version = SHARE_VERSION,
		.backend = client->container->backend,
	};
	int ret = share_send(client->fd, &record, sizeof(record), client->container->fd);

	if (!ret)
		client->phase = SHARE_PHASE_GROUP;
	return ret;
}

/* The group of the lowest number that is not below one. */
static struct group *next_group(const struct vfioext_container *container, int64_t number)
{
	struct group *group, *next = NULL;

	for (group = container->groups; group; group = group->next)
		if (group->id >= number && (!next || group->id < next->id))
			next = group;
	return next;
}

/* It is told of the group's removals, also when that is in the container no longer. */
static int note_group(struct client *client, uint32_t group)
{
	uint32_t *more = reallocarray(client->groups, client->nr_groups + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	client->groups = more;
	client->groups[client->nr_groups++] = group;
	return 0;
}

static int send_group(struct client *client)
{
	struct share_group record = { .header = { SHARE_GROUP, sizeof(record) } };
	struct vfioext_container *container = client->container;
	struct group *group;
	int ret = 0;

	pthread_mutex_lock(&container->groups_lock);
	group = next_group(container, client->group);
	if (group) {
		client->group = group->id;
		record.group = (uint32_t)group->id;
		ret = share_send(client->fd, &record, sizeof(record), group->fd);
	}
	pthread_mutex_unlock(&container->groups_lock);
	if (!ret && group)
		ret = note_group(client, record.group);
	if (!ret)
		client->phase = group ? SHARE_PHASE_DEVICES : SHARE_PHASE_RANGES;
	client->at = 0;
	return ret;
}

/* Those that can be opened, past as many as were sent already. Return: whether there are more. */
static bool take_devices(struct share_devices *record, const struct vfioext_device_list *devices,
			 size_t skip)
{
	size_t i;

	for (i = 0; i < devices->nr; i++) {
		if (!devices->list[i].vfio || skip) {
			skip -= devices->list[i].vfio;
			continue;
		}
		if (record->nr == SHARE_DEVICES_MAX)
			return true;
		memcpy(record->names[record->nr++], devices->list[i].name, VFIOEXT_NAME_SIZE);
	}
	return false;
}

/* A group without devices that anybody can name is one still. */
static int send_devices(struct vfioext_share *share, struct client *client)
{
	struct share_devices record = {
		.header = { .type = SHARE_DEVICES },
		.group = (uint32_t)client->group,
	};
	struct vfioext_device_list devices = { NULL, 0 };
	bool more;
	int ret;

	ret = vfioext_list_group(share->ctx, (int)client->group, &devices);
	if (ret && ret != -ENOENT)
		return ret;
	ret = 0;
	more = take_devices(&record, &devices, client->at);
	vfioext_device_list_release(&devices);
	record.header.size = (uint32_t)(sizeof(record) -
			     (SHARE_DEVICES_MAX - record.nr) * sizeof(record.names[0]));
	if (record.nr)
		ret = share_send(client->fd, &record, record.header.size, -1);
	if (ret)
		return ret;
	client->at += record.nr;
	if (!more) {
		client->group++;
		client->phase = SHARE_PHASE_GROUP;
	}
	return 0;
}

static int send_ranges(struct client *client)
{
	struct share_ranges record = { .header = { .type = SHARE_RANGES } };
	struct vfioext_container *container = client->container;
	const struct vfioext_iova_range *range;
	int ret = 0;

	if (pthread_mutex_trylock(&container->lock))
		return -EBUSY;
	while (container->ready && record.nr < SHARE_RANGES_MAX &&
	       client->at + record.nr < container->nr_ranges) {
		range = &container->ranges[client->at + record.nr];
		record.ranges[record.nr++] = (struct share_range){ range->start, range->last };
	}
	pthread_mutex_unlock(&container->lock);
	record.header.size = (uint32_t)(sizeof(record) -
			     (SHARE_RANGES_MAX - record.nr) * sizeof(record.ranges[0]));
	if (record.nr)
		ret = share_send(client->fd, &record, record.header.size, -1);
	if (ret)
		return ret;
	client->at += record.nr;
	if (record.nr < SHARE_RANGES_MAX)
		client->phase = SHARE_PHASE_MAPS;
	return 0;
}

/* Return: where to go on, 0 at the end. */
static uint64_t take_maps(struct vfioext_container *container, uint64_t iova,
			  struct share_maps *record)
{
	struct mapping mapping;

	while (mappings_next(container->mappings, iova, &mapping)) {
		if (record->nr == SHARE_MAPS_MAX)
			return iova;
		record->maps[record->nr++] = (struct share_map){
			.iova = mapping.iova,
			.size = mapping.size,
			.vaddr = mapping.vaddr,
			.flags = mapping.flags,
		};
		iova = mapping.iova + mapping.size;
		if (!iova)
			return 0;
	}
	return 0;
}

static int send_maps(struct client *client)
{
	struct share_maps record = { .header = { .type = SHARE_MAPS } };
	struct vfioext_container *container = client->container;
	uint64_t next;
	int ret = 0;

	if (pthread_mutex_trylock(&container->lock))
		return -EBUSY;
	next = take_maps(container, client->iova, &record);
	pthread_mutex_unlock(&container->lock);
	record.header.size = (uint32_t)(sizeof(record) -
			     (SHARE_MAPS_MAX - record.nr) * sizeof(record.maps[0]));
	if (record.nr)
		ret = share_send(client->fd, &record, record.header.size, -1);
	if (ret)
		return ret;
	client->iova = next;
	if (!next)
		client->phase = SHARE_PHASE_END;
	return 0;
}

static int send_end(struct vfioext_share *share, struct client *client)
{
	struct share_end record = { .header = { SHARE_END, sizeof(record) } };
	int ret = share_send(client->fd, &record, sizeof(record), -1);

	if (ret)
		return ret;
	client->phase = SHARE_PHASE_ATTACHED;
	share_want_current(share, client);
	share_log(share, "process %d of user %u is attached", client->peer.pid, client->peer.uid);
	return 0;
}

static int send_event(struct client *client)
{
	int ret = share_send(client->fd, &client->events[client->first_event],
			     sizeof(*client->events), -1);

	if (ret)
		return ret;
	client->first_event = (client->first_event + 1) % SHARE_QUEUE_MAX;
	client->nr_events--;
	return 0;
}

int share_send_next(struct vfioext_share *share, struct client *client)
{
	int ret;

	switch (client->phase) {
	case SHARE_PHASE_CONTAINER:
		ret = send_container(client);
		break;
	case SHARE_PHASE_GROUP:
		ret = send_group(client);
		break;
	case SHARE_PHASE_DEVICES:
		ret = send_devices(share, client);
		break;
	case SHARE_PHASE_RANGES:
		ret = send_ranges(client);
		break;
	case SHARE_PHASE_MAPS:
		ret = send_maps(client);
		break;
	case SHARE_PHASE_END:
		ret = send_end(share, client);
		break;
	default:
		if (!client->nr_events)
			return 0;
		ret = send_event(client);
		break;
	}
	return ret ? ret : 1;
}
