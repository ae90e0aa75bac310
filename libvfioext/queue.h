/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues whose members are linked in themselves, and taken out from anywhere: as those of
 * <sys/queue.h>, which not every C library has, as far as we use them.
 */
#ifndef LIBVFIOEXT_QUEUE_H
#define LIBVFIOEXT_QUEUE_H

#include <stddef.h>

/* @last: where the next one is linked to. @from: what is linked to a member. */
#define TAILQ_HEAD(name, type)					\
	struct name {						\
		struct type *first;				\
		struct type **last;				\
	}

#define TAILQ_ENTRY(type)					\
	struct {						\
		struct type *next;				\
		struct type **from;				\
	}

#define TAILQ_FIRST(head) ((head)->first)
#define TAILQ_NEXT(member, link) ((member)->link.next)

#define TAILQ_INIT(head)					\
	do {							\
		(head)->first = NULL;				\
		(head)->last = &(head)->first;			\
	} while (0)

#define TAILQ_INSERT_TAIL(head, member, link)			\
	do {							\
		(member)->link.next = NULL;			\
		(member)->link.from = (head)->last;		\
		*(head)->last = (member);			\
		(head)->last = &(member)->link.next;		\
	} while (0)

#define TAILQ_REMOVE(head, member, link)				\
	do {								\
		*(member)->link.from = (member)->link.next;		\
		if ((member)->link.next)				\
			(member)->link.next->link.from = (member)->link.from; \
		else							\
			(head)->last = (member)->link.from;		\
	} while (0)

#endif
