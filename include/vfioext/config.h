/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_CONFIG_H
#define VFIOEXT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <vfioext/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vfioext_config_read() - read a register of the PCI configuration space
 * @device: a PCI device, or an mdev that speaks vfio-pci
 * @offset: where, a multiple of @width, below 4096
 * @width: 1, 2 or 4 bytes
 *
 * Return: the value; all ones if there is none, or the device is lost.
 */
uint32_t vfioext_config_read(const struct vfioext_device *device, unsigned int offset,
			     unsigned int width);

/**
 * vfioext_config_write() - write a register of the PCI configuration space
 * @device: as above
 * @offset: as above
 * @width: as above
 * @value: the value
 *
 * Return: 0, -EINVAL, -ENODEV, or the kernel's error.
 */
int vfioext_config_write(const struct vfioext_device *device, unsigned int offset,
			 unsigned int width, uint32_t value);

/**
 * vfioext_config_capability() - find a capability
 * @device: the device
 * @id: PCI_CAP_ID_* of <linux/pci_regs.h>
 *
 * Return: its offset, 0 if the device has none, -EPROTO if the list has no end
 * or leads out of the configuration space, -ENODEV if the device is lost.
 */
int vfioext_config_capability(const struct vfioext_device *device, unsigned int id);

/** vfioext_config_extended_capability() - likewise, of the extended ones, PCI_EXT_CAP_ID_*. */
int vfioext_config_extended_capability(const struct vfioext_device *device, unsigned int id);

/**
 * vfioext_config_next_capability() - walk the list of capabilities
 * @device: the device
 * @offset: where the last one was found, 0 for the first
 * @extended: walk the extended ones
 * @id: where the number of the one that was found goes
 *
 * Return: as vfioext_config_capability(), 0 at the end of the list.
 */
int vfioext_config_next_capability(const struct vfioext_device *device, unsigned int offset,
				   bool extended, unsigned int *id);

/**
 * vfioext_device_set_master() - let the device do DMA, or not
 * @device: a PCI device
 * @master: whether
 *
 * Opening leaves it as the kernel does, which is not; closing clears it.
 *
 * Return: 0, -ENODEV, or the kernel's error.
 */
int vfioext_device_set_master(struct vfioext_device *device, bool master);

#ifdef __cplusplus
}
#endif

#endif
