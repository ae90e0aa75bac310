// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Readers walk a tree while the writer may change it, and look at the tree's counter
 * before and after: if it moved they walk again. What they see meanwhile may be
 * nonsense, but cannot harm: nodes stay nodes until all is freed, children are always
 * nodes, and no index or depth goes beyond its bound.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hints.h"
#include "tree.h"

#define QUARTER (FANOUT / 4)
#define FANOUT_MIN QUARTER
#define CHUNK_MIN 16
#define CHUNK_MAX 4096

/* What a node was before must be seen before what it is now leads to it. */
#define get_node(field) atomic_load_explicit(&(field), memory_order_acquire)
#define put_node(field, node) atomic_store_explicit(&(field), node, memory_order_release)

struct chunk {
	struct block block;
	struct node nodes[];
};

/* The writer takes some 100 ns. Longer is who is not running, which readers must let him. */
#define SPINS_MAX 1000
#define NAP_NS 200000

static void write_begin(struct tree *tree)
{
	put(tree->sequence, get(tree->sequence) + 1);
	atomic_thread_fence(memory_order_release);
}

static void write_end(struct tree *tree)
{
	atomic_store_explicit(&tree->sequence, get(tree->sequence) + 1, memory_order_release);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* A reader of a higher priority would wait for ever for the writer on its processor. */
static uint64_t wait_for_writer(const struct tree *tree)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	unsigned int spins = 0;
	uint64_t sequence;

	do {
		if (spins++ < SPINS_MAX)
			relax();
		else
			nanosleep(&nap, NULL);
		sequence = atomic_load_explicit(&tree->sequence, memory_order_acquire);
	} while (sequence & 1);
	return sequence;
}

static uint64_t read_begin(const struct tree *tree)
{
	uint64_t sequence = atomic_load_explicit(&tree->sequence, memory_order_acquire);

	return sequence & 1 ? wait_for_writer(tree) : sequence;
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
	struct node *node = get_node(tree->root);
	unsigned int level = get(tree->top), count;

	for (; level; level--) {
		count = count_upto(node, key);
		if (!count)
			return NULL;
		node = get_node(node->child[count - 1]);
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
	struct node *node = get_node(tree->root);
	unsigned int level = get(tree->top), count, i;

	for (;; level--) {
		count = count_upto(node, key);
		for (i = 0; i < count && get(node->last[i]) < key; i++)
			;
		if (i == count)
			return NULL;
		if (!level)
			break;
		node = get_node(node->child[i]);
		if (!node)
			return NULL;
	}
	*at = i;
	return node;
}

/* Only the last of all keys cannot be told from those that are not in use. */
static bool holds(const struct tree *tree, const struct node *node, unsigned int at, uint64_t key)
{
	return get(node->leaf_of) == tree && get(node->key[at]) <= key &&
	       get(node->last[at]) >= key && key != UINT64_MAX;
}

static const struct node *find(const struct tree *tree, uint64_t key, unsigned int *at)
{
	const struct node *node = find_before(tree, key, at);

	if (node && get(node->last[*at]) < key)
		node = tree->gaps ? NULL : find_holding(tree, key, at);
	return node;
}

static void take(const struct node *node, unsigned int at, struct entry *entry)
{
	entry->key = get(node->key[at]);
	entry->last = get(node->last[at]);
	entry->other = get(node->other[at]);
	entry->flags = get(node->flags[at]);
}

bool tree_find(const struct tree *tree, uint64_t key, struct entry *entry)
{
	const struct node *node;
	unsigned int at = 0;
	uint64_t sequence;
	bool hinted;

	do {
		sequence = read_begin(tree);
		node = hints_find(tree, key, &at);
		hinted = node && holds(tree, node, at, key);
		if (!hinted)
			node = find(tree, key, &at);
		if (node)
			take(node, at, entry);
	} while (read_again(tree, sequence));
	if (node && !hinted)
		hints_leave(tree, key, node, at);
	return node;
}

/* What follows is the writer's. */
int nodes_reserve(struct nodes *nodes, size_t nr)
{
	struct chunk *chunk;
	size_t size, i;

	if (nodes->nr_free >= nr)
		return 0;
	if (!nodes->nr_chunk)
		nodes->nr_chunk = CHUNK_MIN;
	size = sizeof(*chunk) + nodes->nr_chunk * sizeof(chunk->nodes[0]);
	chunk = aligned_alloc(CACHE_LINE, size);
	if (!chunk)
		return -ENOMEM;
	memset(chunk, 0, size);
	for (i = nodes->nr_chunk; i; i--) {
		chunk->nodes[i - 1].next_free = nodes->free;
		nodes->free = &chunk->nodes[i - 1];
	}
	chunk->block.next = nodes->blocks;
	nodes->blocks = &chunk->block;
	nodes->nr_free += nodes->nr_chunk;
	if (nodes->nr_chunk < CHUNK_MAX)
		nodes->nr_chunk *= 2;
	return 0;
}

void nodes_free(struct nodes *nodes)
{
	struct block *block;

	while ((block = nodes->blocks)) {
		nodes->blocks = block->next;
		free(block);
	}
}

static struct node *take_node(struct nodes *nodes)
{
	struct node *node = nodes->free;
	unsigned int i;

	nodes->free = node->next_free;
	nodes->nr_free--;
	put(node->nr, 0);
	for (i = 0; i < FANOUT; i++)
		put(node->key[i], UINT64_MAX);
	return node;
}

static void give_node(struct nodes *nodes, struct node *node)
{
	put(node->leaf_of, NULL);
	node->next_free = nodes->free;
	nodes->free = node;
	nodes->nr_free++;
}

static void copy(struct node *to, unsigned int to_at, const struct node *from,
		 unsigned int from_at, unsigned int level)
{
	put(to->key[to_at], get(from->key[from_at]));
	put(to->last[to_at], get(from->last[from_at]));
	put(to->other[to_at], get(from->other[from_at]));
	if (level)
		put_node(to->child[to_at], get_node(from->child[from_at]));
	else
		put(to->flags[to_at], get(from->flags[from_at]));
}

static void set(struct node *node, unsigned int at, const struct entry *entry, unsigned int level)
{
	put(node->key[at], entry->key);
	put(node->last[at], entry->last);
	put(node->other[at], entry->other);
	if (level)
		put_node(node->child[at], entry->child);
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

uint64_t tree_free_upto(const struct tree *tree, const struct path *path, unsigned int at)
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
		path->node[level - 1] = get_node(path->node[level]->child[path->at[level]]);
		path->at[level - 1] = get(path->node[level - 1]->nr) - 1;
	}
	return true;
}

/* What is before is going to have more behind it. */
static void tell_gap_without(const struct tree *tree, const struct path *path)
{
	uint64_t until = tree_free_upto(tree, path, path->at[0]);
	struct path previous;

	if (path->at[0]) {
		tell_gap(tree, path, until - get(path->node[0]->last[path->at[0] - 1]));
		return;
	}
	previous = *path;
	if (previous_leaf(tree, &previous))
		tell_gap(tree, &previous, until - get(previous.node[0]->last[previous.at[0]]));
}

/* As far as can be told from the leaf alone. */
static bool in_recent_leaf(const struct tree *tree, uint64_t key)
{
	return key < tree->recent.limit && key > get(tree->recent.node[0]->key[0]);
}

static unsigned int place_in(const struct tree *tree, const struct node *node, uint64_t key,
			     uint64_t other)
{
	unsigned int at = count_upto(node, key);

	at -= at > 0;
	while (get(node->key[at]) == key && at && get(node->other[at]) > other && !tree->gaps)
		at--;
	return at;
}

static struct path *seek(struct tree *tree, uint64_t key, uint64_t other)
{
	struct path *path = &tree->recent;
	unsigned int level = get(tree->top);
	struct node *node;

	if (in_recent_leaf(tree, key)) {
		path->at[0] = place_in(tree, path->node[0], key, other);
		return path;
	}
	path->limit = UINT64_MAX;
	for (node = get_node(tree->root);; level--) {
		path->node[level] = node;
		path->at[level] = place_in(tree, node, key, other);
		if (!level)
			return path;
		if (path->at[level] + 1 < get(node->nr))
			path->limit = get(node->key[path->at[level] + 1]);
		node = get_node(node->child[path->at[level]]);
	}
}

const struct path *tree_seek(struct tree *tree, uint64_t key, uint64_t other)
{
	return seek(tree, key, other);
}

/* Half of it, but where all grows at the end what is behind is left as full as can be. */
static struct node *split(struct nodes *nodes, struct node *node, unsigned int at,
			  unsigned int level)
{
	struct node *right = take_node(nodes);

	put(right->leaf_of, get(node->leaf_of));
	move_right(node, right, at == FANOUT ? FANOUT_MIN : FANOUT / 2, level);
	return right;
}

static void grow(struct nodes *nodes, struct tree *tree, struct path *path)
{
	unsigned int level = get(tree->top);
	struct entry entry = sum_up(tree, path->node[level], UINT64_MAX);
	struct node *root = take_node(nodes);

	set(root, 0, &entry, level + 1);
	put(root->nr, 1);
	path->node[level + 1] = root;
	path->at[level + 1] = 0;
	put_node(tree->root, root);
	put(tree->top, level + 1);
}

static void insert_into(struct node *node, unsigned int at, const struct entry *entry,
			unsigned int level)
{
	open_up(node, at, 1, level);
	set(node, at, entry, level);
}

static void insert(struct nodes *nodes, struct tree *tree, struct path *path,
		   unsigned int at, struct entry entry)
{
	struct node *node = path->node[0], *right;
	unsigned int level = 0, left;

	while (get(node->nr) == FANOUT) {
		path->limit = 0;
		right = split(nodes, node, at, level);
		left = get(node->nr);
		if (at > left)
			insert_into(right, at - left, &entry, level);
		else
			insert_into(node, at, &entry, level);
		if (level == get(tree->top))
			grow(nodes, tree, path);
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
static bool fill_up(struct nodes *nodes, struct tree *tree, struct path *path,
		    unsigned int level)
{
	struct node *parent = path->node[level + 1], *right;
	unsigned int at = path->at[level + 1];
	uint64_t gap;
	bool merged;

	if (at)
		at--;
	if (tree->gaps) {
		gap = max(get(parent->other[at]), get(parent->other[at + 1]));
		put(parent->other[at], gap);
		put(parent->other[at + 1], gap);
	}
	path->node[level] = get_node(parent->child[at]);
	right = get_node(parent->child[at + 1]);
	merged = level_out(path->node[level], right, level);
	path->at[level + 1] = at;
	refresh(tree, path, level);

	path->node[level] = right;
	path->at[level + 1] = at + 1;
	if (merged)
		give_node(nodes, right);
	else
		refresh(tree, path, level);
	return merged;
}

static void erase(struct nodes *nodes, struct tree *tree, struct path *path)
{
	uint64_t last = get(path->node[0]->last[path->at[0]]);
	unsigned int level;

	for (level = 0;; level++) {
		close_up(path->node[level], path->at[level], 1, level);
		if (level == get(tree->top) || get(path->node[level]->nr) >= FANOUT_MIN)
			break;
		path->limit = 0;
		if (!fill_up(nodes, tree, path, level)) {
			level++;
			break;
		}
	}
	refresh_up(tree, path, level, last);
	if (level && level == get(tree->top) && get(path->node[level]->nr) == 1) {
		put_node(tree->root, get_node(path->node[level]->child[0]));
		put(tree->top, level - 1);
		give_node(nodes, path->node[level]);
	}
}

int tree_init(struct tree *tree, struct nodes *nodes, bool gaps)
{
	struct node *root;

	if (nodes_reserve(nodes, 1))
		return -ENOMEM;
	tree->gaps = gaps;
	root = take_node(nodes);
	put(root->leaf_of, tree);
	put_node(tree->root, root);
	return 0;
}

/* Each level may split, and a root come on top. */
size_t tree_nodes_to_add(const struct tree *tree)
{
	unsigned int top = get(tree->top);

	return top < LEVELS_MAX - 1 ? top + 2 : 0;
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

void tree_add(struct tree *tree, struct nodes *nodes, const struct entry *entry)
{
	struct path *path = seek(tree, entry->key, entry->other);
	unsigned int at = place_for(path, entry->key, entry->other, tree->gaps);

	/* All else lies in a gap of what is before it. */
	if (tree->gaps && !at && get(path->node[0]->nr))
		tell_gap(tree, path, get(path->node[0]->key[0]) - entry->last - 1);
	hints_add(tree, nodes, entry->last - entry->key + 1);
	write_begin(tree);
	insert(nodes, tree, path, at, *entry);
	write_end(tree);
}

void tree_remove(struct tree *tree, struct nodes *nodes, uint64_t key, uint64_t other)
{
	struct path *path = seek(tree, key, other);

	if (tree->gaps)
		tell_gap_without(tree, path);
	hints_remove(tree, get(path->node[0]->last[path->at[0]]) - key + 1);
	write_begin(tree);
	erase(nodes, tree, path);
	write_end(tree);
}

bool tree_step(const struct tree *tree, struct path *path)
{
	unsigned int level = 0, top = get(tree->top);

	while (path->at[level] + 1 >= get(path->node[level]->nr))
		if (level++ == top)
			return false;
	path->at[level]++;
	for (; level; level--) {
		path->node[level - 1] = get_node(path->node[level]->child[path->at[level]]);
		path->at[level - 1] = 0;
	}
	return true;
}

static uint64_t widest_gap(const struct tree *tree, const struct path *path, unsigned int level)
{
	const struct node *node = path->node[level];
	unsigned int nr = get(node->nr), i;
	uint64_t widest = 0;

	for (i = 0; level && i < nr; i++)
		widest = max(widest, get(node->other[i]));
	for (i = 0; !level && i < nr; i++)
		widest = max(widest, tree_free_upto(tree, path, i) - get(node->last[i]));
	return widest;
}

static unsigned int next_wide(const struct node *node, unsigned int at, uint64_t size)
{
	while (at < get(node->nr) && get(node->other[at]) < size)
		at++;
	return at;
}

bool tree_next_leaf(const struct tree *tree, struct path *path, uint64_t size)
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
			path->node[--level] = get_node(node->child[at]);
			path->at[level] = 0;
			if (!level)
				return true;
		}
	}
	return false;
}
