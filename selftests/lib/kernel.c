// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../libvfioext/kernel_abi.h"

#include "kernel.h"
#include "sysfs_tree.h"

#define CONTAINERS_MAX 64

/* What is mapped, by the container's file, or by the number of an address space. */
static struct space {
	uint64_t id;
	unsigned int groups;
	unsigned int mapped;
} spaces[CONTAINERS_MAX];

static struct space *space_of(uint64_t id)
{
	struct space *space = spaces;

	while (space->id && space->id != id)
		space++;
	space->id = id;
	return space;
}

static uint64_t inode_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? 0 : status.st_ino;
}

unsigned int kernel_mapped(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < CONTAINERS_MAX; i++)
		nr += spaces[i].mapped;
	return nr;
}

unsigned int open_files(void)
{
	unsigned int fd, nr = 0;

	for (fd = 0; fd < 1024; fd++)
		nr += fcntl((int)fd, F_GETFD) >= 0;
	return nr;
}

static void add_device(const char *root, const char *name, int group, const char *file)
{
	add_pci(root, name, group, "vfio-pci", "0x0");
	in_tree(root, "mkdir -p bus/pci/devices/%s/vfio-dev/%s", name, file);
}

void kernel_make_sysfs(const char *root)
{
	add_device(root, DEVICE, 3, "vfio0");
	add_device(root, NEIGHBOUR, 3, "vfio1");
	add_device(root, LONER, 4, "vfio2");
}

/* A file that tells by its name what it stands for. */
static int open_kind(const char *kind)
{
	int fd = memfd_create(kind, MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, 4096))
		return -1;
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (!strcmp(path, "/dev/vfio/vfio"))
		return open_kind("container");
	if (!strcmp(path, "/dev/iommu"))
		return open_kind("iommufd");
	if (!strncmp(path, "/dev/vfio/devices/", 18))
		return open_kind("device");
	if (!strncmp(path, "/dev/vfio/", 10))
		return open_kind("group");
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static bool is_kind(int fd, const char *kind)
{
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof(target) - 1) < 8)
		return false;
	return !strncmp(target, "/memfd:", 7) && !strncmp(target + 7, kind, strlen(kind));
}

/* With the addresses of an x86 host. */
static int iommu_info(struct vfio_iommu_type1_info *info)
{
	struct {
		struct vfio_iommu_type1_info_cap_iova_range head;
		struct vfio_iova_range ranges[2];
	} capability = {
		.head = { .header = { VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0 }, .nr_iovas = 2 },
		.ranges = { { 0, 0xfedfffff }, { 0xfef00000, (1ULL << 39) - 1 } },
	};
	uint32_t size = sizeof(*info) + sizeof(capability), room = info->argsz;

	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = 4096;
	info->argsz = size;
	info->cap_offset = 0;
	if (room < size)
		return 0;
	info->cap_offset = sizeof(*info);
	memcpy(info + 1, &capability, sizeof(capability));
	return 0;
}

static int of_container(int fd, unsigned long request, void *data)
{
	struct space *space = space_of(inode_of(fd));

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return 0;
	case VFIO_SET_IOMMU:
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return iommu_info(data);
	case VFIO_IOMMU_MAP_DMA:
		space->mapped++;
		return 0;
	case VFIO_IOMMU_UNMAP_DMA:
		if (((struct vfio_iommu_type1_dma_unmap *)data)->flags)
			space->mapped = 0;
		else
			space->mapped--;
		return 0;
	}
	return -ENOTTY;
}

/* The last one takes the IOMMU along, and what is mapped. */
static void leave(int fd)
{
	struct space *group = space_of(inode_of(fd)), *space = space_of(group->groups);

	if (!--space->groups)
		space->mapped = 0;
}

/* Of a group, @groups is the container's file. */
static int of_group(int fd, unsigned long request, void *data)
{
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)data)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		space_of(inode_of(fd))->groups = (unsigned int)inode_of(*(int *)data);
		space_of(inode_of(*(int *)data))->groups++;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		leave(fd);
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return open_kind("device");
	}
	return -ENOTTY;
}

static int of_iommufd(unsigned long request, void *data)
{
	static uint32_t ids;

	switch (request) {
	case IOMMU_IOAS_ALLOC:
		((struct iommu_ioas_alloc *)data)->out_ioas_id = ++ids;
		return 0;
	case IOMMU_DESTROY:
		space_of(((struct iommu_destroy *)data)->id)->mapped = 0;
		return 0;
	case IOMMU_IOAS_MAP:
		space_of(((struct iommu_ioas_map *)data)->ioas_id)->mapped++;
		return 0;
	case IOMMU_IOAS_UNMAP:
		space_of(((struct iommu_ioas_unmap *)data)->ioas_id)->mapped--;
		return 0;
	case IOMMU_IOAS_IOVA_RANGES: {
		struct iommu_ioas_iova_ranges *query = data;
		struct iommu_iova_range *ranges = (void *)(uintptr_t)query->allowed_iovas;

		query->out_iova_alignment = 4096;
		if (query->num_iovas)
			*ranges = (struct iommu_iova_range){ 0, (1ULL << 39) - 1 };
		query->num_iovas = 1;
		return 0;
	}
	}
	return -ENOTTY;
}

static int of_device(unsigned long request, void *data)
{
	struct vfio_device_info *info = data;
	struct vfio_region_info *region = data;

	switch (request) {
	case VFIO_DEVICE_BIND_IOMMUFD:
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return 0;
	case VFIO_DEVICE_GET_INFO:
		info->flags = 0;
		info->num_regions = 1;
		info->num_irqs = 1;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		region->argsz = sizeof(*region);
		region->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		region->size = 4096;
		region->offset = 0;
		region->cap_offset = 0;
		return 0;
	}
	return -ENOTTY;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *data;
	int ret;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (is_kind(fd, "container"))
		ret = of_container(fd, request, data);
	else if (is_kind(fd, "group"))
		ret = of_group(fd, request, data);
	else if (is_kind(fd, "iommufd"))
		ret = of_iommufd(request, data);
	else if (is_kind(fd, "device"))
		ret = of_device(request, data);
	else
		return (int)syscall(SYS_ioctl, fd, request, data);
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}
