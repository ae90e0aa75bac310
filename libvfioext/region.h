/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_REGION_H
#define LIBVFIOEXT_REGION_H

#include <stdint.h>
#include <unistd.h>
#include <vfioext/region.h>

#include "device.h"

/* What the public part does not show: where it is in the device's file, and its mapping. */
struct region {
	struct vfioext_region public;
	uint64_t file_offset;
	void *reserved;
	uint64_t reserved_size;
	struct vfioext_area whole;
	struct vfioext_area *areas;
};

static inline struct region *region_of(const struct vfioext_region *public)
{
	/* The public part is the first of it. */
	return (struct region *)(uintptr_t)public;
}

static inline uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* @unit is a power of two. */
static inline uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) & ~(unit - 1);
}

/* From now on accessors go the slow way. */
void region_fast_off(struct region *region);

/* The device's lock is held. */
void region_unmap(struct region *region);

/* All of a device's, when it is closed, and when it is lost. */
void regions_free(struct vfioext_device *device);
void regions_lose(struct vfioext_device *device);

#endif
