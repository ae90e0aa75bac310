// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "../tree.h"
#include "memory.h"
#include "version.h"

/* Of each map there is its address as the other one. */
struct memory_index {
	struct tree tree;
	struct nodes nodes;
};

static const struct vfioext_user_limits defaults = {
	.max_maps = USER_MAPS_MAX,
	.max_mappings = 1024,
	.max_bytes = 2ULL << 40,
	.max_open = 64,
};

/* Whatever is asked for: sums of so many numbers of bytes are numbers. */
#define BYTES_MAX 0x1000000000000ULL

static uint64_t choose(uint64_t asked, uint64_t otherwise, uint64_t most)
{
	if (!asked)
		return otherwise;
	return asked < most ? asked : most;
}

void memory_set_limits(struct memory *memory, const struct vfioext_user_limits *limits)
{
	struct vfioext_user_limits *own = &memory->files.limits;

	pthread_mutex_lock(&memory->lock);
	*own = *limits;
	own->max_maps = (unsigned int)choose(limits->max_maps, defaults.max_maps, USER_MAPS_MAX);
	own->max_mappings = (unsigned int)choose(limits->max_mappings, defaults.max_mappings,
						 UINT32_MAX);
	own->max_bytes = choose(limits->max_bytes, defaults.max_bytes, BYTES_MAX);
	own->max_open = (unsigned int)choose(limits->max_open, defaults.max_open, UINT32_MAX);
	pthread_mutex_unlock(&memory->lock);
}

int memory_init(struct memory *memory, int wake)
{
	memset(memory, 0, sizeof(*memory));
	memory->wake = wake;
	memory->index = aligned_alloc(CACHE_LINE, sizeof(*memory->index));
	if (!memory->index)
		return -ENOMEM;
	memset(memory->index, 0, sizeof(*memory->index));
	if (tree_init(&memory->index->tree, &memory->index->nodes, true)) {
		free(memory->index);
		return -ENOMEM;
	}
	pthread_mutex_init(&memory->lock, NULL);
	memory->files.limits = defaults;
	return 0;
}

static void map_free(struct memory *memory, struct memory_map *map)
{
	if (map->file)
		client_file_put(&memory->files, &memory->lock, map->file, map->public.size);
	free(map);
}

bool memory_close(struct memory *memory)
{
	bool unused;

	pthread_mutex_lock(&memory->lock);
	memory->closed = true;
	unused = !memory->nr_dying;
	pthread_mutex_unlock(&memory->lock);
	return unused;
}

static uint64_t last_of(const struct memory_map *map)
{
	return map->public.iova + (map->public.size - 1);
}

static struct memory_map *map_at(const struct path *path)
{
	return get(path->node[0]->nr) ?
	       (struct memory_map *)(uintptr_t)get(path->node[0]->other[path->at[0]]) : NULL;
}

/* The last that does not begin behind an address. The lock is held, here and below. */
static struct memory_map *find_upto(const struct memory *memory, uint64_t iova)
{
	struct memory_map *map = map_at(tree_seek(&memory->index->tree, iova, 0));

	return map && map->public.iova <= iova ? map : NULL;
}

/* The one that an address is in. */
static struct memory_map *find(const struct memory *memory, uint64_t iova)
{
	struct memory_map *map = find_upto(memory, iova);

	return map && last_of(map) >= iova ? map : NULL;
}

static void take_out(struct memory *memory, struct memory_map *map)
{
	tree_remove(&memory->index->tree, &memory->index->nodes, map->public.iova, 0);
	memory->nr--;
	if (memory->last == map)
		memory->last = NULL;
}

void memory_destroy(struct memory *memory)
{
	struct memory_map *map;

	while ((map = find_upto(memory, UINT64_MAX))) {
		take_out(memory, map);
		map_free(memory, map);
	}
	nodes_free(&memory->index->nodes);
	free(memory->index);
	pthread_mutex_destroy(&memory->lock);
}

/* Beyond a limit it is as if the client had given no file. */
static int take_file(struct memory *memory, struct memory_map *map, const struct memory_file *file,
		     enum limit *limit)
{
	struct vfioext_user_memory *public = &map->public;
	int ret;

	ret = client_file_get(&memory->files, &memory->lock, file, public->flags, public->size,
			      &map->file, limit);
	if (ret == -ENOSPC && *limit)
		return 0;
	if (ret)
		return ret;
	if (map->file->fd < 0)
		public->vaddr = (uint8_t *)map->file->mapped.start +
				(file->offset - map->file->offset);
	return 0;
}

static int map_new(struct memory *memory, const struct vfioext_user_memory *public,
		   const struct memory_file *file, struct memory_map **map, enum limit *limit)
{
	struct memory_map *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return -ENOMEM;
	new->public = *public;
	new->public.vaddr = NULL;
	new->offset = file->offset;
	ret = file->fd >= 0 ? take_file(memory, new, file, limit) : 0;
	if (ret) {
		free(new);
		return ret;
	}
	*map = new;
	return 0;
}

/* Where nothing overlaps, nothing begins between the first byte and the last. */
static int insert(struct memory *memory, struct memory_map *map, enum limit *limit)
{
	struct entry entry = {
		.key = map->public.iova, .last = last_of(map), .other = (uintptr_t)map,
	};
	struct memory_index *index = memory->index;
	struct memory_map *before = find_upto(memory, entry.last);
	size_t nodes;

	if (before && last_of(before) >= entry.key)
		return -EEXIST;
	if (memory->nr >= memory->files.limits.max_maps) {
		*limit = LIMIT_MAPS;
		return -ENOSPC;
	}
	nodes = tree_nodes_to_add(&index->tree);
	if (!nodes || nodes_reserve(&index->nodes, nodes))
		return -ENOMEM;
	tree_add(&index->tree, &index->nodes, &entry);
	memory->nr++;
	return 0;
}

int memory_add(struct memory *memory, const struct vfioext_user_memory *public,
	       const struct memory_file *file, enum limit *limit)
{
	struct memory_map *map = NULL;
	int ret;

	*limit = LIMIT_NONE;
	if (!public->size || public->size % USER_PAGE || public->iova % USER_PAGE ||
	    public->iova + (public->size - 1) < public->iova || public->size > SIZE_MAX)
		return -EINVAL;
	ret = map_new(memory, public, file, &map, limit);
	if (ret)
		return ret;
	pthread_mutex_lock(&memory->lock);
	ret = insert(memory, map, limit);
	pthread_mutex_unlock(&memory->lock);
	if (ret)
		map_free(memory, map);
	return ret;
}

int memory_remove(struct memory *memory, uint64_t iova, uint64_t size)
{
	struct memory_map *map;
	bool used = false;

	pthread_mutex_lock(&memory->lock);
	map = find_upto(memory, iova);
	if (map && (map->public.iova != iova || map->public.size != size))
		map = NULL;
	if (map) {
		take_out(memory, map);
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
	const struct memory_map *begin, *end;
	int ret = -ENOENT;

	pthread_mutex_lock(&memory->lock);
	end = find_upto(memory, last);
	if (end && last_of(end) >= first) {
		begin = find(memory, first);
		*public = end->public;
		ret = (begin && begin->public.iova < first) || last_of(end) > last ? -EINVAL : 0;
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

struct memory_map *memory_use(struct memory *memory, uint64_t iova, uint32_t flags, int *error)
{
	struct memory_map *map;

	pthread_mutex_lock(&memory->lock);
	map = memory->last;
	if (!map || iova - map->public.iova >= map->public.size)
		map = find(memory, iova);
	if (!map) {
		*error = -ENOENT;
	} else if ((map->public.flags & flags) != flags) {
		*error = -EACCES;
		map = NULL;
	} else {
		memory->last = map;
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
	if (!memory->closed)
		eventfd_write(memory->wake, 1);
	last = memory->closed && !memory->nr_dying;
	pthread_mutex_unlock(&memory->lock);
	return last;
}

int memory_copy(struct memory *memory, struct vfioext_user_memory **list, size_t *nr)
{
	struct vfioext_user_memory *copy;
	struct path path;
	size_t i = 0;

	pthread_mutex_lock(&memory->lock);
	copy = malloc((memory->nr ? memory->nr : 1) * sizeof(*copy));
	if (copy && memory->nr) {
		path = *tree_seek(&memory->index->tree, 0, 0);
		do
			copy[i++] = map_at(&path)->public;
		while (tree_step(&memory->index->tree, &path));
	}
	pthread_mutex_unlock(&memory->lock);
	*nr = i;
	*list = copy;
	return copy ? 0 : -ENOMEM;
}
