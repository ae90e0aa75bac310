/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_REMOVAL_H
#define VFIOEXT_REMOVAL_H

#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/workqueue.h>

#include "asker.h"
#include "group.h"

struct netlink_ext_ack;

/**
 * struct removal - a device is being taken back
 * @ref: one for the list, one for each work that is queued
 * @node: in removals
 * @id: unique since the module was loaded
 * @origin: the kernel unbinds the driver, or somebody asked
 * @state: how far it is
 * @outcome: how it ended
 * @policy: how it goes about it
 * @tg: the group; referenced
 * @td: the device, until it ends
 * @dev: the device as the bus knows it; referenced
 * @asker: who asked, if it is called off once they are gone
 * @begun: when it began
 * @deadline: when patience ends
 * @next_signal: when the next SIGBUS is due, or time to give up
 * @next_report: when to say again that it goes on
 * @extended_ms: by how much the deadline was put off
 * @requests: how often the driver was told to ask its user
 * @signals: how often SIGBUS was due; there may have been nobody to send it to
 * @was_held: somebody held the device
 * @notify_work: tells in-kernel users
 * @tick_work: watches the clock, and while it asks, the handles
 *
 * Protected by tracking_lock, but for what stays as it was made.
 */
struct removal {
	struct kref ref;
	struct list_head node;
	u32 id;
	enum vfioext_origin origin;
	enum vfioext_state state;
	enum vfioext_outcome outcome;
	struct removal_policy policy;
	struct tracked_group *tg;
	struct tracked_device *td;
	struct device *dev;
	struct asker asker;
	ktime_t begun;
	ktime_t deadline;
	ktime_t next_signal;
	ktime_t next_report;
	u32 extended_ms;
	unsigned int requests;
	unsigned int signals;
	bool was_held;
	struct work_struct notify_work;
	struct delayed_work tick_work;
};

extern struct list_head removals;

int removal_init(void);
void removal_exit(void);

void removal_find_under_way(void);
void removal_driver_found(struct device *dev);
void removal_driver_unbinds(struct device *dev);
void removal_driver_unbound(struct device *dev);

struct removal *removal_by_id(u32 id);
u32 removal_remaining_ms(const struct removal *removal);
u32 removal_elapsed_ms(const struct removal *removal);

struct removal_policy removal_policy_of(const struct tracked_device *td);
void removal_policy_set(struct tracked_device *td, const struct removal_policy_change *change);

struct removal *removal_ask(struct tracked_device *td, const struct removal_policy *policy,
			    struct netlink_ext_ack *extack);
int removal_cancel(struct removal *removal, struct netlink_ext_ack *extack);
int removal_extend(struct removal *removal, u32 *extend_ms, struct netlink_ext_ack *extack);

#endif
