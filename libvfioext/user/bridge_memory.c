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

struct vfioext_user_bridge *bridge_of(const struct vfioext_user_device *device)
{
	return device->ops->dma_map == bridge_dma_map ? vfioext_user_device_data(device) : NULL;
}

void bridge_find_several(struct vfioext_user_bridge *bridge)
{
	const struct vfioext_user_device *device = bridge->served->server->devices;
	struct vfioext_user_bridge *other;

	for (; device; device = device->next) {
		other = bridge_of(device);
		if (!other || other == bridge || bridge_container(other) != bridge_container(bridge))
			continue;
		bridge->several = true;
		other->several = true;
	}
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
	ret = pin(bridge, &new->public);
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
		return pin(bridge, memory);
	new.container = bridge_container(bridge);
	ret = identify(device, &new);
	return ret ? ret : map_counted(bridge, &new);
}

/* The other functions' share of it stays, even if this device is lost. */
static int unmap_counted(struct vfioext_user_bridge *bridge,
			 const struct vfioext_user_memory *memory)
{
	struct bridge_mapping **at = &bridge->served->server->mappings, *found;
	int ret;

	while (*at && ((*at)->container != bridge_container(bridge) ||
		       (*at)->public.iova != memory->iova || (*at)->public.size != memory->size))
		at = &(*at)->next;
	found = *at;
	if (!found)
		return 0;
	if (found->users > 1)
		pin_hand_over(bridge, memory);
	ret = found->users == 1 ? unpin(bridge, memory) : 0;
	/* The client has it no longer, whatever became of it. */
	if (ret && bridge->served->session)
		return ret;
	if (--found->users)
		return 0;
	*at = found->next;
	free(found);
	return ret;
}

int bridge_dma_unmap(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);

	if (!memory->vaddr)
		return 0;
	if (bridge->several)
		return unmap_counted(bridge, memory);
	return unpin(bridge, memory);
}
