// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
	new->nothing = -1;
	*ctx = new;
	return 0;
}

/* An eventfd: it can be neither mapped nor read at a place, and nobody has it but us. */
int context_need_nothing(struct vfioext *ctx)
{
	int ret;

	if (ctx->nothing < 0)
		ctx->nothing = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ctx->nothing >= 0)
		return 0;
	ret = -errno;
	return context_fail(ctx, ret, "eventfd: %s", strerror(-ret));
}

void vfioext_free(struct vfioext *ctx)
{
	if (!ctx)
		return;
	netlink_close(&ctx->netlink);
	if (ctx->nothing >= 0)
		close(ctx->nothing);
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
