// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Programs of XDP and filters of tc that an interface has. Its packets may go elsewhere by them,
 * and it needs neither an address nor anything on top of it for that.
 */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "rtnetlink.h"
#include "uses.h"
#include "uses_net.h"

struct programmed {
	struct survey *survey;
	const char *name;
	uint32_t index;
};

static bool is_attached(const struct nlattr *xdp)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, xdp)
		if (mnl_attr_get_type(attr) == IFLA_XDP_ATTACHED &&
		    mnl_attr_validate(attr, MNL_TYPE_U8) >= 0)
			return mnl_attr_get_u8(attr) != XDP_ATTACHED_NONE;
	return false;
}

static int on_link(const struct nlmsghdr *header, void *data)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(header);
	const struct programmed *programmed = data;
	const struct nlattr *attr;

	if (header->nlmsg_type != RTM_NEWLINK || (uint32_t)link->ifi_index != programmed->index)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, header, sizeof(*link))
		if (mnl_attr_get_type(attr) == IFLA_XDP && is_attached(attr))
			uses_add(programmed->survey, VFIOEXT_USE_PROGRAM,
				 "%s has a program of XDP", programmed->name);
	return MNL_CB_OK;
}

/* Filters of what comes in are at one of these, which is there for nothing else. */
static bool is_for_filters(const struct nlattr *kind)
{
	return mnl_attr_validate(kind, MNL_TYPE_NUL_STRING) >= 0 &&
	       (!strcmp(mnl_attr_get_str(kind), "clsact") ||
		!strcmp(mnl_attr_get_str(kind), "ingress"));
}

static int on_qdisc(const struct nlmsghdr *header, void *data)
{
	const struct tcmsg *qdisc = mnl_nlmsg_get_payload(header);
	const struct programmed *programmed = data;
	const struct nlattr *attr;

	if (header->nlmsg_type != RTM_NEWQDISC ||
	    (uint32_t)qdisc->tcm_ifindex != programmed->index)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, header, sizeof(*qdisc))
		if (mnl_attr_get_type(attr) == TCA_KIND && is_for_filters(attr))
			uses_add(programmed->survey, VFIOEXT_USE_PROGRAM,
				 "%s has filters of tc (%s)", programmed->name,
				 mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

void uses_of_programs(struct survey *survey, const char *name, uint32_t index)
{
	struct programmed programmed = { .survey = survey, .name = name, .index = index };

	rtnetlink_dump(RTM_GETLINK, AF_UNSPEC, on_link, &programmed);
	rtnetlink_dump(RTM_GETQDISC, AF_UNSPEC, on_qdisc, &programmed);
}
