// SPDX-License-Identifier: LGPL-2.1-or-later
/* Regions as the kernel describes them. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "capabilities.h"

struct answer {
	const uint8_t *bytes;
	size_t size;
	uint64_t page;
};

/* Copied, as nothing says that a capability is aligned. */
static int take(const struct answer *answer, size_t at, void *part, size_t size)
{
	if (at > answer->size || size > answer->size - at)
		return -EPROTO;
	memcpy(part, answer->bytes + at, size);
	return 0;
}

/*
 * Areas are mapped one by one, so each begins with a page and fills its pages;
 * the end of a region may lie within a page, whose rest is nobody's.
 */
static int check_area(const struct parsed_region *region, const struct vfioext_area *area,
		      uint64_t page)
{
	const struct vfioext_area *last = region->nr_areas ?
					  &region->areas[region->nr_areas - 1] : NULL;

	if (area->offset > region->size || area->size > region->size - area->offset)
		return -EPROTO;
	if (area->offset % page)
		return -EPROTO;
	if (area->size % page && area->size != region->size - area->offset)
		return -EPROTO;
	if (last && area->offset < last->offset + last->size)
		return -EPROTO;
	return 0;
}

/* Kernels before 4.16 have an empty area where the MSI-X table leaves nothing. */
static int take_areas(const struct answer *answer, size_t at, uint32_t nr,
		      struct parsed_region *region)
{
	struct vfio_region_sparse_mmap_area from;
	struct vfioext_area area;
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++, at += sizeof(from)) {
		ret = take(answer, at, &from, sizeof(from));
		if (ret)
			return ret;
		if (!from.size)
			continue;
		area.offset = from.offset;
		area.size = from.size;
		ret = check_area(region, &area, answer->page);
		if (ret)
			return ret;
		region->areas[region->nr_areas++] = area;
	}
	return 0;
}

static int take_sparse(const struct answer *answer, size_t at, struct parsed_region *region)
{
	struct vfio_region_info_cap_sparse_mmap sparse;

	if (region->sparse || take(answer, at, &sparse, sizeof(sparse)))
		return -EPROTO;
	region->sparse = true;
	at += sizeof(sparse);
	/* What a later version allows is not known, so nothing is mapped. */
	if (sparse.header.version != 1 || !sparse.nr_areas)
		return 0;
	if (sparse.nr_areas > (answer->size - at) / sizeof(struct vfio_region_sparse_mmap_area))
		return -EPROTO;
	region->areas = calloc(sparse.nr_areas, sizeof(*region->areas));
	if (!region->areas)
		return -ENOMEM;
	return take_areas(answer, at, sparse.nr_areas, region);
}

static int take_type(const struct answer *answer, size_t at, struct parsed_region *region)
{
	struct vfio_region_info_cap_type type;

	if (region->typed || take(answer, at, &type, sizeof(type)))
		return -EPROTO;
	region->typed = true;
	region->type = type.type;
	region->subtype = type.subtype;
	return 0;
}

static int take_capability(const struct answer *answer, size_t at, uint16_t id,
			   struct parsed_region *region)
{
	switch (id) {
	case VFIO_REGION_INFO_CAP_SPARSE_MMAP:
		return take_sparse(answer, at, region);
	case VFIO_REGION_INFO_CAP_TYPE:
		return take_type(answer, at, region);
	case VFIO_REGION_INFO_CAP_MSIX_MAPPABLE:
		region->msix_mappable = true;
		return 0;
	default:
		return 0;
	}
}

/* Each capability lies behind the one before, so the chain has an end. */
static int take_chain(const struct answer *answer, size_t at, struct parsed_region *region)
{
	struct vfio_info_cap_header header;
	size_t behind = sizeof(struct vfio_region_info);
	int ret;

	do {
		if (at < behind || take(answer, at, &header, sizeof(header)))
			return -EPROTO;
		ret = take_capability(answer, at, header.id, region);
		if (ret)
			return ret;
		behind = at + sizeof(header);
		at = header.next;
	} while (at);
	return 0;
}

int region_parse(const void *bytes, size_t size, uint64_t page, struct parsed_region *region)
{
	struct answer answer = { .bytes = bytes, .size = size, .page = page };
	struct vfio_region_info info;
	int ret;

	memset(region, 0, sizeof(*region));
	if (take(&answer, 0, &info, sizeof(info)))
		return -EPROTO;
	/* Its end must be an offset that a file can have. */
	if (info.size > INT64_MAX || info.offset > INT64_MAX - info.size)
		return -EPROTO;
	region->flags = info.flags;
	region->size = info.size;
	region->offset = info.offset;
	if (!(info.flags & VFIO_REGION_INFO_FLAG_CAPS))
		return 0;
	ret = take_chain(&answer, info.cap_offset, region);
	if (ret) {
		free(region->areas);
		region->areas = NULL;
		region->nr_areas = 0;
	}
	return ret;
}

size_t areas_around(uint64_t size, uint64_t table, uint64_t table_size, uint64_t page,
		    struct vfioext_area areas[2])
{
	uint64_t begin, end;
	size_t nr = 0;

	begin = table < size ? table - table % page : size;
	end = table < size && table_size < size - table ? table + table_size : size;
	/* Outwards to whole pages, but not out of the region. */
	if (end % page)
		end = size - end > page - end % page ? end + (page - end % page) : size;
	if (begin) {
		areas[nr].offset = 0;
		areas[nr++].size = begin;
	}
	if (end < size) {
		areas[nr].offset = end;
		areas[nr++].size = size - end;
	}
	return nr;
}
