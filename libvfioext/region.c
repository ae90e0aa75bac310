// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Regions of a device: what the kernel says of them, and their mapping.
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
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/config.h>

#include "capabilities.h"
#include "region.h"

#define ANSWER_MAX 65536
#define ANSWER_TRIES 4

/* A mapping is aligned to this at most, the largest of the huge pages. */
#define ALIGN_MAX 0x40000000u

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
	if (!device_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info))
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
	struct vfio_region_info *answer = NULL;
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
		__atomic_store_n(region, new, __ATOMIC_RELEASE);
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
	/* While the size is 0 no register is in it. */
	public->fast_start = largest->offset;
	__atomic_store_n(&public->fast_size, largest->size - 7, __ATOMIC_RELEASE);
}

void region_fast_off(struct region *region)
{
	__atomic_store_n(&region->public.fast_size, 0, __ATOMIC_RELEASE);
}

/*
 * Addresses for a region, and for a page behind it: to run over the end is a
 * fault, and see region_lost.c. More is reserved, and cut to what is aligned.
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

static int file_of(const struct vfioext_region *public)
{
	struct remote *remote = public->device->remote;

	return remote ? remote->ops->region_fd(remote, public->index) : public->device->fd;
}

int vfioext_region_file(const struct vfioext_region *region, uint64_t *offset)
{
	if (vfioext_device_lost(region->device))
		return -ENODEV;
	if (!region->nr_areas)
		return -ENOTSUP;
	*offset = region_of(region)->file_offset;
	return file_of(region);
}

static int map_areas(struct region *region)
{
	const struct vfioext_region *public = &region->public;
	int prot = PROT_NONE, fd = file_of(public);
	const struct vfioext_area *area;
	size_t i;

	if (public->flags & VFIOEXT_REGION_READ)
		prot |= PROT_READ;
	if (public->flags & VFIOEXT_REGION_WRITE)
		prot |= PROT_WRITE;
	for (i = 0; i < public->nr_areas; i++) {
		area = &public->areas[i];
		if (mmap((uint8_t *)region->reserved + area->offset, area->size, prot,
			 MAP_SHARED | MAP_FIXED, fd,
			 (off_t)(region->file_offset + area->offset)) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

/* What others can make shorter is theirs, and no fault of ours. */
static int guard(struct region *region)
{
	struct remote *remote = region->public.device->remote;

	if (!remote)
		return 0;
	/* Not the page behind it, which may be given up. */
	return remote->ops->guard(remote, region->public.index, region->reserved,
				  region->reserved_size - page_size());
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
	if (!ret)
		ret = guard(region);
	if (ret) {
		release(region);
		return ret;
	}
	atomic_store(&public->device->mapped, true);
	__atomic_store_n(&public->base, region->reserved, __ATOMIC_RELEASE);
	fast_on(public);
	return 0;
}

void region_unmap(struct region *region)
{
	struct remote *remote = region->public.device->remote;

	if (!region->public.base)
		return;
	region_fast_off(region);
	__atomic_store_n(&region->public.base, NULL, __ATOMIC_RELEASE);
	if (remote)
		remote->ops->unguard(remote, region->public.index);
	release(region);
}

int vfioext_region_map(struct vfioext_region *region)
{
	struct vfioext_device *device = region->device;
	int ret;

	pthread_mutex_lock(&device->lock);
	ret = vfioext_device_lost(device) ? -ENODEV : map_region(region_of(region));
	/* Or it was while that was made. */
	if (vfioext_device_lost(device))
		region_fast_off(region_of(region));
	pthread_mutex_unlock(&device->lock);
	return ret;
}

void vfioext_region_unmap(struct vfioext_region *region)
{
	pthread_mutex_lock(&region->device->lock);
	region_unmap(region_of(region));
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
		region_unmap(device->regions[i]);
		region_free(device->regions[i]);
		device->regions[i] = NULL;
	}
	pthread_mutex_unlock(&device->lock);
}
