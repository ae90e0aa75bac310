// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer (selftests/fuzz/run): what the kernel says of a region. The first byte
 * chooses the size of a page, the rest is the answer.
 */
#include <stdlib.h>
#include <string.h>

#include "../../libvfioext/capabilities.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_areas(const struct parsed_region *region, uint64_t page)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < region->nr_areas; i++) {
		const struct vfioext_area *area = &region->areas[i];

		if (!area->size || area->offset < end || area->offset % page)
			abort();
		end = area->offset + area->size;
		if (end > region->size || (end % page && end != region->size))
			abort();
	}
}

/* The first two numbers of the answer stand for a table. */
static void check_around(const struct parsed_region *region, uint64_t page, const uint8_t *data)
{
	struct parsed_region left = { .size = region->size };
	struct vfioext_area areas[2];
	uint64_t table[2];

	memcpy(table, data, sizeof(table));
	left.nr_areas = areas_around(region->size, table[0], table[1], page, areas);
	if (left.nr_areas > 2)
		abort();
	left.areas = areas;
	check_areas(&left, page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parsed_region region;
	uint64_t page;

	if (!size)
		return 0;
	page = *data & 1 ? 65536 : 4096;
	data++;
	size--;
	if (region_parse(data, size, page, &region)) {
		if (region.areas)
			abort();
		return 0;
	}
	check_areas(&region, page);
	check_around(&region, page, data);
	free(region.areas);
	return 0;
}
