// SPDX-License-Identifier: GPL-2.0-only
/* Memory for devices on POWER: registered, and mapped in windows. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"
#include "vfioext_consumer.h"

#define PAGE ((size_t)getpagesize())
#define PAGES 16
#define BASE 0x100000ULL

/* So many of these fill the first window, which is of 1 GiB or 2. */
#define PIECE (64ULL << 20)
#define PIECES_MAX 40

FIXTURE(spapr) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_device *other;
	struct vfioext_device *third;
	struct vfioext_container *container;
	struct vfioext_dma_limits limits;
	struct vfioext_iova_range windows[2];
	uint8_t *memory;
	long locked;
};

static long locked_kb(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[128];
	long kb = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

static int map_at(struct vfioext_container *container, uint8_t *memory, size_t nr, uint64_t iova)
{
	return vfioext_dma_map(container, memory, nr * PAGE, VFIOEXT_DMA_FIXED, &iova);
}

#define map(page, nr, iova) map_at(self->container, self->memory + (page) * PAGE, nr, iova)

FIXTURE_SETUP(spapr)
{
	memset(self, 0, sizeof(*self));
	bind_device(EDU);
	self->ctx = test_context();
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &self->device));
	self->container = vfioext_device_container(self->device);
	self->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->memory);
	/* The first mapping makes the first window, whose table counts as locked. */
	ASSERT_EQ(0, map(0, 1, BASE));
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE, PAGE));
	self->locked = locked_kb();
}

FIXTURE_TEARDOWN(spapr)
{
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	EXPECT_EQ(self->locked, locked_kb());
	vfioext_device_close(self->other);
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
}

TEST_F(spapr, window)
{
	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &self->limits));
	ASSERT_EQ(1, vfioext_dma_get_ranges(self->container, self->windows, 2));
	EXPECT_EQ(4096, self->limits.page_sizes);
	EXPECT_LE(1ULL << 30, self->windows[0].last - self->windows[0].start + 1);
	EXPECT_EQ(0, map(0, 1, self->windows[0].start));
	EXPECT_EQ(0, map(1, 1, self->windows[0].last + 1 - PAGE));
	EXPECT_EQ(-EEXIST, map(2, 1, self->windows[0].start));
	EXPECT_EQ(-EINVAL, map(2, 1, BASE + PAGE / 2));
}

TEST_F(spapr, dma)
{
	ASSERT_EQ(0, map(0, 1, BASE));
	EXPECT_LT(self->locked, locked_kb());
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE, 0x11));
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE, PAGE));
	EXPECT_FALSE(edu_sees(self->device, self->memory, BASE, 0x22));
}

/* Memory is registered once, however often it is mapped, and whichever goes first. */
TEST_F(spapr, mapped_twice)
{
	ASSERT_EQ(0, map(0, 1, BASE));
	ASSERT_EQ(0, map(0, 1, BASE + PAGE));
	EXPECT_EQ(self->locked + (long)PAGE / 1024, locked_kb());
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE, 0x11));
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE + PAGE, 0x12));
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE, PAGE));
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE + PAGE, 0x13));
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE + PAGE, PAGE));
	EXPECT_EQ(self->locked, locked_kb());
}

/* The kernel registers no memory that overlaps other that is. */
TEST_F(spapr, memory_that_overlaps)
{
	ASSERT_EQ(0, map(2, 4, BASE));
	ASSERT_EQ(0, map(8, 2, BASE + 0x100000));
	ASSERT_EQ(0, map(0, PAGES, BASE + 0x200000));
	ASSERT_EQ(0, map(5, 4, BASE + 0x400000));
	EXPECT_EQ(self->locked + PAGES * (long)PAGE / 1024, locked_kb());
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE, 4 * PAGE));
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE + 0x200000, PAGES * PAGE));
	EXPECT_TRUE(edu_sees(self->device, self->memory + 5 * PAGE, BASE + 0x400000, 0x31));
	EXPECT_TRUE(edu_sees(self->device, self->memory + 8 * PAGE, BASE + 0x400000 + 3 * PAGE, 0x32));
	EXPECT_TRUE(edu_sees(self->device, self->memory + 9 * PAGE, BASE + 0x100000 + PAGE, 0x33));
}

TEST_F(spapr, several_unmapped_at_once)
{
	ASSERT_EQ(0, map(0, 2, BASE));
	ASSERT_EQ(0, map(2, 1, BASE + 2 * PAGE));
	ASSERT_EQ(0, map(3, 1, BASE + 8 * PAGE));
	ASSERT_EQ(-EINVAL, vfioext_dma_unmap(self->container, BASE, PAGE));
	ASSERT_EQ(0, vfioext_dma_unmap(self->container, BASE, 8 * PAGE));
	EXPECT_EQ(self->locked + (long)PAGE / 1024, locked_kb());
	EXPECT_FALSE(edu_sees(self->device, self->memory, BASE, 0x41));
	EXPECT_TRUE(edu_sees(self->device, self->memory + 3 * PAGE, BASE + 8 * PAGE, 0x42));
}

TEST_F(spapr, memory_that_cannot_be_had)
{
	uint8_t *none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t iova = BASE;

	EXPECT_GT(0, vfioext_dma_map(self->container, none, PAGE, VFIOEXT_DMA_FIXED, &iova));
	EXPECT_EQ(self->locked, locked_kb());
	EXPECT_EQ(0, map(0, 1, BASE));
}

/* When the first window is full there is another. */
TEST_F(spapr, second_window)
{
	uint8_t *memory = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t iova = 0, first_last;
	int i, ret = 0;

	/* The table of the second counts, too. */
	ASSERT_EQ(1, vfioext_dma_get_ranges(self->container, self->windows, 2));
	first_last = self->windows[0].last;
	for (i = 0; i < PIECES_MAX && !ret && iova <= first_last; i++)
		ret = vfioext_dma_map(self->container, memory, PIECE, 0, &iova);
	ASSERT_EQ(0, ret);
	EXPECT_LT(first_last, iova);
	ASSERT_EQ(2, vfioext_dma_get_ranges(self->container, self->windows, 2));
	EXPECT_LE(self->windows[1].start, iova);
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	self->locked = locked_kb();
	EXPECT_EQ(0, vfioext_dma_map(self->container, memory, PIECE, VFIOEXT_DMA_FIXED, &iova));
	EXPECT_EQ(self->locked + (long)(PIECE / 1024), locked_kb());
}

/* The kernel maps for the process that began alone. */
TEST_F(spapr, another_process)
{
	int status;
	pid_t child;

	ASSERT_EQ(0, map(0, 1, BASE));
	child = fork();
	if (!child)
		_exit(-map(1, 1, BASE + PAGE));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(EPERM, WEXITSTATUS(status));
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE, 0x51));
}

/* The hypervisor has a table for each group; the kernel puts no two into one. */
TEST_F(spapr, another_group)
{
	struct vfioext_container *own;
	uint64_t iova = BASE;

	bind_device(EDU2);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU2, NULL, &self->other));
	own = vfioext_device_container(self->other);
	ASSERT_EQ(0, map(0, 1, BASE));
	ASSERT_EQ(0, vfioext_dma_map(own, self->memory + PAGE, PAGE, VFIOEXT_DMA_FIXED, &iova));
	EXPECT_EQ(-EPERM, vfioext_device_move(self->other, self->container));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "each has its own"));
	/* It was alone where it was, and so the mapping went. */
	EXPECT_EQ(own, vfioext_device_container(self->other));
	EXPECT_FALSE(edu_sees(self->other, self->memory + PAGE, BASE, 0x60));
	ASSERT_EQ(0, vfioext_dma_map(own, self->memory + PAGE, PAGE, VFIOEXT_DMA_FIXED, &iova));
	EXPECT_TRUE(edu_sees(self->other, self->memory + PAGE, BASE, 0x61));
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE, 0x62));
	vfioext_device_close(self->other);
	self->other = NULL;
}

/* While nothing is mapped the kernel takes another group, and then maps for neither. */
TEST_F(spapr, two_groups_before_a_window)
{
	struct vfioext_open how = { 0 };
	uint64_t iova = BASE;

	bind_device(EDU2);
	bind_device(TESTDEV);
	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_CONTAINER, &how.container));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU2, &how, &self->other));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, TESTDEV, &how, &self->third));
	EXPECT_EQ(-EPERM, vfioext_dma_map(how.container, self->memory, PAGE, VFIOEXT_DMA_FIXED,
					  &iova));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "container of their own"));
	vfioext_device_close(self->third);
	vfioext_device_close(self->other);
	self->other = NULL;
	EXPECT_EQ(0, vfioext_container_free(how.container));
	run("vfioext unbind " TESTDEV " > /dev/null");
}

/* The kernel knows registered memory by the process: that of another container counts, too. */
TEST_F(spapr, two_containers)
{
	struct vfioext_container *other;
	uint64_t iova = BASE;

	bind_device(EDU2);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU2, NULL, &self->other));
	other = vfioext_device_container(self->other);
	ASSERT_EQ(0, map(0, 4, BASE));
	ASSERT_EQ(0, map_at(other, self->memory + 2 * PAGE, 4, BASE));
	ASSERT_EQ(0, map_at(other, self->memory, PAGES, BASE + 0x400000));
	ASSERT_EQ(0, map(1, 4, BASE + 0x400000));
	EXPECT_TRUE(edu_sees(self->device, self->memory + 4 * PAGE, BASE + 0x400000 + 3 * PAGE, 0x71));
	EXPECT_TRUE(edu_sees(self->other, self->memory + 4 * PAGE, BASE + 2 * PAGE, 0x72));
	/* What the one lets go the other has still. */
	ASSERT_EQ(0, vfioext_dma_unmap_all(self->container));
	EXPECT_TRUE(edu_sees(self->other, self->memory + 2 * PAGE, BASE, 0x73));
	EXPECT_TRUE(edu_sees(self->other, self->memory, BASE + 0x400000, 0x74));
	ASSERT_EQ(0, map(0, PAGES, iova));
	vfioext_device_close(self->other);
	self->other = NULL;
	EXPECT_TRUE(edu_sees(self->device, self->memory + 5 * PAGE, BASE + 5 * PAGE, 0x75));
}

static int ask_consumer(int consumer, unsigned long request, const uint8_t *page, uint64_t iova)
{
	struct consumer_map map = {
		.vaddr = (uintptr_t)page,
		.iova = iova,
		.size = PAGE,
		.flags = CONSUMER_MAP_READ | CONSUMER_MAP_WRITE,
	};

	return ioctl(consumer, request, &map) ? -errno : 0;
}

static int open_consumer(struct vfioext_device *device)
{
	int consumer;

	run("modprobe vfioext && modprobe vfioext_consumer");
	consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	return ioctl(consumer, CONSUMER_ATTACH, vfioext_device_group_fd(device)) < 0 ? -1 : consumer;
}

/* VFIO maps over what is there; that stays when the consumer unmaps. */
TEST_F(spapr, owner_maps_over_a_consumer)
{
	int consumer = open_consumer(self->device);

	ASSERT_LE(0, consumer);
	ASSERT_EQ(0, ask_consumer(consumer, CONSUMER_MAP, self->memory, BASE));
	EXPECT_TRUE(edu_sees(self->device, self->memory, BASE, 0x81));
	ASSERT_EQ(0, map(1, 1, BASE));
	EXPECT_EQ(0, ask_consumer(consumer, CONSUMER_UNMAP, NULL, BASE));
	EXPECT_TRUE(edu_sees(self->device, self->memory + PAGE, BASE, 0x82));
	EXPECT_EQ(0, close(consumer));
	EXPECT_TRUE(edu_sees(self->device, self->memory + PAGE, BASE, 0x83));
}

/* The owner takes the consumer's window away. */
TEST_F(spapr, window_of_a_consumer_goes)
{
	struct vfio_iommu_spapr_tce_remove window = { .argsz = sizeof(window) };
	int consumer = open_consumer(self->device);

	ASSERT_LE(0, consumer);
	ASSERT_EQ(0, ask_consumer(consumer, CONSUMER_MAP, self->memory, BASE));
	ASSERT_EQ(0, ioctl(vfioext_container_fd(self->container), VFIO_IOMMU_SPAPR_TCE_REMOVE,
			   &window));
	EXPECT_EQ(-ENXIO, ask_consumer(consumer, CONSUMER_MAP, self->memory, BASE + PAGE));
	EXPECT_EQ(0, ask_consumer(consumer, CONSUMER_UNMAP, NULL, BASE));
	EXPECT_EQ(0, close(consumer));
	self->locked = locked_kb();
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci");
	return test_harness_run(argc, argv);
}
