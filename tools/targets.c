// SPDX-License-Identifier: GPL-2.0-only
/* The devices that a command is told to do something with. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfioext.h"

#define CLASS_BRIDGE 0x06

static bool contains(const struct vfioext_device_list *targets, const char *name)
{
	size_t i;

	for (i = 0; i < targets->nr; i++)
		if (!strcmp(targets->list[i].name, name))
			return true;
	return false;
}

static int add(struct vfioext_device_list *targets, const struct vfioext_device_info *info)
{
	struct vfioext_device_info *more;

	if (contains(targets, info->name))
		return EXIT_DONE;
	more = realloc(targets->list, (targets->nr + 1) * sizeof(*more));
	if (!more) {
		error("%s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	targets->list = more;
	more[targets->nr++] = *info;
	return EXIT_DONE;
}

/* All of a group but its bridges, which no driver of user space can have. */
static int add_group(struct vfioext *ctx, const char *name, int group,
		     struct vfioext_device_list *targets)
{
	struct vfioext_device_list members;
	size_t i, before = targets->nr;
	int ret;

	ret = vfioext_list_group(ctx, group, &members);
	if (ret)
		return fail(ctx, ret, "%s", name);
	for (i = 0; i < members.nr && !ret; i++)
		if (members.list[i].class_code >> 16 != CLASS_BRIDGE)
			ret = add(targets, &members.list[i]);
	vfioext_device_list_release(&members);
	if (!ret && targets->nr == before) {
		error("%s: all devices of the group are bridges", name);
		ret = EXIT_FAILED;
	}
	return ret;
}

/* A number alone is no device, and may be meant as something else. */
static bool is_group(const char *name, int *group)
{
	return (name[0] < '0' || name[0] > '9') && vfioext_parse_group(name, group);
}

int targets_find(struct vfioext *ctx, char **names, int nr, struct vfioext_device_list *targets)
{
	struct vfioext_device_info info;
	int i, group, ret = EXIT_DONE;

	memset(targets, 0, sizeof(*targets));
	for (i = 0; i < nr && !ret; i++) {
		if (is_group(names[i], &group)) {
			ret = add_group(ctx, names[i], group, targets);
			continue;
		}
		ret = vfioext_find_device(ctx, names[i], &info);
		ret = ret ? fail(ctx, ret, "%s", names[i]) : add(targets, &info);
	}
	if (ret)
		vfioext_device_list_release(targets);
	return ret;
}
