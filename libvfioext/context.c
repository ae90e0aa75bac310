// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "sysfs.h"

int vfioext_new(struct vfioext **ctx, const char *sysfs)
{
	struct vfioext *new;

	if (!sysfs)
		sysfs = "/sys";
	if (strlen(sysfs) >= SYSFS_SIZE)
		return -ENAMETOOLONG;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	strcpy(new->sysfs, sysfs);
	*ctx = new;
	return 0;
}

void vfioext_free(struct vfioext *ctx)
{
	if (!ctx)
		return;
	netlink_close(&ctx->netlink);
	free(ctx);
}

void vfioext_never_load(struct vfioext *ctx)
{
	ctx->never_load = true;
}

const char *vfioext_message(const struct vfioext *ctx)
{
	return ctx->message;
}

void vfioext_status(struct vfioext *ctx, struct vfioext_status *status)
{
	memset(status, 0, sizeof(*status));
	ctx->message[0] = '\0';
	status->loaded = sysfs_read(ctx, status->version, sizeof(status->version),
				    "module/vfioext/version") >= 0;
	sysfs_read(ctx, status->external_users, sizeof(status->external_users),
		   "module/vfioext/parameters/private_layout");
}
