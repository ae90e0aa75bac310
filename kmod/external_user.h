/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_EXTERNAL_USER_H
#define VFIOEXT_EXTERNAL_USER_H

#include <linux/types.h>
#include <uapi/linux/vfioext.h>

struct device;
struct tracked_group;

bool external_users_listen(void);
void external_users_notify(struct tracked_group *tg, struct device *dev, u32 id,
			   enum vfioext_origin origin);

#endif
