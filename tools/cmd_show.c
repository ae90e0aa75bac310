// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "vfioext.h"

static const struct column columns[] = {
	{ "PROPERTY" },
	{ "VALUE" },
};

static void put_identity(struct table *table, const char *device,
			 const struct vfioext_device_info *info)
{
	char name[128];

	table_put_property(table, "device", "%s", device);
	table_put_property(table, "bus", "%s", info->bus);
	if (info->vendor)
		table_put_property(table, "id", "%04x:%04x", info->vendor, info->device);
	table_put_property(table, "description", "%s", names_device(info, name, sizeof(name)));
	table_put_property(table, "class", "%s", names_class(info, name, sizeof(name)));
	table_put_property(table, "driver", "%s", info->driver[0] ? info->driver : "none");
	table_put_property(table, "vfio", "%s", info->vfio ? "yes" : "no");
}

static void put_members(struct table *table, struct vfioext *ctx,
			const struct vfioext_device_info *info)
{
	int group = info->group;
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;
	size_t i;

	if (group < 0) {
		if (!strcmp(info->bus, "mdev"))
			table_put_property(table, "group", "none: it has no driver; 'vfioext bind %s' gives it back to its parent's",
					   info->name);
		else
			table_put_property(table, "group", "none; is the IOMMU on?");
		return;
	}
	table_put_property(table, "group", "%d", group);
	if (vfioext_list_group(ctx, group, &members))
		return;
	for (i = 0; i < members.nr; i++)
		table_put_property(table, "member", "%s (%s)", members.list[i].name,
				   members.list[i].driver[0] ? members.list[i].driver : "no driver");
	breaker = vfioext_group_breaker(&members);
	if (breaker)
		table_put_property(table, "viable", "no: %s is bound to %s", breaker->name, breaker->driver);
	else
		table_put_property(table, "viable", "yes");
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
			table_put_property(table, "removal", "%u: %s, %s, %.1f s left", removals.list[i].id,
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
	table_put_property(table, "handles", "%u", handles);
	if (!vfioext_group_get(ctx, info->group, &group)) {
		table_put_property(table, "group type", "%s", name_of_type(group.type));
		table_put_property(table, "external users", "%u", group.external_users);
	}
	put_removal(table, ctx, info->name);
}

/* To open a device resets it, and so does to close it: only if that is asked for. */
static void look_inside(struct table *table, struct vfioext *ctx, const char *name)
{
	struct vfioext_device *device;
	int ret;

	if (!table->inside) {
		table_put_property(table, "inside", "not looked at, as that resets the device: --inside does");
		return;
	}
	ret = open_device(ctx, name, table->vf_token, NULL, &device);
	if (ret) {
		table_put_property(table, "regions", "not known: %s", ret == -EBUSY ?
				   "somebody holds the device" : vfioext_message(ctx));
		return;
	}
	put_inside(table, device);
	vfioext_device_close(device);
}

/* Nobody but its server knows anything of it. */
static int show_served(struct vfioext *ctx, struct table *table, const char *name)
{
	struct vfioext_device *device;
	int ret;

	ret = open_device(ctx, name, NULL, NULL, &device);
	if (ret)
		return fail(ctx, ret, "%s", name);
	names_begin();
	put_identity(table, name, vfioext_device_info(device));
	put_inside(table, device);
	names_end();
	vfioext_device_close(device);
	return EXIT_DONE;
}

static int show(struct vfioext *ctx, struct table *table, const char *name)
{
	struct vfioext_device_info info;
	struct vfioext_status status;
	int ret;

	if (is_served(name))
		return show_served(ctx, table, name);
	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return fail(ctx, ret, "%s", name);
	names_begin();
	put_identity(table, info.name, &info);
	put_members(table, ctx, &info);
	put_module(table, ctx, &info);
	if (info.vfio)
		look_inside(table, ctx, info.name);
	names_end();
	vfioext_status(ctx, &status);
	if (!status.loaded)
		error("the module is not loaded, so its holders are not known; "
		      "'modprobe vfioext' loads it");
	return EXIT_DONE;
}

int cmd_show(int argc, char **argv)
{
	static const struct table_command command = {
		.name = "device",
		.help = "     --inside          open the device, and show its regions and interrupts\n"
			TOKEN_HELP TABLE_HELP,
		.wants = "one device",
		.takes_token = true,
		.takes_inside = true,
		.columns = columns,
		.nr_columns = 2,
		.defaults = "PROPERTY,VALUE",
		.fill = show,
	};

	return table_run(&command, argc, argv);
}
