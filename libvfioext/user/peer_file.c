// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

/* What the kernel knows by itself; its file system is not asked. */
static mode_t type_of(int fd)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status))
		return S_IFREG;
	return status.stx_mode & S_IFMT;
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
