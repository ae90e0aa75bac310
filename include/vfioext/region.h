/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_REGION_H
#define VFIOEXT_REGION_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <vfioext/barrier.h>
#include <vfioext/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a region can do; values are or-ed. */
#define VFIOEXT_REGION_READ 0x1u
#define VFIOEXT_REGION_WRITE 0x2u
#define VFIOEXT_REGION_MMAP 0x4u

/**
 * struct vfioext_area - a part of a region that can be mapped
 * @offset: where it begins, in bytes from the beginning of the region
 * @size: bytes
 */
struct vfioext_area {
	uint64_t offset;
	uint64_t size;
};

/**
 * struct vfioext_region - a region of an open device
 * @device: the device
 * @index: its number; of vfio-pci VFIO_PCI_BAR0_REGION_INDEX and so on
 * @flags: VFIOEXT_REGION_*
 * @size: bytes, 0 if the device has no such region
 * @type: kind of a region behind the fixed ones (VFIO_REGION_TYPE_*), else 0
 * @subtype: its kind within @type
 * @base: where offset 0 is in memory, NULL unless vfioext_region_map() was called.
 *	Only the areas are mapped; to touch anything else of it is a fault.
 * @areas: what can be mapped, in ascending order
 * @nr_areas: how many
 * @fast_start: for the accessors: where the largest mapped area begins
 * @fast_size: for the accessors: at how many offsets of it 8 bytes can be read, 0
 *	if none is mapped
 *
 * Belongs to the device, and is good until that is closed.
 */
struct vfioext_region {
	struct vfioext_device *device;
	uint32_t index;
	uint32_t flags;
	uint64_t size;
	uint32_t type;
	uint32_t subtype;
	uint8_t *base;
	const struct vfioext_area *areas;
	size_t nr_areas;
	uint64_t fast_start;
	uint64_t fast_size;
};

/**
 * vfioext_region_get() - a region of a device
 * @device: the device
 * @index: its number, below vfioext_device_nr_regions()
 * @region: where it goes
 *
 * The areas are those of the kernel's sparse mmap capability, or the whole
 * region, without the pages of the MSI-X table where the kernel does not let it
 * be mapped. Source: VFIO_DEVICE_GET_REGION_INFO.
 *
 * Return: 0, -EINVAL if there is no such number, -ENODEV if the device is lost,
 * -EPROTO if the kernel's answer makes no sense, -ENOMEM, or the kernel's error.
 */
int vfioext_region_get(struct vfioext_device *device, unsigned int index,
		       struct vfioext_region **region);

/**
 * vfioext_region_map() - map all areas of a region
 * @region: the region
 *
 * One range of addresses is reserved for the region, aligned to its size (to 1
 * GiB at most) so that huge pages can be used, and the areas are placed in it.
 * Mapping it again does nothing. It is unmapped when the device is closed.
 *
 * Return: 0, -ENOTSUP if nothing of it can be mapped, -ENODEV, -ENOMEM, or the
 * kernel's error.
 */
int vfioext_region_map(struct vfioext_region *region);

/** vfioext_region_unmap() - the reverse; the accessors go on to work. */
void vfioext_region_unmap(struct vfioext_region *region);

/**
 * vfioext_region_pointer() - address of a part of a region
 * @region: a mapped region
 * @offset: where the part begins
 * @size: its bytes
 *
 * Once the device is lost, and until it is closed, it reads as all ones and can be
 * written to.
 *
 * Return: the address, or NULL if not all of it is mapped.
 */
void *vfioext_region_pointer(const struct vfioext_region *region, uint64_t offset, uint64_t size);

/**
 * vfioext_region_file() - the file that a region is mapped from
 * @region: a region with areas
 * @offset: where the region begins in it
 *
 * For those who let others map it.
 *
 * Return: a file descriptor, which stays the device's own; -ENOTSUP if nothing of the
 * region can be mapped, -ENODEV if the device is lost.
 */
int vfioext_region_file(const struct vfioext_region *region, uint64_t *offset);

/**
 * vfioext_region_read() - read bytes
 * @region: the region, mapped or not
 * @buffer: where they go
 * @size: how many
 * @offset: where in the region they begin
 *
 * Memory that is loaded afterwards is loaded after them.
 *
 * Aligned parts are read 8, 4 or 2 bytes at a time; where they are not mapped the
 * kernel, or the parent driver of an mdev, may read 8 bytes in two halves. Of a vfio-user
 * device more than 64 bytes that are not mapped are read at once.
 *
 * Return: 0; -EINVAL if they are not all in the region; -EPERM if it cannot be
 * read; -ENODEV if the device is lost, and @buffer is all ones; or the kernel's.
 */
int vfioext_region_read(const struct vfioext_region *region, void *buffer, size_t size,
			uint64_t offset);

/**
 * vfioext_region_write() - write bytes
 * @region: the region, mapped or not
 * @buffer: the bytes
 * @size: how many
 * @offset: where in the region they begin
 *
 * What was stored to memory before is there when the device sees them.
 *
 * Return: as vfioext_region_read().
 */
int vfioext_region_write(const struct vfioext_region *region, const void *buffer, size_t size,
			 uint64_t offset);

/* What the accessors below do where the region is not mapped. */
uint64_t vfioext_region_read_slow(const struct vfioext_region *region, uint64_t offset,
				  unsigned int width);
void vfioext_region_write_slow(const struct vfioext_region *region, uint64_t offset,
			       uint64_t value, unsigned int width);

/*
 * What is loaded of a region through the address that this gives is loaded after @value was: the
 * rest was stored before. On POWER the address hangs on the value, as that of a register would cost
 * an isync otherwise; elsewhere the load of the value is all that it takes.
 */
static inline const struct vfioext_region *vfioext_region_after(const struct vfioext_region *region,
								uint64_t value)
{
#ifdef __powerpc64__
	uint64_t none;

	__asm__("xor %0,%1,%1" : "=r"(none) : "r"(value));
	return (const struct vfioext_region *)((const uint8_t *)region + none);
#else
	(void)value;
	return region;
#endif
}

/* Is the register in the largest mapped area? One comparison, also when there is none. */
static inline bool vfioext_region_find(const struct vfioext_region *region, uint64_t offset,
				       volatile void **at)
{
#ifdef __powerpc64__
	uint64_t size = __atomic_load_n(&region->fast_size, __ATOMIC_RELAXED);
#else
	uint64_t size = __atomic_load_n(&region->fast_size, __ATOMIC_ACQUIRE);
#endif

	region = vfioext_region_after(region, size);
	if (__builtin_expect(offset - region->fast_start >= size, 0))
		return false;
	*at = region->base + offset;
	return true;
}

/**
 * vfioext_read8_relaxed(), vfioext_read16_relaxed(), vfioext_read32_relaxed(),
 * vfioext_read64_relaxed() - read a register, whenever
 * @region: the region, mapped or not
 * @offset: where in it, a multiple of the width
 *
 * As vfioext_read*(), but a later load of memory may be carried out before it. Registers of a
 * device among themselves are accessed in order.
 *
 * Return: the value; all ones if it cannot be read, or the device is lost.
 */
static inline uint8_t vfioext_read8_relaxed(const struct vfioext_region *region, uint64_t offset)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		return *(volatile uint8_t *)at;
	return (uint8_t)vfioext_region_read_slow(region, offset, 1);
}

static inline uint16_t vfioext_read16_relaxed(const struct vfioext_region *region, uint64_t offset)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		return le16toh(*(volatile uint16_t *)at);
	return (uint16_t)vfioext_region_read_slow(region, offset, 2);
}

static inline uint32_t vfioext_read32_relaxed(const struct vfioext_region *region, uint64_t offset)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		return le32toh(*(volatile uint32_t *)at);
	return (uint32_t)vfioext_region_read_slow(region, offset, 4);
}

static inline uint64_t vfioext_read64_relaxed(const struct vfioext_region *region, uint64_t offset)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		return le64toh(*(volatile uint64_t *)at);
	return vfioext_region_read_slow(region, offset, 8);
}

/**
 * vfioext_write8_relaxed(), vfioext_write16_relaxed(), vfioext_write32_relaxed(),
 * vfioext_write64_relaxed() - write a register, whenever
 * @region: the region, mapped or not
 * @offset: where in it, a multiple of the width
 * @value: the value, which goes nowhere if it cannot be written
 *
 * As vfioext_write*(), but an earlier store to memory may be carried out after it.
 */
static inline void vfioext_write8_relaxed(const struct vfioext_region *region, uint64_t offset,
					  uint8_t value)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		*(volatile uint8_t *)at = value;
	else
		vfioext_region_write_slow(region, offset, value, 1);
}

static inline void vfioext_write16_relaxed(const struct vfioext_region *region, uint64_t offset,
					   uint16_t value)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		*(volatile uint16_t *)at = htole16(value);
	else
		vfioext_region_write_slow(region, offset, value, 2);
}

static inline void vfioext_write32_relaxed(const struct vfioext_region *region, uint64_t offset,
					   uint32_t value)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		*(volatile uint32_t *)at = htole32(value);
	else
		vfioext_region_write_slow(region, offset, value, 4);
}

static inline void vfioext_write64_relaxed(const struct vfioext_region *region, uint64_t offset,
					   uint64_t value)
{
	volatile void *at;

	if (vfioext_region_find(region, offset, &at))
		*(volatile uint64_t *)at = htole64(value);
	else
		vfioext_region_write_slow(region, offset, value, 8);
}

/**
 * vfioext_read8(), vfioext_read16(), vfioext_read32(), vfioext_read64() - read a
 * register, which is little-endian
 * @region: the region, mapped or not
 * @offset: where in it, a multiple of the width
 *
 * Memory that is loaded afterwards is as the device had written it when it answered.
 *
 * Return: the value; all ones if it cannot be read, or the device is lost.
 */
static inline uint8_t vfioext_read8(const struct vfioext_region *region, uint64_t offset)
{
	uint8_t value = vfioext_read8_relaxed(region, offset);

	vfioext_io_rmb();
	return value;
}

static inline uint16_t vfioext_read16(const struct vfioext_region *region, uint64_t offset)
{
	uint16_t value = vfioext_read16_relaxed(region, offset);

	vfioext_io_rmb();
	return value;
}

static inline uint32_t vfioext_read32(const struct vfioext_region *region, uint64_t offset)
{
	uint32_t value = vfioext_read32_relaxed(region, offset);

	vfioext_io_rmb();
	return value;
}

static inline uint64_t vfioext_read64(const struct vfioext_region *region, uint64_t offset)
{
	uint64_t value = vfioext_read64_relaxed(region, offset);

	vfioext_io_rmb();
	return value;
}

/**
 * vfioext_write8(), vfioext_write16(), vfioext_write32(), vfioext_write64() -
 * write a register, which is little-endian
 * @region: the region, mapped or not
 * @offset: where in it, a multiple of the width
 * @value: the value, which goes nowhere if it cannot be written
 *
 * What was stored to memory before is there when the device sees the value: a descriptor needs no
 * barrier before its doorbell. Memory that was loaded is another thing, see vfioext_dma_rmb().
 *
 * Over vfio-user, as on a bus, it may not have reached the device yet; what is read, written
 * or done with the device afterwards finds it done. vfioext_region_write() waits for it.
 */
static inline void vfioext_write8(const struct vfioext_region *region, uint64_t offset,
				  uint8_t value)
{
	vfioext_io_wmb();
	vfioext_write8_relaxed(region, offset, value);
}

static inline void vfioext_write16(const struct vfioext_region *region, uint64_t offset,
				   uint16_t value)
{
	vfioext_io_wmb();
	vfioext_write16_relaxed(region, offset, value);
}

static inline void vfioext_write32(const struct vfioext_region *region, uint64_t offset,
				   uint32_t value)
{
	vfioext_io_wmb();
	vfioext_write32_relaxed(region, offset, value);
}

static inline void vfioext_write64(const struct vfioext_region *region, uint64_t offset,
				   uint64_t value)
{
	vfioext_io_wmb();
	vfioext_write64_relaxed(region, offset, value);
}

#ifdef __cplusplus
}
#endif

#endif
