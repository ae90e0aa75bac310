// SPDX-License-Identifier: LGPL-2.1-or-later
/* Why a driver has not taken a device, as far as it can be found out. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <vfioext/discovery.h>
#include <vfioext/holders.h>

#include "context.h"
#include "klog.h"
#include "refusal.h"

/* Not an errno of user space: the probe is to be tried again later. */
#define EPROBE_DEFER 517

#define CLASS_BRIDGE 0x06

/* As many as fit. */
static void name_all(struct vfioext_holders *holders, char *text, size_t size)
{
	size_t at = 0, i;

	for (i = 0; i < holders->nr && at < size; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%s, pid %d", at ? "; " : "",
				       holders->list[i].comm, holders->list[i].pid);
	vfioext_holders_release(holders);
}

void name_holders(struct vfioext *ctx, const char *device, char *text, size_t size)
{
	struct vfioext_holders holders;

	text[0] = '\0';
	if (!vfioext_device_holders(ctx, device, &holders))
		name_all(&holders, text, size);
}

void name_group_holders(struct vfioext *ctx, int group, char *text, size_t size)
{
	struct vfioext_holders holders;

	text[0] = '\0';
	if (!vfioext_group_holders(ctx, group, &holders))
		name_all(&holders, text, size);
}

/* The sibling that is open, or else any that VFIO has, as the group alone may be open. */
static bool find_holder(struct vfioext *ctx, const struct vfioext_device_info *info, char *by)
{
	struct vfioext_device_list members;
	uint32_t handles = 0;
	size_t i;

	by[0] = '\0';
	if (info->group < 0 || vfioext_list_group(ctx, info->group, &members))
		return false;
	for (i = 0; i < members.nr && !handles; i++) {
		if (!members.list[i].vfio || !strcmp(members.list[i].name, info->name))
			continue;
		if (vfioext_device_handles(ctx, members.list[i].name, &handles))
			handles = 0;
		if (handles || !by[0])
			strcpy(by, members.list[i].name);
	}
	vfioext_device_list_release(&members);
	return by[0];
}

bool explain_owner(struct vfioext *ctx, const struct vfioext_device_info *info,
		   const char *driver)
{
	char who[128], by[VFIOEXT_NAME_SIZE];

	if (!find_holder(ctx, info, by))
		return false;
	name_holders(ctx, by, who, sizeof(who));
	if (who[0])
		context_fail(ctx, 0, "%s cannot have %s while user space has its group %d: %s is held by %s",
			     driver ? driver : "the host's driver", info->name, info->group, by,
			     who);
	else
		context_fail(ctx, 0, "%s cannot have %s while user space has its group %d; 'vfioext who %d' tells who does",
			     driver ? driver : "the host's driver", info->name, info->group,
			     info->group);
	return true;
}

static int explain_errno(struct vfioext *ctx, const struct vfioext_device_info *info,
			 const char *driver, int error)
{
	const char *hint = "";

	if (error == -EPERM || error == -EACCES)
		return context_fail(ctx, error, "binding %s: %s", info->name, strerror(-error));
	if (error == -EAGAIN || error == -EPROBE_DEFER)
		return context_fail(ctx, -EIO, "%s waits for something else before it can take %s",
				    driver, info->name);
	if (error == -EINVAL && info->class_code >> 16 == CLASS_BRIDGE)
		hint = ": it is a bridge";
	return context_fail(ctx, -EIO, "%s refused %s (probe error %d)%s", driver, info->name, error,
			    hint);
}

int refusal_explain(struct vfioext *ctx, const struct vfioext_device_info *info,
		    const char *driver, int error, int log, const char *child)
{
	const char *const names[] = { info->name, child, NULL };
	char said[128], line[160];

	if (error == -EBUSY && explain_owner(ctx, info, driver))
		return -EBUSY;
	/* The line that tells the number of the probe's error tells nothing else. */
	if (klog_find(log, names, line, sizeof(line)) && !strstr(line, "failed with error"))
		snprintf(said, sizeof(said), "; the kernel log says: %.100s", line);
	else
		said[0] = '\0';
	if (error == -ETIMEDOUT)
		return context_fail(ctx, error, "%s has taken %s, but has not got it ready in time%s",
				    driver, info->name, said);
	if (child[0] || error == -ENOTCONN)
		return context_fail(ctx, -EIO, "%s took %s, and let go of it again%s", driver,
				    info->name, said);
	error = explain_errno(ctx, info, driver, error);
	strncat(ctx->message, said, sizeof(ctx->message) - strlen(ctx->message) - 1);
	return error;
}
