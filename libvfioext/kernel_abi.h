/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * <linux/vfio.h> and <linux/iommufd.h>, with what the headers of Linux 6.1 lack: iommufd
 * came with 6.2, and a device's own file with 6.6. A program that was built with old headers
 * uses what a new kernel has.
 *
 * The kernel never changes these numbers. selftests/library/kernel_abi.c compares them with
 * the kernel's own headers, and defines KERNEL_ABI_OWN so that all of ours are seen.
 */
#ifndef LIBVFIOEXT_KERNEL_ABI_H
#define LIBVFIOEXT_KERNEL_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

/* The newest thing of 6.1. */
#ifndef VFIO_DEVICE_FEATURE_DMA_LOGGING_START
/* cppcheck-suppress preprocessorErrorDirective */
#error "vfioext needs linux/vfio.h of Linux 6.1 or newer: update linux-libc-dev, or set KERNEL_HEADERS"
#endif

#if __has_include("linux/iommufd.h") && !defined(KERNEL_ABI_OWN)
#include <linux/iommufd.h>
#else

#define IOMMU_DESTROY _IO(';', 0x80)
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define IOMMU_IOAS_IOVA_RANGES _IO(';', 0x84)
#define IOMMU_IOAS_MAP _IO(';', 0x85)
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)

/* @size: of the structure, as in all of them */
struct iommu_destroy {
	__u32 size;
	__u32 id;
};

struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};

struct iommu_iova_range {
	__aligned_u64 start;
	__aligned_u64 last;
};

/*
 * @num_iovas: room for ranges; on return how many there are
 * @allowed_iovas: address of the first struct iommu_iova_range
 */
struct iommu_ioas_iova_ranges {
	__u32 size;
	__u32 ioas_id;
	__u32 num_iovas;
	__u32 __reserved;
	__aligned_u64 allowed_iovas;
	__aligned_u64 out_iova_alignment;
};

#define IOMMU_IOAS_MAP_FIXED_IOVA 1
#define IOMMU_IOAS_MAP_WRITEABLE 2
#define IOMMU_IOAS_MAP_READABLE 4

struct iommu_ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 __reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};

/* @length: on return how many bytes were unmapped */
struct iommu_ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};

#endif

#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
#endif

/* With what Linux 6.17 added: the address of a token of 16 bytes. */
#ifndef VFIO_DEVICE_BIND_FLAG_TOKEN
#define VFIO_DEVICE_BIND_FLAG_TOKEN 1
#endif

struct bind_with_token {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
	__aligned_u64 token_uuid_ptr;
};

#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};
#endif

/* The kernel tells a device's number in an iommufd in the place of its group's. */
#ifndef VFIO_PCI_HOT_RESET_FLAG_DEV_ID
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID 1
#define VFIO_PCI_DEVID_NOT_OWNED (-1)
#endif

#endif
