/* SPDX-License-Identifier: GPL-2.0-only */
/* A tree that looks like sysfs, for tests of what libvfioext makes of it. */
#ifndef SELFTESTS_SYSFS_TREE_H
#define SELFTESTS_SYSFS_TREE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static inline void in_tree(const char *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A shell command in the tree. */
static inline void in_tree(const char *root, const char *format, ...)
{
	char command[1024], whole[1200];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "cd %s && %s", root, command);
	if (system(whole))
		abort();
}

static inline void add_pci(const char *root, const char *name, int group, const char *driver,
			   const char *class)
{
	in_tree(root, "mkdir -p bus/pci/devices/%s kernel/iommu_groups/%d/devices", name, group);
	in_tree(root, "cd bus/pci/devices/%s && echo 0x1234 > vendor && echo 0x11e8 > device && echo %s > class && ln -s ../../../../kernel/iommu_groups/%d iommu_group",
		name, class, group);
	in_tree(root, "ln -s ../../../../bus/pci/devices/%s kernel/iommu_groups/%d/devices/", name,
		group);
	if (driver)
		in_tree(root, "mkdir -p bus/pci/drivers/%s && ln -s ../../drivers/%s bus/pci/devices/%s/driver",
			driver, driver, name);
}

static inline void add_mdev(const char *root, const char *uuid, int group, const char *api)
{
	in_tree(root, "mkdir -p bus/mdev/devices/%s/vfio-dev types/%s-1 kernel/iommu_groups/%d/devices && echo %s > types/%s-1/device_api",
		uuid, api, group, api, api);
	in_tree(root, "ln -s ../../../../types/%s-1 bus/mdev/devices/%s/mdev_type && ln -s ../../../../kernel/iommu_groups/%d bus/mdev/devices/%s/iommu_group && ln -s x bus/mdev/devices/%s/driver",
		api, uuid, group, uuid, uuid);
}

#endif
