/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_DEVICE_H
#define LIBVFIOEXT_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <vfioext/device.h>
#include <vfioext/events.h>
#include <vfioext/region.h>
#include <vfioext/watch.h>

#include "remote.h"

struct group;
struct region;

/* A kind of interrupts: what each vector signals, -1 for nothing. */
struct irq {
	int *eventfds;
	unsigned int nr;
};

/*
 * @container: the one that it is in, or was in when it was lost; NULL before
 * @own: the container that was made for it, which stays until it is closed; or NULL
 * @joined: it is in @container
 * @group: NULL if iommufd stands behind it
 * @fd: the device's; once it is lost, of a file of nothing
 * @remote: NULL unless another process serves it; then there is no @fd
 * @next: of the remote devices in its container
 * @next_opened: of all others that the process has open
 * @vf_token: NULL, too, if the device has none
 * @mapped: a region was mapped
 * @lost: it was taken away, or its server has gone
 * @let_go: nothing of it is ours any longer
 * @lock: protects regions and irqs while they are set up
 * @regions: each NULL until it was asked for
 * @irqs: each empty until it was used
 */
struct vfioext_device {
	struct vfioext *ctx;
	struct vfioext_device_info info;
	struct vfioext_container *container;
	struct vfioext_container *own;
	bool joined;
	struct group *group;
	char *vf_token;
	int fd;
	struct remote *remote;
	struct vfioext_device *next;
	struct vfioext_device *next_opened;
	bool pci;
	bool resettable;
	atomic_bool mapped;
	atomic_bool lost;
	atomic_bool let_go;
	pthread_mutex_t lock;
	unsigned int nr_regions;
	unsigned int nr_irqs;
	struct region **regions;
	struct irq *irqs;
	struct watch *watch;
};

static inline bool device_is_open(const struct vfioext_device *device)
{
	return device->fd >= 0 || device->remote;
}

/* Whatever is asked of a device, but to be read and written: see region_access.c. */
static inline int device_ioctl(const struct vfioext_device *device, unsigned long request,
			       void *argument)
{
	if (device->remote)
		return remote_ioctl(device, request, argument);
	return ioctl(device->fd, request, argument);
}

/* device.c: close all of the kernel's but a container of its own: what is left is memory */
void device_detach(struct vfioext_device *device);

/* interrupt.c */
void irqs_free(struct vfioext_device *device);

/* config.c */
int config_begin(struct vfioext_device *device);

#endif
