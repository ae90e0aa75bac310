// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Directories of the host that a virtual machine has mounted, by 9p or virtiofs: there is no
 * disk, and the device that they come by is known by its tag alone.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "mounts.h"
#include "sysfs.h"
#include "uses.h"

/*
 * A device of virtio that a file system may come by.
 * @type: of the file system
 * @tag: "" if it is not known, as virtiofs tells it from Linux 6.9 on
 */
struct share {
	struct survey *survey;
	const char *name;
	const char *type;
	char tag[128];
};

static void take_mount(void *data, const struct mount *mount)
{
	const struct share *share = data;

	if (strcmp(mount->type, share->type) ||
	    (share->tag[0] && strcmp(mount->source, share->tag)))
		return;
	uses_add(share->survey, VFIOEXT_USE_MOUNT, "%.40s of its %.20s %s mounted at %.60s%s",
		 mount->source, share->name, share->tag[0] ? "is" : "may be what is", mount->point,
		 mount->where);
}

static void read_virtiofs_tag(struct share *share)
{
	struct vfioext *ctx = share->survey->ctx;
	char **names, device[64];
	int nr, i;

	nr = sysfs_list(ctx, &names, "fs/virtiofs");
	for (i = 0; i < nr; i++)
		if (!sysfs_read_link(ctx, device, sizeof(device), "fs/virtiofs/%s/device",
				     names[i]) && !strcmp(device, share->name))
			sysfs_read(ctx, share->tag, sizeof(share->tag), "fs/virtiofs/%s/tag",
				   names[i]);
	if (nr >= 0)
		sysfs_list_free(names, nr);
}

static void look_at(struct survey *survey, const struct below_device *device)
{
	struct share share = { .survey = survey, .name = device->name };
	char driver[64];

	if (sysfs_read_link(survey->ctx, driver, sizeof(driver), "bus/virtio/devices/%s/driver",
			    device->name))
		return;
	if (!strcmp(driver, "9pnet_virtio")) {
		share.type = "9p";
		below_read(device, "mount_tag", share.tag, sizeof(share.tag));
	} else if (!strcmp(driver, "virtiofs")) {
		share.type = "virtiofs";
		read_virtiofs_tag(&share);
	} else {
		return;
	}
	mounts_walk(survey, take_mount, &share);
}

void uses_of_shares(struct survey *survey)
{
	size_t i;

	for (i = 0; i < survey->below.nr; i++)
		if (!strcmp(survey->below.list[i].subsystem, "virtio"))
			look_at(survey, &survey->below.list[i]);
}
