/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_DEVICE_H
#define VFIOEXT_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <vfioext/container.h>
#include <vfioext/context.h>
#include <vfioext/discovery.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_device - an open device; opaque.
 *
 * Regions, interrupts and the rest may be used from several threads at once;
 * opening, moving and closing may not overlap with any other use.
 */
struct vfioext_device;

/**
 * struct vfioext_open - how to open a device
 * @container: the container to open it in, NULL for one of its own, made as
 *	@backend says and freed when the device is closed; later, if others are open in it then.
 *	Where another device of its group is open in the context it is in that one's container,
 *	as the kernel wants it, and if that is the other's own it is freed when both are closed.
 * @backend: what stands behind a container of its own
 * @vf_token: UUID that the owner of the physical function has set, or NULL. Of a physical
 *	function it is set by who opens it while no virtual one is open. A device that has none
 *	is opened without.
 */
struct vfioext_open {
	struct vfioext_container *container;
	enum vfioext_backend backend;
	const char *vf_token;
};

/**
 * vfioext_device_open() - open a device
 * @ctx: the context, which must outlive it
 * @name: a device that is bound to a VFIO driver: "0000:00:03.0", the UUID of an
 *	mdev, or the path of a device's own file, "/dev/vfio/devices/vfio0"; or "user:" and
 *	the path of a socket that a device is served at over vfio-user, see user_client.h
 * @how: how, or NULL for a container of its own
 * @device: where it goes
 *
 * The first device of a group opens the group and puts it into the container;
 * the last one takes it out again. A device that was closed may be opened again.
 *
 * Return: 0; -ENODEV, -EINVAL as vfioext_find_device(), or if a token is no UUID; -EXDEV if it is served over vfio-user
 * and the container is not for such devices, or the reverse; -ENXIO if it is not bound
 * to a VFIO driver; -EBUSY if the group is open elsewhere (vfioext_message() names who has it, if
 * that can be told) or not viable (it says which function and driver break it), or if it is in
 * another container of this process; -EPERM if the host has no interrupt remapping, or on POWER
 * under a hypervisor the container has another group; -EACCES if a file is not for us, or without
 * the right token; -EOPNOTSUPP if the kernel takes no token over iommufd; -ENOMEM; or the error of
 * the step that vfioext_message() names.
 */
int vfioext_device_open(struct vfioext *ctx, const char *name, const struct vfioext_open *how,
			struct vfioext_device **device);

/**
 * vfioext_device_close() - close the device
 * @device: the device, or NULL
 *
 * Its regions are unmapped, its interrupts are disabled, and it is no bus master any
 * longer, unless the container is shared (share.h): other processes may have it open.
 * What was mapped for DMA stays in a container that is not its own.
 */
void vfioext_device_close(struct vfioext_device *device);

/**
 * vfioext_device_move() - take a device to another address space
 * @device: the device, alone in its group or with all others of it closed
 * @container: where it is to be
 *
 * Other devices of both containers go on meanwhile. With a VFIO container behind
 * it the kernel wants the device closed in between: its regions are unmapped and
 * its interrupts gone, and are to be set up anew; the object stays good. With
 * iommufd on both sides nothing of it is touched but what memory it sees. A device that is closed
 * and opened is reset, and no bus master any longer.
 *
 * One that is served over vfio-user keeps all but the memory it sees.
 *
 * A container of its own stays until the device is closed, and it can be moved back there.
 *
 * Return: 0; -ENODEV if it is lost; -EBUSY if another device of the group is open; -EXDEV if one
 * container is iommufd's and the other is not, or if they are of different contexts
 * and iommufd's; -EOPNOTSUPP if its container is or was shared, or if the other is
 * another process's; -EPERM on POWER under a hypervisor, where each group has an address
 * space of its own; or the error of the step that vfioext_message() of the device's
 * context names. The device is where it was, then; but with a VFIO container behind it
 * that has no other device, what was mapped there is gone, as whenever the last one leaves.
 */
int vfioext_device_move(struct vfioext_device *device, struct vfioext_container *container);

/** vfioext_device_info() - what it was when it was opened; good until it is closed. */
const struct vfioext_device_info *vfioext_device_info(const struct vfioext_device *device);

/**
 * vfioext_device_container() - the container that it is in
 * @device: the device
 *
 * Return: the container, also when the device is lost: then the one that it was in. It is not
 * freed before the device is closed, whosever it is.
 */
struct vfioext_container *vfioext_device_container(const struct vfioext_device *device);

/**
 * vfioext_device_fd() - the device's file descriptor, which stays its own; -1 if it is served
 * over vfio-user. Once the device is lost, that of a file which nothing is to be had from.
 */
int vfioext_device_fd(const struct vfioext_device *device);

/**
 * vfioext_device_group_fd() - the group's, likewise; -1 if iommufd stands behind it, or the
 * device is lost
 */
int vfioext_device_group_fd(const struct vfioext_device *device);

/** vfioext_device_nr_regions() - how many regions it has, numbered from 0. */
unsigned int vfioext_device_nr_regions(const struct vfioext_device *device);

/** vfioext_device_nr_irqs() - how many kinds of interrupts it has, numbered from 0. */
unsigned int vfioext_device_nr_irqs(const struct vfioext_device *device);

/** vfioext_device_is_pci() - does it speak vfio-pci? So do most mdevs. */
bool vfioext_device_is_pci(const struct vfioext_device *device);

/**
 * vfioext_device_set_vf_token() - set the token that virtual functions are opened with
 * @device: a physical function
 * @token: a UUID
 *
 * The kernel asks for it (vf_token of struct vfioext_open) from then on, also for functions that
 * are opened by others; what is open stays so.
 *
 * Return: 0; -EINVAL if it is no UUID; -ENOTSUP if the device has no virtual functions; -ENODEV; or the
 * kernel's error. Source: VFIO_DEVICE_FEATURE_PCI_VF_TOKEN.
 */
int vfioext_device_set_vf_token(struct vfioext_device *device, const char *token);

/** vfioext_device_is_resettable() - can vfioext_device_reset() reset it? */
bool vfioext_device_is_resettable(const struct vfioext_device *device);

/**
 * vfioext_device_lost() - was the device taken away?
 * @device: the device
 *
 * From then on its regions read as all ones, writes go nowhere, and every call
 * that needs the device gives -ENODEV. See vfioext_device_watch(). One that is served over
 * vfio-user is lost, too, when its server has gone, breaks the rules, or has not answered for
 * 5 s (a reset: 30 s); what is mapped of it stays the server's memory until it is let go.
 */
bool vfioext_device_lost(const struct vfioext_device *device);

#ifdef __cplusplus
}
#endif

#endif
