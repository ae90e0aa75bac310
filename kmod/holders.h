/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_HOLDERS_H
#define VFIOEXT_HOLDERS_H

#include <linux/sched.h>
#include <linux/uidgid.h>

struct kvm;
struct tracked_device;
struct tracked_group;
struct vfio_device;
struct vfio_group;

/**
 * struct holder_target - what the holders are sought of
 * @group: the group, whose file counts too
 * @vdevs: devices of the group, each with a registration reference
 * @nr_vdevs: how many
 * @group_kvm: the virtual machine that KVM keeps the group for, or NULL
 *
 * The references keep the devices, and so the group, while they are sought.
 */
struct holder_target {
	struct vfio_group *group;
	struct vfio_device **vdevs;
	unsigned int nr_vdevs;
	const struct kvm *group_kvm;
};

/**
 * struct holder - a process that holds something
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
 * @nr: how many
 * @unaccounted: handles that no process accounts for
 */
struct holders {
	struct holder *list;
	unsigned int nr;
	unsigned int unaccounted;
};

typedef void (*holder_device_fn)(struct vfio_device *vdev);

int holder_target_device(struct holder_target *target, struct tracked_device *td);
int holder_target_group(struct holder_target *target, struct tracked_group *tg);
void holder_target_release(struct holder_target *target);

int holders_find(const struct holder_target *target, struct holders *holders);
void holders_release(struct holders *holders);
unsigned int holders_signal(const struct holders *holders);
void holders_walk_devices(holder_device_fn fn);
bool holder_is_current(const struct holder_target *target);

static inline bool holder_has_device(const struct holder *holder)
{
	return holder->device_fds || holder->mappings || holder->kvm_has_device;
}

#endif
