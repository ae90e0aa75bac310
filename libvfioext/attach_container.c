// SPDX-License-Identifier: LGPL-2.1-or-later
/* A container that another process has set up: which of its addresses are free. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "attach.h"
#include "container.h"

/* Free addresses are found in ranges: at most one more for each map than there were. */
struct cut {
	struct vfioext_iova_range *ranges;
	size_t nr;
};

static void add_range(struct cut *cut, uint64_t start, uint64_t last)
{
	cut->ranges[cut->nr++] = (struct vfioext_iova_range){ start, last };
}

/* What is left of a range; both are in ascending order. Return: the maps that lie behind it. */
static size_t cut_range(struct cut *cut, struct vfioext_iova_range range,
			const struct vfioext_shared_map *maps, size_t at, size_t nr)
{
	uint64_t last;

	for (; at < nr && maps[at].iova <= range.last; at++) {
		last = maps[at].iova + maps[at].size - 1;
		if (last < range.start)
			continue;
		if (maps[at].iova > range.start)
			add_range(cut, range.start, maps[at].iova - 1);
		if (last >= range.last)
			return at;
		range.start = last + 1;
	}
	add_range(cut, range.start, range.last);
	return at;
}

int attach_finish(struct vfioext_attachment *attachment)
{
	const struct vfioext_iova_range *ranges = attachment->ranges.list;
	struct vfioext_container *container = attachment->container;
	size_t i, at = 0, nr = attachment->ranges.nr + attachment->maps.nr;
	struct cut cut = { calloc(nr ? nr : 1, sizeof(*cut.ranges)), 0 };

	if (!cut.ranges)
		return -ENOMEM;
	for (i = 0; i < attachment->ranges.nr; i++)
		at = cut_range(&cut, ranges[i], attachment->maps.list, at, attachment->maps.nr);
	container->own_ranges = cut.ranges;
	container->ranges = cut.ranges;
	container->nr_ranges = cut.nr;
	/* The primary's IOMMU is there: no device need be opened to map. */
	if (attachment->nr_groups) {
		container->ready = true;
		dma_begin(container);
	}
	attachment->complete = true;
	return 0;
}
