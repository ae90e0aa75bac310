// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Devices that other processes serve, and the containers that they are in: each server
 * is told of each mapping. What was mapped stays while no device is there, and the next
 * one is told of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <vfioext/config.h>

#include "container.h"
#include "context.h"
#include "region.h"
#include "remote.h"

#define PREFIX "user:"

static const struct remote_ops *_Atomic backend;

int vfioext_remote_register(const struct remote_ops *ops)
{
	if (ops->version != REMOTE_VERSION)
		return -EPROTONOSUPPORT;
	backend = ops;
	return 0;
}

const char *remote_path(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) ? NULL : name + strlen(PREFIX);
}

/* Accessors go the slow way from now on, where they find out. */
static void on_lost(void *data)
{
	struct vfioext_device *device = data;
	struct region **regions, *region;
	unsigned int i;

	atomic_store(&device->lost, true);
	regions = __atomic_load_n(&device->regions, __ATOMIC_ACQUIRE);
	for (i = 0; regions && i < device->nr_regions; i++) {
		region = __atomic_load_n(&regions[i], __ATOMIC_ACQUIRE);
		if (region)
			region_fast_off(region);
	}
}

/* Of a long path the end tells more. */
static void set_name(struct vfioext_device_info *info, const char *path)
{
	size_t room = sizeof(info->name) - sizeof(PREFIX "..."), length = strlen(path);

	if (length <= room)
		snprintf(info->name, sizeof(info->name), PREFIX "%s", path);
	else
		snprintf(info->name, sizeof(info->name), PREFIX "...%s", path + length - room);
}

int remote_open(struct vfioext_device *device, const char *name)
{
	const struct remote_ops *ops = backend;
	const char *path = remote_path(name);

	if (!ops)
		return context_fail(device->ctx, -EOPNOTSUPP, "for %.64s the program needs libvfioext-user: "
				    "link with -lvfioext-user, and call vfioext_user_client_init()",
				    name);
	if (device->vf_token)
		return context_fail(device->ctx, -EINVAL, "a vfio-user device has no token");
	set_name(&device->info, path);
	snprintf(device->info.bus, sizeof(device->info.bus), "user");
	snprintf(device->info.driver, sizeof(device->info.driver), "vfio-user");
	device->info.group = -1;
	device->info.vfio = true;
	return ops->open(device->ctx, path, on_lost, device, &device->remote);
}

void remote_identify(struct vfioext_device *device)
{
	struct vfioext_device_info *info = &device->info;

	if (!device->pci)
		return;
	info->vendor = (uint16_t)vfioext_config_read(device, PCI_VENDOR_ID, 2);
	info->device = (uint16_t)vfioext_config_read(device, PCI_DEVICE_ID, 2);
	info->subsystem_vendor = (uint16_t)vfioext_config_read(device, PCI_SUBSYSTEM_VENDOR_ID, 2);
	info->subsystem_device = (uint16_t)vfioext_config_read(device, PCI_SUBSYSTEM_ID, 2);
	info->class_code = vfioext_config_read(device, PCI_CLASS_REVISION, 4) >> 8;
}

void remote_close(struct vfioext_device *device)
{
	if (device->remote)
		device->remote->ops->close(device->remote);
	device->remote = NULL;
}

int remote_explain(struct vfioext_device *device, int error)
{
	struct remote *remote = device->remote;

	if (!remote || error != -ENODEV || !remote->ops->is_lost(remote))
		return error;
	return context_fail(device->ctx, error, "%s: %s", device->info.name,
			    remote->ops->reason(remote));
}

int remote_ioctl(const struct vfioext_device *device, unsigned long request, void *argument)
{
	int ret = device->remote->ops->command(device->remote, request, argument);

	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

int remote_read(const struct vfioext_region *region, uint64_t offset, void *buffer, size_t size)
{
	struct remote *remote = region->device->remote;

	return remote->ops->read(remote, region->index, buffer, size, offset);
}

/* Nothing of what is mapped may be seen before what was written earlier. */
int remote_write(const struct vfioext_region *region, uint64_t offset, const void *buffer,
		 size_t size, bool posted)
{
	struct remote *remote = region->device->remote;

	return remote->ops->write(remote, region->index, buffer, size, offset,
				  posted && !region->device->mapped);
}

static int tell(struct vfioext_device *device, const struct vfioext_container *container,
		const struct mapping *mapping)
{
	struct remote *remote = device->remote;
	struct remote_memory memory = {
		.iova = mapping->iova,
		.size = mapping->size,
		.flags = mapping->flags,
		.vaddr = (void *)(uintptr_t)mapping->vaddr,
		.fd = -1,
	};

	allocation_find_file(container, &memory);
	return remote->ops->dma_map(remote, &memory);
}

/* It need not be there: the server may have been told before. */
static int untell(struct vfioext_device *device, const struct mapping *mapping)
{
	struct remote *remote = device->remote;
	int ret = remote->ops->dma_unmap(remote, mapping->iova, mapping->size);

	return ret == -ENODEV || ret == -ENOENT ? 0 : ret;
}

/* All mappings that begin from one address on to another. */
static bool next_mapping(const struct vfioext_container *container, uint64_t *at, uint64_t last,
			 struct mapping *mapping)
{
	if (*at > last || !mappings_next(container->mappings, *at, mapping) || mapping->iova > last)
		return false;
	*at = mapping->iova + mapping->size;
	/* One that reaches to the end of all addresses is the last. */
	if (!*at)
		*at = UINT64_MAX;
	return true;
}

/* Those that begin before an address. Return: 0, or the error of the first that fails. */
static int untell_below(struct vfioext_device *device, const struct vfioext_container *container,
			uint64_t end)
{
	struct mapping mapping;
	uint64_t at = 0;
	int ret = 0;

	while (!ret && end && next_mapping(container, &at, end - 1, &mapping))
		ret = untell(device, &mapping);
	return ret;
}

/* All or none. */
static int tell_all(struct vfioext_device *device, const struct vfioext_container *container)
{
	struct mapping mapping;
	uint64_t at = 0;
	int ret = 0;

	while (!ret && next_mapping(container, &at, UINT64_MAX, &mapping))
		ret = tell(device, container, &mapping);
	if (!ret)
		return 0;
	untell_below(device, container, mapping.iova);
	return context_fail(device->ctx, ret, "%s does not take what is mapped at %#" PRIx64 ": %s",
			    device->info.name, mapping.iova, strerror(-ret));
}

/* From then on limits are those of one more. */
static void link_device(struct vfioext_container *container, struct vfioext_device *device)
{
	device->next = container->remotes;
	container->remotes = device;
	dma_begin(container);
}

static void unlink_device(struct vfioext_container *container, struct vfioext_device *device)
{
	struct vfioext_device **at = &container->remotes;

	while (*at != device)
		at = &(*at)->next;
	*at = device->next;
	dma_begin(container);
}

int remote_join(struct vfioext_container *container, struct vfioext_device *device)
{
	int ret = tell_all(device, container);

	if (!ret)
		link_device(container, device);
	return ret;
}

/* A server whose client has gone forgets what was mapped. */
void remote_leave(struct vfioext_device *device)
{
	unlink_device(device->container, device);
	device->remote->ops->shut(device->remote);
}

static int leave_for_another(struct vfioext_container *from, struct vfioext_device *device)
{
	int ret;

	pthread_mutex_lock(&from->lock);
	ret = untell_below(device, from, UINT64_MAX);
	if (!ret) {
		unlink_device(from, device);
		device->joined = false;
	}
	pthread_mutex_unlock(&from->lock);
	return ret;
}

static int join_from_another(struct vfioext_container *to, struct vfioext_device *device)
{
	int ret;

	pthread_mutex_lock(&to->lock);
	ret = remote_join(to, device);
	if (!ret)
		to->ready = true;
	pthread_mutex_unlock(&to->lock);
	if (!ret)
		container_adopt_device(to, device);
	return ret;
}

/*
 * One container after the other, so that no two locks are held. What went wrong half way
 * and cannot be undone is the end of the connection, as nobody knows what is mapped.
 */
int remote_move(struct vfioext_device *device, struct vfioext_container *to)
{
	struct vfioext_container *from = device->container;
	int ret;

	ret = leave_for_another(from, device);
	if (ret)
		return context_fail(device->ctx, ret, "%s does not give up what is mapped: %s",
				    device->info.name, strerror(-ret));
	ret = join_from_another(to, device);
	if (!ret || !join_from_another(from, device))
		return ret;
	device->remote->ops->shut(device->remote);
	atomic_store(&device->lost, true);
	return ret;
}

/* A device that is lost is told nothing; but if that is all there are, so is the caller. */
int remote_map(struct vfioext_container *container, const struct mapping *mapping)
{
	struct vfioext_device *device, *failed = NULL;
	unsigned int live = 0;
	int ret = 0;

	for (device = container->remotes; device && !failed; device = device->next) {
		ret = tell(device, container, mapping);
		if (!ret)
			live++;
		else if (ret != -ENODEV)
			failed = device;
	}
	if (!failed && (live || !container->remotes))
		return 0;
	if (!failed)
		return remote_explain(container->remotes, -ENODEV);
	for (device = container->remotes; device != failed; device = device->next)
		untell(device, mapping);
	return context_fail(container->ctx, ret, "mapping %" PRIu64 " KiB at %#" PRIx64 " for %s: %s",
			    mapping->size >> 10, mapping->iova, failed->info.name, strerror(-ret));
}

int remote_unmap(struct vfioext_container *container, uint64_t iova, uint64_t size)
{
	struct vfioext_device *device;
	struct mapping mapping;
	uint64_t at = iova;
	int ret = 0;

	while (!ret && next_mapping(container, &at, iova + size - 1, &mapping))
		for (device = container->remotes; device && !ret; device = device->next)
			ret = untell(device, &mapping);
	return ret;
}

/* What all of them can do. */
void remote_read_limits(struct vfioext_container *container)
{
	struct vfioext_dma_limits *limits = &container->limits;
	uint64_t mapped = mappings_count(container->mappings), smallest, largest_of_smallest = 0;
	struct remote_limits of_one;
	struct vfioext_device *device;

	for (device = container->remotes; device; device = device->next) {
		device->remote->ops->limits(device->remote, &of_one);
		smallest = of_one.page_sizes & -of_one.page_sizes;
		if (smallest > largest_of_smallest)
			largest_of_smallest = smallest;
		limits->page_sizes |= of_one.page_sizes;
		of_one.mappings = of_one.mappings > mapped ? of_one.mappings - mapped : 0;
		if (of_one.mappings < limits->mappings_left)
			limits->mappings_left = of_one.mappings;
	}
	limits->page_sizes &= -largest_of_smallest;
}
