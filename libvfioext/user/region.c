// SPDX-License-Identifier: LGPL-2.1-or-later
/* Regions: what a client is told of them, and its access to them. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server.h"

#define IO_FDS_MAX CHANNEL_FDS

static bool areas_are_valid(const struct vfioext_user_region *region)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = 0;
	const struct vfioext_area *area;
	size_t i;

	for (i = 0; i < region->nr_areas; i++) {
		area = &region->areas[i];
		if (area->offset < end || area->offset % page || !area->size ||
		    area->offset > region->size || area->size > region->size - area->offset)
			return false;
		end = area->offset + area->size;
	}
	return true;
}

static bool region_is_valid(const struct vfioext_user_region *region)
{
	bool mapped = region->flags & VFIOEXT_REGION_MMAP;
	uint32_t known = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE | VFIOEXT_REGION_MMAP;

	return !(region->flags & ~known) && mapped == (region->fd >= 0) &&
	       (mapped || !region->nr_areas) && region->nr_areas <= UINT16_MAX &&
	       areas_are_valid(region);
}

static void region_clear(struct user_region *region)
{
	free(region->areas);
	free(region->io_fds);
	guard_remove(&region->guarded);
	if (region->file >= 0)
		close(region->file);
	memset(region, 0, sizeof(*region));
	region->public.fd = -1;
	region->file = -1;
}

int vfioext_user_device_set_region(struct vfioext_user_device *device, unsigned int index,
				   const struct vfioext_user_region *region)
{
	size_t size = region->nr_areas * sizeof(*region->areas);
	struct user_region *own;
	struct vfioext_area *areas;
	int ret;

	if (index >= VFIOEXT_USER_REGIONS_MAX || (region->size && !region_is_valid(region)) ||
	    region->flags & ~(VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE | VFIOEXT_REGION_MMAP))
		return -EINVAL;
	if (device->session)
		return -EBUSY;
	areas = malloc(size ? size : 1);
	if (!areas)
		return -ENOMEM;
	if (size)
		memcpy(areas, region->areas, size);
	own = &device->regions[index];
	region_clear(own);
	own->public = *region;
	own->areas = areas;
	own->public.areas = areas;
	if (!region->size)
		own->public.flags = 0;
	if (index >= device->nr_regions)
		device->nr_regions = index + 1;
	ret = region_protect(own);
	if (ret)
		region_clear(own);
	return ret;
}

int vfioext_user_device_set_io_fds(struct vfioext_user_device *device, unsigned int index,
				   const struct vfioext_user_io_fd *list, size_t nr)
{
	struct user_region *region;
	struct vfioext_user_io_fd *copy;
	size_t i;

	if (index >= device->nr_regions || nr > IO_FDS_MAX)
		return -EINVAL;
	region = &device->regions[index];
	for (i = 0; i < nr; i++)
		if (list[i].fd < 0 || list[i].type > VFIOEXT_USER_IOREGIONFD || list[i].offset > region->public.size ||
		    list[i].size > region->public.size - list[i].offset)
			return -EINVAL;
	copy = malloc((nr ? nr : 1) * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	if (nr)
		memcpy(copy, list, nr * sizeof(*copy));
	free(region->io_fds);
	region->io_fds = copy;
	region->nr_io_fds = nr;
	return 0;
}

void user_regions_init(struct vfioext_user_device *device)
{
	unsigned int i;

	for (i = 0; i < VFIOEXT_USER_REGIONS_MAX; i++) {
		device->regions[i].public.fd = -1;
		device->regions[i].file = -1;
	}
}

void user_regions_free(struct vfioext_user_device *device)
{
	unsigned int i;

	for (i = 0; i < device->nr_regions; i++)
		region_clear(&device->regions[i]);
}

int command_info(struct session *session, struct message *message)
{
	const struct vfioext_user_device *device = session->device;
	struct vfio_user_device_info info;

	if (message->size < sizeof(info))
		return -EINVAL;
	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = (device->ops->reset ? VFIO_DEVICE_FLAGS_RESET : 0) |
		     (device->is_pci ? VFIO_DEVICE_FLAGS_PCI : 0);
	info.num_regions = device->nr_regions;
	info.num_irqs = device->nr_irqs;
	return session_answer(session, message, &info, sizeof(info));
}

static size_t sparse_size(const struct vfioext_user_region *region)
{
	if (!region->nr_areas)
		return 0;
	return sizeof(struct vfio_region_info_cap_sparse_mmap) +
	       region->nr_areas * sizeof(struct vfio_region_sparse_mmap_area);
}

static size_t type_size(const struct vfioext_user_region *region)
{
	return region->type ? sizeof(struct vfio_region_info_cap_type) : 0;
}

static uint8_t *put_type(const struct vfioext_user_region *region, uint8_t *at, uint32_t next)
{
	struct vfio_region_info_cap_type type = {
		.header = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1, .next = next },
		.type = region->type,
		.subtype = region->subtype,
	};

	memcpy(at, &type, sizeof(type));
	return at + sizeof(type);
}

static void put_sparse(const struct vfioext_user_region *region, uint8_t *at)
{
	struct vfio_region_info_cap_sparse_mmap sparse = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.nr_areas = (uint32_t)region->nr_areas,
	};

	_Static_assert(sizeof(struct vfio_region_sparse_mmap_area) == sizeof(*region->areas),
		       "an area");
	memcpy(at, &sparse, sizeof(sparse));
	memcpy(at + sizeof(sparse), region->areas, region->nr_areas * sizeof(*region->areas));
}

/* Behind the fixed part, and only if all of it fits. */
static void put_capabilities(const struct vfioext_user_region *region, uint8_t *body)
{
	uint8_t *at = body + sizeof(struct vfio_region_info);

	if (region->type)
		at = put_type(region, at, region->nr_areas ? (uint32_t)(sizeof(struct vfio_region_info) +
									type_size(region)) : 0);
	if (region->nr_areas)
		put_sparse(region, at);
}

/*
 * A client that has no room for all of it gets the fixed part, which then says nothing of
 * capabilities, and asks again. That the region can be mapped is said along with its file alone.
 */
int command_region_info(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	const struct vfioext_user_region *region;
	const struct user_region *own;
	struct vfio_region_info info;
	size_t capabilities, size;
	uint8_t *body;
	bool mapped;

	if (message->size < sizeof(info))
		return -EINVAL;
	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= device->nr_regions)
		return -EINVAL;
	own = &device->regions[info.index];
	region = &own->public;
	capabilities = region->size ? sparse_size(region) + type_size(region) : 0;
	size = sizeof(info) + capabilities;
	if (info.argsz < size)
		capabilities = 0;
	mapped = region->flags & VFIOEXT_REGION_MMAP && session->peer.max_msg_fds;
	info.argsz = (uint32_t)size;
	/* They are the kernel's. */
	info.flags = region->flags & ~(mapped ? 0 : VFIOEXT_REGION_MMAP);
	info.flags |= capabilities ? VFIO_REGION_INFO_FLAG_CAPS : 0;
	info.cap_offset = capabilities ? sizeof(info) : 0;
	info.size = region->size;
	info.offset = mapped ? region->offset : 0;
	body = session_reply(session, message, sizeof(info) + capabilities);
	if (!body)
		return -ENOMEM;
	memcpy(body, &info, sizeof(info));
	if (capabilities)
		put_capabilities(region, body);
	if (mapped)
		session_reply_fds(session, own->file >= 0 ? &own->file : &region->fd, 1);
	return 0;
}

/* The files of a list, each once. Return: how many. */
static size_t find_files(const struct user_region *region, int files[IO_FDS_MAX],
			 uint32_t indexes[IO_FDS_MAX])
{
	size_t i, nr = 0;
	uint32_t at;

	for (i = 0; i < region->nr_io_fds; i++) {
		for (at = 0; at < nr && files[at] != region->io_fds[i].fd;)
			at++;
		if (at == nr)
			files[nr++] = region->io_fds[i].fd;
		indexes[i] = at;
	}
	return nr;
}

static void put_sub_regions(const struct user_region *region, const uint32_t *indexes, uint8_t *at)
{
	struct vfio_user_sub_region sub = { 0 };
	size_t i;

	for (i = 0; i < region->nr_io_fds; i++, at += sizeof(sub)) {
		sub.offset = region->io_fds[i].offset;
		sub.size = region->io_fds[i].size;
		sub.fd_index = indexes[i];
		sub.type = region->io_fds[i].type;
		sub.flags = region->io_fds[i].flags;
		sub.datamatch = region->io_fds[i].datamatch;
		memcpy(at, &sub, sizeof(sub));
	}
}

/* To whoever takes fewer files than there are nothing of the list is of use. */
int command_region_io_fds(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	uint32_t indexes[IO_FDS_MAX];
	struct vfio_user_io_fds info;
	const struct user_region *region;
	int files[IO_FDS_MAX];
	size_t size, nr_files;
	uint8_t *body;
	bool whole;

	if (message->size < sizeof(info))
		return -EINVAL;
	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.flags || info.count ||
	    info.index >= device->nr_regions)
		return -EINVAL;
	region = &device->regions[info.index];
	nr_files = find_files(region, files, indexes);
	if (nr_files > session->peer.max_msg_fds)
		return -EMFILE;
	size = sizeof(info) + region->nr_io_fds * sizeof(struct vfio_user_sub_region);
	whole = info.argsz >= size;
	info.argsz = (uint32_t)size;
	info.count = (uint32_t)region->nr_io_fds;
	body = session_reply(session, message, whole ? size : sizeof(info));
	if (!body)
		return -ENOMEM;
	memcpy(body, &info, sizeof(info));
	if (!whole)
		return 0;
	put_sub_regions(region, indexes, body + sizeof(info));
	/* The device may close them, and offer others, before they are sent. */
	return session_give_copies(session, files, nr_files);
}

static int access_region(struct vfioext_user_device *device, unsigned int index, void *buffer,
			 size_t count, uint64_t offset, bool write)
{
	const struct vfioext_user_region *region;
	const struct user_region *own;
	uint32_t flag = write ? VFIOEXT_REGION_WRITE : VFIOEXT_REGION_READ;
	int ret;

	if (index >= device->nr_regions)
		return -EINVAL;
	own = &device->regions[index];
	region = &own->public;
	if (offset > region->size || count > region->size - offset)
		return -EINVAL;
	if (!(region->flags & flag))
		return -EPERM;
	/* No device need be prepared for it. */
	if (!count)
		return 0;
	ret = pci_access(device, index, buffer, count, offset, write);
	if (ret)
		return ret < 0 ? ret : 0;
	if (region->memory)
		return guard_copy(&own->guarded, (uint8_t *)region->memory + offset, buffer, count,
				  write);
	if (write)
		return device->ops->write ? device->ops->write(device, index, buffer, count, offset) :
					    -EPERM;
	return device->ops->read ? device->ops->read(device, index, buffer, count, offset) :
					   -EPERM;
}

int command_region_read(struct session *session, struct message *message)
{
	struct vfio_user_region_access access;
	uint8_t *body;

	if (message->size < sizeof(access))
		return -EINVAL;
	memcpy(&access, message->body, sizeof(access));
	if (access.count > CHANNEL_DATA_MAX)
		return -E2BIG;
	body = session_reply(session, message, sizeof(access) + access.count);
	if (!body)
		return -ENOMEM;
	memcpy(body, &access, sizeof(access));
	return access_region(session->device, access.region, body + sizeof(access), access.count,
			     access.offset, false);
}

int command_region_write(struct session *session, struct message *message)
{
	struct vfio_user_region_access access;
	int ret;

	if (message->size < sizeof(access))
		return -EINVAL;
	memcpy(&access, message->body, sizeof(access));
	if (access.count > CHANNEL_DATA_MAX)
		return -E2BIG;
	if (message->size - sizeof(access) != access.count)
		return -EINVAL;
	ret = access_region(session->device, access.region, message->body + sizeof(access),
			    access.count, access.offset, true);
	if (ret)
		return ret;
	return session_answer(session, message, &access, sizeof(access));
}

/* The first that fails ends it; the answer tells how many were done. */
int command_write_multi(struct session *session, struct message *message)
{
	struct vfio_user_write one;
	uint64_t nr, done;
	int ret = 0;

	/* To a client that did not ask for it there is no such command. */
	if (!session->peer.write_multiple)
		return -ENOSYS;
	if (message->size < sizeof(nr))
		return -EINVAL;
	memcpy(&nr, message->body, sizeof(nr));
	if (nr != (message->size - sizeof(nr)) / sizeof(one) ||
	    message->size != sizeof(nr) + nr * sizeof(one))
		return -EINVAL;
	for (done = 0; done < nr; done++) {
		memcpy(&one, message->body + sizeof(nr) + done * sizeof(one), sizeof(one));
		ret = one.count > sizeof(one.data) ? -EINVAL :
		      access_region(session->device, one.region, one.data, one.count, one.offset, true);
		if (ret)
			break;
	}
	if (ret && !done)
		return ret;
	return session_answer(session, message, &done, sizeof(done));
}
