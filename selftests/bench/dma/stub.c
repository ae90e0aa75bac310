// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the place of the kernel: a container of a PC's that takes every mapping, so that what is
 * measured is the library's own part.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (!strcmp(path, "/dev/vfio/vfio"))
		path = "/dev/null";
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

ssize_t readlink(const char *path, char *buffer, size_t size)
{
	static const char group[] = "/iommu_groups/0";

	if (!strstr(path, "/iommu_group") || size < sizeof(group))
		return syscall(SYS_readlink, path, buffer, size);
	memcpy(buffer, group, sizeof(group) - 1);
	return sizeof(group) - 1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return argument == (void *)VFIO_TYPE1_IOMMU || argument == (void *)VFIO_TYPE1v2_IOMMU;
	case VFIO_IOMMU_GET_INFO:
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		return 0;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}
