/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_DEVICE_H
#define VFIOEXT_DEVICE_H

#include <stdint.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** struct vfioext_device - an open device, with its group and a container; opaque. */
struct vfioext_device;

/**
 * vfioext_device_open() - open a device in a container of its own
 * @ctx: the context
 * @name: a device that is bound to a VFIO driver
 * @device: where it goes
 *
 * Return: 0; -ENODEV, -EINVAL as vfioext_find_device(); -ENXIO if it is not bound
 * to a VFIO driver; -EBUSY if the group is open elsewhere or not viable
 * (vfioext_message() says which); -EPERM, -EACCES; -ENOMEM; or the error of the
 * step that vfioext_message() names.
 */
int vfioext_device_open(struct vfioext *ctx, const char *name, struct vfioext_device **device);

/**
 * vfioext_device_close() - close the device, its group and its container
 * @device: the device, or NULL
 */
void vfioext_device_close(struct vfioext_device *device);

/** vfioext_device_fd() - the device's file descriptor, which stays its own. */
int vfioext_device_fd(const struct vfioext_device *device);

/** vfioext_device_group_fd() - the group's, likewise. */
int vfioext_device_group_fd(const struct vfioext_device *device);

/** vfioext_device_container_fd() - the container's, likewise. */
int vfioext_device_container_fd(const struct vfioext_device *device);

/**
 * vfioext_device_map_region() - map a whole region
 * @device: the device
 * @index: number of the region, VFIO_PCI_BAR0_REGION_INDEX and so on
 * @addr: where its address goes; munmap() it
 * @size: where its size in bytes goes
 *
 * Return: 0, -EINVAL if there is no such region, -ENOTSUP if it cannot be mapped
 * whole, or the error of the kernel.
 */
int vfioext_device_map_region(struct vfioext_device *device, uint32_t index, void **addr,
			      uint64_t *size);

/**
 * vfioext_device_request_eventfd() - have an eventfd signaled when the device is
 * wanted back
 * @device: the device
 * @eventfd: the eventfd, or -1 for none
 *
 * Return: 0, -ENOTSUP if the device has no such interrupt, or the error of the
 * kernel. Source: VFIO_PCI_REQ_IRQ_INDEX.
 */
int vfioext_device_request_eventfd(struct vfioext_device *device, int eventfd);

#ifdef __cplusplus
}
#endif

#endif
