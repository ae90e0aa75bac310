/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/vfioext.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_VFIOEXT_H
#define _UAPI_LINUX_VFIOEXT_H

#define VFIOEXT_FAMILY_NAME	"vfioext"
#define VFIOEXT_FAMILY_VERSION	1

#define VFIOEXT_NAME_MAX	63
#define VFIOEXT_TIME_MAX	86400000

/**
 * enum vfioext_group_type
 * @VFIOEXT_GROUP_TYPE_PHYSICAL: Devices behind an IOMMU.
 * @VFIOEXT_GROUP_TYPE_EMULATED: Mediated devices, whose parent driver stands
 *   in for an IOMMU.
 * @VFIOEXT_GROUP_TYPE_NOIOMMU: Devices without an IOMMU, unsafe, opted in by
 *   the host.
 */
enum vfioext_group_type {
	VFIOEXT_GROUP_TYPE_PHYSICAL,
	VFIOEXT_GROUP_TYPE_EMULATED,
	VFIOEXT_GROUP_TYPE_NOIOMMU,
};

/**
 * enum vfioext_origin
 * @VFIOEXT_ORIGIN_KERNEL: The driver is being unbound, which cannot be called
 *   off (sysfs unbind, hot-unplug, SR-IOV disable, mdev remove).
 * @VFIOEXT_ORIGIN_ASKED: Started by removal-start; the device stays bound.
 */
enum vfioext_origin {
	VFIOEXT_ORIGIN_KERNEL,
	VFIOEXT_ORIGIN_ASKED,
};

/**
 * enum vfioext_state
 * @VFIOEXT_STATE_REQUESTED: Holders have been asked; the deadline lies ahead.
 * @VFIOEXT_STATE_OVERDUE: The deadline has passed and the action is notify.
 * @VFIOEXT_STATE_SIGNALED: The deadline has passed and holders got SIGBUS.
 * @VFIOEXT_STATE_ENDED: Over; only events carry this state.
 */
enum vfioext_state {
	VFIOEXT_STATE_REQUESTED,
	VFIOEXT_STATE_OVERDUE,
	VFIOEXT_STATE_SIGNALED,
	VFIOEXT_STATE_ENDED,
};

/**
 * enum vfioext_outcome
 * @VFIOEXT_OUTCOME_UNHELD: Nobody held the device when the removal began.
 * @VFIOEXT_OUTCOME_LET_GO: Every holder let go by itself.
 * @VFIOEXT_OUTCOME_SIGNALED: Holders were gone after SIGBUS.
 * @VFIOEXT_OUTCOME_CANCELLED: Called off by removal-cancel.
 * @VFIOEXT_OUTCOME_TIMED_OUT: The time ran out and the device is still held.
 * @VFIOEXT_OUTCOME_UNLOADED: The module was unloaded and watches no longer.
 * @VFIOEXT_OUTCOME_ABANDONED: Called off by the kernel, as the socket that
 *   asked was closed: its program ended or was killed.
 */
enum vfioext_outcome {
	VFIOEXT_OUTCOME_UNHELD,
	VFIOEXT_OUTCOME_LET_GO,
	VFIOEXT_OUTCOME_SIGNALED,
	VFIOEXT_OUTCOME_CANCELLED,
	VFIOEXT_OUTCOME_TIMED_OUT,
	VFIOEXT_OUTCOME_UNLOADED,
	VFIOEXT_OUTCOME_ABANDONED,
};

/**
 * enum vfioext_action
 * @VFIOEXT_ACTION_NOTIFY: Holders are told, and nothing else happens at the
 *   deadline.
 * @VFIOEXT_ACTION_SIGBUS: Holders get SIGBUS at the deadline, and once more
 *   after the grace time.
 */
enum vfioext_action {
	VFIOEXT_ACTION_NOTIFY,
	VFIOEXT_ACTION_SIGBUS,
};

enum {
	VFIOEXT_A_GROUP_ID = 1,
	VFIOEXT_A_GROUP_NAME,
	VFIOEXT_A_GROUP_TYPE,
	VFIOEXT_A_VIABLE,
	VFIOEXT_A_CONTAINER_SET,
	VFIOEXT_A_EXTERNAL_USERS,
	VFIOEXT_A_DEVICES,
	VFIOEXT_A_DEVICE_NAME,
	VFIOEXT_A_BUS,
	VFIOEXT_A_DRIVER,
	VFIOEXT_A_HANDLES,
	VFIOEXT_A_REMOVAL_ID,
	VFIOEXT_A_ORIGIN,
	VFIOEXT_A_STATE,
	VFIOEXT_A_OUTCOME,
	VFIOEXT_A_REMAINING_MS,
	VFIOEXT_A_ELAPSED_MS,
	VFIOEXT_A_TIMEOUT_MS,
	VFIOEXT_A_GRACE_MS,
	VFIOEXT_A_EXTEND_MAX_MS,
	VFIOEXT_A_ACTION,
	VFIOEXT_A_EXTEND_MS,
	VFIOEXT_A_SEQUENCE,
	VFIOEXT_A_PID,
	VFIOEXT_A_COMM,
	VFIOEXT_A_UID,
	VFIOEXT_A_GROUP_FDS,
	VFIOEXT_A_DEVICE_FDS,
	VFIOEXT_A_MAPPINGS,
	VFIOEXT_A_UNACCOUNTED,
	VFIOEXT_A_SIGNALED,
	VFIOEXT_A_KVM_FDS,
	VFIOEXT_A_DETACHED,
	VFIOEXT_A_QUIET,

	__VFIOEXT_A_MAX
};
#define VFIOEXT_A_MAX (__VFIOEXT_A_MAX - 1)

enum {
	VFIOEXT_CMD_GROUP_GET = 1,
	VFIOEXT_CMD_DEVICE_GET,
	VFIOEXT_CMD_HOLDER_GET,
	VFIOEXT_CMD_POLICY_GET,
	VFIOEXT_CMD_POLICY_SET,
	VFIOEXT_CMD_REMOVAL_GET,
	VFIOEXT_CMD_REMOVAL_START,
	VFIOEXT_CMD_REMOVAL_CANCEL,
	VFIOEXT_CMD_REMOVAL_EXTEND,
	VFIOEXT_CMD_REMOVAL_REQUESTED,
	VFIOEXT_CMD_REMOVAL_EXTENDED,
	VFIOEXT_CMD_REMOVAL_SIGNALED,
	VFIOEXT_CMD_REMOVAL_RELEASED,
	VFIOEXT_CMD_REMOVAL_CANCELLED,
	VFIOEXT_CMD_REMOVAL_DONE,
	VFIOEXT_CMD_REMOVAL_UNWATCHED,
	VFIOEXT_CMD_GROUP_ADDED,
	VFIOEXT_CMD_GROUP_REMOVED,
	VFIOEXT_CMD_DEVICE_ADDED,
	VFIOEXT_CMD_DEVICE_REMOVED,

	__VFIOEXT_CMD_MAX
};
#define VFIOEXT_CMD_MAX (__VFIOEXT_CMD_MAX - 1)

#define VFIOEXT_MCGRP_REMOVAL	"removal"
#define VFIOEXT_MCGRP_GROUP	"group"

#endif /* _UAPI_LINUX_VFIOEXT_H */
