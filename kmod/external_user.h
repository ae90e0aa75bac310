/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_EXTERNAL_USER_H
#define VFIOEXT_EXTERNAL_USER_H

#include <linux/ktime.h>
#include <linux/types.h>
#include <linux/vfioext.h>

struct device;
struct tracked_group;

/**
 * struct removal_notice - what in-kernel users are told
 * @action: what they are to do
 * @id: number of the removal; 0 if the host goes down
 * @origin: who wants the device back
 * @deadline: when patience ends; CLOCK_MONOTONIC
 * @tg: the group
 * @dev: the device
 */
struct removal_notice {
	enum vfioext_removal_action action;
	u32 id;
	enum vfioext_origin origin;
	ktime_t deadline;
	struct tracked_group *tg;
	struct device *dev;
};

bool external_users_listen(void);
void external_users_notify(const struct removal_notice *notice);
void external_users_shut_down(void);

#endif
