/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_UNOPENED_H
#define LIBVFIOEXT_UNOPENED_H

struct vfioext;
struct vfioext_container;
struct vfioext_device_info;

/*
 * Why the kernel has not opened a device, in words. All leave a message, and return the error
 * to return, which is negative; @error is the kernel's, which is not.
 */

/* Another has the group, or a driver of the host's has a device of it. */
int unopened_group(struct vfioext *ctx, int group);
/* The first group of a container, and each that is added: VFIO_GROUP_SET_CONTAINER. */
int unopened_container(struct vfioext_container *container, struct vfioext *ctx, int group,
		       int error);
/* The first group brings the IOMMU: VFIO_SET_IOMMU. */
int unopened_iommu(struct vfioext_container *container, struct vfioext *ctx, int group, int error);
/* A device's own file: VFIO_DEVICE_BIND_IOMMUFD, and what takes it into an address space. */
int unopened_bind(struct vfioext *ctx, const struct vfioext_device_info *info, int error);
int unopened_attach(struct vfioext *ctx, const struct vfioext_device_info *info, int error);

#endif
