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
 * @asking_process: the process that asked; referenced, or NULL
 * @begun: when it began
 * @deadline: when patience ends
 * @next_signal: when the next SIGBUS is due, or time to give up
 * @next_report: when to say again that it goes on
 * @extended_ms: by how much the deadline was put off
 * @extensions: how often
 * @requests: how often the driver was told to ask its user
 * @signals: how often SIGBUS was due; there may have been nobody to send it to
 * @quiet: the driver is not to ask its user
 * @unregisters: the device is taken from vfio by a driver that stays bound
 * @was_held: somebody held the device
 * @told: in-kernel users were told to let go
 * @notify_work: tells in-kernel users
 * @request_work: has the driver ask its user
 * @tick_work: watches the clock
 *
 * Protected by tracking_lock, but for what stays as it was made, and @told, which is
 * @notify_work's.
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
	struct pid *asking_process;
	ktime_t begun;
	ktime_t deadline;
	ktime_t next_signal;
	ktime_t next_report;
	u32 extended_ms;
	unsigned int extensions;
	unsigned int requests;
	unsigned int signals;
	bool quiet;
	bool unregisters;
	bool was_held;
	bool told;
	struct work_struct notify_work;
	struct work_struct request_work;
	struct delayed_work tick_work;
};

/**
 * struct removal_request - what somebody asks for
 * @policy: how to go about it
 * @quiet: the driver is not to ask its user
 */
struct removal_request {
	struct removal_policy policy;
	bool quiet;
};

extern struct list_head removals;

int removal_init(void);
void removal_stop(void);
void removal_exit(void);

void removal_find_under_way(void);
void removal_device_found(struct device *dev, struct vfio_device *vdev);
void removal_driver_unbinds(struct device *dev, struct vfio_device *vdev);
void removal_driver_unbound(struct device *dev);
void removal_device_unregisters(struct vfio_device *vdev);

struct removal *removal_by_id(u32 id);
u32 removal_remaining_ms(const struct removal *removal);
u32 removal_elapsed_ms(const struct removal *removal);

struct removal *removal_ask(struct tracked_device *td, const struct removal_request *request,
			    struct netlink_ext_ack *extack);
int removal_cancel(struct removal *removal, struct netlink_ext_ack *extack);
int removal_extend(struct removal *removal, u32 *extend_ms, struct netlink_ext_ack *extack);

/* Among removal.c and its clock. */
bool removal_is_held(const struct removal *removal);
void removal_end(struct removal *removal, u8 cmd, enum vfioext_outcome outcome);
enum vfioext_outcome removal_outcome(const struct removal *removal);
void removal_request_later(struct removal *removal);
void removal_find_device(struct removal *removal);
void removal_unregistered(struct removal *removal);
void removal_put(struct removal *removal);

void removal_clock_init(struct removal *removal);
void removal_clock_set(struct removal *removal);
void removal_clock_stop(struct removal *removal);
void removal_clocks_exit(void);
void removal_watch(void);
void removal_clocks_freeze(void);
void removal_clocks_thaw(void);

extern struct workqueue_struct *removal_wq;

#endif
