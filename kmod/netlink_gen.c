// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/vfioext.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink_gen.h"

#include <uapi/linux/vfioext.h>

/* Global operation policy for vfioext */
const struct nla_policy vfioext_main_nl_policy[VFIOEXT_A_QUIET + 1] = {
	[VFIOEXT_A_GROUP_ID] = { .type = NLA_U32, },
	[VFIOEXT_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = VFIOEXT_NAME_MAX, },
	[VFIOEXT_A_BUS] = { .type = NLA_NUL_STRING, .len = VFIOEXT_NAME_MAX, },
	[VFIOEXT_A_REMOVAL_ID] = { .type = NLA_U32, },
	[VFIOEXT_A_TIMEOUT_MS] = { .type = NLA_U32, },
	[VFIOEXT_A_GRACE_MS] = { .type = NLA_U32, },
	[VFIOEXT_A_EXTEND_MAX_MS] = { .type = NLA_U32, },
	[VFIOEXT_A_ACTION] = NLA_POLICY_MAX(NLA_U32, 1),
	[VFIOEXT_A_EXTEND_MS] = NLA_POLICY_MIN(NLA_U32, 1),
	[VFIOEXT_A_DETACHED] = { .type = NLA_FLAG, },
	[VFIOEXT_A_QUIET] = { .type = NLA_FLAG, },
};

/* Ops table for vfioext */
const struct genl_small_ops vfioext_nl_ops[9] = {
	{
		.cmd	= VFIOEXT_CMD_GROUP_GET,
		.doit	= vfioext_nl_group_get_doit,
		.dumpit	= vfioext_nl_group_get_dumpit,
	},
	{
		.cmd	= VFIOEXT_CMD_DEVICE_GET,
		.doit	= vfioext_nl_device_get_doit,
		.dumpit	= vfioext_nl_device_get_dumpit,
	},
	{
		.cmd	= VFIOEXT_CMD_HOLDER_GET,
		.dumpit	= vfioext_nl_holder_get_dumpit,
	},
	{
		.cmd	= VFIOEXT_CMD_POLICY_GET,
		.doit	= vfioext_nl_policy_get_doit,
	},
	{
		.cmd	= VFIOEXT_CMD_POLICY_SET,
		.doit	= vfioext_nl_policy_set_doit,
	},
	{
		.cmd	= VFIOEXT_CMD_REMOVAL_GET,
		.doit	= vfioext_nl_removal_get_doit,
		.dumpit	= vfioext_nl_removal_get_dumpit,
	},
	{
		.cmd	= VFIOEXT_CMD_REMOVAL_START,
		.doit	= vfioext_nl_removal_start_doit,
	},
	{
		.cmd	= VFIOEXT_CMD_REMOVAL_CANCEL,
		.doit	= vfioext_nl_removal_cancel_doit,
	},
	{
		.cmd	= VFIOEXT_CMD_REMOVAL_EXTEND,
		.doit	= vfioext_nl_removal_extend_doit,
	},
};

static const struct genl_multicast_group vfioext_nl_mcgrps[] = {
	[VFIOEXT_NLGRP_REMOVAL] = { "removal", },
	[VFIOEXT_NLGRP_GROUP] = { "group", },
};
