// SPDX-License-Identifier: GPL-2.0-only
/* How removals go about it: the host's policy, and what was set for single devices. */
#include "policy.h"

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

/**
 * removal_policy_stricter() - what is left of the time of two policies, and the harder action
 * @a: a policy
 * @b: another one
 */
struct removal_policy removal_policy_stricter(const struct removal_policy *a,
					      const struct removal_policy *b)
{
	return (struct removal_policy){
		.timeout_ms = min(a->timeout_ms, b->timeout_ms),
		.grace_ms = min(a->grace_ms, b->grace_ms),
		.extend_max_ms = min(a->extend_max_ms, b->extend_max_ms),
		.action = max(a->action, b->action),
	};
}
