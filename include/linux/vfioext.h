/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The external-user API of VFIO groups, for in-kernel consumers.
 *
 * A consumer holds a group that user space has set up: the group stays in its
 * container, and with it the IOMMU's domain, until the consumer lets go. On POWER
 * the owner may still remove windows and replace what is mapped in them.
 * Names and meaning are those the API had in mainline until 5.18.
 */
#ifndef _LINUX_VFIOEXT_H
#define _LINUX_VFIOEXT_H

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/notifier.h>
#include <uapi/linux/vfioext.h>

struct vfio_group;

/**
 * vfio_group_get_external_user() - hold the group behind a group file
 * @filep: file of /dev/vfio/GROUP, on which the caller holds a reference
 *
 * The group must be viable, in a container, and the container's IOMMU set.
 * While it is held, VFIO_GROUP_UNSET_CONTAINER gives EBUSY, closing every file
 * descriptor of the owner leaves the group, its container and its IOMMU domain
 * alive, and the removal of any of its devices waits.
 *
 * The pointer is a cookie: compare it, hand it back to this API, and nothing
 * else. Each successful call needs one vfio_group_put_external_user().
 *
 * A consumer that must let go when a device is removed keeps a lock of its own
 * across this call and the recording of its result, and takes that lock in its
 * removal notifier: then no removal falls between the two.
 *
 * Context: process context, may sleep.
 * Return: the group, never NULL; or ERR_PTR of
 *
 * * -EINVAL: not the file of a VFIO group, no container, no IOMMU set
 * * -EPERM: a noiommu group, which protects nothing
 * * -ENODEV: a removal of one of its devices is in progress, or it has none
 * * -EOPNOTSUPP: the group cannot be pinned: the layout of vfio's private data
 *   did not prove itself on this kernel, or the group is backed by iommufd
 */
struct vfio_group *vfio_group_get_external_user(struct file *filep);

/**
 * vfio_group_get_external_user_from_dev() - hold the group of a device
 * @dev: a device that is bound to a VFIO driver
 *
 * As vfio_group_get_external_user() for the group of @dev, which some process
 * must have open.
 *
 * Context: process context, may sleep.
 * Return: as vfio_group_get_external_user(); -EINVAL also if @dev is NULL, not
 * bound to VFIO, or its group is not open.
 */
struct vfio_group *vfio_group_get_external_user_from_dev(struct device *dev);

/**
 * vfio_group_put_external_user() - let a group go
 * @group: what one of the get calls returned; NULL and ERR_PTR are ignored
 *
 * With the last put, everything the get took is given back: a removal that
 * waited for it goes on, and the container goes if its owner has closed it.
 *
 * Context: process context, may sleep.
 */
void vfio_group_put_external_user(struct vfio_group *group);

/**
 * vfio_external_user_iommu_id() - the number of a group's IOMMU group
 * @group: a group the caller holds
 *
 * Context: any.
 * Return: the number, as in /sys/kernel/iommu_groups and iommu_group_id().
 */
int vfio_external_user_iommu_id(struct vfio_group *group);

/**
 * vfio_external_group_match_file() - is this the file of that group?
 * @group: a group the caller holds
 * @filep: any file, on which the caller holds a reference
 *
 * Context: any.
 * Return: true if @filep is the file through which @group is open.
 */
bool vfio_external_group_match_file(struct vfio_group *group, struct file *filep);

/**
 * enum vfioext_removal_action - action of a removal notifier call
 * @VFIOEXT_REMOVAL_LET_GO: a device of the group is to be taken back; release
 *	what is held of it
 * @VFIOEXT_REMOVAL_CANCELLED: the device stays: the removal was called off, or ran out
 *	of time. Told only after VFIOEXT_REMOVAL_LET_GO of the same removal; the group may be
 *	taken again.
 */
enum vfioext_removal_action {
	VFIOEXT_REMOVAL_LET_GO = 1,
	VFIOEXT_REMOVAL_CANCELLED = 2,
};

/**
 * struct vfioext_removal_info - data of a removal notifier call
 * @id: number of the removal, as on netlink; 0 if the host goes down
 * @origin: who wants the device back; after VFIOEXT_ORIGIN_ASKED the device
 *	stays bound if somebody does not let go
 * @group: the group; equal to what vfio_group_get_external_user() returned
 * @iommu_id: number of its IOMMU group
 * @dev: the device; valid for the length of the call
 * @deadline: when the processes that hold the device have to have let go, by
 *	CLOCK_MONOTONIC. An in-kernel user is waited for however long it takes.
 */
struct vfioext_removal_info {
	u32 id;
	enum vfioext_origin origin;
	struct vfio_group *group;
	int iommu_id;
	struct device *dev;
	ktime_t deadline;
};

/**
 * vfioext_register_removal_notifier() - be told to let go
 * @nb: its call gets an action of enum vfioext_removal_action and a struct
 *	vfioext_removal_info; what it returns is ignored
 *
 * The call comes from a work item and may sleep; it may put the group at once
 * or later. Calls for several devices may run at the same time; those of one removal come one
 * after the other. It must not register or unregister a removal notifier. Removals
 * that began before registration are not told.
 *
 * When the host is shut down or restarted, or another kernel is booted, the users of every
 * group are told to let go in the process that does it, with id 0.
 *
 * Context: process context, may sleep.
 * Return: 0, or -EEXIST if @nb is registered already.
 */
int vfioext_register_removal_notifier(struct notifier_block *nb);

/**
 * vfioext_unregister_removal_notifier() - be told no longer
 * @nb: what was registered
 *
 * When it returns, no call of @nb is running and none will come.
 *
 * Context: process context, may sleep; not from a removal notifier.
 * Return: 0, or -ENOENT if @nb was not registered.
 */
int vfioext_unregister_removal_notifier(struct notifier_block *nb);

#endif /* _LINUX_VFIOEXT_H */
