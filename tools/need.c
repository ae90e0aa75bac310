// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one rule for our module: a command that cannot do its work without it has it loaded,
 * as an administrator would, and says so. Who only looks never loads it, and nor does the
 * library for it.
 */
#include "vfioext.h"

static bool is_loaded(struct vfioext *ctx)
{
	struct vfioext_status status;

	vfioext_status(ctx, &status);
	return status.loaded;
}

/* Return: whether the module is there now. */
bool need_module(struct vfioext *ctx)
{
	if (is_loaded(ctx))
		return true;
	if (!module_load("vfioext") || !is_loaded(ctx))
		return false;
	error("the module was not loaded: it is now");
	return true;
}
