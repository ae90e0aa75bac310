/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapped files that others can make shorter: to touch what is gone is a SIGBUS, which
 * is turned into zeros here. To copy without any signal there is guard_copy().
 */
#ifndef LIBVFIOEXT_USER_GUARD_H
#define LIBVFIOEXT_USER_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct slot;

/* A mapping; @start is NULL if there is none, @slot if it needs no guard. */
struct guarded {
	void *start;
	size_t size;
	struct slot *slot;
};

/* Once is enough for a process. Return: 0, or an error. */
int guard_install(void);

/* Guard a mapping from then on. Return: 0, or -ENOMEM. */
int guard_add(struct guarded *guarded, void *start, size_t size);

/* One that needs none. */
void guard_none(struct guarded *guarded, void *start, size_t size);

/* Guard it no longer, and leave it as it is. */
void guard_remove(struct guarded *guarded);

/* Unmap it. */
void guard_unmap(struct guarded *guarded);

/* Was something of it touched that is gone? */
bool guard_is_broken(const struct guarded *guarded);

/*
 * Copy to (@write) or from a place in it. No signal comes of that, whatever a thread does with
 * them. Return: 0, or -EFAULT if not all of it is there.
 */
int guard_copy(const struct guarded *guarded, void *at, void *buffer, size_t size, bool write);

#endif
