/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_POLICY_H
#define VFIOEXT_POLICY_H

#include "group.h"

struct removal_policy removal_policy_of(const struct tracked_device *td);
void removal_policy_set(struct tracked_device *td, const struct removal_policy_change *change);
struct removal_policy removal_policy_stricter(const struct removal_policy *a,
					      const struct removal_policy *b);

#endif
