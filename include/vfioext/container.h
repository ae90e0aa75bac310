/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_CONTAINER_H
#define VFIOEXT_CONTAINER_H

#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_container - an address space for DMA; opaque.
 *
 * The devices that are opened in it, of one or of several groups, see the same
 * memory at the same addresses; on POWER under a hypervisor those of one group alone
 * can. It may be used from several threads at once.
 */
struct vfioext_container;

/**
 * enum vfioext_backend - what stands behind a container
 * @VFIOEXT_BACKEND_ANY: what the environment variable VFIOEXT_BACKEND names
 *	("container" or "iommufd"; not asked in a program that has more privileges than its
 *	caller), else iommufd where the kernel has it and /dev/iommu and the file of the first
 *	device can be opened and bound, else a VFIO container
 * @VFIOEXT_BACKEND_CONTAINER: a VFIO container (/dev/vfio/vfio, type 1 v2, on POWER
 *	SPAPR TCE v2)
 * @VFIOEXT_BACKEND_IOMMUFD: an address space of /dev/iommu, which a context opens
 *	once for all of its containers
 * @VFIOEXT_BACKEND_NOIOMMU: a VFIO container without an IOMMU: nothing keeps a
 *	device from writing anywhere in the host's memory. Never chosen by itself,
 *	and vfioext_message() warns of it when it is made.
 * @VFIOEXT_BACKEND_USER: nothing of the kernel's: vfio-user devices, each of whose servers
 *	is told what is mapped. Chosen by itself for the own container of such a device.
 */
enum vfioext_backend {
	VFIOEXT_BACKEND_ANY,
	VFIOEXT_BACKEND_CONTAINER,
	VFIOEXT_BACKEND_IOMMUFD,
	VFIOEXT_BACKEND_NOIOMMU,
	VFIOEXT_BACKEND_USER,
};

/**
 * vfioext_container_new() - make an empty address space
 * @ctx: the context, which must outlive it
 * @backend: what is to stand behind it
 * @container: where it goes
 *
 * Return: 0; -EINVAL if @backend or VFIOEXT_BACKEND is unknown; -ENOENT if the
 * kernel has no such backend; -EPERM, -EACCES, -ENOMEM; or the error of the step
 * that vfioext_message() names, or of the last one that was tried.
 */
int vfioext_container_new(struct vfioext *ctx, enum vfioext_backend backend,
			  struct vfioext_container **container);

/**
 * vfioext_container_free() - unmap all that is mapped, and close it
 * @container: a container that no device is in, or NULL
 *
 * In one that is shared, what other processes mapped stays. Memory of vfioext_dma_alloc() that
 * was not freed stays as well, unmapped for devices, and is the caller's.
 *
 * Return: 0, or -EBUSY, which changes nothing: if a device is in it, or was when it was lost
 * and is not closed yet; if it is a device's own, which is freed with that; if it is shared,
 * or an attachment's.
 */
int vfioext_container_free(struct vfioext_container *container);

/**
 * vfioext_container_backend() - what stands behind it, never VFIOEXT_BACKEND_ANY
 *
 * Of a container that was made with that it is settled by the first device that is opened in it, or
 * moved there.
 */
enum vfioext_backend vfioext_container_backend(const struct vfioext_container *container);

/**
 * vfioext_container_fd() - of /dev/vfio/vfio or /dev/iommu, which stays its own; -1 of one of
 * vfio-user devices. Settled as its backend is.
 */
int vfioext_container_fd(const struct vfioext_container *container);

#ifdef __cplusplus
}
#endif

#endif
