// SPDX-License-Identifier: GPL-2.0-only
/* The external-user API, as an in-kernel consumer sees it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/edu.h"
#include "../lib/test.h"
#include "vfioext_consumer.h"

#define PAGE ((size_t)getpagesize())

FIXTURE(external_user) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct vfioext_device *device;
	struct vfioext_device_info info;
	int consumer;
	int other;
	int group;
};

static int open_consumer(void)
{
	return open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
}

FIXTURE_SETUP(external_user)
{
	memset(self, 0, sizeof(*self));
	run("modprobe vfioext && modprobe vfioext_consumer");
	bind_device(EDU);
	self->ctx = test_context();
	set_policy(self->ctx, 5000, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &self->info));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, BY_GROUP, &self->device));
	self->group = vfioext_device_group_fd(self->device);
	self->consumer = open_consumer();
	self->other = open_consumer();
	ASSERT_LE(0, self->consumer);
	ASSERT_LE(0, self->other);
}

FIXTURE_TEARDOWN(external_user)
{
	close(self->consumer);
	close(self->other);
	vfioext_device_close(self->device);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

static int attach(int consumer, int fd)
{
	int ret = ioctl(consumer, CONSUMER_ATTACH, fd);

	return ret < 0 ? -errno : ret;
}

/* On POWER it is the first mapping of the container's owner that makes what others map in. */
static int make_window(struct vfioext_device *device)
{
	struct vfioext_container *container = vfioext_device_container(device);
	uint64_t iova;
	void *memory;
	int ret = vfioext_dma_alloc(container, PAGE, 0, &memory, &iova);

	return ret ? ret : vfioext_dma_free(container, memory, PAGE);
}

static int detach(int consumer)
{
	return ioctl(consumer, CONSUMER_DETACH) ? -errno : 0;
}

static unsigned int users(struct vfioext *ctx, int group)
{
	struct vfioext_group info;

	return vfioext_group_get(ctx, group, &info) ? 99 : info.external_users;
}

static struct consumer_status status_of(int consumer)
{
	struct consumer_status status;

	if (ioctl(consumer, CONSUMER_STATUS, &status))
		abort();
	return status;
}

TEST_F(external_user, get_and_put)
{
	EXPECT_EQ(self->info.group, attach(self->consumer, self->group));
	EXPECT_EQ(1, users(self->ctx, self->info.group));
	EXPECT_EQ(1, ioctl(self->consumer, CONSUMER_MATCH, self->group));
	EXPECT_EQ(0, ioctl(self->consumer, CONSUMER_MATCH,
			   vfioext_container_fd(vfioext_device_container(self->device))));
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_EQ(0, users(self->ctx, self->info.group));
}

TEST_F(external_user, get_by_device)
{
	char name[64] = EDU;

	EXPECT_EQ(self->info.group, ioctl(self->consumer, CONSUMER_ATTACH_DEVICE, name));
	EXPECT_EQ(0, detach(self->consumer));
	/* Not bound to VFIO, then bound and not open. */
	strcpy(name, TESTDEV);
	EXPECT_EQ(-1, ioctl(self->consumer, CONSUMER_ATTACH_DEVICE, name));
	EXPECT_EQ(EINVAL, errno);
	vfioext_device_close(self->device);
	self->device = NULL;
	strcpy(name, EDU);
	EXPECT_EQ(-1, ioctl(self->consumer, CONSUMER_ATTACH_DEVICE, name));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(external_user, not_a_group)
{
	int null = open("/dev/null", O_RDWR);

	EXPECT_EQ(-EINVAL, attach(self->consumer, null));
	EXPECT_EQ(-EINVAL, attach(self->consumer, vfioext_container_fd(vfioext_device_container(self->device))));
	EXPECT_EQ(-EINVAL, attach(self->consumer, vfioext_device_fd(self->device)));
	EXPECT_EQ(-EBADF, attach(self->consumer, -1));
	close(null);
}

/* A group without a container, then with one that has no IOMMU yet. */
TEST_F(external_user, not_set_up)
{
	int container, group;
	char path[32];

	vfioext_device_close(self->device);
	self->device = NULL;
	snprintf(path, sizeof(path), "/dev/vfio/%d", self->info.group);
	group = open(path, O_RDWR);
	ASSERT_LE(0, group);
	EXPECT_EQ(-EINVAL, attach(self->consumer, group));
	container = open("/dev/vfio/vfio", O_RDWR);
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	EXPECT_EQ(-EINVAL, attach(self->consumer, group));
	ASSERT_EQ(0, ioctl(container, VFIO_SET_IOMMU, IOMMU));
	EXPECT_EQ(self->info.group, attach(self->consumer, group));
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	EXPECT_EQ(-EINVAL, attach(self->consumer, group));
	close(group);
	close(container);
}

TEST_F(external_user, unset_container_busy)
{
	int group = dup(self->group);

	ASSERT_LE(0, attach(self->consumer, self->group));
	close(vfioext_device_fd(self->device));
	EXPECT_EQ(-1, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	close(group);
}

static int map(int consumer, void *page, uint64_t iova, uint64_t size)
{
	struct consumer_map request = {
		.vaddr = (uintptr_t)page,
		.iova = iova,
		.size = size,
		.flags = CONSUMER_MAP_READ | CONSUMER_MAP_WRITE,
	};

	return ioctl(consumer, CONSUMER_MAP, &request) ? -errno : 0;
}

/* The owner goes; the consumer still maps into the domain, until it puts. */
TEST_F(external_user, owner_gone)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct consumer_map request = { .iova = 0x100000 };
	char path[32];

	ASSERT_EQ(0, make_window(self->device));
	ASSERT_LE(0, attach(self->consumer, self->group));
	ASSERT_EQ(0, map(self->consumer, page, 0x100000, PAGE));
	vfioext_device_close(self->device);
	self->device = NULL;

	EXPECT_EQ(0, map(self->consumer, page, 0x200000, PAGE));
	EXPECT_EQ(-EEXIST, map(self->consumer, page, 0x200000, PAGE));
	EXPECT_EQ(-EINVAL, map(self->consumer, page, 0x200001, PAGE));
	EXPECT_EQ(-EINVAL, map(self->consumer, page, -PAGE, PAGE));
	EXPECT_EQ(0, ioctl(self->consumer, CONSUMER_UNMAP, &request));
	EXPECT_EQ(2 - 1, status_of(self->consumer).maps);
	/* The group is still open, as far as vfio is concerned. */
	snprintf(path, sizeof(path), "/dev/vfio/%d", self->info.group);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, detach(self->consumer));
	usleep(50000);
	EXPECT_EQ(0, vfioext_device_open(self->ctx, EDU, BY_GROUP, &self->device));
}

/* Registers of edu's DMA engine, by 8 bytes; the device's own memory is at 0x40000. */
enum { DMA_SOURCE = 0x80 / 8, DMA_TARGET = 0x88 / 8, DMA_COUNT = 0x90 / 8, DMA_COMMAND = 0x98 / 8 };
#define DMA_START 0x1
#define DMA_TO_MEMORY 0x2
#define DMA_OWN_MEMORY 0x40000

/* Have the device write 64 zeroes; false if it does not say that it has. */
static bool dma_to(volatile uint64_t *bar, uint64_t iova)
{
	long deadline = now_ms() + 5000;

	bar[DMA_SOURCE] = edu_order64(DMA_OWN_MEMORY);
	bar[DMA_TARGET] = edu_order64(iova);
	bar[DMA_COUNT] = edu_order64(64);
	bar[DMA_COMMAND] = edu_order64(DMA_START | DMA_TO_MEMORY);
	while (edu_order64(bar[DMA_COMMAND]) & DMA_START && now_ms() < deadline)
		usleep(10000);
	return !(edu_order64(bar[DMA_COMMAND]) & DMA_START);
}

/* The device reaches what the consumer mapped, and no longer once it is unmapped. */
TEST_F(external_user, dma)
{
	unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct consumer_map request = { .iova = 0x100000 };
	const uint64_t config = (uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40;
	uint16_t memory_and_master = 6;
	size_t size;
	void *bar;

	ASSERT_EQ(2, pwrite(vfioext_device_fd(self->device), &memory_and_master, 2, config + 4));
	bar = map_bar(self->device, 0, &size);
	ASSERT_NE(NULL, bar);
	ASSERT_EQ(0, make_window(self->device));
	ASSERT_LE(0, attach(self->consumer, self->group));
	memset(page, 0x5a, PAGE);
	ASSERT_EQ(0, map(self->consumer, page, 0x100000, PAGE));
	EXPECT_TRUE(dma_to(bar, 0x100000));
	EXPECT_EQ(0, page[0]);
	EXPECT_EQ(0, page[63]);
	EXPECT_EQ(0x5a, page[64]);

	memset(page, 0x5a, PAGE);
	EXPECT_EQ(0, ioctl(self->consumer, CONSUMER_UNMAP, &request));
	EXPECT_TRUE(dma_to(bar, 0x100000));
	EXPECT_EQ(0x5a, page[0]);

	/* The consumer takes what it has mapped along. */
	ASSERT_EQ(0, map(self->consumer, page, 0x100000, PAGE));
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_TRUE(dma_to(bar, 0x100000));
	EXPECT_EQ(0x5a, page[0]);
	EXPECT_EQ(0, munmap(bar, size));
}

static int map_for(int consumer, void *page, uint64_t iova, uint32_t flags)
{
	struct consumer_map request = {
		.vaddr = (uintptr_t)page, .iova = iova, .size = PAGE, .flags = flags,
	};

	return ioctl(consumer, CONSUMER_MAP, &request) ? -errno : 0;
}

/* What the consumer is told is looked at; and nobody's mapping is replaced. */
TEST_F(external_user, map_checks)
{
	struct vfioext_container *container = vfioext_device_container(self->device);
	struct vfioext_iova_range ranges[16];
	uint64_t iova = 0x200000;
	void *memory, *page, *two;
	int nr;

	two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, vfioext_dma_alloc(container, PAGE, VFIOEXT_DMA_FIXED, &memory, &iova));
	nr = vfioext_dma_get_ranges(container, ranges, 16);
	ASSERT_LT(0, nr);
	ASSERT_GE(16, nr);
	ASSERT_LE(0, attach(self->consumer, self->group));
	EXPECT_EQ(-EEXIST, map_for(self->consumer, page, iova, CONSUMER_MAP_READ));
	EXPECT_EQ(-EFAULT, map_for(self->consumer, page, 0x100000, CONSUMER_MAP_WRITE));
	EXPECT_EQ(-EINVAL, map_for(self->consumer, page, 0x100000, 0));
	EXPECT_EQ(-EINVAL, map_for(self->consumer, page, 0x100000, 8));
	EXPECT_EQ(-EINVAL, map_for(self->consumer, page, 0x100000 + PAGE / 2, CONSUMER_MAP_READ));
	EXPECT_EQ(-ERANGE, map_for(self->consumer, page, -2 * PAGE, CONSUMER_MAP_READ));
	/* It begins in the last range, and ends behind it. */
	EXPECT_EQ(-ERANGE, map(self->consumer, two, ranges[nr - 1].last + 1 - PAGE, 2 * PAGE));
	EXPECT_EQ(0, map_for(self->consumer, page, 0x100000, CONSUMER_MAP_READ));
	EXPECT_EQ(1, status_of(self->consumer).maps);
	EXPECT_EQ(0, detach(self->consumer));
	/* The owner's is as it was. */
	EXPECT_TRUE(edu_sees(self->device, memory, iova, 0x77));
	EXPECT_EQ(0, vfioext_dma_free(container, memory, PAGE));
}

/* Where there is no process: the removal is told in a work item. */
TEST_F(external_user, removal_with_a_mapping)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t unbinding;

	ASSERT_EQ(0, make_window(self->device));
	ASSERT_LE(0, attach(self->consumer, self->group));
	ASSERT_EQ(0, map(self->consumer, page, 0x100000, PAGE));
	vfioext_device_close(self->device);
	self->device = NULL;
	unbinding = unbind_start(EDU);
	EXPECT_TRUE(unbind_wait(unbinding, 3000));
	EXPECT_EQ(1, status_of(self->consumer).let_go);
	EXPECT_EQ(0, status_of(self->consumer).maps);
}

/* One that is killed has no memory any more when its files are closed. */
TEST_F(external_user, killed_with_a_mapping)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ready[2], consumer;
	pid_t child;
	char byte;

	ASSERT_EQ(0, make_window(self->device));
	ASSERT_EQ(0, pipe(ready));
	child = fork();
	if (!child) {
		consumer = open_consumer();
		if (attach(consumer, self->group) >= 0 && !map(consumer, page, 0x100000, PAGE) &&
		    write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	close(ready[0]);
	EXPECT_EQ(1, users(self->ctx, self->info.group));
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	EXPECT_EQ(0, users(self->ctx, self->info.group));
	ASSERT_LE(0, attach(self->consumer, self->group));
	EXPECT_EQ(0, map(self->consumer, page, 0x100000, PAGE));
}

TEST_F(external_user, two_consumers)
{
	ASSERT_LE(0, attach(self->consumer, self->group));
	ASSERT_LE(0, attach(self->other, self->group));
	EXPECT_EQ(2, users(self->ctx, self->info.group));
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_EQ(1, users(self->ctx, self->info.group));
	EXPECT_EQ(1, ioctl(self->other, CONSUMER_MATCH, self->group));
	/* What is closed without a detach is put as well. */
	close(self->other);
	self->other = -1;
	EXPECT_EQ(0, users(self->ctx, self->info.group));
}

TEST_F(external_user, get_during_removal)
{
	uint32_t id;

	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	EXPECT_EQ(-ENODEV, attach(self->consumer, self->group));
	EXPECT_EQ(0, users(self->ctx, self->info.group));
	ASSERT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	EXPECT_LE(0, attach(self->consumer, self->group));
	/* Held already, a further user is refused as well. */
	ASSERT_EQ(0, ioctl(self->consumer, CONSUMER_REFUSE, 1));
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	EXPECT_EQ(-ENODEV, attach(self->other, self->group));
	EXPECT_EQ(1, users(self->ctx, self->info.group));
	ASSERT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

TEST_F(external_user, lets_go_when_asked)
{
	uint32_t id;

	ASSERT_LE(0, attach(self->consumer, self->group));
	vfioext_device_close(self->device);
	self->device = NULL;
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
	EXPECT_EQ(1, status_of(self->consumer).let_go);
	EXPECT_EQ(id, status_of(self->consumer).last_id);
	EXPECT_STREQ(EDU, status_of(self->consumer).device);
}

/* Who let go for nothing hears of it; the same who would not. */
TEST_F(external_user, told_that_it_was_called_off)
{
	uint32_t id;

	ASSERT_LE(0, attach(self->consumer, self->group));
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	usleep(100000 * slowness());
	EXPECT_EQ(1, status_of(self->consumer).let_go);
	EXPECT_EQ(0, status_of(self->consumer).called_off);
	ASSERT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	usleep(100000 * slowness());
	EXPECT_EQ(1, status_of(self->consumer).called_off);
	EXPECT_EQ(id, status_of(self->consumer).last_id);
	EXPECT_LE(0, attach(self->consumer, self->group));
}

/* The kernel's removal waits for a consumer for as long as it takes. */
TEST_F(external_user, removal_waits)
{
	pid_t child;

	ASSERT_LE(0, attach(self->consumer, self->group));
	ASSERT_EQ(0, ioctl(self->consumer, CONSUMER_REFUSE, 1));
	vfioext_device_close(self->device);
	self->device = NULL;
	child = unbind_start(EDU);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	EXPECT_EQ(1, self->event.removal.external_users);
	EXPECT_FALSE(unbind_wait(child, 500));
	EXPECT_EQ(1, status_of(self->consumer).told);
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_TRUE(unbind_wait(child, 1000));
	EXPECT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000, &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
}

static int module_references(void)
{
	FILE *file = fopen("/sys/module/vfioext/refcnt", "r");
	int nr = -1;

	if (!file || fscanf(file, "%d", &nr) != 1)
		abort();
	fclose(file);
	return nr;
}

/* Not only because the consumer's module needs it: KVM's lets go of the symbols. */
TEST_F(external_user, module_stays_while_held)
{
	int before = module_references();

	ASSERT_LE(0, attach(self->consumer, self->group));
	EXPECT_EQ(before + 1, module_references());
	EXPECT_NE(0, try_run("rmmod vfioext 2>/dev/null"));
	EXPECT_EQ(1, users(self->ctx, self->info.group));
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_EQ(before, module_references());
}

/* A second device that joins a held group is held back too. */
TEST_F(external_user, device_joins_held_group)
{
	const char *first = PAIR, *second = PAIR2;
	struct vfioext_device_list members;
	struct vfioext_device *device;
	pid_t child;
	size_t i;

	/* Elsewhere than on PCs a device is in its group from its first driver on. */
	bind_device(second);
	ASSERT_EQ(0, vfioext_unbind(self->ctx, second));
	bind_device(first);
	/* It may be that the bridge does not isolate, or that it does. */
	ASSERT_EQ(0, vfioext_find_device(self->ctx, first, &self->info));
	ASSERT_EQ(0, vfioext_list_group(self->ctx, self->info.group, &members));
	for (i = 0; i < members.nr && strcmp(members.list[i].name, second); i++)
		;
	vfioext_device_list_release(&members);
	ASSERT_LT(i, members.nr ? members.nr : 99);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, first, BY_GROUP, &device));
	ASSERT_EQ(self->info.group, attach(self->consumer, vfioext_device_group_fd(device)));
	ASSERT_EQ(0, ioctl(self->consumer, CONSUMER_REFUSE, 1));
	bind_device(second);
	child = unbind_start(second);
	EXPECT_FALSE(unbind_wait(child, 300));
	EXPECT_EQ(0, detach(self->consumer));
	EXPECT_TRUE(unbind_wait(child, 1000));
	vfioext_device_close(device);
	EXPECT_EQ(0, vfioext_unbind(self->ctx, first));
}

/* A layout that does not prove itself: nothing is handed out, nothing touched. */
TEST_F(external_user, spoiled_layout)
{
	struct vfioext_status status;
	struct vfioext_group group;

	close(self->consumer);
	close(self->other);
	run("rmmod vfioext_consumer; rmmod vfioext; modprobe vfioext private_layout_skew=8 && modprobe vfioext_consumer");
	self->consumer = open_consumer();
	self->other = open_consumer();
	EXPECT_EQ(-EOPNOTSUPP, attach(self->consumer, self->group));
	vfioext_status(self->ctx, &status);
	EXPECT_EQ(0, strncmp(status.external_users, "refused: ", 9));
	EXPECT_EQ(0, vfioext_group_get(self->ctx, self->info.group, &group));
	EXPECT_EQ(-1, group.container_set);
	EXPECT_EQ(0, group.external_users);
	close(self->consumer);
	close(self->other);
	self->consumer = -1;
	self->other = -1;
	/* The container has no user more than it had. */
	close(vfioext_device_fd(self->device));
	EXPECT_EQ(0, ioctl(self->group, VFIO_GROUP_UNSET_CONTAINER));
	run("rmmod vfioext_consumer; rmmod vfioext; modprobe vfioext; modprobe vfioext_consumer");
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext && modprobe vfioext_consumer");
	return test_harness_run(argc, argv);
}
