// SPDX-License-Identifier: LGPL-2.1-or-later
/* Interrupts: what a client wants to be signaled. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server.h"
#include "signal.h"

#define VECTORS_MAX 4096

static void irq_clear(struct user_irq *irq)
{
	struct vector *vector;
	unsigned int i;

	for (i = 0; i < irq->count; i++) {
		vector = &irq->vectors[i];
		if (vector->fd >= 0)
			close(vector->fd);
		if (vector->users & VECTOR_RETIRED)
			close(vector->retired);
	}
	free(irq->vectors);
	irq->vectors = NULL;
	irq->count = 0;
}

int vfioext_user_device_set_irq(struct vfioext_user_device *device, unsigned int irq,
				unsigned int count, uint32_t flags)
{
	const uint32_t known = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			       VFIO_IRQ_INFO_AUTOMASKED | VFIO_IRQ_INFO_NORESIZE;
	struct vector *vectors;
	struct user_irq *kind;
	unsigned int i;

	if (irq >= VFIOEXT_USER_IRQS_MAX || count > VECTORS_MAX || flags & ~known)
		return -EINVAL;
	if (device->session)
		return -EBUSY;
	vectors = calloc(count ? count : 1, sizeof(*vectors));
	if (!vectors)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		vectors[i].fd = -1;
	kind = &device->irqs[irq];
	irq_clear(kind);
	kind->device = device;
	kind->flags = flags;
	kind->count = count;
	kind->vectors = vectors;
	kind->unmask = -1;
	while (device->nr_irqs <= irq)
		device->irqs[device->nr_irqs++].unmask = -1;
	return 0;
}

/* From then on its descriptor is not closed; one that is there no longer is not seen. */
static void vector_enter(struct vector *vector)
{
	atomic_fetch_add(&vector->users, 1);
}

/* The last one closes it; those that come meanwhile have not seen it. */
static void close_retired(struct vector *vector)
{
	unsigned int nobody = VECTOR_RETIRED;

	if (!atomic_compare_exchange_strong(&vector->users, &nobody,
					    VECTOR_RETIRED | VECTOR_CLOSING))
		return;
	close(vector->retired);
	atomic_fetch_and(&vector->users, ~(VECTOR_RETIRED | VECTOR_CLOSING));
}

static void vector_leave(struct vector *vector)
{
	if (atomic_fetch_sub(&vector->users, 1) == VECTOR_RETIRED + 1)
		close_retired(vector);
}

/* The client takes its eventfd away: what is written from then on does not reach it. */
static int stop_listening(const struct user_irq *irq, struct vector *vector)
{
	int number;

	vector->listened = false;
	if (dup3(irq->device->server->nobody, vector->fd, O_CLOEXEC) < 0)
		return -errno;
	/* Where the one before is still in use this one stays until another time. */
	if (vector->pinned || vector->users & VECTOR_RETIRED)
		return 0;
	number = atomic_exchange(&vector->fd, -1);
	/* Just before that somebody may have been given it. */
	if (vector->pinned) {
		vector->fd = number;
		return 0;
	}
	vector->retired = number;
	atomic_fetch_or(&vector->users, VECTOR_RETIRED);
	close_retired(vector);
	return 0;
}

/* Threads may be about to signal what is there: the number stands for it or for the new one. */
static int set_fd(const struct user_irq *irq, struct vector *vector, int fd)
{
	const struct session *session = irq->device->session;
	int number = vector->fd, flags;

	if (fd < 0)
		return number >= 0 ? stop_listening(irq, vector) : 0;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	vector->careful = !(flags & O_NONBLOCK) || !session->trusted;
	if (number < 0)
		number = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		number = dup3(fd, number, O_CLOEXEC);
	if (number < 0)
		return -errno;
	vector->fd = number;
	vector->listened = true;
	return 0;
}

static int signal_vector(struct vector *vector)
{
	int ret = -ENOENT, fd;

	vector_enter(vector);
	fd = vector->listened ? vector->fd : -1;
	if (fd >= 0)
		ret = signal_eventfd(fd, vector->careful);
	vector_leave(vector);
	return ret;
}

static struct vector *find_vector(const struct vfioext_user_device *device, unsigned int irq,
				  unsigned int vector)
{
	if (irq >= device->nr_irqs || vector >= device->irqs[irq].count)
		return NULL;
	return &device->irqs[irq].vectors[vector];
}

static int trigger(const struct user_irq *irq, struct vector *vector)
{
	int automasked = AUTOMASKED, ret;

	/* It would be masked for nobody, who could not unmask it. */
	if (!vector->listened)
		return -ENOENT;
	if (vector->masked) {
		vector->pending = true;
		/* It may have been unmasked just before that was seen. */
		if (vector->masked || !atomic_exchange(&vector->pending, false))
			return 0;
	}
	if (!(irq->flags & VFIO_IRQ_INFO_AUTOMASKED))
		return signal_vector(vector);
	vector->masked = AUTOMASKED;
	ret = signal_vector(vector);
	if (ret != -ENOENT)
		return ret;
	/* It was taken away meanwhile: nobody was told, who could unmask it. */
	atomic_compare_exchange_strong(&vector->masked, &automasked, UNMASKED);
	return atomic_exchange(&vector->pending, false) ? trigger(irq, vector) : ret;
}

int vfioext_user_irq_trigger(struct vfioext_user_device *device, unsigned int irq,
			     unsigned int vector)
{
	struct vector *at = find_vector(device, irq, vector);

	return at ? trigger(&device->irqs[irq], at) : -EINVAL;
}

/* It is pinned before it is looked at, and looked at before it is closed unless it is pinned. */
int vfioext_user_irq_eventfd(struct vfioext_user_device *device, unsigned int irq,
			     unsigned int vector)
{
	struct vector *at = find_vector(device, irq, vector);
	int fd;

	if (!at)
		return -EINVAL;
	at->pinned = true;
	fd = at->fd;
	return fd >= 0 ? fd : -ENOENT;
}

void irq_cancel(struct vfioext_user_device *device, unsigned int irq, unsigned int vector)
{
	struct vector *at = find_vector(device, irq, vector);

	if (at)
		at->pending = false;
}

static void set_masked(struct user_irq *irq, unsigned int vector, bool masked)
{
	struct vector *at = &irq->vectors[vector];
	struct vfioext_user_device *device = irq->device;

	at->masked = masked ? MASKED : UNMASKED;
	if (device->ops->irq_masked)
		device->ops->irq_masked(device, (unsigned int)(irq - device->irqs), vector, masked);
	if (!masked && atomic_exchange(&at->pending, false))
		trigger(irq, at);
	else if (!masked && irq == &device->irqs[VFIO_PCI_INTX_IRQ_INDEX])
		pci_unmasked(device);
}

static void drop_unmask(struct user_irq *irq)
{
	if (irq->unmask < 0)
		return;
	server_forget(irq->device->server, irq->unmask, &irq->source);
	close(irq->unmask);
	irq->unmask = -1;
}

/*
 * The client's eventfd that unmasks the first vector, as KVM writes to it. What is
 * readable, and is not read, is none.
 */
static void on_unmask(struct source *source, uint32_t events)
{
	struct user_irq *irq = (struct user_irq *)source;
	int ret = take_eventfd(irq->unmask);

	(void)events;
	if (!ret)
		set_masked(irq, 0, false);
	else if (ret != -EAGAIN)
		drop_unmask(irq);
}

static int set_unmask(struct user_irq *irq, int fd)
{
	int ret;

	drop_unmask(irq);
	if (fd < 0)
		return 0;
	irq->unmask = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (irq->unmask < 0)
		return -errno;
	irq->source.ready = on_unmask;
	ret = server_watch(irq->device->server, irq->unmask, EPOLLIN, &irq->source);
	if (ret)
		drop_unmask(irq);
	return ret;
}

static void disable(struct user_irq *irq)
{
	unsigned int i;

	drop_unmask(irq);
	for (i = 0; i < irq->count; i++) {
		set_fd(irq, &irq->vectors[i], -1);
		irq->vectors[i].masked = UNMASKED;
		irq->vectors[i].pending = false;
	}
}

void irqs_detach(struct vfioext_user_device *device)
{
	unsigned int i;

	for (i = 0; i < device->nr_irqs; i++)
		disable(&device->irqs[i]);
}

void user_irqs_free(struct vfioext_user_device *device)
{
	unsigned int i;

	for (i = 0; i < device->nr_irqs; i++) {
		drop_unmask(&device->irqs[i]);
		irq_clear(&device->irqs[i]);
	}
}

int command_irq_info(struct session *session, struct message *message)
{
	const struct vfioext_user_device *device = session->device;
	struct vfio_user_irq_info info;

	if (message->size < sizeof(info))
		return -EINVAL;
	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= device->nr_irqs)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = device->irqs[info.index].flags;
	info.count = device->irqs[info.index].count;
	return session_answer(session, message, &info, sizeof(info));
}

static bool is_one_of(uint32_t flags, uint32_t mask)
{
	uint32_t bits = flags & mask;

	return bits && !(bits & (bits - 1));
}

/*
 * To write to an eventfd, and to wait for it, ends nobody's process and stops nobody: of what
 * else a client may send that cannot be said.
 */
static bool are_eventfds(const struct message *message)
{
	size_t i;

	for (i = 0; i < message->nr_fds; i++)
		if (!peer_file_is_eventfd(message->fds[i]))
			return false;
	return true;
}

/* What the message says agrees with itself and with what there is. */
static int check_set(const struct user_irq *irq, const struct vfio_irq_set *set, size_t data,
		     const struct message *message)
{
	uint32_t known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
	bool bools = set->flags & VFIO_IRQ_SET_DATA_BOOL;
	bool eventfds = set->flags & VFIO_IRQ_SET_DATA_EVENTFD;

	if (set->flags & ~known || !is_one_of(set->flags, VFIO_IRQ_SET_DATA_TYPE_MASK) ||
	    !is_one_of(set->flags, VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	if (set->start > irq->count || set->count > irq->count - set->start)
		return -EINVAL;
	/* None at all stands for an end to all of them. */
	if (!set->count && (set->flags != (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER) ||
			    set->start))
		return -EINVAL;
	if (bools && data < set->count)
		return -EINVAL;
	if (message->nr_fds && (!eventfds || message->nr_fds != set->count || !are_eventfds(message)))
		return -EINVAL;
	if (!(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) && !(irq->flags & VFIO_IRQ_INFO_MASKABLE))
		return -EINVAL;
	return 0;
}

static int set_eventfds(struct user_irq *irq, const struct vfio_irq_set *set,
			const struct message *message)
{
	uint32_t i;
	int ret = 0;

	if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK)
		return set->start || set->count != 1 ? -EINVAL :
		       set_unmask(irq, message->nr_fds ? message->fds[0] : -1);
	/* That one is told of masking is of no use to anybody. */
	if (set->flags & VFIO_IRQ_SET_ACTION_MASK)
		return -ENOTSUP;
	for (i = 0; i < set->count && !ret; i++)
		ret = set_fd(irq, &irq->vectors[set->start + i], message->nr_fds ? message->fds[i] : -1);
	return ret;
}

/* Those that a bool stands for, or all. One that nobody listens to is no error. */
static void act(struct user_irq *irq, const struct vfio_irq_set *set, const uint8_t *bools)
{
	uint32_t i;

	for (i = 0; i < set->count; i++) {
		if (bools && !bools[i])
			continue;
		if (set->flags & VFIO_IRQ_SET_ACTION_TRIGGER)
			signal_vector(&irq->vectors[set->start + i]);
		else
			set_masked(irq, set->start + i, set->flags & VFIO_IRQ_SET_ACTION_MASK);
	}
}

static int set_irqs(struct user_irq *irq, const struct vfio_irq_set *set, const uint8_t *data,
		    const struct message *message)
{
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_eventfds(irq, set, message);
	if (!set->count && set->flags & VFIO_IRQ_SET_ACTION_TRIGGER)
		disable(irq);
	else
		act(irq, set, set->flags & VFIO_IRQ_SET_DATA_BOOL ? data : NULL);
	return 0;
}

/*
 * What comes over the socket stands anywhere; from here on it stands where a structure can be.
 * The header before it has been read, and is room enough.
 */
static void align_body(struct message *message)
{
	uint8_t *at = message->body - (uintptr_t)message->body % _Alignof(struct vfio_irq_set);

	memmove(at, message->body, message->size);
	message->body = at;
}

int command_set_irqs(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	const struct vfio_irq_set *set;
	struct user_irq *irq;
	int ret;

	if (message->size < sizeof(*set))
		return -EINVAL;
	align_body(message);
	set = (const struct vfio_irq_set *)message->body;
	if (set->argsz < sizeof(*set) || set->index >= device->nr_irqs)
		return -EINVAL;
	irq = &device->irqs[set->index];
	ret = check_set(irq, set, message->size - sizeof(*set), message);
	if (ret)
		return ret;
	ret = device->ops->set_irqs ?
	      device->ops->set_irqs(device, set, message->fds, message->nr_fds) : 1;
	if (ret > 0)
		ret = set_irqs(irq, set, set->data, message);
	if (ret)
		return ret;
	return session_answer(session, message, NULL, 0);
}
