/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which driver has a device. */
#ifndef VFIOEXT_BIND_H
#define VFIOEXT_BIND_H

#include <stddef.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vfioext_bind() - bind a device to a driver
 * @ctx: the context
 * @name: the device, as vfioext_find_device() takes it
 * @driver: the driver, NULL for vfio-pci; "vfio_pci" is taken for "vfio-pci"
 *
 * Another driver that has the device is unbound first; vfioext_uses_get() tells
 * whether the host can do without it. Only this device is bound to @driver, and
 * only this time: its driver_override is afterwards what it was before. The call
 * returns when it is known that the driver keeps the device, which some drivers
 * only know seconds after they took it.
 *
 * Whatever fails, the device gets back the driver and the driver_override that
 * it had; vfioext_message() says what failed, and whether that did.
 *
 * @driver must be loaded. An mdev has one driver, its parent's (@driver is NULL or
 * names it). The kernel cannot bind it a second time, so an mdev without its driver
 * is removed and created again, and what was set in it is lost.
 *
 * Return: 0; -EALREADY if it is bound to @driver; -ENODEV, -EINVAL as
 * vfioext_find_device(); -ENOENT if @driver is not there; -EOPNOTSUPP if the device
 * has no IOMMU group and vfio is not allowed to do without
 * (enable_unsafe_noiommu_mode), or @driver is not that of an mdev; -EPERM or
 * -EACCES; -EBUSY if another program is binding it, or if @driver is the host's
 * and user space has the group; -ETIMEDOUT if the driver is not ready in time;
 * -EIO if the driver did not take it.
 */
int vfioext_bind(struct vfioext *ctx, const char *name, const char *driver);

/**
 * vfioext_unbind() - unbind the driver of a device
 * @ctx: the context
 * @name: the device, as vfioext_find_device() takes it
 *
 * Blocks in the kernel, and no signal ends that, for as long as the device is
 * held; vfioext_removal_start() asks for it first. The device has no driver
 * afterwards; vfioext_give_back() gives it to the host's.
 *
 * Return: 0; -ENODEV, -EINVAL as vfioext_find_device(); -EALREADY if it has no
 * driver; -EPERM or -EACCES.
 */
int vfioext_unbind(struct vfioext *ctx, const char *name);

/**
 * vfioext_give_back() - give a device to the host's driver
 * @ctx: the context
 * @name: the device, as vfioext_find_device() takes it
 *
 * The bus chooses among the drivers that are loaded. A driver_override that names
 * a VFIO driver is set aside meanwhile; another one is respected.
 *
 * A device that a VFIO driver has is unbound first, which blocks as vfioext_unbind()
 * does. If the host's does not take it, that driver has it again.
 *
 * Return: 0; -EALREADY if a driver of the host has it; -ENODEV, -EINVAL as
 * vfioext_find_device(); -ENOENT if no loaded driver took it, or a VFIO driver did
 * that was told to take such devices; -EBUSY if user space has the group;
 * -EOPNOTSUPP for an mdev; -EPERM or -EACCES; -EIO if the driver let go again.
 */
int vfioext_give_back(struct vfioext *ctx, const char *name);

/**
 * vfioext_find_driver() - look a driver of PCI devices up
 * @ctx: the context
 * @name: its name; "-" and "_" are taken for each other
 * @driver: where its name goes as the kernel spells it, of VFIOEXT_NAME_SIZE bytes
 *
 * Return: 0, -EINVAL if @name can be no driver's, -ENOENT if it is not loaded.
 */
int vfioext_find_driver(struct vfioext *ctx, const char *name, char *driver);

#ifdef __cplusplus
}
#endif

#endif
