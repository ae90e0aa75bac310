// SPDX-License-Identifier: LGPL-2.1-or-later
/* What of some block devices is mounted, or swapped to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "context.h"
#include "mounts.h"
#include "sysfs.h"

/* What only others have mounted is told of what is not told already. */
static void take_mount(void *data, const struct mount *mount)
{
	struct blocks *blocks = data;
	char text[160];
	long at = -1;

	/* File systems with a number of their own tell by their source where they are. */
	if (mount->number)
		at = block_find(blocks, mount->number, "");
	else if (!strncmp(mount->source, "/dev/", 5))
		at = block_find(blocks, 0, mount->source);
	if (at < 0 || (mount->where[0] && blocks->list[at].used))
		return;
	snprintf(text, sizeof(text), "is mounted at %.100s%s", mount->point, mount->where);
	block_use(blocks, (size_t)at, VFIOEXT_USE_MOUNT, text);
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

void uses_of_mounts(struct blocks *blocks)
{
	mounts_walk(blocks->survey, take_mount, blocks);
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
		mounts_unescape(name);
		at = strncmp(name, "/dev/", 5) ? -1 : block_find(blocks, 0, name);
		if (at >= 0)
			block_use(blocks, (size_t)at, VFIOEXT_USE_SWAP, "is swapped to");
	}
	free(line);
	fclose(file);
}
