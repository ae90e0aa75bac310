// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <string.h>
#include <vfioext/discovery.h>

#include "context.h"
#include "sysfs.h"

static int set_override(struct vfioext *ctx, const struct vfioext_device_info *info,
			const char *driver)
{
	int ret = sysfs_write(ctx, driver, "bus/pci/devices/%s/driver_override", info->name);

	if (ret)
		return context_fail(ctx, ret, "driver_override of %s: %s", info->name,
				    strerror(-ret));
	return 0;
}

/* Where vfio does without, a device gets a group of its own as it is bound. */
static bool may_lack_iommu(struct vfioext *ctx)
{
	char allowed[8];

	return sysfs_read(ctx, allowed, sizeof(allowed),
			  "module/vfio/parameters/enable_unsafe_noiommu_mode") > 0 &&
	       allowed[0] == 'Y';
}

static int fail_no_group(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	return context_fail(ctx, -EOPNOTSUPP, "%s has no IOMMU group; is the IOMMU on?", info->name);
}

static int check_driver(struct vfioext *ctx, const struct vfioext_device_info *info,
			const char *driver)
{
	if (strcmp(info->bus, "pci"))
		return context_fail(ctx, -EOPNOTSUPP,
				    "%s is an mdev, whose driver is its parent's", info->name);
	/* With a device tree a device gets its group with its first driver, maybe this one. */
	if (info->group < 0 && info->driver[0] && !may_lack_iommu(ctx))
		return fail_no_group(ctx, info);
	if (!strcmp(info->driver, driver))
		return context_fail(ctx, -EALREADY, "%s is bound to %s already", info->name, driver);
	if (!driver[0] || strchr(driver, '/') || !sysfs_exists(ctx, "bus/pci/drivers/%s", driver))
		return context_fail(ctx, -ENOENT, "there is no PCI driver %.64s; modprobe it first",
				    driver);
	return 0;
}

static bool has_group(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	return sysfs_exists(ctx, "bus/pci/devices/%s/iommu_group", info->name);
}

static int probe(struct vfioext *ctx, const struct vfioext_device_info *info, const char *driver)
{
	char bound[VFIOEXT_NAME_SIZE];
	int ret;

	ret = sysfs_write(ctx, info->name, "bus/pci/drivers_probe");
	if (!ret)
		ret = sysfs_read_link(ctx, bound, sizeof(bound), "bus/pci/devices/%s/driver",
				      info->name);
	if (ret && ret != -ENOENT)
		return context_fail(ctx, ret, "probing %s: %s", info->name, strerror(-ret));
	if (!ret && !strcmp(bound, driver))
		return 0;
	if (info->group < 0 && !has_group(ctx, info))
		return fail_no_group(ctx, info);
	return context_fail(ctx, -EIO, "%s did not take %s; the kernel log says why", driver,
			    info->name);
}

int vfioext_bind(struct vfioext *ctx, const char *name, const char *driver)
{
	struct vfioext_device_info info;
	int ret;

	if (!driver)
		driver = "vfio-pci";
	ret = vfioext_find_device(ctx, name, &info);
	if (!ret)
		ret = check_driver(ctx, &info, driver);
	if (!ret)
		ret = set_override(ctx, &info, driver);
	if (ret)
		return ret;

	if (info.driver[0])
		ret = vfioext_unbind(ctx, info.name);
	if (!ret)
		ret = probe(ctx, &info, driver);
	/* A bound device stays bound without it, and is anybody's when it is not. */
	sysfs_write(ctx, "\n", "bus/pci/devices/%s/driver_override", info.name);
	if (ret && info.driver[0])
		sysfs_write(ctx, info.name, "bus/pci/drivers_probe");
	return ret;
}

int vfioext_unbind(struct vfioext *ctx, const char *name)
{
	struct vfioext_device_info info;
	int ret;

	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return ret;
	if (!info.driver[0])
		return context_fail(ctx, -EALREADY, "%s has no driver", info.name);
	ret = sysfs_write(ctx, info.name, "bus/%s/drivers/%s/unbind", info.bus, info.driver);
	if (ret)
		return context_fail(ctx, ret, "unbinding %s from %s: %s", info.name, info.driver,
				    strerror(-ret));
	return 0;
}
