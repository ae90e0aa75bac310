// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is mapped for DMA, in two trees: by IOVA, where nothing overlaps, and by
 * address in memory, where anything may. Between what is mapped by IOVA free
 * addresses are found.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/dma.h>

#include "mappings.h"
#include "tree.h"

/* Too many take address 0 for none. */
#define IOVA_MIN 1

struct mappings {
	struct tree by_iova;
	struct tree by_vaddr;
	struct nodes nodes;
	uint64_t hint;
	_Atomic size_t count;
};

bool mappings_by_iova(const struct mappings *mappings, uint64_t iova, struct mapping *found)
{
	struct entry entry;

	if (!tree_find(&mappings->by_iova, iova, &entry))
		return false;
	*found = (struct mapping){ entry.other, entry.key, entry.last - entry.key + 1,
				   entry.flags };
	return true;
}

bool mappings_by_vaddr(const struct mappings *mappings, uint64_t vaddr, struct mapping *found)
{
	struct entry entry;

	if (!tree_find(&mappings->by_vaddr, vaddr, &entry))
		return false;
	*found = (struct mapping){ entry.key, entry.other, entry.last - entry.key + 1,
				   entry.flags };
	return true;
}

struct mappings *mappings_new(void)
{
	struct mappings *mappings = aligned_alloc(CACHE_LINE, sizeof(*mappings));

	if (!mappings)
		return NULL;
	memset(mappings, 0, sizeof(*mappings));
	mappings->hint = IOVA_MIN;
	if (tree_init(&mappings->by_iova, &mappings->nodes, true) ||
	    tree_init(&mappings->by_vaddr, &mappings->nodes, false)) {
		mappings_free(mappings);
		return NULL;
	}
	return mappings;
}

void mappings_free(struct mappings *mappings)
{
	if (!mappings)
		return;
	nodes_free(&mappings->nodes);
	free(mappings);
}

static bool is_free(const struct path *path, uint64_t first, uint64_t last)
{
	const struct node *node = path->node[0];
	unsigned int at = path->at[0];

	return !get(node->nr) || get(node->key[at]) > last || get(node->last[at]) < first;
}

static int reserve_for_add(struct mappings *mappings)
{
	size_t by_iova = tree_nodes_to_add(&mappings->by_iova);
	size_t by_vaddr = tree_nodes_to_add(&mappings->by_vaddr);

	if (!by_iova || !by_vaddr)
		return -ENOMEM;
	return nodes_reserve(&mappings->nodes, by_iova + by_vaddr);
}

/* By IOVA first: what is found by address in memory is then found by IOVA, too. */
int mappings_add(struct mappings *mappings, const struct mapping *mapping)
{
	struct entry by_iova = { mapping->iova, mapping->iova + mapping->size - 1, mapping->vaddr,
				 mapping->flags, NULL };
	struct entry by_vaddr = { mapping->vaddr, mapping->vaddr + mapping->size - 1, mapping->iova,
				  mapping->flags, NULL };

	if (!mapping->size || by_iova.last < by_iova.key || by_vaddr.last < by_vaddr.key)
		return -EINVAL;
	/* Where nothing overlaps, nothing begins between the first byte and the last. */
	if (!is_free(tree_seek(&mappings->by_iova, by_iova.last, 0), by_iova.key, by_iova.last))
		return -EEXIST;
	if (reserve_for_add(mappings))
		return -ENOMEM;
	tree_add(&mappings->by_iova, &mappings->nodes, &by_iova);
	tree_add(&mappings->by_vaddr, &mappings->nodes, &by_vaddr);
	put(mappings->count, get(mappings->count) + 1);
	return 0;
}

static struct mapping mapping_at(const struct path *path)
{
	const struct node *node = path->node[0];
	unsigned int at = path->at[0];
	uint64_t iova = get(node->key[at]);

	return (struct mapping){ get(node->other[at]), iova, get(node->last[at]) - iova + 1,
				 get(node->flags[at]) };
}

bool mappings_at(struct mappings *mappings, uint64_t iova, struct mapping *found)
{
	const struct path *path = tree_seek(&mappings->by_iova, iova, 0);

	if (!get(path->node[0]->nr) || get(path->node[0]->key[path->at[0]]) != iova)
		return false;
	*found = mapping_at(path);
	return true;
}

void mappings_set_flags(struct mappings *mappings, uint64_t iova, uint32_t flags)
{
	const struct path *path = tree_seek(&mappings->by_iova, iova, 0);

	put(path->node[0]->flags[path->at[0]], flags);
}

int mappings_remove(struct mappings *mappings, uint64_t iova, struct mapping *removed)
{
	struct mapping mapping;

	if (!mappings_at(mappings, iova, &mapping))
		return -ENOENT;
	tree_remove(&mappings->by_vaddr, &mappings->nodes, mapping.vaddr, iova);
	tree_remove(&mappings->by_iova, &mappings->nodes, iova, 0);
	put(mappings->count, get(mappings->count) - 1);
	if (removed)
		*removed = mapping;
	return 0;
}

/* To the first whose key is not before one. Return: false if there is none. */
static bool seek_next(struct tree *tree, uint64_t key, struct path *path)
{
	*path = *tree_seek(tree, key, 0);
	if (!get(path->node[0]->nr))
		return false;
	return get(path->node[0]->key[path->at[0]]) >= key || tree_step(tree, path);
}

bool mappings_next(struct mappings *mappings, uint64_t iova, struct mapping *found)
{
	struct path path;

	if (!seek_next(&mappings->by_iova, iova, &path))
		return false;
	*found = mapping_at(&path);
	return true;
}

bool mappings_next_vaddr(struct mappings *mappings, uint64_t vaddr, struct mapping *found)
{
	struct path path;

	if (!seek_next(&mappings->by_vaddr, vaddr, &path))
		return false;
	return mappings_at(mappings, get(path.node[0]->other[path.at[0]]), found);
}

size_t mappings_count(const struct mappings *mappings)
{
	return get(mappings->count);
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
	const struct path *recent = tree_seek(&mappings->by_iova, wanted->first, 0);
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
	uint64_t last, until;

	for (at = path->at[0]; at < nr; at++) {
		last = get(node->last[at]);
		until = tree_free_upto(tree, path, at);
		if (until - last >= wanted->size && fits(wanted, last + 1, until, iova))
			return true;
	}
	return false;
}

static bool find_in_gaps(struct tree *tree, const struct wanted *wanted, uint64_t *iova)
{
	struct path path = *tree_seek(tree, wanted->first, 0);

	do {
		if (find_in_leaf(tree, &path, wanted, iova))
			return true;
	} while (tree_next_leaf(tree, &path, wanted->size) &&
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

void mappings_skip(struct mappings *mappings, uint64_t size)
{
	uint64_t hint = mappings->hint + size;

	mappings->hint = hint < size ? IOVA_MIN : max(hint, IOVA_MIN);
}
