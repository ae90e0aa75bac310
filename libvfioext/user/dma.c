// SPDX-License-Identifier: LGPL-2.1-or-later
/* DMA: what clients say of their memory, and its use by devices. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "server.h"
#include "transfer.h"

static void log_limit(struct vfioext_user_device *device, enum limit limit, uint64_t iova)
{
	static const char *const texts[NR_LIMITS] = {
		[LIMIT_MAPS] = "refused: the client has as many maps as it may",
		[LIMIT_MAPPINGS] = "reached by messages: the client's files are mapped as often as they may",
		[LIMIT_BYTES] = "reached by messages: the client's files take as much address space as they may",
		[LIMIT_OPEN] = "reached by messages: as many of the client's files are open as may",
		[LIMIT_KIND] = "reached by messages: its file is not of memfd, tmpfs or hugetlbfs",
	};

	device_log_limit(device, limit, "memory at %#llx is %s", (unsigned long long)iova,
			 texts[limit]);
}

int command_dma_map(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	uint32_t modes = VFIO_USER_DMA_FLAG_MMAP | VFIO_USER_DMA_FLAG_FILE_IO;
	uint32_t access = VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE;
	struct vfioext_user_memory memory = { 0 };
	struct memory_file file = { .fd = -1 };
	struct vfio_user_dma_map map;
	enum limit limit;
	int ret;

	if (message->size < sizeof(map))
		return -EINVAL;
	memcpy(&map, message->body, sizeof(map));
	if (map.argsz < sizeof(map) || map.flags & ~(modes | access) || message->nr_fds > 1 ||
	    (map.flags & modes && !message->nr_fds))
		return -EINVAL;
	/* Both are the same numbers. */
	memory.flags = map.flags & access;
	memory.iova = map.address;
	memory.size = map.size;
	if (message->nr_fds) {
		file.fd = message->fds[0];
		file.offset = map.offset;
		file.mappable = (map.flags & modes) != VFIO_USER_DMA_FLAG_FILE_IO;
	}
	ret = memory_add(&device->memory, &memory, &file, &limit);
	if (limit)
		log_limit(device, limit, map.address);
	if (ret)
		return ret;
	if (device->ops->dma_map && !memory_in_range(&device->memory, map.address,
						     map.address + (map.size - 1), &memory))
		ret = device->ops->dma_map(device, &memory);
	if (ret) {
		memory_remove(&device->memory, map.address, map.size);
		return ret;
	}
	return session_answer(session, message, NULL, 0);
}

static int unmap_one(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	return device->ops->dma_unmap ? device->ops->dma_unmap(device, memory) : 0;
}

/* QEMU unmaps what a guest mapped page by page with ranges of a power of two. */
int dma_unmap_range(struct vfioext_user_device *device, uint64_t first, uint64_t last)
{
	struct vfioext_user_memory memory;
	int ret, used = 0;

	ret = memory_in_range(&device->memory, first, last, &memory);
	if (ret)
		return ret;
	do {
		ret = unmap_one(device, &memory);
		if (ret)
			return ret;
		used |= memory_remove(&device->memory, memory.iova, memory.size);
	} while (!memory_in_range(&device->memory, first, last, &memory));
	return used;
}

void dma_forget(struct vfioext_user_device *device)
{
	struct vfioext_user_memory memory;

	while (!memory_in_range(&device->memory, 0, UINT64_MAX, &memory)) {
		unmap_one(device, &memory);
		memory_remove(&device->memory, memory.iova, memory.size);
	}
}

/* The client is answered when nothing of it is in use. */
int command_dma_unmap(struct session *session, struct message *message)
{
	struct vfio_user_dma_unmap unmap;
	uint64_t last;
	bool all;
	int ret;

	if (message->size < sizeof(unmap))
		return -EINVAL;
	memcpy(&unmap, message->body, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) || unmap.flags & ~VFIO_USER_UNMAP_FLAG_ALL)
		return -EINVAL;
	all = unmap.flags;
	last = all ? UINT64_MAX : unmap.address + (unmap.size - 1);
	if (all ? unmap.address || unmap.size : !unmap.size || last < unmap.address)
		return -EINVAL;
	ret = dma_unmap_range(session->device, unmap.address, last);
	if (ret < 0 && !(all && ret == -ENOENT))
		return ret;
	if (ret > 0) {
		session->deferred_unmap = unmap;
		return -EINPROGRESS;
	}
	return session_answer(session, message, &unmap, sizeof(unmap));
}

/* The device may have been freed: with what was in use of it goes what is left of it. */
static void put_uses(struct vfioext_user_device *device, struct vfioext_user_use *uses, size_t nr)
{
	bool last = false;
	size_t i;

	for (i = 0; i < nr; i++)
		last = memory_unuse(&device->memory, uses[i].map);
	if (last)
		device_end(device);
}

/* One entry of a list, which may reach over several maps. Return: how many, or an error. */
static int get_one(struct vfioext_user_device *device, const struct vfioext_user_sg *sg,
		   uint32_t flags, struct iovec *iov, struct vfioext_user_use *uses, size_t room)
{
	uint64_t at = sg->iova, left = sg->size, part;
	struct memory_map *map;
	size_t nr = 0;
	int ret = 0;

	if (at + left < at)
		return -ENOENT;
	while (left && !ret) {
		map = nr < room ? memory_use(&device->memory, at, flags, &ret) : NULL;
		if (!map) {
			ret = ret ? ret : -ENOSPC;
			break;
		}
		part = map->public.size - (at - map->public.iova);
		part = part < left ? part : left;
		iov[nr].iov_len = part;
		uses[nr].map = map;
		if (map->public.vaddr)
			iov[nr].iov_base = (uint8_t *)map->public.vaddr + (at - map->public.iova);
		else
			ret = -EREMOTE;
		nr++;
		at += part;
		left -= part;
	}
	if (ret) {
		put_uses(device, uses, nr);
		return ret;
	}
	return (int)nr;
}

int vfioext_user_sgl_get(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
			 size_t nr_list, uint32_t flags, struct iovec *iov,
			 struct vfioext_user_use *uses, size_t nr)
{
	size_t i, done = 0;
	int ret;

	if (flags & ~(uint32_t)(VFIOEXT_USER_READ | VFIOEXT_USER_WRITE))
		return -EINVAL;
	for (i = 0; i < nr_list; i++) {
		ret = get_one(device, &list[i], flags, iov + done, uses + done, nr - done);
		if (ret < 0) {
			put_uses(device, uses, done);
			return ret;
		}
		done += (size_t)ret;
	}
	return (int)done;
}

void vfioext_user_sgl_put(struct vfioext_user_device *device, struct vfioext_user_use *uses,
			  size_t nr)
{
	put_uses(device, uses, nr);
}

static int access_file(const struct memory_map *map, uint64_t offset, uint8_t *buffer, size_t size,
		       bool write)
{
	ssize_t done;
	size_t at;

	for (at = 0; at < size; at += (size_t)done) {
		off_t place = (off_t)(map->offset + offset + at);

		done = write ? pwrite(map->file->fd, buffer + at, size - at, place) :
			       pread(map->file->fd, buffer + at, size - at, place);
		if (done < 0 && errno == EINTR)
			done = 0;
		else if (done <= 0)
			return done ? -errno : -EFAULT;
	}
	return 0;
}

/* Return: -EREMOTE if the client has to be asked for it. */
static int access_map(const struct memory_map *map, uint64_t offset, uint8_t *buffer, size_t size,
		      bool write)
{
	if (!map->file)
		return -EREMOTE;
	if (map->file->fd >= 0)
		return access_file(map, offset, buffer, size, write);
	return guard_copy(&map->file->mapped, (uint8_t *)map->public.vaddr + offset, buffer, size,
			  write);
}

static int access_one(struct vfioext_user_device *device, const struct vfioext_user_sg *sg,
		      uint8_t *buffer, bool write)
{
	uint32_t flags = write ? VFIOEXT_USER_WRITE : VFIOEXT_USER_READ;
	uint64_t at = sg->iova, left = sg->size, part;
	struct vfioext_user_use use;
	struct memory_map *map;
	int ret = 0;

	if (at + left < at)
		return -ENOENT;
	while (left && !ret) {
		map = memory_use(&device->memory, at, flags, &ret);
		if (!map)
			return ret;
		part = map->public.size - (at - map->public.iova);
		part = part < left ? part : left;
		ret = access_map(map, at - map->public.iova, buffer, part, write);
		use.map = map;
		put_uses(device, &use, 1);
		buffer += part;
		at += part;
		left -= part;
	}
	return ret;
}

int dma_access(struct vfioext_user_device *device, const struct vfioext_user_sg *list, size_t nr,
	       uint8_t *buffer, bool write)
{
	int ret = 0;
	size_t i;

	for (i = 0; i < nr && !ret; i++) {
		ret = access_one(device, &list[i], buffer, write);
		buffer += list[i].size;
	}
	return ret;
}

int vfioext_user_dma_read(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
			  size_t nr, void *buffer, vfioext_user_dma_fn done, void *data)
{
	int ret = dma_access(device, list, nr, buffer, false);

	if (ret != -EREMOTE || !done)
		return ret;
	return transfer_start(device, list, nr, buffer, false, done, data);
}

/* Nothing is written to @buffer. */
int vfioext_user_dma_write(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
			   size_t nr, const void *buffer, vfioext_user_dma_fn done, void *data)
{
	uint8_t *bytes = (uint8_t *)(uintptr_t)buffer;
	int ret = dma_access(device, list, nr, bytes, true);

	if (ret != -EREMOTE || !done)
		return ret;
	return transfer_start(device, list, nr, bytes, true, done, data);
}
