// SPDX-License-Identifier: GPL-2.0-only
/*
 * The exported API: in-kernel users of a VFIO group.
 *
 * The first user of a group takes everything that keeps it alive: a registration
 * reference on each device, a container user, and a reference on the group file.
 * Further users are counted. The last one gives all of it back, the container user
 * before the devices: vfio tears a group down once its devices are gone, and expects no
 * container user then.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/vfio.h>
#include <linux/vfioext.h>

#include "compat.h"
#include "external_user.h"
#include "group.h"
#include "private_layout.h"

/* A chain of the kernel's ends with the first that returns an error; here all are told. */
static DECLARE_RWSEM(notifiers_lock);
static struct notifier_block *removal_notifiers;

/* Its links are marked as read under RCU; here they are not. */
static struct notifier_block **next_notifier(struct notifier_block *nb)
{
	return (struct notifier_block **)&nb->next;
}

/* What the API hands out is opaque to its callers. */
static struct vfio_group *to_cookie(struct tracked_group *tg)
{
	return (struct vfio_group *)tg;
}

static struct tracked_group *from_cookie(struct vfio_group *group)
{
	return (struct tracked_group *)group;
}

/* Is the group one that can be held, and is it set up? Its lock is held. */
static int check_group(struct tracked_group *tg, struct file *filep)
{
	struct vfio_group *group = tg->group;

	if (!private_layout_proved_by_file(group, filep))
		return -EOPNOTSUPP;
	if (private_group_type(group) == PRIVATE_GROUP_NOIOMMU)
		return -EPERM;
	if (private_has_iommufd(group))
		return -EOPNOTSUPP;
	return private_has_iommu(group) ? 0 : -EINVAL;
}

static int add_container_user(struct tracked_group *tg, struct file *filep)
{
	struct mutex *lock = private_group_lock(tg->group);
	int ret;

	mutex_lock(lock);
	ret = check_group(tg, filep);
	if (!ret)
		++*private_container_users(tg->group);
	mutex_unlock(lock);
	return ret;
}

static void drop_container_user(struct tracked_group *tg)
{
	struct mutex *lock = private_group_lock(tg->group);

	mutex_lock(lock);
	--*private_container_users(tg->group);
	mutex_unlock(lock);
}

/* What a group that cannot be proved answers; one that is going cannot be. */
static int unproved(struct tracked_group *tg)
{
	bool going = atomic_read(&tg->removals) || list_empty(&tg->devices);

	return going ? -ENODEV : -EOPNOTSUPP;
}

/* Give back what first_user() took. The group's pin_lock is held. */
static void last_user(struct tracked_group *tg)
{
	struct file *filep = tg->file;

	drop_container_user(tg);
	tracked_group_unpin_devices(tg);
	tg->file = NULL;
	fput(filep);
	tracked_group_put(tg);
	module_put(THIS_MODULE);
}

static int first_user(struct tracked_group *tg, struct file *filep, unsigned long caller)
{
	int ret;

	ret = tracked_group_pin_devices(tg);
	if (ret)
		return ret;
	ret = add_container_user(tg, filep);
	if (ret) {
		tracked_group_unpin_devices(tg);
		return ret;
	}
	__module_get(THIS_MODULE);
	kref_get(&tg->ref);
	tg->file = get_file(filep);
	tg->first_user = caller;
	smp_wmb(); /* whoever finds a user finds the file; pairs with get_held_group() */
	refcount_set(&tg->users, 1);
	return 0;
}

/*
 * A removal that begins now finds the group held, and will tell its users; one
 * that began before may have told them already.
 */
static int refuse_if_removed(struct tracked_group *tg)
{
	if (!atomic_read(&tg->removals))
		return 0;
	vfio_group_put_external_user(to_cookie(tg));
	return -ENODEV;
}

static int add_user(struct tracked_group *tg, struct file *filep, unsigned long caller)
{
	int ret = 0;

	if (atomic_read(&tg->removals))
		return -ENODEV;
	if (!tracked_group_proved(tg))
		return unproved(tg);

	mutex_lock(&tg->pin_lock);
	if (!refcount_inc_not_zero(&tg->users))
		ret = first_user(tg, filep, caller);
	mutex_unlock(&tg->pin_lock);

	if (ret)
		return ret;
	smp_mb(); /* first a user, then a look for removals; pairs with removal_begin() */
	return refuse_if_removed(tg);
}

/* A group that is held already needs no more than a count. */
static struct tracked_group *get_held_group(struct file *filep)
{
	struct tracked_group *tg;

	rcu_read_lock();
	tg = tracked_group_find(filep->private_data);
	if (tg && !refcount_inc_not_zero(&tg->users))
		tg = NULL;
	rcu_read_unlock();
	return tg;
}

static struct vfio_group *get_by_file(struct file *filep, unsigned long caller)
{
	struct tracked_group *tg;
	int ret;

	if (!filep || !vfio_file_is_group(filep))
		return ERR_PTR(-EINVAL);

	tg = get_held_group(filep);
	if (tg) {
		smp_mb__after_atomic(); /* as in add_user() */
		ret = refuse_if_removed(tg);
		return ret ? ERR_PTR(ret) : to_cookie(tg);
	}

	tg = tracked_group_get(filep->private_data);
	if (!tg)
		return ERR_PTR(-ENODEV);
	ret = add_user(tg, filep, caller);
	tracked_group_put(tg);
	return ret ? ERR_PTR(ret) : to_cookie(tg);
}

struct vfio_group *vfio_group_get_external_user(struct file *filep)
{
	return get_by_file(filep, _RET_IP_);
}
EXPORT_SYMBOL_GPL(vfio_group_get_external_user);

/* The file through which a group is open, with a reference. */
static struct file *file_of_group(struct tracked_group *tg)
{
	struct mutex *lock;
	struct file *filep;

	if (!tracked_group_proved(tg))
		return ERR_PTR(unproved(tg));

	lock = private_group_lock(tg->group);
	mutex_lock(lock);
	filep = compat_get_file_active(private_opened_file(tg->group));
	mutex_unlock(lock);
	return filep ?: ERR_PTR(-EINVAL);
}

/*
 * The group of a device, with a registration reference on the device: while it
 * is held, vfio cannot free its group, nor that group's lock.
 */
static struct tracked_group *group_of_device(struct device *dev, struct vfio_device **vdev)
{
	struct tracked_group *tg = ERR_PTR(-EINVAL);
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = tracked_device_of(dev);
	if (td && (!td->vdev || !vfio_registration_get(td->vdev))) {
		tg = ERR_PTR(-ENODEV);
	} else if (td) {
		*vdev = td->vdev;
		tg = td->tg;
		kref_get(&tg->ref);
	}
	mutex_unlock(&tracking_lock);
	return tg;
}

struct vfio_group *vfio_group_get_external_user_from_dev(struct device *dev)
{
	unsigned long caller = _RET_IP_;
	struct vfio_device *vdev;
	struct tracked_group *tg;
	struct vfio_group *group;
	struct file *filep;

	tg = dev ? group_of_device(dev, &vdev) : ERR_PTR(-EINVAL);
	if (IS_ERR(tg))
		return ERR_CAST(tg);

	filep = file_of_group(tg);
	vfio_registration_put(vdev);
	if (IS_ERR(filep)) {
		group = ERR_CAST(filep);
	} else {
		group = get_by_file(filep, caller);
		fput(filep);
	}
	tracked_group_put(tg);
	return group;
}
EXPORT_SYMBOL_GPL(vfio_group_get_external_user_from_dev);

void vfio_group_put_external_user(struct vfio_group *group)
{
	struct tracked_group *tg = from_cookie(group);

	if (IS_ERR_OR_NULL(group) || refcount_dec_not_one(&tg->users))
		return;

	/* The lock may not go with the group while it is held. */
	kref_get(&tg->ref);
	if (refcount_dec_and_mutex_lock(&tg->users, &tg->pin_lock)) {
		last_user(tg);
		mutex_unlock(&tg->pin_lock);
	}
	tracked_group_put(tg);
}
EXPORT_SYMBOL_GPL(vfio_group_put_external_user);

int vfio_external_user_iommu_id(struct vfio_group *group)
{
	return from_cookie(group)->id;
}
EXPORT_SYMBOL_GPL(vfio_external_user_iommu_id);

bool vfio_external_group_match_file(struct vfio_group *group, struct file *filep)
{
	return filep && from_cookie(group)->file == filep;
}
EXPORT_SYMBOL_GPL(vfio_external_group_match_file);

static struct notifier_block **find_notifier(const struct notifier_block *nb)
{
	struct notifier_block **at = &removal_notifiers;

	while (*at && *at != nb)
		at = next_notifier(*at);
	return at;
}

int vfioext_register_removal_notifier(struct notifier_block *nb)
{
	struct notifier_block **at = &removal_notifiers;
	int ret = -EEXIST;

	down_write(&notifiers_lock);
	if (!*find_notifier(nb)) {
		while (*at && (*at)->priority >= nb->priority)
			at = next_notifier(*at);
		*next_notifier(nb) = *at;
		WRITE_ONCE(*at, nb);
		ret = 0;
	}
	up_write(&notifiers_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(vfioext_register_removal_notifier);

int vfioext_unregister_removal_notifier(struct notifier_block *nb)
{
	struct notifier_block **at;
	int ret = -ENOENT;

	down_write(&notifiers_lock);
	at = find_notifier(nb);
	if (*at) {
		WRITE_ONCE(*at, *next_notifier(nb));
		ret = 0;
	}
	up_write(&notifiers_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(vfioext_unregister_removal_notifier);

/* Whoever registers before a get, as it is told to, is seen here or refused there. */
bool external_users_listen(void)
{
	return READ_ONCE(removal_notifiers);
}

/**
 * external_users_notify() - tell in-kernel users
 * @notice: what
 *
 * Context: no lock is held: they may put the group.
 */
void external_users_notify(const struct removal_notice *notice)
{
	struct vfioext_removal_info info = {
		.id = notice->id,
		.origin = notice->origin,
		.group = to_cookie(notice->tg),
		.iommu_id = notice->tg->id,
		.dev = notice->dev,
		.deadline = notice->deadline,
	};
	struct notifier_block *nb;

	down_read(&notifiers_lock);
	for (nb = removal_notifiers; nb; nb = *next_notifier(nb))
		nb->notifier_call(nb, notice->action, &info);
	up_read(&notifiers_lock);
}

/* The device at a place in the list, with references if its group has users. */
static bool notice_for(unsigned int index, struct removal_notice *notice, bool *end)
{
	struct tracked_device *td;
	bool found = false;

	mutex_lock(&tracking_lock);
	*end = true;
	list_for_each_entry(td, &tracked_devices, list) {
		if (index--)
			continue;
		*end = false;
		found = tracked_group_users(td->tg);
		if (found) {
			notice->tg = td->tg;
			kref_get(&td->tg->ref);
			notice->dev = get_device(td->dev);
		}
		break;
	}
	mutex_unlock(&tracking_lock);
	return found;
}

/**
 * external_users_shut_down() - have every in-kernel user let go, as the host goes down
 *
 * Else the kernel would wait for good for a device that is being removed.
 */
void external_users_shut_down(void)
{
	struct removal_notice notice = {
		.action = VFIOEXT_REMOVAL_LET_GO,
		.origin = VFIOEXT_ORIGIN_KERNEL,
		.deadline = ktime_get(),
	};
	unsigned int index = 0;
	bool end = false;

	for (; !end; index++) {
		if (!notice_for(index, &notice, &end))
			continue;
		external_users_notify(&notice);
		put_device(notice.dev);
		tracked_group_put(notice.tg);
	}
}
