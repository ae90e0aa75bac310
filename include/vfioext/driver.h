/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_DRIVER_H
#define VFIOEXT_DRIVER_H

#include <stddef.h>
#include <stdint.h>
#include <vfioext/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An id that fits every device. */
#define VFIOEXT_ANY_ID UINT32_MAX

/**
 * struct vfioext_device_id - which devices a driver or a caller is after
 * @vendor: PCI vendor, or VFIOEXT_ANY_ID; here and below
 * @device: PCI device
 * @subsystem_vendor: PCI subsystem vendor
 * @subsystem_device: PCI subsystem device
 * @class_code: PCI class
 * @class_mask: the bits of @class_code that matter; 0 for no bit
 * @device_api: "vfio-pci" and the like, of mdevs; NULL for vfio-pci's
 * @bus: "pci" or "mdev", NULL for both
 *
 * A PCI device's API is vfio-pci.
 */
struct vfioext_device_id {
	uint32_t vendor;
	uint32_t device;
	uint32_t subsystem_vendor;
	uint32_t subsystem_device;
	uint32_t class_code;
	uint32_t class_mask;
	const char *device_api;
	const char *bus;
};

/**
 * vfioext_match() - does a device fit?
 * @ctx: the context
 * @info: the device
 * @id: what it is to fit
 *
 * The PCI ids of an mdev are in its configuration space alone: if they matter, it
 * is opened to read them, and what cannot be opened does not fit.
 *
 * Return: 1 if it fits, 0 if not, or the error of opening it.
 */
int vfioext_match(struct vfioext *ctx, const struct vfioext_device_info *info,
		  const struct vfioext_device_id *id);

/**
 * vfioext_read_mdev_ids() - read the PCI ids of an mdev
 * @ctx: the context
 * @info: an mdev that speaks vfio-pci; its PCI ids are filled in
 *
 * Return: 0, -EINVAL if it is none, or as vfioext_device_open().
 */
int vfioext_read_mdev_ids(struct vfioext *ctx, struct vfioext_device_info *info);

/**
 * struct vfioext_driver - a driver in user space
 * @name: its name
 * @ids: what it drives
 * @nr_ids: how many
 * @probe: take a device, which is open and whose driver from then on this is until
 *	@remove; an error leaves it to other drivers
 * @remove: give it back; it is closed after. It may unplug other devices.
 * @data: the driver's own
 */
struct vfioext_driver {
	const char *name;
	const struct vfioext_device_id *ids;
	size_t nr_ids;
	int (*probe)(const struct vfioext_driver *driver, struct vfioext_device *device);
	void (*remove)(const struct vfioext_driver *driver, struct vfioext_device *device);
	void *data;
};

/** struct vfioext_bus - drivers, and the devices they have; opaque. */
struct vfioext_bus;

/**
 * vfioext_bus_new() - make an empty bus
 * @ctx: the context, which must outlive it
 * @how: how devices are opened, or NULL as for vfioext_device_open(); copied
 * @bus: where it goes
 *
 * Return: 0 or -ENOMEM.
 */
int vfioext_bus_new(struct vfioext *ctx, const struct vfioext_open *how,
		    struct vfioext_bus **bus);

/** vfioext_bus_free() - remove all devices from their drivers, and close them. */
void vfioext_bus_free(struct vfioext_bus *bus);

/**
 * vfioext_bus_register() - add a driver
 * @bus: the bus
 * @driver: the driver, which stays the caller's and must outlive the bus
 *
 * Drivers are tried in the order in which they were added.
 *
 * Return: 0, -EEXIST if one of that name is there, or -ENOMEM.
 */
int vfioext_bus_register(struct vfioext_bus *bus, const struct vfioext_driver *driver);

/**
 * vfioext_bus_scan() - probe all devices that are bound to a VFIO driver
 * @bus: the bus
 *
 * Devices that have a driver of the bus keep it; what is gone is removed. What a driver is for and
 * none has taken is told by vfioext_bus_left_out(). An mdev is opened for its ids, which resets
 * it, if an id of a driver is for its bus and API, and names some.
 *
 * Return: how many devices have a driver now, the error of reading sysfs, or -ENOMEM.
 */
int vfioext_bus_scan(struct vfioext_bus *bus);

/**
 * struct vfioext_left_out - a device that a driver of a bus is for, and has not
 * @name: its name
 * @error: why: the negative error of opening it, or of the last driver that did not take it
 * @reason: the same in words; "" if a driver gave none
 */
struct vfioext_left_out {
	char name[VFIOEXT_NAME_SIZE];
	int error;
	char reason[256];
};

/**
 * vfioext_bus_left_out() - what the last scan has left out
 * @bus: the bus
 * @nr: where their number goes
 *
 * Of an mdev whose ids cannot be read it is not known whether a driver is for it: it is here, too.
 *
 * Return: the devices, the bus's own and good until its next scan; NULL if there are none.
 */
const struct vfioext_left_out *vfioext_bus_left_out(const struct vfioext_bus *bus, size_t *nr);

/**
 * vfioext_bus_plug() - probe one device
 * @bus: the bus
 * @name: the device
 *
 * Return: 0; -EALREADY if it has a driver of the bus; -ENOENT if no driver is for
 * it; the error of opening it, or of the last driver that did not take it.
 */
int vfioext_bus_plug(struct vfioext_bus *bus, const char *name);

/**
 * vfioext_bus_unplug() - remove a device from its driver, and close it
 * @bus: the bus
 * @name: the device
 *
 * Return: 0, or -ENOENT if no driver of the bus has it.
 */
int vfioext_bus_unplug(struct vfioext_bus *bus, const char *name);

#ifdef __cplusplus
}
#endif

#endif
