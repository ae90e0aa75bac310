/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel says of a region, taken apart and checked. Nothing here asks the
 * kernel anything.
 */
#ifndef LIBVFIOEXT_CAPABILITIES_H
#define LIBVFIOEXT_CAPABILITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/region.h>

/*
 * @flags: VFIO_REGION_INFO_FLAG_*
 * @offset: where the region is in the device's file
 * @typed: it has @type and @subtype
 * @sparse: @areas are all that can be mapped of it, be there none
 * @msix_mappable: that the MSI-X table is in it is no obstacle
 * @areas: ascending, allocated; NULL if there are none
 */
struct parsed_region {
	uint32_t flags;
	uint32_t type;
	uint32_t subtype;
	uint64_t size;
	uint64_t offset;
	bool typed;
	bool sparse;
	bool msix_mappable;
	struct vfioext_area *areas;
	size_t nr_areas;
};

/*
 * An answer to VFIO_DEVICE_GET_REGION_INFO, with what is behind it; need not be
 * aligned. Return: 0, and then @region->areas is to be freed; -EPROTO, -ENOMEM.
 */
int region_parse(const void *answer, size_t size, uint64_t page, struct parsed_region *region);

/* What is left of a region without the pages of a table. Return: how many areas. */
size_t areas_around(uint64_t size, uint64_t table, uint64_t table_size, uint64_t page,
		    struct vfioext_area areas[2]);

#endif
