/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_HOLDERS_H
#define VFIOEXT_HOLDERS_H

#include <linux/list.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

struct kvm;
struct tracked_device;
struct tracked_group;
struct vfio_device;
struct vfio_group;

/**
 * struct target_device - a device whose holders are sought
 * @vdev: the device
 * @kvm: the virtual machine that the device was given to, or NULL
 */
struct target_device {
	struct vfio_device *vdev;
	const struct kvm *kvm;
};

/**
 * struct holder_target - what the holders are sought of
 * @group: the group, whose file counts too
 * @group_kvm: the virtual machine that KVM keeps the group for, or NULL
 * @devices: devices of the group
 * @nr_devices: how many
 * @handles: of the devices, open when the target was made
 *
 * All of it is compared with what processes have, and never followed: nothing is
 * kept from going away while its holders are sought.
 */
struct holder_target {
	const struct vfio_group *group;
	const struct kvm *group_kvm;
	struct target_device *devices;
	unsigned int nr_devices;
	unsigned int handles;
};

/**
 * struct holder - a process that holds something
 * @node: in the list of holders
 * @pid: the process; referenced
 * @comm: its name
 * @uid: its real user
 * @group_fds: file descriptors of the group
 * @device_fds: file descriptors of devices
 * @mappings: mappings of devices
 * @kvm_fds: file descriptors of KVM's VFIO device
 * @kvm_has_device: KVM, and no process, has a device open, for one of these
 * @spared: pid 1, or a part of the kernel: never sent a signal
 */
struct holder {
	struct list_head node;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
	kuid_t uid;
	u32 group_fds;
	u32 device_fds;
	u32 mappings;
	u32 kvm_fds;
	bool kvm_has_device;
	bool spared;
};

/**
 * struct holders - who holds a target
 * @list: the processes, by ascending number
 * @unaccounted: handles that no process accounts for
 */
struct holders {
	struct list_head list;
	unsigned int unaccounted;
};

/**
 * enum holder_scope - whose processes are looked at
 * @HOLDERS_ALL: everybody's
 * @HOLDERS_OWN: those that the calling process could trace: its user's, roughly
 */
enum holder_scope {
	HOLDERS_ALL,
	HOLDERS_OWN,
};

typedef void (*holder_device_fn)(struct vfio_device *vdev);

int holder_target_device(struct holder_target *target, struct tracked_device *td);
int holder_target_group(struct holder_target *target, struct tracked_group *tg);
void holder_target_release(struct holder_target *target);

int holders_find(const struct holder_target *target, enum holder_scope scope,
		 struct holders *holders);
void holders_look_again(const struct holder_target *target, struct holders *holders);
void holders_release(struct holders *holders);
unsigned int holders_count(const struct holders *holders);
void holders_signal(const struct holders *holders);
void holders_walk_devices(holder_device_fn fn);
bool holder_is_current(const struct holder_target *target);

static inline bool holder_has_device(const struct holder *holder)
{
	return holder->device_fds || holder->mappings || holder->kvm_has_device;
}

#endif
