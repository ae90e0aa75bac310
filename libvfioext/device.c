// SPDX-License-Identifier: LGPL-2.1-or-later
/* Opening, moving and closing devices. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/discovery.h>

#include "container.h"
#include "context.h"
#include "opened.h"
#include "region.h"
#include "sysfs.h"
#include "token.h"
#include "watch.h"

static int read_info(struct vfioext_device *device)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (device_ioctl(device, VFIO_DEVICE_GET_INFO, &info)) {
		int ret = -errno;

		return context_fail(device->ctx, ret, "VFIO_DEVICE_GET_INFO: %s", strerror(-ret));
	}
	device->pci = info.flags & VFIO_DEVICE_FLAGS_PCI;
	device->resettable = info.flags & VFIO_DEVICE_FLAGS_RESET;
	device->nr_regions = info.num_regions;
	device->nr_irqs = info.num_irqs;
	device->irqs = calloc(info.num_irqs, sizeof(*device->irqs));
	/* A thread may find out that the device is lost, and look for them. */
	__atomic_store_n(&device->regions, calloc(info.num_regions, sizeof(void *)),
			 __ATOMIC_RELEASE);
	return device->regions && device->irqs ? 0 : -ENOMEM;
}

/* A group is in one address space, and so is the second device of it. */
static bool share_container(struct vfioext_device *device, enum vfioext_backend backend,
			    struct vfioext_container **container)
{
	const struct vfioext_device *other = opened_beside(device);
	enum vfioext_backend has;

	if (!other || device->remote)
		return false;
	has = other->container->backend;
	if (backend != has && (backend != VFIOEXT_BACKEND_ANY || has == VFIOEXT_BACKEND_NOIOMMU))
		return false;
	*container = other->container;
	if (other->own == other->container) {
		device->own = other->own;
		device->own->owners++;
	}
	return true;
}

static int take_container(struct vfioext_device *device, const struct vfioext_open *how,
			  struct vfioext_container **container)
{
	enum vfioext_backend backend = how ? how->backend : VFIOEXT_BACKEND_ANY;
	int ret;

	*container = how ? how->container : NULL;
	if (*container || share_container(device, backend, container))
		return 0;
	if (device->remote && backend == VFIOEXT_BACKEND_ANY)
		backend = VFIOEXT_BACKEND_USER;
	ret = vfioext_container_new(device->ctx, backend, &device->own);
	if (ret)
		return ret;
	device->own->owners = 1;
	*container = device->own;
	return 0;
}

static int open_in_container(struct vfioext_device *device, const struct vfioext_open *how)
{
	struct vfioext_container *container;
	int ret;

	ret = take_container(device, how, &container);
	if (ret)
		return ret;
	ret = container_add_device(container, device);
	if (ret)
		return ret;
	ret = read_info(device);
	return !ret && device->pci ? config_begin(device) : ret;
}

static struct vfioext_device *device_new(struct vfioext *ctx,
					 const struct vfioext_device_info *info,
					 const struct vfioext_open *how)
{
	struct vfioext_device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->ctx = ctx;
	device->info = *info;
	device->fd = -1;
	pthread_mutex_init(&device->lock, NULL);
	if (how && how->vf_token && token_wanted(ctx, info)) {
		device->vf_token = strdup(how->vf_token);
		if (!device->vf_token) {
			vfioext_device_close(device);
			return NULL;
		}
	}
	return device;
}

int vfioext_device_open(struct vfioext *ctx, const char *name, const struct vfioext_open *how,
			struct vfioext_device **device)
{
	struct vfioext_device_info info = { 0 };
	struct vfioext_device *new;
	int ret;

	ctx->message[0] = '\0';
	ret = remote_path(name) ? 0 : vfioext_find_device(ctx, name, &info);
	if (ret)
		return ret;
	if (!remote_path(name) && !info.vfio)
		return context_fail(ctx, -ENXIO, "%s is not bound to a VFIO driver; "
				    "'vfioext bind %s' binds it", info.name, info.name);
	if (how && how->vf_token && !token_parse(how->vf_token, NULL))
		return context_fail(ctx, -EINVAL, "a token is a UUID");
	new = device_new(ctx, &info, how);
	if (!new)
		return -ENOMEM;
	ret = remote_path(name) ? remote_open(new, name) : context_need_nothing(ctx);
	if (!ret)
		ret = open_in_container(new, how);
	if (ret) {
		ret = remote_explain(new, ret);
		vfioext_device_close(new);
		return ret;
	}
	if (new->remote)
		remote_identify(new);
	*device = new;
	return 0;
}

void device_detach(struct vfioext_device *device)
{
	if (device->joined)
		container_remove_device(device);
}

/* Only now: whoever had the device may have to give memory back that he allocated in them. */
static void release_containers(struct vfioext_device *device)
{
	if (device->container)
		container_unhold(device->container);
	if (device->own)
		container_release(device->own);
}

/* Others may have it open as well. The kernel stops its DMA when the last one closes it. */
static bool is_shared(const struct vfioext_device *device)
{
	return device->container && (device->container->shared || device->container->lent);
}

void vfioext_device_close(struct vfioext_device *device)
{
	if (!device)
		return;
	watch_free(device);
	if (device->pci && !vfioext_device_lost(device) && device_is_open(device) &&
	    device->regions && !is_shared(device))
		vfioext_device_set_master(device, false);
	irqs_free(device);
	/* From then on nobody tells that it is lost. */
	if (device->remote)
		device->remote->ops->shut(device->remote);
	regions_free(device);
	device_detach(device);
	remote_close(device);
	release_containers(device);
	if (device->fd >= 0)
		close(device->fd);
	free(device->regions);
	free(device->irqs);
	free(device->vf_token);
	pthread_mutex_destroy(&device->lock);
	free(device);
}

/* The kernel takes a group out of its container only while no device of it is open. */
static int reopen_in(struct vfioext_device *device, struct vfioext_container *container)
{
	struct vfioext_container *from = device->container;
	unsigned int i;
	int ret;

	for (i = 0; i < device->nr_regions; i++)
		if (device->regions[i])
			vfioext_region_unmap(&device->regions[i]->public);
	irqs_free(device);
	container_remove_device(device);
	ret = container_add_device(container, device);
	if (ret && container_add_device(from, device))
		atomic_store(&device->lost, true);
	return ret;
}

int vfioext_device_move(struct vfioext_device *device, struct vfioext_container *container)
{
	struct vfioext_container *from = device->container;
	unsigned int nr;

	if (vfioext_device_lost(device))
		return -ENODEV;
	if (container == from)
		return 0;
	if (container->backend != from->backend &&
	    (device->remote || container->backend == VFIOEXT_BACKEND_USER))
		return context_fail(device->ctx, -EXDEV, "one of the containers is for vfio-user "
				    "devices, and the other is not");
	if (container->backend != from->backend && !container->unsettled)
		return context_fail(device->ctx, -EXDEV, "one of the containers is iommufd's");
	if (from->shared || from->lent || container->shared)
		return context_fail(device->ctx, -EOPNOTSUPP, "groups that another process shares stay "
				    "in its container");
	nr = device->remote ? 1 : opened_count(device);
	if (nr > 1)
		return context_fail(device->ctx, -EBUSY, "group %d has %u devices open", device->info.group,
				    nr);
	if (device->remote)
		return remote_move(device, container);
	if (from->backend == VFIOEXT_BACKEND_IOMMUFD)
		return container_move_device(device, container);
	return reopen_in(device, container);
}

const struct vfioext_device_info *vfioext_device_info(const struct vfioext_device *device)
{
	return &device->info;
}

struct vfioext_container *vfioext_device_container(const struct vfioext_device *device)
{
	return device->container;
}

int vfioext_device_fd(const struct vfioext_device *device)
{
	return device->fd;
}

int vfioext_device_group_fd(const struct vfioext_device *device)
{
	return device->group ? device->group->fd : -1;
}

unsigned int vfioext_device_nr_regions(const struct vfioext_device *device)
{
	return device->nr_regions;
}

unsigned int vfioext_device_nr_irqs(const struct vfioext_device *device)
{
	return device->nr_irqs;
}

bool vfioext_device_is_pci(const struct vfioext_device *device)
{
	return device->pci;
}

bool vfioext_device_is_resettable(const struct vfioext_device *device)
{
	return device->resettable;
}

bool vfioext_device_lost(const struct vfioext_device *device)
{
	return atomic_load_explicit(&device->lost, memory_order_relaxed);
}
