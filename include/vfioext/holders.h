/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_HOLDERS_H
#define VFIOEXT_HOLDERS_H

#include <stddef.h>
#include <stdint.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_holder - a process that holds a device or its group
 * @pid: its number here, 0 if it is not visible from this pid namespace
 * @uid: its real user
 * @comm: its name
 * @group_fds: file descriptors of the group
 * @device_fds: file descriptors of devices
 * @mappings: mappings of devices' regions
 * @kvm_fds: file descriptors of KVM's VFIO device, in a virtual machine that KVM
 *	keeps the group, or the device, for
 */
struct vfioext_holder {
	int pid;
	uint32_t uid;
	char comm[16];
	uint32_t group_fds;
	uint32_t device_fds;
	uint32_t mappings;
	uint32_t kvm_fds;
};

/**
 * struct vfioext_holders - who holds something
 * @list: the processes
 * @nr: how many
 * @unaccounted: open handles that no process accounts for
 * @hidden: what the caller may not see, and cannot be told of: open handles, at least so many
 */
struct vfioext_holders {
	struct vfioext_holder *list;
	size_t nr;
	uint32_t unaccounted;
	uint32_t hidden;
};

/**
 * vfioext_device_holders() - who holds a device
 * @ctx: the context
 * @device: name of a device that is bound to a VFIO driver
 * @holders: where they go, to be given to vfioext_holders_release()
 *
 * Without CAP_SYS_ADMIN only the caller's own processes are told, and of others how many
 * handles they have open.
 *
 * Return: 0, -ENODEV if it is not bound to a VFIO driver, -EPROTONOSUPPORT if
 * the module is not loaded, -ENOMEM, or the error of the netlink socket.
 */
int vfioext_device_holders(struct vfioext *ctx, const char *device,
			   struct vfioext_holders *holders);

/**
 * vfioext_group_holders() - who holds a group or a device in it
 * @ctx: the context
 * @group: number of the group
 * @holders: where they go, to be given to vfioext_holders_release()
 *
 * Return: as vfioext_device_holders().
 */
int vfioext_group_holders(struct vfioext *ctx, int group, struct vfioext_holders *holders);

/**
 * vfioext_device_holders_by_proc() - who holds a device, where the module is not loaded
 * @ctx: the context
 * @device: name of the device
 * @holders: where they go, to be given to vfioext_holders_release()
 *
 * What /proc tells of those processes that one may look at: not the kernel's own users, and
 * not which device is behind a descriptor that a group gave. @holders->hidden is how many
 * processes one may not look at.
 *
 * Return: 0, -ENODEV if there is no such device, -ENOMEM, or the error of /proc.
 */
int vfioext_device_holders_by_proc(struct vfioext *ctx, const char *device,
				   struct vfioext_holders *holders);

/** vfioext_group_holders_by_proc() - who has a group's file open, or any device's of a group */
int vfioext_group_holders_by_proc(struct vfioext *ctx, int group,
				  struct vfioext_holders *holders);

/**
 * vfioext_holders_release() - free what the list holds
 * @holders: the list
 */
void vfioext_holders_release(struct vfioext_holders *holders);

/**
 * struct vfioext_group - a group that has VFIO devices, as the module knows it
 * @id: its number
 * @name: name of its file below /dev/vfio
 * @type: enum vfioext_group_type of <linux/vfioext.h>
 * @viable: 1 or 0, -1 if not known
 * @container_set: 1 or 0, -1 if not known
 * @external_users: in-kernel users that hold it
 */
struct vfioext_group {
	int id;
	char name[24];
	uint32_t type;
	int viable;
	int container_set;
	uint32_t external_users;
};

/**
 * vfioext_group_get() - what the module knows of a group
 * @ctx: the context
 * @id: its number
 * @group: where it goes
 *
 * Return: 0, -ENODEV if it has no VFIO device, -EPROTONOSUPPORT if the module is
 * not loaded, or the error of the netlink socket.
 */
int vfioext_group_get(struct vfioext *ctx, int id, struct vfioext_group *group);

/**
 * vfioext_device_handles() - how often a device is open
 * @ctx: the context
 * @device: name of the device
 * @handles: where the number of open handles goes
 *
 * Return: as vfioext_group_get().
 */
int vfioext_device_handles(struct vfioext *ctx, const char *device, uint32_t *handles);

#ifdef __cplusplus
}
#endif

#endif
