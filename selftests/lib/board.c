// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/user_client.h>
#include <vfioext/user_pci.h>

#include "board.h"
#include "wire.h"

const struct vfioext_area areas[2] = { { 0x1000, 0x1000 }, { 0x3000, 0x2000 } };

static struct board *board_of(struct vfioext_user_device *device)
{
	return vfioext_user_device_data(device);
}

static void set_register(struct board *board, unsigned int offset, uint64_t value)
{
	memcpy(board->registers + offset, &value, sizeof(value));
}

static uint64_t get_register(const struct board *board, unsigned int offset)
{
	uint64_t value;

	memcpy(&value, board->registers + offset, sizeof(value));
	return value;
}

static void dma_done(struct vfioext_user_device *device, int error, void *data)
{
	struct board *board = data;

	(void)device;
	set_register(board, REG_ERROR, (uint64_t)-error);
	set_register(board, REG_DONE, get_register(board, REG_DONE) + 1);
}

static void start_dma(struct board *board, uint64_t command)
{
	struct vfioext_user_sg sg = { get_register(board, REG_IOVA), get_register(board, REG_SIZE) };
	int ret;

	ret = command == TO_MEMORY ?
	      vfioext_user_dma_write(board->device, &sg, 1, board->buffer, dma_done, board) :
	      vfioext_user_dma_read(board->device, &sg, 1, board->buffer, dma_done, board);
	if (ret != -EINPROGRESS)
		dma_done(board->device, ret, board);
}

static int board_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		      size_t count, uint64_t offset)
{
	struct board *board = board_of(device);

	if (region != REGISTERS)
		return -EIO;
	memcpy(buffer, board->registers + offset, count);
	return 0;
}

static int board_write(struct vfioext_user_device *device, unsigned int region,
		       const void *buffer, size_t count, uint64_t offset)
{
	struct board *board = board_of(device);
	uint64_t value;

	if (region != REGISTERS)
		return -EIO;
	if (offset == REG_REFUSE)
		return -EILSEQ;
	memcpy(board->registers + offset, buffer, count);
	set_register(board, REG_WIDTH, count);
	value = get_register(board, offset & ~7ULL);
	if (offset == REG_RAISE)
		vfioext_user_irq_trigger(device, (unsigned int)value >> 16, value & 0xffff);
	if (offset == REG_DMA)
		start_dma(board, value);
	return 0;
}

static int board_reset(struct vfioext_user_device *device)
{
	struct board *board = board_of(device);

	board->resets++;
	return board->reset_error;
}

static void board_attached(struct vfioext_user_device *device)
{
	board_of(device)->attached++;
}

static void board_detached(struct vfioext_user_device *device)
{
	board_of(device)->detached++;
}

static int board_map(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	board_of(device)->maps++;
	if (memory->vaddr)
		board_of(device)->maps_by_file++;
	return 0;
}

static int board_unmap(struct vfioext_user_device *device,
		       const struct vfioext_user_memory *memory)
{
	board_of(device)->maps--;
	if (memory->vaddr)
		board_of(device)->maps_by_file--;
	return 0;
}

static const struct vfioext_user_ops board_ops = {
	.attached = board_attached,
	.detached = board_detached,
	.read = board_read,
	.write = board_write,
	.reset = board_reset,
	.dma_map = board_map,
	.dma_unmap = board_unmap,
};

static void *serve(void *data)
{
	struct board *board = data;
	struct pollfd fds[2] = {
		{ .fd = vfioext_user_fd(board->server), .events = POLLIN },
		{ .fd = board->stop, .events = POLLIN },
	};

	while (!fds[1].revents) {
		poll(fds, 2, -1);
		vfioext_user_dispatch(board->server);
	}
	return NULL;
}

static uint8_t *map_file(size_t size, int *fd)
{
	*fd = make_file(size);
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
}

static int make_bars(struct board *board)
{
	struct vfioext_user_region region = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE, .size = BAR_SIZE, .fd = -1,
	};
	int ret;

	ret = vfioext_user_pci_set_bar(board->device, REGISTERS, 0, &region);
	region.flags |= VFIOEXT_REGION_MMAP;
	region.memory = board->shared;
	region.fd = board->shared_fd;
	ret |= vfioext_user_pci_set_bar(board->device, SHARED, 0, &region);
	region.size = SPARSE_SIZE;
	region.memory = board->holes;
	region.fd = board->sparse_fd;
	region.areas = areas;
	region.nr_areas = 2;
	ret |= vfioext_user_pci_set_bar(board->device, SPARSE, 0, &region);
	region = (struct vfioext_user_region){
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE, .size = LARGE_SIZE, .fd = -1,
		.memory = board->large, .type = 0x77, .subtype = 0x88,
	};
	return ret | vfioext_user_device_set_region(board->device, LARGE, &region);
}

static int make_device(struct board *board)
{
	static const struct vfioext_user_pci pci = {
		.vendor = 0x1234, .device = 0x5678, .subsystem_vendor = 0x9abc, .subsystem = 0xdef0,
		.class_code = 0x010203, .interrupt_pin = 1, .express = true,
	};
	static const struct vfioext_user_msix msix = {
		.vectors = NR_MSIX, .table_offset = REG_TABLE, .pba_offset = REG_TABLE + 0x4000,
	};

	if (vfioext_user_device_new(board->server, &board_ops, board, &board->device) ||
	    vfioext_user_pci_init(board->device, &pci) || make_bars(board))
		return -1;
	return vfioext_user_pci_add_msi(board->device, NR_MSI) < 0 ||
	       vfioext_user_pci_add_msix(board->device, &msix) < 0;
}

bool board_start(struct board *board)
{
	eventfd_t count;

	eventfd_read(board->stop, &count);
	return !vfioext_user_new(board->ctx, NULL, NULL, &board->server) && !make_device(board) &&
	       !vfioext_user_device_start(board->device, board->path, 0) &&
	       !pthread_create(&board->thread, NULL, serve, board);
}

void board_stop(struct board *board)
{
	if (!board->server)
		return;
	eventfd_write(board->stop, 1);
	pthread_join(board->thread, NULL);
	vfioext_user_free(board->server);
	board->server = NULL;
}

struct board *board_new(const char *name)
{
	struct board *board = calloc(1, sizeof(*board));

	if (!board || vfioext_new(&board->ctx, NULL))
		return NULL;
	snprintf(board->path, sizeof(board->path), "/tmp/vfioext-%s-%d.sock", name, getpid());
	board->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	board->shared = map_file(BAR_SIZE, &board->shared_fd);
	board->sparse = map_file(SPARSE_SIZE, &board->sparse_fd);
	board->holes = calloc(1, SPARSE_SIZE);
	board->large = calloc(1, LARGE_SIZE);
	board->buffer = calloc(1, BUFFER_SIZE);
	return board_start(board) ? board : NULL;
}

void board_free(struct board *board)
{
	board_stop(board);
	munmap(board->shared, BAR_SIZE);
	munmap(board->sparse, SPARSE_SIZE);
	close(board->shared_fd);
	close(board->sparse_fd);
	close(board->stop);
	free(board->holes);
	free(board->large);
	free(board->buffer);
	vfioext_free(board->ctx);
	free(board);
}

int open_board(struct vfioext *ctx, const struct board *board,
	       const struct vfioext_open *how, struct vfioext_device **device)
{
	char name[80];

	snprintf(name, sizeof(name), "user:%s", board->path);
	return vfioext_device_open(ctx, name, how, device);
}

void *allocate(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int dma(const struct vfioext_region *bar, uint64_t iova, uint64_t size, uint64_t command)
{
	uint64_t done = vfioext_read64(bar, REG_DONE);
	int i;

	vfioext_write64(bar, REG_IOVA, iova);
	vfioext_write64(bar, REG_SIZE, size);
	vfioext_write64(bar, REG_DMA, command);
	for (i = 0; i < 5000 && vfioext_read64(bar, REG_DONE) == done; i++)
		usleep(1000);
	return i < 5000 ? -(int)vfioext_read64(bar, REG_ERROR) : -ETIMEDOUT;
}

static void fill(uint8_t *bytes, size_t size, unsigned int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * seed + (i >> 12) + (i >> 20) + seed);
}

bool moves(const struct vfioext_region *bar, struct board *board, uint8_t *memory,
	   uint64_t iova, size_t size)
{
	uint8_t *copy = malloc(size);
	bool good;

	fill(memory, size, 3);
	memcpy(copy, memory, size);
	good = !dma(bar, iova, size, TO_DEVICE) && !memcmp(board->buffer, copy, size);
	fill(board->buffer, size, 5);
	memcpy(copy, board->buffer, size);
	good = good && !dma(bar, iova, size, TO_MEMORY) && !memcmp(memory, copy, size);
	free(copy);
	return good;
}
