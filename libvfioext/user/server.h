/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_USER_SERVER_H
#define LIBVFIOEXT_USER_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <vfioext/user.h>

#include "../listener.h"
#include "../log_limit.h"
#include "channel.h"
#include "deadline.h"
#include "memory.h"
#include "version.h"

/* Events that are taken at once. */
#define EVENTS_MAX 64

/* Commands of a session that are dealt with in one turn. */
#define TURN_MAX 256

/* Receives in one turn, if descriptors end each. */
#define RECEIVES_MAX 32

/*
 * How long a client may take to say which version it speaks, and to end a message that it has
 * begun; and how long memory that it unmaps may be in use for what it does not answer, as QEMU
 * waits for 5 s and gives up.
 */
#define VERSION_MS 5000
#define MESSAGE_MS 10000
#define UNMAP_MS 2000

/* How long it may take to answer, unless the device says otherwise. */
#define DMA_MS 30000

/* So many may be connected who said nothing yet. */
#define WAITING_MAX 16

/* What the epoll of a server tells of; the first member of what it belongs to. */
struct source {
	void (*ready)(struct source *source, uint32_t events);
};

struct bridge_mapping;
struct pinner;

/*
 * @wake: eventfd: something is left to be done without input
 * @nobody: eventfd that stands for those that clients took away
 * @spare: a descriptor that is given up to turn a client away when there is no other
 * @events: that were taken; @at_event is the next of @nr_events
 * @next: the device that is looked after next, where all are in turn
 * @inside: how many calls are under way that call back
 * @mappings: what bridges of one container have mapped together
 * @pinner: maps memory for bridges, NULL if there are none
 */
struct vfioext_user {
	struct source source;
	struct vfioext *ctx;
	vfioext_user_log_fn log;
	void *data;
	int epoll;
	int wake;
	int nobody;
	int spare;
	struct vfioext_user_device *devices;
	struct vfioext_user_device *next;
	unsigned int inside;
	struct bridge_mapping *mappings;
	struct pinner *pinner;
	struct epoll_event events[EVENTS_MAX];
	unsigned int at_event;
	unsigned int nr_events;
};

/*
 * What the client was given of a region, and what of it needs no callback.
 * @file: what clients get, if that is not @public's own; else -1
 * @guarded: @public's memory
 */
struct user_region {
	struct vfioext_user_region public;
	int file;
	struct guarded guarded;
	struct vfioext_area *areas;
	struct vfioext_user_io_fd *io_fds;
	size_t nr_io_fds;
};

enum masked { UNMASKED, MASKED, AUTOMASKED };

/* Among the users of a vector: whoever of them leaves last closes what was retired. */
#define VECTOR_RETIRED 0x80000000u
#define VECTOR_CLOSING 0x40000000u

/*
 * A vector. Threads signal it without a lock, and so its descriptor is not closed before all
 * those have left that may have seen it.
 * @fd: what is signaled, -1 for nothing. When the client gives another eventfd the number stays,
 *	and stands for that one.
 * @pinned: somebody was given the number, and it stays for good
 * @users: threads that may be about to signal it, and VECTOR_RETIRED, VECTOR_CLOSING
 * @retired: what the last of them is to close
 * @listened: the client gave an eventfd
 * @careful: to write to it may wait
 * @masked: enum masked; what masked itself is unmasked if nobody was told
 */
struct vector {
	atomic_int fd;
	atomic_bool pinned;
	atomic_uint users;
	int retired;
	atomic_bool listened;
	atomic_bool careful;
	atomic_int masked;
	atomic_bool pending;
};

/*
 * A kind of interrupts.
 * @unmask: eventfd of the client that unmasks the first vector, in the epoll
 */
struct user_irq {
	struct source source;
	struct vfioext_user_device *device;
	uint32_t flags;
	unsigned int count;
	struct vector *vectors;
	int unmask;
};

struct user_pci;

/*
 * @listener: where it is served; its fd is -1 if it is not
 * @uids: the only users who are served, @nr_uids of them; none for all who can connect
 * @session: the client's, which we agreed with on a version, or NULL
 * @waiting: of those who are connected and said nothing yet, in the order they came in;
 *	@nr_waiting of them
 * @limit: of what is logged
 * @dma_ms: how long the client may take to answer, 0: for ever
 * @freed: vfioext_user_device_free() was called; what is left is @memory, while it is in use
 * @closer: for descriptors of its clients
 * @limits_told: when a limit was last told of
 * @pci: its configuration space, if the library keeps it
 */
struct vfioext_user_device {
	struct source source;
	struct vfioext_user *server;
	struct vfioext_user_device *next;
	const struct vfioext_user_ops *ops;
	void *data;
	bool is_pci;
	struct listener listener;
	uid_t *uids;
	size_t nr_uids;
	struct session *session;
	struct session *waiting;
	unsigned int nr_waiting;
	struct log_limit limit;
	unsigned int dma_ms;
	bool freed;
	unsigned int nr_regions;
	struct user_region regions[VFIOEXT_USER_REGIONS_MAX];
	unsigned int nr_irqs;
	struct user_irq irqs[VFIOEXT_USER_IRQS_MAX];
	struct memory memory;
	struct closer *closer;
	uint64_t limits_told[NR_LIMITS];
	struct user_pci *pci;
};

struct transfer;

/*
 * A client.
 * @channel: its connection
 * @events: what the epoll waits for on it
 * @twin: the second one, which transfers go over; its fd is -1 if there is none
 * @timer: what is expected of it, or of the device, has taken too long; @within: the place in
 *	the stream of the message whose end is
 * @trusted: it runs as our user, or as root, and has other means to stop us
 * @agreed: on a version
 * @peer: what it said of itself
 * @deferred: header and body of what is answered later; nothing else is done meanwhile
 * @queued: transfers that are to be sent; @sent: that wait for an answer
 */
struct session {
	struct source source;
	struct channel channel;
	uint32_t events;
	struct twin {
		struct source source;
		struct session *session;
		struct channel channel;
		uint32_t events;
	} twin;
	struct timer {
		struct source source;
		struct session *session;
		struct deadlines deadlines;
		uint64_t within;
	} timer;
	struct vfioext_user_device *device;
	struct session *next;
	bool trusted;
	bool agreed;
	bool doomed;
	struct capabilities peer;
	bool is_deferred;
	struct vfio_user_header deferred;
	struct vfio_user_dma_unmap deferred_unmap;
	struct transfer *queued;
	struct transfer *sent;
	unsigned int nr_sent;
	uint16_t next_id;
};

/* server.c */
/* A line on what happened to a device, which its path begins if it has one. See log_limit.h. */
void device_log(struct vfioext_user_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same for a limit that the client is beyond, now and then. */
void device_log_limit(struct vfioext_user_device *device, enum limit limit, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void server_wake(const struct vfioext_user *server);
int server_watch(const struct vfioext_user *server, int fd, uint32_t events,
		 struct source *source);
/* Before @fd is closed, which others may still have open: it would stay in the epoll. */
void server_forget(struct vfioext_user *server, int fd, struct source *source);

/* device.c: free what is left of a device that was freed, whose memory nobody uses any longer. */
void device_end(struct vfioext_user_device *device);

/* device.c: drop the client if it has gone, and that was not found out yet. */
void device_look_after(struct vfioext_user_device *device);

/* session.c: Return: 0, or an error, and then the descriptor is the caller's. */
int session_new(struct vfioext_user_device *device, int fd);
void session_free(struct session *session);
/* Something was answered later, or can be. */
void session_resume(struct session *session);
/* Room for the body of an answer. Return: NULL without memory. */
void *session_reply(struct session *session, const struct message *message, size_t size);
/* Answer with that. Return: 0, or -ENOMEM. */
int session_answer(struct session *session, const struct message *message, const void *data,
		   size_t size);
void session_reply_fds(struct session *session, const int *fds, size_t nr);
/* With copies of these. Return: 0, or an error. */
int session_give_copies(struct session *session, const int *fds, size_t nr);

/* Send what there is on the second socket. */
void twin_flush(struct session *session);

/* Commands. Return: 0 when they are answered, -EINPROGRESS if that is to come, an error. */
int command_info(struct session *session, struct message *message);
int command_region_info(struct session *session, struct message *message);
int command_region_io_fds(struct session *session, struct message *message);
int command_irq_info(struct session *session, struct message *message);
int command_set_irqs(struct session *session, struct message *message);
int command_region_read(struct session *session, struct message *message);
int command_region_write(struct session *session, struct message *message);
int command_write_multi(struct session *session, struct message *message);
int command_dma_map(struct session *session, struct message *message);
int command_dma_unmap(struct session *session, struct message *message);
int command_feature(struct session *session, struct message *message);
int command_migration_read(struct session *session, struct message *message);
int command_migration_write(struct session *session, struct message *message);

/*
 * dma.c: unmap all that is wholly in a range, as VFIO_IOMMU_UNMAP_DMA does. Return: 1 if
 * some is in use, 0 if not, -ENOENT if there is nothing, -EINVAL if something is not
 * wholly in it, or the error of the device, which keeps the rest.
 */
int dma_unmap_range(struct vfioext_user_device *device, uint64_t first, uint64_t last);

/* The client has gone, and all of its memory with it. */
void dma_forget(struct vfioext_user_device *device);

/* interrupt.c: what was triggered while it was masked is not to come any longer. */
void irq_cancel(struct vfioext_user_device *device, unsigned int irq, unsigned int vector);
void irqs_detach(struct vfioext_user_device *device);
void user_irqs_free(struct vfioext_user_device *device);

/* region.c */
void user_regions_init(struct vfioext_user_device *device);
void user_regions_free(struct vfioext_user_device *device);

/* region_file.c: what is the caller's of a region stays so. Return: 0, or an error. */
int region_protect(struct user_region *region);

/* transfer.c */
void transfers_send(struct session *session);
void transfers_fail(struct session *session, int error);
/* They are not waited for any longer; answers may still come. */
void transfers_abandon(struct session *session, int error);
/* Those whose time is over. */
void transfers_expire(struct session *session, uint64_t now_ms);
/* Return: 0, or -EPROTO if it answers nothing that was asked. */
int transfer_answer(struct session *session, const struct message *message);

/* pci.c: Return: 1 if it is the configuration space and done with, 0 if not, an error. */
int pci_access(struct vfioext_user_device *device, unsigned int region, void *buffer,
	       size_t count, uint64_t offset, bool write);
/* The client unmasked the pin. */
void pci_unmasked(struct vfioext_user_device *device);
void pci_reset(struct vfioext_user_device *device);
void pci_free(struct vfioext_user_device *device);

#endif
