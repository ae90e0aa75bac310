// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/discovery.h>
#include <vfioext/reset.h>

#include "container.h"
#include "context.h"
#include "device.h"
#include "kernel_abi.h"
#include "opened.h"

#define DEVICES_MAX 4096

int vfioext_device_reset(struct vfioext_device *device)
{
	if (vfioext_device_lost(device))
		return remote_explain(device, -ENODEV);
	if (!device->resettable)
		return context_fail(device->ctx, -ENOTSUP, "%s cannot be reset alone",
				    device->info.name);
	return device_ioctl(device, VFIO_DEVICE_RESET, NULL) ? remote_explain(device, -errno) : 0;
}

/* Return: the kernel's list, or NULL with an error. */
static struct vfio_pci_hot_reset_info *read_dependent(struct vfioext_device *device, int *error)
{
	struct vfio_pci_hot_reset_info *info = NULL, *more;
	uint32_t nr = 0;
	size_t size;

	do {
		size = sizeof(*info) + nr * sizeof(info->devices[0]);
		more = realloc(info, size);
		*error = more ? 0 : -ENOMEM;
		if (!more)
			break;
		info = more;
		memset(info, 0, size);
		info->argsz = (uint32_t)size;
		if (!device_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info) && info->count <= nr)
			return info;
		*error = errno == ENODEV ? -ENOTSUP : -errno;
		if (info->count <= nr)
			break;
		nr = info->count;
	} while (nr <= DEVICES_MAX);
	free(info);
	return NULL;
}

/*
 * The file of a group that is open in any container of the process, or that another process shares
 * with this one. Return: a descriptor of the caller's own, or -1.
 */
static int group_file(struct vfioext_container *container, int id)
{
	const struct group *group;
	int fd = opened_group_file(id);

	if (fd >= 0)
		return fd;
	pthread_mutex_lock(&container->groups_lock);
	group = container_find_group(container, id);
	if (group)
		fd = fcntl(group->fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&container->groups_lock);
	return fd;
}

static bool has_group(struct vfioext_container *container, int id)
{
	int fd = group_file(container, id);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/*
 * For a device of iommufd the kernel tells numbers of its own in the place of the group's, and
 * what is not ours.
 */
static void take_dependent(struct vfioext_device *device,
			   const struct vfio_pci_hot_reset_info *info, uint32_t i,
			   struct vfioext_hot_reset_device *dependent)
{
	const struct vfio_pci_dependent_device *from = &info->devices[i];

	snprintf(dependent->name, sizeof(dependent->name), "%04x:%02x:%02x.%x", from->segment,
		 from->bus, from->devfn >> 3, from->devfn & 7);
	if (info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID) {
		dependent->group = -1;
		dependent->ours = from->group_id != (uint32_t)VFIO_PCI_DEVID_NOT_OWNED;
	} else {
		dependent->group = (int)from->group_id;
		dependent->ours = has_group(device->container, dependent->group);
	}
}

int vfioext_device_get_hot_reset(struct vfioext_device *device, struct vfioext_hot_reset *reset)
{
	struct vfio_pci_hot_reset_info *info;
	uint32_t i;
	int ret;

	memset(reset, 0, sizeof(*reset));
	if (vfioext_device_lost(device))
		return -ENODEV;
	if (!device->pci)
		return -ENOTSUP;
	info = read_dependent(device, &ret);
	if (!info)
		return ret == -ENOTTY ? -ENOTSUP : ret;
	reset->list = calloc(info->count ? info->count : 1, sizeof(*reset->list));
	if (reset->list) {
		reset->nr = info->count;
		reset->possible = true;
	}
	for (i = 0; i < reset->nr; i++) {
		take_dependent(device, info, i, &reset->list[i]);
		reset->possible = reset->possible && reset->list[i].ours;
	}
	free(info);
	return reset->list ? 0 : -ENOMEM;
}

void vfioext_hot_reset_release(struct vfioext_hot_reset *reset)
{
	free(reset->list);
	memset(reset, 0, sizeof(*reset));
}

/* Several devices of a group come one after the other, or not. */
static bool is_named(const struct vfioext_hot_reset *reset, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (reset->list[i].group == reset->list[nr].group)
			return true;
	return false;
}

/*
 * Each group of the reset is named once, and by that proved to be ours; for more groups
 * than devices the kernel has -EINVAL. iommufd knows itself what is ours.
 */
static int reset_with_groups(struct vfioext_device *device, const struct vfioext_hot_reset *reset)
{
	bool groups = device->container->backend != VFIOEXT_BACKEND_IOMMUFD;
	struct vfio_pci_hot_reset *request;
	int fd, ret = -ENOMEM;
	size_t i;

	request = calloc(1, sizeof(*request) + reset->nr * sizeof(request->group_fds[0]));
	if (!request)
		return ret;
	request->argsz =
		(uint32_t)(sizeof(*request) + reset->nr * sizeof(request->group_fds[0]));
	for (i = 0; groups && i < reset->nr; i++) {
		fd = is_named(reset, i) ? -1 : group_file(device->container, reset->list[i].group);
		if (fd >= 0)
			request->group_fds[request->count++] = fd;
	}
	ret = device_ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, request) ? -errno : 0;
	while (request->count)
		close(request->group_fds[--request->count]);
	free(request);
	return ret;
}

int vfioext_device_hot_reset(struct vfioext_device *device)
{
	struct vfioext_hot_reset reset;
	int ret;
	size_t i;

	ret = vfioext_device_get_hot_reset(device, &reset);
	if (ret)
		return ret;
	for (i = 0; i < reset.nr && !ret; i++)
		if (!reset.list[i].ours)
			ret = context_fail(device->ctx, -EPERM, "the reset would take %s along, which this "
					   "process has not open", reset.list[i].name);
	if (!ret)
		ret = reset_with_groups(device, &reset);
	vfioext_hot_reset_release(&reset);
	return ret;
}
