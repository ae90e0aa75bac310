// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our client when its server goes, comes back, or wants its device back: unasked, and
 * under threads that are in the middle of something. Nothing is left open.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/board_fixture.h"
#include "../lib/wire.h"

static bool is_readable(int fd)
{
	struct pollfd poll_for = { .fd = fd, .events = POLLIN };

	return poll(&poll_for, 1, 1000) == 1;
}

struct told {
	int calls;
	uint32_t id;
	bool lost;
	int nested;
	int answer;
};

static int on_removal(struct vfioext_device *device, uint32_t id, void *data)
{
	struct told *told = data;

	told->calls++;
	told->id = id;
	told->lost = vfioext_device_lost(device);
	told->nested = vfioext_device_watch_dispatch(device);
	return told->answer;
}

/* Nothing of it works any longer, and nothing of it does any harm. */
static bool is_gone(struct vfioext_device *device, const struct vfioext_region *bar)
{
	struct vfioext_region *region;
	struct vfioext_irq_info info;
	uint32_t value = 0;

	return vfioext_device_lost(device) && vfioext_read32(bar, REG_FREE) == UINT32_MAX &&
	       vfioext_region_read(bar, &value, 4, REG_FREE) == -ENODEV && value == UINT32_MAX &&
	       vfioext_region_write(bar, &value, 4, REG_FREE) == -ENODEV &&
	       vfioext_config_read(device, 0, 4) == UINT32_MAX &&
	       vfioext_irq_get_info(device, 0, &info) == -ENODEV &&
	       vfioext_region_get(device, 0, &region) == -ENODEV &&
	       vfioext_device_reset(device) == -ENODEV;
}

TEST_F(client, server_goes)
{
	struct vfioext_region *region;
	struct told told = { .answer = 1 };
	uint32_t *mapped;
	uint64_t iova;
	void *memory;
	int fd = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, &fd, 1));
	ASSERT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
	ASSERT_EQ(0, vfioext_region_map(region));
	mapped = vfioext_region_pointer(region, 0x100, 4);
	vfioext_write32(region, 0x100, 1);
	ASSERT_EQ(0, vfioext_device_watch(self->device, on_removal, &told));
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device));
	board_stop(self->board);
	EXPECT_TRUE(is_readable(vfioext_device_watch_fd(self->device)));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, REG_FREE));
	EXPECT_TRUE(is_gone(self->device, self->bar));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(region, 0x100));
	EXPECT_EQ(-ENODEV, vfioext_irq_disable(self->device, VFIOEXT_IRQ_MSI));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "its server has gone"));
	EXPECT_EQ(1, told.calls);
	EXPECT_EQ(0, told.id);
	EXPECT_TRUE(told.lost);
	EXPECT_EQ(UINT32_MAX, *mapped);
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(1, told.calls);
	EXPECT_TRUE(is_gone(self->device, self->bar));
	close(fd);
}

/* A driver frees what it had when it hears that its device is gone, or later. */
TEST_F(client, memory_of_a_lost_device)
{
	uint64_t iova, other;
	void *memory, *kept;

	ASSERT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	ASSERT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &kept, &other));
	ASSERT_EQ(0, vfioext_device_watch(self->device, NULL, NULL));
	board_stop(self->board);
	/* Before it is let go, and after. */
	while (!vfioext_device_lost(self->device))
		vfioext_read32(self->bar, REG_FREE);
	EXPECT_EQ(0, vfioext_dma_free(self->container, memory, PAGE));
	EXPECT_NE(0, msync(memory, PAGE, MS_ASYNC));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(self->container, vfioext_device_container(self->device));
	EXPECT_EQ(-EBUSY, vfioext_container_free(self->container));
	EXPECT_EQ(0, vfioext_dma_free(self->container, kept, PAGE));
	EXPECT_NE(0, msync(kept, PAGE, MS_ASYNC));
	EXPECT_EQ(-ENOENT, vfioext_dma_free(self->container, kept, PAGE));
	/* What is mapped while no server is there, the next one hears. */
	EXPECT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	EXPECT_EQ(0, vfioext_dma_unmap(self->container, iova, PAGE));
	EXPECT_EQ(-ENOENT, vfioext_dma_unmap(self->container, iova, PAGE));
	EXPECT_EQ(0, vfioext_dma_free(self->container, memory, PAGE));
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
}

/* Nobody asks anything of it, but a thread serves memory. */
TEST_F(client, server_goes_unasked)
{
	void *memory = allocate(PAGE);
	struct vfioext_region *region;
	uint64_t iova;
	int i;

	ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
	ASSERT_EQ(0, vfioext_region_map(region));
	ASSERT_EQ(0, vfioext_dma_map(self->container, memory, PAGE, 0, &iova));
	board_stop(self->board);
	for (i = 0; i < 1000 && !vfioext_device_lost(self->device); i++)
		usleep(1000);
	EXPECT_GT(1000, i);
	EXPECT_EQ(UINT32_MAX, vfioext_read32(region, 0x100));
	EXPECT_EQ(-ENODEV, vfioext_dma_map(self->container, memory, PAGE, 0, &iova));
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	munmap(memory, PAGE);
}

TEST_F(client, comes_back)
{
	struct vfioext_open how = { 0 };
	struct vfioext_region *bar;
	uint64_t iova;
	void *memory;

	vfioext_device_close(self->device);
	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_USER, &how.container));
	ASSERT_EQ(0, open_board(self->ctx, self->board, &how, &self->device));
	ASSERT_EQ(0, vfioext_dma_alloc(how.container, PAGE, 0, &memory, &iova));
	board_stop(self->board);
	ASSERT_TRUE(board_start(self->board));
	vfioext_device_close(self->device);
	ASSERT_EQ(0, open_board(self->ctx, self->board, &how, &self->device));
	ASSERT_EQ(0, vfioext_region_get(self->device, REGISTERS, &bar));
	/* What was mapped still is. */
	EXPECT_TRUE(moves(bar, self->board, memory, iova, PAGE));
	EXPECT_EQ(-EBUSY, vfioext_container_free(how.container));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_dma_free(how.container, memory, PAGE));
	EXPECT_EQ(0, vfioext_container_free(how.container));
}

TEST_F(client, is_wanted_back)
{
	struct told told = { .answer = 1 };

	ASSERT_EQ(0, vfioext_device_watch(self->device, on_removal, &told));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->board->device, VFIO_PCI_REQ_IRQ_INDEX, 0));
	EXPECT_TRUE(is_readable(vfioext_device_watch_fd(self->device)));
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(1, told.calls);
	EXPECT_FALSE(told.lost);
	EXPECT_EQ(-EDEADLK, told.nested);
	/* It may have been called off meanwhile, and nobody said so. */
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->board->device, VFIO_PCI_REQ_IRQ_INDEX, 0));
	EXPECT_TRUE(is_readable(vfioext_device_watch_fd(self->device)));
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(2, told.calls);
	vfioext_device_let_go(self->device);
	EXPECT_TRUE(is_gone(self->device, self->bar));
	while (!self->board->detached)
		usleep(1000);
}

/* It is kept, and then there is nothing to be kept. */
TEST_F(client, is_wanted_back_and_gone)
{
	struct told told = { .answer = 1 };

	ASSERT_EQ(0, vfioext_device_watch(self->device, on_removal, &told));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->board->device, VFIO_PCI_REQ_IRQ_INDEX, 0));
	EXPECT_TRUE(is_readable(vfioext_device_watch_fd(self->device)));
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(1, told.calls);
	board_stop(self->board);
	EXPECT_TRUE(is_readable(vfioext_device_watch_fd(self->device)));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(2, told.calls);
	EXPECT_TRUE(told.lost);
	EXPECT_EQ(-EDEADLK, told.nested);
}

/* What the threads share, and the region of each thread's registers. */
struct work {
	struct vfioext_device *device;
	struct vfioext_container *container;
	struct vfioext_region *bar;
	unsigned int number;
	bool good;
};

#define ROUNDS 2000

static void *use_registers(void *data)
{
	struct work *work = data;
	uint64_t at = REG_FREE + work->number * 0x100, i;

	work->good = true;
	for (i = 0; i < ROUNDS && work->good; i++) {
		vfioext_write64(work->bar, at + i % 32 * 8, i << 8 | work->number);
		work->good = vfioext_read64(work->bar, at + i % 32 * 8) == (i << 8 | work->number);
	}
	return NULL;
}

static void *use_interrupts(void *data)
{
	struct work *work = data;
	int fd = eventfd(0, EFD_NONBLOCK);
	unsigned int i;

	work->good = true;
	for (i = 0; i < ROUNDS / 4 && work->good; i++)
		work->good = !vfioext_irq_set(work->device, VFIOEXT_IRQ_MSI, 0, &fd, 1) &&
			     !vfioext_irq_trigger(work->device, VFIOEXT_IRQ_MSI, 0) &&
			     eventfd_count(fd) >= 1;
	close(fd);
	return NULL;
}

static void *use_memory(void *data)
{
	struct work *work = data;
	uint8_t *plain = allocate(PAGE);
	unsigned int i;
	uint64_t iova;
	void *memory;

	work->good = true;
	for (i = 0; i < ROUNDS / 4 && work->good; i++)
		work->good = !vfioext_dma_alloc(work->container, PAGE, 0, &memory, &iova) &&
			     !vfioext_dma_free(work->container, memory, PAGE) &&
			     !vfioext_dma_map(work->container, plain, PAGE, 0, &iova) &&
			     !vfioext_dma_unmap(work->container, iova, PAGE);
	munmap(plain, PAGE);
	return NULL;
}

TEST_F(client, threads)
{
	void *(*const functions[])(void *) = {
		use_registers, use_registers, use_registers, use_interrupts, use_memory, use_memory,
	};
	const unsigned int nr = sizeof(functions) / sizeof(functions[0]);
	struct work work[sizeof(functions) / sizeof(functions[0])];
	pthread_t threads[sizeof(functions) / sizeof(functions[0])];
	uint8_t *memory = allocate(0x20000);
	uint64_t iova;
	unsigned int i;

	ASSERT_EQ(0, vfioext_dma_map(self->container, memory, 0x20000, 0, &iova));
	for (i = 0; i < nr; i++) {
		work[i] = (struct work){ self->device, self->container, self->bar, i, false };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, functions[i], &work[i]));
	}
	for (i = 0; i < 50; i++)
		EXPECT_TRUE(moves(self->bar, self->board, memory, iova, 0x20000));
	for (i = 0; i < nr; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_TRUE(work[i].good);
	}
	munmap(memory, 0x20000);
}

/* Threads that are in the middle of something when the server goes. */
TEST_F(client, server_goes_under_threads)
{
	void *(*const functions[])(void *) = { use_registers, use_interrupts, use_memory };
	struct work work[3];
	pthread_t threads[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		work[i] = (struct work){ self->device, self->container, self->bar, i, false };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, functions[i], &work[i]));
	}
	usleep(20000);
	board_stop(self->board);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, REG_FREE));
	EXPECT_TRUE(is_gone(self->device, self->bar));
}

TEST_F(client, leaves_nothing_open)
{
	struct vfioext_region *region;
	unsigned int before, i;
	uint64_t iova;
	void *memory;

	for (i = 0, before = 0; i < 4; i++) {
		vfioext_device_close(self->device);
		while (self->board->detached != i + 1)
			usleep(1000);
		usleep(50000);
		if (!i)
			before = count_files();
		EXPECT_EQ(before, count_files());
		ASSERT_EQ(0, open_board(self->ctx, self->board, NULL, &self->device));
		ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
		ASSERT_EQ(0, vfioext_region_map(region));
		ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->device), PAGE, 0,
					       &memory, &iova));
		munmap(memory, PAGE);
	}
}

TEST_HARNESS_MAIN
