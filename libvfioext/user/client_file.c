// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_file.h"
#include "peer_file.h"
#include "version.h"

/*
 * A file is mapped whole as long as no more than this of the address space that a client may
 * take would lie idle, or so many times what it uses: a guest's memory does not reach either.
 */
#define IDLE_SHARE 2
#define IDLE_FACTOR 16

/* Does a regular file have that much? Of others only the kernel knows. */
static int check_file(const struct memory_file *wanted, uint64_t size, struct stat *status)
{
	if (wanted->offset + size < size || wanted->offset + size > INT64_MAX ||
	    (wanted->mappable && wanted->offset % USER_PAGE))
		return -EINVAL;
	if (fstat(wanted->fd, status))
		return -errno;
	if (S_ISREG(status->st_mode) && (uint64_t)status->st_size < wanted->offset + size)
		return -EINVAL;
	return 0;
}

/* Is it read and written, and not mapped? */
static bool is_open(const struct client_file *file)
{
	return file->fd >= 0;
}

/*
 * Is it good for a map up to @end? What was touched where a file had ended is zeros there,
 * even if it has grown again.
 */
static bool is_good_for(const struct client_file *file, const struct client_file *like,
			uint64_t end)
{
	if (file->inode != like->inode || file->device != like->device || file->use != like->use || is_open(file) != is_open(like))
		return false;
	return file->fd >= 0 || (end <= file->mapped.size && !guard_is_broken(&file->mapped));
}

static struct client_file *find(struct client_file *list, const struct client_file *like,
				uint64_t end)
{
	while (list && !is_good_for(list, like, end))
		list = list->next;
	return list;
}

/* What a mapping takes is counted before it is made. The lock is held. */
static enum limit reserve(struct client_files *files, uint64_t size)
{
	if (files->nr_mappings >= files->limits.max_mappings)
		return LIMIT_MAPPINGS;
	/* Of the client before more may be in use than this one may have. */
	if (files->bytes > files->limits.max_bytes || size > files->limits.max_bytes - files->bytes)
		return LIMIT_BYTES;
	files->nr_mappings++;
	files->bytes += size;
	return LIMIT_NONE;
}

static void unreserve(struct client_files *files, uint64_t size)
{
	files->nr_mappings--;
	files->bytes -= size;
}

/* The same for a whole file, of which a map uses a part. The lock is held. */
static bool reserve_whole(struct client_files *files, uint64_t whole, uint64_t part)
{
	uint64_t used = files->used + part, taken = files->bytes + whole, idle;

	if (whole > files->limits.max_bytes)
		return false;
	/* What is mapped for the device more than once is used more than once. */
	idle = taken > used ? taken - used : 0;
	if (idle > files->limits.max_bytes / IDLE_SHARE && idle / IDLE_FACTOR > used)
		return false;
	return reserve(files, whole) == LIMIT_NONE;
}

static int map(struct client_file *file, int fd, uint64_t offset, uint64_t size)
{
	int ret = 0;
	void *at;

	at = mmap(NULL, size, file->use, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
	if (at == MAP_FAILED)
		return -errno;
	if (peer_file_is_sealed(fd))
		guard_none(&file->mapped, at, size);
	else
		ret = guard_add(&file->mapped, at, size);
	if (ret) {
		munmap(at, size);
		return ret;
	}
	file->offset = offset;
	return 0;
}

static int map_counted(struct client_files *files, pthread_mutex_t *lock, struct client_file *file,
		       const struct memory_file *wanted, const struct stat *status, uint64_t size,
		       enum limit *limit)
{
	uint64_t whole = (uint64_t)status->st_size;
	int ret;

	pthread_mutex_lock(lock);
	file->shared = S_ISREG(status->st_mode) && reserve_whole(files, whole, size);
	pthread_mutex_unlock(lock);
	if (file->shared && !map(file, wanted->fd, 0, whole))
		return 0;
	pthread_mutex_lock(lock);
	if (file->shared)
		unreserve(files, whole);
	file->shared = false;
	*limit = reserve(files, size);
	pthread_mutex_unlock(lock);
	if (*limit)
		return -ENOSPC;
	ret = map(file, wanted->fd, wanted->offset, size);
	if (ret) {
		pthread_mutex_lock(lock);
		unreserve(files, size);
		pthread_mutex_unlock(lock);
	}
	return ret;
}

static int open_counted(struct client_files *files, pthread_mutex_t *lock,
			struct client_file *file, int fd, enum limit *limit)
{
	bool may;

	pthread_mutex_lock(lock);
	may = files->nr_open < files->limits.max_open;
	files->nr_open += may;
	pthread_mutex_unlock(lock);
	file->fd = may ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	file->shared = true;
	if (file->fd >= 0)
		return 0;
	pthread_mutex_lock(lock);
	files->nr_open -= may;
	pthread_mutex_unlock(lock);
	/* None is left to the process either. */
	*limit = LIMIT_OPEN;
	return -ENOSPC;
}

/* How a map may use it, or how it is open. */
static int use_of(const struct memory_file *wanted, uint32_t flags)
{
	if (!wanted->mappable)
		return fcntl(wanted->fd, F_GETFL) & O_ACCMODE;
	return (flags & VFIOEXT_USER_READ ? PROT_READ : 0) |
	       (flags & VFIOEXT_USER_WRITE ? PROT_WRITE : 0);
}

/* Return: NULL if it is not there yet, which nobody else changes. */
static struct client_file *use_shared(struct client_files *files, pthread_mutex_t *lock,
				      const struct client_file *like, uint64_t end, uint64_t size)
{
	struct client_file *file;

	pthread_mutex_lock(lock);
	file = find(files->shared, like, end);
	if (file) {
		file->users++;
		files->used += file->fd < 0 ? size : 0;
	}
	pthread_mutex_unlock(lock);
	return file;
}

static void share(struct client_files *files, pthread_mutex_t *lock, struct client_file *file,
		  uint64_t size)
{
	pthread_mutex_lock(lock);
	files->used += file->fd < 0 ? size : 0;
	if (file->shared) {
		file->next = files->shared;
		files->shared = file;
	}
	pthread_mutex_unlock(lock);
}

static int make(struct client_files *files, pthread_mutex_t *lock, const struct memory_file *wanted,
		const struct stat *status, const struct client_file *like, uint64_t size,
		struct client_file **made, enum limit *limit)
{
	struct client_file *file = malloc(sizeof(*file));
	int ret;

	if (!file)
		return -ENOMEM;
	*file = *like;
	file->fd = -1;
	ret = wanted->mappable ? map_counted(files, lock, file, wanted, status, size, limit) :
				 open_counted(files, lock, file, wanted->fd, limit);
	if (ret) {
		free(file);
		return ret;
	}
	share(files, lock, file, size);
	*made = file;
	return 0;
}

int client_file_get(struct client_files *files, pthread_mutex_t *lock,
		    const struct memory_file *wanted, uint32_t flags, uint64_t size,
		    struct client_file **file, enum limit *limit)
{
	struct client_file like = { .fd = wanted->mappable ? -1 : wanted->fd, .users = 1 };
	struct stat status;
	int ret;

	*limit = LIMIT_KIND;
	if (!files->limits.any_file && !peer_file_is_memory(wanted->fd))
		return -ENOSPC;
	*limit = LIMIT_NONE;
	ret = check_file(wanted, size, &status);
	if (ret)
		return ret;
	like.device = status.st_dev;
	like.inode = status.st_ino;
	like.use = use_of(wanted, flags);
	*file = use_shared(files, lock, &like, wanted->offset + size, size);
	return *file ? 0 : make(files, lock, wanted, &status, &like, size, file, limit);
}

static void unlink_shared(struct client_files *files, const struct client_file *file)
{
	struct client_file **at = &files->shared;

	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
}

/* Return: whether it was the last. The lock is held. */
static bool put_one(struct client_files *files, struct client_file *file, uint64_t size)
{
	if (file->fd < 0)
		files->used -= size;
	if (--file->users)
		return false;
	if (file->shared)
		unlink_shared(files, file);
	if (file->fd < 0)
		unreserve(files, file->mapped.size);
	else
		files->nr_open--;
	return true;
}

void client_file_put(struct client_files *files, pthread_mutex_t *lock, struct client_file *file,
		     uint64_t size)
{
	bool last;

	pthread_mutex_lock(lock);
	last = put_one(files, file, size);
	pthread_mutex_unlock(lock);
	if (!last)
		return;
	if (file->fd < 0)
		guard_unmap(&file->mapped);
	else
		close(file->fd);
	free(file);
}
