/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_USER_BRIDGE_H
#define LIBVFIOEXT_USER_BRIDGE_H

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
 * @wanted: the host wants the device back
 * @several: others of the server's bridges are in its container
 */
struct vfioext_user_bridge {
	struct vfioext_device *device;
	struct vfioext_user_device *served;
	struct vfioext_user_ops ops;
	struct bridged_irq irqs[VFIOEXT_USER_IRQS_MAX];
	int unmask;
	bool wanted;
	bool several;
};

/* bridge_memory.c */
void bridge_find_several(struct vfioext_user_bridge *bridge);
int bridge_dma_map(struct vfioext_user_device *device, const struct vfioext_user_memory *memory);
void bridge_dma_unmap(struct vfioext_user_device *device,
		      const struct vfioext_user_memory *memory);

#endif
