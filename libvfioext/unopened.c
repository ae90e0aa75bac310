// SPDX-License-Identifier: LGPL-2.1-or-later
/* Why the kernel has not opened a device, as far as it can be found out. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/discovery.h>
#include <vfioext/holders.h>

#include "container.h"
#include "context.h"
#include "refusal.h"
#include "sysfs.h"
#include "unopened.h"

static int fail_step(struct vfioext *ctx, const char *step, int error)
{
	return context_fail(ctx, -error, "%s: %s", step, strerror(error));
}

/* The device of the host's own that keeps a group from being viable. */
static bool tell_breaker(struct vfioext *ctx, int group)
{
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;
	bool found;

	if (vfioext_list_group(ctx, group, &members))
		return false;
	breaker = vfioext_group_breaker(&members);
	found = breaker;
	if (found)
		context_fail(ctx, 0, "group %d is not viable: %s is bound to %s", group, breaker->name,
			     breaker->driver);
	vfioext_device_list_release(&members);
	return found;
}

/* Without the module, and where they are another user's, nobody is named. */
static int tell_held(struct vfioext *ctx, int group)
{
	char who[128];

	name_group_holders(ctx, group, who, sizeof(who));
	if (who[0])
		return context_fail(ctx, -EBUSY, "group %d is open already: it is held by %s", group, who);
	return context_fail(ctx, -EBUSY, "group %d is open already; 'vfioext who %d' tells who has it",
			    group, group);
}

/* An error is no reason to load the module. */
int unopened_group(struct vfioext *ctx, int group)
{
	bool never_load = ctx->never_load;

	if (tell_breaker(ctx, group))
		return -EBUSY;
	ctx->never_load = true;
	tell_held(ctx, group);
	ctx->never_load = never_load;
	return -EBUSY;
}

/*
 * Memory that firmware uses through the device, which it wants to see at the same addresses. What
 * it needs only until the host's drivers take over is no obstacle, and called relaxable.
 */
static bool has_identity_map(struct vfioext *ctx, int group)
{
	char text[4096], *line, *kind, *rest = text;

	if (group < 0 || sysfs_read_lines(ctx, text, sizeof(text),
					  "kernel/iommu_groups/%d/reserved_regions", group) < 0)
		return false;
	while ((line = strsep(&rest, "\n"))) {
		kind = strrchr(line, ' ');
		if (kind && !strcmp(kind, " direct"))
			return true;
	}
	return false;
}

/* The kernel's error is one or the other, by its version and the step. */
static bool tell_identity_map(struct vfioext *ctx, int group, int error)
{
	if ((error != EINVAL && error != EPERM) || !has_identity_map(ctx, group))
		return false;
	context_fail(ctx, 0, "group %d: the firmware wants memory of its own mapped for the device at the "
		     "same addresses (RMRR), so it cannot be given away; a setting of the firmware or an "
		     "update may take that back", group);
	return true;
}

int unopened_container(struct vfioext_container *container, struct vfioext *ctx, int group,
		       int error)
{
	if (error == EPERM && container->registered)
		return context_fail(ctx, -EPERM, "group %d cannot share another's address space: on POWER "
				    "under a hypervisor each has its own", group);
	if (tell_identity_map(ctx, group, error))
		return -error;
	return fail_step(ctx, "VFIO_GROUP_SET_CONTAINER", error);
}

int unopened_iommu(struct vfioext_container *container, struct vfioext *ctx, int group, int error)
{
	bool type1 = container->backend == VFIOEXT_BACKEND_CONTAINER && !container->registered;

	if (tell_identity_map(ctx, group, error))
		return -error;
	if (error == EPERM && type1)
		return context_fail(ctx, -EPERM, "VFIO_SET_IOMMU: the host has no interrupt remapping; "
				    "vfio_iommu_type1's allow_unsafe_interrupts=1 opens devices without, "
				    "and lets who has one send the host any interrupt");
	if (error == ENODEV && type1 && !sysfs_exists(ctx, "module/vfio_iommu_type1"))
		return context_fail(ctx, -ENODEV, "VFIO_SET_IOMMU: vfio_iommu_type1 is not loaded; "
				    "'modprobe vfio_iommu_type1' loads it");
	return fail_step(ctx, "VFIO_SET_IOMMU", error);
}

/* A second opening of the same file is as invalid to the kernel as what it cannot isolate. */
static int tell_invalid(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	uint32_t handles = 1;
	char who[128];

	if (!vfioext_device_handles(ctx, info->name, &handles) && !handles)
		return context_fail(ctx, -EINVAL, "iommufd takes no %s: its DMA is not coherent with the "
				    "processors' caches", info->name);
	name_holders(ctx, info->name, who, sizeof(who));
	if (who[0])
		return context_fail(ctx, -EBUSY, "%s is open already: it is held by %s", info->name, who);
	return context_fail(ctx, -EBUSY, "%s is open already; 'vfioext who %s' tells who has it",
			    info->name, info->name);
}

int unopened_bind(struct vfioext *ctx, const struct vfioext_device_info *info, int error)
{
	bool never_load = ctx->never_load;
	int ret;

	if (tell_identity_map(ctx, info->group, error))
		return -error;
	switch (error) {
	case EBUSY:
		return unopened_group(ctx, info->group);
	case EINVAL:
		ctx->never_load = true;
		ret = tell_invalid(ctx, info);
		ctx->never_load = never_load;
		return ret;
	case EACCES:
		return context_fail(ctx, -EACCES, "%s wants the token of its physical function's owner",
				    info->name);
	case EPERM:
		if (info->group >= 0)
			return context_fail(ctx, -EPERM, "interrupts of %s are not isolated from the host's: it "
					    "has no interrupt remapping; iommufd's allow_unsafe_interrupts=1 "
					    "opens devices without, and lets who has one send the host any "
					    "interrupt", info->name);
		/* fall through */
	default:
		return fail_step(ctx, "VFIO_DEVICE_BIND_IOMMUFD", error);
	}
}

int unopened_attach(struct vfioext *ctx, const struct vfioext_device_info *info, int error)
{
	if (tell_identity_map(ctx, info->group, error))
		return -error;
	return fail_step(ctx, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", error);
}
