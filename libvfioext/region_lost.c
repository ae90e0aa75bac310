// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What takes the place of a lost device's regions: memory of all ones, where the
 * mappings were, so that pointers to them go on being good.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "region.h"

/* In the place of a lost region are so many mappings, of at least so many bytes each. */
#define CHUNKS_MAX 1024
#define CHUNK_MIN 65536

/* Without a file of ones, an area of up to this is filled by hand. */
#define FILL_MAX 0x1000000u

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

	region_fast_off(region);
	for (i = 0; i < public->nr_areas; i++) {
		at = public->base + public->areas[i].offset;
		size = round_up(public->areas[i].size, page);
		if (!few && lay_ones(at, size, ones))
			continue;
		if (!few)
			give_up_guard(region);
		few = true;
		if (!lay_anything(at, size)) {
			region_unmap(region);
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
