/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a consumer maps: in the IOMMU's domain of the group it holds, or on POWER in the
 * group's tables. One of consumer_domain.c and consumer_spapr.c is built. The callers of
 * one struct take turns.
 */
#ifndef CONSUMER_IOMMU_H
#define CONSUMER_IOMMU_H

#include <linux/types.h>

struct device;
struct iommu_domain;
struct iommu_group;
struct iommu_table;
struct page;

/* As many as POWER has for a group. */
#define CONSUMER_TABLES 2

struct consumer_iommu {
#ifdef CONFIG_SPAPR_TCE_IOMMU
	struct iommu_group *group;
	struct iommu_table *tables[CONSUMER_TABLES];
#else
	struct iommu_domain *domain;
#endif
};

/**
 * consumer_iommu_get() - find where a group maps
 * @iommu: to be set up
 * @dev: a device of the group, which is held, or NULL if there is none
 *
 * What is found stays until consumer_iommu_put(), which goes before the group is put.
 * The windows of a group on POWER are those that it has now.
 */
void consumer_iommu_get(struct consumer_iommu *iommu, struct device *dev);
void consumer_iommu_put(struct consumer_iommu *iommu);

/**
 * consumer_iommu_check() - can this be mapped at all?
 * @iommu: where
 * @iova: a multiple of the page size
 * @size: bytes; a multiple of the page size, and not beyond the end of 64 bits
 *
 * Return: 0, -ENXIO if the group maps nothing, -ERANGE if it does not map there.
 */
int consumer_iommu_check(struct consumer_iommu *iommu, u64 iova, u64 size);

/**
 * consumer_iommu_map() - let the group's devices see a page
 * @iommu: where
 * @iova: at which address; it was checked
 * @page: which stays until it is unmapped
 * @flags: CONSUMER_MAP_READ, CONSUMER_MAP_WRITE, or both
 *
 * Return: 0, -EEXIST if something is mapped there, -ERANGE if that is in no window any
 * longer, or the IOMMU's error.
 */
int consumer_iommu_map(struct consumer_iommu *iommu, u64 iova, struct page *page, u32 flags);

/**
 * consumer_iommu_unmap() - the reverse, for pages that follow each other
 * @iommu: where
 * @iova: at which address
 * @pages: what was mapped there; what the owner has put in the place of it stays
 * @nr_pages: how many
 *
 * There need be no current process: a removal is told in a work item.
 */
void consumer_iommu_unmap(struct consumer_iommu *iommu, u64 iova, struct page **pages,
			  size_t nr_pages);

#endif
