/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A B+tree of mappings by an address. One writer at a time; readers take no lock. mappings.c
 * has two of them, by address in memory and by IOVA, and so has a server of vfio-user, by IOVA.
 */
#ifndef LIBVFIOEXT_TREE_H
#define LIBVFIOEXT_TREE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FANOUT 16
#define LEVELS_MAX 16
#define CACHE_LINE 64

#define get(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define put(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)

/*
 * Addresses apart from each other, so that a search for one reads few lines of the
 * cache. Keys that are not in use are UINT64_MAX, and so a search needs no count.
 * @leaf_of: the tree that it is a leaf of, or NULL: two can share nodes
 */
struct node {
	_Atomic uint64_t key[FANOUT];
	_Atomic uint64_t last[FANOUT];
	_Atomic uint64_t other[FANOUT];
	_Atomic uint32_t flags[FANOUT];
	_Atomic uint32_t nr;
	const struct tree *_Atomic leaf_of;
	struct node *next_free;
	struct node *_Atomic child[FANOUT];
} __attribute__((aligned(CACHE_LINE)));

/*
 * One place in a node. In a leaf it is a mapping, and other is the address in the other
 * tree. Above, it is what is in the child: by address in memory its first key and other,
 * and the largest last; by IOVA its first key, and as other how much is free behind any
 * of its mappings at most. That may be more than it is, until a search finds that out.
 */
struct entry {
	uint64_t key;
	uint64_t last;
	uint64_t other;
	uint32_t flags;
	struct node *child;
};

/* Where the writer is, from the leaf (0) up. Keys from the limit on are not in the leaf. */
struct path {
	struct node *node[LEVELS_MAX];
	unsigned int at[LEVELS_MAX];
	uint64_t limit;
};

/*
 * @hints: where readers found what they looked for, or NULL
 * @count: of the mappings, which are @bytes together
 * @recent: where the writer was last: what is found is changed next, and what is added
 *	is mostly next to what was before. If its limit is 0 it leads nowhere.
 */
struct tree {
	_Atomic uint64_t sequence;
	_Atomic uint32_t top;
	struct node *_Atomic root;
	/* That by IOVA, where nothing overlaps, and which tells of gaps. */
	bool gaps;
	struct hints *_Atomic hints;
	uint64_t count;
	uint64_t bytes;
	struct path recent __attribute__((aligned(CACHE_LINE)));
};

/* Memory that stays until nodes_free(). */
struct block {
	struct block *next;
};

/* Nodes that are in no tree; all of them stay nodes until nodes_free(). */
struct nodes {
	struct block *blocks;
	struct node *free;
	size_t nr_free;
	size_t nr_chunk;
};

/*
 * See that so many are free before a change begins, which then cannot fail.
 * Return: 0, or -ENOMEM.
 */
int nodes_reserve(struct nodes *nodes, size_t nr);
void nodes_free(struct nodes *nodes);

/* A tree of nothing. Return: 0, or -ENOMEM. */
int tree_init(struct tree *tree, struct nodes *nodes, bool gaps);

/* How many nodes tree_add() takes at most. 0: none can be added. */
size_t tree_nodes_to_add(const struct tree *tree);

/* Any mapping that a key lies in. Return: false if there is none. For readers. */
bool tree_find(const struct tree *tree, uint64_t key, struct entry *entry);

/*
 * To the last place that is not behind a key, or to the first of all. Where keys are
 * equal the other address decides: that is only so in the tree by address in memory.
 * Return: the path there, good until the next call.
 */
const struct path *tree_seek(struct tree *tree, uint64_t key, uint64_t other);

/* Return: false if what the path leads to is the last of all. */
bool tree_step(const struct tree *tree, struct path *path);

/* How far what is behind a place in the leaf may reach. */
uint64_t tree_free_upto(const struct tree *tree, const struct path *path, unsigned int at);

/*
 * The next leaf where enough seems to be free. What was looked at in vain may not be as
 * its parent tells. Return: false if there is none.
 */
bool tree_next_leaf(const struct tree *tree, struct path *path, uint64_t size);

/* Enough nodes are reserved. */
void tree_add(struct tree *tree, struct nodes *nodes, const struct entry *entry);

/* What is removed is there. */
void tree_remove(struct tree *tree, struct nodes *nodes, uint64_t key, uint64_t other);

static inline uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
