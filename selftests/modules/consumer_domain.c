// SPDX-License-Identifier: GPL-2.0-only
/* A group's domain: what the IOMMU API maps in. */
#include <linux/iommu.h>
#include <linux/mm.h>

#include "compat.h"
#include "consumer_iommu.h"
#include "vfioext_consumer.h"

/* The domain stays for as long as the group is held, whatever becomes of the device. */
void consumer_iommu_get(struct consumer_iommu *iommu, struct device *dev)
{
	struct iommu_domain *domain = dev ? iommu_get_domain_for_dev(dev) : NULL;

	iommu->domain = domain && domain->type == IOMMU_DOMAIN_UNMANAGED ? domain : NULL;
}

void consumer_iommu_put(struct consumer_iommu *iommu)
{
	iommu->domain = NULL;
}

int consumer_iommu_check(struct consumer_iommu *iommu, u64 iova, u64 size)
{
	const struct iommu_domain_geometry *geometry;

	if (!iommu->domain)
		return -ENXIO;
	geometry = &iommu->domain->geometry;
	return iova < geometry->aperture_start || iova + size - 1 > geometry->aperture_end ?
		-ERANGE : 0;
}

/* What vfio's owner has mapped there already is an error. */
int consumer_iommu_map(struct consumer_iommu *iommu, u64 iova, struct page *page, u32 flags)
{
	int prot = IOMMU_CACHE | (flags & CONSUMER_MAP_READ ? IOMMU_READ : 0) |
		   (flags & CONSUMER_MAP_WRITE ? IOMMU_WRITE : 0);

	if (iommu_iova_to_phys(iommu->domain, iova))
		return -EEXIST;
	return compat_iommu_map(iommu->domain, iova, page_to_phys(page), PAGE_SIZE, prot);
}

void consumer_iommu_unmap(struct consumer_iommu *iommu, u64 iova, struct page **pages,
			  size_t nr_pages)
{
	size_t i;

	for (i = 0; i < nr_pages; i++, iova += PAGE_SIZE)
		if (iommu_iova_to_phys(iommu->domain, iova) == page_to_phys(pages[i]))
			iommu_unmap(iommu->domain, iova, PAGE_SIZE);
}
