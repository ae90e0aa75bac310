// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds a device, without the module: what /proc tells of the processes that one may
 * look at. A group's file and a device's own have a name there. The file that a group gives
 * for a device is anonymous: who has one beside the group's may have this device or another.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "vfioext.h"

#define ANONYMOUS "anon_inode:[vfio-device]"

/*
 * @group: the group's file
 * @device: the device's own, "" for none
 */
struct files {
	char group[64];
	char device[300];
};

/* From 6.6 on a device may have a file of its own. */
static void find_device_file(const struct vfioext_device_info *info, struct files *files)
{
	const struct dirent *entry;
	char path[128];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s/vfio-dev", info->bus, info->name);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			snprintf(files->device, sizeof(files->device), "/dev/vfio/devices/%s",
				 entry->d_name);
	if (dir)
		closedir(dir);
}

/* Return: false if one may not look at them. */
static bool count_fds(int process, const struct files *files, struct vfioext_holder *holder)
{
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char to[256];
	ssize_t len;

	if (!dir)
		return errno == ENOENT || errno == ESRCH;
	while ((entry = readdir(dir))) {
		len = readlinkat(fd, entry->d_name, to, sizeof(to) - 1);
		if (len < 0)
			continue;
		to[len] = '\0';
		holder->group_fds += !strcmp(to, files->group);
		holder->device_fds += !strcmp(to, ANONYMOUS) || !strcmp(to, files->device);
	}
	closedir(dir);
	return true;
}

static void count_mappings(int process, const struct files *files, struct vfioext_holder *holder)
{
	int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		holder->mappings += strstr(line, ANONYMOUS) ||
				    (files->device[0] && strstr(line, files->device));
	if (maps)
		fclose(maps);
}

static void read_name(int process, struct vfioext_holder *holder)
{
	int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	struct stat stat;
	ssize_t len = fd >= 0 ? read(fd, holder->comm, sizeof(holder->comm) - 1) : 0;

	holder->comm[len > 0 ? len : 0] = '\0';
	holder->comm[strcspn(holder->comm, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
	if (!fstat(process, &stat))
		holder->uid = stat.st_uid;
}

static int look_at(int process, int pid, const struct files *files,
		   struct vfioext_holders *holders, unsigned int *hidden)
{
	struct vfioext_holder holder = { .pid = pid }, *more;

	if (!count_fds(process, files, &holder)) {
		++*hidden;
		return 0;
	}
	count_mappings(process, files, &holder);
	if (!holder.group_fds && !holder.device_fds && !holder.mappings)
		return 0;
	read_name(process, &holder);
	more = realloc(holders->list, (holders->nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	holders->list = more;
	more[holders->nr++] = holder;
	return 0;
}

/*
 * @info: the device, or NULL for all of @group
 * @hidden: how many processes one may not look at
 */
int proc_holders(const struct vfioext_device_info *info, int group,
		 struct vfioext_holders *holders, unsigned int *hidden)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	struct files files = { 0 };
	int process, ret = 0;

	memset(holders, 0, sizeof(*holders));
	*hidden = 0;
	if (!dir)
		return -errno;
	snprintf(files.group, sizeof(files.group), "/dev/vfio/%d", group);
	if (info)
		find_device_file(info, &files);
	while (!ret && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		process = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process < 0)
			continue;
		ret = look_at(process, atoi(entry->d_name), &files, holders, hidden);
		close(process);
	}
	closedir(dir);
	return ret;
}
