/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_NETLINK_H
#define VFIOEXT_NETLINK_H

#include <linux/types.h>

struct removal;
struct tracked_device;
struct tracked_group;

/**
 * struct removal_event_extra - what one event of a removal tells beyond its state
 * @extend_ms: by how much the deadline was put off
 * @signaled: processes that get SIGBUS
 * @has_outcome: tell how it ended
 */
struct removal_event_extra {
	u32 extend_ms;
	u32 signaled;
	bool has_outcome;
};

int netlink_init(void);
void netlink_exit(void);

/* The tracking_lock is held: events come in the order of what they tell. */
void netlink_group_event(u8 cmd, struct tracked_group *tg);
void netlink_device_event(u8 cmd, struct tracked_device *td);
void netlink_removal_event(u8 cmd, struct removal *removal,
			   const struct removal_event_extra *extra);

#endif
