// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory for DMA that is allocated here. It is known by its address until it is freed, apart
 * from what is mapped: with the last device of a container its mappings go, and the memory
 * is to be freed all the same.
 *
 * In container->allocated it is by its address in the place of IOVAs. In the place of the
 * address is the size that was asked for, and in that of flags the file that it is in, so that
 * servers of vfio-user can map it, or NO_FILE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/dma.h>

#include "container.h"
#include "region.h"
#include "remote.h"

#define HUGE_SIZE (2ULL << 20)
#define SIZE_LIMIT (64ULL << 40)
#define NO_FILE UINT32_MAX

static void *address_of(const struct mapping *memory)
{
	return (void *)(uintptr_t)memory->iova;
}

/* What the kernel makes huge pages of has to lie as they do. */
static void *map_aligned(uint64_t size)
{
	uint8_t *memory = mmap(NULL, size + HUGE_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t lead;

	if (memory == MAP_FAILED)
		return memory;
	lead = -(uintptr_t)memory % HUGE_SIZE;
	if (lead)
		munmap(memory, lead);
	memory += lead;
	munmap(memory + size, HUGE_SIZE - lead);
	madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

/* Of huge pages that were set aside, else of those that the kernel makes up. */
static void *map_anonymous(uint64_t size, bool huge)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	void *memory = MAP_FAILED;

	if (huge && !(size % HUGE_SIZE))
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
	if (memory == MAP_FAILED && huge)
		return map_aligned(size);
	return memory != MAP_FAILED ? memory :
	       mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

static int allocate_anonymous(bool huge, struct mapping *memory)
{
	void *at = map_anonymous(memory->size, huge);

	if (at == MAP_FAILED)
		return -ENOMEM;
	/*
	 * It is pinned, and so fork() would copy it page by page, for a child whose copy no
	 * device sees.
	 */
	madvise(at, memory->size, MADV_DONTFORK);
	memory->iova = (uintptr_t)at;
	memory->flags = NO_FILE;
	return 0;
}

/* That it cannot be made shorter keeps servers from making our memory a fault to touch. */
static int make_file(uint64_t size, unsigned int flags)
{
	int fd = memfd_create("vfioext-dma", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)size) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -ENOMEM;
}

static int map_file(unsigned int flags, struct mapping *memory)
{
	int fd = make_file(memory->size, flags);
	void *at;

	if (fd < 0)
		return fd;
	at = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	memory->iova = (uintptr_t)at;
	memory->flags = (uint32_t)fd;
	return 0;
}

static int allocate_file(bool huge, struct mapping *memory)
{
	int ret = -ENOMEM;

	if (huge && !(memory->size % HUGE_SIZE))
		ret = map_file(MFD_HUGETLB, memory);
	if (ret)
		ret = map_file(0, memory);
	if (!ret && huge)
		madvise(address_of(memory), memory->size, MADV_HUGEPAGE);
	return ret;
}

static void release(const struct mapping *memory)
{
	if (memory->flags != NO_FILE)
		close((int)memory->flags);
	munmap(address_of(memory), memory->size);
}

static int allocate(struct vfioext_container *container, bool huge, struct mapping *memory)
{
	int ret;

	ret = container->backend == VFIOEXT_BACKEND_USER ? allocate_file(huge, memory) :
							   allocate_anonymous(huge, memory);
	if (ret)
		return ret;
	pthread_mutex_lock(&container->lock);
	ret = mappings_add(container->allocated, memory);
	pthread_mutex_unlock(&container->lock);
	if (ret)
		release(memory);
	return ret;
}

static void forget(struct vfioext_container *container, const struct mapping *memory)
{
	pthread_mutex_lock(&container->lock);
	mappings_remove(container->allocated, memory->iova, NULL);
	pthread_mutex_unlock(&container->lock);
}

int vfioext_dma_alloc(struct vfioext_container *container, uint64_t size, unsigned int flags,
		      void **vaddr, uint64_t *iova)
{
	struct mapping memory = { .vaddr = size };
	int ret;

	if (!size || size > SIZE_LIMIT)
		return -EINVAL;
	memory.size = round_up(size, dma_page_size(container));
	ret = allocate(container, flags & VFIOEXT_DMA_HUGE, &memory);
	if (ret)
		return ret;
	ret = vfioext_dma_map(container, address_of(&memory), memory.size,
			      flags & ~VFIOEXT_DMA_HUGE, iova);
	if (ret) {
		forget(container, &memory);
		release(&memory);
		return ret;
	}
	*vaddr = address_of(&memory);
	return 0;
}

/* Wherever it is mapped, whole or in parts. The container's lock is held. */
static int unmap_memory(struct vfioext_container *container, const struct mapping *memory)
{
	uint64_t first = memory->iova, last = first + memory->size - 1;
	struct mapping mapping;
	int ret = 0;

	if (mappings_by_vaddr(container->mappings, first, &mapping) && mapping.vaddr < first)
		return -EINVAL;
	while (!ret && mappings_next_vaddr(container->mappings, first, &mapping) &&
	       mapping.vaddr <= last)
		ret = mapping.size - 1 > last - mapping.vaddr ? -EINVAL :
		      dma_unmap_locked(container, mapping.iova, mapping.size);
	return ret;
}

int vfioext_dma_free(struct vfioext_container *container, void *vaddr, uint64_t size)
{
	struct mapping memory;
	int ret = 0;

	pthread_mutex_lock(&container->lock);
	if (!mappings_at(container->allocated, (uintptr_t)vaddr, &memory))
		ret = -ENOENT;
	else if (size != memory.vaddr && size != memory.size)
		ret = -EINVAL;
	if (!ret)
		ret = unmap_memory(container, &memory);
	if (!ret)
		mappings_remove(container->allocated, memory.iova, NULL);
	pthread_mutex_unlock(&container->lock);
	if (!ret)
		release(&memory);
	return ret;
}

void allocation_find_file(const struct vfioext_container *container,
			  struct remote_memory *memory)
{
	uint64_t vaddr = (uintptr_t)memory->vaddr;
	struct mapping file;

	if (!mappings_by_iova(container->allocated, vaddr, &file) || file.flags == NO_FILE ||
	    memory->size > file.size - (vaddr - file.iova))
		return;
	memory->fd = (int)file.flags;
	memory->offset = vaddr - file.iova;
}

void allocations_forget(struct vfioext_container *container)
{
	struct mapping memory;

	if (!container->allocated)
		return;
	while (mappings_next(container->allocated, 0, &memory)) {
		mappings_remove(container->allocated, memory.iova, NULL);
		if (memory.flags != NO_FILE)
			close((int)memory.flags);
	}
	mappings_free(container->allocated);
}
