// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "vfioext.h"

enum { NAME, GROUP, BUS, DRIVER, VFIO, HANDLES, USERS, VIABLE, ID, CLASS, DESCRIPTION, NR };

static const struct column columns[NR] = {
	[NAME] = { "NAME", SCOLS_FL_TREE, SCOLS_JSON_STRING },
	[GROUP] = { "GROUP", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[BUS] = { "BUS", 0, SCOLS_JSON_STRING },
	[DRIVER] = { "DRIVER", 0, SCOLS_JSON_STRING },
	[VFIO] = { "VFIO", 0, SCOLS_JSON_BOOLEAN },
	[HANDLES] = { "HANDLES", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[USERS] = { "USERS", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[VIABLE] = { "VIABLE", 0, SCOLS_JSON_STRING },
	[ID] = { "ID", 0, SCOLS_JSON_STRING },
	[CLASS] = { "CLASS", 0, SCOLS_JSON_STRING },
	[DESCRIPTION] = { "DESCRIPTION", SCOLS_FL_TRUNC, SCOLS_JSON_STRING },
};

static const char options_help[] =
	" -a, --all             also groups without a VFIO device\n"
	TABLE_HELP
	"\nColumns: NAME GROUP BUS DRIVER VFIO HANDLES USERS VIABLE ID CLASS DESCRIPTION\n";

static int compare(const void *a, const void *b)
{
	const struct vfioext_device_info *left = a, *right = b;

	return left->group != right->group ? (left->group > right->group) - (left->group < right->group) :
					     strcmp(left->name, right->name);
}

static void put_device(struct table *table, struct libscols_line *parent, struct vfioext *ctx,
		       const struct vfioext_device_info *info)
{
	struct libscols_line *line = table_line(table, parent);
	char name[128];
	uint32_t handles;

	table_put(table, line, NAME, "%s", info->name);
	if (info->group >= 0)
		table_put(table, line, GROUP, "%d", info->group);
	table_put(table, line, BUS, "%s", info->bus);
	if (info->driver[0])
		table_put(table, line, DRIVER, "%s", info->driver);
	table_put(table, line, VFIO, "%d", info->vfio);
	if (info->vfio && !vfioext_device_handles(ctx, info->name, &handles))
		table_put(table, line, HANDLES, "%u", handles);
	if (info->vendor)
		table_put(table, line, ID, "%04x:%04x", info->vendor, info->device);
	table_put(table, line, CLASS, "%s", names_class(info, name, sizeof(name)));
	table_put(table, line, DESCRIPTION, "%s", names_device(info, name, sizeof(name)));
}

/* A group and the devices of it, which are the first @nr of @devices. */
static void put_group(struct table *table, struct vfioext *ctx,
		      struct vfioext_device_info *devices, size_t nr, bool vfio)
{
	struct vfioext_device_list members = { .list = devices, .nr = nr };
	const struct vfioext_device_info *breaker = vfioext_group_breaker(&members);
	struct libscols_line *line = table_line(table, NULL);
	struct vfioext_group group;
	size_t i;

	if (devices[0].group >= 0) {
		table_put(table, line, NAME, "group %d", devices[0].group);
		table_put(table, line, GROUP, "%d", devices[0].group);
	} else {
		table_put(table, line, NAME, "no group");
	}
	table_put(table, line, VFIO, "%d", vfio);
	if (devices[0].group < 0)
		table_put(table, line, VIABLE, "no: no driver");
	else if (breaker)
		table_put(table, line, VIABLE, "no: %s (%s)", breaker->name, breaker->driver);
	else
		table_put(table, line, VIABLE, "yes");
	if (vfio && !vfioext_group_get(ctx, devices[0].group, &group))
		table_put(table, line, USERS, "%u", group.external_users);
	for (i = 0; i < nr; i++)
		put_device(table, line, ctx, &devices[i]);
}

static void put_groups(struct table *table, struct vfioext *ctx, struct vfioext_device_list *all,
		       bool show_all)
{
	size_t from, to;

	if (all->nr)
		qsort(all->list, all->nr, sizeof(*all->list), compare);
	for (from = 0; from < all->nr; from = to) {
		bool vfio = false;

		for (to = from; to < all->nr && all->list[to].group == all->list[from].group; to++)
			vfio |= all->list[to].vfio;
		/* Without a group are mdevs that have lost their driver. */
		if (vfio || show_all || all->list[from].group < 0)
			put_group(table, ctx, &all->list[from], to - from, vfio);
	}
}

/* Without an IOMMU nothing has a group: the PCI devices that would, each for itself. */
static void put_ungrouped(struct table *table, struct vfioext *ctx)
{
	struct vfioext_device_info info;
	struct dirent **names;
	int nr, i;

	nr = scandir("/sys/bus/pci/devices", &names, NULL, alphasort);
	for (i = 0; i < nr; i++) {
		if (names[i]->d_name[0] != '.' &&
		    !vfioext_find_device(ctx, names[i]->d_name, &info) && info.group < 0)
			put_device(table, NULL, ctx, &info);
		free(names[i]);
	}
	if (nr >= 0)
		free(names);
}

static int list(struct vfioext *ctx, struct table *table, bool show_all)
{
	unsigned int groups = host_groups();
	struct vfioext_device_list devices;
	struct vfioext_status status;
	int ret;

	ret = vfioext_list_devices(ctx, &devices);
	if (ret)
		return fail(ctx, ret, "listing devices");
	names_begin();
	put_groups(table, ctx, &devices, show_all);
	if (!groups && show_all)
		put_ungrouped(table, ctx);
	names_end();
	vfioext_device_list_release(&devices);

	if (!groups)
		error("there are no IOMMU groups, so VFIO can open no device safely: %s",
		      host_iommu_hint());
	vfioext_status(ctx, &status);
	if (!status.loaded)
		error("the module is not loaded, so HANDLES and USERS are not known; "
		      "'modprobe vfioext' loads it");
	return EXIT_DONE;
}

int cmd_list(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "all", no_argument, NULL, 'a' }, TABLE_LONG, { 0 }
	};
	struct table_options options = { 0 };
	bool show_all = false;
	struct vfioext *ctx;
	struct table table;
	int option, ret;

	while ((option = getopt_long(argc, argv, "a" TABLE_SHORT, long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(options_help);
		if (option == 'a')
			show_all = true;
		else if (!table_option(&options, option, optarg))
			return usage_error(NULL);
	}
	if (optind < argc)
		return usage_error("'%s' is too much", argv[optind]);
	ret = table_begin(&table, "groups", &options, columns, NR,
			  "NAME,DRIVER,HANDLES,USERS,VIABLE,ID,DESCRIPTION");
	if (ret)
		return ret;
	ctx = open_context();
	ret = ctx ? list(ctx, &table, show_all) : EXIT_FAILED;
	vfioext_free(ctx);
	return table_end(&table, ret);
}
