// SPDX-License-Identifier: GPL-2.0-only
/*
 * The groups and devices that VFIO drivers have, kept up to date by the bus
 * notifiers, so that an external user's get finds its group in one look-up.
 */
#include <linux/hashtable.h>
#include <linux/iommu.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "group.h"
#include "netlink.h"
#include "private_layout.h"
#include "removal.h"

DEFINE_MUTEX(tracking_lock);
LIST_HEAD(tracked_groups);
LIST_HEAD(tracked_devices);
unsigned int tracking_generation;

/*
 * What was left of a device, waiting to be given back.
 * @node: in left_devices
 * @vdev: as vfio knows it; its struct device is referenced
 * @owner: the module of its driver; referenced
 */
struct left_device {
	struct llist_node node;
	struct vfio_device *vdev;
	struct module *owner;
};

static DEFINE_HASHTABLE(group_table, 8);
static DEFINE_HASHTABLE(device_table, 10);

static void free_left(struct work_struct *work);
static DECLARE_WORK(free_work, free_left);
static LLIST_HEAD(left_devices);
static bool stopping;

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
	struct tracked_group *tg = kzalloc(sizeof(*tg), GFP_NOIO);

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
		if (td->vdev && vfio_registration_get(td->vdev))
			return td->vdev;
	return NULL;
}

/*
 * Whether the private members of the group may be used; it is held, or a file of
 * it is open.
 */
bool tracked_group_proved(struct tracked_group *tg)
{
	return tg->group && private_layout_proved(tg->group, tg->iommu_group);
}

/*
 * With the driver's module: rmmod shall find it in use, and not begin to unbind a device that
 * it then waits for.
 */
static bool device_pin(struct tracked_device *td)
{
	if (!td->vdev || !try_module_get(td->owner))
		return false;
	td->pinned = vfio_registration_get(td->vdev);
	if (!td->pinned)
		module_put(td->owner);
	return td->pinned;
}

static void device_unpin(struct tracked_device *td)
{
	if (!td->pinned)
		return;
	td->pinned = false;
	vfio_registration_put(td->vdev);
	module_put(td->owner);
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
	list_for_each_entry(td, &tg->devices, group_node)
		if (!device_pin(td))
			ret = -ENODEV;
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
	list_for_each_entry(td, &tg->devices, group_node)
		device_unpin(td);
	spin_unlock(&tg->devices_lock);
}

static void group_add_device(struct tracked_group *tg, struct tracked_device *td)
{
	spin_lock(&tg->devices_lock);
	list_add_tail(&td->group_node, &tg->devices);
	if (tg->pinned)
		device_pin(td);
	spin_unlock(&tg->devices_lock);
}

static struct tracked_group *group_of(struct vfio_device *vdev, struct iommu_group *iommu_group,
				      struct device *dev)
{
	struct tracked_group *tg;

	list_for_each_entry(tg, &tracked_groups, list)
		if (tg->iommu_group == iommu_group && tg->group == compat_group_of(vdev))
			return tg;
	return group_create(compat_group_of(vdev), iommu_group, dev);
}

static void tracked_device_free(struct tracked_device *td)
{
	kfree(td->left);
	kfree(td->spare);
	kfree_const(td->driver);
	put_pid(td->last_asker);
	kfree(td);
}

static struct tracked_device *tracked_device_create(struct device *dev, struct vfio_device *vdev,
						    struct iommu_group *iommu_group)
{
	struct tracked_device *td = kzalloc(sizeof(*td), GFP_NOIO);

	if (!td)
		return NULL;
	td->driver = kstrdup_const(dev->driver->name, GFP_NOIO);
	td->left = kzalloc(sizeof(*td->left), GFP_NOIO);
	td->tg = td->driver && td->left ? group_of(vdev, iommu_group, dev) : NULL;
	if (!td->tg) {
		tracked_device_free(td);
		return NULL;
	}
	get_device(&vdev->device);
	td->vdev = vdev;
	td->owner = dev->driver->owner;
	td->dev = get_device(dev);
	group_add_device(td->tg, td);
	hash_add(device_table, &td->node, (unsigned long)dev);
	list_add_tail(&td->list, &tracked_devices);
	tracking_generation++;
	netlink_device_event(VFIOEXT_CMD_DEVICE_ADDED, td);
	return td;
}

/**
 * track_device() - take note of a VFIO device, unless that was done before
 * @dev: the device as the bus knows it
 * @vdev: as vfio knows it; the caller has a reference on it
 *
 * Return: the device if it is new here and vfio has not let it go, or NULL.
 */
struct tracked_device *track_device(struct device *dev, struct vfio_device *vdev)
{
	struct tracked_device *td = NULL;
	struct iommu_group *iommu_group;

	lockdep_assert_held(&tracking_lock);

	/* While it is registered it has its group, and its driver. */
	if (stopping || tracked_device_of(dev) || !vfio_registration_get(vdev))
		return NULL;
	iommu_group = iommu_group_get(dev);
	if (iommu_group) {
		td = tracked_device_create(dev, vdev, iommu_group);
		if (!td)
			dev_warn(dev, "vfioext: no memory to note the device\n");
	}
	iommu_group_put(iommu_group);
	vfio_registration_put(vdev);
	return td;
}

/* What was left of a device is given back where the driver's release() holds up nobody. */
static void free_left(struct work_struct *work)
{
	struct llist_node *list = llist_del_all(&left_devices);
	struct left_device *left, *next;

	llist_for_each_entry_safe(left, next, list, node) {
		put_device(&left->vdev->device);
		module_put(left->owner);
		kfree(left);
	}
}
static void give_back_later(struct tracked_device *td)
{
	struct left_device *left = td->left;

	left->vdev = td->vdev;
	left->owner = td->owner;
	td->left = NULL;
	td->vdev = NULL;
	if (llist_add(&left->node, &left_devices))
		schedule_work(&free_work);
}

/**
 * tracked_device_leaves() - the driver of a device is to be unbound
 * @td: the device
 * @own: how many registration references are vfio's own, and will be dropped
 *
 * If nobody holds the device, nothing of it is kept, before the driver's remove() has its turn.
 * Nor if the driver's module is on its way out: vfio knows of no user then.
 */
void tracked_device_leaves(struct tracked_device *td, unsigned int own)
{
	struct vfio_device *vdev = NULL;

	lockdep_assert_held(&tracking_lock);
	if (td->leaving || !td->vdev)
		return;
	spin_lock(&td->tg->devices_lock);
	td->leaving = true;
	if (refcount_read(&td->vdev->refcount) <= own || !try_module_get(td->owner))
		swap(vdev, td->vdev);
	spin_unlock(&td->tg->devices_lock);
	if (vdev)
		put_device(&vdev->device);
}

/**
 * tracked_device_returns() - a device that was let go turns out to be held
 * @td: a device that leaves
 * @vdev: as vfio knows it, kept by the caller
 *
 * Return: true if it is kept from here on.
 */
bool tracked_device_returns(struct tracked_device *td, struct vfio_device *vdev)
{
	lockdep_assert_held(&tracking_lock);
	if (td->vdev || !td->leaving || !td->left || !try_module_get(td->owner))
		return false;
	get_device(&vdev->device);
	spin_lock(&td->tg->devices_lock);
	td->vdev = vdev;
	spin_unlock(&td->tg->devices_lock);
	return true;
}

/**
 * tracked_device_is_left() - has everybody let go of a device that leaves?
 * @td: the device
 *
 * If so, nothing of it is kept, either.
 */
bool tracked_device_is_left(struct tracked_device *td)
{
	lockdep_assert_held(&tracking_lock);
	if (td->leaving && td->vdev && !refcount_read(&td->vdev->refcount)) {
		spin_lock(&td->tg->devices_lock);
		give_back_later(td);
		spin_unlock(&td->tg->devices_lock);
	}
	return !td->vdev;
}

static void group_drop_device(struct tracked_device *td)
{
	struct tracked_group *tg = td->tg;

	spin_lock(&tg->devices_lock);
	list_del(&td->group_node);
	spin_unlock(&tg->devices_lock);
	if (list_empty(&tg->devices))
		group_remove(tg);
}

/**
 * untrack_device() - forget a device
 * @td: a device whose driver has been unbound, or any when all are forgotten
 */
void untrack_device(struct tracked_device *td)
{
	lockdep_assert_held(&tracking_lock);

	hash_del(&td->node);
	list_del(&td->list);
	tracking_generation++;
	netlink_device_event(VFIOEXT_CMD_DEVICE_REMOVED, td);
	group_drop_device(td);
	if (td->vdev && td->leaving)
		give_back_later(td);
	else if (td->vdev)
		put_device(&td->vdev->device);
	put_device(td->dev);
	tracked_device_free(td);
}

/**
 * untrack_all() - forget all devices, and take note of none from here on
 *
 * While the buses are still watched: a driver that is to be unbound meanwhile waits in its
 * notification, so that no reference that is given back here is the last.
 */
void untrack_all(void)
{
	struct tracked_device *td, *next;

	mutex_lock(&tracking_lock);
	stopping = true;
	list_for_each_entry_safe(td, next, &tracked_devices, list)
		untrack_device(td);
	mutex_unlock(&tracking_lock);
}

/* Nothing is left to be given back when it returns. */
void tracking_exit(void)
{
	flush_work(&free_work);
}

struct tracked_device *tracked_device_of(const struct device *dev)
{
	struct tracked_device *td;

	lockdep_assert_held(&tracking_lock);
	hash_for_each_possible(device_table, td, node, (unsigned long)dev)
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
