/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_EVENTS_H
#define VFIOEXT_EVENTS_H

#include <stdint.h>
#include <vfioext/context.h>
#include <vfioext/removal.h>

#ifdef __cplusplus
extern "C" {
#endif

/** struct vfioext_events - a subscription; opaque. */
struct vfioext_events;

/** What to subscribe to; values may be or-ed. */
#define VFIOEXT_EVENTS_REMOVAL 0x1u
#define VFIOEXT_EVENTS_GROUP 0x2u

/**
 * enum vfioext_event_type - what an event tells
 * @VFIOEXT_EVENT_LOST: events were lost, or the module was loaded anew; @lost of
 *	the event says how many, 0 if that is not known. Call
 *	vfioext_events_resync().
 * @VFIOEXT_EVENT_CURRENT: vfioext_events_resync() found this removal under way
 *
 * The others are the events of the netlink family of the same names.
 */
enum vfioext_event_type {
	VFIOEXT_EVENT_LOST,
	VFIOEXT_EVENT_CURRENT,
	VFIOEXT_EVENT_REMOVAL_REQUESTED,
	VFIOEXT_EVENT_REMOVAL_EXTENDED,
	VFIOEXT_EVENT_REMOVAL_SIGNALED,
	VFIOEXT_EVENT_REMOVAL_RELEASED,
	VFIOEXT_EVENT_REMOVAL_CANCELLED,
	VFIOEXT_EVENT_REMOVAL_DONE,
	VFIOEXT_EVENT_REMOVAL_UNWATCHED,
	VFIOEXT_EVENT_GROUP_ADDED,
	VFIOEXT_EVENT_GROUP_REMOVED,
	VFIOEXT_EVENT_DEVICE_ADDED,
	VFIOEXT_EVENT_DEVICE_REMOVED,
};

/**
 * struct vfioext_event - an event
 * @type: what it tells
 * @sequence: its number among those of its kind (removal or group)
 * @lost: events lost
 * @removal: the removal; of group events only @device, @bus and @group are set
 * @driver: the driver, of device events
 * @extend_ms: by how much the deadline was put off
 * @signaled: processes that got SIGBUS
 * @outcome: enum vfioext_outcome of <linux/vfioext.h>, -1 if it has none
 */
struct vfioext_event {
	enum vfioext_event_type type;
	uint32_t sequence;
	uint32_t lost;
	struct vfioext_removal removal;
	char driver[VFIOEXT_NAME_SIZE];
	uint32_t extend_ms;
	uint32_t signaled;
	int outcome;
};

/**
 * vfioext_event_fn - gets the events
 * @event: the event; good for the length of the call
 * @data: what was given to the call that dispatches
 */
typedef void (*vfioext_event_fn)(const struct vfioext_event *event, void *data);

/**
 * vfioext_events_open() - subscribe
 * @events: where the subscription goes
 * @which: VFIOEXT_EVENTS_* or-ed
 * @netns: file descriptor of the network namespace to open the socket in, or -1
 *	for the caller's own; events reach all of them
 *
 * To learn of removals that began before, call vfioext_events_resync() after. A
 * subscription outlasts the module: when that is loaded anew, events go on.
 *
 * Return: 0, -EPROTONOSUPPORT if the module is not loaded (a holder then has its
 * request interrupt alone, VFIOEXT_IRQ_REQUEST), -EINVAL, -ENOMEM, or
 * the error of the socket or of entering @netns.
 */
int vfioext_events_open(struct vfioext_events **events, unsigned int which, int netns);

/**
 * vfioext_events_close() - unsubscribe
 * @events: the subscription, or NULL
 */
void vfioext_events_close(struct vfioext_events *events);

/**
 * vfioext_events_fd() - what to poll for input
 * @events: the subscription
 *
 * Return: a file descriptor that stays the subscription's own.
 */
int vfioext_events_fd(const struct vfioext_events *events);

/**
 * vfioext_events_set_buffer() - make room for events that wait to be read
 * @events: the subscription
 * @size: bytes, 4096 to 16 MiB
 *
 * Return: 0, -EINVAL, or the error of the socket.
 */
int vfioext_events_set_buffer(struct vfioext_events *events, unsigned int size);

/**
 * vfioext_events_dispatch() - hand on the events that are there
 * @events: the subscription
 * @fn: gets each
 * @data: for @fn
 *
 * Does not wait. Losses are told as VFIOEXT_EVENT_LOST, in their place. @fn must
 * not close the subscription; it may call vfioext_events_resync().
 *
 * Return: how many calls @fn got; -EDEADLK if it is called from @fn; or the error of the
 * socket.
 */
int vfioext_events_dispatch(struct vfioext_events *events, vfioext_event_fn fn, void *data);

/**
 * vfioext_events_resync() - tell what is under way
 * @events: the subscription
 * @ctx: a context
 * @fn: gets VFIOEXT_EVENT_CURRENT for each removal under way
 * @data: for @fn
 *
 * A removal that is not told and was known is over. Events that came meanwhile
 * are still to be dispatched, and may tell of what is told here already. On an error nothing
 * was told: it is to be called again, but for -EPROTONOSUPPORT, as without the module
 * nothing is under way.
 *
 * Return: how many calls @fn got, or as vfioext_removals_get().
 */
int vfioext_events_resync(struct vfioext_events *events, struct vfioext *ctx, vfioext_event_fn fn,
			  void *data);

#ifdef __cplusplus
}
#endif

#endif
