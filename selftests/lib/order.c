// SPDX-License-Identifier: GPL-2.0-only
/* What selftests/build/order looks for in the compiled code: memory around a register. */
#include <vfioext/region.h>

void submit(const struct vfioext_region *bar, uint64_t *memory)
{
	memory[0] = 0x11;
	vfioext_write32(bar, 0x80, 1);
	memory[0] = 0x22;
}

void submit_relaxed(const struct vfioext_region *bar, uint64_t *memory)
{
	memory[0] = 0x11;
	vfioext_write32_relaxed(bar, 0x80, 1);
	memory[0] = 0x22;
}

uint64_t complete(const struct vfioext_region *bar, const uint64_t *memory)
{
	return vfioext_read32(bar, 0x80) + memory[2];
}

uint64_t complete_relaxed(const struct vfioext_region *bar, const uint64_t *memory)
{
	return vfioext_read32_relaxed(bar, 0x80) + memory[2];
}

uint64_t consume(const uint64_t *memory)
{
	uint64_t first = memory[0];

	vfioext_dma_rmb();
	return first + memory[0];
}

void produce(uint64_t *memory)
{
	memory[0] = 0x11;
	vfioext_dma_wmb();
	memory[0] = 0x22;
}
