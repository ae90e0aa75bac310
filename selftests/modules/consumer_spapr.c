// SPDX-License-Identifier: GPL-2.0-only
/*
 * A group's tables on POWER: an entry (TCE) for each page of the IOMMU, in one of the
 * group's windows, which are VFIO's while a container has the group.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <asm/iommu.h>
#include <asm/tce.h>

#include "consumer_iommu.h"
#include "vfioext_consumer.h"

void consumer_iommu_get(struct consumer_iommu *iommu, struct device *dev)
{
	struct iommu_table_group *group;
	int i;

	iommu->group = dev ? iommu_group_get(dev) : NULL;
	group = iommu->group ? iommu_group_get_iommudata(iommu->group) : NULL;
	for (i = 0; i < CONSUMER_TABLES; i++) {
		struct iommu_table *table = group ? group->tables[i] : NULL;

		iommu->tables[i] = table ? iommu_tce_table_get(table) : NULL;
	}
}

void consumer_iommu_put(struct consumer_iommu *iommu)
{
	int i;

	for (i = 0; i < CONSUMER_TABLES; i++) {
		if (iommu->tables[i])
			iommu_tce_table_put(iommu->tables[i]);
		iommu->tables[i] = NULL;
	}
	iommu_group_put(iommu->group);
	iommu->group = NULL;
}

/*
 * A reference keeps a table, but not its window, which the owner may remove at any time:
 * the number that the hypervisor knows it by may be another's then. With the window VFIO
 * clears the entries.
 */
static struct iommu_table *get_table(const struct consumer_iommu *iommu, int i)
{
	struct iommu_table_group *group;

	if (!iommu->tables[i])
		return NULL;
	group = iommu_group_get_iommudata(iommu->group);
	return READ_ONCE(group->tables[i]) == iommu->tables[i] ? iommu->tables[i] : NULL;
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
		struct iommu_table *table = get_table(iommu, i);

		if (table && table->it_page_shift <= PAGE_SHIFT && in_window(table, iova) &&
		    in_window(table, iova + size - IOMMU_PAGE_SIZE(table)))
			return table;
	}
	return NULL;
}

int consumer_iommu_check(struct consumer_iommu *iommu, u64 iova, u64 size)
{
	int i;

	for (i = 0; i < CONSUMER_TABLES && !get_table(iommu, i); i++)
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

/*
 * What the entry was goes back: it is another's. The table's own operations want no
 * process; iommu_tce_xchg_no_kill() looks at the memory of one, which a work item has not.
 */
static int set_entry(struct iommu_table *table, unsigned long entry, unsigned long address,
		     enum dma_data_direction direction)
{
	if (table->it_ops->xchg_no_kill(table, entry, &address, &direction))
		return -EIO;
	if (direction == DMA_NONE)
		return 0;
	table->it_ops->xchg_no_kill(table, entry, &address, &direction);
	return -EEXIST;
}

/* An entry that is not ours any longer stays. */
static void clear_entry(struct iommu_table *table, unsigned long entry, unsigned long address)
{
	enum dma_data_direction direction = DMA_NONE;

	if ((table->it_ops->get(table, entry) & ~(TCE_PCI_READ | TCE_PCI_WRITE)) != address)
		return;
	address = 0;
	table->it_ops->xchg_no_kill(table, entry, &address, &direction);
}

/* The first entries of a page. */
static void clear_page_entries(struct iommu_table *table, unsigned long first, struct page *page,
			       unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		clear_entry(table, first + i, page_to_phys(page) + (i << table->it_page_shift));
}

int consumer_iommu_map(struct consumer_iommu *iommu, u64 iova, struct page *page, u32 flags)
{
	struct iommu_table *table = find_table(iommu, iova, PAGE_SIZE);
	unsigned long first, nr, i;
	int ret;

	if (!table)
		return -ERANGE;
	first = iova >> table->it_page_shift;
	nr = PAGE_SIZE >> table->it_page_shift;
	for (i = 0; i < nr; i++) {
		if (table->it_ops->get(table, first + i) & (TCE_PCI_READ | TCE_PCI_WRITE))
			ret = -EEXIST;
		else
			ret = set_entry(table, first + i,
					page_to_phys(page) + (i << table->it_page_shift),
					direction_of(flags));
		if (ret) {
			clear_page_entries(table, first, page, i);
			iommu_tce_kill(table, first, nr);
			return ret;
		}
	}
	iommu_tce_kill(table, first, nr);
	return 0;
}

void consumer_iommu_unmap(struct consumer_iommu *iommu, u64 iova, struct page **pages,
			  size_t nr_pages)
{
	struct iommu_table *table = find_table(iommu, iova, nr_pages * PAGE_SIZE);
	unsigned long first, nr;
	size_t i;

	if (!table)
		return;
	first = iova >> table->it_page_shift;
	nr = PAGE_SIZE >> table->it_page_shift;
	for (i = 0; i < nr_pages; i++)
		clear_page_entries(table, first + i * nr, pages[i], nr);
	iommu_tce_kill(table, first, nr_pages * nr);
}
