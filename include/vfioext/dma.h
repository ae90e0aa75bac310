/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_DMA_H
#define VFIOEXT_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/container.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a device may do with what is mapped, and how; values are or-ed. */
#define VFIOEXT_DMA_READ 0x1u
#define VFIOEXT_DMA_WRITE 0x2u
/** At the IOVA that the caller names, instead of one that is found for him. */
#define VFIOEXT_DMA_FIXED 0x4u
/** For vfioext_dma_alloc(): of huge pages, if there are any. */
#define VFIOEXT_DMA_HUGE 0x8u

/*
 * When the last device of a container is closed, moved away or lost, what was mapped there is
 * unmapped, but for iommufd and vfio-user, which need no device for a mapping. Then nothing
 * can be mapped until the next device is opened in it; to unmap is still good, finds nothing,
 * and vfioext_dma_free() frees what vfioext_dma_alloc() gave.
 */

/**
 * vfioext_dma_map() - let the devices of a container see memory
 * @container: a container that has a device
 * @vaddr: the memory, on a page's boundary; it is pinned, but not for vfio-user devices, and for
 *	mediated ones not before they use it
 * @size: bytes, a multiple of the page size
 * @flags: VFIOEXT_DMA_*; READ and WRITE if neither is there
 * @iova: where the devices see it; with VFIOEXT_DMA_FIXED where they are to
 *
 * An address that is found lies in the IOMMU's valid ranges, and is used again
 * after it was unmapped. Memory that is mapped already at that very address and
 * size is left as it is.
 *
 * On POWER memory is registered with the kernel before it is mapped, and mapped in
 * windows: the library registers it, and makes a second window, which all of the host's
 * memory fits in, when something does not fit in the first. A container there maps for the
 * process that mapped first alone: others, its children and those that it is shared with,
 * get -EPERM (tce_iommu_ioctl()).
 *
 * Servers of vfio-user devices map what vfioext_dma_alloc() of the same container gave. All
 * other memory goes by messages: that is slower, and needs a thread of the library.
 *
 * Return: 0; -EINVAL if an address or the size is not on a page's boundary, or a flag is unknown; -ERANGE
 * if the IOVA is in no valid range; -EEXIST if it overlaps what is mapped; -ENOSPC
 * if there is no room, or no mapping left (vfioext_message() of the container's
 * context says which, and what to do); -ENOMEM if the kernel has refused to lock memory, and
 * it says how much could be; -EFAULT if the memory cannot be accessed so; -ENODEV if there was no device in
 * the container yet, if the last one has left it (see above), or all of a vfio-user container
 * are lost; -ENOTSUP without an IOMMU; -EPERM on POWER for a second process,
 * or a second group; or the error of the kernel, or of a server.
 */
int vfioext_dma_map(struct vfioext_container *container, void *vaddr, uint64_t size,
		    unsigned int flags, uint64_t *iova);

/**
 * vfioext_dma_unmap() - the reverse
 * @container: the container
 * @iova: where a mapping begins
 * @size: bytes; the whole of one mapping, or of several that follow each other
 *
 * Return: 0; -ENOENT if nothing is mapped there, also when it was unmapped with the last
 * device; -EINVAL if a mapping is not wholly in it; -ENOTSUP without an IOMMU; or the
 * kernel's error.
 */
int vfioext_dma_unmap(struct vfioext_container *container, uint64_t iova, uint64_t size);

/**
 * vfioext_dma_unmap_all() - unmap all that is mapped
 * @container: the container
 *
 * Return: 0, also if nothing is mapped; -ENOTSUP without an IOMMU; or the kernel's error.
 */
int vfioext_dma_unmap_all(struct vfioext_container *container);

/**
 * vfioext_dma_iova() - where devices see memory
 * @container: the container
 * @vaddr: an address in mapped memory
 * @iova: where it goes
 *
 * Neither this nor vfioext_dma_vaddr() takes a lock or allocates; both may run
 * while others map and unmap, but not in a handler of a signal that may interrupt
 * just that. Of memory that is mapped more than once it gives
 * one of the places.
 *
 * Return: 0, or -ENOENT if it is not mapped.
 */
int vfioext_dma_iova(const struct vfioext_container *container, const void *vaddr,
		     uint64_t *iova);

/**
 * vfioext_dma_vaddr() - which memory devices see
 * @container: the container
 * @iova: an address as the devices use it
 * @vaddr: where it goes
 *
 * Return: 0, or -ENOENT if nothing is mapped there.
 */
int vfioext_dma_vaddr(const struct vfioext_container *container, uint64_t iova, void **vaddr);

/**
 * vfioext_dma_alloc() - allocate memory and map it
 * @container: the container
 * @size: bytes, rounded up to the page size
 * @flags: as of vfioext_dma_map(), and VFIOEXT_DMA_HUGE
 * @vaddr: where its address goes; zeroed; give it to vfioext_dma_free()
 * @iova: as of vfioext_dma_map()
 *
 * The memory stays until it is freed, mapped or not, also when the device is lost. What is not
 * freed when the container is, is the caller's, to be given to munmap().
 *
 * A child of fork() does not have it, and cannot use it (MADV_DONTFORK): devices would not see
 * its copy, and to make one of all that is pinned takes time and memory. For vfio-user devices
 * it is in a file, which a child shares. Memory of the caller's that is mapped is the caller's
 * affair.
 *
 * Return: as vfioext_dma_map(), or the error of making a file, for vfio-user devices.
 */
int vfioext_dma_alloc(struct vfioext_container *container, uint64_t size, unsigned int flags,
		      void **vaddr, uint64_t *iova);

/**
 * vfioext_dma_free() - unmap memory wherever it is mapped, and free it
 * @container: the container that it was allocated with
 * @vaddr: what vfioext_dma_alloc() gave
 * @size: what it was given
 *
 * Good as long as the container is, whatever became of the devices: a container of a device's
 * own stays until vfioext_device_close().
 *
 * Return: 0; -ENOENT if @vaddr is none of the container's, or was freed already; -EINVAL if it
 * is of another size, or was mapped as a part of something larger; or the kernel's error. On
 * an error the memory is as it was, but some of it may be unmapped.
 */
int vfioext_dma_free(struct vfioext_container *container, void *vaddr, uint64_t size);

/**
 * struct vfioext_dma_limits - how much can be mapped
 * @page_sizes: sizes of the IOMMU's pages, or-ed
 * @mapped: mappings that there are
 * @mappings_left: how many more there can be, UINT64_MAX if there is no limit
 * @locked_left: bytes that may still be locked as far as can be told, UINT64_MAX if there is no
 *	limit. The kernel alone decides: for a mediated device nothing is locked when it is mapped,
 *	and iommufd counts for all processes of a user, of which the others' part is not known here.
 * @dirty_tracking: the IOMMU can tell what devices wrote to
 */
struct vfioext_dma_limits {
	uint64_t page_sizes;
	uint64_t mapped;
	uint64_t mappings_left;
	uint64_t locked_left;
	bool dirty_tracking;
};

/**
 * vfioext_dma_get_limits() - how much can be mapped
 * @container: a container that has a device
 * @limits: where it goes
 *
 * Return: 0; -ENODEV if no device is in the container; -ENOTSUP without an IOMMU; or the
 * kernel's error.
 */
int vfioext_dma_get_limits(struct vfioext_container *container,
			   struct vfioext_dma_limits *limits);

/** struct vfioext_iova_range - from @start to @last, both valid. */
struct vfioext_iova_range {
	uint64_t start;
	uint64_t last;
};

/**
 * vfioext_dma_get_ranges() - which addresses the IOMMU maps
 * @container: a container that has a device
 * @ranges: where they go, in ascending order; may be NULL if @max is 0
 * @max: how many there is room for
 *
 * A device that comes or goes may change them, and on POWER so may memory that is mapped.
 *
 * Return: how many there are, which may be more than @max; or as vfioext_dma_get_limits().
 */
int vfioext_dma_get_ranges(struct vfioext_container *container, struct vfioext_iova_range *ranges,
			   size_t max);

/**
 * vfioext_dma_track() - begin or end to note what devices write to
 * @container: the container
 * @track: begin, or end
 *
 * When the last device leaves the container, that ends it.
 *
 * Return: 0, -ENOTSUP if it is not offered, -ENODEV if no device is in the container, or the
 * kernel's error.
 */
int vfioext_dma_track(struct vfioext_container *container, bool track);

/**
 * vfioext_dma_dirty() - what devices have written to since it was last asked
 * @container: a container that is tracked
 * @iova: where a mapping begins
 * @size: its bytes
 * @bitmap: a bit for each page of the smallest size, in words of the host's byte order: page
 *	N is @bitmap[N / 64] >> N % 64 & 1; (@size / page size + 63) / 64 words
 *
 * Return: 0; -EINVAL or -ENOENT as vfioext_dma_unmap(); -ENOTSUP if it is not tracked; -ENODEV
 * if no device is in the container; or the kernel's error.
 */
int vfioext_dma_dirty(struct vfioext_container *container, uint64_t iova, uint64_t size,
		      uint64_t *bitmap);

#ifdef __cplusplus
}
#endif

#endif
