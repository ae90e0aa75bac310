// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is mapped for DMA, in two B+trees: by IOVA, where nothing overlaps, and by
 * address in memory, where anything may.
 *
 * Readers take no lock. They walk a tree while the writer may change it, and look at
 * the tree's counter before and after: if it moved they walk again. What they see
 * meanwhile may be nonsense, but cannot harm: nodes stay nodes until all is freed,
 * children are always nodes, and no index or depth goes beyond its bound.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/dma.h>

#include "mappings.h"

#define FANOUT 16
#define QUARTER (FANOUT / 4)
#define FANOUT_MIN QUARTER
#define LEVELS_MAX 16
#define CHUNK_MIN 16
#define CHUNK_MAX 4096
#define CACHE_LINE 64
/* Too many take address 0 for none. */
#define IOVA_MIN 1

#define get(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define put(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)

/*
 * Addresses apart from each other, so that a search for one reads few lines of the
 * cache. Keys that are not in use are UINT64_MAX, and so a search needs no count.
 */
struct node {
	_Atomic uint64_t key[FANOUT];
	_Atomic uint64_t last[FANOUT];
	_Atomic uint64_t other[FANOUT];
	_Atomic uint32_t flags[FANOUT];
	_Atomic uint32_t nr;
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

struct tree {
	_Atomic uint64_t sequence;
	_Atomic uint32_t top;
	struct node *_Atomic root;
	/* That by IOVA, which tells of gaps. */
	bool gaps;
} __attribute__((aligned(CACHE_LINE)));

/* Where the writer is, from the leaf (0) up. Keys from the limit on are not in the leaf. */
struct path {
	struct node *node[LEVELS_MAX];
	unsigned int at[LEVELS_MAX];
	uint64_t limit;
};

struct chunk {
	struct chunk *next;
	struct node nodes[];
};

struct mappings {
	struct tree by_iova;
	struct tree by_vaddr;
	struct chunk *chunks;
	struct node *free;
	size_t nr_free;
	size_t nr_chunk;
	/* Where something was last looked for to be added. If its limit is 0 it leads nowhere. */
	struct path recent;
	uint64_t hint;
	_Atomic size_t count;
};

/* What a node was before must be seen before what it is now leads to it. */
static struct node *get_node(_Atomic(struct node *) const *from)
{
	return atomic_load_explicit(from, memory_order_acquire);
}

static void put_node(struct node *_Atomic *to, struct node *node)
{
	atomic_store_explicit(to, node, memory_order_release);
}

static void write_begin(struct tree *tree)
{
	put(tree->sequence, get(tree->sequence) + 1);
	atomic_thread_fence(memory_order_release);
}

static void write_end(struct tree *tree)
{
	atomic_store_explicit(&tree->sequence, get(tree->sequence) + 1, memory_order_release);
}

static uint64_t read_begin(const struct tree *tree)
{
	uint64_t sequence;

	do {
		sequence = atomic_load_explicit(&tree->sequence, memory_order_acquire);
	} while (sequence & 1);
	return sequence;
}

static bool read_again(const struct tree *tree, uint64_t sequence)
{
	atomic_thread_fence(memory_order_acquire);
	return get(tree->sequence) != sequence;
}

/*
 * First the quarter and then the place in it, without a branch that depends on the keys:
 * none of these could be predicted.
 */
static inline unsigned int count_upto(const struct node *node, uint64_t key)
{
	const _Atomic uint64_t *keys = node->key;
	unsigned int quarter, count;

	quarter = (get(keys[QUARTER - 1]) <= key) + (get(keys[2 * QUARTER - 1]) <= key) +
		  (get(keys[3 * QUARTER - 1]) <= key);
	keys += (size_t)quarter * QUARTER;
	count = quarter * QUARTER + (get(keys[0]) <= key) + (get(keys[1]) <= key) +
		(get(keys[2]) <= key) + (get(keys[3]) <= key);
	/* Only this key cannot be told from those not in use. */
	if (key == UINT64_MAX && count > get(node->nr))
		return get(node->nr);
	return count;
}

/* Now, and not only when it is known which place counts: the keys are still to come. */
static void prefetch_values(const struct node *node)
{
	const char *at = (const char *)node->last;

	for (; at < (const char *)&node->nr; at += CACHE_LINE)
		__builtin_prefetch(at);
}

/* The last mapping that begins at or before a key. Return: NULL if there is none. */
static const struct node *find_before(const struct tree *tree, uint64_t key, unsigned int *at)
{
	struct node *node = get_node(&tree->root);
	unsigned int level = get(tree->top), count;

	for (; level; level--) {
		count = count_upto(node, key);
		if (!count)
			return NULL;
		node = get_node(&node->child[count - 1]);
		if (!node)
			return NULL;
		if (level == 1)
			prefetch_values(node);
	}
	count = count_upto(node, key);
	*at = count - 1;
	return count ? node : NULL;
}

/*
 * Any mapping that holds a key, where what begins last may not, but what begins before
 * that reaches further. Of the children only the last can hold mappings that begin
 * behind the key; any other that reaches the key does hold one, so none is tried in vain.
 */
static const struct node *find_holding(const struct tree *tree, uint64_t key, unsigned int *at)
{
	struct node *node = get_node(&tree->root);
	unsigned int level = get(tree->top), count, i;

	for (;; level--) {
		count = count_upto(node, key);
		for (i = 0; i < count && get(node->last[i]) < key; i++)
			;
		if (i == count)
			return NULL;
		if (!level)
			break;
		node = get_node(&node->child[i]);
		if (!node)
			return NULL;
	}
	*at = i;
	return node;
}

static bool find(const struct tree *tree, uint64_t key, struct entry *entry)
{
	const struct node *node;
	unsigned int at;

	node = find_before(tree, key, &at);
	if (node && get(node->last[at]) < key)
		node = tree->gaps ? NULL : find_holding(tree, key, &at);
	if (!node)
		return false;
	entry->key = get(node->key[at]);
	entry->last = get(node->last[at]);
	entry->other = get(node->other[at]);
	entry->flags = get(node->flags[at]);
	return true;
}

bool mappings_by_iova(const struct mappings *mappings, uint64_t iova, struct mapping *found)
{
	struct entry entry;
	uint64_t sequence;
	bool is_found;

	do {
		sequence = read_begin(&mappings->by_iova);
		is_found = find(&mappings->by_iova, iova, &entry);
	} while (read_again(&mappings->by_iova, sequence));
	if (is_found)
		*found = (struct mapping){ entry.other, entry.key, entry.last - entry.key + 1,
					   entry.flags };
	return is_found;
}

bool mappings_by_vaddr(const struct mappings *mappings, uint64_t vaddr, struct mapping *found)
{
	struct entry entry;
	uint64_t sequence;
	bool is_found;

	do {
		sequence = read_begin(&mappings->by_vaddr);
		is_found = find(&mappings->by_vaddr, vaddr, &entry);
	} while (read_again(&mappings->by_vaddr, sequence));
	if (is_found)
		*found = (struct mapping){ entry.key, entry.other, entry.last - entry.key + 1,
					   entry.flags };
	return is_found;
}

/* What follows is the writer's. Nodes are there before a change begins: it cannot fail. */
static int reserve(struct mappings *mappings, size_t nr)
{
	struct chunk *chunk;
	size_t size, i;

	if (mappings->nr_free >= nr)
		return 0;
	size = sizeof(*chunk) + mappings->nr_chunk * sizeof(chunk->nodes[0]);
	chunk = aligned_alloc(CACHE_LINE, size);
	if (!chunk)
		return -ENOMEM;
	memset(chunk, 0, size);
	for (i = mappings->nr_chunk; i; i--) {
		chunk->nodes[i - 1].next_free = mappings->free;
		mappings->free = &chunk->nodes[i - 1];
	}
	chunk->next = mappings->chunks;
	mappings->chunks = chunk;
	mappings->nr_free += mappings->nr_chunk;
	if (mappings->nr_chunk < CHUNK_MAX)
		mappings->nr_chunk *= 2;
	return 0;
}

static struct node *take_node(struct mappings *mappings)
{
	struct node *node = mappings->free;
	unsigned int i;

	mappings->free = node->next_free;
	mappings->nr_free--;
	put(node->nr, 0);
	for (i = 0; i < FANOUT; i++)
		put(node->key[i], UINT64_MAX);
	return node;
}

static void give_node(struct mappings *mappings, struct node *node)
{
	node->next_free = mappings->free;
	mappings->free = node;
	mappings->nr_free++;
}

static void copy(struct node *to, unsigned int to_at, const struct node *from,
		 unsigned int from_at, unsigned int level)
{
	put(to->key[to_at], get(from->key[from_at]));
	put(to->last[to_at], get(from->last[from_at]));
	put(to->other[to_at], get(from->other[from_at]));
	if (level)
		put_node(&to->child[to_at], get_node(&from->child[from_at]));
	else
		put(to->flags[to_at], get(from->flags[from_at]));
}

static void set(struct node *node, unsigned int at, const struct entry *entry, unsigned int level)
{
	put(node->key[at], entry->key);
	put(node->last[at], entry->last);
	put(node->other[at], entry->other);
	if (level)
		put_node(&node->child[at], entry->child);
	else
		put(node->flags[at], entry->flags);
}

/* Make room for some before a place. */
static void open_up(struct node *node, unsigned int at, unsigned int nr, unsigned int level)
{
	unsigned int i;

	for (i = get(node->nr); i > at; i--)
		copy(node, i - 1 + nr, node, i - 1, level);
	put(node->nr, get(node->nr) + nr);
}

static void close_up(struct node *node, unsigned int at, unsigned int nr, unsigned int level)
{
	unsigned int i, left = get(node->nr) - nr;

	for (i = at; i < left; i++)
		copy(node, i, node, i + nr, level);
	for (i = left; i < left + nr; i++)
		put(node->key[i], UINT64_MAX);
	put(node->nr, left);
}

/* The first ones of a node go behind the last of the one before it. */
static void move_left(struct node *left, struct node *right, unsigned int nr, unsigned int level)
{
	unsigned int at = get(left->nr), i;

	for (i = 0; i < nr; i++)
		copy(left, at + i, right, i, level);
	put(left->nr, at + nr);
	close_up(right, 0, nr, level);
}

static void move_right(struct node *left, struct node *right, unsigned int nr, unsigned int level)
{
	unsigned int at = get(left->nr) - nr, i;

	open_up(right, 0, nr, level);
	for (i = 0; i < nr; i++)
		copy(right, i, left, at + i, level);
	close_up(left, at, nr, level);
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t largest_last(const struct node *node)
{
	unsigned int nr = get(node->nr), i;
	uint64_t largest = 0;

	for (i = 0; i < nr; i++)
		largest = max(largest, get(node->last[i]));
	return largest;
}

/* For the tree by IOVA it is to be told how much is free. */
static struct entry sum_up(const struct tree *tree, struct node *node, uint64_t gap)
{
	struct entry entry = { .key = get(node->key[0]), .child = node };

	entry.last = tree->gaps ? 0 : largest_last(node);
	entry.other = tree->gaps ? gap : get(node->other[0]);
	return entry;
}

/* Return: whether what the parent tells of the child was no longer true. */
static bool refresh(const struct tree *tree, const struct path *path, unsigned int level)
{
	struct node *parent = path->node[level + 1];
	unsigned int at = path->at[level + 1];
	struct entry entry = sum_up(tree, path->node[level], get(parent->other[at]));

	if (get(parent->key[at]) == entry.key && get(parent->last[at]) == entry.last &&
	    get(parent->other[at]) == entry.other)
		return false;
	put(parent->key[at], entry.key);
	put(parent->last[at], entry.last);
	put(parent->other[at], entry.other);
	return true;
}

/* Tell all above of a change, of something that reaches to @last in a leaf. */
static void refresh_up(const struct tree *tree, const struct path *path, unsigned int level,
		       uint64_t last)
{
	unsigned int top = get(tree->top);

	/* Mostly it is neither the first in its leaf, nor does it reach the furthest. */
	if (!level && top && path->at[0] &&
	    (tree->gaps || last < get(path->node[1]->last[path->at[1]])))
		return;
	while (level < top && refresh(tree, path, level))
		level++;
}

/* How far what is behind a place in the leaf may reach. */
static uint64_t free_upto(const struct tree *tree, const struct path *path, unsigned int at)
{
	unsigned int top = get(tree->top), level = 0;

	while (at + 1 >= get(path->node[level]->nr)) {
		if (level == top)
			return UINT64_MAX;
		at = path->at[++level];
	}
	return get(path->node[level]->key[at + 1]) - 1;
}

static void tell_gap(const struct tree *tree, const struct path *path, uint64_t gap)
{
	unsigned int top = get(tree->top), level;

	for (level = 1; level <= top; level++) {
		if (get(path->node[level]->other[path->at[level]]) >= gap)
			return;
		put(path->node[level]->other[path->at[level]], gap);
	}
}

/* Return: false if the path leads to the first leaf. */
static bool previous_leaf(const struct tree *tree, struct path *path)
{
	unsigned int top = get(tree->top), level = 1;

	while (level <= top && !path->at[level])
		level++;
	if (level > top)
		return false;
	path->at[level]--;
	for (; level; level--) {
		path->node[level - 1] = get_node(&path->node[level]->child[path->at[level]]);
		path->at[level - 1] = get(path->node[level - 1]->nr) - 1;
	}
	return true;
}

/* What is before is going to have more behind it. */
static void tell_gap_without(const struct tree *tree, const struct path *path)
{
	uint64_t upto = free_upto(tree, path, path->at[0]);
	struct path previous;

	if (path->at[0]) {
		tell_gap(tree, path, upto - get(path->node[0]->last[path->at[0] - 1]));
		return;
	}
	previous = *path;
	if (previous_leaf(tree, &previous))
		tell_gap(tree, &previous, upto - get(previous.node[0]->last[previous.at[0]]));
}

/*
 * To the last place that is not behind a key, or to the first of all. Where keys are
 * equal the other address decides: that is only so in the tree by address in memory.
 */
static void seek(const struct tree *tree, uint64_t key, uint64_t other, struct path *path)
{
	struct node *node = get_node(&tree->root);
	unsigned int level = get(tree->top), at;

	path->limit = UINT64_MAX;
	for (;; level--) {
		at = count_upto(node, key);
		at -= at > 0;
		while (get(node->key[at]) == key && at && get(node->other[at]) > other &&
		       !tree->gaps)
			at--;
		path->node[level] = node;
		path->at[level] = at;
		if (!level)
			return;
		if (at + 1 < get(node->nr))
			path->limit = get(node->key[at + 1]);
		node = get_node(&node->child[at]);
	}
}

/* What is found is used next, and what is added now is mostly next to what was before. */
static bool is_recent(const struct mappings *mappings, uint64_t iova)
{
	const struct path *recent = &mappings->recent;

	return iova < recent->limit && iova >= get(recent->node[0]->key[0]);
}

static struct path *seek_recent(struct mappings *mappings, uint64_t iova)
{
	struct path *recent = &mappings->recent;

	if (is_recent(mappings, iova))
		recent->at[0] = count_upto(recent->node[0], iova) - 1;
	else
		seek(&mappings->by_iova, iova, 0, recent);
	return recent;
}

static void forget_recent(struct mappings *mappings, const struct tree *tree)
{
	if (tree == &mappings->by_iova)
		mappings->recent.limit = 0;
}

/* Half of it, but where all grows at the end what is behind is left as full as can be. */
static struct node *split(struct mappings *mappings, struct node *node, unsigned int at,
			  unsigned int level)
{
	struct node *right = take_node(mappings);

	move_right(node, right, at == FANOUT ? FANOUT_MIN : FANOUT / 2, level);
	return right;
}

static void grow(struct mappings *mappings, struct tree *tree, struct path *path)
{
	unsigned int level = get(tree->top);
	struct entry entry = sum_up(tree, path->node[level], UINT64_MAX);
	struct node *root = take_node(mappings);

	set(root, 0, &entry, level + 1);
	put(root->nr, 1);
	path->node[level + 1] = root;
	path->at[level + 1] = 0;
	put_node(&tree->root, root);
	put(tree->top, level + 1);
}

static void insert_into(struct node *node, unsigned int at, const struct entry *entry,
			unsigned int level)
{
	open_up(node, at, 1, level);
	set(node, at, entry, level);
}

static void insert(struct mappings *mappings, struct tree *tree, struct path *path,
		   unsigned int at, struct entry entry)
{
	struct node *node = path->node[0], *right;
	unsigned int level = 0, left;

	while (get(node->nr) == FANOUT) {
		forget_recent(mappings, tree);
		right = split(mappings, node, at, level);
		left = get(node->nr);
		if (at > left)
			insert_into(right, at - left, &entry, level);
		else
			insert_into(node, at, &entry, level);
		if (level == get(tree->top))
			grow(mappings, tree, path);
		refresh(tree, path, level);
		level++;
		node = path->node[level];
		at = path->at[level];
		entry = sum_up(tree, right, get(node->other[at]));
		at++;
	}
	insert_into(node, at, &entry, level);
	path->at[level] = at;
	refresh_up(tree, path, level, entry.last);
}

/* Return: whether all of the right one fits, with room to spare, into the left. */
static bool level_out(struct node *left, struct node *right, unsigned int level)
{
	unsigned int nr_left = get(left->nr), nr_right = get(right->nr);
	unsigned int half = (nr_left + nr_right) / 2;

	if (nr_left + nr_right <= FANOUT - FANOUT_MIN)
		move_left(left, right, nr_right, level);
	else if (nr_left < half)
		move_left(left, right, half - nr_left, level);
	else
		move_right(left, right, nr_left - half, level);
	return !get(right->nr);
}

/* Fill up a node from a neighbour. Return: whether a place of the parent's is to go. */
static bool fill_up(struct mappings *mappings, struct tree *tree, struct path *path,
		    unsigned int level)
{
	struct node *parent = path->node[level + 1], *right;
	unsigned int at = path->at[level + 1];
	uint64_t gap;
	bool merged;

	forget_recent(mappings, tree);
	if (at)
		at--;
	if (tree->gaps) {
		gap = max(get(parent->other[at]), get(parent->other[at + 1]));
		put(parent->other[at], gap);
		put(parent->other[at + 1], gap);
	}
	path->node[level] = get_node(&parent->child[at]);
	right = get_node(&parent->child[at + 1]);
	merged = level_out(path->node[level], right, level);
	path->at[level + 1] = at;
	refresh(tree, path, level);

	path->node[level] = right;
	path->at[level + 1] = at + 1;
	if (merged)
		give_node(mappings, right);
	else
		refresh(tree, path, level);
	return merged;
}

static void erase(struct mappings *mappings, struct tree *tree, struct path *path)
{
	uint64_t last = get(path->node[0]->last[path->at[0]]);
	unsigned int level = 0;

	for (;; level++) {
		close_up(path->node[level], path->at[level], 1, level);
		if (level == get(tree->top) || get(path->node[level]->nr) >= FANOUT_MIN)
			break;
		if (!fill_up(mappings, tree, path, level)) {
			level++;
			break;
		}
	}
	refresh_up(tree, path, level, last);
	if (level && level == get(tree->top) && get(path->node[level]->nr) == 1) {
		put_node(&tree->root, get_node(&path->node[level]->child[0]));
		put(tree->top, level - 1);
		give_node(mappings, path->node[level]);
	}
}

static bool plant(struct mappings *mappings, struct tree *tree)
{
	if (reserve(mappings, 1))
		return false;
	put_node(&tree->root, take_node(mappings));
	return true;
}

struct mappings *mappings_new(void)
{
	struct mappings *mappings = aligned_alloc(CACHE_LINE, sizeof(*mappings));

	if (!mappings)
		return NULL;
	memset(mappings, 0, sizeof(*mappings));
	mappings->nr_chunk = CHUNK_MIN;
	mappings->hint = IOVA_MIN;
	mappings->by_iova.gaps = true;
	if (!plant(mappings, &mappings->by_iova) || !plant(mappings, &mappings->by_vaddr)) {
		mappings_free(mappings);
		return NULL;
	}
	return mappings;
}

void mappings_free(struct mappings *mappings)
{
	struct chunk *chunk;

	while (mappings && (chunk = mappings->chunks)) {
		mappings->chunks = chunk->next;
		free(chunk);
	}
	free(mappings);
}

/* Behind what the path leads to, or before it, where that is the first of all. */
static unsigned int place_for(const struct path *path, uint64_t key, uint64_t other, bool gaps)
{
	const struct node *node = path->node[0];
	unsigned int at = path->at[0];
	uint64_t here = get(node->key[at]);

	if (!get(node->nr) || here > key || (!gaps && here == key && get(node->other[at]) > other))
		return at;
	return at + 1;
}

static void plant_entry(struct mappings *mappings, struct tree *tree, struct path *path,
			const struct entry *entry)
{
	unsigned int at = place_for(path, entry->key, entry->other, tree->gaps);

	/* All else lies in a gap of what is before it. */
	if (tree->gaps && !at && get(path->node[0]->nr))
		tell_gap(tree, path, get(path->node[0]->key[0]) - entry->last - 1);
	write_begin(tree);
	insert(mappings, tree, path, at, *entry);
	write_end(tree);
}

static bool is_free(const struct path *path, uint64_t first, uint64_t last)
{
	const struct node *node = path->node[0];
	unsigned int at = path->at[0];

	return !get(node->nr) || get(node->key[at]) > last || get(node->last[at]) < first;
}

/* Each level may split, and a root come on top. */
static int reserve_for_add(struct mappings *mappings)
{
	unsigned int top_iova = get(mappings->by_iova.top), top_vaddr = get(mappings->by_vaddr.top);

	if (top_iova >= LEVELS_MAX - 1 || top_vaddr >= LEVELS_MAX - 1)
		return -ENOMEM;
	return reserve(mappings, top_iova + 2 + top_vaddr + 2);
}

/* By IOVA first: what is found by address in memory is then found by IOVA, too. */
int mappings_add(struct mappings *mappings, const struct mapping *mapping)
{
	struct entry by_iova = { mapping->iova, mapping->iova + mapping->size - 1, mapping->vaddr,
				 mapping->flags, NULL };
	struct entry by_vaddr = { mapping->vaddr, mapping->vaddr + mapping->size - 1, mapping->iova,
				  mapping->flags, NULL };
	struct path path, *recent;

	if (!mapping->size || by_iova.last < by_iova.key || by_vaddr.last < by_vaddr.key)
		return -EINVAL;
	/* Where nothing overlaps, nothing begins between the first byte and the last. */
	recent = seek_recent(mappings, by_iova.last);
	if (!is_free(recent, by_iova.key, by_iova.last))
		return -EEXIST;
	if (reserve_for_add(mappings))
		return -ENOMEM;
	plant_entry(mappings, &mappings->by_iova, recent, &by_iova);
	seek(&mappings->by_vaddr, by_vaddr.key, by_vaddr.other, &path);
	plant_entry(mappings, &mappings->by_vaddr, &path, &by_vaddr);
	put(mappings->count, get(mappings->count) + 1);
	return 0;
}

static void uproot_entry(struct mappings *mappings, struct tree *tree, struct path *path)
{
	if (tree->gaps)
		tell_gap_without(tree, path);
	write_begin(tree);
	erase(mappings, tree, path);
	write_end(tree);
}

int mappings_remove(struct mappings *mappings, uint64_t iova, struct mapping *removed)
{
	struct path iova_path, vaddr_path, *path = &iova_path;
	struct mapping mapping;
	struct node *node;
	unsigned int at;

	if (is_recent(mappings, iova))
		path = seek_recent(mappings, iova);
	else
		seek(&mappings->by_iova, iova, 0, path);
	node = path->node[0];
	at = path->at[0];
	if (!get(node->nr) || get(node->key[at]) != iova)
		return -ENOENT;
	mapping = (struct mapping){ get(node->other[at]), iova, get(node->last[at]) - iova + 1,
				    get(node->flags[at]) };
	seek(&mappings->by_vaddr, mapping.vaddr, iova, &vaddr_path);
	uproot_entry(mappings, &mappings->by_vaddr, &vaddr_path);
	uproot_entry(mappings, &mappings->by_iova, path);
	put(mappings->count, get(mappings->count) - 1);
	if (removed)
		*removed = mapping;
	return 0;
}

/* Return: false if what the path leads to is the last of all. */
static bool step(const struct tree *tree, struct path *path)
{
	unsigned int level = 0, top = get(tree->top);

	while (path->at[level] + 1 >= get(path->node[level]->nr))
		if (level++ == top)
			return false;
	path->at[level]++;
	for (; level; level--) {
		path->node[level - 1] = get_node(&path->node[level]->child[path->at[level]]);
		path->at[level - 1] = 0;
	}
	return true;
}

bool mappings_next(const struct mappings *mappings, uint64_t iova, struct mapping *found)
{
	const struct node *node;
	struct path path;
	unsigned int at;

	seek(&mappings->by_iova, iova, 0, &path);
	if (!get(path.node[0]->nr))
		return false;
	if (get(path.node[0]->key[path.at[0]]) < iova && !step(&mappings->by_iova, &path))
		return false;
	node = path.node[0];
	at = path.at[0];
	*found = (struct mapping){ get(node->other[at]), get(node->key[at]),
				   get(node->last[at]) - get(node->key[at]) + 1,
				   get(node->flags[at]) };
	return true;
}

size_t mappings_count(const struct mappings *mappings)
{
	return get(mappings->count);
}

static uint64_t widest_gap(const struct tree *tree, const struct path *path, unsigned int level)
{
	const struct node *node = path->node[level];
	unsigned int nr = get(node->nr), i;
	uint64_t widest = 0;

	for (i = 0; level && i < nr; i++)
		widest = max(widest, get(node->other[i]));
	for (i = 0; !level && i < nr; i++)
		widest = max(widest, free_upto(tree, path, i) - get(node->last[i]));
	return widest;
}

static unsigned int next_wide(const struct node *node, unsigned int at, uint64_t size)
{
	while (at < get(node->nr) && get(node->other[at]) < size)
		at++;
	return at;
}

/*
 * The next leaf where enough seems to be free. What was looked at in vain may not be as
 * its parent tells. Return: false if there is none.
 */
static bool next_leaf(const struct tree *tree, struct path *path, uint64_t size)
{
	unsigned int top = get(tree->top), level = 0, at;
	struct node *node;

	while (level < top) {
		put(path->node[level + 1]->other[path->at[level + 1]],
		    widest_gap(tree, path, level));
		level++;
		for (at = path->at[level] + 1;; at = 0) {
			node = path->node[level];
			at = next_wide(node, at, size);
			if (at == get(node->nr))
				break;
			path->at[level] = at;
			path->node[--level] = get_node(&node->child[at]);
			path->at[level] = 0;
			if (!level)
				return true;
		}
	}
	return false;
}

/* Return: false if there is no such address. */
static bool align_up(uint64_t *address, uint64_t align)
{
	uint64_t aligned = (*address + align - 1) & -align;

	if (aligned < *address)
		return false;
	*address = aligned;
	return true;
}

/* What is wanted: an address of a size and alignment, within first and last. */
struct wanted {
	uint64_t first;
	uint64_t last;
	uint64_t size;
	uint64_t align;
};

/* Does it fit between two addresses? */
static bool fits(const struct wanted *wanted, uint64_t first, uint64_t last, uint64_t *iova)
{
	first = max(first, wanted->first);
	last = last < wanted->last ? last : wanted->last;
	if (!align_up(&first, wanted->align) || first > last || last - first < wanted->size - 1)
		return false;
	*iova = first;
	return true;
}

/* Mostly something is free where the search begins. */
static bool find_here(struct mappings *mappings, const struct wanted *wanted, uint64_t *iova)
{
	const struct path *recent = seek_recent(mappings, wanted->first);
	const struct node *node = recent->node[0];
	uint64_t limit = recent->limit, before;
	unsigned int at = recent->at[0];

	if (!get(node->nr))
		return fits(wanted, 0, UINT64_MAX, iova);
	if (get(node->key[at]) > wanted->first)
		return fits(wanted, 0, get(node->key[at]) - 1, iova);
	if (at + 1 < get(node->nr))
		limit = get(node->key[at + 1]);
	before = get(node->last[at]);
	return before < limit && fits(wanted, before + 1, limit - 1, iova);
}

static bool find_in_leaf(const struct tree *tree, const struct path *path,
			 const struct wanted *wanted, uint64_t *iova)
{
	const struct node *node = path->node[0];
	unsigned int nr = get(node->nr), at;
	uint64_t last, upto;

	for (at = path->at[0]; at < nr; at++) {
		last = get(node->last[at]);
		upto = free_upto(tree, path, at);
		if (upto - last >= wanted->size && fits(wanted, last + 1, upto, iova))
			return true;
	}
	return false;
}

static bool find_in_gaps(const struct tree *tree, const struct wanted *wanted, uint64_t *iova)
{
	struct path path;

	seek(tree, wanted->first, 0, &path);
	do {
		if (find_in_leaf(tree, &path, wanted, iova))
			return true;
	} while (next_leaf(tree, &path, wanted->size) &&
		 get(path.node[0]->key[0]) <= wanted->last);
	return false;
}

static bool find_in_ranges(struct mappings *mappings, const struct vfioext_iova_range *ranges,
			   size_t nr_ranges, uint64_t from, struct wanted *wanted, uint64_t *iova)
{
	size_t i;

	for (i = 0; i < nr_ranges; i++) {
		wanted->first = max(ranges[i].start, from);
		wanted->last = ranges[i].last;
		if (wanted->first <= wanted->last &&
		    (find_here(mappings, wanted, iova) ||
		     find_in_gaps(&mappings->by_iova, wanted, iova)))
			return true;
	}
	return false;
}

/*
 * Onward from what was given last, so that an address that was freed is not soon another's,
 * and what a device still does there by mistake is stopped.
 */
int mappings_find_free(struct mappings *mappings, const struct vfioext_iova_range *ranges,
		       size_t nr_ranges, uint64_t size, uint64_t align, uint64_t *iova)
{
	struct wanted wanted = { .size = size, .align = align };

	if (!size || !align || align & (align - 1))
		return -EINVAL;
	if (!find_in_ranges(mappings, ranges, nr_ranges, mappings->hint, &wanted, iova) &&
	    !find_in_ranges(mappings, ranges, nr_ranges, IOVA_MIN, &wanted, iova))
		return -ENOSPC;
	mappings->hint = max(*iova + size, IOVA_MIN);
	return 0;
}
