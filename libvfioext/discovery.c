// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/discovery.h>

#include "context.h"
#include "names.h"
#include "sysfs.h"

/* The buses whose devices are found, in the order of lists. */
static const char *const buses[] = { "pci", "mdev" };

#define NR_BUSES (sizeof(buses) / sizeof(buses[0]))

bool is_name(const char *name)
{
	return name[0] && strlen(name) < VFIOEXT_NAME_SIZE && !strchr(name, '/') &&
	       strcmp(name, ".") && strcmp(name, "..");
}

static int read_group(struct vfioext *ctx, struct vfioext_device_info *info)
{
	char link[32], *end;
	long group;
	int ret;

	info->group = -1;
	ret = sysfs_read_link(ctx, link, sizeof(link), "bus/%s/devices/%s/iommu_group", info->bus,
			      info->name);
	if (ret == -ENOENT)
		return 0;
	if (ret)
		return ret;
	errno = 0;
	group = strtol(link, &end, 10);
	if (errno || end == link || *end || group < 0 || group > INT32_MAX)
		return -EIO;
	info->group = (int)group;
	return 0;
}

static int read_pci(struct vfioext *ctx, struct vfioext_device_info *info)
{
	uint32_t vendor, device, subsystem_vendor = 0, subsystem_device = 0;
	int ret;

	ret = sysfs_read_hex(ctx, &vendor, "bus/pci/devices/%s/vendor", info->name);
	if (!ret)
		ret = sysfs_read_hex(ctx, &device, "bus/pci/devices/%s/device", info->name);
	if (!ret)
		ret = sysfs_read_hex(ctx, &info->class_code, "bus/pci/devices/%s/class",
				     info->name);
	if (ret)
		return ret == -ENOENT ? -EIO : ret;
	if (vendor > UINT16_MAX || device > UINT16_MAX)
		return -EIO;
	sysfs_read_hex(ctx, &subsystem_vendor, "bus/pci/devices/%s/subsystem_vendor", info->name);
	sysfs_read_hex(ctx, &subsystem_device, "bus/pci/devices/%s/subsystem_device", info->name);
	info->vendor = (uint16_t)vendor;
	info->device = (uint16_t)device;
	info->subsystem_vendor = (uint16_t)subsystem_vendor;
	info->subsystem_device = (uint16_t)subsystem_device;
	return 0;
}

static int read_mdev(struct vfioext *ctx, struct vfioext_device_info *info)
{
	int ret;

	ret = sysfs_read_link(ctx, info->mdev_type, sizeof(info->mdev_type),
			      "bus/mdev/devices/%s/mdev_type", info->name);
	if (ret)
		return ret;
	ret = sysfs_read(ctx, info->device_api, sizeof(info->device_api),
			 "bus/mdev/devices/%s/mdev_type/device_api", info->name);
	return ret < 0 ? ret : 0;
}

/* Drivers that leave DMA to user space; the kernel calls it driver_managed_dma. */
static bool breaks_group(const struct vfioext_device_info *info)
{
	return info->driver[0] && !info->vfio && strcmp(info->driver, "pci-stub") &&
	       strcmp(info->driver, "pcieport") && strncmp(info->driver, "vfio", 4);
}

static int read_device(struct vfioext *ctx, const char *bus, const char *name,
		       struct vfioext_device_info *info)
{
	int ret;

	memset(info, 0, sizeof(*info));
	if (!sysfs_exists(ctx, "bus/%s/devices/%s", bus, name))
		return -ENODEV;
	strcpy(info->name, name);
	strcpy(info->bus, bus);
	ret = sysfs_read_link(ctx, info->driver, sizeof(info->driver), "bus/%s/devices/%s/driver",
			      bus, name);
	if (ret && ret != -ENOENT)
		return ret;
	ret = read_group(ctx, info);
	if (!ret)
		ret = strcmp(bus, "mdev") ? read_pci(ctx, info) : read_mdev(ctx, info);
	info->vfio = sysfs_exists(ctx, "bus/%s/devices/%s/vfio-dev", bus, name);
	info->breaks_group = breaks_group(info);
	return ret;
}

int find_exactly(struct vfioext *ctx, const char *name, struct vfioext_device_info *info)
{
	int ret = -ENODEV;
	size_t i;

	for (i = 0; i < NR_BUSES && ret == -ENODEV; i++)
		ret = read_device(ctx, buses[i], name, info);
	return ret;
}

static int list_add(struct vfioext_device_list *devices, const struct vfioext_device_info *info)
{
	struct vfioext_device_info *more;

	more = realloc(devices->list, (devices->nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	devices->list = more;
	more[devices->nr++] = *info;
	return 0;
}

static int list_bus(struct vfioext *ctx, const char *bus, struct vfioext_device_list *devices)
{
	struct vfioext_device_info info;
	char **names;
	int nr, i, ret = 0;

	nr = sysfs_list(ctx, &names, "bus/%s/devices", bus);
	if (nr < 0)
		return nr == -ENOENT ? 0 : nr;
	for (i = 0; i < nr && !ret; i++) {
		if (!is_name(names[i]) || read_device(ctx, bus, names[i], &info))
			continue;
		/* An mdev that has lost its driver is in no group, either. */
		if (info.group >= 0 || !strcmp(bus, "mdev"))
			ret = list_add(devices, &info);
	}
	sysfs_list_free(names, nr);
	return ret;
}

int vfioext_list_devices(struct vfioext *ctx, struct vfioext_device_list *devices)
{
	int ret = 0;
	size_t i;

	ctx->message[0] = '\0';
	memset(devices, 0, sizeof(*devices));
	for (i = 0; i < NR_BUSES && !ret; i++)
		ret = list_bus(ctx, buses[i], devices);
	if (ret)
		vfioext_device_list_release(devices);
	return ret;
}

int vfioext_list_group(struct vfioext *ctx, int group, struct vfioext_device_list *devices)
{
	struct vfioext_device_info info;
	char **names;
	int nr, i, ret = 0;

	ctx->message[0] = '\0';
	memset(devices, 0, sizeof(*devices));
	nr = sysfs_list(ctx, &names, "kernel/iommu_groups/%d/devices", group);
	if (nr < 0)
		return context_fail(ctx, nr, "there is no IOMMU group %d", group);
	for (i = 0; i < nr && !ret; i++)
		if (is_name(names[i]) && !find_exactly(ctx, names[i], &info))
			ret = list_add(devices, &info);
	sysfs_list_free(names, nr);
	if (ret)
		vfioext_device_list_release(devices);
	return ret;
}

int vfioext_list_vfs(struct vfioext *ctx, const char *pf, struct vfioext_device_list *devices)
{
	struct vfioext_device_info info;
	char **names, vf[VFIOEXT_NAME_SIZE];
	int nr, i, ret = 0;

	ctx->message[0] = '\0';
	memset(devices, 0, sizeof(*devices));
	nr = is_name(pf) ? sysfs_list(ctx, &names, "bus/pci/devices/%s", pf) : -ENOENT;
	if (nr < 0)
		return nr == -ENOENT ? 0 : nr;
	for (i = 0; i < nr && !ret; i++)
		if (!strncmp(names[i], "virtfn", 6) &&
		    !sysfs_read_link(ctx, vf, sizeof(vf), "bus/pci/devices/%s/%s", pf, names[i]) &&
		    is_name(vf) && !find_exactly(ctx, vf, &info))
			ret = list_add(devices, &info);
	sysfs_list_free(names, nr);
	if (ret)
		vfioext_device_list_release(devices);
	return ret;
}

const struct vfioext_device_info *vfioext_group_breaker(const struct vfioext_device_list *devices)
{
	size_t i;

	for (i = 0; i < devices->nr; i++)
		if (devices->list[i].breaks_group)
			return &devices->list[i];
	return NULL;
}

void vfioext_device_list_release(struct vfioext_device_list *devices)
{
	free(devices->list);
	memset(devices, 0, sizeof(*devices));
}
