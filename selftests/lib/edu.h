/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers of QEMU's edu. A real device has one byte order; this has the order of the
 * machine, which of QEMU's POWER is big-endian, whatever the processor is set to.
 */
#ifndef SELFTESTS_EDU_H
#define SELFTESTS_EDU_H

#include <vfioext/region.h>

#ifdef __powerpc64__
#define edu_order32(value) __builtin_bswap32(value)
#define edu_order64(value) __builtin_bswap64(value)
#else
#define edu_order32(value) (value)
#define edu_order64(value) (value)
#endif

static inline uint32_t edu_read32(struct vfioext_region *bar, uint64_t offset)
{
	return edu_order32(vfioext_read32(bar, offset));
}

static inline uint64_t edu_read64(struct vfioext_region *bar, uint64_t offset)
{
	return edu_order64(vfioext_read64(bar, offset));
}

static inline void edu_write32(struct vfioext_region *bar, uint64_t offset, uint32_t value)
{
	vfioext_write32(bar, offset, edu_order32(value));
}

static inline void edu_write64(struct vfioext_region *bar, uint64_t offset, uint64_t value)
{
	vfioext_write64(bar, offset, edu_order64(value));
}

#endif
