/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_POLICY_H
#define VFIOEXT_POLICY_H

#include <stdint.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VFIOEXT_POLICY_TIMEOUT 0x1u
#define VFIOEXT_POLICY_GRACE 0x2u
#define VFIOEXT_POLICY_EXTEND_MAX 0x4u
#define VFIOEXT_POLICY_ACTION 0x8u
/* Of vfioext_removal_start() alone: the removal outlives the connection that asked for it. */
#define VFIOEXT_POLICY_DETACHED 0x10u
/* Of vfioext_removal_start() alone: the driver does not ask its user by the request interrupt. */
#define VFIOEXT_POLICY_QUIET 0x20u

/**
 * struct vfioext_policy - how removals go about it
 * @has: which of the others count: VFIOEXT_POLICY_* or-ed
 * @timeout_ms: from the start of a removal to its deadline
 * @grace_ms: between the two SIGBUS, and after the second
 * @extend_max_ms: by how much holders may put the deadline off in all
 * @action: enum vfioext_action of <linux/vfioext.h>
 */
struct vfioext_policy {
	unsigned int has;
	uint32_t timeout_ms;
	uint32_t grace_ms;
	uint32_t extend_max_ms;
	uint32_t action;
};

/**
 * vfioext_policy_get() - read the policy in force
 * @ctx: the context
 * @device: a device that is bound to a VFIO driver, NULL for the host's policy
 * @policy: where it goes
 *
 * Return: 0, -ENODEV, -EPROTONOSUPPORT if the module is not loaded, or the error
 * of the netlink socket.
 */
int vfioext_policy_get(struct vfioext *ctx, const char *device, struct vfioext_policy *policy);

/**
 * vfioext_policy_set() - change a policy
 * @ctx: the context
 * @device: a device, NULL for the host's policy
 * @policy: what to change, as its @has says
 *
 * Return: as vfioext_policy_get(), -EINVAL if @has is 0 or unknown, or the action is none,
 * -EPERM without CAP_SYS_ADMIN.
 */
int vfioext_policy_set(struct vfioext *ctx, const char *device,
		       const struct vfioext_policy *policy);

#ifdef __cplusplus
}
#endif

#endif
