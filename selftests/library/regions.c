// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions and the configuration space, of a device that is made here: its file is
 * memory, and what the library asks the kernel is answered below.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/region.h>

#include "kselftest_harness.h"

#include "../../libvfioext/region.h"
#include "../lib/ioctl.h"

#define NR_REGIONS 13

/* Regions are so far from each other in the file. */
#define APART 0x10000000ULL

#define R VFIO_REGION_INFO_FLAG_READ
#define W VFIO_REGION_INFO_FLAG_WRITE
#define M VFIO_REGION_INFO_FLAG_MMAP

enum {
	WHOLE,
	SPARSE,
	UNMAPPED,
	READ_ONLY,
	TABLE,
	MAPPABLE,
	LARGE,
	CONFIG = VFIO_PCI_CONFIG_REGION_INDEX,
	MISSING,
	EMPTY,
	SMALL,
	HUGE,
	TINY,
};

/* What the processor maps at least. */
static size_t page;

/* In pages. */
static const struct vfio_region_sparse_mmap_area sparse_areas[] = {
	{ 1, 1 }, { 3, 2 }, { 5, 1 }, { 7, 1 },
};

/*
 * @pages, @size: what it has of each; @sparse: has the capability, with @nr areas;
 * @mappable: has the other one
 */
struct fake {
	uint32_t flags;
	unsigned int pages;
	uint64_t size;
	bool sparse;
	bool mappable;
	uint32_t nr;
};

/* Is it one comparison to get at a register? */
static bool is_fast(const struct vfioext_region *region, uint64_t offset)
{
	volatile void *at;

	return vfioext_region_find(region, offset, &at);
}

static const struct fake fakes[NR_REGIONS] = {
	[WHOLE] = { R | W | M, .pages = 4 },
	[SPARSE] = { R | W | M, .pages = 8, .sparse = true, .nr = 4 },
	[UNMAPPED] = { R | W, .pages = 4 },
	[READ_ONLY] = { R | M, .pages = 4 },
	[TABLE] = { R | W | M, .pages = 4 },
	[MAPPABLE] = { R | W | M, .pages = 4, .mappable = true },
	[LARGE] = { R | W | M, .size = 0x2000000 },
	[CONFIG] = { R | W, .size = 4096 },
	[EMPTY] = { R | W | M, .pages = 4, .sparse = true },
	[SMALL] = { R | W | M, .size = 0x84 },
	[TINY] = { R | W | M, .size = 4 },
	/* More than there is of the file, but nothing touches that. */
	[HUGE] = { R | W | M, .size = 0xc0000000 },
};

struct answer {
	struct vfio_region_info info;
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_sparse_mmap_area areas[4];
	struct vfio_info_cap_header mappable;
};

/* What is wrong with the kernel: it wants so much room, or says so. */
static uint32_t more_room, room_says;
static int info_error, rw_error;
static bool rw_short;

/* It is lost while it is read or written. */
static struct vfioext_device *lost_by_rw;

/* So many mappings in a place succeed, and then those with some flags do not. */
static int mappings_left = -1;
static int bad_flags, bad_prot;

/* The last of them, and how many there were. */
static __thread unsigned int preads, pwrites;
static __thread size_t rw_size;
static __thread off_t rw_offset;
static __thread char rw_widths[64];

static int region_info(struct vfio_region_info *info)
{
	const struct fake *fake = &fakes[info->index];
	struct answer answer = {
		.info = *info,
		.sparse.header = { VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0 },
		.sparse.nr_areas = fake->nr,
		.mappable = { VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0 },
	};
	uint32_t room = sizeof(answer) + more_room, i;

	if (info->index >= NR_REGIONS || info->index == MISSING) {
		errno = EINVAL;
		return -1;
	}
	for (i = 0; i < fake->nr; i++) {
		answer.areas[i].offset = sparse_areas[i].offset * page;
		answer.areas[i].size = sparse_areas[i].size * page;
	}
	answer.info.flags = fake->flags;
	answer.info.size = fake->pages * page + fake->size;
	answer.info.offset = info->index * APART;
	if (fake->sparse)
		answer.info.cap_offset = offsetof(struct answer, sparse);
	if (fake->mappable)
		answer.info.cap_offset = offsetof(struct answer, mappable);
	if (answer.info.cap_offset)
		answer.info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	else
		room = sizeof(answer.info) + more_room;
	if (info->argsz < room) {
		answer.info.argsz = room;
		answer.info.cap_offset = 0;
		memcpy(info, &answer, sizeof(answer.info));
	} else {
		memcpy(info, &answer, room < sizeof(answer) ? room : sizeof(answer));
	}
	if (room_says)
		info->argsz = room_says == UINT32_MAX ? answer.info.argsz + 8 : room_says;
	return 0;
}

int ioctl(int fd, ioctl_request request, ...)
{
	va_list args;
	void *data;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (request != VFIO_DEVICE_GET_REGION_INFO)
		return (int)syscall(SYS_ioctl, fd, request, data);
	if (info_error) {
		errno = info_error;
		return -1;
	}
	return region_info(data);
}

static void note(size_t size, off_t offset)
{
	size_t at = strlen(rw_widths);

	rw_size = size;
	rw_offset = offset;
	if (lost_by_rw)
		atomic_store(&lost_by_rw->lost, true);
	if (at < sizeof(rw_widths) - 1) {
		rw_widths[at] = (char)('0' + size);
		rw_widths[at + 1] = '\0';
	}
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
	preads++;
	note(size, offset);
	if (rw_error) {
		errno = rw_error;
		return -1;
	}
	return syscall(SYS_pread64, fd, buffer, rw_short ? size / 2 : size, offset);
}

ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	pwrites++;
	note(size, offset);
	if (rw_error) {
		errno = rw_error;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, buffer, rw_short ? size / 2 : size, offset);
}

void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (mappings_left >= 0 && flags & MAP_FIXED && (flags & bad_flags) == bad_flags &&
	    (prot & bad_prot) == bad_prot && !mappings_left--) {
		mappings_left = 0;
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}

FIXTURE(device) {
	struct vfioext_device *device;
	struct vfioext_region *region;
	/* All of the file. */
	uint8_t *file;
};

#define FILE_SIZE (NR_REGIONS * APART)

FIXTURE_SETUP(device)
{
	size_t i;

	page = (size_t)getpagesize();
	self->device = calloc(1, sizeof(*self->device));
	self->device->fd = memfd_create("the-device", 0);
	ASSERT_LE(0, self->device->fd);
	ASSERT_EQ(0, ftruncate(self->device->fd, FILE_SIZE));
	self->file = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->device->fd, 0);
	ASSERT_NE(MAP_FAILED, self->file);
	/* No byte is like its neighbours, none of all ones. */
	for (i = 0; i < 8 * APART; i += i % APART == 8 * page - 1 ? APART - 8 * page + 1 : 1)
		self->file[i] = (uint8_t)((i * 7 + i / 256) % 255);
	memset(self->file + CONFIG * APART, 0, 4096);
	pthread_mutex_init(&self->device->lock, NULL);
	self->device->pci = true;
	self->device->nr_regions = NR_REGIONS;
	self->device->regions = calloc(NR_REGIONS, sizeof(*self->device->regions));
	ASSERT_EQ(0, config_begin(self->device));
}

FIXTURE_TEARDOWN(device)
{
	mappings_left = -1;
	regions_free(self->device);
	munmap(self->file, FILE_SIZE);
	close(self->device->fd);
	pthread_mutex_destroy(&self->device->lock);
	free(self->device->regions);
	free(self->device);
}

static struct vfioext_region *get(struct vfioext_device *device, unsigned int index)
{
	struct vfioext_region *region;

	return vfioext_region_get(device, index, &region) ? NULL : region;
}

static struct vfioext_region *mapped(struct vfioext_device *device, unsigned int index)
{
	struct vfioext_region *region = get(device, index);

	return region && !vfioext_region_map(region) ? region : NULL;
}

/* What the process has mapped of the device, besides the fixture. */
static int device_mappings(const void *file)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long begin;
	char line[512];
	int nr = 0;

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "the-device") && sscanf(line, "%lx", &begin) == 1 &&
		    begin != (unsigned long)file)
			nr++;
	fclose(maps);
	return nr;
}

TEST_F(device, get)
{
	struct vfioext_region *again;

	ASSERT_EQ(0, vfioext_region_get(self->device, WHOLE, &self->region));
	EXPECT_EQ(self->device, self->region->device);
	EXPECT_EQ(WHOLE, self->region->index);
	EXPECT_EQ(VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE | VFIOEXT_REGION_MMAP,
		  self->region->flags);
	EXPECT_EQ(4 * page, self->region->size);
	EXPECT_EQ(NULL, self->region->base);
	ASSERT_EQ(1, self->region->nr_areas);
	EXPECT_EQ(0, self->region->areas[0].offset);
	EXPECT_EQ(4 * page, self->region->areas[0].size);
	EXPECT_FALSE(is_fast(self->region, 0));
	ASSERT_EQ(0, vfioext_region_get(self->device, WHOLE, &again));
	EXPECT_EQ(self->region, again);
	ASSERT_EQ(0, vfioext_region_get(self->device, SPARSE, &self->region));
	ASSERT_EQ(4, self->region->nr_areas);
	EXPECT_EQ(3 * page, self->region->areas[1].offset);
	EXPECT_EQ(2 * page, self->region->areas[1].size);
}

TEST_F(device, nothing_there)
{
	ASSERT_EQ(0, vfioext_region_get(self->device, MISSING, &self->region));
	EXPECT_EQ(0, self->region->size);
	EXPECT_EQ(0, self->region->flags);
	EXPECT_EQ(-ENOTSUP, vfioext_region_map(self->region));
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 0));
	ASSERT_EQ(0, vfioext_region_get(self->device, EMPTY, &self->region));
	EXPECT_EQ(-ENOTSUP, vfioext_region_map(self->region));
	ASSERT_EQ(0, vfioext_region_get(self->device, UNMAPPED, &self->region));
	EXPECT_EQ(-ENOTSUP, vfioext_region_map(self->region));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 0, 4));
	EXPECT_EQ(-EINVAL, vfioext_region_get(self->device, NR_REGIONS, &self->region));
}

TEST_F(device, kernel_makes_no_sense)
{
	more_room = 65536;
	EXPECT_EQ(-EPROTO, vfioext_region_get(self->device, SPARSE, &self->region));
	more_room = 4096;
	EXPECT_EQ(0, vfioext_region_get(self->device, SPARSE, &self->region));
	/* It always wants a little more, less than the least, more than there can be. */
	room_says = UINT32_MAX;
	EXPECT_EQ(-EPROTO, vfioext_region_get(self->device, WHOLE, &self->region));
	room_says = sizeof(struct vfio_region_info) - 1;
	EXPECT_EQ(-EPROTO, vfioext_region_get(self->device, WHOLE, &self->region));
	room_says = UINT32_MAX - 1;
	EXPECT_EQ(-EPROTO, vfioext_region_get(self->device, WHOLE, &self->region));
	room_says = 0;
	info_error = EIO;
	EXPECT_EQ(-EIO, vfioext_region_get(self->device, WHOLE, &self->region));
	info_error = 0;
	EXPECT_EQ(0, vfioext_region_get(self->device, WHOLE, &self->region));
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value & 0xffff);
	put16(at + 2, value >> 16);
}

/* MSI-X with 4 entries. */
static void put_table(uint8_t *config, uint32_t table)
{
	put16(config + PCI_STATUS, PCI_STATUS_CAP_LIST);
	config[PCI_CAPABILITY_LIST] = 0x50;
	config[0x50] = PCI_CAP_ID_MSIX;
	put16(config + 0x50 + PCI_MSIX_FLAGS, 3);
	put32(config + 0x50 + PCI_MSIX_TABLE, table);
}

TEST_F(device, msix_table)
{
	uint8_t *config = self->file + CONFIG * APART;

	put_table(config, page | TABLE);
	self->region = mapped(self->device, TABLE);
	ASSERT_NE(NULL, self->region);
	ASSERT_EQ(2, self->region->nr_areas);
	EXPECT_EQ(0, self->region->areas[0].offset);
	EXPECT_EQ(page, self->region->areas[0].size);
	EXPECT_EQ(2 * page, self->region->areas[1].offset);
	EXPECT_EQ(2 * page, self->region->areas[1].size);
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, page, 1));
	EXPECT_NE(NULL, vfioext_region_pointer(self->region, 2 * page, 1));
	/* It is another's table, and here it is no obstacle. */
	self->region = get(self->device, WHOLE);
	EXPECT_EQ(1, self->region->nr_areas);
	put_table(config, page | MAPPABLE);
	self->region = get(self->device, MAPPABLE);
	ASSERT_EQ(1, self->region->nr_areas);
	EXPECT_EQ(4 * page, self->region->areas[0].size);
	/* It is all there is. */
	put_table(config, SMALL);
	self->region = get(self->device, SMALL);
	EXPECT_EQ(1, self->region->nr_areas);
}

TEST_F(device, map)
{
	int before = device_mappings(self->file);
	uint8_t *base;

	self->region = mapped(self->device, WHOLE);
	ASSERT_NE(NULL, self->region);
	base = self->region->base;
	ASSERT_NE(NULL, base);
	EXPECT_EQ(0, (uintptr_t)base % (4 * page));
	EXPECT_EQ(before + 1, device_mappings(self->file));
	EXPECT_EQ(0, memcmp(base, self->file + WHOLE * APART, 4 * page));
	EXPECT_TRUE(is_fast(self->region, 0));
	EXPECT_EQ(0, vfioext_region_map(self->region));
	EXPECT_EQ(base, self->region->base);
	vfioext_region_unmap(self->region);
	EXPECT_EQ(NULL, self->region->base);
	EXPECT_FALSE(is_fast(self->region, 0));
	EXPECT_EQ(before, device_mappings(self->file));
	vfioext_region_unmap(self->region);
	/* The accessors go on. */
	preads = 0;
	EXPECT_EQ(self->file[5], vfioext_read8(self->region, 5));
	EXPECT_EQ(1, preads);
	EXPECT_EQ(0, vfioext_region_map(self->region));
	EXPECT_EQ(self->file[5], vfioext_read8(self->region, 5));
	EXPECT_EQ(1, preads);
}

static int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int nr = 0;

	while (fgets(line, sizeof(line), maps))
		nr++;
	fclose(maps);
	return nr;
}

TEST_F(device, alignment)
{
	int before;

	self->region = mapped(self->device, HUGE);
	ASSERT_NE(NULL, self->region);
	EXPECT_EQ(0, (uintptr_t)self->region->base % 0x40000000);
	self->region = mapped(self->device, LARGE);
	ASSERT_NE(NULL, self->region);
	EXPECT_EQ(0, (uintptr_t)self->region->base % 0x2000000);
	self->region = mapped(self->device, SMALL);
	ASSERT_NE(NULL, self->region);
	EXPECT_EQ(0, (uintptr_t)self->region->base % page);
	before = mappings();
	regions_free(self->device);
	/* The mapping, and the page behind it, which the kernel may join with another. */
	EXPECT_GE(before - 3, mappings());
	EXPECT_EQ(0, device_mappings(self->file));
}

TEST_F(device, map_fails)
{
	int before = device_mappings(self->file), all = 0;

	self->region = get(self->device, SPARSE);
	bad_flags = MAP_SHARED;
	for (mappings_left = 0; mappings_left < 4;) {
		int left = mappings_left;

		EXPECT_EQ(-ENOMEM, vfioext_region_map(self->region));
		EXPECT_EQ(NULL, self->region->base);
		EXPECT_FALSE(is_fast(self->region, 3 * page));
		EXPECT_EQ(before, device_mappings(self->file));
		/* The first round took memory for itself. */
		if (!left)
			all = mappings();
		EXPECT_EQ(all, mappings());
		mappings_left = left + 1;
	}
	mappings_left = -1;
	EXPECT_EQ(0, vfioext_region_map(self->region));
	EXPECT_EQ(before + 3, device_mappings(self->file));
}

TEST_F(device, pointer)
{
	self->region = get(self->device, SPARSE);
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, page, 1));
	ASSERT_EQ(0, vfioext_region_map(self->region));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 0, 1));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, page - 1, 2));
	EXPECT_EQ(self->region->base + page, vfioext_region_pointer(self->region, page, page));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, page, page + 1));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, page, 3 * page));
	/* Areas that touch each other. */
	EXPECT_EQ(self->region->base + 3 * page,
		  vfioext_region_pointer(self->region, 3 * page, 3 * page));
	EXPECT_EQ(self->region->base + 5 * page - 8,
		  vfioext_region_pointer(self->region, 5 * page - 8, 16));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 3 * page, 3 * page + 1));
	EXPECT_NE(NULL, vfioext_region_pointer(self->region, 8 * page - 1, 1));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 8 * page - 1, 2));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 8 * page, 1));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, UINT64_MAX, 2));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 2, UINT64_MAX));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, page, UINT64_MAX));
	EXPECT_NE(NULL, vfioext_region_pointer(self->region, 2 * page - 1, 0));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 2 * page, 0));
}

/* What is in the file, as a little-endian number. */
static uint64_t number(const uint8_t *at, unsigned int width)
{
	uint64_t value = 0;

	while (width--)
		value = value << 8 | at[width];
	return value;
}

static uint64_t read_any(const struct vfioext_region *region, uint64_t offset, unsigned int width)
{
	switch (width) {
	case 1:
		return vfioext_read8(region, offset);
	case 2:
		return vfioext_read16(region, offset);
	case 4:
		return vfioext_read32(region, offset);
	default:
		return vfioext_read64(region, offset);
	}
}

static void write_any(const struct vfioext_region *region, uint64_t offset, uint64_t value,
		      unsigned int width)
{
	switch (width) {
	case 1:
		vfioext_write8(region, offset, (uint8_t)value);
		break;
	case 2:
		vfioext_write16(region, offset, (uint16_t)value);
		break;
	case 4:
		vfioext_write32(region, offset, (uint32_t)value);
		break;
	default:
		vfioext_write64(region, offset, value);
	}
}

/* Mapped registers are read where they are, others in one piece of the file. */
TEST_F(device, accessors)
{
	uint8_t *file = self->file + SPARSE * APART;
	unsigned int width;
	uint64_t offset, value;

	self->region = mapped(self->device, SPARSE);
	ASSERT_NE(NULL, self->region);
	for (width = 1; width <= 8; width *= 2) {
		for (offset = 0; offset < 8 * page; offset += width * (page / 4096)) {
			bool hole = !vfioext_region_pointer(self->region, offset, width);

			preads = 0;
			pwrites = 0;
			ASSERT_EQ(number(file + offset, width), read_any(self->region, offset, width));
			ASSERT_EQ(hole, preads);
			value = ~number(file + offset, width);
			write_any(self->region, offset, value, width);
			ASSERT_EQ(hole, pwrites);
			if (hole) {
				ASSERT_EQ(width, rw_size);
				ASSERT_EQ(SPARSE * APART + offset, rw_offset);
			}
			ASSERT_EQ(value << (64 - 8 * width) >> (64 - 8 * width),
				  number(file + offset, width));
		}
	}
	/* The largest area is the fast one, but for its last bytes. */
	EXPECT_TRUE(is_fast(self->region, 3 * page));
	EXPECT_TRUE(is_fast(self->region, 5 * page - 8));
	EXPECT_FALSE(is_fast(self->region, 5 * page - 7));
	EXPECT_FALSE(is_fast(self->region, 3 * page - 1));
	EXPECT_FALSE(is_fast(self->region, page));
}

/* A register's neighbours are left alone. */
TEST_F(device, width)
{
	static const unsigned int indices[] = { WHOLE, UNMAPPED, SPARSE };
	uint8_t before[16], *file;
	unsigned int width;
	size_t i;

	for (i = 0; i < 3; i++) {
		self->region = get(self->device, indices[i]);
		file = self->file + indices[i] * APART + page;
		vfioext_region_map(self->region);
		for (width = 1; width <= 8; width *= 2) {
			memset(file, 0xaa, 16);
			memset(before, 0xaa, 16);
			memset(before + 8, 0x55, width);
			write_any(self->region, page + 8, 0x5555555555555555, width);
			EXPECT_EQ(0, memcmp(before, file, 16));
		}
	}
}

TEST_F(device, small_region)
{
	self->region = mapped(self->device, SMALL);
	ASSERT_NE(NULL, self->region);
	self->file[SMALL * APART + 0x80] = 0x12;
	self->file[SMALL * APART + 0x84] = 0x34;
	preads = 0;
	EXPECT_EQ(0x12, vfioext_read32(self->region, 0x80));
	EXPECT_EQ(0, preads);
	/* Not of the region, though of its page. */
	EXPECT_EQ(0xff, vfioext_read8(self->region, 0x84));
	EXPECT_EQ(UINT64_MAX, vfioext_read64(self->region, 0x80));
	EXPECT_EQ(NULL, vfioext_region_pointer(self->region, 0x80, 8));
}

TEST_F(device, tiny_region)
{
	self->region = mapped(self->device, TINY);
	ASSERT_NE(NULL, self->region);
	EXPECT_FALSE(is_fast(self->region, 0));
	self->file[TINY * APART] = 0x12;
	self->file[TINY * APART + 4] = 0x34;
	EXPECT_EQ(0x12, vfioext_read32(self->region, 0));
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 4));
}

TEST_F(device, cannot_be_read)
{
	self->region = get(self->device, UNMAPPED);
	preads = 0;
	EXPECT_EQ(0xff, vfioext_read8(self->region, 4 * page));
	EXPECT_EQ(0xffff, vfioext_read16(self->region, 4 * page - 1));
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 4 * page - 2));
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 2));
	EXPECT_EQ(UINT64_MAX, vfioext_read64(self->region, 4 * page - 4));
	EXPECT_EQ(UINT64_MAX, vfioext_read64(self->region, UINT64_MAX - 7));
	vfioext_write32(self->region, 2, 0);
	vfioext_write32(self->region, 4 * page, 0);
	EXPECT_EQ(0, preads);
	EXPECT_EQ(0, pwrites);
	rw_short = true;
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 0));
	EXPECT_EQ(1, preads);
	rw_short = false;
	rw_error = EIO;
	EXPECT_EQ(0xffff, vfioext_read16(self->region, 0));
	rw_error = ENODEV;
	EXPECT_EQ(0xff, vfioext_read8(self->region, 0));
}

/* Writing to what is mapped for reading would be a fault. */
TEST_F(device, read_only)
{
	uint8_t *file = self->file + READ_ONLY * APART;
	uint8_t before = file[8];

	self->region = mapped(self->device, READ_ONLY);
	ASSERT_NE(NULL, self->region);
	vfioext_write8(self->region, 8, 77);
	vfioext_write64(self->region, 8, 77);
	EXPECT_EQ(before, file[8]);
	EXPECT_EQ(-EPERM, vfioext_region_write(self->region, &before, 1, 8));
	preads = 0;
	EXPECT_EQ(before, vfioext_read8(self->region, 8));
	EXPECT_EQ(0, preads);
}

TEST_F(device, bytes)
{
	uint8_t *file = self->file + SPARSE * APART, buffer[8 * page], copy[8 * page];
	unsigned int seed = 1, round;

	self->region = mapped(self->device, SPARSE);
	ASSERT_NE(NULL, self->region);
	/* As many bytes whatever a page is. */
	for (round = 0; round < 0x800000 / page; round++) {
		size_t offset = (size_t)rand_r(&seed) % (8 * page);
		size_t size = (size_t)rand_r(&seed) % (8 * page - offset + 1), i;

		if (round % 2)
			size %= 64;
		memset(buffer, 0, sizeof(buffer));
		ASSERT_EQ(0, vfioext_region_read(self->region, buffer, size, offset));
		ASSERT_EQ(0, memcmp(buffer, file + offset, size));
		memcpy(copy, file, sizeof(copy));
		for (i = 0; i < size; i++)
			buffer[i] = (uint8_t)rand_r(&seed);
		memcpy(copy + offset, buffer, size);
		ASSERT_EQ(0, vfioext_region_write(self->region, buffer, size, offset));
		ASSERT_EQ(0, memcmp(copy, file, sizeof(copy)));
	}
}

/* Each piece as wide as its place allows. */
TEST_F(device, pieces)
{
	uint8_t buffer[64];

	self->region = get(self->device, UNMAPPED);
	ASSERT_EQ(0, vfioext_region_read(self->region, buffer, 30, 1));
	EXPECT_STREQ("12488421", rw_widths);
	rw_widths[0] = '\0';
	ASSERT_EQ(0, vfioext_region_write(self->region, buffer, 7, 4));
	EXPECT_STREQ("421", rw_widths);
	rw_widths[0] = '\0';
	ASSERT_EQ(0, vfioext_region_read(self->region, buffer, 16, 4 * page - 16));
	EXPECT_STREQ("88", rw_widths);
	/* Up to what is mapped, and behind it. */
	rw_widths[0] = '\0';
	self->region = mapped(self->device, SPARSE);
	ASSERT_EQ(0, vfioext_region_read(self->region, buffer, 9, page - 2));
	EXPECT_STREQ("2", rw_widths);
}

TEST_F(device, bytes_errors)
{
	uint8_t buffer[16];

	self->region = get(self->device, UNMAPPED);
	EXPECT_EQ(-EINVAL, vfioext_region_read(self->region, buffer, 16, 4 * page - 15));
	EXPECT_EQ(-EINVAL, vfioext_region_read(self->region, buffer, SIZE_MAX, 1));
	EXPECT_EQ(-EINVAL, vfioext_region_write(self->region, buffer, 2, UINT64_MAX));
	EXPECT_EQ(0, vfioext_region_read(self->region, buffer, 0, 4 * page));
	rw_error = EACCES;
	memset(buffer, 0, sizeof(buffer));
	EXPECT_EQ(-EACCES, vfioext_region_read(self->region, buffer, 16, 0));
	EXPECT_EQ(0xff, buffer[0]);
	EXPECT_EQ(-EACCES, vfioext_region_write(self->region, buffer, 16, 0));
	rw_error = 0;
	rw_short = true;
	EXPECT_EQ(-EIO, vfioext_region_read(self->region, buffer, 16, 0));
}

static bool are_ones(const void *at, size_t size)
{
	const uint8_t *bytes = at;

	while (size--)
		if (*bytes++ != 0xff)
			return false;
	return true;
}

static void lose(struct vfioext_device *device)
{
	atomic_store(&device->lost, true);
	regions_lose(device);
}

/* What must be whatever becomes of the mappings. */
static bool is_lost(const struct vfioext_region *region, const void *file)
{
	uint8_t buffer[16] = { 0 };

	if (device_mappings(file) || is_fast(region, region->areas[0].offset))
		return false;
	preads = 0;
	pwrites = 0;
	vfioext_write32(region, 8, 5);
	if (vfioext_read32(region, 8) != 0xffffffff || vfioext_read8(region, 0) != 0xff)
		return false;
	if (vfioext_region_write(region, buffer, 16, 0) != -ENODEV ||
	    vfioext_region_read(region, buffer, 16, 0) != -ENODEV)
		return false;
	return are_ones(buffer, 16) && !preads && !pwrites;
}

TEST_F(device, lost)
{
	uint8_t before = self->file[SPARSE * APART + 3 * page], *at;
	struct vfioext_region *other;

	self->region = mapped(self->device, SPARSE);
	ASSERT_NE(NULL, self->region);
	ASSERT_NE(NULL, mapped(self->device, LARGE));
	other = get(self->device, WHOLE);
	lose(self->device);
	EXPECT_TRUE(is_lost(self->region, self->file));
	at = vfioext_region_pointer(self->region, 3 * page, 3 * page);
	ASSERT_NE(NULL, at);
	EXPECT_TRUE(are_ones(at, 3 * page));
	EXPECT_TRUE(are_ones(self->region->base + page, page));
	EXPECT_TRUE(are_ones(self->device->regions[LARGE]->public.base, 0x2000000));
	*at = 1;
	EXPECT_EQ(1, *at);
	EXPECT_TRUE(are_ones(self->device->regions[LARGE]->public.base, 0x2000000));
	EXPECT_EQ(before, self->file[SPARSE * APART + 3 * page]);
	EXPECT_TRUE(is_lost(other, self->file));
	EXPECT_EQ(-ENODEV, vfioext_region_map(other));
	EXPECT_EQ(-ENODEV, vfioext_region_get(self->device, WHOLE, &other));
	/* Twice is as good as once. */
	regions_lose(self->device);
	EXPECT_TRUE(is_lost(self->region, self->file));
	vfioext_region_unmap(self->region);
	EXPECT_EQ(NULL, self->region->base);
	EXPECT_TRUE(is_lost(self->region, self->file));
}

TEST_F(device, lost_by_the_way)
{
	uint8_t buffer[16] = { 0 };

	self->region = get(self->device, UNMAPPED);
	lost_by_rw = self->device;
	EXPECT_EQ(-ENODEV, vfioext_region_read(self->region, buffer, 16, 0));
	EXPECT_TRUE(are_ones(buffer, 16));
	atomic_store(&self->device->lost, false);
	EXPECT_EQ(-ENODEV, vfioext_region_write(self->region, buffer, 1, 0));
}

TEST_F(device, lost_huge)
{
	int before;

	self->region = mapped(self->device, HUGE);
	ASSERT_NE(NULL, self->region);
	before = mappings();
	lose(self->device);
	EXPECT_TRUE(is_lost(self->region, self->file));
	EXPECT_LE(mappings(), before + 1024);
	EXPECT_TRUE(are_ones(self->region->base, page));
	EXPECT_TRUE(are_ones(self->region->base + 0x60000000 - page, 2 * page));
	EXPECT_TRUE(are_ones(self->region->base + 0xc0000000 - page, page));
}

/* The kernel may refuse private memory, at some point or from the beginning. */
TEST_F(device, lost_without_memory)
{
	static const struct {
		int flags;
		int prot;
		int left;
	} refused[] = {
		{ MAP_PRIVATE, PROT_WRITE, 100 },
		{ MAP_PRIVATE, PROT_WRITE, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		self->region = mapped(self->device, LARGE);
		ASSERT_NE(NULL, self->region);
		bad_flags = refused[i].flags;
		bad_prot = refused[i].prot;
		mappings_left = refused[i].left;
		lose(self->device);
		mappings_left = -1;
		EXPECT_TRUE(is_lost(self->region, self->file));
		ASSERT_NE(NULL, self->region->base);
		EXPECT_TRUE(are_ones(self->region->base, 0x2000000));
		*(volatile uint8_t *)self->region->base = 1;
		vfioext_region_unmap(self->region);
		atomic_store(&self->device->lost, false);
	}
}

TEST_F(device, lost_without_files)
{
	struct rlimit none = { 3, 3 };
	struct vfioext_region *large;

	self->region = mapped(self->device, SPARSE);
	large = mapped(self->device, LARGE);
	ASSERT_NE(NULL, large);
	atomic_store(&self->device->lost, true);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	regions_lose(self->device);
	/* The rest needs files. */
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 3 * page));
	EXPECT_TRUE(are_ones(self->region->base + 3 * page, 3 * page));
	EXPECT_TRUE(are_ones(self->region->base + 7 * page, page));
	self->region->base[3 * page] = 1;
	/* Too much to be filled, but it is no fault, and not the device's. */
	self->file[LARGE * APART] = 7;
	EXPECT_EQ(0, large->base[0]);
	large->base[0] = 1;
	EXPECT_EQ(7, self->file[LARGE * APART]);
}

/* Few ones are no use for a large region, and those that there are have an end. */
TEST_F(device, lost_with_little)
{
	struct rlimit little = { 70000, 70000 };
	struct vfioext_region *huge;
	int before;

	self->region = mapped(self->device, LARGE);
	huge = mapped(self->device, HUGE);
	ASSERT_NE(NULL, huge);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &little));
	before = mappings();
	lose(self->device);
	EXPECT_LE(mappings(), before + 600);
	EXPECT_TRUE(is_lost(self->region, self->file));
	EXPECT_TRUE(are_ones(self->region->base, 0x2000000));
	huge->base[0xbfffffff] = 1;
}

TEST_F(device, lost_without_anything)
{
	self->region = mapped(self->device, SPARSE);
	ASSERT_NE(NULL, self->region);
	bad_flags = MAP_FIXED;
	bad_prot = PROT_WRITE;
	mappings_left = 0;
	lose(self->device);
	EXPECT_TRUE(is_lost(self->region, self->file));
	EXPECT_NE(NULL, self->region->base);
	/* Not even addresses. */
	bad_prot = 0;
	atomic_store(&self->device->lost, false);
	vfioext_region_unmap(self->region);
	mappings_left = -1;
	self->region = mapped(self->device, SPARSE);
	ASSERT_NE(NULL, self->region);
	mappings_left = 0;
	lose(self->device);
	EXPECT_TRUE(is_lost(self->region, self->file));
	EXPECT_EQ(NULL, self->region->base);
}

/* A process may have so many mappings, and has them. */
TEST_F(device, lost_without_mappings)
{
	size_t size = 70000 * page, at;
	struct vfioext_region *whole;
	uint8_t *many;
	int ret = 0;

	self->region = mapped(self->device, LARGE);
	whole = mapped(self->device, WHOLE);
	ASSERT_NE(NULL, whole);
	many = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, many);
	for (at = 0; !ret && at < size; at += 2 * page)
		ret = mprotect(many + at, page, PROT_READ);
	ASSERT_EQ(-1, ret);
	/* One step more than mprotect() can. */
	mmap(NULL, page, PROT_READ, MAP_SHARED, self->device->fd, 0);
	ASSERT_EQ(MAP_FAILED, mmap(NULL, page, PROT_READ, MAP_SHARED, self->device->fd, page));
	atomic_store(&self->device->lost, true);
	regions_lose(self->device);
	munmap(many, size);
	EXPECT_TRUE(are_ones(whole->base, 4 * page));
	EXPECT_EQ(1, device_mappings(self->file));
	EXPECT_EQ(0xffffffff, vfioext_read32(self->region, 0));
	self->region->base[0] = 1;
	self->region->base[0x1ffffff] = 1;
}

struct reader {
	const struct vfioext_region *region;
	const uint8_t *file;
	_Atomic bool stop;
	_Atomic bool wrong;
	_Atomic unsigned int rounds;
};

/* Each register is what it was, or all ones; and nothing faults. */
static void *use(void *data)
{
	struct reader *reader = data;
	const struct vfioext_region *region = reader->region;
	uint32_t buffer[16], was, is;
	uint64_t offset;

	while (!atomic_load(&reader->stop)) {
		for (offset = 0; offset < 7 * page; offset += 68 * (page / 4096)) {
			was = (uint32_t)number(reader->file + offset, 4);
			is = vfioext_read32(region, offset);
			if (is != was && is != 0xffffffff)
				atomic_store(&reader->wrong, true);
			is = *(volatile uint32_t *)(region->base + 3 * page + offset % (3 * page));
			was = (uint32_t)number(reader->file + 3 * page + offset % (3 * page), 4);
			if (is != was && is != 0xffffffff)
				atomic_store(&reader->wrong, true);
			/* By hand, and with the accessor; elsewhere than what is read. */
			*(volatile uint32_t *)(region->base + 7 * page + offset % page) = 7;
			vfioext_write32(region, 7 * page + offset % page, 7);
			if (vfioext_region_read(region, buffer, 64, page - 16) == -ENODEV &&
			    !are_ones(buffer, 64))
				atomic_store(&reader->wrong, true);
		}
		atomic_fetch_add(&reader->rounds, 1);
	}
	return NULL;
}

/* While the registers are used, the region is mapped and then lost. */
TEST_F(device, lost_in_use)
{
	pthread_t threads[3];
	struct reader reader;
	unsigned int round, i;

	for (round = 0; round < 20; round++) {
		self->region = mapped(self->device, SPARSE);
		ASSERT_NE(NULL, self->region);
		memset(&reader, 0, sizeof(reader));
		reader.region = self->region;
		reader.file = self->file + SPARSE * APART;
		for (i = 0; i < 3; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, use, &reader));
		while (atomic_load(&reader.rounds) < 3)
			usleep(100);
		lose(self->device);
		i = atomic_load(&reader.rounds);
		while (atomic_load(&reader.rounds) < i + 6)
			usleep(100);
		atomic_store(&reader.stop, true);
		for (i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
		ASSERT_FALSE(reader.wrong);
		ASSERT_TRUE(is_lost(self->region, self->file));
		vfioext_region_unmap(self->region);
		atomic_store(&self->device->lost, false);
	}
}

TEST_F(device, config_registers)
{
	uint8_t *config = self->file + CONFIG * APART;

	put32(config, 0x11e81234);
	EXPECT_EQ(0x11e81234, vfioext_config_read(self->device, 0, 4));
	EXPECT_EQ(0x11e8, vfioext_config_read(self->device, 2, 2));
	EXPECT_EQ(0x12, vfioext_config_read(self->device, 1, 1));
	EXPECT_EQ(1, rw_size);
	EXPECT_EQ(0, vfioext_config_write(self->device, 0x40, 4, 0x12345678));
	EXPECT_EQ(0x12345678, number(config + 0x40, 4));
	EXPECT_EQ(0, vfioext_config_write(self->device, 0x42, 2, 0xabcd));
	EXPECT_EQ(0, vfioext_config_write(self->device, 0x41, 1, 0xef));
	EXPECT_EQ(0xabcdef78, number(config + 0x40, 4));
	EXPECT_EQ(0, vfioext_config_write(self->device, 0xffc, 4, 1));
	EXPECT_EQ(0xffffffff, vfioext_config_read(self->device, 0x1000, 4));
	EXPECT_EQ(0xffff, vfioext_config_read(self->device, 0x1000, 2));
	EXPECT_EQ(0xff, vfioext_config_read(self->device, 0x1000, 1));
	EXPECT_EQ(0xffffffff, vfioext_config_read(self->device, 1, 4));
	EXPECT_EQ(0xffffffff, vfioext_config_read(self->device, 0, 8));
	EXPECT_EQ(0xffffffff, vfioext_config_read(self->device, 0, 0));
	EXPECT_EQ(-EINVAL, vfioext_config_write(self->device, 1, 2, 0));
	EXPECT_EQ(-EINVAL, vfioext_config_write(self->device, 0x1000, 4, 0));
	EXPECT_EQ(-EINVAL, vfioext_config_write(self->device, 0, 3, 0));
	rw_error = EIO;
	EXPECT_EQ(-EIO, vfioext_config_write(self->device, 0, 4, 0));
	rw_error = 0;
	atomic_store(&self->device->lost, true);
	EXPECT_EQ(0xffffffff, vfioext_config_read(self->device, 0, 4));
	EXPECT_EQ(0xffff, vfioext_config_read(self->device, 0, 2));
	EXPECT_EQ(-ENODEV, vfioext_config_write(self->device, 0, 4, 0));
	EXPECT_EQ(-ENODEV, vfioext_config_capability(self->device, 1));
	EXPECT_EQ(-ENODEV, vfioext_config_extended_capability(self->device, 1));
	atomic_store(&self->device->lost, false);
	self->device->pci = false;
	EXPECT_EQ(0xffffffff, vfioext_config_read(self->device, 0, 4));
	EXPECT_EQ(-EINVAL, vfioext_config_write(self->device, 0, 4, 0));
	EXPECT_EQ(0, vfioext_config_capability(self->device, 1));
}

static void put_capability(uint8_t *config, unsigned int at, unsigned int id, unsigned int next)
{
	config[at] = (uint8_t)id;
	config[at + 1] = (uint8_t)next;
}

TEST_F(device, capabilities)
{
	uint8_t *config = self->file + CONFIG * APART;
	unsigned int id = 0, i;

	put_capability(config, 0x50, 0x05, 0x40);
	put_capability(config, 0x40, 0x11, 0xfc);
	put_capability(config, 0xfc, 0x01, 0);
	config[PCI_CAPABILITY_LIST] = 0x53;
	/* There is a list if the device says so. */
	EXPECT_EQ(0, vfioext_config_capability(self->device, 0x11));
	put16(config + PCI_STATUS, 0xffff & ~PCI_STATUS_CAP_LIST);
	EXPECT_EQ(0, vfioext_config_capability(self->device, 0x11));
	put16(config + PCI_STATUS, PCI_STATUS_CAP_LIST);
	EXPECT_EQ(0x50, vfioext_config_capability(self->device, 0x05));
	EXPECT_EQ(0x40, vfioext_config_capability(self->device, 0x11));
	EXPECT_EQ(0xfc, vfioext_config_capability(self->device, 0x01));
	EXPECT_EQ(0, vfioext_config_capability(self->device, 0x10));
	EXPECT_EQ(0x50, vfioext_config_next_capability(self->device, 0, false, &id));
	EXPECT_EQ(5, id);
	EXPECT_EQ(0x40, vfioext_config_next_capability(self->device, 0x50, false, &id));
	EXPECT_EQ(0x11, id);
	EXPECT_EQ(0xfc, vfioext_config_next_capability(self->device, 0x40, false, &id));
	EXPECT_EQ(1, id);
	EXPECT_EQ(0, vfioext_config_next_capability(self->device, 0xfc, false, &id));
	EXPECT_EQ(-EINVAL, vfioext_config_next_capability(self->device, 0x44, false, &id));
	/* As many as there can be. */
	for (i = 0x40; i < 0x100; i += 4)
		put_capability(config, i, 9, (i + 4) & 0xff);
	config[PCI_CAPABILITY_LIST] = 0x40;
	EXPECT_EQ(0, vfioext_config_capability(self->device, 1));
	for (i = 0; i < 0xfc; i = (unsigned int)id) {
		id = (unsigned int)vfioext_config_next_capability(self->device, i, false, &i);
		ASSERT_EQ(9, i);
	}
}

TEST_F(device, capabilities_without_end)
{
	uint8_t *config = self->file + CONFIG * APART;
	unsigned int id;

	put16(config + PCI_STATUS, PCI_STATUS_CAP_LIST);
	config[PCI_CAPABILITY_LIST] = 0x40;
	put_capability(config, 0x40, 5, 0x40);
	EXPECT_EQ(0x40, vfioext_config_capability(self->device, 5));
	EXPECT_EQ(-EPROTO, vfioext_config_capability(self->device, 1));
	EXPECT_EQ(-EPROTO, vfioext_config_next_capability(self->device, 0x40, false, &id));
	put_capability(config, 0x40, 5, 0x80);
	put_capability(config, 0x80, 6, 0x40);
	EXPECT_EQ(-EPROTO, vfioext_config_capability(self->device, 1));
	EXPECT_EQ(-EPROTO, vfioext_config_next_capability(self->device, 0x80, false, &id));
	/* Into the header. */
	put_capability(config, 0x80, 6, 0x3c);
	EXPECT_EQ(-EPROTO, vfioext_config_capability(self->device, 1));
	memset(config, 0xff, 256);
	EXPECT_EQ(-EPROTO, vfioext_config_capability(self->device, 1));
	/* Neither does the table hinder then. */
	EXPECT_EQ(1, get(self->device, TABLE)->nr_areas);
}

TEST_F(device, extended_capabilities)
{
	uint8_t *config = self->file + CONFIG * APART;
	unsigned int id = 0;

	EXPECT_EQ(0, vfioext_config_extended_capability(self->device, 0));
	EXPECT_EQ(0, vfioext_config_next_capability(self->device, 0, true, &id));
	put32(config + 0x100, 0xffffffff);
	EXPECT_EQ(0, vfioext_config_extended_capability(self->device, 0xffff));
	put32(config + 0x100, 0x2001u << 16 | 0x0001);
	put32(config + 0x200, 0xffc1u << 16 | 0x0010);
	put32(config + 0xffc, 0x0001u << 16 | 0x8086);
	EXPECT_EQ(0x100, vfioext_config_extended_capability(self->device, 1));
	EXPECT_EQ(0x200, vfioext_config_extended_capability(self->device, 0x10));
	EXPECT_EQ(0xffc, vfioext_config_extended_capability(self->device, 0x8086));
	EXPECT_EQ(0, vfioext_config_extended_capability(self->device, 2));
	EXPECT_EQ(0x200, vfioext_config_next_capability(self->device, 0x100, true, &id));
	EXPECT_EQ(0x10, id);
	EXPECT_EQ(0, vfioext_config_next_capability(self->device, 0xffc, true, &id));
	put32(config + 0x200, 0x1001u << 16 | 0x0010);
	EXPECT_EQ(-EPROTO, vfioext_config_extended_capability(self->device, 2));
	put32(config + 0x200, 0x0ff1u << 16 | 0x0010);
	EXPECT_EQ(-EPROTO, vfioext_config_extended_capability(self->device, 2));
	/* Without room for them there are none. */
	self->device->regions[CONFIG]->public.size = 0x800;
	EXPECT_EQ(0, vfioext_config_extended_capability(self->device, 1));
}

TEST_F(device, master)
{
	uint8_t *config = self->file + CONFIG * APART;

	put16(config + PCI_COMMAND, PCI_COMMAND_MEMORY);
	EXPECT_EQ(0, vfioext_device_set_master(self->device, true));
	EXPECT_EQ(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, number(config + PCI_COMMAND, 2));
	pwrites = 0;
	EXPECT_EQ(0, vfioext_device_set_master(self->device, true));
	EXPECT_EQ(0, pwrites);
	EXPECT_EQ(0, vfioext_device_set_master(self->device, false));
	EXPECT_EQ(PCI_COMMAND_MEMORY, number(config + PCI_COMMAND, 2));
	rw_error = EIO;
	EXPECT_EQ(-EIO, vfioext_device_set_master(self->device, true));
	atomic_store(&self->device->lost, true);
	EXPECT_EQ(-ENODEV, vfioext_device_set_master(self->device, true));
}

TEST_HARNESS_MAIN
