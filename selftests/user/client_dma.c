// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that our client maps for devices: with a file and by messages, for several of
 * them, and for those that change their container.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../../libvfioext/container.h"
#include "../../libvfioext/device.h"

#include "../lib/board_fixture.h"
#include "../lib/wire.h"

TEST_F(client, dma_by_file)
{
	uint64_t iova, other;
	void *memory;

	ASSERT_EQ(0, vfioext_dma_alloc(self->container, 0x4000, 0, &memory, &iova));
	EXPECT_EQ(1, self->board->maps_by_file);
	EXPECT_TRUE(moves(self->bar, self->board, memory, iova, 0x4000));
	/* A part of it once more, elsewhere. */
	EXPECT_EQ(0, vfioext_dma_map(self->container, (uint8_t *)memory + 0x1000, 0x2000,
				     VFIOEXT_DMA_READ, &other));
	EXPECT_EQ(2, self->board->maps_by_file);
	((uint8_t *)memory)[0x1000] = 0x5a;
	EXPECT_EQ(0, dma(self->bar, other, 0x2000, TO_DEVICE));
	EXPECT_EQ(0x5a, self->board->buffer[0]);
	EXPECT_EQ(-EACCES, dma(self->bar, other, 0x1000, TO_MEMORY));
	EXPECT_EQ(0, vfioext_dma_unmap(self->container, other, 0x2000));
	EXPECT_EQ(0, vfioext_dma_free(self->container, memory, 0x4000));
	EXPECT_EQ(0, self->board->maps);
	EXPECT_EQ(-ENOENT, dma(self->bar, iova, 16, TO_DEVICE));
	ASSERT_EQ(0, vfioext_dma_alloc(self->container, 0x200000, VFIOEXT_DMA_HUGE, &memory, &iova));
	EXPECT_TRUE(moves(self->bar, self->board, memory, iova, 0x200000));
}

TEST_F(client, dma_by_messages)
{
	uint8_t *memory = allocate(BUFFER_SIZE);
	uint64_t iova = 0xfffffffff0000000, other;
	void *constant;

	ASSERT_EQ(0, vfioext_dma_map(self->container, memory, BUFFER_SIZE / 2, VFIOEXT_DMA_FIXED,
				     &iova));
	other = iova + BUFFER_SIZE / 2;
	ASSERT_EQ(0, vfioext_dma_map(self->container, memory + BUFFER_SIZE / 2, BUFFER_SIZE / 2,
				     VFIOEXT_DMA_FIXED, &other));
	EXPECT_EQ(2, self->board->maps);
	EXPECT_EQ(0, self->board->maps_by_file);
	/* Over both, in several messages, and from the middle of one. */
	EXPECT_TRUE(moves(self->bar, self->board, memory, iova, BUFFER_SIZE));
	EXPECT_TRUE(moves(self->bar, self->board, memory + 0x1234, iova + 0x1234, 0x100001));
	EXPECT_EQ(0, vfioext_dma_unmap(self->container, iova, BUFFER_SIZE));
	EXPECT_EQ(0, self->board->maps);
	EXPECT_EQ(-ENOENT, dma(self->bar, iova, 16, TO_DEVICE));
	/* What cannot be written to is not to be written to by us. */
	constant = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(-EFAULT, vfioext_dma_map(self->container, constant, PAGE, 0, &iova));
	EXPECT_EQ(0, vfioext_dma_map(self->container, constant, PAGE, VFIOEXT_DMA_READ, &iova));
	EXPECT_EQ(0, dma(self->bar, iova, 16, TO_DEVICE));
	munmap(memory, BUFFER_SIZE);
	EXPECT_EQ(-EFAULT, vfioext_dma_map(self->container, memory, PAGE, 0, &iova));
	munmap(constant, PAGE);
}

TEST_F(client, limits)
{
	struct vfioext_dma_limits limits;
	struct vfioext_iova_range range;
	uint64_t iova = PAGE, again = PAGE;
	void *memory = allocate(4 * PAGE);

	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &limits));
	EXPECT_EQ(PAGE, limits.page_sizes);
	EXPECT_EQ(65535, limits.mappings_left);
	EXPECT_EQ(UINT64_MAX, limits.locked_left);
	EXPECT_EQ(1, vfioext_dma_get_ranges(self->container, &range, 1));
	EXPECT_EQ(UINT64_MAX, range.last);
	EXPECT_FALSE(limits.dirty_tracking);
	EXPECT_EQ(0, vfioext_dma_map(self->container, memory, PAGE, VFIOEXT_DMA_FIXED, &iova));
	EXPECT_EQ(0, vfioext_dma_map(self->container, memory, PAGE, VFIOEXT_DMA_FIXED, &again));
	EXPECT_EQ(-EEXIST, vfioext_dma_map(self->container, memory, 2 * PAGE, VFIOEXT_DMA_FIXED,
					   &again));
	EXPECT_EQ(-EINVAL, vfioext_dma_map(self->container, memory, PAGE / 2, 0, &again));
	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &limits));
	EXPECT_EQ(65534, limits.mappings_left);
	EXPECT_EQ(1, limits.mapped);
	EXPECT_EQ(-ENOTSUP, vfioext_dma_track(self->container, true));
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	EXPECT_EQ(0, self->board->maps);
	munmap(memory, 4 * PAGE);
}

TEST_F(client, several_in_one_container)
{
	struct vfioext_open how = { .container = self->container };
	struct vfioext_device *second;
	struct vfioext_region *bar;
	uint64_t iova, other;
	uint8_t *plain;
	void *memory;

	plain = allocate(PAGE);
	self->second = board_new("second");
	ASSERT_NE(NULL, self->second);
	ASSERT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	ASSERT_EQ(0, open_board(self->ctx, self->second, &how, &second));
	EXPECT_EQ(1, self->second->maps_by_file);
	ASSERT_EQ(0, vfioext_dma_map(self->container, plain, PAGE, 0, &other));
	EXPECT_EQ(2, self->board->maps);
	EXPECT_EQ(2, self->second->maps);
	ASSERT_EQ(0, vfioext_region_get(second, REGISTERS, &bar));
	EXPECT_TRUE(moves(bar, self->second, memory, iova, PAGE));
	EXPECT_TRUE(moves(self->bar, self->board, memory, iova, PAGE));
	EXPECT_TRUE(moves(bar, self->second, plain, other, PAGE));
	EXPECT_TRUE(moves(self->bar, self->board, plain, other, PAGE));
	EXPECT_EQ(0, vfioext_dma_unmap(self->container, other, PAGE));
	EXPECT_EQ(1, self->board->maps);
	EXPECT_EQ(1, self->second->maps);
	/* One that is gone keeps nobody from mapping for the other. */
	board_stop(self->second);
	EXPECT_EQ(0, vfioext_dma_map(self->container, plain, PAGE, 0, &other));
	EXPECT_TRUE(vfioext_device_lost(second));
	EXPECT_TRUE(moves(self->bar, self->board, plain, other, PAGE));
	EXPECT_EQ(0, vfioext_dma_unmap(self->container, other, PAGE));
	vfioext_device_close(second);
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	munmap(plain, PAGE);
}

TEST_F(client, moves)
{
	struct vfioext_container *other;
	uint64_t iova, theirs = 0x40000000;
	struct vfioext_dma_limits limits;
	void *memory, *plain;

	plain = allocate(PAGE);
	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_USER, &other));
	ASSERT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	EXPECT_EQ(1, self->board->maps);
	ASSERT_EQ(0, vfioext_device_move(self->device, other));
	EXPECT_EQ(0, self->board->maps);
	EXPECT_EQ(other, vfioext_device_container(self->device));
	EXPECT_EQ(-ENOENT, dma(self->bar, iova, 16, TO_DEVICE));
	ASSERT_EQ(0, vfioext_dma_map(other, plain, PAGE, VFIOEXT_DMA_FIXED, &theirs));
	EXPECT_TRUE(moves(self->bar, self->board, plain, theirs, PAGE));
	/* To where something is mapped already, while no device is there. */
	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_USER, &self->container));
	ASSERT_EQ(0, vfioext_device_move(self->device, self->container));
	EXPECT_EQ(0, self->board->maps);
	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &limits));
	EXPECT_EQ(65535, limits.mappings_left);
	ASSERT_EQ(0, vfioext_device_move(self->device, other));
	EXPECT_EQ(1, self->board->maps);
	EXPECT_TRUE(moves(self->bar, self->board, plain, theirs, PAGE));
	EXPECT_EQ(0, vfioext_container_free(self->container));
	EXPECT_EQ(-EBUSY, vfioext_container_free(other));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_container_free(other));
	munmap(plain, PAGE);
	munmap(memory, PAGE);
}

TEST_F(client, kinds_do_not_mix)
{
	struct vfioext_open how = { .backend = VFIOEXT_BACKEND_USER };
	struct vfioext_share *share;
	struct vfioext_share_options options = { .path = "/tmp/vfioext-client-share.sock" };
	struct vfioext_container *kernel = container_alloc(self->ctx, VFIOEXT_BACKEND_CONTAINER);
	struct vfioext_device of_kernel = { .ctx = self->ctx, .fd = -1 };
	struct vfioext_device *device;

	self->second = board_new("second");
	ASSERT_NE(NULL, self->second);
	ASSERT_NE(NULL, kernel);
	how.container = kernel;
	EXPECT_EQ(-EXDEV, open_board(self->ctx, self->second, &how, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "VFIOEXT_BACKEND_USER"));
	EXPECT_EQ(-EXDEV, container_add_device(self->container, &of_kernel));
	EXPECT_EQ(-EXDEV, vfioext_device_move(self->device, kernel));
	ASSERT_EQ(0, vfioext_share_new(self->ctx, &options, &share));
	EXPECT_EQ(-EOPNOTSUPP, vfioext_share_add(share, self->container));
	vfioext_share_free(share);
	how.container = NULL;
	how.vf_token = "a token";
	EXPECT_EQ(-EINVAL, open_board(self->ctx, self->second, &how, &device));
	vfioext_container_free(kernel);
}

TEST_HARNESS_MAIN
