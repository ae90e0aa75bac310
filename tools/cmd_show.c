// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <string.h>

#include "vfioext.h"

enum { KEY, VALUE };

static const struct column columns[] = {
	[KEY] = { "PROPERTY" },
	[VALUE] = { "VALUE" },
};

#define PUT(table, key, ...)					\
do {								\
	struct libscols_line *line__ = table_line(table, NULL);	\
								\
	table_put(table, line__, KEY, "%s", key);		\
	table_put(table, line__, VALUE, __VA_ARGS__);		\
} while (0)

static void put_sysfs(struct table *table, const struct vfioext_device_info *info)
{
	char name[128];

	PUT(table, "device", "%s", info->name);
	PUT(table, "bus", "%s", info->bus);
	if (info->vendor)
		PUT(table, "id", "%04x:%04x", info->vendor, info->device);
	PUT(table, "description", "%s", names_device(info, name, sizeof(name)));
	PUT(table, "class", "%s", names_class(info, name, sizeof(name)));
	PUT(table, "driver", "%s", info->driver[0] ? info->driver : "none");
	PUT(table, "vfio", "%s", info->vfio ? "yes" : "no");
}

static void put_members(struct table *table, struct vfioext *ctx, int group)
{
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;
	size_t i;

	if (group < 0) {
		PUT(table, "group", "none; is the IOMMU on?");
		return;
	}
	PUT(table, "group", "%d", group);
	if (vfioext_list_group(ctx, group, &members))
		return;
	for (i = 0; i < members.nr; i++)
		PUT(table, "member", "%s (%s)", members.list[i].name,
		    members.list[i].driver[0] ? members.list[i].driver : "no driver");
	breaker = vfioext_group_breaker(&members);
	if (breaker)
		PUT(table, "viable", "no: %s is bound to %s", breaker->name, breaker->driver);
	else
		PUT(table, "viable", "yes");
	vfioext_device_list_release(&members);
}

static void put_removal(struct table *table, struct vfioext *ctx, const char *device)
{
	struct vfioext_removals removals;
	size_t i;

	if (vfioext_removals_get(ctx, &removals))
		return;
	for (i = 0; i < removals.nr; i++)
		if (!strcmp(removals.list[i].device, device))
			PUT(table, "removal", "%u: %s, %s, %.1f s left", removals.list[i].id,
			    name_of_origin(removals.list[i].origin),
			    name_of_state(removals.list[i].state),
			    removals.list[i].remaining_ms / 1000.0);
	vfioext_removals_release(&removals);
}

static void put_module(struct table *table, struct vfioext *ctx,
		       const struct vfioext_device_info *info)
{
	struct vfioext_group group;
	uint32_t handles;

	if (!info->vfio || vfioext_device_handles(ctx, info->name, &handles))
		return;
	PUT(table, "handles", "%u", handles);
	if (!vfioext_group_get(ctx, info->group, &group)) {
		PUT(table, "group type", "%s", name_of_type(group.type));
		PUT(table, "external users", "%u", group.external_users);
	}
	put_removal(table, ctx, info->name);
}

static int show(struct vfioext *ctx, struct table *table, const char *name)
{
	struct vfioext_device_info info;
	struct vfioext_status status;
	int ret;

	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return fail(ctx, ret, "%s", name);
	names_begin();
	put_sysfs(table, &info);
	put_members(table, ctx, info.group);
	put_module(table, ctx, &info);
	names_end();
	vfioext_status(ctx, &status);
	if (!status.loaded)
		error("the module is not loaded, so its holders are not known; "
		      "'modprobe vfioext' loads it");
	return EXIT_DONE;
}

int cmd_show(int argc, char **argv)
{
	static const struct option long_options[] = { TABLE_LONG, { 0 } };
	struct table_options options = { 0 };
	struct vfioext *ctx;
	struct table table;
	int option, ret;

	while ((option = getopt_long(argc, argv, TABLE_SHORT, long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(TABLE_HELP);
		if (!table_option(&options, option, optarg))
			return usage_error(NULL);
	}
	if (optind + 1 != argc)
		return usage_error("one device is needed");
	ret = table_begin(&table, "device", &options, columns, 2, "PROPERTY,VALUE");
	if (ret)
		return ret;
	ctx = open_context();
	ret = ctx ? show(ctx, &table, argv[optind]) : EXIT_FAILED;
	vfioext_free(ctx);
	return table_end(&table, ret);
}
