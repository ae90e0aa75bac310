// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/device.h>
#include <vfioext/discovery.h>

#include "context.h"
#include "sysfs.h"

struct vfioext_device {
	int container;
	int group;
	int device;
};

static int fail_step(struct vfioext *ctx, const char *step)
{
	int ret = -errno;

	return context_fail(ctx, ret, "%s: %s", step, strerror(-ret));
}

/* The group's file is named by its number, or "noiommu-" and its number. */
static int open_group(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", info->group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return context_fail(ctx, -EBUSY, "group %d is open in another process; "
				    "'vfioext who %d' tells which", info->group, info->group);
	return fail_step(ctx, path);
}

static int check_viable(struct vfioext *ctx, const struct vfioext_device_info *info, int group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;
	int ret;

	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status))
		return fail_step(ctx, "VFIO_GROUP_GET_STATUS");
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	ret = vfioext_list_group(ctx, info->group, &members);
	if (ret)
		return ret;
	breaker = vfioext_group_breaker(&members);
	if (breaker)
		context_fail(ctx, 0, "group %d is not viable: %s is bound to %s", info->group,
			     breaker->name, breaker->driver);
	else
		context_fail(ctx, 0, "group %d is not viable", info->group);
	vfioext_device_list_release(&members);
	return -EBUSY;
}

static int set_up(struct vfioext *ctx, const struct vfioext_device_info *info,
		  struct vfioext_device *device)
{
	device->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (device->container < 0)
		return fail_step(ctx, "/dev/vfio/vfio");
	if (ioctl(device->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return context_fail(ctx, -EPROTO, "VFIO of another version");
	if (ioctl(device->group, VFIO_GROUP_SET_CONTAINER, &device->container))
		return fail_step(ctx, "VFIO_GROUP_SET_CONTAINER");
	if (ioctl(device->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return fail_step(ctx, "VFIO_SET_IOMMU");
	device->device = ioctl(device->group, VFIO_GROUP_GET_DEVICE_FD, info->name);
	if (device->device < 0)
		return fail_step(ctx, "VFIO_GROUP_GET_DEVICE_FD");
	return 0;
}

int vfioext_device_open(struct vfioext *ctx, const char *name, struct vfioext_device **device)
{
	struct vfioext_device_info info;
	struct vfioext_device *new;
	int ret;

	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return ret;
	if (!info.vfio)
		return context_fail(ctx, -ENXIO, "%s is not bound to a VFIO driver; "
				    "'vfioext bind %s' binds it", info.name, info.name);
	new = malloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->container = -1;
	new->device = -1;
	new->group = open_group(ctx, &info);
	ret = new->group < 0 ? new->group : check_viable(ctx, &info, new->group);
	if (!ret)
		ret = set_up(ctx, &info, new);
	if (ret) {
		vfioext_device_close(new);
		return ret;
	}
	*device = new;
	return 0;
}

void vfioext_device_close(struct vfioext_device *device)
{
	if (!device)
		return;
	if (device->device >= 0)
		close(device->device);
	if (device->group >= 0)
		close(device->group);
	if (device->container >= 0)
		close(device->container);
	free(device);
}

int vfioext_device_fd(const struct vfioext_device *device)
{
	return device->device;
}

int vfioext_device_group_fd(const struct vfioext_device *device)
{
	return device->group;
}

int vfioext_device_container_fd(const struct vfioext_device *device)
{
	return device->container;
}

int vfioext_device_map_region(struct vfioext_device *device, uint32_t index, void **addr,
			      uint64_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	void *mapped;

	if (ioctl(device->device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return -errno;
	if (!info.size || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP) ||
	    info.flags & VFIO_REGION_INFO_FLAG_CAPS)
		return -ENOTSUP;
	mapped = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device->device,
		      (off_t)info.offset);
	if (mapped == MAP_FAILED)
		return -errno;
	*addr = mapped;
	*size = info.size;
	return 0;
}

int vfioext_device_request_eventfd(struct vfioext_device *device, int eventfd)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = VFIO_PCI_REQ_IRQ_INDEX };
	struct {
		struct vfio_irq_set set;
		int fd;
	} request = {
		.set = {
			.argsz = sizeof(request),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_REQ_IRQ_INDEX,
			.count = 1,
		},
		.fd = eventfd,
	};

	if (ioctl(device->device, VFIO_DEVICE_GET_IRQ_INFO, &info) || !info.count)
		return -ENOTSUP;
	return ioctl(device->device, VFIO_DEVICE_SET_IRQS, &request) ? -errno : 0;
}
