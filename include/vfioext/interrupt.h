/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_INTERRUPT_H
#define VFIOEXT_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>
#include <vfioext/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * enum vfioext_irq - the kinds of interrupts of a vfio-pci device, as the kernel
 * numbers them (VFIO_PCI_INTX_IRQ_INDEX and so on)
 * @VFIOEXT_IRQ_INTX: the pin, masked by the kernel each time it is signaled
 * @VFIOEXT_IRQ_MSI: message signaled
 * @VFIOEXT_IRQ_MSIX: message signaled, with a table in a region
 * @VFIOEXT_IRQ_ERROR: the bus reported an error that is not recovered from
 * @VFIOEXT_IRQ_REQUEST: the host wants the device back
 */
enum vfioext_irq {
	VFIOEXT_IRQ_INTX,
	VFIOEXT_IRQ_MSI,
	VFIOEXT_IRQ_MSIX,
	VFIOEXT_IRQ_ERROR,
	VFIOEXT_IRQ_REQUEST,
};

/**
 * struct vfioext_irq_info - a kind of interrupts of a device
 * @count: how many vectors it has, 0 if it has none of the kind
 * @maskable: they can be masked
 * @automasked: a vector is masked when it is signaled, until it is unmasked
 * @resizable: vectors can be added without taking away those that are there
 */
struct vfioext_irq_info {
	uint32_t count;
	bool maskable;
	bool automasked;
	bool resizable;
};

/**
 * vfioext_irq_get_info() - what a device has of a kind of interrupts
 * @device: the device
 * @irq: number of the kind, enum vfioext_irq or of another device's own
 * @info: where it goes
 *
 * Return: 0, -EINVAL if there is no such kind, -ENODEV, or the kernel's error.
 */
int vfioext_irq_get_info(struct vfioext_device *device, unsigned int irq,
			 struct vfioext_irq_info *info);

/**
 * vfioext_irq_set() - say what is to be signaled by some vectors
 * @device: the device
 * @irq: number of the kind
 * @first: the first vector
 * @eventfds: an eventfd for each, -1 for none; they stay the caller's, and open for
 *	as long as they are set
 * @count: how many
 *
 * The other vectors of the kind go on as they were. Where the kernel can add no
 * vector to those that are there, all of the kind are set up anew, and those that
 * were there before are signaled once more than the device did, so that nothing
 * which came in between is lost.
 *
 * Return: 0; -EINVAL if there are no such vectors; -EBUSY if another of INTx, MSI
 * and MSI-X is in use; -ENODEV; -ENOMEM; or the kernel's error, and then the
 * vectors are as they were.
 */
int vfioext_irq_set(struct vfioext_device *device, unsigned int irq, unsigned int first,
		    const int *eventfds, unsigned int count);

/**
 * vfioext_irq_disable() - take all vectors of a kind away
 * @device: the device
 * @irq: number of the kind
 *
 * Return: 0, -EINVAL, -ENODEV, or the kernel's error.
 */
int vfioext_irq_disable(struct vfioext_device *device, unsigned int irq);

/**
 * vfioext_irq_mask(), vfioext_irq_unmask() - hold a vector back, and let it go on
 * @device: the device
 * @irq: number of the kind
 * @vector: the vector
 *
 * What an automasked kind signals stays masked until it is unmasked; if the
 * device still asks then, it is signaled again at once.
 *
 * Return: 0, -EINVAL, -ENOTSUP if the kind cannot be masked, -ENODEV, or the
 * kernel's error.
 */
int vfioext_irq_mask(struct vfioext_device *device, unsigned int irq, unsigned int vector);
int vfioext_irq_unmask(struct vfioext_device *device, unsigned int irq, unsigned int vector);

/**
 * vfioext_irq_set_unmask_eventfd() - have the kernel unmask INTx by itself
 * @device: the device
 * @eventfd: unmasked whenever it is written to; -1 for none; stays the caller's
 *
 * Return: as vfioext_irq_mask().
 */
int vfioext_irq_set_unmask_eventfd(struct vfioext_device *device, int eventfd);

/**
 * vfioext_irq_trigger() - signal a vector as the device would
 * @device: the device
 * @irq: number of the kind
 * @vector: a vector that is set
 *
 * Return: as vfioext_irq_mask().
 */
int vfioext_irq_trigger(struct vfioext_device *device, unsigned int irq, unsigned int vector);

#ifdef __cplusplus
}
#endif

#endif
