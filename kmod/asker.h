/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_ASKER_H
#define VFIOEXT_ASKER_H

#include <linux/list.h>
#include <linux/types.h>

struct net;

/**
 * struct asker - the netlink socket that asked for a device
 * @node: among those that are watched
 * @net: the socket's network namespace
 * @portid: the socket's number there
 * @gone: the socket was closed
 */
struct asker {
	struct list_head node;
	const struct net *net;
	u32 portid;
	bool gone;
};

int asker_init(void);
void asker_exit(void);

void asker_none(struct asker *asker);
void asker_watch(struct asker *asker, const struct net *net, u32 portid);
void asker_forget(struct asker *asker);
bool asker_gone(const struct asker *asker);

#endif
