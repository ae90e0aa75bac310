// SPDX-License-Identifier: GPL-2.0-only
/*
 * The groups and devices that VFIO drivers have, kept up to date by the bus
 * notifiers, so that an external user's get finds its group in one look-up.
 */
#include <linux/hashtable.h>
#include <linux/iommu.h>
#include <linux/slab.h>

#include "compat.h"
#include "group.h"
#include "netlink.h"
#include "private_layout.h"

DEFINE_MUTEX(tracking_lock);
LIST_HEAD(tracked_groups);
LIST_HEAD(tracked_devices);
unsigned int tracking_generation;

static DEFINE_HASHTABLE(group_table, 8);

static int is_vfio_device(struct device *child, compat_match_data *unused)
{
	return child->class && !strcmp(child->class->name, "vfio-dev");
}

/**
 * find_vfio_device() - the VFIO device of a device, if it has one
 * @dev: a device of any bus
 *
 * Return: the VFIO device, with a reference on its struct device; or NULL.
 */
struct vfio_device *find_vfio_device(struct device *dev)
{
	struct device *child = device_find_child(dev, NULL, is_vfio_device);

	return child ? container_of(child, struct vfio_device, device) : NULL;
}

static enum vfioext_group_type group_type(struct tracked_group *tg, struct device *dev)
{
	if (tracked_group_proved(tg)) {
		switch (private_group_type(tg->group)) {
		case PRIVATE_GROUP_EMULATED:
			return VFIOEXT_GROUP_TYPE_EMULATED;
		case PRIVATE_GROUP_NOIOMMU:
			return VFIOEXT_GROUP_TYPE_NOIOMMU;
		default:
			return VFIOEXT_GROUP_TYPE_PHYSICAL;
		}
	}
	if (iommu_get_domain_for_dev(dev))
		return VFIOEXT_GROUP_TYPE_PHYSICAL;
	return strcmp(dev->bus->name, "mdev") ? VFIOEXT_GROUP_TYPE_NOIOMMU :
						VFIOEXT_GROUP_TYPE_EMULATED;
}

static struct tracked_group *group_create(struct vfio_group *group, struct iommu_group *iommu_group,
					  struct device *dev)
{
	struct tracked_group *tg = kzalloc(sizeof(*tg), GFP_KERNEL);

	if (!tg)
		return NULL;
	kref_init(&tg->ref);
	mutex_init(&tg->pin_lock);
	spin_lock_init(&tg->devices_lock);
	INIT_LIST_HEAD(&tg->devices);
	tg->group = group;
	tg->iommu_group = iommu_group_ref_get(iommu_group);
	tg->id = iommu_group_id(iommu_group);
	tg->type = group_type(tg, dev);

	/* In front, should the pointer be that of a group which is just going. */
	hash_add_rcu(group_table, &tg->node, (unsigned long)group);
	list_add_tail(&tg->list, &tracked_groups);
	netlink_group_event(VFIOEXT_CMD_GROUP_ADDED, tg);
	return tg;
}

static void group_free(struct kref *ref)
{
	struct tracked_group *tg = container_of(ref, struct tracked_group, ref);

	iommu_group_put(tg->iommu_group);
	mutex_destroy(&tg->pin_lock);
	kfree_rcu(tg, rcu);
}

void tracked_group_put(struct tracked_group *tg)
{
	kref_put(&tg->ref, group_free);
}

static void group_remove(struct tracked_group *tg)
{
	hash_del_rcu(&tg->node);
	list_del(&tg->list);
	netlink_group_event(VFIOEXT_CMD_GROUP_REMOVED, tg);
	tracked_group_put(tg);
}

/* Under the RCU read lock, or with the group held otherwise. */
struct tracked_group *tracked_group_find(struct vfio_group *group)
{
	struct tracked_group *tg;

	hash_for_each_possible_rcu(group_table, tg, node, (unsigned long)group)
		if (tg->group == group)
			return tg;
	return NULL;
}

/**
 * tracked_group_get() - look a group up by what vfio calls it
 * @group: the group
 *
 * Return: the group with a reference, or NULL.
 */
struct tracked_group *tracked_group_get(struct vfio_group *group)
{
	struct tracked_group *tg;

	rcu_read_lock();
	tg = tracked_group_find(group);
	if (tg && !kref_get_unless_zero(&tg->ref))
		tg = NULL;
	rcu_read_unlock();
	return tg;
}

/**
 * tracked_group_hold() - keep vfio from freeing a group
 * @tg: the group; tracking_lock is held
 *
 * A group is known here for longer than vfio has it: vfio frees it with its last
 * device, which is before the notification that the driver was unbound.
 *
 * Return: a device to be given to vfio_registration_put(), or NULL if the group
 * may be gone.
 */
struct vfio_device *tracked_group_hold(struct tracked_group *tg)
{
	struct tracked_device *td;

	lockdep_assert_held(&tracking_lock);
	list_for_each_entry(td, &tg->devices, group_node)
		if (vfio_registration_get(td->vdev))
			return td->vdev;
	return NULL;
}

/*
 * Whether the private members of the group may be used; it is held, or a file of
 * it is open.
 */
bool tracked_group_proved(struct tracked_group *tg)
{
	return private_layout_proved(tg->group, tg->iommu_group);
}

static void device_pin(struct tracked_device *td)
{
	td->pinned = vfio_registration_get(td->vdev);
}

/**
 * tracked_group_pin_devices() - have the removal of any device of a group wait
 * @tg: a group that gets its first external user
 *
 * Return: 0, or -ENODEV if a device has passed the point of waiting.
 */
int tracked_group_pin_devices(struct tracked_group *tg)
{
	struct tracked_device *td;
	int ret;

	spin_lock(&tg->devices_lock);
	tg->pinned = true;
	ret = list_empty(&tg->devices) ? -ENODEV : 0;
	list_for_each_entry(td, &tg->devices, group_node) {
		device_pin(td);
		if (!td->pinned)
			ret = -ENODEV;
	}
	spin_unlock(&tg->devices_lock);

	if (ret)
		tracked_group_unpin_devices(tg);
	return ret;
}

void tracked_group_unpin_devices(struct tracked_group *tg)
{
	struct tracked_device *td;

	spin_lock(&tg->devices_lock);
	tg->pinned = false;
	list_for_each_entry(td, &tg->devices, group_node) {
		if (td->pinned)
			vfio_registration_put(td->vdev);
		td->pinned = false;
	}
	spin_unlock(&tg->devices_lock);
}

static void group_add_device(struct tracked_group *tg, struct tracked_device *td)
{
	td->tg = tg;
	spin_lock(&tg->devices_lock);
	list_add_tail(&td->group_node, &tg->devices);
	if (tg->pinned)
		device_pin(td);
	spin_unlock(&tg->devices_lock);
}

static struct tracked_device *tracked_device_create(struct device *dev, struct vfio_device *vdev,
						    struct iommu_group *iommu_group)
{
	struct tracked_device *td = kzalloc(sizeof(*td), GFP_KERNEL);
	struct tracked_group *tg;

	if (!td)
		return NULL;

	rcu_read_lock();
	tg = tracked_group_find(vdev->group);
	rcu_read_unlock();
	if (!tg || tg->iommu_group != iommu_group)
		tg = group_create(vdev->group, iommu_group, dev);
	if (!tg) {
		kfree(td);
		return NULL;
	}
	td->vdev = vdev;
	td->dev = get_device(dev);
	td->driver = dev->driver->name;
	group_add_device(tg, td);
	list_add_tail(&td->list, &tracked_devices);
	tracking_generation++;
	netlink_device_event(VFIOEXT_CMD_DEVICE_ADDED, td);
	return td;
}

/*
 * Take note of a device, unless that was done before. The lock is held. It has its
 * group for as long as it is registered.
 */
static struct tracked_device *track(struct device *dev, struct vfio_device *vdev)
{
	struct tracked_device *td = NULL;
	struct iommu_group *iommu_group;

	lockdep_assert_held(&tracking_lock);

	if (tracked_device_of(dev) || !vfio_registration_get(vdev))
		return NULL;
	iommu_group = iommu_group_get(dev);
	if (iommu_group) {
		get_device(&vdev->device);
		td = tracked_device_create(dev, vdev, iommu_group);
		if (!td) {
			put_device(&vdev->device);
			dev_warn(dev, "vfioext: no memory to note the device\n");
		}
	}
	iommu_group_put(iommu_group);
	vfio_registration_put(vdev);
	return td;
}

/**
 * track_device() - take note of a device, if it is a VFIO device
 * @dev: a device that has a driver
 *
 * A device is passed over while its VFIO device is not registered yet or no
 * longer: a notification will come, or has come.
 *
 * Return: the device if it is new here, or NULL.
 */
struct tracked_device *track_device(struct device *dev)
{
	struct vfio_device *vdev = find_vfio_device(dev);
	struct tracked_device *td = NULL;

	if (!vdev)
		return NULL;
	if (device_is_registered(&vdev->device))
		td = track(dev, vdev);
	put_device(&vdev->device);
	return td;
}

/**
 * track_leaving_device() - take note of a device whose driver is being unbound
 * @vdev: a VFIO device that somebody has open, which keeps the driver
 *
 * Return: the device if it is leaving and new here, or NULL.
 */
struct tracked_device *track_leaving_device(struct vfio_device *vdev)
{
	return device_is_registered(&vdev->device) ? NULL : track(vdev->dev, vdev);
}

/* Forget a device whose driver has been unbound, or all are forgotten. */
void untrack_device(struct tracked_device *td)
{
	struct tracked_group *tg = td->tg;

	lockdep_assert_held(&tracking_lock);

	spin_lock(&tg->devices_lock);
	list_del(&td->group_node);
	spin_unlock(&tg->devices_lock);
	list_del(&td->list);
	tracking_generation++;
	netlink_device_event(VFIOEXT_CMD_DEVICE_REMOVED, td);
	if (list_empty(&tg->devices))
		group_remove(tg);
	put_device(&td->vdev->device);
	put_device(td->dev);
	kfree(td);
}

void untrack_all(void)
{
	struct tracked_device *td, *next;

	mutex_lock(&tracking_lock);
	list_for_each_entry_safe(td, next, &tracked_devices, list)
		untrack_device(td);
	mutex_unlock(&tracking_lock);
}

struct tracked_device *tracked_device_of(const struct device *dev)
{
	struct tracked_device *td;

	lockdep_assert_held(&tracking_lock);
	list_for_each_entry(td, &tracked_devices, list)
		if (td->dev == dev)
			return td;
	return NULL;
}

/**
 * tracked_device_by_name() - look a device up as a user names it
 * @name: name of the device
 * @bus: name of its bus, or NULL for any
 *
 * Return: the device, ERR_PTR(-ENODEV), or ERR_PTR(-ENOTUNIQ) if several buses
 * have one of that name.
 */
struct tracked_device *tracked_device_by_name(const char *name, const char *bus)
{
	struct tracked_device *td, *found = NULL;

	lockdep_assert_held(&tracking_lock);
	list_for_each_entry(td, &tracked_devices, list) {
		if (strcmp(dev_name(td->dev), name))
			continue;
		if (bus && strcmp(td->dev->bus->name, bus))
			continue;
		if (found)
			return ERR_PTR(-ENOTUNIQ);
		found = td;
	}
	return found ?: ERR_PTR(-ENODEV);
}

struct tracked_group *tracked_group_by_id(int id)
{
	struct tracked_group *tg;

	lockdep_assert_held(&tracking_lock);
	list_for_each_entry(tg, &tracked_groups, list)
		if (tg->id == id)
			return tg;
	return NULL;
}
