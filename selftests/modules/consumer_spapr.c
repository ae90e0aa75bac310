// SPDX-License-Identifier: GPL-2.0-only
/*
 * A group's tables on POWER: an entry (TCE) for each page of the IOMMU, in one of the
 * group's windows, which are VFIO's while a container has the group.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include "consumer_iommu.h"
#include "vfioext_consumer.h"

/* A reference keeps a table although its window may be taken away. */
void consumer_iommu_get(struct consumer_iommu *iommu, struct device *dev)
{
	struct iommu_group *group = dev ? iommu_group_get(dev) : NULL;
	struct iommu_table_group *tables = group ? iommu_group_get_iommudata(group) : NULL;
	int i;

	for (i = 0; i < CONSUMER_TABLES; i++) {
		struct iommu_table *table = tables ? tables->tables[i] : NULL;

		iommu->tables[i] = table ? iommu_tce_table_get(table) : NULL;
	}
	iommu_group_put(group);
}

void consumer_iommu_put(struct consumer_iommu *iommu)
{
	int i;

	for (i = 0; i < CONSUMER_TABLES; i++) {
		if (iommu->tables[i])
			iommu_tce_table_put(iommu->tables[i]);
		iommu->tables[i] = NULL;
	}
}

static bool in_window(const struct iommu_table *table, u64 iova)
{
	return !iommu_tce_check_ioba(table->it_page_shift, table->it_offset, table->it_size,
				     iova, 1);
}

/* The table of the window that all of it lies in. The kernel's check is of one page. */
static struct iommu_table *find_table(struct consumer_iommu *iommu, u64 iova, u64 size)
{
	int i;

	for (i = 0; i < CONSUMER_TABLES; i++) {
		struct iommu_table *table = iommu->tables[i];

		if (table && table->it_page_shift <= PAGE_SHIFT && in_window(table, iova) &&
		    in_window(table, iova + size - IOMMU_PAGE_SIZE(table)))
			return table;
	}
	return NULL;
}

int consumer_iommu_check(struct consumer_iommu *iommu, u64 iova, u64 size)
{
	int i;

	for (i = 0; i < CONSUMER_TABLES && !iommu->tables[i]; i++)
		;
	if (i == CONSUMER_TABLES)
		return -ENXIO;
	return find_table(iommu, iova, size) ? 0 : -ERANGE;
}

static enum dma_data_direction direction_of(u32 flags)
{
	if (!(flags & CONSUMER_MAP_WRITE))
		return DMA_TO_DEVICE;
	return flags & CONSUMER_MAP_READ ? DMA_BIDIRECTIONAL : DMA_FROM_DEVICE;
}

/* What the entry was goes back: it is another's. */
static int set_entry(struct iommu_table *table, unsigned long entry, unsigned long address,
		     enum dma_data_direction direction)
{
	long ret = iommu_tce_xchg_no_kill(current->mm, table, entry, &address, &direction);

	if (ret || direction == DMA_NONE)
		return ret;
	iommu_tce_xchg_no_kill(current->mm, table, entry, &address, &direction);
	return -EEXIST;
}

static void clear_entries(struct iommu_table *table, unsigned long entry, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		enum dma_data_direction direction = DMA_NONE;
		unsigned long address = 0;

		iommu_tce_xchg_no_kill(current->mm, table, entry + i, &address, &direction);
	}
	iommu_tce_kill(table, entry, nr);
}

int consumer_iommu_map(struct consumer_iommu *iommu, u64 iova, struct page *page, u32 flags)
{
	struct iommu_table *table = find_table(iommu, iova, PAGE_SIZE);
	unsigned long first = iova >> table->it_page_shift;
	unsigned long nr = PAGE_SIZE >> table->it_page_shift, i;
	int ret;

	for (i = 0; i < nr; i++) {
		if (table->it_ops->get(table, first + i) & (TCE_PCI_READ | TCE_PCI_WRITE))
			ret = -EEXIST;
		else
			ret = set_entry(table, first + i,
					page_to_phys(page) + (i << table->it_page_shift),
					direction_of(flags));
		if (ret) {
			clear_entries(table, first, i);
			return ret;
		}
	}
	iommu_tce_kill(table, first, nr);
	return 0;
}

void consumer_iommu_unmap(struct consumer_iommu *iommu, u64 iova, size_t nr_pages)
{
	struct iommu_table *table = find_table(iommu, iova, nr_pages * PAGE_SIZE);

	clear_entries(table, iova >> table->it_page_shift,
		      nr_pages * PAGE_SIZE >> table->it_page_shift);
}
