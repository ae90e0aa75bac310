// SPDX-License-Identifier: LGPL-2.1-or-later
/* POWER's IOMMU: memory is registered, and mapped in windows. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "container.h"
#include "spapr.h"

int spapr_begin(struct vfioext_container *container)
{
	if (ioctl(container->fd, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU) <= 0)
		return 0;
	container->registered = mappings_new();
	return container->registered ? 0 : -ENOMEM;
}

static int get_info(struct vfioext_container *container, struct vfio_iommu_spapr_tce_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return ioctl(container->fd, VFIO_IOMMU_SPAPR_TCE_GET_INFO, info) ? -errno : 0;
}

/* The first window is the kernel's, and has pages of 4 KiB. */
int spapr_read(struct vfioext_container *container)
{
	struct vfio_iommu_spapr_tce_info info;
	int ret;

	if (!container->nr_windows) {
		ret = get_info(container, &info);
		if (ret)
			return ret;
		if (!info.dma32_window_size)
			return -EPROTO;
		container->windows[0].start = info.dma32_window_start;
		container->windows[0].last = (uint64_t)info.dma32_window_start +
					     info.dma32_window_size - 1;
		container->nr_windows = 1;
	}
	container->limits.page_sizes = 4096;
	container->limits.ranges = container->windows;
	container->limits.nr_ranges = container->nr_windows;
	return 0;
}

/* The largest page of a window that any page of memory has room for. */
static uint32_t choose_page_shift(uint64_t page_sizes)
{
	uint64_t fitting = page_sizes & ((uint64_t)sysconf(_SC_PAGESIZE) * 2 - 1);

	return fitting ? 63 - (uint32_t)__builtin_clzll(fitting) : 0;
}

static uint64_t size_of_memory(void)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t size = 1ULL << 30;

	while (size < bytes)
		size <<= 1;
	return size;
}

static void insert_window(struct vfioext_container *container, uint64_t start, uint64_t size)
{
	size_t at = container->nr_windows++;

	for (; at && container->windows[at - 1].start > start; at--)
		container->windows[at] = container->windows[at - 1];
	container->windows[at].start = start;
	container->windows[at].last = start + size - 1;
	container->limits.nr_ranges = container->nr_windows;
}

int spapr_add_window(struct vfioext_container *container)
{
	struct vfio_iommu_spapr_tce_create create = { .argsz = sizeof(create), .levels = 1 };
	struct vfio_iommu_spapr_tce_info info;
	int ret;

	if (container->nr_windows == SPAPR_WINDOWS)
		return -ENOSPC;
	ret = get_info(container, &info);
	if (ret)
		return ret;
	create.page_shift = choose_page_shift(info.ddw.pgsizes);
	if (!(info.flags & VFIO_IOMMU_SPAPR_INFO_DDW) || !create.page_shift ||
	    info.ddw.max_dynamic_windows_supported <= container->nr_windows)
		return -ENOSPC;
	create.window_size = size_of_memory();
	if (ioctl(container->fd, VFIO_IOMMU_SPAPR_TCE_CREATE, &create))
		return -errno;
	insert_window(container, create.start_addr, create.window_size);
	return 0;
}

static int tell_registration(struct vfioext_container *container, unsigned long request,
			     uint64_t vaddr, uint64_t size)
{
	struct vfio_iommu_spapr_register_memory memory = {
		.argsz = sizeof(memory),
		.vaddr = vaddr,
		.size = size,
	};

	return ioctl(container->fd, request, &memory) ? -errno : 0;
}

/* A piece of memory; in the place of flags is how many mappings lie in it, or partly. */
static int register_piece(struct vfioext_container *container, uint64_t vaddr, uint64_t end)
{
	struct mapping piece = { .vaddr = vaddr, .iova = vaddr, .size = end - vaddr, .flags = 1 };
	int ret = mappings_add(container->registered, &piece);

	if (ret)
		return ret;
	ret = tell_registration(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, vaddr, end - vaddr);
	if (ret)
		mappings_remove(container->registered, vaddr, NULL);
	return ret;
}

/* It is there, and what was freed for it is enough to add it again. */
static void change_count(struct vfioext_container *container, struct mapping *piece, int by)
{
	mappings_remove(container->registered, piece->iova, NULL);
	piece->flags += by;
	if (piece->flags)
		mappings_add(container->registered, piece);
	else
		tell_registration(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, piece->vaddr,
				  piece->size);
}

void spapr_unregister(struct vfioext_container *container, uint64_t vaddr, uint64_t size)
{
	uint64_t end = vaddr + size;
	struct mapping piece;

	while (vaddr < end && mappings_by_iova(container->registered, vaddr, &piece)) {
		vaddr = piece.iova + piece.size;
		change_count(container, &piece, -1);
	}
}

/*
 * What lies in pieces that are registered has them in common with others; the kernel
 * takes none that overlap.
 */
int spapr_register(struct vfioext_container *container, uint64_t vaddr, uint64_t size)
{
	uint64_t at = vaddr, end = vaddr + size, next;
	struct mapping piece;
	int ret;

	while (at < end) {
		if (mappings_by_iova(container->registered, at, &piece)) {
			at = piece.iova + piece.size;
			change_count(container, &piece, 1);
			continue;
		}
		next = mappings_next(container->registered, at, &piece) && piece.iova < end ?
		       piece.iova : end;
		ret = register_piece(container, at, next);
		if (ret) {
			spapr_unregister(container, vaddr, at - vaddr);
			return ret;
		}
		at = next;
	}
	return 0;
}

void spapr_end(struct vfioext_container *container)
{
	struct mapping piece;

	while (mappings_next(container->registered, 0, &piece))
		mappings_remove(container->registered, piece.iova, NULL);
	container->nr_windows = 0;
}
