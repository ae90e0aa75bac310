// SPDX-License-Identifier: LGPL-2.1-or-later
/* VFs and mdevs of a device, which go with its driver: who holds them, and what the host does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <vfioext/holders.h>

#include "context.h"
#include "sysfs.h"
#include "uses.h"

/*
 * @what: "VF" or "mdev"
 * @used: of how many it was told
 */
struct children {
	struct survey *survey;
	const char *what;
	const char *name;
	unsigned int nr;
	bool used;
};

static void tell_holder(void *data, size_t file, int pid, const char *comm)
{
	struct children *children = data;

	(void)file;
	children->used = true;
	uses_add(children->survey, VFIOEXT_USE_CHILD, "its %s %s is held by %s, pid %d",
		 children->what, children->name, comm, pid);
}

/* Without the module: who has the file of its group. */
static void look_for_files(struct children *children, const struct vfioext_device_info *info)
{
	struct process_file file = { .type = S_IFCHR };
	unsigned int major, minor;
	char number[32];

	if (sysfs_read(children->survey->ctx, number, sizeof(number), "class/vfio/%d/dev",
		       info->group) <= 0 || sscanf(number, "%u:%u", &major, &minor) != 2)
		return;
	file.number = makedev(major, minor);
	processes_with(children->survey, &file, 1, tell_holder, children);
}

static void look_for_holders(struct children *children, const struct vfioext_device_info *info)
{
	struct vfioext_holders holders;
	size_t i;

	if (!children->survey->real)
		return;
	if (vfioext_device_holders(children->survey->ctx, info->name, &holders)) {
		look_for_files(children, info);
		return;
	}
	for (i = 0; i < holders.nr; i++)
		tell_holder(children, 0, holders.list[i].pid, holders.list[i].comm);
	if (holders.unaccounted || holders.hidden) {
		children->used = true;
		uses_add(children->survey, VFIOEXT_USE_CHILD,
			 "its %s %s has %u open handles, owner %s", children->what, children->name,
			 holders.unaccounted + holders.hidden,
			 holders.hidden ? "another user" : "unknown");
	}
	vfioext_holders_release(&holders);
}

static void look_for_uses(struct children *children, const struct vfioext_device_info *info)
{
	struct vfioext_uses uses;
	size_t i;

	if (vfioext_uses_get(children->survey->ctx, info->name, &uses))
		return;
	for (i = 0; i < uses.nr; i++) {
		children->used = true;
		uses_add(children->survey, VFIOEXT_USE_CHILD, "its %s %s is in use: %.100s",
			 children->what, children->name, uses.list[i].text);
	}
	vfioext_uses_release(&uses);
}

static void look_at(struct children *children, const struct vfioext_device_info *info)
{
	children->name = info->name;
	children->nr++;
	if (info->vfio)
		look_for_holders(children, info);
	else if (info->driver[0])
		look_for_uses(children, info);
}

static void tell_rest(struct children *children)
{
	if (children->nr && !children->used)
		uses_add(children->survey, VFIOEXT_USE_CHILDREN, "its %u %s%s with its driver",
			 children->nr, children->what, children->nr == 1 ? " goes" : "s go");
}

static void look_at_vfs(struct survey *survey)
{
	struct children children = { .survey = survey, .what = "VF" };
	struct vfioext_device_list vfs;
	size_t i;

	if (vfioext_list_vfs(survey->ctx, survey->info->name, &vfs)) {
		survey->error = -ENOMEM;
		return;
	}
	for (i = 0; i < vfs.nr; i++)
		look_at(&children, &vfs.list[i]);
	vfioext_device_list_release(&vfs);
	tell_rest(&children);
}

void uses_of_children(struct survey *survey)
{
	struct children mdevs = { .survey = survey, .what = "mdev" };
	struct vfioext_device_info info;
	size_t i;

	if (!strcmp(survey->info->bus, "pci"))
		look_at_vfs(survey);
	for (i = 0; i < survey->below.nr; i++)
		if (!strcmp(survey->below.list[i].subsystem, "mdev") &&
		    !vfioext_find_device(survey->ctx, survey->below.list[i].name, &info))
			look_at(&mdevs, &info);
	tell_rest(&mdevs);
}
