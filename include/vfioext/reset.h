/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_RESET_H
#define VFIOEXT_RESET_H

#include <stdbool.h>
#include <stddef.h>
#include <vfioext/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vfioext_device_reset() - reset the device alone
 * @device: the device
 *
 * Its interrupts stay set up, and are to be enabled in the device again by its
 * driver.
 *
 * Return: 0, -ENOTSUP if it cannot be reset alone, -ENODEV, or the kernel's error.
 */
int vfioext_device_reset(struct vfioext_device *device);

/**
 * struct vfioext_hot_reset_device - a device that a hot reset takes along
 * @name: its name
 * @group: its IOMMU group, -1 if it is not known (iommufd)
 * @ours: this process has its group, or for iommufd the device, open
 */
struct vfioext_hot_reset_device {
	char name[VFIOEXT_NAME_SIZE];
	int group;
	bool ours;
};

/**
 * struct vfioext_hot_reset - what a hot reset takes along
 * @list: the devices, the one asked for among them
 * @nr: how many
 * @possible: all are ours
 */
struct vfioext_hot_reset {
	struct vfioext_hot_reset_device *list;
	size_t nr;
	bool possible;
};

/**
 * vfioext_device_get_hot_reset() - what a reset of the slot or bus takes along
 * @device: a PCI device
 * @reset: where it goes, to be given to vfioext_hot_reset_release()
 *
 * Return: 0, -ENOTSUP if there is no such reset, -ENODEV, -ENOMEM, or the kernel's
 * error. Source: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.
 */
int vfioext_device_get_hot_reset(struct vfioext_device *device, struct vfioext_hot_reset *reset);

/** vfioext_hot_reset_release() - free what the list holds. */
void vfioext_hot_reset_release(struct vfioext_hot_reset *reset);

/**
 * vfioext_device_hot_reset() - reset the slot or bus of a device
 * @device: a PCI device; all groups that it takes along are open in this process, in whatever
 *	container; over iommufd all devices are, in the same context
 *
 * Return: 0, -ENOTSUP, -EPERM if a device is not ours (vfioext_message() of the
 * device's context says which), -ENODEV, -ENOMEM, or the kernel's error.
 */
int vfioext_device_hot_reset(struct vfioext_device *device);

#ifdef __cplusplus
}
#endif

#endif
