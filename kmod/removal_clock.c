// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a removal does as time goes by: it looks whether the device is held, at the deadline
 * does what the policy says, and reports if it takes long.
 */
#include <linux/kernel.h>
#include <linux/list.h>

#include "holders.h"
#include "netlink.h"
#include "removal.h"

#define LOOK_INTERVAL_MS 10
#define LOOKS_PER_MS 50
#define REPORT_INTERVAL_MS 10000
#define FIND_AFTER_MS 1000
#define RETRY_MS 100
#define NR_SIGNALS 2

static void look_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(look, look_work);

/* Tasks are frozen since, and nobody can let go; 0 if they are not. */
static ktime_t frozen_since;

/* "qemu (1234), dpdk (99)"; what does not fit is left out. */
static void print_holders(char *buffer, size_t size, const struct holders *holders)
{
	const struct holder *holder;
	size_t at = 0;

	buffer[0] = '\0';
	list_for_each_entry(holder, &holders->list, node)
		if (holder_has_device(holder))
			at += scnprintf(buffer + at, size - at, "%s%*pE (%d)", at ? ", " : "",
					(int)strnlen(holder->comm, sizeof(holder->comm)),
					holder->comm, pid_nr(holder->pid));
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
	ret = holders_find(&target, HOLDERS_ALL, holders);
	if (!ret)
		holders_look_again(&target, holders);
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
		dev_warn_ratelimited(removal->dev,
				     "removal %u waits for %u s: %u handles, %u external users%s; held by %s\n",
				     removal->id, removal_elapsed_ms(removal) / 1000,
				     tracked_device_handles(removal->td), tracked_group_users(tg),
				     user, names[0] ? names : "no process");
	}
	holders_release(&holders);
}

/*
 * SIGBUS to who holds the device; told before it hits.
 * Return: 0, or -ENOMEM if the holders could not be found: then nobody was sent one.
 */
static int signal_holders(struct removal *removal)
{
	struct holders holders;
	unsigned int nr;
	int ret;

	ret = find_holders(removal, &holders);
	if (ret)
		return ret == -ENODEV ? 0 : ret;
	nr = holders_count(&holders);
	/* Nobody is killed for who is no longer there to take the device. */
	if (removal->state != VFIOEXT_STATE_ENDED && !asker_gone(&removal->asker) && nr) {
		removal->state = VFIOEXT_STATE_SIGNALED;
		netlink_removal_event(VFIOEXT_CMD_REMOVAL_SIGNALED, removal,
				      &(struct removal_event_extra){ .signaled = nr });
		holders_signal(&holders);
	}
	holders_release(&holders);
	return 0;
}

/* A round of signals is due. */
static void signal_round(struct removal *removal, ktime_t now)
{
	if (signal_holders(removal)) {
		removal->next_signal = ktime_add_ms(now, RETRY_MS);
		return;
	}
	removal->signals++;
	removal->next_signal = ktime_add_ms(now, removal->policy.grace_ms);
}

/* The deadline has passed. */
static void overdue(struct removal *removal, ktime_t now)
{
	bool sigbus = removal->policy.action == VFIOEXT_ACTION_SIGBUS;

	if (sigbus && ktime_before(now, removal->next_signal))
		return;
	if (sigbus && removal->signals < NR_SIGNALS)
		signal_round(removal, now);
	else if (removal->origin == VFIOEXT_ORIGIN_ASKED)
		removal_end(removal, VFIOEXT_CMD_REMOVAL_CANCELLED, VFIOEXT_OUTCOME_TIMED_OUT);
	else if (removal->state == VFIOEXT_STATE_REQUESTED)
		removal->state = VFIOEXT_STATE_OVERDUE;
}

/* Once the driver is being unbound, there may be nothing to wait for but the driver. */
static bool is_waited_for(const struct removal *removal)
{
	if (removal->origin == VFIOEXT_ORIGIN_KERNEL)
		return removal->td->vdev;
	return removal_is_held(removal);
}

/* Something is to be said of a removal that takes long, or to be looked for. */
static void tick_report(struct removal *removal, ktime_t now)
{
	ktime_t first = ktime_add_ms(removal->begun, REPORT_INTERVAL_MS);

	removal_find_device(removal);
	if (removal->state == VFIOEXT_STATE_ENDED)
		return;
	removal->next_report = first;
	if (ktime_before(now, first))
		return;
	removal->next_report = ktime_add_ms(now, REPORT_INTERVAL_MS);
	if (is_waited_for(removal))
		report(removal);
	if (removal->state != VFIOEXT_STATE_ENDED)
		removal_request_later(removal);
}

/* The lock may be dropped, and the removal may end. */
static void tick(struct removal *removal, ktime_t now)
{
	if (!ktime_before(now, removal->deadline))
		overdue(removal, now);
	if (removal->state != VFIOEXT_STATE_ENDED && !ktime_before(now, removal->next_report))
		tick_report(removal, now);
}

static void tick_work(struct work_struct *work)
{
	struct removal *removal = container_of(to_delayed_work(work), struct removal, tick_work);

	mutex_lock(&tracking_lock);
	if (removal->state != VFIOEXT_STATE_ENDED && !frozen_since)
		tick(removal, ktime_get());
	if (removal->state != VFIOEXT_STATE_ENDED && !frozen_since)
		removal_clock_set(removal);
	mutex_unlock(&tracking_lock);
	removal_put(removal);
}

/* When something is due. */
static ktime_t next_tick(const struct removal *removal, ktime_t now)
{
	ktime_t next = removal->next_report;
	ktime_t due = KTIME_MAX;

	if (ktime_before(now, removal->deadline))
		due = removal->deadline;
	else if (removal->origin == VFIOEXT_ORIGIN_ASKED ||
		 (removal->policy.action == VFIOEXT_ACTION_SIGBUS && removal->signals < NR_SIGNALS))
		due = removal->next_signal;
	return ktime_before(due, next) ? due : next;
}

void removal_clock_init(struct removal *removal)
{
	INIT_DELAYED_WORK(&removal->tick_work, tick_work);
	removal->next_report = ktime_add_ms(removal->begun, FIND_AFTER_MS);
}

/* No removal begins any more, and all have ended. */
void removal_clocks_exit(void)
{
	cancel_delayed_work_sync(&look);
}

/* Have the clock run on to when something is due next, which may have changed. */
void removal_clock_set(struct removal *removal)
{
	ktime_t now = ktime_get();
	s64 delay_ms = max_t(s64, 0, ktime_ms_delta(next_tick(removal, now), now));

	kref_get(&removal->ref);
	if (mod_delayed_work(removal_wq, &removal->tick_work, msecs_to_jiffies(delay_ms) + 1))
		removal_put(removal);
}

void removal_clock_stop(struct removal *removal)
{
	if (cancel_delayed_work(&removal->tick_work))
		removal_put(removal);
}

/* Return: true if it has to be looked at again. */
static bool look_at(struct removal *removal)
{
	if (removal->origin == VFIOEXT_ORIGIN_KERNEL) {
		if (!tracked_device_is_left(removal->td))
			return true;
		if (removal->unregisters)
			removal_unregistered(removal);
		return false;
	}
	if (asker_gone(&removal->asker)) {
		removal_end(removal, VFIOEXT_CMD_REMOVAL_CANCELLED, VFIOEXT_OUTCOME_ABANDONED);
		return false;
	}
	if (removal_is_held(removal)) {
		removal->was_held = true;
		return true;
	}
	removal_end(removal, VFIOEXT_CMD_REMOVAL_RELEASED, removal_outcome(removal));
	return false;
}

/*
 * Vfio tells nobody when a device is let go, so all that are waited for are looked at, the
 * more of them the less often: thousands shall cost as little as one.
 */
static void look_work(struct work_struct *work)
{
	struct removal *removal, *next;
	unsigned int nr = 0;

	mutex_lock(&tracking_lock);
	list_for_each_entry_safe(removal, next, &removals, node)
		nr += look_at(removal);
	if (nr)
		queue_delayed_work(removal_wq, &look,
				   msecs_to_jiffies(max(LOOK_INTERVAL_MS, nr / LOOKS_PER_MS)));
	mutex_unlock(&tracking_lock);
}

/* A removal has begun, or goes on in another way. */
void removal_watch(void)
{
	mod_delayed_work(removal_wq, &look, 0);
}

/* Time does not pass for who cannot act. */
void removal_clocks_freeze(void)
{
	mutex_lock(&tracking_lock);
	frozen_since = ktime_get();
	mutex_unlock(&tracking_lock);
}

void removal_clocks_thaw(void)
{
	struct removal *removal;
	s64 ns;

	mutex_lock(&tracking_lock);
	ns = ktime_to_ns(ktime_sub(ktime_get(), frozen_since));
	frozen_since = 0;
	list_for_each_entry(removal, &removals, node) {
		removal->deadline = ktime_add_ns(removal->deadline, ns);
		removal->next_signal = ktime_add_ns(removal->next_signal, ns);
		removal->next_report = ktime_add_ns(removal->next_report, ns);
		removal_clock_set(removal);
	}
	mutex_unlock(&tracking_lock);
}
