/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a mapping was found last, by its key: where memory is dense each has a slot of its
 * own, and is found again in one step instead of by a walk from the root. Any reader leaves
 * hints, and takes no lock. What one leads to may be something else by then, and so it is
 * looked at before it is believed. Internal to tree.c.
 */
#ifndef LIBVFIOEXT_HINTS_H
#define LIBVFIOEXT_HINTS_H

#include "tree.h"

/* A hint is a node's address, whose low bits are zeros, and the place there. */
#define HINT_PLACE (CACHE_LINE - 1)

/* A key's slot is (key >> shift) & mask. */
struct hints {
	struct block block;
	uint64_t mask;
	unsigned int shift;
	_Atomic uintptr_t slots[];
};

static inline size_t hints_slot(const struct hints *hints, uint64_t key)
{
	return (size_t)(key >> hints->shift & hints->mask);
}

/* Return: the node, whether or not it still holds the key at that place; NULL without a hint. */
static inline const struct node *hints_find(const struct tree *tree, uint64_t key, unsigned int *at)
{
	const struct hints *hints = atomic_load_explicit(&tree->hints, memory_order_acquire);
	uintptr_t hint;

	if (!hints)
		return NULL;
	hint = atomic_load_explicit(&hints->slots[hints_slot(hints, key)], memory_order_acquire);
	*at = hint & HINT_PLACE;
	return (const struct node *)(hint & ~(uintptr_t)HINT_PLACE);
}

/* It was found there. One whose slot it is stays in it, so that two do not take turns. */
void hints_leave(const struct tree *tree, uint64_t key, const struct node *node, unsigned int at);

/* A mapping of a size comes, or goes. For the writer; without memory there are less hints. */
void hints_add(struct tree *tree, struct nodes *nodes, uint64_t size);
void hints_remove(struct tree *tree, uint64_t size);

#endif
