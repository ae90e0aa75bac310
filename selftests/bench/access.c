// SPDX-License-Identifier: GPL-2.0-only
/*
 * A register of a mapped region, and the bare load it comes down to: callgrind counts
 * the instructions of each function (selftests/bench/run).
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vfioext/region.h>

#define TIMES 10000

__attribute__((noinline)) uint32_t read_volatile(const uint8_t *base, uint64_t offset)
{
	return *(const volatile uint32_t *)(base + offset);
}

__attribute__((noinline)) uint32_t read_region(const struct vfioext_region *region, uint64_t offset)
{
	return vfioext_read32(region, offset);
}

int main(void)
{
	struct vfioext_region region = { .size = 4096, .fast_size = 4096 - 7 };
	uint32_t sum = 0;
	int i;

	region.base = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region.base == MAP_FAILED)
		return 1;
	for (i = 0; i < TIMES; i++) {
		sum += read_volatile(region.base, 8);
		sum += read_region(&region, 8);
	}
	return sum ? 1 : 0;
}
