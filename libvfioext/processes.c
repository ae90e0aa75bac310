// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which processes have files of devices open, by /proc. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uses.h"

dev_t file_number(const char *path, mode_t type)
{
	struct stat stat_;

	/* A file elsewhere may be of a server that does not answer. */
	if (strncmp(path, "/dev/", 5) || stat(path, &stat_) || (stat_.st_mode & S_IFMT) != type)
		return 0;
	return stat_.st_rdev;
}

static void read_comm(const char *process, char *comm, size_t size)
{
	char path[512];
	ssize_t len = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/comm", process);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, comm, size - 1);
		close(fd);
	}
	comm[len > 0 ? len : 0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
}

/* Which of the files a descriptor is of, or @nr. */
static size_t which(const char *descriptor, const struct process_file *files, size_t nr)
{
	struct stat stat_;
	char target[64];
	ssize_t len;
	size_t i;

	len = readlink(descriptor, target, sizeof(target) - 1);
	if (len < 5 || memcmp(target, "/dev/", 5) || stat(descriptor, &stat_))
		return nr;
	for (i = 0; i < nr; i++)
		if (files[i].number == stat_.st_rdev && files[i].type == (stat_.st_mode & S_IFMT))
			break;
	return i;
}

/*
 * What is open by a directory of descriptors is told of the process that it is of. Return: how
 * many descriptors there are.
 */
static size_t look_into(const char *process, const char *descriptors,
			const struct process_file *files, size_t nr, opener_fn fn, void *data)
{
	char descriptor[700], comm[32];
	struct dirent *entry;
	size_t file, open = 0;
	bool told[nr];
	DIR *dir;

	dir = opendir(descriptors);
	if (!dir)
		return 0;
	memset(told, 0, sizeof(told));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		open++;
		snprintf(descriptor, sizeof(descriptor), "%s/%s", descriptors, entry->d_name);
		file = which(descriptor, files, nr);
		if (file == nr || told[file])
			continue;
		told[file] = true;
		read_comm(process, comm, sizeof(comm));
		fn(data, file, atoi(strrchr(process, '/') + 1), comm);
	}
	closedir(dir);
	return open;
}

/* A process whose first thread has ended shows none, but those that run do. */
static void look_at(const char *process, const struct process_file *files, size_t nr,
		    opener_fn fn, void *data)
{
	char path[440];
	struct dirent *entry;
	bool found;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/fd", process);
	if (look_into(process, path, files, nr, fn, data))
		return;
	snprintf(path, sizeof(path), "%s/task", process);
	dir = opendir(path);
	for (found = false; dir && !found && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/task/%.32s/fd", process, entry->d_name);
		found = look_into(process, path, files, nr, fn, data);
	}
	if (dir)
		closedir(dir);
}

void processes_with(struct survey *survey, const struct process_file *files, size_t nr,
		    opener_fn fn, void *data)
{
	char process[350];
	struct dirent *entry;
	DIR *dir;

	dir = nr ? opendir(survey->proc) : NULL;
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
			continue;
		snprintf(process, sizeof(process), "%s/%.32s", survey->proc, entry->d_name);
		look_at(process, files, nr, fn, data);
	}
	closedir(dir);
}
