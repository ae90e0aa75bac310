// SPDX-License-Identifier: LGPL-2.1-or-later
/* Access to regions where the accessors in the header do not find it mapped. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "region.h"

/* So many bytes at once may be registers. */
#define REGISTERS_MAX 64

/* The first area that ends behind an offset; nr_areas if there is none. */
static size_t area_from(const struct vfioext_region *region, uint64_t offset)
{
	const struct vfioext_area *area;
	size_t low = 0, high = region->nr_areas, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		area = &region->areas[middle];
		if (area->offset + area->size <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool in_region(const struct vfioext_region *region, uint64_t offset, uint64_t size)
{
	return offset <= region->size && size <= region->size - offset;
}

void *vfioext_region_pointer(const struct vfioext_region *region, uint64_t offset, uint64_t size)
{
	uint8_t *base = __atomic_load_n(&region->base, __ATOMIC_ACQUIRE);
	uint64_t end = offset + size, at = offset;
	size_t i;

	if (!base || !in_region(region, offset, size))
		return NULL;
	/* Areas may touch each other. */
	for (i = area_from(region, offset); i < region->nr_areas; i++) {
		if (region->areas[i].offset > at)
			break;
		at = region->areas[i].offset + region->areas[i].size;
		if (at >= end)
			return base + offset;
	}
	return NULL;
}

/* A register's bytes as they are in the device, which is little-endian. */
union piece {
	uint8_t bytes[8];
	uint8_t b;
	uint16_t w;
	uint32_t l;
	uint64_t q;
};

static void load(const volatile void *at, union piece *piece, unsigned int width)
{
	switch (width) {
	case 1:
		piece->b = *(const volatile uint8_t *)at;
		break;
	case 2:
		piece->w = *(const volatile uint16_t *)at;
		break;
	case 4:
		piece->l = *(const volatile uint32_t *)at;
		break;
	case 8:
		piece->q = *(const volatile uint64_t *)at;
		break;
	}
}

static void store(volatile void *at, const union piece *piece, unsigned int width)
{
	switch (width) {
	case 1:
		*(volatile uint8_t *)at = piece->b;
		break;
	case 2:
		*(volatile uint16_t *)at = piece->w;
		break;
	case 4:
		*(volatile uint32_t *)at = piece->l;
		break;
	case 8:
		*(volatile uint64_t *)at = piece->q;
		break;
	}
}

static int device_fd(const struct vfioext_region *region)
{
	/* It may be lost meanwhile. */
	return __atomic_load_n(&region->device->fd, __ATOMIC_RELAXED);
}

/* Return: 0; the kernel's error, and -EIO if it did not all of it. */
static int finish(ssize_t done, unsigned int width)
{
	if (done < 0)
		return -errno;
	return done == (ssize_t)width ? 0 : -EIO;
}

/* An aligned piece within the region. */
static int read_piece(const struct vfioext_region *region, uint64_t offset, union piece *piece,
		      unsigned int width)
{
	off_t at = (off_t)(region_of(region)->file_offset + offset);
	const void *mapped = vfioext_region_pointer(region, offset, width);
	ssize_t done;

	if (mapped) {
		load(mapped, piece, width);
		return 0;
	}
	if (region->device->remote)
		return remote_read(region, offset, piece->bytes, width);
	do
		done = pread(device_fd(region), piece->bytes, width, at);
	while (done < 0 && errno == EINTR);
	return finish(done, width);
}

/* Where it is @posted its error is of no use. */
static int write_piece(const struct vfioext_region *region, uint64_t offset,
		       const union piece *piece, unsigned int width, bool posted)
{
	off_t at = (off_t)(region_of(region)->file_offset + offset);
	void *mapped = vfioext_region_pointer(region, offset, width);
	ssize_t done;

	if (mapped) {
		store(mapped, piece, width);
		return 0;
	}
	if (region->device->remote)
		return remote_write(region, offset, piece->bytes, width, posted);
	do
		done = pwrite(device_fd(region), piece->bytes, width, at);
	while (done < 0 && errno == EINTR);
	return finish(done, width);
}

/* The widest piece that is aligned where it is. */
static unsigned int piece_width(uint64_t offset, size_t left)
{
	unsigned int width = 8;

	while (width > left || offset % width)
		width /= 2;
	return width;
}

/*
 * What is behind the socket of a server comes in one message, but for so few bytes that
 * they may be registers, each of which is to be accessed by itself. Return: how many
 * bytes, 0 if the next piece is to be done.
 */
static size_t whole_size(const struct vfioext_region *region, uint64_t offset, size_t left)
{
	const struct vfioext_area *area;
	size_t i;

	if (!region->device->remote || left <= REGISTERS_MAX)
		return 0;
	i = __atomic_load_n(&region->base, __ATOMIC_ACQUIRE) ? area_from(region, offset) :
							       region->nr_areas;
	if (i == region->nr_areas)
		return left;
	area = &region->areas[i];
	if (area->offset <= offset)
		return 0;
	return left < area->offset - offset ? left : area->offset - offset;
}

static int check_range(const struct vfioext_region *region, uint64_t offset, size_t size,
		       unsigned int flag)
{
	if (!in_region(region, offset, size))
		return -EINVAL;
	return region->flags & flag ? 0 : -EPERM;
}

/* Lost by now? Then what was read before may be the device's, or what replaced it. */
static bool lost_since(const struct vfioext_region *region)
{
	__sync_synchronize();
	return vfioext_device_lost(region->device);
}

int vfioext_region_read(const struct vfioext_region *region, void *buffer, size_t size,
			uint64_t offset)
{
	uint8_t *to = buffer;
	union piece piece;
	unsigned int width;
	size_t done, whole;
	int ret;

	ret = check_range(region, offset, size, VFIOEXT_REGION_READ);
	if (ret)
		return ret;
	if (vfioext_device_lost(region->device))
		ret = -ENODEV;
	for (done = 0; done < size && !ret;) {
		whole = whole_size(region, offset + done, size - done);
		width = piece_width(offset + done, size - done);
		if (whole)
			ret = remote_read(region, offset + done, to + done, whole);
		else
			ret = read_piece(region, offset + done, &piece, width);
		if (ret)
			break;
		if (!whole)
			memcpy(to + done, piece.bytes, width);
		done += whole ? whole : width;
	}
	vfioext_io_rmb();
	if (lost_since(region))
		ret = -ENODEV;
	if (ret == -ENODEV)
		done = 0;
	if (size > done)
		memset(to + done, 0xff, size - done);
	return ret;
}

int vfioext_region_write(const struct vfioext_region *region, const void *buffer, size_t size,
			 uint64_t offset)
{
	const uint8_t *from = buffer;
	union piece piece;
	unsigned int width;
	size_t done, whole;
	int ret;

	ret = check_range(region, offset, size, VFIOEXT_REGION_WRITE);
	if (ret)
		return ret;
	if (vfioext_device_lost(region->device))
		return -ENODEV;
	vfioext_io_wmb();
	for (done = 0; done < size && !ret; done += whole ? whole : width) {
		whole = whole_size(region, offset + done, size - done);
		width = piece_width(offset + done, size - done);
		if (whole) {
			ret = remote_write(region, offset + done, from + done, whole, false);
			continue;
		}
		memcpy(piece.bytes, from + done, width);
		ret = write_piece(region, offset + done, &piece, width, false);
	}
	return lost_since(region) ? -ENODEV : ret;
}

static uint64_t all_ones(unsigned int width)
{
	return width < 8 ? (1ULL << (8 * width)) - 1 : UINT64_MAX;
}

static bool is_register(const struct vfioext_region *region, uint64_t offset, unsigned int width,
			unsigned int flag)
{
	if (width != 1 && width != 2 && width != 4 && width != 8)
		return false;
	return !(offset % width) && !check_range(region, offset, width, flag);
}

uint64_t vfioext_region_read_slow(const struct vfioext_region *region, uint64_t offset,
				  unsigned int width)
{
	union piece piece;

	if (vfioext_device_lost(region->device) ||
	    !is_register(region, offset, width, VFIOEXT_REGION_READ) ||
	    read_piece(region, offset, &piece, width))
		return all_ones(width);
	switch (width) {
	case 1:
		return piece.b;
	case 2:
		return le16toh(piece.w);
	case 4:
		return le32toh(piece.l);
	default:
		return le64toh(piece.q);
	}
}

void vfioext_region_write_slow(const struct vfioext_region *region, uint64_t offset,
			       uint64_t value, unsigned int width)
{
	union piece piece;

	if (vfioext_device_lost(region->device) ||
	    !is_register(region, offset, width, VFIOEXT_REGION_WRITE))
		return;
	/* Its low bytes, and the first of them are those of the register. */
	piece.q = htole64(value);
	write_piece(region, offset, &piece, width, true);
}
