// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Network interfaces below a device: addresses and routes, by rtnetlink, and what is on top of
 * them, by sysfs, where that is in the same network namespace.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "rtnetlink.h"
#include "sysfs.h"
#include "uses.h"
#include "uses_net.h"

/* A full table of routes is not told line by line. */
#define ROUTES_MAX 4

/*
 * @index: the interface's, by which the kernel refers to it
 */
struct interface {
	struct survey *survey;
	const char *name;
	uint32_t index;
	unsigned int routes;
};

static const char *print_address(int family, const struct nlattr *attr, char *text)
{
	size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);

	if ((family != AF_INET && family != AF_INET6) || mnl_attr_get_payload_len(attr) != size ||
	    !inet_ntop(family, mnl_attr_get_payload(attr), text, INET6_ADDRSTRLEN))
		strcpy(text, "?");
	return text;
}

static int on_address(const struct nlmsghdr *header, void *data)
{
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr, *local = NULL;
	struct interface *interface = data;
	char text[INET6_ADDRSTRLEN];

	/* The kernel gives any interface that is up an IPv6 address of this scope. */
	if (header->nlmsg_type != RTM_NEWADDR || address->ifa_index != interface->index ||
	    (address->ifa_family == AF_INET6 && address->ifa_scope == RT_SCOPE_LINK))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, header, sizeof(*address)) {
		if (mnl_attr_get_type(attr) == IFA_LOCAL ||
		    (mnl_attr_get_type(attr) == IFA_ADDRESS && !local))
			local = attr;
	}
	if (local)
		uses_add(interface->survey, VFIOEXT_USE_ADDRESS, "%s has the address %s/%u",
			 interface->name, print_address(address->ifa_family, local, text),
			 address->ifa_prefixlen);
	return MNL_CB_OK;
}

/* Is the interface one of several that a route leads to? */
static bool is_hop(const struct nlattr *hops, uint32_t index)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(hops);
	int left = mnl_attr_get_payload_len(hops);

	while (RTNH_OK(hop, left)) {
		if ((uint32_t)hop->rtnh_ifindex == index)
			return true;
		left -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return false;
}

static int on_route(const struct nlmsghdr *header, void *data)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr, *to = NULL;
	struct interface *interface = data;
	char text[INET6_ADDRSTRLEN];
	bool ours = false;

	/* Those that come with an address, or with being up, are not told besides. */
	if (header->nlmsg_type != RTM_NEWROUTE || route->rtm_type != RTN_UNICAST ||
	    route->rtm_protocol == RTPROT_KERNEL || route->rtm_flags & RTM_F_CLONED)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, header, sizeof(*route)) {
		if (mnl_attr_get_type(attr) == RTA_DST)
			to = attr;
		else if (mnl_attr_get_type(attr) == RTA_OIF &&
			 mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			ours |= mnl_attr_get_u32(attr) == interface->index;
		else if (mnl_attr_get_type(attr) == RTA_MULTIPATH)
			ours |= is_hop(attr, interface->index);
	}
	if (!ours || interface->routes++ >= ROUTES_MAX)
		return MNL_CB_OK;
	if (to)
		uses_add(interface->survey, VFIOEXT_USE_ROUTE, "the route to %s/%u leads through %s",
			 print_address(route->rtm_family, to, text), route->rtm_dst_len,
			 interface->name);
	else
		uses_add(interface->survey, VFIOEXT_USE_ROUTE,
			 "the default route of %s leads through %s",
			 route->rtm_family == AF_INET6 ? "IPv6" : "IPv4", interface->name);
	return MNL_CB_OK;
}

/* What the kernel says an interface is: "bridge", "bond", "vlan", or "interface". */
static void read_type(struct vfioext *ctx, const char *name, char *type, size_t size)
{
	char path[PATH_MAX], line[128];
	FILE *file;

	snprintf(type, size, "interface");
	snprintf(path, sizeof(path), "%s/class/net/%s/uevent", ctx->sysfs, name);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "DEVTYPE=", 8))
			snprintf(type, size, "%.31s", line + 8);
	}
	fclose(file);
}

static void look_upwards(struct interface *interface, const struct below_device *device)
{
	struct vfioext *ctx = interface->survey->ctx;
	char master[VFIOEXT_NAME_SIZE], type[32], **names;
	int nr, i;

	if (sysfs_read_link(ctx, master, sizeof(master), "class/net/%s/master", device->name))
		master[0] = '\0';
	nr = sysfs_list(ctx, &names, "class/net/%s", device->name);
	for (i = 0; i < nr; i++) {
		if (strncmp(names[i], "upper_", 6))
			continue;
		read_type(ctx, names[i] + 6, type, sizeof(type));
		if (!strcmp(names[i] + 6, master))
			uses_add(interface->survey, VFIOEXT_USE_MASTER, "%s is a port of the %s %s",
				 device->name, type, master);
		else
			uses_add(interface->survey, VFIOEXT_USE_UPPER, "the %s %s is on %s", type,
				 names[i] + 6, device->name);
	}
	if (nr >= 0)
		sysfs_list_free(names, nr);
}

/* No interface is on another one for a PPPoE session, which has a list of its own. */
static void look_for_pppoe(struct interface *interface)
{
	char path[400], line[128], name[32];
	FILE *file;

	snprintf(path, sizeof(path), "%s/net/pppoe", interface->survey->proc);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*s %*s %31s", name) == 1 && !strcmp(name, interface->name))
			uses_add(interface->survey, VFIOEXT_USE_UPPER, "a PPPoE session is on %s",
				 interface->name);
	fclose(file);
}

static void look_at(struct survey *survey, const struct below_device *device)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct interface interface = { .survey = survey, .name = device->name };
	char index[16];
	size_t i;

	look_upwards(&interface, device);
	look_for_pppoe(&interface);
	below_read(device, "ifindex", index, sizeof(index));
	interface.index = (uint32_t)strtoul(index, NULL, 10);
	if (!survey->real || !interface.index)
		return;
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		rtnetlink_dump(RTM_GETADDR, families[i], on_address, &interface);
		rtnetlink_dump(RTM_GETROUTE, families[i], on_route, &interface);
	}
	uses_of_programs(survey, device->name, interface.index);
	uses_elsewhere(survey, device->name, interface.index);
	if (interface.routes > ROUTES_MAX)
		uses_add(survey, VFIOEXT_USE_ROUTE, "%u more routes lead through %s",
			 interface.routes - ROUTES_MAX, device->name);
}

void uses_of_interfaces(struct survey *survey)
{
	size_t i;

	for (i = 0; i < survey->below.nr; i++)
		if (!strcmp(survey->below.list[i].subsystem, "net"))
			look_at(survey, &survey->below.list[i]);
	if (survey->below.hides_net)
		uses_add(survey, VFIOEXT_USE_NAMESPACE,
			 "its network interface is in another network namespace");
}
