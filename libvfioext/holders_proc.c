// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Who holds a device, without the module: what /proc tells of the processes that one may
 * look at. A group's file and a device's own have a name there. The file that a group gives
 * for a device is anonymous: who has one beside the group's may have this device or another.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfioext/discovery.h>
#include <vfioext/holders.h>

#include "context.h"
#include "processes.h"
#include "sysfs.h"

#define ANONYMOUS "anon_inode:[vfio-device]"

/*
 * @group: the group's file
 * @device: the device's own, "" for none
 * @now: what the process has that is looked at
 */
struct search {
	char group[64];
	char device[300];
	struct vfioext_holder now;
	struct vfioext_holders *holders;
};

static void look_at_fd(void *data, int directory, const char *fd, const char *target)
{
	struct search *search = data;

	(void)directory;
	(void)fd;
	search->now.group_fds += !strcmp(target, search->group);
	search->now.device_fds += !strcmp(target, ANONYMOUS) || !strcmp(target, search->device);
}

static void look_at_mappings(struct search *search, int process)
{
	int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
	char *line = NULL;
	size_t size = 0;

	while (maps && getline(&line, &size, maps) > 0)
		search->now.mappings += strstr(line, ANONYMOUS) ||
					(search->device[0] && strstr(line, search->device));
	free(line);
	if (maps)
		fclose(maps);
	else if (fd >= 0)
		close(fd);
}

static int look_at(void *data, int process, int pid)
{
	struct search *search = data;
	struct vfioext_holders *holders = search->holders;
	struct vfioext_holder *more, *now = &search->now;
	struct stat status;

	*now = (struct vfioext_holder){ .pid = pid };
	if (process_walk_fds(process, look_at_fd, search) == -EACCES) {
		holders->hidden++;
		return 0;
	}
	look_at_mappings(search, process);
	if (!now->group_fds && !now->device_fds && !now->mappings)
		return 0;
	process_comm(process, now->comm, sizeof(now->comm));
	if (!fstat(process, &status))
		now->uid = status.st_uid;
	more = realloc(holders->list, (holders->nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	holders->list = more;
	more[holders->nr++] = *now;
	return 0;
}

/* From 6.6 on a device may have a file of its own. */
static void find_device_file(struct vfioext *ctx, const struct vfioext_device_info *info,
			     struct search *search)
{
	char **names;
	int nr;

	nr = sysfs_list(ctx, &names, "bus/%s/devices/%s/vfio-dev", info->bus, info->name);
	if (nr > 0)
		snprintf(search->device, sizeof(search->device), "/dev/vfio/devices/%s", names[0]);
	if (nr >= 0)
		sysfs_list_free(names, nr);
}

static int find_holders(struct vfioext *ctx, struct search *search, struct vfioext_holders *holders)
{
	char proc[PROC_SIZE];
	int ret;

	memset(holders, 0, sizeof(*holders));
	search->holders = holders;
	proc_path(ctx, proc);
	ret = processes_walk(proc, look_at, search);
	if (ret)
		vfioext_holders_release(holders);
	return ret;
}

int vfioext_device_holders_by_proc(struct vfioext *ctx, const char *device,
				   struct vfioext_holders *holders)
{
	struct vfioext_device_info info;
	struct search search = { 0 };
	int ret;

	ret = vfioext_find_device(ctx, device, &info);
	if (ret)
		return ret;
	find_device_file(ctx, &info, &search);
	snprintf(search.group, sizeof(search.group), "/dev/vfio/%d", info.group);
	return find_holders(ctx, &search, holders);
}

int vfioext_group_holders_by_proc(struct vfioext *ctx, int group, struct vfioext_holders *holders)
{
	struct search search = { 0 };

	snprintf(search.group, sizeof(search.group), "/dev/vfio/%d", group);
	return find_holders(ctx, &search, holders);
}
