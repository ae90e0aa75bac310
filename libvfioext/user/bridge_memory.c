// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A client's memory, mapped for the device of the host that it is served.
 *
 * Functions of one IOMMU group are in one container, and a VM that is served several of them
 * maps its memory once for each. What is the same part of the same file at the same address
 * is mapped once, and counted; anything else there is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <vfioext/dma.h>

#include "bridge.h"
#include "client_file.h"

/*
 * @container: where it is mapped
 * @public: what a client said of it
 * @device, @inode, @offset: what it is
 * @users: bridges whose clients mapped it
 */
struct bridge_mapping {
	struct bridge_mapping *next;
	struct vfioext_container *container;
	struct vfioext_user_memory public;
	dev_t device;
	ino_t inode;
	uint64_t offset;
	unsigned int users;
};

static struct vfioext_container *container_of_bridge(const struct vfioext_user_bridge *bridge)
{
	return vfioext_device_container(bridge->device);
}

void bridge_find_several(struct vfioext_user_bridge *bridge)
{
	const struct vfioext_user_device *device = bridge->served->server->devices;
	struct vfioext_user_bridge *other;

	for (; device; device = device->next) {
		if (device == bridge->served || device->ops->dma_map != bridge_dma_map)
			continue;
		other = vfioext_user_device_data(device);
		if (container_of_bridge(other) != container_of_bridge(bridge))
			continue;
		bridge->several = true;
		other->several = true;
	}
}

static int map(const struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory)
{
	unsigned int flags = VFIOEXT_DMA_FIXED;
	uint64_t iova = memory->iova;
	int ret;

	flags |= memory->flags & VFIOEXT_USER_READ ? VFIOEXT_DMA_READ : 0;
	flags |= memory->flags & VFIOEXT_USER_WRITE ? VFIOEXT_DMA_WRITE : 0;
	ret = vfioext_dma_map(container_of_bridge(bridge), memory->vaddr, memory->size, flags,
			      &iova);
	if (ret)
		device_log(bridge->served, "%s", vfioext_message(bridge->served->server->ctx));
	return ret;
}

/* Which file it is of, and where in it. */
static int identify(struct vfioext_user_device *device, struct bridge_mapping *mapping)
{
	struct memory_map *used;
	int ret = 0;

	used = memory_use(&device->memory, mapping->public.iova, 0, &ret);
	if (!used)
		return ret;
	mapping->device = used->file->device;
	mapping->inode = used->file->inode;
	mapping->offset = used->offset;
	memory_unuse(&device->memory, used);
	return 0;
}

static bool overlaps(const struct bridge_mapping *a, const struct bridge_mapping *b)
{
	return a->container == b->container &&
	       a->public.iova <= b->public.iova + (b->public.size - 1) &&
	       b->public.iova <= a->public.iova + (a->public.size - 1);
}

static bool is_same(const struct bridge_mapping *a, const struct bridge_mapping *b)
{
	return a->public.iova == b->public.iova && a->public.size == b->public.size &&
	       a->public.flags == b->public.flags && a->device == b->device &&
	       a->inode == b->inode && a->offset == b->offset;
}

static int map_counted(struct vfioext_user_bridge *bridge, struct bridge_mapping *new)
{
	struct vfioext_user *server = bridge->served->server;
	struct bridge_mapping *at, *added;
	int ret;

	for (at = server->mappings; at && !overlaps(at, new);)
		at = at->next;
	if (at && is_same(at, new)) {
		at->users++;
		return 0;
	}
	if (at) {
		device_log(bridge->served, "memory at %#llx is refused: the client of another function of the group has other memory there",
			   (unsigned long long)new->public.iova);
		return -EEXIST;
	}
	added = malloc(sizeof(*added));
	if (!added)
		return -ENOMEM;
	*added = *new;
	ret = map(bridge, &new->public);
	if (ret) {
		free(added);
		return ret;
	}
	added->next = server->mappings;
	server->mappings = added;
	return 0;
}

/* Without a file there is nothing that an IOMMU could map: firmware, mostly. */
int bridge_dma_map(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);
	struct bridge_mapping new = { .public = *memory, .users = 1 };
	int ret;

	if (!memory->vaddr || vfioext_device_lost(bridge->device))
		return 0;
	if (!bridge->several)
		return map(bridge, memory);
	new.container = container_of_bridge(bridge);
	ret = identify(device, &new);
	return ret ? ret : map_counted(bridge, &new);
}

/* The other functions' share of it stays, even if this device is lost. */
static void unmap_counted(struct vfioext_user_bridge *bridge,
			  const struct vfioext_user_memory *memory)
{
	struct bridge_mapping **at = &bridge->served->server->mappings, *found;

	while (*at && ((*at)->container != container_of_bridge(bridge) ||
		       (*at)->public.iova != memory->iova || (*at)->public.size != memory->size))
		at = &(*at)->next;
	found = *at;
	if (!found || --found->users)
		return;
	*at = found->next;
	vfioext_dma_unmap(found->container, memory->iova, memory->size);
	free(found);
}

void bridge_dma_unmap(struct vfioext_user_device *device,
		      const struct vfioext_user_memory *memory)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);

	if (!memory->vaddr)
		return;
	if (bridge->several)
		unmap_counted(bridge, memory);
	else if (!vfioext_device_lost(bridge->device))
		vfioext_dma_unmap(container_of_bridge(bridge), memory->iova, memory->size);
}
