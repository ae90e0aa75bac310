// SPDX-License-Identifier: LGPL-2.1-or-later
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "processes.h"

void proc_path(const struct vfioext *ctx, char path[PROC_SIZE])
{
	if (strcmp(ctx->sysfs, "/sys"))
		snprintf(path, PROC_SIZE, "%s/proc", ctx->sysfs);
	else
		strcpy(path, "/proc");
}

int processes_walk(const char *proc, process_fn fn, void *data)
{
	int directory = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC), process, ret = 0;
	const struct dirent *entry;
	DIR *dir;

	if (directory < 0)
		return -errno;
	dir = fdopendir(directory);
	if (!dir) {
		ret = -errno;
		close(directory);
		return ret;
	}
	while (!ret && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		process = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process < 0)
			continue;
		ret = fn(data, process, atoi(entry->d_name));
		close(process);
	}
	closedir(dir);
	return ret;
}

/* Return: how many descriptors there are; or -ENOENT, -EACCES. */
static int walk_fds(int process, const char *path, process_fd_fn fn, void *data)
{
	int directory = openat(process, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), nr = 0;
	const struct dirent *entry;
	char target[PATH_MAX];
	ssize_t len;
	DIR *dir;

	if (directory < 0)
		return errno == ENOENT || errno == ESRCH ? -ENOENT : -EACCES;
	dir = fdopendir(directory);
	if (!dir) {
		close(directory);
		return -EACCES;
	}
	while ((entry = readdir(dir))) {
		len = readlinkat(directory, entry->d_name, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';
		nr++;
		fn(data, directory, entry->d_name, target);
	}
	closedir(dir);
	return nr;
}

/* The threads of a process, until one has descriptors: they share them, but for one that has ended. */
static void walk_threads(int process, process_fd_fn fn, void *data)
{
	int tasks = openat(process, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = tasks >= 0 ? fdopendir(tasks) : NULL;
	const struct dirent *entry;
	char path[64];
	int nr = 0;

	if (!dir && tasks >= 0)
		close(tasks);
	while (dir && nr <= 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "task/%.32s/fd", entry->d_name);
		nr = walk_fds(process, path, fn, data);
	}
	if (dir)
		closedir(dir);
}

int process_walk_fds(int process, process_fd_fn fn, void *data)
{
	int nr = walk_fds(process, "fd", fn, data);

	if (nr < 0)
		return nr;
	/* Its first thread has ended, or there is nothing open. */
	if (!nr)
		walk_threads(process, fn, data);
	return 0;
}

void process_comm(int process, char *comm, size_t size)
{
	int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, comm, size - 1) : 0;

	comm[len > 0 ? len : 0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}
