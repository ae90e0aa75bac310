// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The file of a region is in the hands of clients: they must not make it shorter under us, nor
 * write to what they may only read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"

/* Whoever made the file could shorten it in a moment, too; he is the one who asks for this. */
static int guard_memory(struct user_region *region)
{
	const struct vfioext_user_region *public = &region->public;

	fcntl(public->fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (!public->memory || peer_file_is_sealed(public->fd))
		return 0;
	return guard_add(&region->guarded, public->memory, public->size);
}

/*
 * What has no name could be opened by the client once more, to be written to: nobody but its
 * owner may. Of what is no regular file the driver knows what can be done with it.
 */
static int reopen_read_only(struct user_region *region)
{
	int fd = region->public.fd;
	struct stat status;
	char path[32];

	if (fstat(fd, &status))
		return -errno;
	if (!S_ISREG(status.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	region->file = open(path, O_RDONLY | O_CLOEXEC);
	if (region->file < 0)
		return -errno;
	if (!status.st_nlink)
		fchmod(fd, status.st_mode & ~0222u & 0777);
	return 0;
}

int region_protect(struct user_region *region)
{
	int ret;

	if (region->public.fd < 0)
		return 0;
	ret = guard_memory(region);
	if (!ret && !(region->public.flags & VFIOEXT_REGION_WRITE))
		ret = reopen_read_only(region);
	return ret;
}

static uint64_t whole_pages(uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) & ~(page - 1);
}

/* Our own mapping is there by then, and stays as it is. */
static int seal(const struct vfioext_user_region *region, int fd)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (!(region->flags & VFIOEXT_REGION_WRITE))
		seals |= F_SEAL_FUTURE_WRITE;
	return fcntl(fd, F_ADD_SEALS, seals);
}

int vfioext_user_region_alloc(struct vfioext_user_region *region)
{
	uint64_t size = whole_pages(region->size);
	void *memory;
	int fd, ret;

	if (!size || size > INT64_MAX || size != (size_t)size)
		return -EINVAL;
	fd = memfd_create("vfioext-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size))
		goto err_close;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		goto err_close;
	if (seal(region, fd))
		goto err_unmap;
	region->flags |= VFIOEXT_REGION_MMAP;
	region->memory = memory;
	region->fd = fd;
	region->offset = 0;
	return 0;

err_unmap:
	ret = -errno;
	munmap(memory, size);
	close(fd);
	return ret;
err_close:
	ret = -errno;
	close(fd);
	return ret;
}

void vfioext_user_region_free(struct vfioext_user_region *region)
{
	if (!region->memory)
		return;
	munmap(region->memory, whole_pages(region->size));
	close(region->fd);
	region->memory = NULL;
	region->fd = -1;
}
