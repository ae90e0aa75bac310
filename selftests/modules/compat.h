/* SPDX-License-Identifier: GPL-2.0-only */
/* Differences between kernels that the example modules meet. */
#ifndef SELFTESTS_COMPAT_H
#define SELFTESTS_COMPAT_H

#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/version.h>

/* 6.3 lets the caller say how to allocate. */
static inline int compat_iommu_map(struct iommu_domain *domain, unsigned long iova,
				   phys_addr_t paddr, size_t size, int prot)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return iommu_map(domain, iova, paddr, size, prot, GFP_KERNEL);
#else
	return iommu_map(domain, iova, paddr, size, prot);
#endif
}

#endif
