// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Interrupts: which eventfd each vector signals.
 *
 * A kind is in use from the first vfioext_irq_set() to vfioext_irq_disable(); then
 * its struct irq has as many vectors as the kernel has set up, some of which may
 * signal nothing.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/interrupt.h>

#include "device.h"

/* Room for the data of one vector. */
union small_set {
	struct vfio_irq_set set;
	uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
};

/* A number that the device has may stand for no interrupts. */
static int get_info(const struct vfioext_device *device, unsigned int irq,
		    struct vfio_irq_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = irq;
	if (!device_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, info))
		return 0;
	if (errno != EINVAL)
		return -errno;
	memset(info, 0, sizeof(*info));
	return 0;
}

/* vfio-pci gives a number above 0 if the host has only so many vectors to spare. */
static int set_irqs(const struct vfioext_device *device, const struct vfio_irq_set *set)
{
	int ret = device_ioctl(device, VFIO_DEVICE_SET_IRQS, (void *)set);

	if (ret < 0)
		return -errno;
	return ret ? -ENOSPC : 0;
}

/* Something that is done to one vector, or with no count to all. */
static int act(const struct vfioext_device *device, unsigned int irq, uint32_t action,
	       unsigned int vector, unsigned int count)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | action,
		.index = irq,
		.start = vector,
		.count = count,
	};

	return set_irqs(device, &set);
}

/* Give the kernel the eventfds of some vectors. */
static int give(const struct vfioext_device *device, unsigned int irq, const int *eventfds,
		unsigned int first, unsigned int count)
{
	size_t size = count * sizeof(int32_t);
	struct vfio_irq_set *set;
	int ret;

	set = malloc(sizeof(*set) + size);
	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)(sizeof(*set) + size);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = irq;
	set->start = first;
	set->count = count;
	memcpy(set->data, eventfds, size);
	ret = set_irqs(device, set);
	free(set);
	return ret;
}

/* INTx, MSI and MSI-X exclude each other. */
static bool is_exclusive(const struct vfioext_device *device, unsigned int irq)
{
	return device->pci && irq <= VFIO_PCI_MSIX_IRQ_INDEX;
}

static bool excluded(const struct vfioext_device *device, unsigned int irq)
{
	unsigned int other;

	if (!is_exclusive(device, irq))
		return false;
	for (other = 0; other <= VFIO_PCI_MSIX_IRQ_INDEX && other < device->nr_irqs; other++)
		if (other != irq && device->irqs[other].nr)
			return true;
	return false;
}

static bool any_set(const struct irq *kind)
{
	unsigned int i;

	for (i = 0; i < kind->nr; i++)
		if (kind->eventfds[i] >= 0)
			return true;
	return false;
}

static void forget(struct irq *kind)
{
	free(kind->eventfds);
	kind->eventfds = NULL;
	kind->nr = 0;
}

/*
 * Have the kernel take all vectors of a kind away. Only if there are any: that an
 * error or a request interrupt is not there is an error to vfio-pci, and the mtty
 * sample of Linux 6.1 drops its eventfd each time.
 */
static int disable(const struct vfioext_device *device, unsigned int irq)
{
	const struct irq *kind = &device->irqs[irq];

	if (!kind->nr || (!is_exclusive(device, irq) && !any_set(kind)))
		return 0;
	return act(device, irq, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0);
}

/* Signal what signaled something before: an interrupt may have been lost. */
static void signal_vectors(const struct irq *before, const int *eventfds, unsigned int first,
			   unsigned int count)
{
	const uint64_t one = 1;
	unsigned int i;

	for (i = first; i < first + count; i++) {
		if (before->eventfds[i] < 0 || eventfds[i] < 0)
			continue;
		/* One that cannot count any further is signaled as it is. */
		if (write(eventfds[i], &one, sizeof(one)) < 0)
			continue;
	}
}

/* Without vectors in between. If it fails, and the old ones fail too, there are none. */
static int set_up_anew(const struct vfioext_device *device, unsigned int irq, struct irq *kind,
		       const int *eventfds, unsigned int nr)
{
	int ret;

	ret = disable(device, irq);
	if (ret)
		return ret;
	ret = give(device, irq, eventfds, 0, nr);
	if (!ret) {
		signal_vectors(kind, eventfds, 0, kind->nr);
		return 0;
	}
	if (give(device, irq, kind->eventfds, 0, kind->nr))
		forget(kind);
	else
		signal_vectors(kind, kind->eventfds, 0, kind->nr);
	return ret;
}

/* If it fails, the kernel has taken away what these vectors had. */
static int set_in_place(const struct vfioext_device *device, unsigned int irq, struct irq *kind,
			const int *eventfds, unsigned int first, unsigned int count)
{
	unsigned int old = 0;
	int ret;

	ret = give(device, irq, eventfds + first, first, count);
	if (!ret)
		return 0;
	if (first < kind->nr)
		old = count < kind->nr - first ? count : kind->nr - first;
	if (!old)
		return ret;
	if (give(device, irq, kind->eventfds + first, first, old))
		set_up_anew(device, irq, kind, kind->eventfds, kind->nr);
	else
		signal_vectors(kind, kind->eventfds, first, old);
	return ret;
}

/*
 * The first vectors of a kind are given all at once from 0 on, as kernels set up
 * as many as there are up to the last of them.
 */
static int change(const struct vfioext_device *device, unsigned int irq, unsigned int first,
		  const int *eventfds, unsigned int count, bool resizable)
{
	struct irq *kind = &device->irqs[irq];
	unsigned int nr = first + count, i;
	int *all, ret;

	if (nr < kind->nr)
		nr = kind->nr;
	all = malloc(nr * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		all[i] = i < kind->nr ? kind->eventfds[i] : -1;
	memcpy(all + first, eventfds, count * sizeof(*all));
	if (!kind->nr)
		ret = give(device, irq, all, 0, nr);
	else if (nr == kind->nr || resizable)
		ret = set_in_place(device, irq, kind, all, first, count);
	else
		ret = set_up_anew(device, irq, kind, all, nr);
	if (ret) {
		free(all);
		return ret;
	}
	free(kind->eventfds);
	kind->eventfds = all;
	kind->nr = nr;
	return 0;
}

static int check_kind(const struct vfioext_device *device, unsigned int irq)
{
	if (irq >= device->nr_irqs)
		return -EINVAL;
	return vfioext_device_lost(device) ? -ENODEV : 0;
}

int vfioext_irq_get_info(struct vfioext_device *device, unsigned int irq,
			 struct vfioext_irq_info *info)
{
	struct vfio_irq_info kernel;
	int ret;

	ret = check_kind(device, irq);
	if (!ret)
		ret = get_info(device, irq, &kernel);
	if (ret)
		return ret;
	info->count = kernel.count;
	info->maskable = kernel.flags & VFIO_IRQ_INFO_MASKABLE;
	info->automasked = kernel.flags & VFIO_IRQ_INFO_AUTOMASKED;
	info->resizable = !(kernel.flags & VFIO_IRQ_INFO_NORESIZE);
	return 0;
}

static bool are_eventfds(const int *eventfds, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (eventfds[i] < -1)
			return false;
	return true;
}

int vfioext_irq_set(struct vfioext_device *device, unsigned int irq, unsigned int first,
		    const int *eventfds, unsigned int count)
{
	struct vfio_irq_info info;
	int ret;

	ret = check_kind(device, irq);
	if (ret)
		return ret;
	ret = get_info(device, irq, &info);
	if (ret)
		return ret;
	if (!count || first >= info.count || count > info.count - first ||
	    !are_eventfds(eventfds, count))
		return -EINVAL;
	pthread_mutex_lock(&device->lock);
	if (excluded(device, irq))
		ret = -EBUSY;
	else
		ret = change(device, irq, first, eventfds, count,
			     !(info.flags & VFIO_IRQ_INFO_NORESIZE));
	pthread_mutex_unlock(&device->lock);
	return ret;
}

int vfioext_irq_disable(struct vfioext_device *device, unsigned int irq)
{
	int ret;

	ret = check_kind(device, irq);
	if (ret)
		return ret;
	pthread_mutex_lock(&device->lock);
	ret = disable(device, irq);
	if (!ret)
		forget(&device->irqs[irq]);
	pthread_mutex_unlock(&device->lock);
	return ret;
}

/* The device may be lost; the kernel takes the interrupts of a closed one away itself. */
void irqs_free(struct vfioext_device *device)
{
	unsigned int i;

	if (!device->irqs)
		return;
	pthread_mutex_lock(&device->lock);
	for (i = 0; i < device->nr_irqs; i++) {
		if (device_is_open(device))
			disable(device, i);
		forget(&device->irqs[i]);
	}
	pthread_mutex_unlock(&device->lock);
}

/* The kernel has no such action for the kind. */
static int no_action(int ret)
{
	return ret == -ENOTTY ? -ENOTSUP : ret;
}

int vfioext_irq_mask(struct vfioext_device *device, unsigned int irq, unsigned int vector)
{
	int ret = check_kind(device, irq);

	return ret ? ret : no_action(act(device, irq, VFIO_IRQ_SET_ACTION_MASK, vector, 1));
}

int vfioext_irq_unmask(struct vfioext_device *device, unsigned int irq, unsigned int vector)
{
	int ret = check_kind(device, irq);

	return ret ? ret : no_action(act(device, irq, VFIO_IRQ_SET_ACTION_UNMASK, vector, 1));
}

static int act_with(const struct vfioext_device *device, unsigned int irq, uint32_t flags,
		    unsigned int vector, const void *data, size_t size)
{
	union small_set small = {
		.set.argsz = (uint32_t)(sizeof(small.set) + size),
		.set.flags = flags,
		.set.index = irq,
		.set.start = vector,
		.set.count = 1,
	};

	memcpy(small.bytes + offsetof(struct vfio_irq_set, data), data, size);
	return no_action(set_irqs(device, &small.set));
}

static int set_unmask_eventfd(const struct vfioext_device *device, int eventfd)
{
	int32_t fd = eventfd;

	return act_with(device, VFIO_PCI_INTX_IRQ_INDEX,
			VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 0, &fd, sizeof(fd));
}

/* The kernel takes another only when it has none. */
int vfioext_irq_set_unmask_eventfd(struct vfioext_device *device, int eventfd)
{
	int ret;

	ret = check_kind(device, VFIO_PCI_INTX_IRQ_INDEX);
	if (ret)
		return ret;
	if (!device->pci)
		return -ENOTSUP;
	if (eventfd < -1)
		return -EINVAL;
	pthread_mutex_lock(&device->lock);
	ret = set_unmask_eventfd(device, eventfd);
	if (ret == -EBUSY) {
		ret = set_unmask_eventfd(device, -1);
		if (!ret)
			ret = set_unmask_eventfd(device, eventfd);
	}
	pthread_mutex_unlock(&device->lock);
	return ret;
}

/*
 * Said with a bool: without data it is the same to vfio-pci, but some mdevs take
 * it for disabling, whatever the count.
 */
int vfioext_irq_trigger(struct vfioext_device *device, unsigned int irq, unsigned int vector)
{
	const struct irq *kind;
	uint8_t yes = 1;
	int ret;

	ret = check_kind(device, irq);
	if (ret)
		return ret;
	kind = &device->irqs[irq];
	pthread_mutex_lock(&device->lock);
	if (vector >= kind->nr || kind->eventfds[vector] < 0)
		ret = -EINVAL;
	else
		ret = act_with(device, irq, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER,
			       vector, &yes, sizeof(yes));
	pthread_mutex_unlock(&device->lock);
	return ret;
}
