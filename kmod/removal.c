// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a removal.
 *
 * A kernel removal begins with the notification that a driver is to be unbound
 * and ends with the one that it was; in between vfio waits for its references,
 * and the removal's clock watches. An asked removal unbinds nothing: it tells everybody,
 * watches the handles, and ends when there are none, or when time is up.
 */
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "external_user.h"
#include "holders.h"
#include "netlink.h"
#include "policy.h"
#include "removal.h"

#define MAX_EXTENSIONS 100
#define FOLLOW_MS 10000

LIST_HEAD(removals);

struct workqueue_struct *removal_wq;
static u32 last_id;
static bool stopping;

static u32 clamp_ms(s64 ms)
{
	return clamp_t(s64, ms, 0, U32_MAX);
}

/* Rounded up: what is left is not nothing. */
u32 removal_remaining_ms(const struct removal *removal)
{
	s64 left = ktime_to_ns(ktime_sub(removal->deadline, ktime_get()));

	return left <= 0 ? 0 : clamp_ms(div_s64(left + NSEC_PER_MSEC - 1, NSEC_PER_MSEC));
}

u32 removal_elapsed_ms(const struct removal *removal)
{
	return clamp_ms(ktime_ms_delta(ktime_get(), removal->begun));
}

struct removal *removal_by_id(u32 id)
{
	struct removal *removal;

	lockdep_assert_held(&tracking_lock);
	list_for_each_entry(removal, &removals, node)
		if (removal->id == id)
			return removal;
	return NULL;
}

static void removal_free(struct kref *ref)
{
	struct removal *removal = container_of(ref, struct removal, ref);

	put_pid(removal->asking_process);
	put_device(removal->dev);
	tracked_group_put(removal->tg);
	kfree(removal);
}

void removal_put(struct removal *removal)
{
	kref_put(&removal->ref, removal_free);
}

static void queue_notify(struct removal *removal)
{
	if (!external_users_listen())
		return;
	kref_get(&removal->ref);
	if (!queue_work(removal_wq, &removal->notify_work))
		removal_put(removal);
}

static void removal_event(struct removal *removal, u8 cmd)
{
	netlink_removal_event(cmd, removal, &(struct removal_event_extra){});
}

/**
 * removal_is_held() - does somebody have the device?
 * @removal: a removal that has not ended
 */
bool removal_is_held(const struct removal *removal)
{
	struct tracked_device *td = removal->td;

	lockdep_assert_held(&tracking_lock);
	return tracked_device_references(td) > td->requesting ||
	       tracked_device_handles(td) || tracked_group_users(td->tg);
}

/*
 * The kernel removal that follows goes by what was asked for, if it is the same process that
 * goes on: it took the device from its holders, and somebody may have come in between.
 */
static void remember_asked(struct removal *removal)
{
	struct tracked_device *td = removal->td;

	swap(td->last_asker, removal->asking_process);
	td->last_policy = removal->policy;
	td->last_deadline = removal->deadline;
	td->last_until = ktime_add_ms(ktime_get(), FOLLOW_MS);
}

/**
 * removal_end() - a removal is over
 * @removal: the removal; nothing of the device is touched from here on
 * @cmd: how that is told
 * @outcome: how it ended
 */
void removal_end(struct removal *removal, u8 cmd, enum vfioext_outcome outcome)
{
	lockdep_assert_held(&tracking_lock);

	removal->state = VFIOEXT_STATE_ENDED;
	removal->outcome = outcome;
	netlink_removal_event(cmd, removal, &(struct removal_event_extra){ .has_outcome = true });
	if (cmd == VFIOEXT_CMD_REMOVAL_CANCELLED)
		queue_notify(removal);
	else if (cmd == VFIOEXT_CMD_REMOVAL_RELEASED)
		remember_asked(removal);

	asker_forget(&removal->asker);
	removal->td->removal = NULL;
	removal->td = NULL;
	atomic_dec(&removal->tg->removals);
	list_del(&removal->node);
	tracking_generation++;
	removal_clock_stop(removal);
	removal_put(removal);
}

enum vfioext_outcome removal_outcome(const struct removal *removal)
{
	if (removal->state == VFIOEXT_STATE_SIGNALED)
		return VFIOEXT_OUTCOME_SIGNALED;
	return removal->was_held ? VFIOEXT_OUTCOME_LET_GO : VFIOEXT_OUTCOME_UNHELD;
}

/* One at a time for a removal: who is told that it was called off was told to let go. */
static void notify_work(struct work_struct *work)
{
	struct removal *removal = container_of(work, struct removal, notify_work);
	struct removal_notice notice = {
		.tg = removal->tg,
		.dev = removal->dev,
		.id = removal->id,
		.action = VFIOEXT_REMOVAL_LET_GO,
	};
	bool ended;

	mutex_lock(&tracking_lock);
	notice.origin = removal->origin;
	notice.deadline = removal->deadline;
	ended = removal->state == VFIOEXT_STATE_ENDED;
	mutex_unlock(&tracking_lock);

	if (ended)
		notice.action = VFIOEXT_REMOVAL_CANCELLED;
	if (!ended || removal->told)
		external_users_notify(&notice);
	removal->told = !ended;
	removal_put(removal);
}

/*
 * Have the driver ask its user, as vfio does when the driver is unbound: the
 * request eventfd fires. What the driver does may sleep, and holds up nothing here.
 */
static void request_work(struct work_struct *work)
{
	struct removal *removal = container_of(work, struct removal, request_work);
	struct vfio_device *vdev = NULL;
	struct tracked_device *td;
	unsigned int count = 0;

	mutex_lock(&tracking_lock);
	if (removal->state != VFIOEXT_STATE_ENDED && removal->origin == VFIOEXT_ORIGIN_ASKED &&
	    vfio_registration_get(removal->td->vdev)) {
		vdev = removal->td->vdev;
		count = removal->requests++;
		removal->td->requesting++;
	}
	mutex_unlock(&tracking_lock);
	if (vdev) {
		vdev->ops->request(vdev, count);
		mutex_lock(&tracking_lock);
		td = tracked_device_of(removal->dev);
		if (td)
			td->requesting--;
		vfio_registration_put(vdev);
		mutex_unlock(&tracking_lock);
	}
	removal_put(removal);
}

/**
 * removal_request_later() - have the driver ask its user, if it is to
 * @removal: a removal that has not ended
 *
 * When the kernel unbinds the driver, vfio sees to that.
 */
void removal_request_later(struct removal *removal)
{
	if (removal->origin != VFIOEXT_ORIGIN_ASKED || removal->quiet ||
	    !removal->td->vdev->ops->request)
		return;
	kref_get(&removal->ref);
	if (!queue_work(removal_wq, &removal->request_work))
		removal_put(removal);
}

static void set_deadline(struct removal *removal, ktime_t deadline)
{
	removal->deadline = deadline;
	if (!removal->signals)
		removal->next_signal = deadline;
}

/* @removal: memory for it, all zeros */
static void removal_begin(struct removal *removal, struct tracked_device *td,
			  enum vfioext_origin origin, const struct removal_policy *policy)
{
	lockdep_assert_held(&tracking_lock);

	kref_init(&removal->ref);
	asker_none(&removal->asker);
	INIT_WORK(&removal->notify_work, notify_work);
	INIT_WORK(&removal->request_work, request_work);
	removal->id = ++last_id ?: ++last_id;
	removal->origin = origin;
	removal->policy = *policy;
	removal->tg = td->tg;
	kref_get(&td->tg->ref);
	removal->td = td;
	removal->dev = get_device(td->dev);
	removal->begun = ktime_get();
	set_deadline(removal, ktime_add_ms(removal->begun, policy->timeout_ms));
	removal_clock_init(removal);

	atomic_inc(&td->tg->removals);
	smp_mb__after_atomic(); /* no new user, then a look for users; pairs with add_user() */
	removal->was_held = removal_is_held(removal);
	td->removal = removal;
	list_add_tail(&removal->node, &removals);
	tracking_generation++;
}

/* Everybody is told, and it takes its course. */
static void removal_announce(struct removal *removal)
{
	removal_event(removal, VFIOEXT_CMD_REMOVAL_REQUESTED);
	queue_notify(removal);
	removal_clock_set(removal);
	if (removal->td->vdev)
		removal_watch();
}

/*
 * What was asked for is done now, and can no longer be called off. Whoever asked had no
 * right to more patience than the host has.
 */
static void removal_overtake(struct removal *removal, const struct removal_policy *policy)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), policy->timeout_ms);

	removal->origin = VFIOEXT_ORIGIN_KERNEL;
	removal->policy = removal_policy_stricter(&removal->policy, policy);
	if (ktime_before(deadline, removal->deadline))
		set_deadline(removal, deadline);
	asker_forget(&removal->asker);
	WRITE_ONCE(removal->asker.gone, false);
}

/* Does the process go on that had asked for the device, and got it? */
static bool follows_asked(const struct tracked_device *td)
{
	return td->last_asker && td->last_asker == task_tgid(current) &&
	       ktime_before(ktime_get(), td->last_until);
}

/*
 * The driver of a device is to be unbound, or it turns out that it is being.
 * @own: registration references that are vfio's own: 1 until vfio waits for the others
 */
static struct removal *kernel_removal(struct tracked_device *td, unsigned int own)
{
	struct removal_policy policy = removal_policy_of(td);
	struct removal *removal = td->removal;

	if (removal && removal->origin == VFIOEXT_ORIGIN_KERNEL)
		return removal;
	if (removal) {
		removal_overtake(removal, &policy);
	} else {
		removal = td->spare;
		td->spare = NULL;
		if (follows_asked(td))
			policy = td->last_policy;
		removal_begin(removal, td, VFIOEXT_ORIGIN_KERNEL, &policy);
		if (follows_asked(td))
			set_deadline(removal, td->last_deadline);
	}
	tracked_device_leaves(td, own);
	removal_announce(removal);
	return removal;
}

/**
 * removal_ask() - ask the holders of a device to let go
 * @td: the device
 * @request: how to go about it
 * @extack: for what is wrong
 *
 * Return: the removal, good until tracking_lock is dropped; or ERR_PTR of
 * -EBUSY (one is under way), -ENOMEM, -ESHUTDOWN (the module is going).
 */
struct removal *removal_ask(struct tracked_device *td, const struct removal_request *request,
			    struct netlink_ext_ack *extack)
{
	struct removal *removal;

	lockdep_assert_held(&tracking_lock);
	if (stopping)
		return ERR_PTR(-ESHUTDOWN);
	if (td->removal) {
		NL_SET_ERR_MSG(extack, "a removal of this device is under way already");
		return ERR_PTR(-EBUSY);
	}
	removal = kzalloc(sizeof(*removal), GFP_NOIO);
	if (!removal)
		return ERR_PTR(-ENOMEM);
	removal_begin(removal, td, VFIOEXT_ORIGIN_ASKED, &request->policy);
	removal->asking_process = get_pid(task_tgid(current));
	removal->quiet = request->quiet;
	removal_announce(removal);
	if (removal->was_held)
		removal_request_later(removal);
	return removal;
}

/**
 * removal_cancel() - call an asked removal off
 * @removal: the removal
 * @extack: for what is wrong
 *
 * Return: 0, or -EBUSY if the kernel is unbinding the driver.
 */
int removal_cancel(struct removal *removal, struct netlink_ext_ack *extack)
{
	lockdep_assert_held(&tracking_lock);
	if (removal->origin == VFIOEXT_ORIGIN_KERNEL) {
		NL_SET_ERR_MSG(extack, "the driver is being unbound, which cannot be called off");
		return -EBUSY;
	}
	removal_end(removal, VFIOEXT_CMD_REMOVAL_CANCELLED, VFIOEXT_OUTCOME_CANCELLED);
	return 0;
}

/**
 * removal_extend() - put the deadline off
 * @removal: the removal
 * @extend_ms: by how much; on return by how much it was
 * @extack: for what is wrong
 *
 * Return: 0, -ETIME if the deadline has passed, -EDQUOT if the policy allows no
 * more.
 */
int removal_extend(struct removal *removal, u32 *extend_ms, struct netlink_ext_ack *extack)
{
	u32 left;

	lockdep_assert_held(&tracking_lock);
	if (!ktime_before(ktime_get(), removal->deadline)) {
		NL_SET_ERR_MSG(extack, "the deadline has passed");
		return -ETIME;
	}
	left = removal->policy.extend_max_ms -
	       min(removal->extended_ms, removal->policy.extend_max_ms);
	if (removal->extensions == MAX_EXTENSIONS) {
		NL_SET_ERR_MSG(extack, "the deadline was put off too often");
		return -EDQUOT;
	}
	if (!left) {
		NL_SET_ERR_MSG(extack, "the policy's extend-max-ms is used up");
		return -EDQUOT;
	}
	*extend_ms = min(*extend_ms, left);
	removal->extensions++;
	removal->extended_ms += *extend_ms;
	set_deadline(removal, ktime_add_ms(removal->deadline, *extend_ms));
	removal_clock_set(removal);
	netlink_removal_event(VFIOEXT_CMD_REMOVAL_EXTENDED, removal,
			      &(struct removal_event_extra){ .extend_ms = *extend_ms });
	return 0;
}

/*
 * While a device is registered, vfio has a reference more on it than handles
 * are open: the opener takes his before the handle counts and drops it after.
 */
static bool is_being_removed(struct vfio_device *vdev)
{
	bool removed = false;

	if (mutex_trylock(&vdev->dev_set->lock)) {
		removed = refcount_read(&vdev->refcount) <= vdev->open_count;
		mutex_unlock(&vdev->dev_set->lock);
	}
	return removed;
}

/* Memory for what will come, when there may be none. */
static struct tracked_device *with_spare(struct tracked_device *td)
{
	if (!td)
		return NULL;
	td->spare = kzalloc(sizeof(*td->spare), GFP_NOIO);
	if (td->spare)
		return td;
	dev_warn(td->dev, "vfioext: no memory to watch the device\n");
	untrack_device(td);
	return NULL;
}

/**
 * removal_device_found() - a VFIO device was found
 * @dev: the device as the bus knows it
 * @vdev: as vfio knows it; the caller has a reference on it
 *
 * If its driver is being unbound already, because the module was loaded in the middle, the
 * removal is taken up from here. A device is passed over while its VFIO device is not
 * registered yet or no longer: a notification will come, or has come.
 */
void removal_device_found(struct device *dev, struct vfio_device *vdev)
{
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = device_is_registered(&vdev->device) ? with_spare(track_device(dev, vdev)) : NULL;
	if (td && is_being_removed(vdev))
		kernel_removal(td, 0);
	mutex_unlock(&tracking_lock);
}

/**
 * removal_driver_unbinds() - a driver is to be unbound
 * @dev: its device
 * @vdev: its VFIO device, with a reference, or NULL
 */
void removal_driver_unbinds(struct device *dev, struct vfio_device *vdev)
{
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = tracked_device_of(dev);
	if (!td && vdev)
		td = with_spare(track_device(dev, vdev));
	if (td)
		kernel_removal(td, 1)->unregisters = false;
	mutex_unlock(&tracking_lock);
}

/* The group leaves the table before its removals count no longer: whoever looks is told so. */
static void device_done(struct tracked_device *td)
{
	struct tracked_group *tg = td->tg;

	kref_get(&tg->ref);
	atomic_inc(&tg->removals);
	if (td->removal)
		removal_end(td->removal, VFIOEXT_CMD_REMOVAL_DONE, removal_outcome(td->removal));
	untrack_device(td);
	atomic_dec(&tg->removals);
	tracked_group_put(tg);
}

/**
 * removal_driver_unbound() - a driver has been unbound
 * @dev: its device
 */
void removal_driver_unbound(struct device *dev)
{
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = tracked_device_of(dev);
	if (td)
		device_done(td);
	mutex_unlock(&tracking_lock);
}

/**
 * removal_unregistered() - everybody has let go of a device that its driver took from vfio
 * @removal: its removal; ends
 */
void removal_unregistered(struct removal *removal)
{
	device_done(removal->td);
}

/**
 * removal_device_unregisters() - a VFIO device leaves its class
 * @vdev: the device; its driver has a reference on it
 *
 * When its driver is being unbound that is known, but a driver may also do so and stay bound.
 * From 6.6 on it comes before vfio waits for the holders, before 6.6 after.
 */
void removal_device_unregisters(struct vfio_device *vdev)
{
	struct removal *removal;
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = tracked_device_of(vdev->dev);
	if (td && td->vdev == vdev && !td->leaving) {
		removal = kernel_removal(td, !!refcount_read(&vdev->refcount));
		removal->unregisters = true;
		removal_watch();
	} else if (td) {
		tracked_device_is_left(td);
	}
	mutex_unlock(&tracking_lock);
}

/*
 * From 6.6 on vfio takes a device out of its class before it waits: then only who
 * has it open leads to it.
 */
static void holder_found(struct vfio_device *vdev)
{
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = tracked_device_of(vdev->dev);
	if (td && td->removal) {
		if (tracked_device_returns(td, vdev))
			removal_watch();
	} else if (!td && !device_is_registered(&vdev->device)) {
		td = with_spare(track_device(vdev->dev, vdev));
		if (td)
			kernel_removal(td, 0);
	}
	mutex_unlock(&tracking_lock);
}

/* Take up removals that began before the buses were watched. */
void removal_find_under_way(void)
{
	holders_walk_devices(holder_found);
}

/**
 * removal_find_device() - look for a device that was let go too early
 * @removal: a removal; it may have ended when the function returns
 *
 * Nobody held the device when its driver was to be unbound, and yet that takes its time:
 * somebody may have come just then. The lock is dropped meanwhile.
 */
void removal_find_device(struct removal *removal)
{
	if (removal->origin != VFIOEXT_ORIGIN_KERNEL || removal->td->vdev)
		return;
	mutex_unlock(&tracking_lock);
	removal_find_under_way();
	mutex_lock(&tracking_lock);
}

int removal_init(void)
{
	removal_wq = alloc_workqueue("vfioext", WQ_UNBOUND, 0);
	return removal_wq ? 0 : -ENOMEM;
}

/**
 * removal_stop() - end all removals; none begins from here on
 *
 * What the kernel removes is forgotten: vfio goes on as without us.
 */
void removal_stop(void)
{
	struct removal *removal, *next;

	mutex_lock(&tracking_lock);
	stopping = true;
	list_for_each_entry_safe(removal, next, &removals, node)
		removal_end(removal, removal->origin == VFIOEXT_ORIGIN_ASKED ?
			    VFIOEXT_CMD_REMOVAL_CANCELLED : VFIOEXT_CMD_REMOVAL_UNWATCHED,
			    VFIOEXT_OUTCOME_UNLOADED);
	mutex_unlock(&tracking_lock);
}

void removal_exit(void)
{
	removal_clocks_exit();
	destroy_workqueue(removal_wq);
}
