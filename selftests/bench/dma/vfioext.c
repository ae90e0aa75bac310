// SPDX-License-Identifier: GPL-2.0-only
#include <vfioext/dma.h>

#include "../../../libvfioext/container.h"
#include "peer.h"

const char *const peer_name = "libvfioext";
const bool peer_looks_back = true;

static struct vfioext_container *container;

uint64_t peer_map(void *page)
{
	uint64_t iova;

	must(!vfioext_dma_map(container, page, PAGE, 0, &iova));
	return iova;
}

void peer_begin(void *const *pages, uint64_t *iovas, size_t nr)
{
	struct vfioext *ctx;
	size_t i;

	must(!vfioext_new(&ctx, NULL));
	must(!vfioext_container_new(ctx, VFIOEXT_BACKEND_CONTAINER, &container));
	/* As if a device were open in it. */
	dma_begin(container);
	container->ready = true;
	for (i = 0; i < nr; i++)
		iovas[i] = peer_map(pages[i]);
}

void peer_unmap(void *page, uint64_t iova)
{
	(void)page;
	must(!vfioext_dma_unmap(container, iova, PAGE));
}

uint64_t peer_iova(const void *vaddr)
{
	uint64_t iova;

	must(!vfioext_dma_iova(container, vaddr, &iova));
	return iova;
}

void *peer_vaddr(uint64_t iova)
{
	void *vaddr;

	must(!vfioext_dma_vaddr(container, iova, &vaddr));
	return vaddr;
}
