// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "version.h"

void memory_init(struct memory *memory)
{
	memset(memory, 0, sizeof(*memory));
	pthread_mutex_init(&memory->lock, NULL);
}

static void map_free(struct memory *memory, struct memory_map *map)
{
	bool last = false;

	if (map->file) {
		pthread_mutex_lock(&memory->lock);
		last = mapped_file_unuse(&memory->files, map->file);
		pthread_mutex_unlock(&memory->lock);
	}
	if (last)
		mapped_file_free(map->file);
	if (map->fd >= 0)
		close(map->fd);
	free(map);
}

void memory_destroy(struct memory *memory)
{
	while (memory->nr)
		map_free(memory, memory->list[--memory->nr]);
	free(memory->list);
	pthread_mutex_destroy(&memory->lock);
}

/* The first that ends behind an address. The lock is held. */
static size_t find(const struct memory *memory, uint64_t iova)
{
	size_t low = 0, high = memory->nr, middle;
	const struct vfioext_user_memory *public;

	while (low < high) {
		middle = low + (high - low) / 2;
		public = &memory->list[middle]->public;
		if (public->iova + (public->size - 1) < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Does a regular file have that much? Of others only the kernel knows. */
static int check_file(const struct memory_file *file, uint64_t size, struct stat *status)
{
	if (fstat(file->fd, status))
		return -errno;
	if (file->offset + size < size || file->offset + size > INT64_MAX ||
	    (file->mappable && file->offset % USER_PAGE))
		return -EINVAL;
	if (S_ISREG(status->st_mode) && (uint64_t)status->st_size < file->offset + size)
		return -EINVAL;
	return 0;
}

static int map_file(struct memory *memory, struct memory_map *map, const struct memory_file *file,
		    const struct stat *status)
{
	struct vfioext_user_memory *public = &map->public;
	int prot = 0, ret;

	if (public->flags & VFIOEXT_USER_READ)
		prot |= PROT_READ;
	if (public->flags & VFIOEXT_USER_WRITE)
		prot |= PROT_WRITE;
	pthread_mutex_lock(&memory->lock);
	map->file = mapped_file_find(memory->files, status, prot, file->offset + public->size);
	pthread_mutex_unlock(&memory->lock);
	if (!map->file) {
		ret = mapped_file_new(file->fd, status, prot, file->offset, public->size, &map->file);
		if (ret)
			return ret;
		pthread_mutex_lock(&memory->lock);
		mapped_file_share(&memory->files, map->file);
		pthread_mutex_unlock(&memory->lock);
	}
	public->vaddr = (uint8_t *)map->file->mapped.start + (file->offset - map->file->offset);
	return 0;
}

static int map_new(struct memory *memory, const struct vfioext_user_memory *public,
		   const struct memory_file *file, struct memory_map **map)
{
	struct memory_map *new = calloc(1, sizeof(*new));
	struct stat status;
	int ret = 0;

	if (!new)
		return -ENOMEM;
	new->public = *public;
	new->public.vaddr = NULL;
	new->fd = -1;
	new->offset = file->offset;
	if (file->fd >= 0)
		ret = check_file(file, public->size, &status);
	if (!ret && file->fd >= 0 && file->mappable)
		ret = map_file(memory, new, file, &status);
	if (!ret && file->fd >= 0 && !file->mappable) {
		new->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
		ret = new->fd < 0 ? -errno : 0;
	}
	if (ret) {
		map_free(memory, new);
		return ret;
	}
	*map = new;
	return 0;
}

static int make_room(struct memory *memory)
{
	size_t room = memory->room ? memory->room * 2 : 64;
	struct memory_map **more;

	if (memory->nr < memory->room)
		return 0;
	more = realloc(memory->list, room * sizeof(struct memory_map *));
	if (!more)
		return -ENOMEM;
	memory->list = more;
	memory->room = room;
	return 0;
}

/* The lock is held. */
static int insert(struct memory *memory, struct memory_map *map)
{
	const struct vfioext_user_memory *public = &map->public;
	size_t at = find(memory, public->iova);
	int ret;

	if (at < memory->nr && memory->list[at]->public.iova <= public->iova + (public->size - 1))
		return -EEXIST;
	if (memory->nr == USER_MAPS_MAX)
		return -ENOSPC;
	ret = make_room(memory);
	if (ret)
		return ret;
	memmove(&memory->list[at + 1], &memory->list[at],
		(memory->nr - at) * sizeof(struct memory_map *));
	memory->list[at] = map;
	memory->nr++;
	return 0;
}

int memory_add(struct memory *memory, const struct vfioext_user_memory *public,
	       const struct memory_file *file)
{
	struct memory_map *map = NULL;
	int ret;

	if (!public->size || public->size % USER_PAGE || public->iova % USER_PAGE ||
	    public->iova + (public->size - 1) < public->iova || public->size > SIZE_MAX)
		return -EINVAL;
	ret = map_new(memory, public, file, &map);
	if (ret)
		return ret;
	pthread_mutex_lock(&memory->lock);
	ret = insert(memory, map);
	pthread_mutex_unlock(&memory->lock);
	if (ret)
		map_free(memory, map);
	return ret;
}

/* The lock is held. Return: its place, or -1. */
static ssize_t find_exact(const struct memory *memory, uint64_t iova, uint64_t size)
{
	size_t at = find(memory, iova);

	if (at == memory->nr || memory->list[at]->public.iova != iova ||
	    memory->list[at]->public.size != size)
		return -1;
	return (ssize_t)at;
}

int memory_remove(struct memory *memory, uint64_t iova, uint64_t size)
{
	struct memory_map *map = NULL;
	bool used = false;
	ssize_t at;

	pthread_mutex_lock(&memory->lock);
	at = find_exact(memory, iova, size);
	if (at >= 0) {
		map = memory->list[at];
		memory->nr--;
		memmove(&memory->list[at], &memory->list[at + 1],
			(memory->nr - (size_t)at) * sizeof(struct memory_map *));
		used = map->users;
		map->dying = used;
		memory->nr_dying += used;
	}
	pthread_mutex_unlock(&memory->lock);
	if (!map)
		return -ENOENT;
	if (!used)
		map_free(memory, map);
	return used;
}

int memory_in_range(struct memory *memory, uint64_t first, uint64_t last,
		    struct vfioext_user_memory *public)
{
	int ret = -ENOENT;
	size_t begin, end;

	pthread_mutex_lock(&memory->lock);
	begin = find(memory, first);
	end = find(memory, last);
	if (end < memory->nr && memory->list[end]->public.iova <= last)
		end++;
	if (begin < end) {
		*public = memory->list[end - 1]->public;
		ret = memory->list[begin]->public.iova < first ||
		      public->iova + (public->size - 1) > last ? -EINVAL : 0;
	}
	pthread_mutex_unlock(&memory->lock);
	return ret;
}

bool memory_is_dying(struct memory *memory)
{
	bool dying;

	pthread_mutex_lock(&memory->lock);
	dying = memory->nr_dying;
	pthread_mutex_unlock(&memory->lock);
	return dying;
}

static bool is_in(const struct memory *memory, size_t at, uint64_t iova)
{
	return at < memory->nr && iova - memory->list[at]->public.iova < memory->list[at]->public.size;
}

struct memory_map *memory_use(struct memory *memory, uint64_t iova, uint32_t flags, int *error)
{
	struct memory_map *map = NULL;
	size_t at;

	pthread_mutex_lock(&memory->lock);
	at = memory->last;
	if (!is_in(memory, at, iova))
		at = find(memory, iova);
	if (!is_in(memory, at, iova)) {
		*error = -ENOENT;
	} else if ((memory->list[at]->public.flags & flags) != flags) {
		*error = -EACCES;
	} else {
		memory->last = at;
		map = memory->list[at];
		map->users++;
	}
	pthread_mutex_unlock(&memory->lock);
	return map;
}

bool memory_unuse(struct memory *memory, struct memory_map *map)
{
	bool last;

	pthread_mutex_lock(&memory->lock);
	last = !--map->users && map->dying;
	pthread_mutex_unlock(&memory->lock);
	if (!last)
		return false;
	/* As long as it is counted nobody is told that it is gone. */
	map_free(memory, map);
	pthread_mutex_lock(&memory->lock);
	memory->nr_dying--;
	pthread_mutex_unlock(&memory->lock);
	return true;
}

int memory_copy(struct memory *memory, struct vfioext_user_memory **list, size_t *nr)
{
	struct vfioext_user_memory *copy;
	size_t i;

	pthread_mutex_lock(&memory->lock);
	copy = malloc((memory->nr ? memory->nr : 1) * sizeof(*copy));
	for (i = 0; copy && i < memory->nr; i++)
		copy[i] = memory->list[i]->public;
	*nr = copy ? memory->nr : 0;
	pthread_mutex_unlock(&memory->lock);
	*list = copy;
	return copy ? 0 : -ENOMEM;
}
