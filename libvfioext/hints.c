// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdlib.h>

#include "hints.h"

/* Twice as many as mappings at least, and when they are made twice that. */
#define SLOTS_MIN 32ULL
#define SLOTS_PER_MAPPING 2ULL

static bool is_its_own(const struct tree *tree, const struct hints *hints, size_t slot)
{
	uintptr_t hint = atomic_load_explicit(&hints->slots[slot], memory_order_acquire);
	const struct node *node = (const struct node *)(hint & ~(uintptr_t)HINT_PLACE);
	unsigned int at = hint & HINT_PLACE;
	uint64_t key;

	if (!node || get(node->leaf_of) != tree)
		return false;
	key = get(node->key[at]);
	return key != UINT64_MAX && hints_slot(hints, key) == slot;
}

void hints_leave(const struct tree *tree, uint64_t key, const struct node *node, unsigned int at)
{
	struct hints *hints = atomic_load_explicit(&tree->hints, memory_order_acquire);
	size_t slot;

	if (!hints)
		return;
	slot = hints_slot(hints, key);
	if (!is_its_own(tree, hints, slot))
		atomic_store_explicit(&hints->slots[slot], (uintptr_t)node | at, memory_order_release);
}

/* Those before stay, as readers may look there, until all is freed. */
static void grow(struct tree *tree, struct nodes *nodes)
{
	uint64_t slots = SLOTS_MIN, size = tree->bytes / tree->count;
	struct hints *hints;

	while (slots < 2 * SLOTS_PER_MAPPING * tree->count)
		slots *= 2;
	hints = calloc(1, sizeof(*hints) + slots * sizeof(hints->slots[0]));
	if (!hints)
		return;
	hints->mask = slots - 1;
	while (size >>= 1)
		hints->shift++;
	hints->block.next = nodes->blocks;
	nodes->blocks = &hints->block;
	atomic_store_explicit(&tree->hints, hints, memory_order_release);
}

void hints_add(struct tree *tree, struct nodes *nodes, uint64_t size)
{
	const struct hints *hints = get(tree->hints);
	uint64_t slots = hints ? hints->mask + 1 : 0;

	tree->count++;
	/* The sum may be more than a number holds: then they are large, whatever comes of it. */
	tree->bytes += size;
	if (tree->count * SLOTS_PER_MAPPING > slots)
		grow(tree, nodes);
}

void hints_remove(struct tree *tree, uint64_t size)
{
	tree->count--;
	tree->bytes -= size;
}
