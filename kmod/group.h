/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_GROUP_H
#define VFIOEXT_GROUP_H

#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/vfio.h>
#include <uapi/linux/vfioext.h>

struct left_device;
struct removal;

/**
 * struct removal_policy - how a removal goes about it
 * @timeout_ms: from its start to its deadline
 * @grace_ms: between the two SIGBUS, and after the second
 * @extend_max_ms: by how much holders may put the deadline off in all
 * @action: what happens at the deadline
 */
struct removal_policy {
	u32 timeout_ms;
	u32 grace_ms;
	u32 extend_max_ms;
	u32 action;
};

/**
 * struct removal_policy_change - some values of a policy
 * @values: the values
 * @has_timeout: @values.timeout_ms counts; the other flags likewise
 */
struct removal_policy_change {
	struct removal_policy values;
	bool has_timeout;
	bool has_grace;
	bool has_extend_max;
	bool has_action;
};

/**
 * struct tracked_group - a group that has VFIO devices
 * @node: in the table by @group; RCU
 * @list: in tracked_groups
 * @group: as vfio knows it
 * @iommu_group: as the IOMMU core knows it; referenced
 * @id: number of @iommu_group
 * @type: kind of group
 * @ref: one for having devices, one for having external users, and passing ones
 * @users: external users
 * @removals: removals under way; no new external user while there are any
 * @pin_lock: serializes the first and the last external user
 * @file: the group file, while there are external users
 * @first_user: code that took the first external user's reference
 * @devices_lock: @devices, @pinned and the devices' own
 * @devices: the VFIO devices
 * @pinned: new devices are pinned, because there are external users
 * @rcu: for freeing
 *
 * A group lives in the table from its first device to its last. External users
 * pin every device, so a group that has them has devices.
 */
struct tracked_group {
	struct hlist_node node;
	struct list_head list;
	struct vfio_group *group;
	struct iommu_group *iommu_group;
	int id;
	enum vfioext_group_type type;
	struct kref ref;
	refcount_t users;
	atomic_t removals;
	struct mutex pin_lock;
	struct file *file;
	unsigned long first_user;
	spinlock_t devices_lock;
	struct list_head devices;
	bool pinned;
	struct rcu_head rcu;
};

/**
 * struct tracked_device - a device that is bound to a VFIO driver
 * @list: in tracked_devices
 * @node: in the table by @dev
 * @group_node: in the group's devices
 * @vdev: as vfio knows it, with a reference on its struct device; NULL once the driver is
 *	being unbound and nobody holds it
 * @owner: the module of its driver
 * @leaving: the driver is being unbound, and @owner is referenced for as long as @vdev is
 * @dev: as the bus knows it; referenced
 * @driver: name of its driver
 * @tg: its group
 * @removal: the removal under way
 * @spare: for the removal that the kernel begins, when there may be no memory
 * @requesting: how often its driver is being told to ask its user, each time with a
 *	registration reference
 * @policy: what was set for this device alone
 * @last_asker: the process whose asked removal ended with the device released; referenced
 * @last_policy: that removal's
 * @last_deadline: that removal's
 * @last_until: until when the kernel removal that follows goes by it
 * @pinned: external users of the group hold a registration reference, and one on @owner
 * @left: to give @vdev back with
 *
 * All is protected by tracking_lock, but for @pinned, which devices_lock protects: that is
 * held, too, when @vdev changes. The device goes when its driver has been unbound.
 *
 * While the driver is bound, the reference on the vfio_device is never the last. When the
 * driver is unbound it must not be: the driver's release() would run in a notifier, its
 * remove() may wait for that release(), and its module may be gone. So @vdev is given back
 * before remove() has its turn if nobody holds the device, else as soon as nobody does, from
 * a work item, with the module held.
 */
struct tracked_device {
	struct list_head list;
	struct hlist_node node;
	struct list_head group_node;
	struct vfio_device *vdev;
	struct module *owner;
	bool leaving;
	struct device *dev;
	const char *driver;
	struct tracked_group *tg;
	struct removal *removal;
	struct removal *spare;
	unsigned int requesting;
	struct removal_policy_change policy;
	struct pid *last_asker;
	struct removal_policy last_policy;
	ktime_t last_deadline;
	ktime_t last_until;
	bool pinned;
	struct left_device *left;
};

/*
 * Protects both lists, every removal and every policy. Taken in bus notifiers,
 * so it is never held over anything that waits for a process or a device, nor for memory that
 * has to be written out first. None of vfio's or the IOMMU core's locks is taken under it.
 */
extern struct mutex tracking_lock;
extern struct list_head tracked_groups;
extern struct list_head tracked_devices;
extern unsigned int tracking_generation;

/* The name of the group's file below /dev/vfio. */
#define GROUP_NAME_FORMAT "%s%d"
#define GROUP_NAME_ARGS(tg) \
	((tg)->type == VFIOEXT_GROUP_TYPE_NOIOMMU ? "noiommu-" : ""), (tg)->id
#define GROUP_NAME_SIZE 24

struct vfio_device *find_vfio_device(struct device *dev);
struct tracked_device *track_device(struct device *dev, struct vfio_device *vdev);
void untrack_device(struct tracked_device *td);
void untrack_all(void);
void tracking_exit(void);

void tracked_device_leaves(struct tracked_device *td, unsigned int own);
bool tracked_device_returns(struct tracked_device *td, struct vfio_device *vdev);
bool tracked_device_is_left(struct tracked_device *td);

struct tracked_device *tracked_device_of(const struct device *dev);
struct tracked_device *tracked_device_by_name(const char *name, const char *bus);
struct tracked_group *tracked_group_by_id(int id);
struct tracked_group *tracked_group_find(struct vfio_group *group);
struct tracked_group *tracked_group_get(struct vfio_group *group);
void tracked_group_put(struct tracked_group *tg);
struct vfio_device *tracked_group_hold(struct tracked_group *tg);
bool tracked_group_proved(struct tracked_group *tg);

int tracked_group_pin_devices(struct tracked_group *tg);
void tracked_group_unpin_devices(struct tracked_group *tg);

/*
 * A registration reference keeps vfio_unregister_group_dev(), and with it the
 * unbinding of the driver, waiting: hold it briefly, or for an external user.
 */
static inline bool vfio_registration_get(struct vfio_device *vdev)
{
	return refcount_inc_not_zero(&vdev->refcount);
}

static inline void vfio_registration_put(struct vfio_device *vdev)
{
	if (refcount_dec_and_test(&vdev->refcount))
		complete(&vdev->comp);
}

static inline unsigned int tracked_group_users(struct tracked_group *tg)
{
	return refcount_read(&tg->users);
}

static inline unsigned int tracked_device_handles(struct tracked_device *td)
{
	return td->vdev ? READ_ONCE(td->vdev->open_count) : 0;
}

/*
 * The references that unbinding the driver would wait for, besides the device's own. A device
 * file that is open and not bound to iommufd is no handle, and has one.
 */
static inline unsigned int tracked_device_references(struct tracked_device *td)
{
	unsigned int references = td->vdev ? refcount_read(&td->vdev->refcount) : 0;

	return references - (references && !td->leaving);
}

#endif
