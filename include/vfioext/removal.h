/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_REMOVAL_H
#define VFIOEXT_REMOVAL_H

#include <stddef.h>
#include <stdint.h>
#include <vfioext/context.h>
#include <vfioext/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_removal - a device is being taken back
 * @id: its number
 * @device: the device
 * @bus: its bus
 * @group: its IOMMU group
 * @origin: enum vfioext_origin of <linux/vfioext.h>, as the next two
 * @state: enum vfioext_state
 * @action: enum vfioext_action
 * @remaining_ms: time until the deadline
 * @elapsed_ms: time since it began
 * @external_users: in-kernel users of the group
 * @handles: open handles of the device
 */
struct vfioext_removal {
	uint32_t id;
	char device[VFIOEXT_NAME_SIZE];
	char bus[16];
	uint32_t group;
	uint32_t origin;
	uint32_t state;
	uint32_t action;
	uint32_t remaining_ms;
	uint32_t elapsed_ms;
	uint32_t external_users;
	uint32_t handles;
};

/**
 * struct vfioext_removals - removals under way
 * @list: the removals
 * @nr: how many
 */
struct vfioext_removals {
	struct vfioext_removal *list;
	size_t nr;
};

/**
 * vfioext_removals_get() - read the removals under way
 * @ctx: the context
 * @removals: where they go, to be given to vfioext_removals_release()
 *
 * Return: 0, -EPROTONOSUPPORT if the module is not loaded, -ENOMEM, or the error
 * of the netlink socket.
 */
int vfioext_removals_get(struct vfioext *ctx, struct vfioext_removals *removals);

/**
 * vfioext_removals_release() - free what the list holds
 * @removals: the list
 */
void vfioext_removals_release(struct vfioext_removals *removals);

/**
 * vfioext_removal_start() - ask the holders of a device to let go
 * @ctx: the context
 * @device: the device
 * @how: its timeout and action, where its @has says so; NULL for the policy's
 * @id: where the number of the removal goes
 *
 * The device stays bound and works. How it goes on and ends is told by events.
 *
 * The removal belongs to the context's connection to the module. The kernel calls it
 * off, with outcome abandoned, when the context is freed or its process ends, however it
 * does, and when an exchange with the module breaks off; unless @how's @has includes
 * VFIOEXT_POLICY_DETACHED. A child that inherited the connection keeps the removal, too.
 *
 * Return: 0, -ENODEV if it is not bound to a VFIO driver, -EBUSY if a removal is
 * under way, -EPERM without CAP_SYS_ADMIN, -EPROTONOSUPPORT if the module is not
 * loaded, or the error of the netlink socket.
 */
int vfioext_removal_start(struct vfioext *ctx, const char *device,
			  const struct vfioext_policy *how, uint32_t *id);

/**
 * vfioext_removal_cancel() - call an asked removal off
 * @ctx: the context
 * @id: its number
 *
 * Return: 0, -ENOENT if it is over, -EBUSY if the driver is being unbound, else
 * as vfioext_removal_start().
 */
int vfioext_removal_cancel(struct vfioext *ctx, uint32_t id);

/**
 * vfioext_removal_extend() - ask for more time
 * @ctx: the context
 * @id: number of the removal
 * @extend_ms: by how much to put the deadline off, at least 1; on return by how
 *	much it was
 * @remaining_ms: where the time until the deadline goes, or NULL
 *
 * For a process that holds the device, or one with CAP_SYS_ADMIN.
 *
 * Return: 0, -ENOENT if it is over, -EPERM, -ETIME if the deadline has passed,
 * -EDQUOT if the policy grants no more, else as vfioext_removal_start().
 */
int vfioext_removal_extend(struct vfioext *ctx, uint32_t id, uint32_t *extend_ms,
			   uint32_t *remaining_ms);

#ifdef __cplusplus
}
#endif

#endif
