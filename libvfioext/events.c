// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vfioext/events.h>

#include "netlink.h"
#include "query.h"

#define BUFFER_MIN 4096u
#define BUFFER_MAX (16u << 20)

/* The kinds of events that are numbered each by themselves. */
enum kind {
	KIND_REMOVAL,
	KIND_GROUP,
	NR_KINDS,
};

struct vfioext_events {
	struct netlink netlink;
	unsigned int which;
	uint32_t sequences[NR_KINDS];
	bool started[NR_KINDS];
	bool busy;
};

/* Open the socket in another network namespace, and come back. */
static int open_in_namespace(struct netlink *netlink, int netns)
{
	int own, ret, back;

	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	if (setns(netns, CLONE_NEWNET)) {
		ret = -errno;
		goto out_close;
	}
	ret = netlink_open(netlink);
	if (setns(own, CLONE_NEWNET)) {
		back = -errno;
		if (!ret)
			netlink_close(netlink);
		ret = back;
	}
out_close:
	close(own);
	return ret;
}

static int join(struct netlink *netlink, uint32_t group)
{
	if (mnl_socket_setsockopt(netlink->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return -errno;
	return 0;
}

static int join_groups(struct vfioext_events *events)
{
	int ret = 0;

	if (events->which & VFIOEXT_EVENTS_REMOVAL)
		ret = join(&events->netlink, events->netlink.removal_group);
	if (!ret && events->which & VFIOEXT_EVENTS_GROUP)
		ret = join(&events->netlink, events->netlink.group_group);
	return ret;
}

int vfioext_events_open(struct vfioext_events **events, unsigned int which, int netns)
{
	struct vfioext_events *new;
	int ret;

	if (!which || which & ~(VFIOEXT_EVENTS_REMOVAL | VFIOEXT_EVENTS_GROUP))
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	ret = netns < 0 ? netlink_open(&new->netlink) : open_in_namespace(&new->netlink, netns);
	if (ret)
		goto err_free;
	new->which = which;
	/* The controller's group bears its own number. */
	ret = join(&new->netlink, GENL_ID_CTRL);
	if (!ret)
		ret = join_groups(new);
	if (ret)
		goto err_close;
	*events = new;
	return 0;

err_close:
	netlink_close(&new->netlink);
err_free:
	free(new);
	return ret;
}

void vfioext_events_close(struct vfioext_events *events)
{
	if (!events)
		return;
	netlink_close(&events->netlink);
	free(events);
}

int vfioext_events_fd(const struct vfioext_events *events)
{
	return mnl_socket_get_fd(events->netlink.socket);
}

int vfioext_events_set_buffer(struct vfioext_events *events, unsigned int size)
{
	int fd = vfioext_events_fd(events), value = (int)size;

	if (size < BUFFER_MIN || size > BUFFER_MAX)
		return -EINVAL;
	/* Past the host's limit only for an administrator. */
	if (!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) ||
	    !setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)))
		return 0;
	return -errno;
}

struct dispatch {
	struct vfioext_events *events;
	vfioext_event_fn fn;
	void *data;
	int calls;
};

static void deliver(struct dispatch *dispatch, const struct vfioext_event *event)
{
	dispatch->fn(event, dispatch->data);
	dispatch->calls++;
}

static void deliver_loss(struct dispatch *dispatch, uint32_t lost)
{
	struct vfioext_event event = { .type = VFIOEXT_EVENT_LOST, .lost = lost, .outcome = -1 };

	deliver(dispatch, &event);
}

/* The events follow each other in the protocol and in the library alike. */
static bool event_type(uint8_t command, enum vfioext_event_type *type, enum kind *kind)
{
	if (command >= VFIOEXT_CMD_REMOVAL_REQUESTED && command <= VFIOEXT_CMD_REMOVAL_UNWATCHED) {
		*type = VFIOEXT_EVENT_REMOVAL_REQUESTED + (command - VFIOEXT_CMD_REMOVAL_REQUESTED);
		*kind = KIND_REMOVAL;
		return true;
	}
	if (command >= VFIOEXT_CMD_GROUP_ADDED && command <= VFIOEXT_CMD_DEVICE_REMOVED) {
		*type = VFIOEXT_EVENT_GROUP_ADDED + (command - VFIOEXT_CMD_GROUP_ADDED);
		*kind = KIND_GROUP;
		return true;
	}
	return false;
}

/* A gap in the numbers is a loss; where they begin is not. */
static void check_sequence(struct dispatch *dispatch, enum kind kind, uint32_t sequence)
{
	struct vfioext_events *events = dispatch->events;
	uint32_t expected = events->sequences[kind] + 1;

	if (events->started[kind] && sequence != expected)
		deliver_loss(dispatch, sequence - expected);
	events->started[kind] = true;
	events->sequences[kind] = sequence;
}

/* The module was loaded anew: other numbers, and nobody knows what was missed. */
static void on_family(struct dispatch *dispatch, const struct nlmsghdr *header)
{
	struct vfioext_events *events = dispatch->events;
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(header);

	if (genl->cmd != CTRL_CMD_NEWFAMILY || netlink_learn_family(&events->netlink, header) ||
	    join_groups(events))
		return;
	memset(events->started, 0, sizeof(events->started));
	deliver_loss(dispatch, 0);
}

static int on_event(const struct nlmsghdr *header, void *data)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(header);
	struct vfioext_event event = { .outcome = -1 };
	struct dispatch *dispatch = data;
	struct attributes attributes;
	enum kind kind;

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*genl))
		return MNL_CB_OK;
	if (header->nlmsg_type == GENL_ID_CTRL)
		on_family(dispatch, header);
	if (header->nlmsg_type != dispatch->events->netlink.family ||
	    attributes_parse(header, &attributes) || !event_type(genl->cmd, &event.type, &kind))
		return MNL_CB_OK;

	event.sequence = attribute_u32(&attributes, VFIOEXT_A_SEQUENCE);
	check_sequence(dispatch, kind, event.sequence);
	take_removal(&attributes, &event.removal);
	attribute_string(&attributes, VFIOEXT_A_DRIVER, event.driver, sizeof(event.driver));
	event.extend_ms = attribute_u32(&attributes, VFIOEXT_A_EXTEND_MS);
	event.signaled = attribute_u32(&attributes, VFIOEXT_A_SIGNALED);
	if (attributes.at[VFIOEXT_A_OUTCOME])
		event.outcome = (int)attribute_u32(&attributes, VFIOEXT_A_OUTCOME);
	deliver(dispatch, &event);
	return MNL_CB_OK;
}

/* Events come from the kernel alone. */
static ssize_t receive(struct netlink *netlink)
{
	struct sockaddr_nl from;
	struct iovec iov = { netlink->buffer, sizeof(netlink->buffer) };
	struct msghdr message = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t len;

	do {
		len = recvmsg(mnl_socket_get_fd(netlink->socket), &message, MSG_DONTWAIT);
	} while (len >= 0 && (from.nl_pid || message.msg_flags & MSG_TRUNC));
	return len < 0 ? -errno : len;
}

static int dispatch_all(struct vfioext_events *events, vfioext_event_fn fn, void *data)
{
	struct dispatch dispatch = { .events = events, .fn = fn, .data = data };
	ssize_t len;

	for (;;) {
		len = receive(&events->netlink);
		if (len == -EINTR)
			continue;
		if (len == -EAGAIN || !len)
			return dispatch.calls;
		if (len == -ENOBUFS) {
			/* The next number tells how many, too; once is enough. */
			memset(events->started, 0, sizeof(events->started));
			deliver_loss(&dispatch, 0);
			continue;
		}
		if (len < 0)
			return (int)len;
		mnl_cb_run(events->netlink.buffer, len, 0, 0, on_event, &dispatch);
	}
}

/* There is one buffer, and what is in it is being told. */
int vfioext_events_dispatch(struct vfioext_events *events, vfioext_event_fn fn, void *data)
{
	int ret;

	if (events->busy)
		return -EDEADLK;
	events->busy = true;
	ret = dispatch_all(events, fn, data);
	events->busy = false;
	return ret;
}

int vfioext_events_resync(struct vfioext_events *events, struct vfioext *ctx, vfioext_event_fn fn,
			  void *data)
{
	struct dispatch dispatch = { .events = events, .fn = fn, .data = data };
	struct vfioext_event event = { .type = VFIOEXT_EVENT_CURRENT, .outcome = -1 };
	struct vfioext_removals removals;
	size_t i;
	int ret;

	ret = vfioext_removals_get(ctx, &removals);
	if (ret)
		return ret;
	for (i = 0; i < removals.nr; i++) {
		event.removal = removals.list[i];
		deliver(&dispatch, &event);
	}
	vfioext_removals_release(&removals);
	return dispatch.calls;
}
