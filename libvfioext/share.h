/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server of a share.
 *
 * What is connected is a client, in one of clients_max places. Most want one thing and
 * get it at once: they are served as they are accepted, with no more system calls than
 * that takes. Others are looked at once more, and then put into the epoll and onto a list
 * of those who are waited for: to say what they want, or to read what they are offered. All on
 * a list have the same time, and so the first on it is the first to run out of it. Where there
 * is no place for another it is the first to make room.
 *
 * Clients are in the epoll edge-triggered: a child that was forked meanwhile keeps
 * sockets open that are closed here, and the epoll goes on to report these. Each place
 * has a number that changes with its client, by which such a report is known.
 */
#ifndef LIBVFIOEXT_SHARE_H
#define LIBVFIOEXT_SHARE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <vfioext/events.h>
#include <vfioext/share.h>

#include "listener.h"
#include "log_limit.h"
#include "queue.h"
#include "share_wire.h"

/* So many events may wait for a client that does not read. */
#define SHARE_QUEUE_MAX 256

/* What comes next for a client of the own protocol. */
enum share_phase {
	SHARE_PHASE_HELLO,
	SHARE_PHASE_CONTAINER,
	SHARE_PHASE_GROUP,
	SHARE_PHASE_DEVICES,
	SHARE_PHASE_RANGES,
	SHARE_PHASE_MAPS,
	SHARE_PHASE_END,
	SHARE_PHASE_ATTACHED,
};

TAILQ_HEAD(client_list, client);

/*
 * @link: on the list that it is on: free, fresh, waiting, offered
 * @list: that list, or NULL
 * @number: changes when the client does
 * @polled: it is in the epoll
 * @old: it speaks DPDK's protocol
 * @again: its container was in use, and it is looked at again by the timer
 * @deadline_ms: when it must have said what it wants, or read what it was offered
 * @half: of two records of the old protocol, the first, @request, is there
 * @container: what it gets
 * @group: number of the group that is next, or whose devices are
 * @groups: those that it got, and whose removals it hears of; @nr_groups of them
 * @at: how many devices or ranges it has got
 * @iova: its maps from there on are next
 * @events: a ring, NULL until there are any
 * @current: it is to hear of what is under way
 */
struct client {
	TAILQ_ENTRY(client) link;
	struct client_list *list;
	int fd;
	uint32_t number;
	struct ucred peer;
	bool polled;
	bool old;
	bool again;
	uint64_t deadline_ms;
	bool half;
	int32_t request;
	enum share_phase phase;
	struct vfioext_container *container;
	int64_t group;
	uint32_t *groups;
	size_t nr_groups;
	size_t at;
	uint64_t iova;
	struct share_event *events;
	unsigned int first_event;
	unsigned int nr_events;
	bool current;
};

/*
 * @timer: for the first deadline, or for the end of a pause; @timed: it is set, for @timer_ms
 * @again: some client is to be looked at again then
 * @spare: a file whose place is used to get rid of a client when there is none other
 * @events: of netlink, or NULL
 * @resync: some client is to hear of what is under way, when @resync_ms has come
 * @busy: vfioext_share_dispatch() is at work
 * @limit: of what is logged
 * @clients: the places for them
 */
struct vfioext_share {
	struct vfioext *ctx;
	struct vfioext_share_options options;
	uid_t *uids;
	gid_t *gids;
	gid_t *peer_gids;
	size_t peer_gids_size;
	uid_t owner;
	int epoll;
	int timer;
	bool timed;
	uint64_t timer_ms;
	bool again;
	int spare;
	struct vfioext_events *events;
	bool resync;
	uint64_t resync_ms;
	bool busy;
	struct log_limit limit;
	struct listener own;
	struct listener old;
	struct client *clients;
	unsigned int nr_clients;
	struct client_list free;
	struct client_list fresh;
	struct client_list waiting;
	struct client_list offered;
	struct vfioext_container **containers;
	size_t nr_containers;
};

/* share.c: a line for the caller's log. See log_limit.h. */
void share_log(struct vfioext_share *share, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What an event of the epoll is about: a client's place and number, or one of these. */
enum share_source {
	SHARE_FROM_OWN = -1,
	SHARE_FROM_OLD = -2,
	SHARE_FROM_TIMER = -3,
	SHARE_FROM_EVENTS = -4,
};

/* Return: 0, or an error. */
int share_poll(struct vfioext_share *share, int fd, uint32_t events, uint64_t source);

/* share_accept.c: take on those who wait, until there are none or it was enough. */
void share_accept(struct vfioext_share *share, struct listener *listener);

/* Go on with those that were paused. */
void share_resume(struct vfioext_share *share, struct listener *listener);

/* share_policy.c: is this peer served? Return: 0, -EACCES, -EUSERS, or an error. */
int share_check_peer(struct vfioext_share *share, int fd, const struct ucred *peer);

/* share_client.c */
int share_clients_init(struct vfioext_share *share);
void share_clients_free(struct vfioext_share *share);

/* Make room by dropping one that takes its time, if there is one: of that user, or of any. */
bool clients_make_room(struct vfioext_share *share, const uid_t *uid);

/* Return: NULL if there is no place left. */
struct client *client_new(struct vfioext_share *share, int fd, bool old,
			  const struct ucred *peer);
void client_drop(struct vfioext_share *share, struct client *client);

/* Do what can be done now. Return: true if the client stays. */
bool client_run(struct vfioext_share *share, struct client *client);

/* Another look at those who had nothing to say when they came; wait for the others. */
void clients_keep(struct vfioext_share *share);

void clients_on_event(struct vfioext_share *share, uint64_t source);
void clients_on_timer(struct vfioext_share *share);
void clients_try_again(struct vfioext_share *share);

/* Have the timer ring then, or before. */
void share_set_timer(struct vfioext_share *share, uint64_t deadline_ms);

/*
 * share_old.c, share_own.c: Return: 0 if the client has all it wants, -EAGAIN if it is
 * to be waited for, -EINPROGRESS if it stays, -EBUSY if it is to be looked at again soon,
 * or why it is dropped.
 */
int share_serve_old(struct vfioext_share *share, struct client *client);
int share_serve_own(struct vfioext_share *share, struct client *client);

/* Tell a client why it is dropped, if it listens. */
void share_tell_error(int fd, bool old, int error);

/* share_records.c: send what is next. Return: 1, 0 if there is nothing, or an error. */
int share_send_next(struct vfioext_share *share, struct client *client);

/* share_relay.c: pass an event on to those whom it concerns. */
void share_relay(struct vfioext_share *share, const struct vfioext_event *event);

/* One who came hears of what is under way, when those who came are served. */
void share_want_current(struct vfioext_share *share, struct client *client);
void share_resync(struct vfioext_share *share);

#endif
