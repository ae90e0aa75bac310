/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_NETLINK_H
#define LIBVFIOEXT_NETLINK_H

#include <libmnl/libmnl.h>
#include <linux/vfioext.h>
#include <stdbool.h>
#include <stdint.h>

struct vfioext;

/* Room for one part of a dump; the kernel makes none longer. */
#define NETLINK_BUFFER_SIZE 32768

/* A socket of the family; closed while @socket is NULL. */
struct netlink {
	struct mnl_socket *socket;
	uint16_t family;
	uint32_t removal_group;
	uint32_t group_group;
	uint32_t sequence;
	char buffer[NETLINK_BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* A request on its way: the message, and the buffer it lies in. */
struct request {
	struct nlmsghdr *header;
	char buffer[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* The attributes of one message, NULL where there is none. */
struct attributes {
	const struct nlattr *at[VFIOEXT_A_MAX + 1];
};

/* Return: 0 to go on, or an error. */
typedef int (*answer_fn)(const struct attributes *attributes, void *data);

bool netlink_may_open(const struct vfioext *ctx);
bool netlink_take_interruption(void *buffer, size_t size);
int netlink_open(struct netlink *netlink);
void netlink_close(struct netlink *netlink);
int netlink_learn_family(struct netlink *netlink, const struct nlmsghdr *header);

void request_begin(struct request *request, uint8_t command, uint16_t flags);
int request_put_string(struct request *request, uint16_t type, const char *value);
void request_put_u32(struct request *request, uint16_t type, uint32_t value);
void request_put_flag(struct request *request, uint16_t type);
int request_run(struct vfioext *ctx, struct request *request, answer_fn fn, void *data);

int attributes_parse(const struct nlmsghdr *header, struct attributes *attributes);
uint32_t attribute_u32(const struct attributes *attributes, int type);
void attribute_string(const struct attributes *attributes, int type, char *value, size_t size);

#endif
