// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "vfioext.h"

enum { KEY, VALUE };

static const struct column columns[] = {
	[KEY] = { "PROPERTY" },
	[VALUE] = { "VALUE", SCOLS_FL_WRAP },
};

static void put(struct table *table, const char *key, const char *value)
{
	struct libscols_line *line = table_line(table, NULL);

	table_put(table, line, KEY, "%s", key);
	table_put(table, line, VALUE, "%s", value);
}

static void put_all(struct table *table, struct vfioext *ctx)
{
	struct vfioext_removals removals = { 0 };
	struct vfioext_status status;
	struct utsname system;
	char text[32];

	vfioext_status(ctx, &status);
	if (!uname(&system))
		put(table, "kernel", system.release);
	put(table, "module", status.loaded ? status.version :
	    "not loaded: no holders, removals or events; 'modprobe vfioext' loads it");
	if (!status.loaded)
		return;
	put(table, "external users", status.external_users);
	if (vfioext_removals_get(ctx, &removals))
		return;
	snprintf(text, sizeof(text), "%zu", removals.nr);
	put(table, "removals", text);
	vfioext_removals_release(&removals);
}

int cmd_status(int argc, char **argv)
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
