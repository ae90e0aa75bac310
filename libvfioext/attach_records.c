// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a primary tells. Nothing of it is believed that can be checked. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "container.h"
#include "share_wire.h"

static void *array_add(struct array *array, size_t size, size_t max)
{
	size_t room = array->room ? 2 * array->room : 16;
	void *more;

	if (array->nr == max)
		return NULL;
	if (array->nr == array->room) {
		more = reallocarray(array->list, room, size);
		if (!more)
			return NULL;
		array->list = more;
		array->room = room;
	}
	return (uint8_t *)array->list + array->nr++ * size;
}

/* It comes before all else, and once. */
static int take_container(struct vfioext_attachment *attachment, const void *record, size_t size,
			  int fd)
{
	struct share_container told;

	if (size < sizeof(told) || fd < 0 || attachment->container)
		return -EPROTO;
	memcpy(&told, record, sizeof(told));
	if (told.magic != SHARE_MAGIC)
		return -EPROTO;
	if (told.version != SHARE_VERSION)
		return -EPROTONOSUPPORT;
	if (told.backend != VFIOEXT_BACKEND_CONTAINER && told.backend != VFIOEXT_BACKEND_NOIOMMU)
		return -EPROTO;
	attachment->container = container_alloc(attachment->ctx, told.backend);
	if (!attachment->container)
		return -ENOMEM;
	container_hold(attachment->container);
	attachment->container->shared = true;
	attachment->container->fd = fd;
	return 0;
}

static int take_group(struct vfioext_attachment *attachment, const void *record, size_t size,
		      int fd)
{
	struct share_group told;

	if (size < sizeof(told) || fd < 0)
		return -EPROTO;
	memcpy(&told, record, sizeof(told));
	if (told.group > INT_MAX || container_find_group(attachment->container, (int)told.group) ||
	    attachment->nr_groups == ATTACH_GROUPS_MAX)
		return -EPROTO;
	if (!container_add_group(attachment->container, (int)told.group, fd))
		return -ENOMEM;
	attachment->nr_groups++;
	return 0;
}

/* Has the record all of its array, and no more? */
static bool has_array(size_t size, size_t before, uint32_t nr, uint32_t max, size_t element)
{
	return nr <= max && size == before + nr * element;
}

static int take_device(struct vfioext_attachment *attachment, const char *name, uint32_t group)
{
	struct vfioext_shared_device *device;

	if (!name[0] || !memchr(name, '\0', VFIOEXT_NAME_SIZE) || strchr(name, '/'))
		return -EPROTO;
	device = array_add(&attachment->devices, sizeof(*device), ATTACH_DEVICES_MAX);
	if (!device)
		return attachment->devices.nr == ATTACH_DEVICES_MAX ? -EPROTO : -ENOMEM;
	memset(device, 0, sizeof(*device));
	strcpy(device->name, name);
	device->group = (int)group;
	return 0;
}

static int take_devices(struct vfioext_attachment *attachment, const void *record, size_t size)
{
	const size_t before = offsetof(struct share_devices, names);
	struct share_devices told;
	uint32_t i;
	int ret = 0;

	if (size < before || size > sizeof(told))
		return -EPROTO;
	memcpy(&told, record, size);
	if (!has_array(size, before, told.nr, SHARE_DEVICES_MAX, sizeof(told.names[0])) ||
	    !container_find_group(attachment->container, (int)told.group))
		return -EPROTO;
	for (i = 0; i < told.nr && !ret; i++)
		ret = take_device(attachment, told.names[i], told.group);
	return ret;
}

static int take_range(struct vfioext_attachment *attachment, const struct share_range *range)
{
	struct vfioext_iova_range *last = attachment->ranges.list, *new;

	if (range->last < range->start ||
	    (attachment->ranges.nr && range->start <= last[attachment->ranges.nr - 1].last))
		return -EPROTO;
	new = array_add(&attachment->ranges, sizeof(*new), ATTACH_RANGES_MAX);
	if (!new)
		return attachment->ranges.nr == ATTACH_RANGES_MAX ? -EPROTO : -ENOMEM;
	*new = (struct vfioext_iova_range){ range->start, range->last };
	return 0;
}

static int take_ranges(struct vfioext_attachment *attachment, const void *record, size_t size)
{
	const size_t before = offsetof(struct share_ranges, ranges);
	struct share_ranges told;
	uint32_t i;
	int ret = 0;

	if (size < before || size > sizeof(told))
		return -EPROTO;
	memcpy(&told, record, size);
	if (!has_array(size, before, told.nr, SHARE_RANGES_MAX, sizeof(told.ranges[0])))
		return -EPROTO;
	for (i = 0; i < told.nr && !ret; i++)
		ret = take_range(attachment, &told.ranges[i]);
	return ret;
}

static int take_map(struct vfioext_attachment *attachment, const struct share_map *map)
{
	const struct vfioext_shared_map *last = attachment->maps.list;
	struct vfioext_shared_map *new;

	if (!map->size || map->iova + map->size - 1 < map->iova ||
	    map->flags & ~(VFIOEXT_DMA_READ | VFIOEXT_DMA_WRITE))
		return -EPROTO;
	if (attachment->maps.nr) {
		last += attachment->maps.nr - 1;
		if (map->iova <= last->iova + last->size - 1)
			return -EPROTO;
	}
	new = array_add(&attachment->maps, sizeof(*new), ATTACH_MAPS_MAX);
	if (!new)
		return attachment->maps.nr == ATTACH_MAPS_MAX ? -EPROTO : -ENOMEM;
	*new = (struct vfioext_shared_map){
		.iova = map->iova, .size = map->size, .vaddr = map->vaddr, .flags = map->flags,
	};
	return 0;
}

static int take_maps(struct vfioext_attachment *attachment, const void *record, size_t size)
{
	const size_t before = offsetof(struct share_maps, maps);
	struct share_maps told;
	uint32_t i;
	int ret = 0;

	if (size < before || size > sizeof(told))
		return -EPROTO;
	memcpy(&told, record, size);
	if (!has_array(size, before, told.nr, SHARE_MAPS_MAX, sizeof(told.maps[0])))
		return -EPROTO;
	for (i = 0; i < told.nr && !ret; i++)
		ret = take_map(attachment, &told.maps[i]);
	return ret;
}

static int take_event(const void *record, size_t size, struct vfioext_event *event)
{
	struct share_event told;

	if (size < sizeof(told))
		return -EPROTO;
	memcpy(&told, record, sizeof(told));
	if (told.event > VFIOEXT_EVENT_DEVICE_REMOVED ||
	    !memchr(told.device, '\0', sizeof(told.device)) ||
	    !memchr(told.bus, '\0', sizeof(told.bus)))
		return -EPROTO;
	*event = (struct vfioext_event){
		.type = told.event,
		.sequence = told.sequence,
		.lost = told.lost,
		.removal = {
			.id = told.id,
			.group = told.group,
			.origin = told.origin,
			.state = told.state,
			.action = told.action,
			.remaining_ms = told.remaining_ms,
			.elapsed_ms = told.elapsed_ms,
			.external_users = told.external_users,
			.handles = told.handles,
		},
		.extend_ms = told.extend_ms,
		.signaled = told.signaled,
		.outcome = told.outcome,
	};
	strcpy(event->removal.device, told.device);
	strcpy(event->removal.bus, told.bus);
	return 1;
}

static int take_error(const void *record, size_t size)
{
	struct share_error told;

	if (size < sizeof(told))
		return -EPROTO;
	memcpy(&told, record, sizeof(told));
	return told.error < 0 && told.error > -4096 && told.error != -EAGAIN ? told.error : -EPROTO;
}

/* Those that have no descriptor. */
static int take_plain(struct vfioext_attachment *attachment, uint32_t type, const void *record,
		      size_t size, struct vfioext_event *event)
{
	if (attachment->complete)
		return type == SHARE_EVENT ? take_event(record, size, event) : -EPROTO;
	switch (type) {
	case SHARE_DEVICES:
		return take_devices(attachment, record, size);
	case SHARE_RANGES:
		return take_ranges(attachment, record, size);
	case SHARE_MAPS:
		return take_maps(attachment, record, size);
	case SHARE_END:
		return attach_finish(attachment);
	default:
		return -EPROTO;
	}
}

static int take(struct vfioext_attachment *attachment, uint32_t type, const void *record,
		size_t size, int fd, struct vfioext_event *event)
{
	if (type == SHARE_ERROR)
		return fd < 0 ? take_error(record, size) : -EPROTO;
	if (type == SHARE_CONTAINER)
		return take_container(attachment, record, size, fd);
	if (!attachment->container)
		return -EPROTO;
	if (type == SHARE_GROUP)
		return attachment->complete ? -EPROTO : take_group(attachment, record, size, fd);
	return fd < 0 ? take_plain(attachment, type, record, size, event) : -EPROTO;
}

int attach_take(struct vfioext_attachment *attachment, const void *record, size_t size, int fd,
		struct vfioext_event *event)
{
	struct share_header header;
	int ret = -EPROTO;

	if (size >= sizeof(header)) {
		memcpy(&header, record, sizeof(header));
		if (header.size == size && header.type > SHARE_ERROR) {
			if (fd >= 0)
				close(fd);
			return 0;
		}
		if (header.size == size)
			ret = take(attachment, header.type, record, size, fd, event);
	}
	if (ret < 0 && fd >= 0)
		close(fd);
	return ret;
}
