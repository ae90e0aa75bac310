// SPDX-License-Identifier: LGPL-2.1-or-later
/* What of some block devices is mounted, in whatever mount namespace, or swapped to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blocks.h"
#include "context.h"
#include "sysfs.h"

/* The mount namespaces that were read. */
struct namespaces {
	struct blocks *blocks;
	ino_t *list;
	size_t nr;
};

/* Octal escapes stand for blanks and the like. */
static void unescape(char *text)
{
	unsigned int byte;
	char *to = text;

	for (; *text; text++, to++) {
		*to = *text;
		if (text[0] == '\\' && sscanf(text + 1, "%3o", &byte) == 1 && strlen(text) >= 4) {
			*to = (char)byte;
			text += 3;
		}
	}
	*to = '\0';
}

/*
 * A line of mountinfo: "36 35 98:0 /root /mnt rw - ext4 /dev/sda rw". File systems with a
 * number of their own, such as btrfs, tell by their source where they are.
 */
static void take_mount(struct blocks *blocks, const char *line, const char *namespace)
{
	const char *separator = strstr(line, " - ");
	char *point = NULL, *source = NULL, text[160];
	unsigned int major, minor;
	long at = -1;

	if (separator && sscanf(line, "%*d %*d %u:%u %*s %ms", &major, &minor, &point) == 3 &&
	    sscanf(separator, " - %*s %ms", &source) == 1) {
		unescape(source);
		if (major)
			at = block_find(blocks, makedev(major, minor), "");
		else if (!strncmp(source, "/dev/", 5))
			at = block_find(blocks, 0, source);
	}
	if (at >= 0 && !(namespace && blocks->list[at].used)) {
		unescape(point);
		snprintf(text, sizeof(text), "is mounted at %.100s%s", point,
			 namespace ? namespace : "");
		block_use(blocks, (size_t)at, VFIOEXT_USE_MOUNT, text);
	}
	free(point);
	free(source);
}

static void read_mounts(struct blocks *blocks, int process, const char *namespace)
{
	int fd = openat(process, "mountinfo", O_RDONLY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	char *line = NULL;
	size_t size = 0;

	if (!file) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (getline(&line, &size, file) > 0)
		take_mount(blocks, line, namespace);
	free(line);
	fclose(file);
}

/* Return: true if the mount namespace of a process was not met yet. */
static bool is_new(struct namespaces *met, int process)
{
	struct stat stat_;
	ino_t *more;
	size_t i;

	if (fstatat(process, "ns/mnt", &stat_, 0))
		return false;
	for (i = 0; i < met->nr; i++)
		if (met->list[i] == stat_.st_ino)
			return false;
	more = realloc(met->list, (met->nr + 1) * sizeof(*more));
	if (!more) {
		met->blocks->survey->error = -ENOMEM;
		return false;
	}
	met->list = more;
	more[met->nr++] = stat_.st_ino;
	return true;
}

/* A btrfs of several devices names one of them as its source. */
static void take_btrfs(struct blocks *blocks)
{
	struct vfioext *ctx = blocks->survey->ctx;
	char text[128], **names;
	size_t at;
	int nr, i;

	nr = sysfs_list(ctx, &names, "fs/btrfs");
	for (i = 0; i < nr; i++) {
		for (at = 0; at < blocks->nr; at++) {
			if (blocks->list[at].used ||
			    !sysfs_exists(ctx, "fs/btrfs/%s/devices/%s", names[i],
					  blocks->list[at].name))
				continue;
			snprintf(text, sizeof(text), "is a device of the mounted btrfs %.64s",
				 names[i]);
			block_use(blocks, at, VFIOEXT_USE_MOUNT, text);
		}
	}
	if (nr >= 0)
		sysfs_list_free(names, nr);
}

static int look_at(void *data, int process, int pid)
{
	struct namespaces *met = data;
	char text[64];

	if (!is_new(met, process))
		return 0;
	snprintf(text, sizeof(text), ", in the mount namespace of pid %d", pid);
	read_mounts(met->blocks, process, text);
	return 0;
}

/* The caller's own mounts, then those that only others have. */
void uses_of_mounts(struct blocks *blocks)
{
	struct namespaces met = { .blocks = blocks };
	char path[PROC_SIZE + 8];
	int self;

	snprintf(path, sizeof(path), "%s/self", blocks->survey->proc);
	self = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (self >= 0) {
		is_new(&met, self);
		read_mounts(blocks, self, NULL);
		close(self);
	}
	processes_walk(blocks->survey->proc, look_at, &met);
	free(met.list);
	take_btrfs(blocks);
}

void uses_of_swaps(struct blocks *blocks)
{
	char path[400], *line = NULL, *name;
	size_t size = 0;
	FILE *file;
	long at;

	snprintf(path, sizeof(path), "%s/swaps", blocks->survey->proc);
	file = fopen(path, "re");
	if (!file)
		return;
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, " \t")] = '\0';
		name = line;
		unescape(name);
		at = strncmp(name, "/dev/", 5) ? -1 : block_find(blocks, 0, name);
		if (at >= 0)
			block_use(blocks, (size_t)at, VFIOEXT_USE_SWAP, "is swapped to");
	}
	free(line);
	fclose(file);
}
