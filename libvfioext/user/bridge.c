// SPDX-License-Identifier: LGPL-2.1-or-later
/* A device of the host, served to a client. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/interrupt.h>
#include <vfioext/reset.h>
#include <vfioext/watch.h>

#include "bridge.h"

static int bridge_reset(struct vfioext_user_device *device)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);

	bridge->master_held = false;
	return vfioext_device_reset(bridge->device);
}

static void close_eventfds(int *eventfds, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (eventfds[i] >= 0)
			close(eventfds[i]);
		eventfds[i] = -1;
	}
}

static int disable(struct vfioext_user_bridge *bridge, unsigned int irq)
{
	struct bridged_irq *kind = &bridge->irqs[irq];
	int ret = vfioext_irq_disable(bridge->device, irq);

	if (!ret)
		close_eventfds(kind->eventfds, kind->count);
	return ret;
}

/* The device keeps what it is given, as the client's own are closed after the call. */
static int set_eventfds(struct vfioext_user_bridge *bridge, const struct vfio_irq_set *set,
			const int *fds, size_t nr_fds)
{
	int *own = bridge->irqs[set->index].eventfds + set->start, *new;
	int ret = 0;
	uint32_t i;

	new = malloc(set->count * sizeof(*new));
	if (!new)
		return -ENOMEM;
	for (i = 0; i < set->count; i++) {
		new[i] = nr_fds ? fcntl(fds[i], F_DUPFD_CLOEXEC, 0) : -1;
		if (nr_fds && new[i] < 0)
			ret = -errno;
	}
	if (!ret)
		ret = vfioext_irq_set(bridge->device, set->index, set->start, new, set->count);
	if (ret) {
		close_eventfds(new, set->count);
	} else {
		close_eventfds(own, set->count);
		memcpy(own, new, set->count * sizeof(*new));
	}
	free(new);
	return ret;
}

static int set_unmask(struct vfioext_user_bridge *bridge, const int *fds, size_t nr_fds)
{
	int fd = nr_fds ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : -1, ret;

	if (nr_fds && fd < 0)
		return -errno;
	ret = vfioext_irq_set_unmask_eventfd(bridge->device, fd);
	if (ret) {
		close_eventfds(&fd, 1);
		return ret;
	}
	close_eventfds(&bridge->unmask, 1);
	bridge->unmask = fd;
	return 0;
}

static int act(struct vfioext_device *device, const struct vfio_irq_set *set, unsigned int vector)
{
	if (set->flags & VFIO_IRQ_SET_ACTION_MASK)
		return vfioext_irq_mask(device, set->index, vector);
	if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK)
		return vfioext_irq_unmask(device, set->index, vector);
	return vfioext_irq_trigger(device, set->index, vector);
}

/* The request interrupt is ours: the host's own wish is told by it. */
static int bridge_set_irqs(struct vfioext_user_device *device, const struct vfio_irq_set *from,
			   const int *fds, size_t nr_fds)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);
	struct vfio_irq_set set;
	int ret = 0;
	uint32_t i;

	/* Where it was received it need not be aligned. */
	memcpy(&set, from, sizeof(set));
	if (device->is_pci && set.index == VFIO_PCI_REQ_IRQ_INDEX)
		return 1;
	if (vfioext_device_lost(bridge->device))
		return -ENODEV;
	if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD && set.flags & VFIO_IRQ_SET_ACTION_TRIGGER)
		return set_eventfds(bridge, &set, fds, nr_fds);
	if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set.flags & VFIO_IRQ_SET_ACTION_UNMASK && !set.start && set.count == 1 ?
		       set_unmask(bridge, fds, nr_fds) : -ENOTSUP;
	if (!set.count && set.flags & VFIO_IRQ_SET_ACTION_TRIGGER)
		return disable(bridge, set.index);
	for (i = 0; i < set.count && !ret; i++)
		if (set.flags & VFIO_IRQ_SET_DATA_NONE ||
		    ((const uint8_t *)from)[sizeof(set) + i])
			ret = act(bridge->device, &set, set.start + i);
	return ret;
}

/* Nothing of the device signals anybody then, nor masters the bus. */
static void bridge_detached(struct vfioext_user_device *device)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);
	unsigned int i;

	bridge->master_held = false;
	if (!vfioext_device_lost(bridge->device)) {
		for (i = 0; i < device->nr_irqs; i++)
			vfioext_irq_disable(bridge->device, i);
		if (vfioext_device_is_pci(bridge->device))
			vfioext_device_set_master(bridge->device, false);
		if (vfioext_device_is_resettable(bridge->device))
			vfioext_device_reset(bridge->device);
	}
	for (i = 0; i < device->nr_irqs; i++)
		close_eventfds(bridge->irqs[i].eventfds, bridge->irqs[i].count);
	close_eventfds(&bridge->unmask, 1);
}

static const struct vfioext_user_ops bridge_ops = {
	.detached = bridge_detached,
	.read = bridge_read,
	.write = bridge_write,
	.reset = bridge_reset,
	.dma_map = bridge_dma_map,
	.dma_unmap = bridge_dma_unmap,
	.set_irqs = bridge_set_irqs,
};

static int add_irq(struct vfioext_user_bridge *bridge, unsigned int index)
{
	struct bridged_irq *kind = &bridge->irqs[index];
	struct vfioext_irq_info info;
	uint32_t flags = VFIO_IRQ_INFO_EVENTFD;
	unsigned int i;
	int ret;

	ret = vfioext_irq_get_info(bridge->device, index, &info);
	if (ret)
		return ret;
	flags |= info.maskable ? VFIO_IRQ_INFO_MASKABLE : 0;
	flags |= info.automasked ? VFIO_IRQ_INFO_AUTOMASKED : 0;
	flags |= info.resizable ? 0 : VFIO_IRQ_INFO_NORESIZE;
	kind->eventfds = malloc((info.count ? info.count : 1) * sizeof(int));
	if (!kind->eventfds)
		return -ENOMEM;
	kind->count = info.count;
	for (i = 0; i < info.count; i++)
		kind->eventfds[i] = -1;
	return vfioext_user_device_set_irq(bridge->served, index, info.count, flags);
}

/* Even where the device has none of its own: the host's wish is told by it. */
static int add_request(struct vfioext_user_bridge *bridge)
{
	if (!vfioext_device_is_pci(bridge->device))
		return 0;
	return vfioext_user_device_set_irq(bridge->served, VFIO_PCI_REQ_IRQ_INDEX, 1,
					   VFIO_IRQ_INFO_EVENTFD);
}

static int add_all(struct vfioext_user_bridge *bridge)
{
	unsigned int regions = vfioext_device_nr_regions(bridge->device);
	unsigned int irqs = vfioext_device_nr_irqs(bridge->device), i;
	int ret = 0;

	if (regions > VFIOEXT_USER_REGIONS_MAX || irqs > VFIOEXT_USER_IRQS_MAX)
		return -E2BIG;
	for (i = 0; i < regions && !ret; i++)
		ret = bridge_add_region(bridge, i);
	for (i = 0; i < irqs && !ret; i++)
		ret = add_irq(bridge, i);
	vfioext_user_device_set_pci(bridge->served, vfioext_device_is_pci(bridge->device));
	return ret ? ret : add_request(bridge);
}

/* The client is told, and the device kept until it has gone. */
static int on_wanted(struct vfioext_device *device, uint32_t id, void *data)
{
	struct vfioext_user_bridge *bridge = data;

	(void)device;
	(void)id;
	if (!bridge->served->session)
		return 0;
	bridge->wanted = true;
	if (vfioext_user_irq_trigger(bridge->served, VFIO_PCI_REQ_IRQ_INDEX, 0))
		device_log(bridge->served,
			   "the host wants the device back, and the client cannot be told: unplug it there");
	return 1;
}

int vfioext_user_bridge_new(struct vfioext_user *server, struct vfioext_device *device,
			    unsigned int flags, struct vfioext_user_bridge **bridge)
{
	struct vfioext_user_bridge *new;
	int ret;

	if (flags & ~VFIOEXT_USER_BRIDGE_NO_MAP)
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->device = device;
	new->no_map = flags & VFIOEXT_USER_BRIDGE_NO_MAP;
	new->unmask = -1;
	new->ops = bridge_ops;
	if (!vfioext_device_is_resettable(device))
		new->ops.reset = NULL;
	ret = vfioext_user_device_new(server, &new->ops, new, &new->served);
	if (!ret)
		ret = pinner_get(server);
	if (ret) {
		vfioext_user_device_free(new->served);
		free(new);
		return ret;
	}
	ret = add_all(new);
	if (!ret)
		ret = vfioext_device_watch(device, on_wanted, new);
	if (ret) {
		vfioext_user_bridge_free(new);
		return ret;
	}
	bridge_find_several(new);
	*bridge = new;
	return 0;
}

void vfioext_user_bridge_free(struct vfioext_user_bridge *bridge)
{
	struct vfioext_user *server;
	unsigned int i;

	if (!bridge)
		return;
	server = bridge->served->server;
	vfioext_user_device_free(bridge->served);
	pinner_put(server);
	for (i = 0; i < VFIOEXT_USER_IRQS_MAX; i++)
		free(bridge->irqs[i].eventfds);
	free(bridge);
}

struct vfioext_user_device *vfioext_user_bridge_device(const struct vfioext_user_bridge *bridge)
{
	return bridge->served;
}

int vfioext_user_bridge_fd(const struct vfioext_user_bridge *bridge)
{
	return vfioext_device_watch_fd(bridge->device);
}

int vfioext_user_bridge_dispatch(struct vfioext_user_bridge *bridge)
{
	int ret = vfioext_device_watch_dispatch(bridge->device);

	if (ret < 0)
		return ret;
	if (!vfioext_device_lost(bridge->device) && bridge->wanted && !bridge->served->session)
		vfioext_user_bridge_let_go(bridge);
	if (vfioext_device_lost(bridge->device))
		return VFIOEXT_USER_BRIDGE_GONE;
	return bridge->wanted ? VFIOEXT_USER_BRIDGE_WANTED : VFIOEXT_USER_BRIDGE_SERVED;
}

void vfioext_user_bridge_let_go(struct vfioext_user_bridge *bridge)
{
	vfioext_user_device_stop(bridge->served);
	vfioext_device_let_go(bridge->device);
}
