// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Regions of a device: what the kernel says of them, their mapping, and access.
 *
 * What accessors of other threads see: a mapping is complete before its base is
 * published, and the base before the fast path. When the device is lost, the fast
 * path is taken away, and other memory takes the place of the device's while the
 * base stays, so an accessor that still goes by what it read before does no harm.
 * vfioext_region_unmap() alone must not overlap with them.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/region.h>

#include "capabilities.h"
#include "device.h"

#define ANSWER_MAX 65536
#define ANSWER_TRIES 4

/* A mapping is aligned to this at most, the largest of the huge pages. */
#define ALIGN_MAX 0x40000000u

/* No register is there, so this begins an area that no accessor hits. */

/* In the place of a lost region are so many mappings, of at least so many bytes each. */
#define CHUNKS_MAX 1024
#define CHUNK_MIN 65536

/* Without a file of ones, an area of up to this is filled by hand. */
#define FILL_MAX 0x1000000u

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* @unit is a power of two. */
static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) & ~(unit - 1);
}

static struct region *region_of(const struct vfioext_region *public)
{
	/* The public part is the first of it. */
	return (struct region *)(uintptr_t)public;
}

/*
 * The kernel's answer. A number that the device has may stand for nothing, as that
 * of the VGA region mostly does.
 */
static int ask_once(const struct vfioext_device *device, unsigned int index,
		    struct vfio_region_info *info, uint32_t size)
{
	memset(info, 0, size);
	info->argsz = size;
	info->index = index;
	if (!ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, info))
		return 0;
	if (errno != EINVAL)
		return -errno;
	memset(info, 0, size);
	info->argsz = size;
	return 0;
}

/* In as much room as it asks for. Return: 0, and then @answer is to be freed. */
static int ask(const struct vfioext_device *device, unsigned int index,
	       struct vfio_region_info **answer)
{
	struct vfio_region_info *info = NULL, *more;
	uint32_t size = sizeof(*info);
	int tries, ret = -EPROTO;

	for (tries = 0; tries < ANSWER_TRIES && size <= ANSWER_MAX; tries++) {
		ret = -ENOMEM;
		more = realloc(info, size);
		if (!more)
			break;
		info = more;
		ret = ask_once(device, index, info, size);
		if (ret)
			break;
		if (info->argsz <= size) {
			*answer = info;
			return 0;
		}
		size = info->argsz;
		ret = -EPROTO;
	}
	free(info);
	return ret;
}

/* Where in a region the MSI-X table is, if it is in it at all. */
static bool find_table(const struct vfioext_device *device, unsigned int index, uint64_t *offset,
		       uint64_t *size)
{
	uint32_t table, flags;
	int at;

	if (!device->pci || index > VFIO_PCI_BAR5_REGION_INDEX)
		return false;
	at = vfioext_config_capability(device, PCI_CAP_ID_MSIX);
	if (at <= 0)
		return false;
	table = vfioext_config_read(device, at + PCI_MSIX_TABLE, 4);
	flags = vfioext_config_read(device, at + PCI_MSIX_FLAGS, 2);
	*offset = table & PCI_MSIX_TABLE_OFFSET;
	*size = ((flags & PCI_MSIX_FLAGS_QSIZE) + 1) * (uint64_t)PCI_MSIX_ENTRY_SIZE;
	return (table & PCI_MSIX_TABLE_BIR) == index;
}

/*
 * A kernel that gives no areas and does not say that the table is no obstacle may
 * refuse a mapping that has the table's pages in it.
 */
static int find_areas(struct region *region, const struct parsed_region *parsed)
{
	struct vfioext_region *public = &region->public;
	struct vfioext_area around[2] = { { 0 } };
	uint64_t table, size;

	region->whole.size = parsed->size;
	public->areas = &region->whole;
	public->nr_areas = parsed->size ? 1 : 0;
	if (parsed->msix_mappable || !find_table(public->device, public->index, &table, &size))
		return 0;
	public->nr_areas = areas_around(parsed->size, table, size, page_size(), around);
	region->whole = around[0];
	if (public->nr_areas < 2)
		return 0;
	region->areas = malloc(sizeof(around));
	if (!region->areas)
		return -ENOMEM;
	memcpy(region->areas, around, sizeof(around));
	public->areas = region->areas;
	return 0;
}

/* Takes the parsed areas over if they are of use. */
static int take_areas(struct region *region, struct parsed_region *parsed)
{
	if (!(parsed->flags & VFIO_REGION_INFO_FLAG_MMAP) || parsed->offset % page_size() ||
	    !(region->public.flags & (VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE)))
		return 0;
	if (!parsed->sparse)
		return find_areas(region, parsed);
	region->areas = parsed->areas;
	region->public.areas = parsed->areas;
	region->public.nr_areas = parsed->nr_areas;
	parsed->areas = NULL;
	return 0;
}

static int take_answer(struct region *region, struct parsed_region *parsed)
{
	struct vfioext_region *public = &region->public;

	if (parsed->flags & VFIO_REGION_INFO_FLAG_READ)
		public->flags |= VFIOEXT_REGION_READ;
	if (parsed->flags & VFIO_REGION_INFO_FLAG_WRITE)
		public->flags |= VFIOEXT_REGION_WRITE;
	if (parsed->flags & VFIO_REGION_INFO_FLAG_MMAP)
		public->flags |= VFIOEXT_REGION_MMAP;
	public->size = parsed->size;
	public->type = parsed->type;
	public->subtype = parsed->subtype;
	region->file_offset = parsed->offset;
	return take_areas(region, parsed);
}

static void region_free(struct region *region)
{
	free(region->areas);
	free(region);
}

static int region_new(struct vfioext_device *device, unsigned int index, struct region **region)
{
	struct vfio_region_info *answer;
	struct parsed_region parsed;
	struct region *new;
	int ret;

	ret = ask(device, index, &answer);
	if (ret)
		return ret;
	ret = region_parse(answer, answer->argsz, page_size(), &parsed);
	free(answer);
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new) {
		ret = -ENOMEM;
		goto out;
	}
	new->public.device = device;
	new->public.index = index;
	ret = take_answer(new, &parsed);
	if (ret)
		region_free(new);
	else
		*region = new;
out:
	free(parsed.areas);
	return ret;
}

int vfioext_region_get(struct vfioext_device *device, unsigned int index,
		       struct vfioext_region **region)
{
	int ret = 0;

	if (index >= device->nr_regions)
		return -EINVAL;
	if (vfioext_device_lost(device))
		return -ENODEV;
	pthread_mutex_lock(&device->lock);
	if (!device->regions[index])
		ret = region_new(device, index, &device->regions[index]);
	if (!ret)
		*region = &device->regions[index]->public;
	pthread_mutex_unlock(&device->lock);
	return ret;
}

/* A register can be written on the fast path, so it is for what can be. */
static void fast_on(struct vfioext_region *public)
{
	unsigned int both = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE;
	const struct vfioext_area *largest = public->areas;
	size_t i;

	for (i = 1; i < public->nr_areas; i++)
		if (public->areas[i].size > largest->size)
			largest = &public->areas[i];
	if ((public->flags & both) != both || largest->size < 8)
		return;
	/* With the start as it is, no register is hit yet. */
	public->fast_start = largest->offset;
	__atomic_store_n(&public->fast_size, largest->size - 7, __ATOMIC_RELEASE);
}

static void fast_off(struct vfioext_region *public)
{
	__atomic_store_n(&public->fast_size, 0, __ATOMIC_RELEASE);
}

/*
 * Addresses for a region, and for a page behind it: to run over the end is a
 * fault, and see lose_region(). More is reserved, and cut to what is aligned.
 */
static int reserve(struct region *region)
{
	uint64_t page = page_size(), align = page, total, head;
	uint64_t size = round_up(region->public.size, page) + page;
	uint8_t *at;

	while (align < region->public.size && align < ALIGN_MAX)
		align <<= 1;
	total = size + align - page;
	if (total > SIZE_MAX)
		return -ENOMEM;
	at = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	head = round_up((uintptr_t)at, align) - (uintptr_t)at;
	if (head)
		munmap(at, head);
	if (total > head + size)
		munmap(at + head + size, total - head - size);
	region->reserved = at + head;
	region->reserved_size = size;
	return 0;
}

static void release(struct region *region)
{
	munmap(region->reserved, region->reserved_size);
	region->reserved = NULL;
	region->reserved_size = 0;
}

static int map_areas(struct region *region)
{
	const struct vfioext_region *public = &region->public;
	const struct vfioext_area *area;
	int prot = PROT_NONE;
	size_t i;

	if (public->flags & VFIOEXT_REGION_READ)
		prot |= PROT_READ;
	if (public->flags & VFIOEXT_REGION_WRITE)
		prot |= PROT_WRITE;
	for (i = 0; i < public->nr_areas; i++) {
		area = &public->areas[i];
		if (mmap((uint8_t *)region->reserved + area->offset, area->size, prot,
			 MAP_SHARED | MAP_FIXED, public->device->fd,
			 (off_t)(region->file_offset + area->offset)) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

static int map_region(struct region *region)
{
	struct vfioext_region *public = &region->public;
	int ret;

	if (public->base)
		return 0;
	if (!public->nr_areas)
		return -ENOTSUP;
	ret = reserve(region);
	if (ret)
		return ret;
	ret = map_areas(region);
	if (ret) {
		release(region);
		return ret;
	}
	__atomic_store_n(&public->base, region->reserved, __ATOMIC_RELEASE);
	fast_on(public);
	return 0;
}

/* The lock is held. */
static void unmap_region(struct region *region)
{
	if (!region->public.base)
		return;
	fast_off(&region->public);
	__atomic_store_n(&region->public.base, NULL, __ATOMIC_RELEASE);
	release(region);
}

int vfioext_region_map(struct vfioext_region *region)
{
	struct vfioext_device *device = region->device;
	int ret;

	pthread_mutex_lock(&device->lock);
	ret = vfioext_device_lost(device) ? -ENODEV : map_region(region_of(region));
	pthread_mutex_unlock(&device->lock);
	return ret;
}

void vfioext_region_unmap(struct vfioext_region *region)
{
	pthread_mutex_lock(&region->device->lock);
	unmap_region(region_of(region));
	pthread_mutex_unlock(&region->device->lock);
}

void regions_free(struct vfioext_device *device)
{
	unsigned int i;

	if (!device->regions)
		return;
	pthread_mutex_lock(&device->lock);
	for (i = 0; i < device->nr_regions; i++) {
		if (!device->regions[i])
			continue;
		unmap_region(device->regions[i]);
		region_free(device->regions[i]);
		device->regions[i] = NULL;
	}
	pthread_mutex_unlock(&device->lock);
}

/* A file of so many bytes that are all ones; without memory, of fewer. */
struct ones {
	int fd;
	uint64_t size;
};

static void ones_make(struct ones *ones, uint64_t size)
{
	struct rlimit limit;
	uint8_t block[4096];

	memset(block, 0xff, sizeof(block));
	ones->size = 0;
	ones->fd = memfd_create("vfioext-lost", MFD_CLOEXEC);
	if (ones->fd < 0)
		return;
	/* To write more than a process may is a signal that ends it. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && size > limit.rlim_cur)
		size = limit.rlim_cur - limit.rlim_cur % sizeof(block);
	while (ones->size < size && write(ones->fd, block, sizeof(block)) == sizeof(block))
		ones->size += sizeof(block);
	ones->size -= ones->size % page_size();
}

/*
 * Ones in the place of an area, again and again the same. What is written stays
 * the writer's where memory may be promised for that, else it shows in each of them.
 */
static bool lay_ones(uint8_t *at, uint64_t size, const struct ones *ones)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_FIXED | MAP_NORESERVE;
	uint64_t done, part;

	if (!ones->size || size / ones->size > CHUNKS_MAX)
		return false;
	for (done = 0; done < size; done += part) {
		part = size - done < ones->size ? size - done : ones->size;
		if (mmap(at + done, part, prot, flags | MAP_PRIVATE, ones->fd, 0) == MAP_FAILED &&
		    mmap(at + done, part, prot, flags | MAP_SHARED, ones->fd, 0) == MAP_FAILED)
			return false;
	}
	return true;
}

/*
 * One mapping for one. For a moment it is zeros, and a large one stays so, and if
 * there is no memory at all it is a fault to touch it; but it is not the device's.
 */
static bool lay_anything(uint8_t *at, uint64_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

	if (mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
		return mmap(at, size, PROT_NONE, flags, -1, 0) != MAP_FAILED;
	if (size <= FILL_MAX)
		memset(at, 0xff, size);
	return true;
}

/* The page behind the region is no more, so the process may have one mapping more. */
static void give_up_guard(struct region *region)
{
	uint64_t page = page_size();

	region->reserved_size -= page;
	munmap((uint8_t *)region->reserved + region->reserved_size, page);
}

/*
 * Each area is replaced in one step, and never left as it is: as long as anything
 * of the device is mapped, the host does not get it back. If mappings run out, one
 * of its own is given up, and from then on none is added.
 */
static void lose_region(struct region *region, const struct ones *ones)
{
	const struct vfioext_region *public = &region->public;
	uint64_t size, page = page_size();
	bool few = false;
	uint8_t *at;
	size_t i;

	fast_off(&region->public);
	for (i = 0; i < public->nr_areas; i++) {
		at = public->base + public->areas[i].offset;
		size = round_up(public->areas[i].size, page);
		if (!few && lay_ones(at, size, ones))
			continue;
		if (!few)
			give_up_guard(region);
		few = true;
		if (!lay_anything(at, size)) {
			unmap_region(region);
			return;
		}
	}
}

/* How much a chunk must be, so that no region takes too many. 0: none is mapped. */
static uint64_t chunk_size(const struct vfioext_device *device)
{
	uint64_t part, chunk = 0;
	unsigned int i;

	for (i = 0; i < device->nr_regions; i++) {
		if (!device->regions[i] || !device->regions[i]->public.base)
			continue;
		part = device->regions[i]->public.size / CHUNKS_MAX;
		if (part < CHUNK_MIN)
			part = CHUNK_MIN;
		if (part > chunk)
			chunk = part;
	}
	return round_up(chunk, page_size());
}

/*
 * The device is lost already, so accessors give ones; but its memory is still
 * mapped, and there may be pointers to it.
 */
void regions_lose(struct vfioext_device *device)
{
	struct ones ones;
	uint64_t chunk;
	unsigned int i;

	if (!device->regions)
		return;
	pthread_mutex_lock(&device->lock);
	chunk = chunk_size(device);
	if (!chunk)
		goto out;
	ones_make(&ones, chunk);
	for (i = 0; i < device->nr_regions; i++)
		if (device->regions[i] && device->regions[i]->public.base)
			lose_region(device->regions[i], &ones);
	if (ones.fd >= 0)
		close(ones.fd);
out:
	pthread_mutex_unlock(&device->lock);
}

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
	do
		done = pread(device_fd(region), piece->bytes, width, at);
	while (done < 0 && errno == EINTR);
	return finish(done, width);
}

static int write_piece(const struct vfioext_region *region, uint64_t offset,
		       const union piece *piece, unsigned int width)
{
	off_t at = (off_t)(region_of(region)->file_offset + offset);
	void *mapped = vfioext_region_pointer(region, offset, width);
	ssize_t done;

	if (mapped) {
		store(mapped, piece, width);
		return 0;
	}
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
	size_t done;
	int ret;

	ret = check_range(region, offset, size, VFIOEXT_REGION_READ);
	if (ret)
		return ret;
	if (vfioext_device_lost(region->device))
		ret = -ENODEV;
	for (done = 0; done < size && !ret; done += width) {
		width = piece_width(offset + done, size - done);
		ret = read_piece(region, offset + done, &piece, width);
		if (ret)
			break;
		memcpy(to + done, piece.bytes, width);
	}
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
	size_t done;
	int ret;

	ret = check_range(region, offset, size, VFIOEXT_REGION_WRITE);
	if (ret)
		return ret;
	if (vfioext_device_lost(region->device))
		return -ENODEV;
	for (done = 0; done < size && !ret; done += width) {
		width = piece_width(offset + done, size - done);
		memcpy(piece.bytes, from + done, width);
		ret = write_piece(region, offset + done, &piece, width);
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
	write_piece(region, offset, &piece, width);
}
