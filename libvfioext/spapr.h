/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * POWER's IOMMU, VFIO_SPAPR_TCE_v2_IOMMU: memory is registered before it is mapped,
 * and mapped in windows, of which one is there and another can be made. The
 * container's lock is held.
 */
#ifndef LIBVFIOEXT_SPAPR_H
#define LIBVFIOEXT_SPAPR_H

#include <stdint.h>

struct vfioext_container;

/*
 * If it is what a container has, or will have with a group, the container's registered
 * is made. Return: 0, or -ENOMEM.
 */
int spapr_begin(struct vfioext_container *container);

/* The windows become the ranges of the container's limits. Return: 0, or the kernel's error. */
int spapr_read(struct vfioext_container *container);

/* Before memory is mapped. Return: 0, -ENOMEM, or the kernel's error. */
int spapr_register(struct vfioext_container *container, uint64_t vaddr, uint64_t size);

/* After it was unmapped. */
void spapr_unregister(struct vfioext_container *container, uint64_t vaddr, uint64_t size);

/*
 * Make another window, which all of the host's memory fits in. Return: 0, -ENOSPC if
 * there can be no more, or the kernel's error.
 */
int spapr_add_window(struct vfioext_container *container);

/* The IOMMU is gone, and with it what was registered and the windows. */
void spapr_end(struct vfioext_container *container);

#endif
