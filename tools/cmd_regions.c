// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>

#include "vfioext.h"

enum { REGION, NAME, SIZE, FLAGS, OFFSET, BYTES, NR };

static const struct column columns[NR] = {
	[REGION] = { "REGION", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[NAME] = { "NAME", 0, SCOLS_JSON_STRING },
	[SIZE] = { "SIZE", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[FLAGS] = { "FLAGS", 0, SCOLS_JSON_STRING },
	[OFFSET] = { "MAP-OFFSET", SCOLS_FL_RIGHT, SCOLS_JSON_STRING },
	[BYTES] = { "MAP-SIZE", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
};

/* A line for each area that can be mapped, the first with the region's own. */
static void put_region(struct table *table, const struct vfioext_region *region)
{
	struct libscols_line *line = table_line(table, NULL);
	size_t i;

	table_put(table, line, REGION, "%u", region->index);
	table_put(table, line, NAME, "%s", name_of_region(region->device, region->index));
	table_put(table, line, SIZE, "%" PRIu64, region->size);
	table_put(table, line, FLAGS, "%s%s%s", region->flags & VFIOEXT_REGION_READ ? "r" : "-",
		  region->flags & VFIOEXT_REGION_WRITE ? "w" : "-",
		  region->nr_areas ? "m" : "-");
	for (i = 0; i < region->nr_areas; i++) {
		if (i) {
			line = table_line(table, NULL);
			table_put(table, line, REGION, "%u", region->index);
		}
		table_put(table, line, OFFSET, "%#" PRIx64, region->areas[i].offset);
		table_put(table, line, BYTES, "%" PRIu64, region->areas[i].size);
	}
}

static int regions(struct vfioext *ctx, struct table *table, const char *name)
{
	struct vfioext_device *device;
	struct vfioext_region *region;
	unsigned int i;
	int ret;

	ret = open_device(ctx, name, table->vf_token, NULL, &device);
	if (ret)
		return fail(ctx, ret, "%s", name);
	for (i = 0; i < vfioext_device_nr_regions(device); i++)
		if (!vfioext_region_get(device, i, &region) && region->size)
			put_region(table, region);
	vfioext_device_close(device);
	return EXIT_DONE;
}

int cmd_regions(int argc, char **argv)
{
	static const struct table_command command = {
		.name = "regions",
		.help = TOKEN_HELP TABLE_HELP "\nColumns: REGION NAME SIZE FLAGS MAP-OFFSET MAP-SIZE\n",
		.wants = "one device",
		.takes_token = true,
		.columns = columns,
		.nr_columns = NR,
		.defaults = "REGION,NAME,SIZE,FLAGS,MAP-OFFSET,MAP-SIZE",
		.fill = regions,
	};

	return table_run(&command, argc, argv);
}
