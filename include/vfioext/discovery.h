/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_DISCOVERY_H
#define VFIOEXT_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_device_info - a device as sysfs shows it
 * @name: "0000:00:03.0", or the UUID of an mdev
 * @bus: "pci" or "mdev"
 * @driver: name of its driver, "" if it has none
 * @group: number of its IOMMU group, -1 if it has none
 * @vfio: it is bound to a VFIO driver
 * @breaks_group: its driver keeps the group from being viable
 * @vendor: PCI vendor id; PCI ids are 0 on other buses
 * @device: PCI device id
 * @subsystem_vendor: PCI subsystem vendor id
 * @subsystem_device: PCI subsystem device id
 * @class_code: PCI class, 24 bits
 * @mdev_type: type of an mdev, else ""
 * @device_api: "vfio-pci" and the like, of an mdev, else ""
 */
struct vfioext_device_info {
	char name[VFIOEXT_NAME_SIZE];
	char bus[16];
	char driver[VFIOEXT_NAME_SIZE];
	int group;
	bool vfio;
	bool breaks_group;
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem_device;
	uint32_t class_code;
	char mdev_type[VFIOEXT_NAME_SIZE];
	char device_api[32];
};

/**
 * struct vfioext_device_list - some devices
 * @list: the devices, by bus and name
 * @nr: how many
 */
struct vfioext_device_list {
	struct vfioext_device_info *list;
	size_t nr;
};

/**
 * vfioext_find_device() - look a device up
 * @ctx: the context
 * @name: its name, as people and programs write it
 * @info: where it goes
 *
 * All of these name a PCI device: "0000:03:00.0", "0:3:0.0" and "0000:03:00.0" in
 * upper case; "03:00.0" and "3:0.0", if one domain alone has such a device;
 * "pci_0000_03_00_0", as libvirt has it; "pci:0000:03:00.0"; a path in sysfs, also of
 * what belongs to the device, such as "/sys/class/net/eth0". An mdev is named by its
 * UUID in either case, by "mdev_" and the UUID with underscores, as libvirt has it, or
 * by a path. "/dev/vfio/devices/vfio0" names the device of that file, and "group:4" or
 * "/dev/vfio/4" the only device of a group.
 *
 * If it fails, vfioext_message() names the devices that @name comes nearest to, or may
 * stand for.
 *
 * Return: 0, -ENODEV if there is no such device, -EINVAL if @name can be no device's or
 * may stand for several, -ENOENT if there is no such group, -EIO if sysfs makes no sense.
 */
int vfioext_find_device(struct vfioext *ctx, const char *name, struct vfioext_device_info *info);

/**
 * vfioext_parse_group() - read the number of a group
 * @text: "4", "group:4" or "/dev/vfio/4"
 * @group: where the number goes
 *
 * Return: true if @text is one of these; whether there is such a group is not looked at.
 */
bool vfioext_parse_group(const char *text, int *group);

/**
 * vfioext_list_devices() - all devices that VFIO could have
 * @ctx: the context
 * @devices: where they go, to be given to vfioext_device_list_release()
 *
 * PCI devices that are in an IOMMU group, and all mdevs; one that has lost its driver
 * has no group. Devices that vanish while they are read are left out.
 *
 * Return: 0, -ENOMEM, or the error of reading sysfs.
 */
int vfioext_list_devices(struct vfioext *ctx, struct vfioext_device_list *devices);

/**
 * vfioext_list_group() - the members of an IOMMU group, whatever their driver
 * @ctx: the context
 * @group: number of the group
 * @devices: where they go, to be given to vfioext_device_list_release()
 *
 * Return: 0, -ENOENT if there is no such group, -ENOMEM, -EIO.
 */
int vfioext_list_group(struct vfioext *ctx, int group, struct vfioext_device_list *devices);

/**
 * vfioext_list_vfs() - the virtual functions of a device
 * @ctx: the context
 * @pf: name of the device, as in struct vfioext_device_info
 * @devices: where they go, to be given to vfioext_device_list_release(); none if the
 *	device is not there, or can have none
 *
 * Return: 0, -ENOMEM, or the error of reading sysfs.
 */
int vfioext_list_vfs(struct vfioext *ctx, const char *pf, struct vfioext_device_list *devices);

/**
 * vfioext_group_breaker() - what keeps a group from being viable
 * @devices: the members of a group
 *
 * A member breaks the group if a driver has it that does DMA for the kernel:
 * any but VFIO's own, pci-stub and pcieport.
 *
 * Return: the first such member, or NULL if the group is viable.
 */
const struct vfioext_device_info *
vfioext_group_breaker(const struct vfioext_device_list *devices);

/**
 * vfioext_device_list_release() - free what a list holds
 * @devices: the list
 */
void vfioext_device_list_release(struct vfioext_device_list *devices);

#ifdef __cplusplus
}
#endif

#endif
