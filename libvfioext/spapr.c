// SPDX-License-Identifier: LGPL-2.1-or-later
/* POWER's IOMMU: memory is registered, and mapped in windows. */
#include <errno.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "container.h"
#include "spapr.h"

/*
 * What the process has registered with any container, by its address in the place of IOVAs.
 * The kernel keeps that by process, and takes nothing that overlaps a piece and is another.
 * In the place of flags is how many containers have it; in container->registered, how many
 * mappings lie in it, or partly. Containers of a process that was forked are not its child's.
 */
static struct mappings *pieces;
static pid_t pieces_of;
static pthread_mutex_t pieces_lock = PTHREAD_MUTEX_INITIALIZER;

static int pieces_begin(void)
{
	int ret = 0;

	pthread_mutex_lock(&pieces_lock);
	if (pieces_of != getpid()) {
		mappings_free(pieces);
		pieces = mappings_new();
		pieces_of = getpid();
	}
	if (!pieces) {
		pieces_of = 0;
		ret = -ENOMEM;
	}
	pthread_mutex_unlock(&pieces_lock);
	return ret;
}

int spapr_begin(struct vfioext_container *container)
{
	if (ioctl(container->fd, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU) <= 0)
		return 0;
	container->registered = mappings_new();
	return container->registered ? pieces_begin() : -ENOMEM;
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
	/* What is registered counts once, however often it is mapped: only the kernel can tell. */
	container->limits.locked_left = UINT64_MAX;
	container->ranges = container->windows;
	container->nr_ranges = container->nr_windows;
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
	container->nr_ranges = container->nr_windows;
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

/* The first mapping of a container in it. */
static int register_piece(struct vfioext_container *container, struct mapping piece)
{
	int ret;

	piece.flags = 1;
	ret = mappings_add(container->registered, &piece);
	if (ret)
		return ret;
	ret = tell_registration(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, piece.vaddr, piece.size);
	if (ret)
		mappings_remove(container->registered, piece.iova, NULL);
	return ret;
}

static int use_piece(struct vfioext_container *container, const struct mapping *piece)
{
	struct mapping own;
	int ret;

	if (mappings_at(container->registered, piece->iova, &own)) {
		mappings_set_flags(container->registered, own.iova, own.flags + 1);
		return 0;
	}
	ret = register_piece(container, *piece);
	if (!ret)
		mappings_set_flags(pieces, piece->iova, piece->flags + 1);
	return ret;
}

static int new_piece(struct vfioext_container *container, uint64_t vaddr, uint64_t end)
{
	struct mapping piece = { .vaddr = vaddr, .iova = vaddr, .size = end - vaddr };
	int ret = mappings_add(pieces, &piece);

	if (ret)
		return ret;
	ret = use_piece(container, &piece);
	if (ret)
		mappings_remove(pieces, vaddr, NULL);
	return ret;
}

/* The container has it no longer. */
static void drop_piece(struct vfioext_container *container, uint64_t vaddr)
{
	struct mapping piece;

	mappings_remove(container->registered, vaddr, NULL);
	if (!mappings_at(pieces, vaddr, &piece))
		return;
	if (piece.flags > 1)
		mappings_set_flags(pieces, vaddr, piece.flags - 1);
	else
		mappings_remove(pieces, vaddr, NULL);
}

static void leave_piece(struct vfioext_container *container, const struct mapping *own)
{
	if (own->flags > 1) {
		mappings_set_flags(container->registered, own->iova, own->flags - 1);
		return;
	}
	tell_registration(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, own->vaddr, own->size);
	drop_piece(container, own->vaddr);
}

static void leave_pieces(struct vfioext_container *container, uint64_t vaddr, uint64_t end)
{
	struct mapping own;

	while (vaddr < end && mappings_by_iova(container->registered, vaddr, &own)) {
		vaddr = own.iova + own.size;
		leave_piece(container, &own);
	}
}

void spapr_unregister(struct vfioext_container *container, uint64_t vaddr, uint64_t size)
{
	pthread_mutex_lock(&pieces_lock);
	leave_pieces(container, vaddr, vaddr + size);
	pthread_mutex_unlock(&pieces_lock);
}

/* What lies in pieces that there are has them in common with others. */
int spapr_register(struct vfioext_container *container, uint64_t vaddr, uint64_t size)
{
	uint64_t at = vaddr, end = vaddr + size, next;
	struct mapping piece;
	int ret = 0;

	pthread_mutex_lock(&pieces_lock);
	while (at < end) {
		if (mappings_by_iova(pieces, at, &piece)) {
			next = piece.iova + piece.size;
			ret = use_piece(container, &piece);
		} else {
			next = mappings_next(pieces, at, &piece) && piece.iova < end ?
			       piece.iova : end;
			ret = new_piece(container, at, next);
		}
		if (ret)
			break;
		at = next;
	}
	if (ret)
		leave_pieces(container, vaddr, at);
	pthread_mutex_unlock(&pieces_lock);
	return ret;
}

void spapr_end(struct vfioext_container *container)
{
	struct mapping own;

	pthread_mutex_lock(&pieces_lock);
	while (mappings_next(container->registered, 0, &own))
		drop_piece(container, own.iova);
	pthread_mutex_unlock(&pieces_lock);
	container->nr_windows = 0;
}
