// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the kernel's NVMe target exports to other hosts. It does not open a disk exclusively, so
 * its configuration alone tells; the kernel's SCSI target does, and shows as any that does.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "blocks.h"
#include "context.h"
#include "sysfs.h"

#define SUBSYSTEMS "kernel/config/nvmet/subsystems"

/* Is what @directory configures switched on? Then @path is the device behind it. */
static bool read_export(struct vfioext *ctx, const char *directory, char *path, size_t size)
{
	char enabled[8];

	return sysfs_read(ctx, enabled, sizeof(enabled), "%s/enable", directory) > 0 &&
	       enabled[0] == '1' && sysfs_read(ctx, path, size, "%s/device_path", directory) > 0;
}

static void take_namespace(struct blocks *blocks, const char *subsystem, const char *id)
{
	char directory[400], path[256], text[128];
	long at;

	snprintf(directory, sizeof(directory), SUBSYSTEMS "/%.255s/namespaces/%.16s", subsystem,
		 id);
	if (!read_export(blocks->survey->ctx, directory, path, sizeof(path)))
		return;
	at = block_find(blocks, 0, path);
	if (at < 0)
		return;
	snprintf(text, sizeof(text), "is exported by the NVMe target %.64s", subsystem);
	block_use(blocks, (size_t)at, VFIOEXT_USE_HOLDER, text);
}

/* A whole controller that is passed through. */
static void take_controller(struct survey *survey, const char *subsystem)
{
	const struct below *below = &survey->below;
	char directory[400], path[256];
	const char *name;
	dev_t number;
	size_t i;

	snprintf(directory, sizeof(directory), SUBSYSTEMS "/%.255s/passthru", subsystem);
	if (!read_export(survey->ctx, directory, path, sizeof(path)))
		return;
	name = strrchr(path, '/');
	number = file_number(path, S_IFCHR);
	for (i = 0; name && i < below->nr; i++)
		if (!strcmp(below->list[i].subsystem, "nvme") &&
		    (number ? below->list[i].number == number :
			      !strcmp(below->list[i].name, name + 1)))
			uses_add(survey, VFIOEXT_USE_HOLDER,
				 "its nvme %s is exported by the NVMe target %.64s",
				 below->list[i].name, subsystem);
}

void uses_of_targets(struct blocks *blocks)
{
	struct vfioext *ctx = blocks->survey->ctx;
	char **subsystems, **ids;
	int nr, nr_ids, i, j;

	nr = sysfs_list(ctx, &subsystems, SUBSYSTEMS);
	for (i = 0; i < nr; i++) {
		take_controller(blocks->survey, subsystems[i]);
		nr_ids = sysfs_list(ctx, &ids, SUBSYSTEMS "/%.255s/namespaces", subsystems[i]);
		for (j = 0; j < nr_ids; j++)
			take_namespace(blocks, subsystems[i], ids[j]);
		if (nr_ids >= 0)
			sysfs_list_free(ids, nr_ids);
	}
	if (nr >= 0)
		sysfs_list_free(subsystems, nr);
}
