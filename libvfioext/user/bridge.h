/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_USER_BRIDGE_H
#define LIBVFIOEXT_USER_BRIDGE_H

#include <vfioext/device.h>
#include <vfioext/user_bridge.h>

#include "server.h"

/* What the device signals of a kind: copies of the client's eventfds, -1 for none. */
struct bridged_irq {
	int *eventfds;
	unsigned int count;
};

/*
 * @ops: without a reset if the device has none
 * @unmask: the client's eventfd that unmasks the pin, -1 for none
 * @no_map: nothing of the device is offered for mapping
 * @wanted: the host wants the device back
 * @several: others of the server's bridges are in its container
 * @master_held: the client let the device master the bus, which it may when all memory is
 *	there
 */
struct vfioext_user_bridge {
	struct vfioext_device *device;
	struct vfioext_user_device *served;
	struct vfioext_user_ops ops;
	struct bridged_irq irqs[VFIOEXT_USER_IRQS_MAX];
	int unmask;
	bool no_map;
	bool wanted;
	bool several;
	bool master_held;
};

/* bridge_region.c */
struct vfioext_region *bridge_region(const struct vfioext_user_bridge *bridge, unsigned int index,
				     int *ret);
int bridge_read(struct vfioext_user_device *device, unsigned int index, void *buffer,
		size_t count, uint64_t offset);
int bridge_write(struct vfioext_user_device *device, unsigned int index, const void *buffer,
		 size_t count, uint64_t offset);
int bridge_add_region(struct vfioext_user_bridge *bridge, unsigned int index);

/* bridge_memory.c */
void bridge_find_several(struct vfioext_user_bridge *bridge);
int bridge_dma_map(struct vfioext_user_device *device, const struct vfioext_user_memory *memory);
int bridge_dma_unmap(struct vfioext_user_device *device,
		     const struct vfioext_user_memory *memory);

static inline struct vfioext_container *bridge_container(const struct vfioext_user_bridge *bridge)
{
	return vfioext_device_container(bridge->device);
}

/* The bridge of a device that is served, or NULL if it is none of the host's. */
struct vfioext_user_bridge *bridge_of(const struct vfioext_user_device *device);

/*
 * bridge_pin.c: memory is pinned piece by piece. A server with bridges has a pinner, which
 * each of them gets and puts.
 */
int pinner_get(struct vfioext_user *server);
void pinner_put(struct vfioext_user *server);

/*
 * Map memory for the devices of a container. What takes too long goes on when the call has
 * returned. Return: 0, or an error, and nothing is mapped.
 */
int pin(struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory);

/* The reverse, however far it has got. Return: 0, or an error, and it stays mapped. */
int unpin(struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory);

/* It is unmapped for one client, and another one that has it as well keeps it. */
void pin_hand_over(struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory);

/* Go on for as long as a client may wait. Return: true if all that the device sees is mapped. */
bool pin_finish(struct vfioext_user_bridge *bridge);

#endif
