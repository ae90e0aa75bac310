// SPDX-License-Identifier: LGPL-2.1-or-later
/* The devices of the kernel below one of them, in sysfs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "uses.h"

/* No device is deeper; a tree that has a loop is not followed for ever. */
#define DEPTH_MAX 24
#define DEVICES_MAX 65536

void below_read(const struct below_device *device, const char *attribute, char *value, size_t size)
{
	char path[PATH_MAX];
	ssize_t len = -1;
	int fd;

	value[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/%s", device->path, attribute) >= (int)sizeof(path))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = read(fd, value, size - 1);
	close(fd);
	value[len > 0 ? len : 0] = '\0';
	value[strcspn(value, "\n")] = '\0';
}

bool below_has(const struct below_device *device, const char *attribute)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", device->path, attribute) < (int)sizeof(path) &&
	       !access(path, F_OK);
}

static void read_number(struct below_device *device)
{
	unsigned int major, minor;
	char text[32];

	below_read(device, "dev", text, sizeof(text));
	if (sscanf(text, "%u:%u", &major, &minor) == 2)
		device->number = makedev(major, minor);
}

/* Add the directory if it is a device. */
static int add(struct below *below, const char *path)
{
	char link[PATH_MAX], target[PATH_MAX], *last;
	struct below_device *more, *device;
	ssize_t len;

	if (snprintf(link, sizeof(link), "%s/subsystem", path) >= (int)sizeof(link))
		return 0;
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0 || below->nr == DEVICES_MAX)
		return 0;
	target[len] = '\0';
	more = realloc(below->list, (below->nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	below->list = more;
	device = &more[below->nr];
	memset(device, 0, sizeof(*device));
	device->path = strdup(path);
	if (!device->path)
		return -ENOMEM;
	device->name = strrchr(device->path, '/') + 1;
	last = strrchr(target, '/');
	snprintf(device->subsystem, sizeof(device->subsystem), "%.31s", last ? last + 1 : target);
	read_number(device);
	below->nr++;
	return 0;
}

static bool is_directory(const char *parent, const struct dirent *entry)
{
	char path[PATH_MAX];
	struct stat stat;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name) < (int)sizeof(path) &&
	       !lstat(path, &stat) && S_ISDIR(stat.st_mode);
}

/* Return: how many directories there are below @path, or an error. */
static int walk(struct below *below, const char *path, unsigned int depth)
{
	struct dirent *entry;
	char child[PATH_MAX];
	int nr = 0, ret = 0;
	DIR *dir;

	dir = depth < DEPTH_MAX ? opendir(path) : NULL;
	if (!dir)
		return 0;
	while (ret >= 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !is_directory(path, entry) ||
		    snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= (int)sizeof(child))
			continue;
		nr++;
		ret = add(below, child);
		if (!ret)
			ret = walk(below, child, depth + 1);
		/* An interface of another network namespace is not seen, but where it would be. */
		if (!ret && !strcmp(entry->d_name, "net"))
			below->hides_net = true;
	}
	closedir(dir);
	return ret < 0 ? ret : nr;
}

int below_find(struct below *below, const char *path)
{
	int ret = walk(below, path, 0);

	return ret < 0 ? ret : 0;
}

int below_add(struct below *below, const char *path)
{
	int ret = add(below, path);

	return ret ? ret : below_find(below, path);
}

void below_release(struct below *below)
{
	while (below->nr)
		free(below->list[--below->nr].path);
	free(below->list);
	memset(below, 0, sizeof(*below));
}
