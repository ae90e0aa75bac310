// SPDX-License-Identifier: GPL-2.0-only
#include <stdint.h>
#include <sys/types.h>
#include <vfn/iommu.h>

#include "peer.h"

const char *const peer_name = "libvfn";
const bool peer_looks_back = true;

static struct iommu_ctx *ctx;

uint64_t peer_map(void *page)
{
	iova_t iova;

	must(!iommu_map_vaddr(ctx, page, PAGE, &iova, 0));
	return iova;
}

void peer_begin(void *const *pages, uint64_t *iovas, size_t nr)
{
	size_t i;

	ctx = iommu_get_context("0000:00:00.0");
	must(ctx);
	for (i = 0; i < nr; i++)
		iovas[i] = peer_map(pages[i]);
}

void peer_unmap(void *page, uint64_t iova)
{
	(void)iova;
	must(!iommu_unmap_vaddr(ctx, page, NULL));
}

uint64_t peer_iova(const void *vaddr)
{
	iova_t iova;

	must(iommu_translate_vaddr(ctx, (void *)(uintptr_t)vaddr, &iova));
	return iova;
}

void *peer_vaddr(uint64_t iova)
{
	void *vaddr;

	must(iommu_translate_iova(ctx, iova, &vaddr) > 0);
	return vaddr;
}
