// SPDX-License-Identifier: GPL-2.0-only
/* What another process shares: shown, and tried. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <vfioext/attach.h>

#include "vfioext.h"

#define TIMEOUT_MS 5000

enum { DEVICE, GROUP, OPENS, REGIONS, NR };

static const struct column columns[NR] = {
	[DEVICE] = { "DEVICE", 0, SCOLS_JSON_STRING },
	[GROUP] = { "GROUP", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[OPENS] = { "OPENS", 0, SCOLS_JSON_STRING },
	[REGIONS] = { "REGIONS", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
};

/* Return: whether it could be opened. */
static bool try_device(struct vfioext *ctx, struct table *table,
		       struct vfioext_container *container,
		       const struct vfioext_shared_device *shared)
{
	struct vfioext_open how = { .container = container };
	struct libscols_line *line = table_line(table, NULL);
	struct vfioext_device *device;
	int ret;

	ret = vfioext_device_open(ctx, shared->name, &how, &device);
	table_put(table, line, DEVICE, "%s", shared->name);
	table_put(table, line, GROUP, "%d", shared->group);
	if (ret) {
		table_put(table, line, OPENS, "no: %s",
			  vfioext_message(ctx)[0] ? vfioext_message(ctx) : strerror(-ret));
		return false;
	}
	table_put(table, line, OPENS, "yes");
	table_put(table, line, REGIONS, "%u", vfioext_device_nr_regions(device));
	vfioext_device_close(device);
	return true;
}

static int try_all(struct vfioext *ctx, struct table *table, const char *path)
{
	const struct vfioext_shared_device *devices;
	struct vfioext_attachment *attachment;
	struct vfioext_container *container;
	int ret, status = EXIT_DONE;
	size_t nr, i;

	ret = vfioext_attach(ctx, path, TIMEOUT_MS, &attachment);
	if (ret)
		return fail(ctx, ret, "attaching");
	container = vfioext_attachment_container(attachment);
	nr = vfioext_attachment_devices(attachment, &devices);
	for (i = 0; i < nr; i++)
		if (!try_device(ctx, table, container, &devices[i]))
			status = EXIT_FAILED;
	vfioext_detach(attachment);
	return status;
}

int show_offer(const char *path, const struct table_options *options)
{
	struct vfioext *ctx;
	struct table table;
	int ret;

	ret = table_begin(&table, "shared", options, columns, NR, "DEVICE,GROUP,OPENS,REGIONS");
	if (ret)
		return ret;
	ctx = open_context();
	ret = ctx ? try_all(ctx, &table, path) : EXIT_FAILED;
	vfioext_free(ctx);
	return table_end(&table, ret);
}
