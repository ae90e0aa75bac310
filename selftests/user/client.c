// SPDX-License-Identifier: GPL-2.0-only
/* Our client and our server: a device that is made here, and opened as any other. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/user_client.h>
#include <vfioext/user_pci.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../../libvfioext/container.h"
#include "../../libvfioext/device.h"

#define PAGE 4096
#define REGISTERS 0
#define SHARED 2
#define SPARSE 4
#define LARGE 9
#define NR_REGIONS 10
#define BAR_SIZE 0x10000
#define SPARSE_SIZE 0x8000
#define LARGE_SIZE 0x280000
#define NR_MSIX 100
#define NR_MSI 4
#define BUFFER_SIZE 0x300000

/* Registers: what is written to others can be read again. */
enum {
	REG_RAISE = 0x00,
	REG_IOVA = 0x08,
	REG_SIZE = 0x10,
	REG_DMA = 0x18,
	REG_DONE = 0x20,
	REG_ERROR = 0x28,
	REG_REFUSE = 0x30,
	REG_WIDTH = 0x38,
	REG_FREE = 0x1000,
	REG_TABLE = 0x8000,
};

#define TO_MEMORY 1
#define TO_DEVICE 2

static const struct vfioext_area areas[] = { { 0x1000, 0x1000 }, { 0x3000, 0x2000 } };

/*
 * A device, and the thread that serves it.
 * @registers: REG_*
 * @shared: a region that clients map
 * @sparse: one that they map in part; what comes by messages is @holes
 * @buffer: for DMA
 */
struct board {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct vfioext_user_device *device;
	pthread_t thread;
	int stop;
	char path[64];
	uint8_t registers[BAR_SIZE];
	int shared_fd;
	uint8_t *shared;
	int sparse_fd;
	uint8_t *sparse;
	uint8_t *holes;
	uint8_t *large;
	uint8_t *buffer;
	atomic_uint resets;
	atomic_uint attached;
	atomic_uint detached;
	atomic_uint maps;
	atomic_uint maps_by_file;
	int reset_error;
};

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

static void board_unmap(struct vfioext_user_device *device,
			const struct vfioext_user_memory *memory)
{
	board_of(device)->maps--;
	if (memory->vaddr)
		board_of(device)->maps_by_file--;
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

static uint8_t *make_file(size_t size, int *fd)
{
	*fd = memfd_create("board", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)size))
		exit(EXIT_FAILURE);
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

static bool board_start(struct board *board)
{
	eventfd_t count;

	eventfd_read(board->stop, &count);
	return !vfioext_user_new(board->ctx, NULL, NULL, &board->server) && !make_device(board) &&
	       !vfioext_user_device_start(board->device, board->path, 0) &&
	       !pthread_create(&board->thread, NULL, serve, board);
}

/* As if it were killed: nobody is told anything. */
static void board_stop(struct board *board)
{
	if (!board->server)
		return;
	eventfd_write(board->stop, 1);
	pthread_join(board->thread, NULL);
	vfioext_user_free(board->server);
	board->server = NULL;
}

static struct board *board_new(const char *name)
{
	struct board *board = calloc(1, sizeof(*board));

	if (!board || vfioext_new(&board->ctx, NULL))
		return NULL;
	snprintf(board->path, sizeof(board->path), "/tmp/vfioext-%s-%d.sock", name, getpid());
	board->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	board->shared = make_file(BAR_SIZE, &board->shared_fd);
	board->sparse = make_file(SPARSE_SIZE, &board->sparse_fd);
	board->holes = calloc(1, SPARSE_SIZE);
	board->large = calloc(1, LARGE_SIZE);
	board->buffer = calloc(1, BUFFER_SIZE);
	return board_start(board) ? board : NULL;
}

static void board_free(struct board *board)
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

static int open_board(struct vfioext *ctx, const struct board *board,
		      const struct vfioext_open *how, struct vfioext_device **device)
{
	char name[80];

	snprintf(name, sizeof(name), "user:%s", board->path);
	return vfioext_device_open(ctx, name, how, device);
}

FIXTURE(client) {
	struct board *board;
	struct board *second;
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_container *container;
	struct vfioext_region *bar;
};

FIXTURE_SETUP(client)
{
	self->board = board_new("client");
	ASSERT_NE(NULL, self->board);
	self->second = NULL;
	ASSERT_EQ(0, vfioext_new(&self->ctx, NULL));
	ASSERT_EQ(0, open_board(self->ctx, self->board, NULL, &self->device));
	self->container = vfioext_device_container(self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, REGISTERS, &self->bar));
}

FIXTURE_TEARDOWN(client)
{
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	board_free(self->board);
	if (self->second)
		board_free(self->second);
}

TEST_F(client, is_what_it_is)
{
	const struct vfioext_device_info *info = vfioext_device_info(self->device);

	EXPECT_EQ(0, strncmp(info->name, "user:/tmp/vfioext-client-", 25));
	EXPECT_STREQ("user", info->bus);
	EXPECT_STREQ("vfio-user", info->driver);
	EXPECT_TRUE(info->vfio);
	EXPECT_EQ(-1, info->group);
	EXPECT_EQ(0x1234, info->vendor);
	EXPECT_EQ(0x5678, info->device);
	EXPECT_EQ(0x9abc, info->subsystem_vendor);
	EXPECT_EQ(0xdef0, info->subsystem_device);
	EXPECT_EQ(0x010203, info->class_code);
	EXPECT_TRUE(vfioext_device_is_pci(self->device));
	EXPECT_EQ(NR_REGIONS, vfioext_device_nr_regions(self->device));
	EXPECT_EQ(5, vfioext_device_nr_irqs(self->device));
	EXPECT_EQ(-1, vfioext_device_fd(self->device));
	EXPECT_EQ(-1, vfioext_device_group_fd(self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_USER, vfioext_container_backend(self->container));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

TEST_F(client, a_path_that_is_long)
{
	struct vfioext_device *device;
	const char *name;

	vfioext_device_close(self->device);
	self->device = NULL;
	board_stop(self->board);
	snprintf(self->board->path, sizeof(self->board->path),
		 "/tmp/vfioext-with-a-name-that-is-too-long-for-a-device-%d", getpid());
	ASSERT_TRUE(board_start(self->board));
	ASSERT_EQ(0, open_board(self->ctx, self->board, NULL, &device));
	name = vfioext_device_info(device)->name;
	EXPECT_EQ(VFIOEXT_NAME_SIZE - 1, strlen(name));
	EXPECT_EQ(0, strncmp(name, "user:...", 8));
	EXPECT_STREQ(self->board->path + strlen(self->board->path) - 55, name + 8);
	vfioext_device_close(device);
}

TEST_F(client, registers)
{
	uint8_t bytes[16], back[16];
	unsigned int i;

	vfioext_write64(self->bar, REG_FREE, 0x1122334455667788);
	EXPECT_EQ(0x1122334455667788, vfioext_read64(self->bar, REG_FREE));
	EXPECT_EQ(8, vfioext_read64(self->bar, REG_WIDTH));
	EXPECT_EQ(0x55667788, vfioext_read32(self->bar, REG_FREE));
	EXPECT_EQ(0x1122, vfioext_read16(self->bar, REG_FREE + 6));
	EXPECT_EQ(0x77, vfioext_read8(self->bar, REG_FREE + 1));
	vfioext_write32(self->bar, REG_FREE, 0xaabbccdd);
	EXPECT_EQ(4, vfioext_read64(self->bar, REG_WIDTH));
	vfioext_write16(self->bar, REG_FREE, 0xeeff);
	EXPECT_EQ(2, vfioext_read64(self->bar, REG_WIDTH));
	vfioext_write8(self->bar, REG_FREE, 0x99);
	EXPECT_EQ(1, vfioext_read64(self->bar, REG_WIDTH));
	EXPECT_EQ(0x11223344aabbee99, vfioext_read64(self->bar, REG_FREE));
	/* In pieces as the kernel has them: each may be a register. */
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + 1);
	EXPECT_EQ(0, vfioext_region_write(self->bar, bytes, 15, REG_FREE + 1));
	EXPECT_EQ(8, vfioext_read64(self->bar, REG_WIDTH));
	EXPECT_EQ(0, vfioext_region_read(self->bar, back, 15, REG_FREE + 1));
	EXPECT_EQ(0, memcmp(bytes, back, 15));
	EXPECT_EQ(-EINVAL, vfioext_region_read(self->bar, back, 2, BAR_SIZE - 1));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, BAR_SIZE));
	EXPECT_EQ(-ENOTSUP, vfioext_region_map(self->bar));
}

TEST_F(client, errors_of_writes)
{
	uint32_t value = 1;

	/* One that nobody waits for is refused in silence. */
	vfioext_write32(self->bar, REG_REFUSE, value);
	EXPECT_EQ(-EILSEQ, vfioext_region_write(self->bar, &value, sizeof(value), REG_REFUSE));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

TEST_F(client, more_than_one_message)
{
	uint8_t *bytes = malloc(LARGE_SIZE), *back = malloc(LARGE_SIZE);
	struct vfioext_region *region;
	size_t i;

	ASSERT_EQ(0, vfioext_region_get(self->device, LARGE, &region));
	EXPECT_EQ(LARGE_SIZE, region->size);
	EXPECT_EQ(0x77, region->type);
	EXPECT_EQ(0x88, region->subtype);
	for (i = 0; i < LARGE_SIZE; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 12) + (i >> 20));
	EXPECT_EQ(0, vfioext_region_write(region, bytes, LARGE_SIZE, 0));
	EXPECT_EQ(0, memcmp(bytes, self->board->large, LARGE_SIZE));
	EXPECT_EQ(0, vfioext_region_read(region, back, LARGE_SIZE, 0));
	EXPECT_EQ(0, memcmp(bytes, back, LARGE_SIZE));
	memset(back, 0, LARGE_SIZE);
	EXPECT_EQ(0, vfioext_region_read(region, back, LARGE_SIZE - 5, 3));
	EXPECT_EQ(0, memcmp(bytes + 3, back, LARGE_SIZE - 5));
	free(bytes);
	free(back);
}

TEST_F(client, posted_writes_come_in_order)
{
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		vfioext_write32(self->bar, REG_FREE + i % 64 * 4, i);
		if (i % 1000 == 0)
			ASSERT_EQ(i, vfioext_read32(self->bar, REG_FREE + i % 64 * 4));
	}
	EXPECT_EQ(i - 1, vfioext_read32(self->bar, REG_FREE + (i - 1) % 64 * 4));
	/* They come, too, when nothing follows. */
	vfioext_write8(self->bar, REG_FREE, 0x42);
	for (i = 0; i < 1000 && self->board->registers[REG_FREE] != 0x42; i++)
		usleep(1000);
	EXPECT_GT(1000, i);
}

TEST_F(client, mapped_region)
{
	struct vfioext_region *region;

	ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
	EXPECT_EQ(1, region->nr_areas);
	vfioext_write32(region, 0x100, 1);
	EXPECT_EQ(1, vfioext_read32(region, 0x100));
	ASSERT_EQ(0, vfioext_region_map(region));
	EXPECT_NE(0, region->fast_size);
	EXPECT_EQ(1, vfioext_read32(region, 0x100));
	vfioext_write32(region, 0x100, 2);
	EXPECT_EQ(2, self->board->shared[0x100]);
	self->board->shared[0x101] = 3;
	EXPECT_EQ(0x302, vfioext_read32(region, 0x100));
	EXPECT_EQ(region->base + 0x100, vfioext_region_pointer(region, 0x100, 4));
	/* What is not mapped is in order with what is. */
	vfioext_write32(self->bar, REG_FREE, 5);
	EXPECT_EQ(5, self->board->registers[REG_FREE]);
	vfioext_region_unmap(region);
	EXPECT_EQ(NULL, region->base);
	EXPECT_EQ(0x302, vfioext_read32(region, 0x100));
	EXPECT_EQ(0, vfioext_region_map(region));
}

static bool is_mapped(unsigned int offset)
{
	return (offset >= 0x1000 && offset < 0x2000) || (offset >= 0x3000 && offset < 0x5000);
}

TEST_F(client, sparse_region)
{
	uint8_t back[SPARSE_SIZE], bytes[SPARSE_SIZE];
	struct vfioext_region *region;
	unsigned int i;

	ASSERT_EQ(0, vfioext_region_get(self->device, SPARSE, &region));
	ASSERT_EQ(2, region->nr_areas);
	EXPECT_EQ(0, memcmp(areas, region->areas, sizeof(areas)));
	ASSERT_EQ(0, vfioext_region_map(region));
	for (i = 0; i < SPARSE_SIZE; i++)
		bytes[i] = (uint8_t)(i + (i >> 8));
	/* Through holes and areas. */
	EXPECT_EQ(0, vfioext_region_write(region, bytes, SPARSE_SIZE, 0));
	for (i = 0; i < SPARSE_SIZE; i++) {
		ASSERT_EQ(is_mapped(i) ? bytes[i] : 0, self->board->sparse[i]);
		ASSERT_EQ(is_mapped(i) ? 0 : bytes[i], self->board->holes[i]);
	}
	EXPECT_EQ(0, vfioext_region_read(region, back, SPARSE_SIZE, 0));
	EXPECT_EQ(0, memcmp(bytes, back, SPARSE_SIZE));
	EXPECT_EQ(NULL, vfioext_region_pointer(region, 0, 4));
	EXPECT_EQ(NULL, vfioext_region_pointer(region, 0x1ffc, 8));
	EXPECT_NE(NULL, vfioext_region_pointer(region, 0x1ffc, 4));
	EXPECT_NE(NULL, vfioext_region_pointer(region, 0x3000, 0x2000));
	/* Also where it begins in the middle of one, and ends in another. */
	EXPECT_EQ(0, vfioext_region_read(region, back, 0x2345, 0x1801));
	EXPECT_EQ(0, memcmp(bytes + 0x1801, back, 0x2345));
	vfioext_write32(region, 0x2000, 0x12345678);
	EXPECT_EQ(0x12345678, vfioext_read32(region, 0x2000));
}

/* A file that is made shorter under it is the server's own fault, and no end of ours. */
TEST_F(client, region_without_its_file)
{
	struct vfioext_region *region;

	ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
	ASSERT_EQ(0, vfioext_region_map(region));
	vfioext_write32(region, 0x8000, 1);
	ASSERT_EQ(0, ftruncate(self->board->shared_fd, 0x1000));
	EXPECT_EQ(0, vfioext_read32(region, 0x8000));
	vfioext_write32(region, 0x9000, 7);
	vfioext_region_unmap(region);
	ASSERT_EQ(0, ftruncate(self->board->shared_fd, BAR_SIZE));
}

TEST_F(client, configuration_space)
{
	unsigned int id = 0;
	int at, nr = 0;

	EXPECT_EQ(0x1234, vfioext_config_read(self->device, PCI_VENDOR_ID, 2));
	EXPECT_EQ(0x56781234, vfioext_config_read(self->device, PCI_VENDOR_ID, 4));
	at = vfioext_config_capability(self->device, PCI_CAP_ID_MSIX);
	ASSERT_LT(0, at);
	EXPECT_EQ(NR_MSIX - 1, vfioext_config_read(self->device, at + PCI_MSIX_FLAGS, 2) &
			       PCI_MSIX_FLAGS_QSIZE);
	EXPECT_LT(0, vfioext_config_capability(self->device, PCI_CAP_ID_MSI));
	EXPECT_LT(0, vfioext_config_capability(self->device, PCI_CAP_ID_EXP));
	EXPECT_EQ(0, vfioext_config_capability(self->device, PCI_CAP_ID_AGP));
	for (at = 0; (at = vfioext_config_next_capability(self->device, at, false, &id)) > 0;)
		nr++;
	EXPECT_EQ(3, nr);
	EXPECT_EQ(0, vfioext_config_write(self->device, PCI_INTERRUPT_LINE, 1, 11));
	EXPECT_EQ(11, vfioext_config_read(self->device, PCI_INTERRUPT_LINE, 1));
	EXPECT_EQ(0, vfioext_device_set_master(self->device, true));
	EXPECT_TRUE(vfioext_user_pci_is_master(self->board->device));
	vfioext_device_close(self->device);
	self->device = NULL;
	while (!self->board->detached)
		usleep(1000);
	EXPECT_FALSE(vfioext_user_pci_is_master(self->board->device));
}

static void raise_irq(const struct vfioext_region *bar, unsigned int irq, unsigned int vector)
{
	vfioext_write64(bar, REG_RAISE, irq << 16 | vector);
	/* The answer to this comes when that is done. */
	vfioext_read64(bar, REG_WIDTH);
}

static unsigned int count_of(int fd)
{
	eventfd_t count;

	return eventfd_read(fd, &count) ? 0 : (unsigned int)count;
}

TEST_F(client, pin)
{
	int fd = eventfd(0, EFD_NONBLOCK), unmask = eventfd(0, EFD_NONBLOCK), i;
	struct vfioext_irq_info info;

	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_INTX, &info));
	EXPECT_EQ(1, info.count);
	EXPECT_TRUE(info.maskable);
	EXPECT_TRUE(info.automasked);
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_INTX, 0, &fd, 1));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(1, count_of(fd));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(0, count_of(fd));
	EXPECT_EQ(0, vfioext_irq_unmask(self->device, VFIOEXT_IRQ_INTX, 0));
	EXPECT_EQ(1, count_of(fd));
	EXPECT_EQ(0, vfioext_irq_unmask(self->device, VFIOEXT_IRQ_INTX, 0));
	EXPECT_EQ(0, vfioext_irq_mask(self->device, VFIOEXT_IRQ_INTX, 0));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(0, count_of(fd));
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, unmask));
	eventfd_write(unmask, 1);
	for (i = 0; i < 1000 && !count_of(fd); i++)
		usleep(1000);
	EXPECT_GT(1000, i);
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, -1));
	EXPECT_EQ(0, vfioext_irq_trigger(self->device, VFIOEXT_IRQ_INTX, 0));
	EXPECT_EQ(1, count_of(fd));
	EXPECT_EQ(0, vfioext_irq_disable(self->device, VFIOEXT_IRQ_INTX));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(0, count_of(fd));
	close(fd);
	close(unmask);
}

/* More than go with one message. */
TEST_F(client, many_vectors)
{
	int fds[NR_MSIX], some[3], closed = -1, bad = 1000000;
	struct vfioext_irq_info info;
	unsigned int i;

	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_MSIX, &info));
	EXPECT_EQ(NR_MSIX, info.count);
	for (i = 0; i < NR_MSIX; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 0, fds, 40));
	EXPECT_EQ(-EBUSY, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, fds, 1));
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 40, fds + 40, NR_MSIX - 40));
	for (i = 0; i < NR_MSIX; i++) {
		count_of(fds[i]);
		raise_irq(self->bar, 2, i);
		EXPECT_EQ(1, count_of(fds[i]));
	}
	/* One in the middle is taken away, and the others go on. */
	some[0] = fds[50];
	some[1] = closed;
	some[2] = fds[52];
	EXPECT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 50, some, 3));
	for (i = 49; i < 54; i++)
		raise_irq(self->bar, 2, i);
	for (i = 49; i < 54; i++)
		EXPECT_EQ(i == 51 ? 0 : 1, count_of(fds[i]));
	/* What cannot be set leaves all as it was, and the connection, too. */
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 10, &bad, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, NR_MSIX, fds, 1));
	count_of(fds[10]);
	raise_irq(self->bar, 2, 10);
	EXPECT_EQ(1, count_of(fds[10]));
	EXPECT_EQ(-ENOTSUP, vfioext_irq_mask(self->device, VFIOEXT_IRQ_MSIX, 0));
	EXPECT_EQ(0, vfioext_irq_disable(self->device, VFIOEXT_IRQ_MSIX));
	raise_irq(self->bar, 2, 3);
	EXPECT_EQ(0, count_of(fds[3]));
	EXPECT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, fds, NR_MSI));
	raise_irq(self->bar, 1, 3);
	EXPECT_EQ(1, count_of(fds[3]));
	for (i = 0; i < NR_MSIX; i++)
		close(fds[i]);
}

TEST_F(client, reset)
{
	EXPECT_EQ(0, vfioext_device_reset(self->device));
	EXPECT_EQ(1, self->board->resets);
	self->board->reset_error = -EIO;
	EXPECT_EQ(-EIO, vfioext_device_reset(self->device));
	EXPECT_EQ(-ENOTSUP, vfioext_device_hot_reset(self->device));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

/* Return: the device's error. */
static int dma(const struct vfioext_region *bar, uint64_t iova, uint64_t size, uint64_t command)
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

/* There and back again. */
static bool moves(const struct vfioext_region *bar, struct board *board, uint8_t *memory,
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

static void *allocate(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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
	uint64_t iova = PAGE, again = PAGE;
	void *memory = allocate(4 * PAGE);

	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &limits));
	EXPECT_EQ(PAGE, limits.page_sizes);
	EXPECT_EQ(65535, limits.mappings_left);
	EXPECT_EQ(UINT64_MAX, limits.locked_left);
	EXPECT_EQ(1, limits.nr_ranges);
	EXPECT_EQ(UINT64_MAX, limits.ranges[0].last);
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

TEST_F(client, one_client_at_a_time)
{
	struct vfioext_device *device;

	EXPECT_EQ(-EBUSY, open_board(self->ctx, self->board, NULL, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "another client"));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

static bool is_readable(int fd)
{
	struct pollfd poll_for = { .fd = fd, .events = POLLIN };

	return poll(&poll_for, 1, 1000) == 1;
}

struct told {
	int calls;
	uint32_t id;
	bool lost;
	int answer;
};

static int on_removal(struct vfioext_device *device, uint32_t id, void *data)
{
	struct told *told = data;

	told->calls++;
	told->id = id;
	told->lost = vfioext_device_lost(device);
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
	vfioext_device_let_go(self->device);
	EXPECT_TRUE(is_gone(self->device, self->bar));
	while (!self->board->detached)
		usleep(1000);
}

TEST_F(client, nobody_listens)
{
	struct vfioext_device *device;
	char name[200] = "user:", path[80];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT_EQ(-ENOENT, vfioext_device_open(self->ctx, "user:/tmp/vfioext-none", NULL, &device));
	EXPECT_EQ(-EINVAL, vfioext_device_open(self->ctx, name, NULL, &device));
	memset(name + 5, 'x', 190);
	EXPECT_EQ(-ENAMETOOLONG, vfioext_device_open(self->ctx, name, NULL, &device));
	snprintf(path, sizeof(path), "/tmp/vfioext-deaf-%d.sock", getpid());
	strcpy(address.sun_path, path);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	snprintf(name, sizeof(name), "user:%s", path);
	EXPECT_EQ(-ECONNREFUSED, vfioext_device_open(self->ctx, name, NULL, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "nobody listens"));
	unlink(path);
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
			     count_of(fd) >= 1;
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

static unsigned int count_fds(void)
{
	unsigned int nr = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
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
			before = count_fds();
		EXPECT_EQ(before, count_fds());
		ASSERT_EQ(0, open_board(self->ctx, self->board, NULL, &self->device));
		ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
		ASSERT_EQ(0, vfioext_region_map(region));
		ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->device), PAGE, 0,
					       &memory, &iova));
		munmap(memory, PAGE);
	}
}

TEST_HARNESS_MAIN
