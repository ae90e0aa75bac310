// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mapped_file.h"

/* A guest has one file or few; a client that has more gains nothing by their number. */
#define LOOK_AT 64

/* What was touched where the file had ended is zeros there, even if it has grown again. */
static bool is_good_for(const struct mapped_file *file, const struct stat *status, int prot,
			uint64_t end)
{
	return file->inode == status->st_ino && file->device == status->st_dev &&
	       file->prot == prot && end <= file->mapped.size && !guard_is_broken(&file->mapped);
}

struct mapped_file *mapped_file_find(struct mapped_file *list, const struct stat *status, int prot,
				     uint64_t end)
{
	unsigned int looked_at;

	for (looked_at = 0; list && looked_at < LOOK_AT; list = list->next, looked_at++) {
		if (is_good_for(list, status, prot, end)) {
			list->users++;
			return list;
		}
	}
	return NULL;
}

static int map(struct mapped_file *file, int fd, uint64_t offset, uint64_t size)
{
	void *at;
	int ret;

	at = mmap(NULL, size, file->prot, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
	if (at == MAP_FAILED)
		return -errno;
	ret = guard_add(&file->mapped, at, size);
	if (ret) {
		munmap(at, size);
		return ret;
	}
	file->offset = offset;
	return 0;
}

int mapped_file_new(int fd, const struct stat *status, int prot, uint64_t offset, uint64_t size,
		    struct mapped_file **file)
{
	struct mapped_file *new = calloc(1, sizeof(*new));
	int ret = 0;

	if (!new)
		return -ENOMEM;
	new->device = status->st_dev;
	new->inode = status->st_ino;
	new->prot = prot;
	new->users = 1;
	if (S_ISREG(status->st_mode))
		new->shared = !map(new, fd, 0, (uint64_t)status->st_size);
	if (!new->shared)
		ret = map(new, fd, offset, size);
	if (ret) {
		free(new);
		return ret;
	}
	*file = new;
	return 0;
}

void mapped_file_share(struct mapped_file **list, struct mapped_file *file)
{
	if (!file->shared)
		return;
	file->next = *list;
	*list = file;
}

bool mapped_file_unuse(struct mapped_file **list, struct mapped_file *file)
{
	if (--file->users)
		return false;
	if (file->shared) {
		while (*list != file)
			list = &(*list)->next;
		*list = file->next;
	}
	return true;
}

void mapped_file_free(struct mapped_file *file)
{
	guard_unmap(&file->mapped);
	free(file);
}
