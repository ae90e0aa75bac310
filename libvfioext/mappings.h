/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is mapped for DMA: found by address in memory and by address of the
 * devices. One writer at a time; readers take no lock, and may run meanwhile: they
 * look again while a change is being made, for some 100 ns, and sleep while a writer is
 * stopped in the middle of one.
 */
#ifndef LIBVFIOEXT_MAPPINGS_H
#define LIBVFIOEXT_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vfioext_iova_range;
struct mappings;

struct mapping {
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
};

/* Return: NULL without memory. */
struct mappings *mappings_new(void);
void mappings_free(struct mappings *mappings);

/* Add one that overlaps no other's IOVA. Return: 0, -EINVAL, -EEXIST, -ENOMEM. */
int mappings_add(struct mappings *mappings, const struct mapping *mapping);

/* Remove the one that begins at an IOVA. Return: 0, or -ENOENT. */
int mappings_remove(struct mappings *mappings, uint64_t iova, struct mapping *removed);

/* Change the flags of the one that begins at an IOVA, as it is found by that. For the writer. */
void mappings_set_flags(struct mappings *mappings, uint64_t iova, uint32_t flags);

/* The one that an address lies in. Return: false if there is none. Lock-free. */
bool mappings_by_iova(const struct mappings *mappings, uint64_t iova, struct mapping *found);
bool mappings_by_vaddr(const struct mappings *mappings, uint64_t vaddr, struct mapping *found);

/* The one that begins at an IOVA; the first that begins there or behind it. For the writer. */
bool mappings_at(struct mappings *mappings, uint64_t iova, struct mapping *found);
bool mappings_next(struct mappings *mappings, uint64_t iova, struct mapping *found);

/* The first that begins at an address in memory, or behind it. For the writer. */
bool mappings_next_vaddr(struct mappings *mappings, uint64_t vaddr, struct mapping *found);

/* A free IOVA of a size, aligned to a power of two. Return: 0, or -ENOSPC. */
int mappings_find_free(struct mappings *mappings, const struct vfioext_iova_range *ranges,
		       size_t nr_ranges, uint64_t size, uint64_t align, uint64_t *iova);

/* Look for free ones further on. */
void mappings_skip(struct mappings *mappings, uint64_t size);

size_t mappings_count(const struct mappings *mappings);

#endif
