// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who asked for a device, and whether they are still there.
 *
 * A program that is killed closes its netlink socket, which netlink tells a chain of
 * notifiers. They run in the middle of that close, so the asker is marked here and nothing
 * else is done: the removal's own work looks at the mark. The lock is taken with no other
 * below it.
 */
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/spinlock.h>

#include "asker.h"

static DEFINE_SPINLOCK(askers_lock);
static LIST_HEAD(askers);

/* A number may be another socket's soon; this one is closed all the same. */
static int netlink_event(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct netlink_notify *notify = data;
	struct asker *asker;

	if (event != NETLINK_URELEASE || notify->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;
	spin_lock(&askers_lock);
	list_for_each_entry(asker, &askers, node)
		if (asker->net == notify->net && asker->portid == notify->portid)
			WRITE_ONCE(asker->gone, true);
	spin_unlock(&askers_lock);
	return NOTIFY_DONE;
}

static struct notifier_block netlink_notifier = {
	.notifier_call = netlink_event,
};

/**
 * asker_none() - prepare an asker that nobody is
 * @asker: the asker; never gone, and may be forgotten
 */
void asker_none(struct asker *asker)
{
	INIT_LIST_HEAD(&asker->node);
}

/**
 * asker_watch() - notice when a socket is closed
 * @asker: the asker; zero but for asker_none()
 * @net: the socket's network namespace
 * @portid: the socket's number there
 *
 * Called while the socket's request is served, when it cannot be closed yet.
 */
void asker_watch(struct asker *asker, const struct net *net, u32 portid)
{
	asker->net = net;
	asker->portid = portid;
	spin_lock(&askers_lock);
	list_add_tail(&asker->node, &askers);
	spin_unlock(&askers_lock);
}

/**
 * asker_forget() - no longer look for a socket
 * @asker: the asker; it may be freed then
 */
void asker_forget(struct asker *asker)
{
	spin_lock(&askers_lock);
	list_del_init(&asker->node);
	spin_unlock(&askers_lock);
}

/**
 * asker_gone() - was the socket closed?
 * @asker: the asker
 */
bool asker_gone(const struct asker *asker)
{
	return READ_ONCE(asker->gone);
}

int asker_init(void)
{
	return netlink_register_notifier(&netlink_notifier);
}

void asker_exit(void)
{
	netlink_unregister_notifier(&netlink_notifier);
}
