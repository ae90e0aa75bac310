// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <sys/utsname.h>

#include "vfioext.h"

static const struct column columns[] = {
	{ "PROPERTY" },
	{ "VALUE", SCOLS_FL_WRAP },
};

static void put_all(struct table *table, struct vfioext *ctx)
{
	struct vfioext_removals removals = { 0 };
	struct vfioext_status status;
	struct utsname system;

	vfioext_status(ctx, &status);
	if (!uname(&system))
		table_put_property(table, "kernel", "%s", system.release);
	table_put_property(table, "module", "%s", status.loaded ? status.version :
			   "not loaded: no holders, removals or events; 'modprobe vfioext' loads it");
	if (!status.loaded)
		return;
	table_put_property(table, "external users", "%s", status.external_users);
	if (vfioext_removals_get(ctx, &removals))
		return;
	table_put_property(table, "removals", "%zu", removals.nr);
	vfioext_removals_release(&removals);
}

int cmd_status(int argc, char **argv)
{
	struct table_options options = { 0 };
	struct vfioext *ctx;
	struct table table;
	int ret;

	ret = table_options_only(&options, argc, argv, TABLE_HELP);
	if (ret >= 0)
		return ret;
	if (optind < argc)
		return usage_error("'%s' is too much", argv[optind]);
	ret = table_begin(&table, "status", &options, columns, 2, "PROPERTY,VALUE");
	if (ret)
		return ret;
	ctx = open_context();
	if (ctx)
		put_all(&table, ctx);
	vfioext_free(ctx);
	return table_end(&table, ctx ? EXIT_DONE : EXIT_FAILED);
}
