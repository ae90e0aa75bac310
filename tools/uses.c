// SPDX-License-Identifier: GPL-2.0-only
/* What keeps a device from being taken, as sentences. */
#include <stdio.h>

#include "vfioext.h"

static bool may_take(const struct vfioext_uses *uses)
{
	size_t i;

	for (i = 0; i < uses->nr; i++)
		if (!uses->list[i].harmless)
			return false;
	return true;
}

static void print_json(const struct vfioext_device_info *info, struct vfioext_uses *uses)
{
	size_t i;

	putchar('{');
	json_string("device", info->name, true);
	json_string("result", "in-use", false);
	json_list("uses", false);
	for (i = 0; i < uses->nr; i++)
		json_item(printable(uses->list[i].text), !i);
	json_list_end();
	puts("}");
}

int uses_check(struct vfioext *ctx, const struct vfioext_device_info *info, bool force, bool json)
{
	struct vfioext_uses uses;
	bool take;
	size_t i;
	int ret;

	ret = vfioext_uses_get(ctx, info->name, &uses);
	if (ret)
		return fail(ctx, ret, "what the host uses %s for", info->name);
	take = may_take(&uses);
	if (!take && !force)
		error("%s is in use:", info->name);
	for (i = 0; i < uses.nr; i++) {
		if (!take && !force)
			error("  %s", printable(uses.list[i].text));
		else if (!json)
			printf("%s: %s\n", info->name, printable(uses.list[i].text));
	}
	if (!take && !force) {
		error("%s stays as it is; --force takes it all the same", info->name);
		if (json)
			print_json(info, &uses);
	}
	vfioext_uses_release(&uses);
	return take || force ? EXIT_DONE : EXIT_FAILED;
}
