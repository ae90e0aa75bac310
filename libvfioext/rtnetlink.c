// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the kernel tells of networks. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>

#include "netlink.h"
#include "rtnetlink.h"

/* So often a list that changed while it was read is read again. */
#define TRIES_MAX 4

static size_t header_size(uint16_t type)
{
	switch (type) {
	case RTM_GETADDR:
		return sizeof(struct ifaddrmsg);
	case RTM_GETROUTE:
		return sizeof(struct rtmsg);
	case RTM_GETLINK:
		return sizeof(struct ifinfomsg);
	case RTM_GETQDISC:
		return sizeof(struct tcmsg);
	default:
		return sizeof(struct rtgenmsg);
	}
}

/* Each of these headers begins with the family. */
static struct nlmsghdr *begin(char *buffer, uint16_t type, int family)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct rtgenmsg *of;

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST;
	header->nlmsg_seq = 1;
	of = mnl_nlmsg_put_extra_header(header, header_size(type));
	of->rtgen_family = (unsigned char)family;
	return header;
}

/* Send what is in @buffer, and run @fn on what comes. Return: 0 or an error. */
static int run(char *buffer, mnl_cb_t fn, void *data)
{
	const struct nlmsghdr *header = (struct nlmsghdr *)buffer;
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int ret = MNL_CB_OK;
	ssize_t len;

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		ret = MNL_CB_ERROR;
	while (ret == MNL_CB_OK) {
		len = mnl_socket_recvfrom(socket, buffer, NETLINK_BUFFER_SIZE);
		if (len < 0 && errno == EINTR)
			continue;
		ret = len < 0 ? MNL_CB_ERROR :
				mnl_cb_run(buffer, (size_t)len, 1, mnl_socket_get_portid(socket),
					   fn, data);
	}
	ret = ret == MNL_CB_ERROR ? -errno : 0;
	mnl_socket_close(socket);
	return ret;
}

int rtnetlink_dump(uint16_t type, int family, mnl_cb_t fn, void *data)
{
	char buffer[NETLINK_BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header;
	int tries, ret = -EINTR;

	for (tries = 0; tries < TRIES_MAX && ret == -EINTR; tries++) {
		header = begin(buffer, type, family);
		header->nlmsg_flags |= NLM_F_DUMP;
		ret = run(buffer, fn, data);
	}
	return ret;
}

static int on_name(const struct nlmsghdr *header, void *data)
{
	const struct nlattr *attr;
	int32_t *name = data;

	if (header->nlmsg_type == RTM_NEWNSID)
		mnl_attr_for_each(attr, header, sizeof(struct rtgenmsg))
			if (mnl_attr_get_type(attr) == NETNSA_NSID &&
			    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				*name = (int32_t)mnl_attr_get_u32(attr);
	/* There is one answer. */
	return MNL_CB_STOP;
}

int rtnetlink_name_namespace(int fd)
{
	char buffer[NETLINK_BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header = begin(buffer, RTM_GETNSID, AF_UNSPEC);
	int32_t name = -1;

	mnl_attr_put_u32(header, NETNSA_FD, (uint32_t)fd);
	return run(buffer, on_name, &name) ? -1 : name;
}
