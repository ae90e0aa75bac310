// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory that devices see: what is mapped where, and how much more can be. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vfioext/dma.h>

#include "container.h"
#include "context.h"
#include "kernel_abi.h"
#include "remote.h"
#include "spapr.h"

#define INFO_MAX 65536
#define HUGE_SIZE (2ULL << 20)
#define CAP_IPC_LOCK_BIT 14

/* The kernel's number of the first user namespace never changes. */
#define INITIAL_USERS "user:[4026531837]"

/* Each time twice as far on, and so never in vain where there is room. */
#define SHARED_TRIES 32

/* Without a description of its own an IOMMU is taken to do what all do. */
static const struct vfioext_iova_range whole = { 0, (1ULL << 39) - 1 };

/* Without an IOMMU in between all addresses can be; but few devices can use all. */
static const struct vfioext_iova_range every = { 0, UINT64_MAX };
static const struct vfioext_iova_range usual[] = {
	{ 0, (1ULL << 39) - 1 }, { 1ULL << 39, (1ULL << 48) - 1 },
};

static void set_ranges(struct vfioext_container *container, struct vfioext_iova_range *ranges,
		       size_t nr)
{
	free(container->own_ranges);
	container->own_ranges = ranges;
	container->ranges = nr ? ranges : &whole;
	container->nr_ranges = nr ? nr : 1;
}

/*
 * A range is laid out as the kernel's own. Capabilities may lie on 4 bytes.
 * Those of another process's container were told by it, less what it uses itself.
 */
static void take_ranges(struct vfioext_container *container, const uint8_t *at, size_t size)
{
	struct vfio_iommu_type1_info_cap_iova_range capability;
	struct vfioext_iova_range *ranges;

	_Static_assert(sizeof(*ranges) == sizeof(capability.iova_ranges[0]), "a range");
	if (container->shared || size < sizeof(capability))
		return;
	memcpy(&capability, at, sizeof(capability));
	if (capability.nr_iovas > (size - sizeof(capability)) / sizeof(*ranges))
		return;
	ranges = calloc(capability.nr_iovas ? capability.nr_iovas : 1, sizeof(*ranges));
	if (!ranges)
		return;
	memcpy(ranges, at + sizeof(capability), capability.nr_iovas * sizeof(*ranges));
	set_ranges(container, ranges, capability.nr_iovas);
}

static void take_capability(struct vfioext_container *container, uint16_t id, const uint8_t *at,
			    size_t size)
{
	struct vfio_iommu_type1_info_dma_avail avail;

	if (id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
		take_ranges(container, at, size);
	} else if (id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL && size >= sizeof(avail)) {
		memcpy(&avail, at, sizeof(avail));
		container->limits.mappings_left = avail.avail;
	} else if (id == VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION) {
		container->limits.dirty_tracking = true;
	}
}

/* Each capability lies behind the one before, and so the chain ends. */
static void take_capabilities(struct vfioext_container *container, const uint8_t *info,
			      uint32_t size, uint32_t at)
{
	struct vfio_info_cap_header header;
	uint32_t last = 0;

	while (at > last && at <= size - sizeof(header)) {
		memcpy(&header, info + at, sizeof(header));
		take_capability(container, header.id, info + at, size - at);
		last = at;
		at = header.next;
	}
}

static int read_container(struct vfioext_container *container)
{
	struct vfio_iommu_type1_info *info = NULL, *more;
	uint32_t size = sizeof(*info);
	int ret = 0;

	do {
		more = realloc(info, size);
		if (!more) {
			ret = -ENOMEM;
			break;
		}
		info = more;
		memset(info, 0, size);
		info->argsz = size;
		if (ioctl(container->fd, VFIO_IOMMU_GET_INFO, info))
			ret = -errno;
		else if (info->argsz <= size)
			break;
		size = info->argsz;
	} while (!ret && size <= INFO_MAX);

	if (!ret && size <= INFO_MAX) {
		container->limits.page_sizes = info->iova_pgsizes;
		if (info->flags & VFIO_IOMMU_INFO_CAPS && size > sizeof(*info))
			take_capabilities(container, (uint8_t *)info, size, info->cap_offset);
	}
	free(info);
	return ret;
}

static int read_iommufd(struct vfioext_container *container)
{
	struct iommu_ioas_iova_ranges query = { .size = sizeof(query), .ioas_id = container->ioas };
	struct vfioext_iova_range *ranges;
	int ret;

	ioctl(container->fd, IOMMU_IOAS_IOVA_RANGES, &query);
	ranges = calloc(query.num_iovas ? query.num_iovas : 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	query.allowed_iovas = (uintptr_t)ranges;
	if (ioctl(container->fd, IOMMU_IOAS_IOVA_RANGES, &query)) {
		ret = -errno;
		free(ranges);
		return ret;
	}
	container->limits.page_sizes = query.out_iova_alignment;
	set_ranges(container, ranges, query.num_iovas);
	return 0;
}

/* Nothing is locked. */
static int read_remotes(struct vfioext_container *container)
{
	container->limits.locked_left = UINT64_MAX;
	container->ranges = &every;
	remote_read_limits(container);
	return 0;
}

/* A capability of another user namespace's is none to the kernel here. */
static bool is_initial_namespace(void)
{
	char name[32] = "";

	return readlink("/proc/self/ns/user", name, sizeof(name) - 1) < 0 || !strcmp(name, INITIAL_USERS);
}

/*
 * The kernel counts what is locked unless the process may lock without end: a container what the
 * process has locked, iommufd what its user has pinned, of which the process' own alone can be seen.
 */
static uint64_t locked_left(const struct vfioext_container *container)
{
	const char *what = container->backend == VFIOEXT_BACKEND_IOMMUFD ? "VmPin: %llu" : "VmLck: %llu";
	unsigned long long capabilities = 0, locked_kb = 0;
	FILE *file = fopen("/proc/self/status", "re");
	struct rlimit limit;
	char line[256];
	int found = 0;

	while (file && fgets(line, sizeof(line), file))
		found += sscanf(line, "CapEff: %llx", &capabilities) == 1 ||
			 sscanf(line, what, &locked_kb) == 1;
	if (file)
		fclose(file);
	if (found < 2 || getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    (capabilities & (1ULL << CAP_IPC_LOCK_BIT) && is_initial_namespace()))
		return UINT64_MAX;
	return limit.rlim_cur > locked_kb << 10 ? limit.rlim_cur - (locked_kb << 10) : 0;
}

static int read_limits(struct vfioext_container *container)
{
	struct vfioext_dma_limits *limits = &container->limits;
	int ret;

	memset(limits, 0, sizeof(*limits));
	limits->mappings_left = UINT64_MAX;
	limits->locked_left = locked_left(container);
	if (!container->shared) {
		container->ranges = &whole;
		container->nr_ranges = 1;
	}
	if (container->backend == VFIOEXT_BACKEND_USER)
		ret = read_remotes(container);
	else if (container->backend == VFIOEXT_BACKEND_IOMMUFD)
		ret = read_iommufd(container);
	else if (container->registered)
		ret = spapr_read(container);
	else
		ret = read_container(container);
	if (!limits->page_sizes)
		limits->page_sizes = (uint64_t)sysconf(_SC_PAGESIZE);
	return ret;
}

/* The IOMMU is there. What it does not tell is taken to be as usual. */
void dma_begin(struct vfioext_container *container)
{
	if (container->backend != VFIOEXT_BACKEND_NOIOMMU)
		read_limits(container);
}

static int check_kind(struct vfioext_container *container)
{
	if (container->backend == VFIOEXT_BACKEND_NOIOMMU)
		return context_fail(container->ctx, -ENOTSUP, "without an IOMMU nothing is mapped: "
				    "devices see physical addresses");
	return 0;
}

static int check_ready(struct vfioext_container *container)
{
	int ret = check_kind(container);

	if (!ret && !container->ready)
		ret = context_fail(container->ctx, -ENODEV, "no device is open in the container");
	return ret;
}

uint64_t dma_page_size(const struct vfioext_container *container)
{
	uint64_t host = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t smallest = container->limits.page_sizes & -container->limits.page_sizes;

	return smallest > host ? smallest : host;
}

static bool in_ranges(const struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	size_t i;

	for (i = 0; i < container->nr_ranges; i++)
		if (iova >= container->ranges[i].start &&
		    iova + size - 1 <= container->ranges[i].last)
			return true;
	return false;
}

static int check_room(struct vfioext_container *container)
{
	struct vfioext *ctx = container->ctx;

	/* What is known may be old: the process, and others, give back, too. */
	if (!container->limits.mappings_left)
		read_limits(container);
	if (!container->limits.mappings_left)
		return container->backend == VFIOEXT_BACKEND_USER ?
		       context_fail(ctx, -ENOSPC, "all mappings that the server of a device takes are "
				    "in use; map in larger pieces") :
		       context_fail(ctx, -ENOSPC, "all mappings that vfio allows a container are in use; "
				    "map in larger pieces, or raise vfio_iommu_type1's dma_entry_limit");
	return 0;
}

static int find_free(struct vfioext_container *container, struct mapping *mapping, uint64_t align)
{
	const struct vfioext_iova_range *ranges = container->ranges;
	size_t nr = container->nr_ranges;

	if (container->backend == VFIOEXT_BACKEND_USER) {
		ranges = usual;
		nr = sizeof(usual) / sizeof(usual[0]);
	}
	return mappings_find_free(container->mappings, ranges, nr, mapping->size, align,
				  &mapping->iova);
}

/* What does not fit may in a window that was not needed before. */
static bool add_window(struct vfioext_container *container)
{
	return container->registered && !spapr_add_window(container);
}

static int choose_iova(struct vfioext_container *container, struct mapping *mapping,
		       unsigned int flags)
{
	uint64_t align = dma_page_size(container);

	if (flags & VFIOEXT_DMA_FIXED) {
		if (mapping->iova % align || mapping->iova + mapping->size - 1 < mapping->iova)
			return -EINVAL;
		if (!in_ranges(container, mapping->iova, mapping->size) &&
		    (!add_window(container) ||
		     !in_ranges(container, mapping->iova, mapping->size)))
			return context_fail(container->ctx, -ERANGE,
					    "%#" PRIx64 " is not in a range that the IOMMU maps",
					    mapping->iova);
		return 0;
	}
	/* Where both are aligned alike the IOMMU can use its larger pages. */
	if (mapping->size >= HUGE_SIZE && !(mapping->vaddr % HUGE_SIZE))
		align = HUGE_SIZE;
	if (find_free(container, mapping, align) &&
	    (!add_window(container) || find_free(container, mapping, align)))
		return context_fail(container->ctx, -ENOSPC, "no %" PRIu64 " KiB in one piece are free "
				    "in what the IOMMU maps", mapping->size >> 10);
	return 0;
}

/*
 * What can be locked is the kernel's to say: it counts nothing for a mediated device, and iommufd
 * counts what is another process', too. These are the numbers to its refusal, if they explain it.
 */
static bool tell_locked(struct vfioext_container *container, const struct mapping *mapping)
{
	bool by_user = container->backend == VFIOEXT_BACKEND_IOMMUFD;
	uint64_t left = locked_left(container);

	if (left == UINT64_MAX || (left >= mapping->size && !by_user))
		return false;
	context_fail(container->ctx, 0, "%" PRIu64 " KiB cannot be locked in memory, %" PRIu64 " KiB are left%s; "
		     "raise RLIMIT_MEMLOCK (ulimit -l)", mapping->size >> 10, left >> 10,
		     by_user ? ", less what other processes of this user have" : "");
	return true;
}

static int fail_map(struct vfioext_container *container, int ret, const struct mapping *mapping)
{
	if (ret == -ENOMEM && tell_locked(container, mapping))
		return ret;
	if (ret == -EPERM && container->registered && container->groups->next)
		return context_fail(container->ctx, ret, "on POWER under a hypervisor each group has an "
				    "address space of its own; open its devices in a container of their own");
	if (ret == -EPERM && (container->registered || container->shared))
		return context_fail(container->ctx, ret, "on POWER a container maps for the process alone "
				    "that mapped in it first; have that one map");
	return context_fail(container->ctx, ret, "mapping %" PRIu64 " KiB at %#" PRIx64 ": %s",
			    mapping->size >> 10, mapping->iova, strerror(-ret));
}

static int map_in_kernel(struct vfioext_container *container, const struct mapping *mapping)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = (mapping->flags & VFIOEXT_DMA_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (mapping->flags & VFIOEXT_DMA_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = mapping->vaddr,
		.iova = mapping->iova,
		.size = mapping->size,
	};
	struct iommu_ioas_map ioas_map = {
		.size = sizeof(ioas_map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA |
			 (mapping->flags & VFIOEXT_DMA_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
			 (mapping->flags & VFIOEXT_DMA_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = container->ioas,
		.user_va = mapping->vaddr,
		.length = mapping->size,
		.iova = mapping->iova,
	};
	int ret = 0;

	if (container->backend == VFIOEXT_BACKEND_USER)
		return remote_map(container, mapping);
	if (container->registered)
		ret = spapr_register(container, mapping->vaddr, mapping->size);
	if (ret)
		return fail_map(container, ret, mapping);
	if (container->backend == VFIOEXT_BACKEND_IOMMUFD)
		ret = ioctl(container->fd, IOMMU_IOAS_MAP, &ioas_map);
	else
		ret = ioctl(container->fd, VFIO_IOMMU_MAP_DMA, &map);
	if (!ret)
		return 0;
	ret = -errno;
	if (container->registered)
		spapr_unregister(container, mapping->vaddr, mapping->size);
	return fail_map(container, ret, mapping);
}

static int unmap_in_kernel(struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	struct iommu_ioas_unmap ioas_unmap = {
		.size = sizeof(ioas_unmap),
		.ioas_id = container->ioas,
		.iova = iova,
		.length = size,
	};

	if (container->backend == VFIOEXT_BACKEND_USER)
		return remote_unmap(container, iova, size);
	if (container->backend == VFIOEXT_BACKEND_IOMMUFD)
		return ioctl(container->fd, IOMMU_IOAS_UNMAP, &ioas_unmap) ? -errno : 0;
	return ioctl(container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

/* Limits that there are change with each mapping. */
static void count(struct vfioext_container *container, bool mapped)
{
	struct vfioext_dma_limits *limits = &container->limits;

	if (limits->mappings_left != UINT64_MAX)
		limits->mappings_left += mapped ? -1 : 1;
}

/* Is exactly this mapped at a fixed place already? */
static bool is_mapped(struct vfioext_container *container, const struct mapping *mapping)
{
	struct mapping found;

	return mappings_at(container->mappings, mapping->iova, &found) &&
	       found.vaddr == mapping->vaddr &&
	       found.size == mapping->size && found.flags == mapping->flags;
}

static int map_once(struct vfioext_container *container, struct mapping *mapping,
		    unsigned int flags)
{
	int ret = choose_iova(container, mapping, flags);

	if (ret)
		return ret;
	if (flags & VFIOEXT_DMA_FIXED && is_mapped(container, mapping))
		return 0;
	ret = check_room(container);
	if (ret)
		return ret;
	ret = mappings_add(container->mappings, mapping);
	if (ret == -EEXIST)
		return context_fail(container->ctx, ret, "%#" PRIx64 " is mapped already, otherwise",
				    mapping->iova);
	if (ret)
		return ret;
	ret = map_in_kernel(container, mapping);
	if (ret)
		mappings_remove(container->mappings, mapping->iova, NULL);
	else
		count(container, true);
	return ret;
}

/*
 * The container's lock is held, and it is ready. What other processes have mapped in a
 * container that is shared the kernel alone knows: further on may be room.
 */
static int map_locked(struct vfioext_container *container, struct mapping *mapping,
		      unsigned int flags)
{
	bool chosen = !(flags & VFIOEXT_DMA_FIXED) && (container->shared || container->lent);
	uint64_t skip = mapping->size;
	int tries = 0, ret;

	do {
		ret = map_once(container, mapping, flags);
		if (ret != -EEXIST || !chosen)
			break;
		mappings_skip(container->mappings, skip);
		skip *= 2;
	} while (++tries < SHARED_TRIES);
	return ret;
}

/* What is not known may come to mean something. */
static int check_flags(struct vfioext_container *container, unsigned int flags)
{
	flags &= ~(VFIOEXT_DMA_READ | VFIOEXT_DMA_WRITE | VFIOEXT_DMA_FIXED);
	return flags ? context_fail(container->ctx, -EINVAL, "there are no flags %#x here", flags) : 0;
}

int vfioext_dma_map(struct vfioext_container *container, void *vaddr, uint64_t size,
		    unsigned int flags, uint64_t *iova)
{
	struct mapping mapping = {
		.vaddr = (uintptr_t)vaddr,
		.size = size,
		.flags = flags & (VFIOEXT_DMA_READ | VFIOEXT_DMA_WRITE),
	};
	uint64_t page;
	int ret;

	ret = check_flags(container, flags);
	if (ret)
		return ret;
	if (!mapping.flags)
		mapping.flags = VFIOEXT_DMA_READ | VFIOEXT_DMA_WRITE;
	if (flags & VFIOEXT_DMA_FIXED)
		mapping.iova = *iova;
	pthread_mutex_lock(&container->lock);
	ret = check_ready(container);
	page = dma_page_size(container);
	if (!ret && (!size || size % page || mapping.vaddr % page ||
		     mapping.vaddr + size - 1 < mapping.vaddr))
		ret = context_fail(container->ctx, -EINVAL,
				   "what is mapped begins and ends on a page of %" PRIu64 " bytes", page);
	if (!ret)
		ret = map_locked(container, &mapping, flags);
	if (!ret)
		*iova = mapping.iova;
	pthread_mutex_unlock(&container->lock);
	return ret;
}

/* Does the range hold mappings, all of them wholly? */
static int check_range(struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	struct mapping mapping;

	if (!size || iova + size - 1 < iova)
		return -EINVAL;
	if (mappings_by_iova(container->mappings, iova, &mapping) && mapping.iova != iova)
		return -EINVAL;
	if (!mappings_next(container->mappings, iova, &mapping) ||
	    mapping.iova > iova + size - 1)
		return -ENOENT;
	if (mappings_by_iova(container->mappings, iova + size - 1, &mapping) &&
	    mapping.iova + mapping.size != iova + size)
		return -EINVAL;
	return 0;
}

static bool is_one(struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	struct mapping mapping;

	return mappings_at(container->mappings, iova, &mapping) && mapping.size == size;
}

static void forget(struct vfioext_container *container, uint64_t iova)
{
	struct mapping mapping;

	if (mappings_remove(container->mappings, iova, &mapping))
		return;
	if (container->registered)
		spapr_unregister(container, mapping.vaddr, mapping.size);
	count(container, false);
}

/* One by one, up to an address. */
static int unmap_each(struct vfioext_container *container, uint64_t iova, uint64_t last)
{
	struct mapping mapping;
	int ret = 0;

	while (!ret && mappings_next(container->mappings, iova, &mapping) && mapping.iova <= last) {
		ret = unmap_in_kernel(container, mapping.iova, mapping.size);
		if (!ret)
			forget(container, mapping.iova);
	}
	return ret;
}

/* The IOMMU is gone, and the mappings with it, but where others have kept it. */
void dma_end(struct vfioext_container *container)
{
	struct mapping mapping;

	if (container->lent)
		unmap_each(container, 0, UINT64_MAX);
	while (mappings_next(container->mappings, 0, &mapping))
		mappings_remove(container->mappings, mapping.iova, NULL);
	if (container->registered)
		spapr_end(container);
	container->ready = false;
	container->tracked = false;
}

/* Mostly it is one mapping. Where there is no IOMMU any longer nothing is mapped. */
int dma_unmap_locked(struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	bool one = is_one(container, iova, size);
	struct mapping mapping;
	int ret = 0;

	if (!one)
		ret = check_range(container, iova, size);
	/* POWER's windows are told apart by the kernel only where a mapping lies in one. */
	if (!ret && !one && container->registered)
		return unmap_each(container, iova, iova + size - 1);
	if (!ret)
		ret = unmap_in_kernel(container, iova, size);
	if (ret)
		return ret;
	if (one)
		forget(container, iova);
	else
		while (mappings_next(container->mappings, iova, &mapping) &&
		       mapping.iova <= iova + size - 1)
			forget(container, mapping.iova);
	return 0;
}

int vfioext_dma_unmap(struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = check_kind(container);
	if (!ret)
		ret = dma_unmap_locked(container, iova, size);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int unmap_all_in_kernel(struct vfioext_container *container)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};

	if (container->backend != VFIOEXT_BACKEND_CONTAINER)
		return unmap_in_kernel(container, 0, UINT64_MAX);
	return ioctl(container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

int dma_unmap_own(struct vfioext_container *container)
{
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = unmap_each(container, 0, UINT64_MAX);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

int vfioext_dma_unmap_all(struct vfioext_container *container)
{
	struct mapping mapping;
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = check_kind(container);
	if (!ret && (container->shared || container->lent || container->registered))
		ret = unmap_each(container, 0, UINT64_MAX);
	else if (!ret && mappings_count(container->mappings))
		ret = unmap_all_in_kernel(container);
	while (!ret && mappings_next(container->mappings, 0, &mapping))
		forget(container, mapping.iova);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

int vfioext_dma_iova(const struct vfioext_container *container, const void *vaddr, uint64_t *iova)
{
	struct mapping mapping;

	if (!mappings_by_vaddr(container->mappings, (uintptr_t)vaddr, &mapping))
		return -ENOENT;
	*iova = mapping.iova + ((uintptr_t)vaddr - mapping.vaddr);
	return 0;
}

int vfioext_dma_vaddr(const struct vfioext_container *container, uint64_t iova, void **vaddr)
{
	struct mapping mapping;

	if (!mappings_by_iova(container->mappings, iova, &mapping))
		return -ENOENT;
	*vaddr = (void *)(uintptr_t)(mapping.vaddr + (iova - mapping.iova));
	return 0;
}

int vfioext_dma_get_limits(struct vfioext_container *container, struct vfioext_dma_limits *limits)
{
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = check_ready(container);
	if (!ret)
		ret = read_limits(container);
	*limits = container->limits;
	limits->mapped = mappings_count(container->mappings);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

int vfioext_dma_get_ranges(struct vfioext_container *container, struct vfioext_iova_range *ranges,
			   size_t max)
{
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = check_ready(container);
	if (!ret)
		ret = read_limits(container);
	if (!ret) {
		ret = (int)container->nr_ranges;
		max = max < container->nr_ranges ? max : container->nr_ranges;
		if (max)
			memcpy(ranges, container->ranges, max * sizeof(*ranges));
	}
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int dirty_pages(struct vfioext_container *container, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = { .argsz = sizeof(dirty), .flags = flags };

	return ioctl(container->fd, VFIO_IOMMU_DIRTY_PAGES, &dirty) ? -errno : 0;
}

int vfioext_dma_track(struct vfioext_container *container, bool track)
{
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = check_ready(container);
	if (!ret && !container->limits.dirty_tracking)
		ret = -ENOTSUP;
	if (!ret && track != container->tracked)
		ret = dirty_pages(container, track ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START :
						     VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
	if (!ret)
		container->tracked = track;
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int read_dirty(struct vfioext_container *container, uint64_t iova, uint64_t size,
		      uint64_t *bitmap)
{
	uint64_t page = container->limits.page_sizes & -container->limits.page_sizes;
	struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = iova,
		.size = size,
		.bitmap = {
			.pgsize = page,
			.size = (size / page + 63) / 64 * 8,
			.data = (void *)bitmap,
		},
	};
	_Alignas(8) uint8_t request[sizeof(struct vfio_iommu_type1_dirty_bitmap) + sizeof(get)];
	struct vfio_iommu_type1_dirty_bitmap *dirty = (void *)request;

	dirty->argsz = sizeof(request);
	dirty->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	memcpy(dirty->data, &get, sizeof(get));
	memset(bitmap, 0, get.bitmap.size);
	return ioctl(container->fd, VFIO_IOMMU_DIRTY_PAGES, request) ? -errno : 0;
}

int vfioext_dma_dirty(struct vfioext_container *container, uint64_t iova, uint64_t size,
		      uint64_t *bitmap)
{
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = check_ready(container);
	if (!ret && !container->tracked)
		ret = -ENOTSUP;
	if (!ret)
		ret = check_range(container, iova, size);
	if (!ret)
		ret = read_dirty(container, iova, size, bitmap);
	pthread_mutex_unlock(&container->lock);
	return ret;
}
