/* SPDX-License-Identifier: GPL-2.0-only */
/* Differences between kernels that the example modules meet. */
#ifndef SELFTESTS_COMPAT_H
#define SELFTESTS_COMPAT_H

#include <linux/device.h>
#include <linux/eventfd.h>
#include <linux/iommu.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vfio.h>

/* 6.3 lets the caller say how to allocate. */
static inline int compat_iommu_map(struct iommu_domain *domain, unsigned long iova,
				   phys_addr_t paddr, size_t size, int prot)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return iommu_map(domain, iova, paddr, size, prot, GFP_KERNEL);
#else
	return iommu_map(domain, iova, paddr, size, prot);
#endif
}

/* 6.8 signals by one. */
static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* 6.2 frees the device itself, and wants to know how an iommufd takes it. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static inline void compat_vfio_free_device(struct vfio_device *vdev)
{
}
#else
static inline void compat_vfio_free_device(struct vfio_device *vdev)
{
	vfio_free_device(vdev);
}
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define COMPAT_EMULATED_IOMMUFD_OPS				\
	.bind_iommufd = vfio_iommufd_emulated_bind,		\
	.unbind_iommufd = vfio_iommufd_emulated_unbind,		\
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,	\
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define COMPAT_EMULATED_IOMMUFD_OPS				\
	.bind_iommufd = vfio_iommufd_emulated_bind,		\
	.unbind_iommufd = vfio_iommufd_emulated_unbind,		\
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
#else
#define COMPAT_EMULATED_IOMMUFD_OPS
#endif

/* 6.19 has vfio's core talk to the user about regions, and the driver fill in. */
typedef int compat_region_info_fn(struct vfio_device *vdev, struct vfio_region_info *info,
				  struct vfio_info_cap *caps);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define COMPAT_REGION_INFO_OPS(fill) .get_region_info_caps = (fill),

static inline long compat_region_info(struct vfio_device *vdev, void __user *arg,
				      compat_region_info_fn *fill)
{
	return -ENOTTY;
}
#else
#define COMPAT_REGION_INFO_OPS(fill)

/* Capabilities follow the struct if there is room; else the caller learns how much. */
static inline int compat_put_caps(struct vfio_region_info *info, struct vfio_info_cap *caps,
				  void __user *arg)
{
	if (!caps->size)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (info->argsz < sizeof(*info) + caps->size) {
		info->argsz = sizeof(*info) + caps->size;
		return 0;
	}
	vfio_info_cap_shift(caps, sizeof(*info));
	if (copy_to_user(arg + sizeof(*info), caps->buf, caps->size))
		return -EFAULT;
	info->cap_offset = sizeof(*info);
	return 0;
}

static inline long compat_region_info(struct vfio_device *vdev, void __user *arg,
				      compat_region_info_fn *fill)
{
	size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info = {};
	struct vfio_info_cap caps = {};
	long ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.cap_offset = 0;
	ret = fill(vdev, &info, &caps);
	if (!ret)
		ret = compat_put_caps(&info, &caps, arg);
	if (!ret && copy_to_user(arg, &info, minsz))
		ret = -EFAULT;
	kfree(caps.buf);
	return ret;
}
#endif

/* From 6.11 on a platform driver's remove() returns nothing. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
typedef void compat_remove_result;
#define COMPAT_REMOVED
#else
typedef int compat_remove_result;
#define COMPAT_REMOVED 0
#endif

#endif
