// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "peer_file.h"

/* What has no inode of its own has no type either. */
#define NO_TYPE 0

/* Only memory has seals, though they may be none. */
bool peer_file_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

/*
 * Of tmpfs no file can be sealed, and so it is a memfd. Of huge pages there may be none left,
 * however large the file is.
 */
bool peer_file_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs status;

	return seals >= 0 && seals & F_SEAL_SHRINK && !fstatfs(fd, &status) &&
	       status.f_type != HUGETLBFS_MAGIC;
}

/* The kernel's struct statx and its flags, which not every libc has: musl 1.2.3 has not. */
struct kernel_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint8_t rest[226];
};

_Static_assert(sizeof(struct kernel_statx) == 256, "the kernel writes so much");

#define KERNEL_AT_EMPTY_PATH 0x1000
#define KERNEL_AT_STATX_DONT_SYNC 0x4000
#define KERNEL_STATX_TYPE 0x1u

/* What the kernel knows by itself; its file system is not asked. */
static mode_t type_of(int fd)
{
	struct kernel_statx status;

	if (syscall(SYS_statx, fd, "", KERNEL_AT_EMPTY_PATH | KERNEL_AT_STATX_DONT_SYNC,
		    KERNEL_STATX_TYPE, &status))
		return S_IFREG;
	return status.mode & S_IFMT;
}

/* A name without a slash before it is the kernel's. Without /proc, there are more like it. */
bool peer_file_is_eventfd(int fd)
{
	static const char eventfd[] = "anon_inode:[eventfd]";
	char path[32], name[sizeof(eventfd)];
	ssize_t size;

	if (type_of(fd) != NO_TYPE)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	size = readlink(path, name, sizeof(name));
	return size < 0 || (size == sizeof(eventfd) - 1 && !memcmp(name, eventfd, (size_t)size));
}

bool peer_file_closes_at_once(int fd)
{
	return peer_file_is_memory(fd) || type_of(fd) == S_IFIFO || peer_file_is_eventfd(fd);
}

bool peer_file_is_region(int fd)
{
	mode_t type = type_of(fd);

	return type == NO_TYPE || type == S_IFCHR || peer_file_is_memory(fd);
}
