/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_CONTAINER_H
#define LIBVFIOEXT_CONTAINER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <vfioext/container.h>
#include <vfioext/device.h>
#include <vfioext/dma.h>

#include "mappings.h"

/* As many as the kernel has for a group. */
#define SPAPR_WINDOWS 2

/*
 * A group that is open: once in the process, with the devices that are open in it.
 * On the list of its container. One that another process shares stays there, without
 * devices, too.
 */
struct group {
	struct group *next;
	struct vfioext_container *container;
	int id;
	int fd;
	unsigned int devices;
	bool shared;
};

/*
 * @fd: of /dev/vfio/vfio, or /dev/iommu
 * @ioas: iommufd's number of the address space
 * @unsettled: iommufd stands behind it for now: its first device may change that
 * @owners: devices whose own it is
 * @remotes: the devices in it, where other processes serve them
 * @allocated: what vfioext_dma_alloc() gave, mapped or not; see allocation.c
 * @registered: memory that is registered with POWER's IOMMU, by its address in the place of
 *	IOVAs, and in that of flags how many mappings need it. NULL if the IOMMU is another.
 * @windows: where that IOMMU maps, in ascending order
 * @ready: a device is in it, and so it has an IOMMU and @limits are known
 * @held: how many need it: devices, from when they are opened in it until they are closed,
 *	lost or not; shares that hand it out; the attachment that it came with. It is not
 *	freed meanwhile.
 * @orphaned: the device whose own it was is closed: who holds it last frees it
 * @shared: it is another process's, which set it up and has mappings in it
 * @lent: it was handed out once, and others may have mappings in it; a share's thread says so
 * @lock: protects groups, limits, @held, @orphaned, @lent, and every change of @mappings
 * @groups_lock: taken, too, to change @groups; for those who cannot wait for the kernel
 *	to map memory
 * @mappings: what is mapped; readers take no lock
 * @limits: what is mapped is not counted in it
 * @ranges: where the IOMMU maps, @nr_ranges of them
 * @own_ranges: they, where they are to be freed
 */
struct vfioext_container {
	struct vfioext *ctx;
	enum vfioext_backend backend;
	int fd;
	uint32_t ioas;
	bool unsettled;
	unsigned int owners;
	struct vfioext_device *remotes;
	struct mappings *allocated;
	struct mappings *registered;
	struct vfioext_iova_range windows[SPAPR_WINDOWS];
	size_t nr_windows;
	bool ready;
	unsigned int held;
	bool orphaned;
	bool shared;
	atomic_bool lent;
	pthread_mutex_t lock;
	pthread_mutex_t groups_lock;
	struct group *groups;
	struct mappings *mappings;
	struct vfioext_dma_limits limits;
	const struct vfioext_iova_range *ranges;
	size_t nr_ranges;
	struct vfioext_iova_range *own_ranges;
	bool tracked;
};

/*
 * container.c: the device has its info, and on success its fd and its container. That stays the
 * device's when it is removed, until it is closed or added to another.
 */
int container_add_device(struct vfioext_container *container, struct vfioext_device *device);
void container_remove_device(struct vfioext_device *device);
int container_move_device(struct vfioext_device *device, struct vfioext_container *to);

/* The device is in it from now on, and not in the one before. No lock is held. */
void container_adopt_device(struct vfioext_container *container, struct vfioext_device *device);

/* Keep it from being freed, and no longer. */
void container_hold(struct vfioext_container *container);
void container_unhold(struct vfioext_container *container);

/* Free what was a device's own, when it is no other's and nobody holds it any longer. */
void container_release(struct vfioext_container *container);

/* For one that another process has opened. Return: NULL without memory. */
struct vfioext_container *container_alloc(struct vfioext *ctx, enum vfioext_backend backend);
struct group *container_add_group(struct vfioext_container *container, int id, int fd);

/* Return: NULL if the group is not in it. */
struct group *container_find_group(const struct vfioext_container *container, int id);

/* Unmap what this process mapped, whoever else has mappings. */
int dma_unmap_own(struct vfioext_container *container);

/* dma.c: what the IOMMU can do, once there is one; forget it when the last device leaves. */
void dma_begin(struct vfioext_container *container);
void dma_end(struct vfioext_container *container);

/* The smallest page of the IOMMU, or the host's if that is larger. */
uint64_t dma_page_size(const struct vfioext_container *container);

/* vfioext_dma_unmap(); the container's lock is held. */
int dma_unmap_locked(struct vfioext_container *container, uint64_t iova, uint64_t size);

/* allocation.c: forget what was allocated and is not freed: the memory stays. */
void allocations_forget(struct vfioext_container *container);

#endif
