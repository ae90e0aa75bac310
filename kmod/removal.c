// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a removal.
 *
 * A kernel removal begins with the notification that a driver is to be unbound
 * and ends with the one that it was; in between vfio waits for its references,
 * and this file watches. An asked removal unbinds nothing: it tells everybody,
 * watches the handles, and ends when there are none, or when time is up.
 */
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "external_user.h"
#include "holders.h"
#include "netlink.h"
#include "removal.h"

#define ASK_INTERVAL_MS 10
#define REPORT_INTERVAL_MS 10000
#define NR_SIGNALS 2

LIST_HEAD(removals);

static struct workqueue_struct *removal_wq;
static u32 last_id;
static bool stopping;

static struct removal_policy host_policy = {
	.timeout_ms = 30000,
	.grace_ms = 5000,
	.extend_max_ms = 60000,
	.action = VFIOEXT_ACTION_NOTIFY,
};

static void policy_change(struct removal_policy *policy, const struct removal_policy_change *change)
{
	if (change->has_timeout)
		policy->timeout_ms = change->values.timeout_ms;
	if (change->has_grace)
		policy->grace_ms = change->values.grace_ms;
	if (change->has_extend_max)
		policy->extend_max_ms = change->values.extend_max_ms;
	if (change->has_action)
		policy->action = change->values.action;
}

/**
 * removal_policy_of() - the policy in force
 * @td: a device, or NULL for the host
 */
struct removal_policy removal_policy_of(const struct tracked_device *td)
{
	struct removal_policy policy = host_policy;

	lockdep_assert_held(&tracking_lock);
	if (td)
		policy_change(&policy, &td->policy);
	return policy;
}

/**
 * removal_policy_set() - change a policy
 * @td: a device, or NULL for the host
 * @change: what to change
 */
void removal_policy_set(struct tracked_device *td, const struct removal_policy_change *change)
{
	lockdep_assert_held(&tracking_lock);
	if (!td) {
		policy_change(&host_policy, change);
		return;
	}
	policy_change(&td->policy.values, change);
	td->policy.has_timeout |= change->has_timeout;
	td->policy.has_grace |= change->has_grace;
	td->policy.has_extend_max |= change->has_extend_max;
	td->policy.has_action |= change->has_action;
}

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

	put_device(removal->dev);
	tracked_group_put(removal->tg);
	kfree(removal);
}

static void removal_put(struct removal *removal)
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

static void queue_tick(struct removal *removal, u32 delay_ms)
{
	kref_get(&removal->ref);
	if (!queue_delayed_work(removal_wq, &removal->tick_work, msecs_to_jiffies(delay_ms)))
		removal_put(removal);
}

static void removal_event(struct removal *removal, u8 cmd)
{
	netlink_removal_event(cmd, removal, &(struct removal_event_extra){});
}

/* It is over; nothing of the device is touched from here on. */
static void removal_end(struct removal *removal, u8 cmd, enum vfioext_outcome outcome)
{
	lockdep_assert_held(&tracking_lock);

	removal->state = VFIOEXT_STATE_ENDED;
	removal->outcome = outcome;
	netlink_removal_event(cmd, removal, &(struct removal_event_extra){ .has_outcome = true });

	asker_forget(&removal->asker);
	removal->td->removal = NULL;
	removal->td = NULL;
	atomic_dec(&removal->tg->removals);
	list_del(&removal->node);
	tracking_generation++;
	if (cancel_delayed_work(&removal->tick_work))
		removal_put(removal);
	removal_put(removal);
}

static enum vfioext_outcome outcome_of(const struct removal *removal)
{
	if (removal->state == VFIOEXT_STATE_SIGNALED)
		return VFIOEXT_OUTCOME_SIGNALED;
	return removal->was_held ? VFIOEXT_OUTCOME_LET_GO : VFIOEXT_OUTCOME_UNHELD;
}

static void notify_work(struct work_struct *work)
{
	struct removal *removal = container_of(work, struct removal, notify_work);
	enum vfioext_origin origin;
	bool ended;

	mutex_lock(&tracking_lock);
	origin = removal->origin;
	ended = removal->state == VFIOEXT_STATE_ENDED;
	mutex_unlock(&tracking_lock);

	if (!ended)
		external_users_notify(removal->tg, removal->dev, removal->id, origin);
	removal_put(removal);
}

/*
 * Have the driver ask its user, as vfio does when the driver is unbound: the
 * request eventfd fires, and the device goes on working.
 */
static void ask_driver(struct removal *removal)
{
	struct vfio_device *vdev = removal->td->vdev;
	unsigned int count = removal->requests++;

	if (!vdev->ops->request || !vfio_registration_get(vdev))
		return;
	mutex_unlock(&tracking_lock);
	vdev->ops->request(vdev, count);
	vfio_registration_put(vdev);
	mutex_lock(&tracking_lock);
}

/* "qemu (1234), dpdk (99)"; what does not fit is left out. */
static void print_holders(char *buffer, size_t size, const struct holders *holders)
{
	size_t at = 0;
	unsigned int i;

	buffer[0] = '\0';
	for (i = 0; i < holders->nr; i++)
		if (holder_has_device(&holders->list[i]))
			at += scnprintf(buffer + at, size - at, "%s%s (%d)", at ? ", " : "",
					holders->list[i].comm, pid_nr(holders->list[i].pid));
}

/*
 * Find the holders of the removal's device. The lock is dropped meanwhile, and
 * the removal may have ended when it is taken again.
 */
static int find_holders(struct removal *removal, struct holders *holders)
{
	struct holder_target target;
	int ret;

	ret = holder_target_device(&target, removal->td);
	if (ret)
		return ret;
	mutex_unlock(&tracking_lock);
	ret = holders_find(&target, holders);
	holder_target_release(&target);
	mutex_lock(&tracking_lock);
	return ret;
}

static void report(struct removal *removal)
{
	struct tracked_group *tg = removal->tg;
	struct holders holders;
	char names[160];
	char user[80] = "";

	if (find_holders(removal, &holders))
		return;
	print_holders(names, sizeof(names), &holders);
	if (removal->state != VFIOEXT_STATE_ENDED) {
		if (tracked_group_users(tg))
			scnprintf(user, sizeof(user), ", first taken by %ps",
				  (void *)tg->first_user);
		dev_warn(removal->dev,
			 "removal %u waits for %u s: %u handles, %u external users%s; held by %s\n",
			 removal->id, removal_elapsed_ms(removal) / 1000,
			 tracked_device_handles(removal->td), tracked_group_users(tg), user,
			 names[0] ? names : "no process");
	}
	holders_release(&holders);
}

/* SIGBUS to who holds the device; told before it hits. */
static void signal_holders(struct removal *removal)
{
	struct holders holders;
	unsigned int i, nr = 0;
	bool ended;

	if (find_holders(removal, &holders))
		return;
	for (i = 0; i < holders.nr; i++)
		nr += holder_has_device(&holders.list[i]) && !holders.list[i].spared;

	/* Nobody is killed for who is no longer there to take the device. */
	ended = removal->state == VFIOEXT_STATE_ENDED || asker_gone(&removal->asker);
	if (!ended && nr) {
		removal->state = VFIOEXT_STATE_SIGNALED;
		netlink_removal_event(VFIOEXT_CMD_REMOVAL_SIGNALED, removal,
				      &(struct removal_event_extra){ .signaled = nr });
		holders_signal(&holders);
	}
	holders_release(&holders);
}

/* The deadline has passed. Return: false if the removal has ended. */
static bool overdue(struct removal *removal, ktime_t now)
{
	bool sigbus = removal->policy.action == VFIOEXT_ACTION_SIGBUS;
	bool asked = removal->origin == VFIOEXT_ORIGIN_ASKED;

	if (sigbus && ktime_before(now, removal->next_signal))
		return true;
	if (sigbus && removal->signals < NR_SIGNALS) {
		removal->signals++;
		removal->next_signal = ktime_add_ms(now, removal->policy.grace_ms);
		signal_holders(removal);
		return removal->state != VFIOEXT_STATE_ENDED;
	}
	if (asked) {
		removal_end(removal, VFIOEXT_CMD_REMOVAL_CANCELLED, VFIOEXT_OUTCOME_TIMED_OUT);
		return false;
	}
	if (removal->state == VFIOEXT_STATE_REQUESTED)
		removal->state = VFIOEXT_STATE_OVERDUE;
	return true;
}

/* Time until something is due. */
static u32 next_delay_ms(const struct removal *removal, ktime_t now)
{
	ktime_t next = removal->next_report;
	ktime_t due = KTIME_MAX;

	if (removal->origin == VFIOEXT_ORIGIN_ASKED)
		return ASK_INTERVAL_MS;
	if (ktime_before(now, removal->deadline))
		due = removal->deadline;
	else if (removal->policy.action == VFIOEXT_ACTION_SIGBUS && removal->signals < NR_SIGNALS)
		due = removal->next_signal;
	if (ktime_before(due, next))
		next = due;
	return max_t(s64, 0, ktime_ms_delta(next, now)) + 1;
}

/* Once the driver is being unbound, the device's own reference is gone. */
static bool is_waited_for(const struct removal *removal)
{
	if (removal->origin == VFIOEXT_ORIGIN_ASKED)
		return tracked_device_held(removal->td);
	return refcount_read(&removal->td->vdev->refcount);
}

/* Return: false if the removal has ended. The lock may have been dropped. */
static bool tick(struct removal *removal)
{
	bool asked = removal->origin == VFIOEXT_ORIGIN_ASKED;
	ktime_t now = ktime_get();

	if (removal->state == VFIOEXT_STATE_ENDED)
		return false;
	if (asker_gone(&removal->asker)) {
		removal_end(removal, VFIOEXT_CMD_REMOVAL_CANCELLED, VFIOEXT_OUTCOME_ABANDONED);
		return false;
	}
	if (asked && !tracked_device_held(removal->td)) {
		removal_end(removal, VFIOEXT_CMD_REMOVAL_RELEASED, outcome_of(removal));
		return false;
	}
	if (tracked_device_held(removal->td))
		removal->was_held = true;
	if (asked && !removal->requests)
		ask_driver(removal);
	if (removal->state == VFIOEXT_STATE_ENDED)
		return false;
	if (!ktime_before(now, removal->deadline) && !overdue(removal, now))
		return false;
	if (!ktime_before(now, removal->next_report)) {
		removal->next_report = ktime_add_ms(now, REPORT_INTERVAL_MS);
		if (is_waited_for(removal))
			report(removal);
		if (asked && removal->state != VFIOEXT_STATE_ENDED)
			ask_driver(removal);
	}
	return removal->state != VFIOEXT_STATE_ENDED;
}

static void tick_work(struct work_struct *work)
{
	struct removal *removal = container_of(to_delayed_work(work), struct removal, tick_work);

	mutex_lock(&tracking_lock);
	if (tick(removal))
		queue_tick(removal, next_delay_ms(removal, ktime_get()));
	mutex_unlock(&tracking_lock);
	removal_put(removal);
}

static struct removal *removal_begin(struct tracked_device *td, enum vfioext_origin origin,
				     const struct removal_policy *policy)
{
	struct removal *removal = kzalloc(sizeof(*removal), GFP_KERNEL);

	lockdep_assert_held(&tracking_lock);
	if (!removal)
		return NULL;

	kref_init(&removal->ref);
	asker_none(&removal->asker);
	INIT_WORK(&removal->notify_work, notify_work);
	INIT_DELAYED_WORK(&removal->tick_work, tick_work);
	removal->id = ++last_id ?: ++last_id;
	removal->origin = origin;
	removal->policy = *policy;
	removal->tg = td->tg;
	kref_get(&td->tg->ref);
	removal->td = td;
	removal->dev = get_device(td->dev);
	removal->begun = ktime_get();
	removal->deadline = ktime_add_ms(removal->begun, policy->timeout_ms);
	removal->next_signal = removal->deadline;
	removal->next_report = ktime_add_ms(removal->begun, REPORT_INTERVAL_MS);

	atomic_inc(&td->tg->removals);
	smp_mb__after_atomic(); /* no new user, then a look for users; pairs with add_user() */
	removal->was_held = tracked_device_held(td);
	td->removal = removal;
	list_add_tail(&removal->node, &removals);
	tracking_generation++;
	removal_event(removal, VFIOEXT_CMD_REMOVAL_REQUESTED);
	queue_notify(removal);
	return removal;
}

/* What was asked for is done now, and can no longer be called off. */
static void removal_overtake(struct removal *removal)
{
	removal->origin = VFIOEXT_ORIGIN_KERNEL;
	asker_forget(&removal->asker);
	WRITE_ONCE(removal->asker.gone, false);
	removal_event(removal, VFIOEXT_CMD_REMOVAL_REQUESTED);
	queue_notify(removal);
}

/* The driver of a device is to be unbound, or it turns out that it is being. */
static void kernel_removal(struct tracked_device *td)
{
	struct removal_policy policy = removal_policy_of(td);
	struct removal *removal;

	if (td->removal) {
		removal_overtake(td->removal);
		return;
	}
	removal = removal_begin(td, VFIOEXT_ORIGIN_KERNEL, &policy);
	if (!removal)
		dev_warn(td->dev, "vfioext: no memory to watch the removal\n");
	else
		queue_tick(removal, next_delay_ms(removal, removal->begun));
}

/**
 * removal_ask() - ask the holders of a device to let go
 * @td: the device
 * @policy: how to go about it
 * @extack: for what is wrong
 *
 * Return: the removal, good until tracking_lock is dropped; or ERR_PTR of
 * -EBUSY (one is under way), -ENOMEM, -ESHUTDOWN (the module is going).
 */
struct removal *removal_ask(struct tracked_device *td, const struct removal_policy *policy,
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
	removal = removal_begin(td, VFIOEXT_ORIGIN_ASKED, policy);
	if (!removal)
		return ERR_PTR(-ENOMEM);
	queue_tick(removal, 0);
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
	left = removal->policy.extend_max_ms - removal->extended_ms;
	if (!left) {
		NL_SET_ERR_MSG(extack, "the policy's extend-max-ms is used up");
		return -EDQUOT;
	}
	*extend_ms = min(*extend_ms, left);
	removal->extended_ms += *extend_ms;
	removal->deadline = ktime_add_ms(removal->deadline, *extend_ms);
	removal->next_signal = removal->deadline;
	netlink_removal_event(VFIOEXT_CMD_REMOVAL_EXTENDED, removal,
			      &(struct removal_event_extra){ .extend_ms = *extend_ms });
	return 0;
}

/**
 * removal_driver_unbinds() - a driver is to be unbound
 * @dev: its device
 */
void removal_driver_unbinds(struct device *dev)
{
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = tracked_device_of(dev);
	if (td)
		kernel_removal(td);
	mutex_unlock(&tracking_lock);
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
	if (td && td->removal)
		removal_end(td->removal, VFIOEXT_CMD_REMOVAL_DONE, outcome_of(td->removal));
	if (td)
		untrack_device(td);
	mutex_unlock(&tracking_lock);
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

/**
 * removal_driver_found() - a device that has a driver was found
 * @dev: the device
 *
 * If it is a VFIO device whose driver is being unbound already, because the
 * module was loaded in the middle, the removal is taken up from here.
 */
void removal_driver_found(struct device *dev)
{
	struct tracked_device *td;

	mutex_lock(&tracking_lock);
	td = track_device(dev);
	if (td && is_being_removed(td->vdev))
		kernel_removal(td);
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
	td = track_leaving_device(vdev);
	if (td)
		kernel_removal(td);
	mutex_unlock(&tracking_lock);
}

/* Take up removals that began before the buses were watched. */
void removal_find_under_way(void)
{
	holders_walk_devices(holder_found);
}

int removal_init(void)
{
	removal_wq = alloc_workqueue("vfioext", WQ_UNBOUND, 0);
	return removal_wq ? 0 : -ENOMEM;
}

/* The first removal under way, ended but referenced; NULL if there is none. */
static struct removal *forget_one(void)
{
	struct removal *removal;

	mutex_lock(&tracking_lock);
	stopping = true;
	removal = list_first_entry_or_null(&removals, struct removal, node);
	if (removal) {
		kref_get(&removal->ref);
		removal_end(removal, VFIOEXT_CMD_REMOVAL_CANCELLED, VFIOEXT_OUTCOME_UNLOADED);
	}
	mutex_unlock(&tracking_lock);
	return removal;
}

/* Forget what is under way: vfio goes on as without us. */
void removal_exit(void)
{
	struct removal *removal;

	while ((removal = forget_one()))
		removal_put(removal);
	destroy_workqueue(removal_wq);
}
