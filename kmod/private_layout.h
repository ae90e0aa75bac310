/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_PRIVATE_LAYOUT_H
#define VFIOEXT_PRIVATE_LAYOUT_H

#include <linux/types.h>

struct file;
struct iommu_group;
struct kvm;
struct mutex;
struct vfio_device;
struct vfio_group;

enum private_group_type {
	PRIVATE_GROUP_PHYSICAL,
	PRIVATE_GROUP_EMULATED,
	PRIVATE_GROUP_NOIOMMU,
};

void private_layout_init(void);

/*
 * Each accessor below may be called only for a group whose layout was proved:
 * private_layout_proved() has returned true for it.
 */
bool private_layout_proved(struct vfio_group *group, const struct iommu_group *iommu_group);
bool private_layout_proved_by_file(struct vfio_group *group, const struct file *filep);

struct mutex *private_group_lock(struct vfio_group *group);
unsigned int *private_container_users(struct vfio_group *group);
bool private_has_container(struct vfio_group *group);
bool private_has_iommu(struct vfio_group *group);
bool private_has_iommufd(struct vfio_group *group);
struct file **private_opened_file(struct vfio_group *group);
const struct kvm *private_group_kvm(struct vfio_group *group);
enum private_group_type private_group_type(struct vfio_group *group);

struct vfio_device *private_device_of_file(const struct file *filep);

#endif
