/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/vfioext.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_VFIOEXT_GEN_H
#define _LINUX_VFIOEXT_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/vfioext.h>

/* Global operation policy for vfioext */
extern const struct nla_policy vfioext_main_nl_policy[VFIOEXT_A_QUIET + 1];

/* Ops table for vfioext */
extern const struct genl_small_ops vfioext_nl_ops[9];

int vfioext_nl_group_get_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_group_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb);
int vfioext_nl_device_get_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_device_get_dumpit(struct sk_buff *skb,
				 struct netlink_callback *cb);
int vfioext_nl_holder_get_dumpit(struct sk_buff *skb,
				 struct netlink_callback *cb);
int vfioext_nl_policy_get_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_policy_set_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_removal_get_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_removal_get_dumpit(struct sk_buff *skb,
				  struct netlink_callback *cb);
int vfioext_nl_removal_start_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_removal_cancel_doit(struct sk_buff *skb, struct genl_info *info);
int vfioext_nl_removal_extend_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	VFIOEXT_NLGRP_REMOVAL,
	VFIOEXT_NLGRP_GROUP,
};

#endif /* _LINUX_VFIOEXT_GEN_H */
