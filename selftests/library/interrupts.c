// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of a device that is made here: what the library asks the kernel is
 * answered below as vfio-pci does, before and after Linux 6.5.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vfioext/interrupt.h>

#include "kselftest_harness.h"

#include "../../libvfioext/device.h"
#include "../lib/ioctl.h"

#define NR_IRQS 6
#define NR_VECTORS 8
#define FD 0x7fffff

/* What the kernel has of a kind: as many vectors as are set up, 0 if it is disabled. */
struct kind {
	unsigned int nr;
	int eventfds[NR_VECTORS];
};

static struct kind kinds[NR_IRQS];
static int unmask_eventfd;

/* It can add vectors; it has so many to spare; calls that succeed before some that do not. */
static bool dynamic;
static unsigned int spare;
static int calls_left, calls_failing;
static unsigned int sets, disables, first_set;

static const unsigned int counts[NR_IRQS] = { 1, NR_VECTORS, NR_VECTORS, 0, 1, 1 };

static int irq_info(struct vfio_irq_info *info)
{
	if (info->index == VFIOEXT_IRQ_ERROR)
		return -EINVAL;
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = counts[info->index];
	if (info->index == VFIOEXT_IRQ_INTX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIOEXT_IRQ_MSIX || !dynamic)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

/* On failure, what is set so far is taken away. */
static int set_block(struct kind *kind, const struct vfio_irq_set *set, const int32_t *fds)
{
	unsigned int i;

	for (i = 0; i < set->count; i++) {
		kind->eventfds[set->start + i] = -1;
		if (!calls_left && calls_failing > 0 && i == set->count - 1) {
			calls_failing--;
			memset(&kind->eventfds[set->start], 0xff, set->count * sizeof(*fds));
			return -EBADF;
		}
		kind->eventfds[set->start + i] = fds[i];
	}
	if (calls_left)
		calls_left--;
	return 0;
}

static int set_eventfds(struct kind *kind, const struct vfio_irq_set *set, const int32_t *fds)
{
	bool enabled = kind->nr;
	unsigned int i;
	int ret;

	sets++;
	first_set = set->start;
	for (i = 0; i <= VFIOEXT_IRQ_MSIX && set->index <= VFIOEXT_IRQ_MSIX; i++)
		if (i != set->index && kinds[i].nr)
			return -EINVAL;
	if (!enabled) {
		if (set->start + set->count > spare)
			return (int)spare;
		kind->nr = set->start + set->count;
		memset(kind->eventfds, 0xff, sizeof(kind->eventfds));
	}
	if (set->start + set->count > kind->nr) {
		if (set->index != VFIOEXT_IRQ_MSIX || !dynamic)
			return -EINVAL;
		kind->nr = set->start + set->count;
	}
	ret = set_block(kind, set, fds);
	if (ret && !enabled)
		kind->nr = 0;
	return ret;
}

static int trigger(struct kind *kind, const struct vfio_irq_set *set)
{
	uint64_t one = 1;

	if (set->start >= kind->nr || set->count != 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_BOOL && !set->data[0])
		return 0;
	return write(kind->eventfds[set->start], &one, 8) == 8 ? 0 : -EBADF;
}

static int set_irqs(struct vfio_irq_set *set)
{
	struct kind *kind = &kinds[set->index];
	size_t data = set->flags & VFIO_IRQ_SET_DATA_EVENTFD ? 4 * set->count :
		      set->flags & VFIO_IRQ_SET_DATA_BOOL ? set->count : 0;

	if (set->argsz != sizeof(*set) + data || set->start >= counts[set->index] ||
	    set->start + set->count > counts[set->index])
		return -EINVAL;
	if (!(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER)) {
		if (set->index != VFIOEXT_IRQ_INTX)
			return -ENOTTY;
		if (!kind->nr)
			return -EINVAL;
		if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD))
			return 0;
		if (*(int32_t *)set->data >= 0 && unmask_eventfd >= 0)
			return -EBUSY;
		unmask_eventfd = *(int32_t *)set->data;
		return 0;
	}
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_eventfds(kind, set, (int32_t *)set->data);
	if (set->count)
		return trigger(kind, set);
	disables++;
	if (!kind->nr || (set->index > VFIOEXT_IRQ_MSIX && kind->eventfds[0] < 0))
		return -EINVAL;
	kind->nr = 0;
	return 0;
}

int ioctl(int fd, ioctl_request request, ...)
{
	va_list args;
	void *data;
	int ret;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (fd != FD)
		return (int)syscall(SYS_ioctl, fd, request, data);
	ret = request == VFIO_DEVICE_GET_IRQ_INFO ? irq_info(data) :
	      request == VFIO_DEVICE_SET_IRQS ? set_irqs(data) : -ENOTTY;
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

FIXTURE(irqs) {
	struct vfioext_device *device;
	int fds[NR_VECTORS];
};

FIXTURE_SETUP(irqs)
{
	unsigned int i;

	memset(kinds, 0, sizeof(kinds));
	spare = 100;
	calls_failing = 0;
	unmask_eventfd = -1;
	self->device = calloc(1, sizeof(*self->device));
	self->device->fd = FD;
	self->device->pci = true;
	pthread_mutex_init(&self->device->lock, NULL);
	self->device->nr_irqs = NR_IRQS;
	self->device->irqs = calloc(NR_IRQS, sizeof(*self->device->irqs));
	for (i = 0; i < NR_VECTORS; i++) {
		self->fds[i] = eventfd(0, EFD_NONBLOCK);
		ASSERT_LE(0, self->fds[i]);
	}
}

FIXTURE_TEARDOWN(irqs)
{
	unsigned int i;

	irqs_free(self->device);
	for (i = 0; i < NR_IRQS; i++)
		EXPECT_EQ(true, !kinds[i].nr || i > VFIOEXT_IRQ_MSIX);
	for (i = 0; i < NR_VECTORS; i++)
		close(self->fds[i]);
	free(self->device->irqs);
	free(self->device);
}

/* How often an eventfd was signaled. */
static unsigned int signals(int fd)
{
	uint64_t nr;

	return read(fd, &nr, sizeof(nr)) == sizeof(nr) ? (unsigned int)nr : 0;
}

static bool kernel_has(unsigned int irq, const int *eventfds, unsigned int nr)
{
	return kinds[irq].nr == nr && !memcmp(kinds[irq].eventfds, eventfds, nr * sizeof(int));
}

TEST_F(irqs, info)
{
	struct vfioext_irq_info info;

	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_INTX, &info));
	EXPECT_EQ(1, info.count);
	EXPECT_TRUE(info.maskable);
	EXPECT_TRUE(info.automasked);
	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_MSIX, &info));
	EXPECT_EQ(NR_VECTORS, info.count);
	EXPECT_FALSE(info.maskable);
	EXPECT_FALSE(info.resizable);
	dynamic = true;
	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_MSIX, &info));
	EXPECT_TRUE(info.resizable);
	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_ERROR, &info));
	EXPECT_EQ(0, info.count);
	EXPECT_EQ(-EINVAL, vfioext_irq_get_info(self->device, NR_IRQS, &info));
	atomic_store(&self->device->lost, true);
	EXPECT_EQ(-ENODEV, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_MSIX, &info));
}

TEST_F(irqs, bounds)
{
	int bad = -2;

	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, 0, self->fds, 0));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, 0, self->fds, 9));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, 8, self->fds, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, 7, self->fds, 2));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, 1, self->fds, UINT32_MAX));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, UINT32_MAX, self->fds, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, VFIOEXT_IRQ_ERROR, 0, self->fds, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, NR_IRQS, 0, self->fds, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, 1, 0, &bad, 1));
	EXPECT_EQ(0, sets);
	atomic_store(&self->device->lost, true);
	EXPECT_EQ(-ENODEV, vfioext_irq_set(self->device, 1, 0, self->fds, 1));
	EXPECT_EQ(-ENODEV, vfioext_irq_disable(self->device, 1));
	EXPECT_EQ(-ENODEV, vfioext_irq_mask(self->device, 0, 0));
	EXPECT_EQ(-ENODEV, vfioext_irq_trigger(self->device, 0, 0));
	EXPECT_EQ(-ENODEV, vfioext_irq_set_unmask_eventfd(self->device, 0));
}

/* Vectors that come later, on a kernel that can add none. */
TEST_F(irqs, set_up_anew)
{
	int wanted[] = { self->fds[0], self->fds[1], -1, self->fds[3], self->fds[4] };

	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 0, self->fds, 2));
	EXPECT_TRUE(kernel_has(2, wanted, 2));
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 3, self->fds + 3, 2));
	EXPECT_TRUE(kernel_has(2, wanted, 5));
	EXPECT_EQ(1, disables);
	EXPECT_EQ(1, signals(self->fds[0]));
	EXPECT_EQ(1, signals(self->fds[1]));
	EXPECT_EQ(0, signals(self->fds[3]));
	/* Within what is there, nothing is set up anew. */
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 2, self->fds + 2, 1));
	wanted[2] = self->fds[2];
	EXPECT_TRUE(kernel_has(2, wanted, 5));
	EXPECT_EQ(1, disables);
	EXPECT_EQ(0, signals(self->fds[0]));
	ASSERT_EQ(0, vfioext_irq_disable(self->device, 2));
	EXPECT_EQ(0, kinds[2].nr);
	ASSERT_EQ(0, vfioext_irq_disable(self->device, 2));
	EXPECT_EQ(2, disables);
}

TEST_F(irqs, added)
{
	int wanted[] = { self->fds[0], self->fds[1], -1, self->fds[3], self->fds[4] };

	dynamic = true;
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 0, self->fds, 2));
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 3, self->fds + 3, 2));
	EXPECT_EQ(0, memcmp(wanted, self->device->irqs[2].eventfds, sizeof(wanted)));
	EXPECT_EQ(self->fds[4], kinds[2].eventfds[4]);
	EXPECT_EQ(0, disables);
	EXPECT_EQ(0, signals(self->fds[0]));
	/* It is only MSI-X that can. */
	ASSERT_EQ(0, vfioext_irq_disable(self->device, 2));
	ASSERT_EQ(0, vfioext_irq_set(self->device, 1, 0, self->fds, 2));
	ASSERT_EQ(0, vfioext_irq_set(self->device, 1, 0, self->fds, 3));
	EXPECT_EQ(2, disables);
}

/* Nothing can have been lost of what was not there. */
TEST_F(irqs, new_in_between)
{
	int some[] = { self->fds[0], -1, self->fds[2] };

	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 0, some, 3));
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 1, self->fds + 1, 3));
	EXPECT_EQ(1, disables);
	EXPECT_EQ(1, signals(self->fds[0]));
	EXPECT_EQ(0, signals(self->fds[1]));
	EXPECT_EQ(1, signals(self->fds[2]));
	EXPECT_EQ(0, signals(self->fds[3]));
}

/* The first vectors are given from 0 on. */
TEST_F(irqs, not_the_first)
{
	int wanted[] = { -1, -1, self->fds[2] };

	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 2, self->fds + 2, 1));
	EXPECT_TRUE(kernel_has(2, wanted, 3));
	EXPECT_EQ(1, sets);
	EXPECT_EQ(0, first_set);
	EXPECT_EQ(-EINVAL, vfioext_irq_trigger(self->device, 2, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_trigger(self->device, 2, 3));
	EXPECT_EQ(0, vfioext_irq_trigger(self->device, 2, 2));
	EXPECT_EQ(1, signals(self->fds[2]));
}

TEST_F(irqs, busy)
{
	int none = -1;

	ASSERT_EQ(0, vfioext_irq_set(self->device, 0, 0, self->fds, 1));
	EXPECT_EQ(-EBUSY, vfioext_irq_set(self->device, 1, 0, self->fds, 1));
	EXPECT_EQ(-EBUSY, vfioext_irq_set(self->device, 2, 0, self->fds, 1));
	EXPECT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_REQUEST, 0, self->fds, 1));
	/* To the kernel, a pin that signals nothing is a pin in use. */
	ASSERT_EQ(0, vfioext_irq_set(self->device, 0, 0, &none, 1));
	EXPECT_EQ(-EBUSY, vfioext_irq_set(self->device, 1, 0, self->fds, 1));
	ASSERT_EQ(0, vfioext_irq_disable(self->device, 0));
	EXPECT_EQ(0, vfioext_irq_set(self->device, 1, 0, self->fds, 1));
	/* Nothing to disable is no error. */
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_REQUEST, 0, &none, 1));
	EXPECT_EQ(0, vfioext_irq_disable(self->device, VFIOEXT_IRQ_REQUEST));
}

/* In place: the kernel has taken the vectors away, and gets them back. */
TEST_F(irqs, fails_in_place)
{
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 0, self->fds, 4));
	calls_left = 0;
	calls_failing = 1;
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, 2, 1, self->fds + 5, 2));
	EXPECT_TRUE(kernel_has(2, self->fds, 4));
	EXPECT_EQ(0, signals(self->fds[0]));
	EXPECT_EQ(1, signals(self->fds[1]));
	EXPECT_EQ(1, signals(self->fds[2]));
	EXPECT_EQ(0, signals(self->fds[3]));
	EXPECT_EQ(0, signals(self->fds[5]));
	/* That fails, too, and it is all set up again. */
	calls_failing = 2;
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, 2, 1, self->fds + 5, 2));
	EXPECT_TRUE(kernel_has(2, self->fds, 4));
	EXPECT_EQ(1, signals(self->fds[0]));
	EXPECT_EQ(1, signals(self->fds[3]));
	EXPECT_EQ(0, memcmp(self->fds, self->device->irqs[2].eventfds, 4 * sizeof(int)));
	/* And for good. */
	calls_failing = 10;
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, 2, 1, self->fds + 5, 2));
	EXPECT_EQ(0, kinds[2].nr);
	EXPECT_EQ(0, self->device->irqs[2].nr);
	calls_failing = 0;
	EXPECT_EQ(0, vfioext_irq_set(self->device, 2, 0, self->fds, 4));
}

TEST_F(irqs, fails_anew)
{
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 0, self->fds, 2));
	calls_left = 0;
	calls_failing = 1;
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, 2, 2, self->fds + 2, 2));
	EXPECT_TRUE(kernel_has(2, self->fds, 2));
	EXPECT_EQ(1, signals(self->fds[0]));
	EXPECT_EQ(1, signals(self->fds[1]));
	EXPECT_EQ(0, signals(self->fds[2]));
	/* The host has fewer to spare than asked for. */
	spare = 3;
	EXPECT_EQ(-ENOSPC, vfioext_irq_set(self->device, 2, 2, self->fds + 2, 2));
	EXPECT_TRUE(kernel_has(2, self->fds, 2));
	EXPECT_EQ(1, signals(self->fds[0]));
	calls_failing = 2;
	spare = 100;
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, 2, 2, self->fds + 2, 2));
	EXPECT_EQ(0, self->device->irqs[2].nr);
	EXPECT_EQ(0, kinds[2].nr);
	spare = 3;
	EXPECT_EQ(-ENOSPC, vfioext_irq_set(self->device, 2, 0, self->fds, 4));
	EXPECT_EQ(0, self->device->irqs[2].nr);
}

/* Added ones that fail, together with one that was there. */
TEST_F(irqs, fails_to_add)
{
	dynamic = true;
	ASSERT_EQ(0, vfioext_irq_set(self->device, 2, 0, self->fds, 3));
	calls_left = 0;
	calls_failing = 1;
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, 2, 2, self->fds + 4, 3));
	EXPECT_EQ(0, memcmp(kinds[2].eventfds, self->fds, 3 * sizeof(int)));
	EXPECT_EQ(-1, kinds[2].eventfds[3]);
	EXPECT_EQ(1, signals(self->fds[2]));
	EXPECT_EQ(3, self->device->irqs[2].nr);
}

TEST_F(irqs, pin)
{
	EXPECT_EQ(-EINVAL, vfioext_irq_unmask(self->device, 0, 0));
	EXPECT_EQ(-EINVAL, vfioext_irq_set_unmask_eventfd(self->device, self->fds[1]));
	ASSERT_EQ(0, vfioext_irq_set(self->device, 0, 0, self->fds, 1));
	EXPECT_EQ(0, vfioext_irq_mask(self->device, 0, 0));
	EXPECT_EQ(0, vfioext_irq_unmask(self->device, 0, 0));
	EXPECT_EQ(-EINVAL, vfioext_irq_unmask(self->device, 0, 1));
	EXPECT_EQ(-ENOTSUP, vfioext_irq_mask(self->device, 1, 0));
	EXPECT_EQ(-ENOTSUP, vfioext_irq_unmask(self->device, 2, 0));
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, self->fds[1]));
	EXPECT_EQ(self->fds[1], unmask_eventfd);
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, self->fds[2]));
	EXPECT_EQ(self->fds[2], unmask_eventfd);
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, -1));
	EXPECT_EQ(-1, unmask_eventfd);
	EXPECT_EQ(0, vfioext_irq_trigger(self->device, 0, 0));
	EXPECT_EQ(1, signals(self->fds[0]));
}

TEST_HARNESS_MAIN
