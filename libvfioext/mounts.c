// SPDX-License-Identifier: LGPL-2.1-or-later
/* What of some block devices is mounted, in whatever mount namespace, or swapped to. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blocks.h"
#include "context.h"
#include "namespaces.h"
#include "sysfs.h"

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

static void read_mounts(struct blocks *blocks, const char *process, const char *namespace)
{
	char path[400], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/mountinfo", blocks->survey->proc, process);
	file = fopen(path, "re");
	if (!file)
		return;
	while (getline(&line, &size, file) > 0)
		take_mount(blocks, line, namespace);
	free(line);
	fclose(file);
}

/* Return: true if the mount namespace of a process was not met yet. */
static bool is_new(struct blocks *blocks, struct namespaces *met, const char *process)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s/ns/mnt", blocks->survey->proc, process);
	return namespaces_add(met, blocks->survey, path);
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

/* The caller's own mounts, then those that only others have. */
void uses_of_mounts(struct blocks *blocks)
{
	struct namespaces met = { 0 };
	struct dirent *entry;
	char text[64];
	DIR *dir;

	is_new(blocks, &met, "self");
	read_mounts(blocks, "self", NULL);
	dir = opendir(blocks->survey->proc);
	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || strlen(entry->d_name) > 16 ||
		    !is_new(blocks, &met, entry->d_name))
			continue;
		snprintf(text, sizeof(text), ", in the mount namespace of pid %.16s",
			 entry->d_name);
		read_mounts(blocks, entry->d_name, text);
	}
	if (dir)
		closedir(dir);
	namespaces_release(&met);
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
