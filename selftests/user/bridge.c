// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is opened and served on. It is one of vfio-user itself, so that nothing of the
 * host is needed, and what comes to it is seen.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <vfioext/user_bridge.h>
#include <vfioext/user_client.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define BAR_SIZE 0x10000
#define SMALL_SIZE 0x1000
#define CAPABILITY 0x40
#define VECTORS 64
#define LARGE (256ULL << 20)
#define PIECES (LARGE / (2 << 20))
#define IOVA (4ULL << 30)

/* How long QEMU waits for an answer. */
#define QEMU_MS 5000

/* A server, and the thread that it runs in. */
struct served {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct vfioext_user_device *device;
	int stop;
	pthread_t thread;
};

/*
 * @below: the device; @above: what is served of it
 * @probe: of the device below; @log: of the server above
 * @path: where the one is opened; @socket: where the other is
 */
FIXTURE(bridge) {
	struct served below;
	struct served above;
	struct probe probe;
	struct probe log;
	char path[64];
	char socket[64];
	struct vfioext_device *device;
	struct vfioext_user_bridge *bridge;
	struct wire wire;
};

/* How long it takes to map, how often it can (negative: always), how often it did. */
static atomic_uint delay_ms;
static atomic_int maps_left;
static atomic_uint maps;
static atomic_uint unmask_calls;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int slow_map(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	(void)device;
	(void)memory;
	usleep(delay_ms * 1000);
	if (!maps_left)
		return -ENOMEM;
	maps_left--;
	maps++;
	return 0;
}

static int count_unmap(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	struct probe *probe = vfioext_user_device_data(device);

	(void)memory;
	if (!probe->unmap_error)
		maps--;
	return probe->unmap_error;
}

static void count_masked(struct vfioext_user_device *device, unsigned int irq, unsigned int vector,
			 bool masked)
{
	probe_ops.irq_masked(device, irq, vector, masked);
	unmask_calls += !masked;
}

static struct vfioext_user_ops ops;

static void *serve(void *data)
{
	struct served *served = data;
	struct pollfd fds[2] = {
		{ .fd = vfioext_user_fd(served->server), .events = POLLIN },
		{ .fd = served->stop, .events = POLLIN },
	};

	while (!fds[1].revents) {
		poll(fds, 2, -1);
		vfioext_user_dispatch(served->server);
	}
	return NULL;
}

static bool served_begin(struct served *served, struct probe *log)
{
	served->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return !vfioext_new(&served->ctx, "/nonexistent") &&
	       !vfioext_user_new(served->ctx, log ? probe_log : NULL, log, &served->server);
}

static void served_run(struct served *served)
{
	if (pthread_create(&served->thread, NULL, serve, served))
		abort();
}

static void served_halt(struct served *served)
{
	if (!served->thread)
		return;
	eventfd_write(served->stop, 1);
	pthread_join(served->thread, NULL);
	served->thread = 0;
}

static void served_end(struct served *served)
{
	served_halt(served);
	vfioext_user_free(served->server);
	vfioext_free(served->ctx);
	close(served->stop);
}

static void put(struct probe *probe, unsigned int offset, uint32_t value, size_t size)
{
	memcpy(probe->bytes + offset, &value, size);
}

/*
 * Two BARs in files, and a configuration space with an MSI-X capability. That all of the first
 * can be mapped is said, as the kernel does: what is not said of a table is no obstacle.
 */
static bool make_device(struct vfioext_user_device *device, struct probe *probe)
{
	struct vfioext_user_region region = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE, .size = 0x100, .fd = -1,
	};
	const struct vfioext_area whole = { 0, BAR_SIZE };
	uint32_t pin = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	bool good;

	probe->file = make_file(BAR_SIZE + SMALL_SIZE);
	put(probe, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
	put(probe, PCI_CAPABILITY_LIST, CAPABILITY, 1);
	put(probe, CAPABILITY, PCI_CAP_ID_MSIX, 1);
	put(probe, CAPABILITY + PCI_MSIX_FLAGS, VECTORS - 1, 2);
	vfioext_user_device_set_pci(device, true);
	good = !vfioext_user_device_set_region(device, VFIO_PCI_CONFIG_REGION_INDEX, &region);
	region.flags |= VFIOEXT_REGION_MMAP;
	region.fd = probe->file;
	region.size = BAR_SIZE;
	region.areas = &whole;
	region.nr_areas = 1;
	good &= !vfioext_user_device_set_region(device, 0, &region);
	region.nr_areas = 0;
	region.offset = BAR_SIZE;
	region.size = SMALL_SIZE;
	good &= !vfioext_user_device_set_region(device, 2, &region);
	return good && !vfioext_user_device_set_irq(device, VFIO_PCI_INTX_IRQ_INDEX, 1, pin) &&
	       !vfioext_user_device_set_irq(device, VFIO_PCI_MSIX_IRQ_INDEX, VECTORS,
					    VFIO_IRQ_INFO_EVENTFD);
}

FIXTURE_SETUP(bridge)
{
	delay_ms = 0;
	maps_left = -1;
	maps = 0;
	unmask_calls = 0;
	ops = probe_ops;
	ops.dma_map = slow_map;
	ops.dma_unmap = count_unmap;
	ops.irq_masked = count_masked;
	memset(self, 0, sizeof(*self));
	self->wire.fd = -1;
	snprintf(self->socket, sizeof(self->socket), "/tmp/vfioext-bridged-%d.sock", getpid());
	snprintf(self->path, sizeof(self->path), "user:/tmp/vfioext-bridge-%d.sock", getpid());
	ASSERT_TRUE(served_begin(&self->below, NULL));
	ASSERT_TRUE(served_begin(&self->above, &self->log));
	ASSERT_EQ(0, vfioext_user_device_new(self->below.server, &ops, &self->probe,
					     &self->below.device));
	ASSERT_TRUE(make_device(self->below.device, &self->probe));
	ASSERT_EQ(0, vfioext_user_device_start(self->below.device, self->path + 5, 0));
}

FIXTURE_TEARDOWN(bridge)
{
	wire_close(&self->wire);
	served_halt(&self->above);
	vfioext_user_bridge_free(self->bridge);
	vfioext_user_free(self->above.server);
	self->above.server = NULL;
	vfioext_device_close(self->device);
	served_end(&self->above);
	served_end(&self->below);
	close(self->probe.file);
}

#define DATA FIXTURE_DATA(bridge)

/* The next client. One before it that has gone is done with then. */
static int attach(DATA *self)
{
	wire_close(&self->wire);
	wire_connect(&self->wire, self->socket, NULL);
	return wire_negotiate(&self->wire, NULL);
}

/* Open the device, serve it on, and attach a client. Return: an error. */
static int begin(DATA *self, unsigned int flags)
{
	int ret;

	served_run(&self->below);
	ret = vfioext_device_open(self->above.ctx, self->path, NULL, &self->device);
	if (!ret)
		ret = vfioext_user_bridge_new(self->above.server, self->device, flags,
					      &self->bridge);
	if (ret)
		return ret;
	self->above.device = vfioext_user_bridge_device(self->bridge);
	ret = vfioext_user_device_start(self->above.device, self->socket, 0);
	if (ret)
		return ret;
	served_run(&self->above);
	return attach(self);
}

/* What is told of a region: the areas, or the whole. Return: how many, an error. */
static int get_areas(struct wire *wire, uint32_t index, struct vfio_region_sparse_mmap_area *areas)
{
	struct {
		struct vfio_region_info info;
		uint8_t room[512];
	} region = { .info = { .argsz = sizeof(region), .index = index } };
	struct vfio_region_info_cap_sparse_mmap sparse;
	int ret = wire_call(wire, VFIO_USER_DEVICE_GET_REGION_INFO, &region, sizeof(region.info));

	if (ret)
		return ret;
	memcpy(&region, wire->body, wire->size);
	if (!(region.info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return wire->nr_fds ? -EBADF : 0;
	if (wire->nr_fds != 1)
		return -ENOENT;
	if (!(region.info.flags & VFIO_REGION_INFO_FLAG_CAPS)) {
		areas[0].offset = 0;
		areas[0].size = region.info.size;
		return 1;
	}
	memcpy(&sparse, wire->body + region.info.cap_offset, sizeof(sparse));
	memcpy(areas, wire->body + region.info.cap_offset + sizeof(sparse),
	       sparse.nr_areas * sizeof(*areas));
	return (int)sparse.nr_areas;
}

#define EXPECT_AREA(area, start, length)		\
	do {						\
		EXPECT_EQ(start, (area).offset);	\
		EXPECT_EQ(length, (area).size);		\
	} while (0)

/* Nothing else of the device is missing. */
TEST_F(bridge, tables_are_not_offered)
{
	struct vfio_region_sparse_mmap_area areas[8];

	put(&self->probe, CAPABILITY + PCI_MSIX_TABLE, 0x3800, 4);
	put(&self->probe, CAPABILITY + PCI_MSIX_PBA, 0x8000, 4);
	ASSERT_EQ(0, begin(self, 0));
	ASSERT_EQ(3, get_areas(&self->wire, 0, areas));
	EXPECT_AREA(areas[0], 0, 0x3000);
	EXPECT_AREA(areas[1], 0x4000, 0x4000);
	EXPECT_AREA(areas[2], 0x9000, 0x7000);
	ASSERT_EQ(1, get_areas(&self->wire, 2, areas));
	EXPECT_AREA(areas[0], 0, SMALL_SIZE);
}

/* A table over the end of a page, at either end of a BAR, and alone in a small one. */
TEST_F(bridge, tables_at_the_edges)
{
	struct vfio_region_sparse_mmap_area areas[8];

	put(&self->probe, CAPABILITY + PCI_MSIX_TABLE, 0xfff0 - VECTORS * PCI_MSIX_ENTRY_SIZE + 16, 4);
	put(&self->probe, CAPABILITY + PCI_MSIX_PBA, 0x10 | 2, 4);
	ASSERT_EQ(0, begin(self, 0));
	ASSERT_EQ(1, get_areas(&self->wire, 0, areas));
	EXPECT_AREA(areas[0], 0, 0xf000);
	EXPECT_EQ(0, get_areas(&self->wire, 2, areas));
}

TEST_F(bridge, tables_side_by_side)
{
	struct vfio_region_sparse_mmap_area areas[8];

	put(&self->probe, CAPABILITY + PCI_MSIX_TABLE, 0, 4);
	put(&self->probe, CAPABILITY + PCI_MSIX_PBA, 0x1ff8, 4);
	ASSERT_EQ(0, begin(self, 0));
	ASSERT_EQ(1, get_areas(&self->wire, 0, areas));
	EXPECT_AREA(areas[0], 0x2000, 0xe000);
}

TEST_F(bridge, nothing_is_offered)
{
	struct vfio_region_sparse_mmap_area areas[8];

	EXPECT_EQ(-EINVAL, vfioext_user_bridge_new(self->above.server, NULL, 2, &self->bridge));
	ASSERT_EQ(0, begin(self, VFIOEXT_USER_BRIDGE_NO_MAP));
	EXPECT_EQ(0, get_areas(&self->wire, 0, areas));
	EXPECT_EQ(0, get_areas(&self->wire, 2, areas));
}

TEST_F(bridge, unmap_fails)
{
	int ram = make_file(4 * PAGE);

	ASSERT_EQ(0, begin(self, 0));
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, 2 * PAGE, MAPPED, ram, 0));
	self->probe.unmap_error = -EBUSY;
	EXPECT_EQ(-EBUSY, wire_unmap(&self->wire, IOVA, 2 * PAGE));
	EXPECT_NE(NULL, strstr(self->log.log, "cannot be unmapped"));
	/* It stays. */
	EXPECT_EQ(-EEXIST, wire_map(&self->wire, IOVA, 2 * PAGE, MAPPED, ram, 0));
	EXPECT_EQ(-EBUSY, wire_unmap_all(&self->wire));
	self->probe.unmap_error = 0;
	EXPECT_EQ(0, wire_unmap(&self->wire, IOVA, 2 * PAGE));
	EXPECT_EQ(0, maps);
	EXPECT_EQ(0, wire_map(&self->wire, IOVA, 4 * PAGE, MAPPED, ram, 0));
	close(ram);
}

/* Of a client that goes nothing stays here, whatever the device says. */
TEST_F(bridge, unmap_fails_as_the_client_goes)
{
	struct vfioext_user_memory *list;
	int ram = make_file(2 * PAGE);
	size_t nr;

	ASSERT_EQ(0, begin(self, 0));
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, 2 * PAGE, MAPPED, ram, 0));
	self->probe.unmap_error = -EBUSY;
	EXPECT_EQ(0, attach(self));
	ASSERT_EQ(0, vfioext_user_device_memory(self->above.device, &list, &nr));
	EXPECT_EQ(0, nr);
	free(list);
	self->probe.unmap_error = 0;
	EXPECT_EQ(0, wire_map(&self->wire, 2 * IOVA, 2 * PAGE, MAPPED, ram, 0));
	close(ram);
}

static uint16_t command_register(struct wire *wire)
{
	uint16_t command = 0;

	if (!wire_read(wire, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 2))
		memcpy(&command, wire->body + sizeof(struct vfio_user_region_access), 2);
	return command;
}

static int write_command(struct wire *wire, uint16_t command)
{
	return wire_write(wire, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, 2);
}

/* Answered before all of it is mapped, and while it goes on; it masters the bus at the end. */
TEST_F(bridge, memory_in_pieces)
{
	int ram = make_file(LARGE);
	long begun, took, longest = 0;
	unsigned int answers = 0;

	ASSERT_EQ(0, begin(self, 0));
	delay_ms = 40;
	begun = now_ms();
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, LARGE, MAPPED, ram, 0));
	took = now_ms() - begun;
	EXPECT_GT(QEMU_MS, took);
	EXPECT_GT(PIECES, maps);
	begun = now_ms();
	ASSERT_EQ(0, write_command(&self->wire, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
	EXPECT_GT(QEMU_MS, now_ms() - begun);
	EXPECT_GT(PIECES, maps);
	EXPECT_EQ(PCI_COMMAND_MEMORY, self->probe.bytes[PCI_COMMAND]);
	EXPECT_EQ(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, command_register(&self->wire));
	while (maps < PIECES) {
		begun = now_ms();
		ASSERT_EQ(0, wire_read(&self->wire, 0, 0, 4));
		took = now_ms() - begun;
		longest = took > longest ? took : longest;
		answers++;
	}
	EXPECT_LT(1, answers);
	EXPECT_GT(QEMU_MS, longest);
	EXPECT_EQ(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, command_register(&self->wire));
	EXPECT_EQ(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, self->probe.bytes[PCI_COMMAND]);
	delay_ms = 0;
	EXPECT_EQ(0, wire_unmap(&self->wire, IOVA, LARGE));
	EXPECT_EQ(0, maps);
	close(ram);
}

/* The client waits for an answer to the last. */
TEST_F(bridge, memory_in_many_maps)
{
	int ram = make_file(LARGE);
	unsigned int i;

	ASSERT_EQ(0, begin(self, 0));
	delay_ms = 40;
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, wire_map(&self->wire, IOVA + i * (LARGE / 8), LARGE / 8, MAPPED, ram,
				      i * (LARGE / 8)));
	EXPECT_GT(PIECES * 3 / 4, maps);
	delay_ms = 0;
	EXPECT_EQ(0, wire_unmap(&self->wire, IOVA, LARGE));
	EXPECT_EQ(0, maps);
	close(ram);
}

/* A device that may use it at once gets it at once, if that can be. */
TEST_F(bridge, memory_of_a_master)
{
	int ram = make_file(LARGE / 4);

	ASSERT_EQ(0, begin(self, 0));
	delay_ms = 40;
	ASSERT_EQ(0, write_command(&self->wire, PCI_COMMAND_MASTER));
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, LARGE / 4, MAPPED, ram, 0));
	EXPECT_EQ(PIECES / 4, maps);
	close(ram);
}

/* Where it is quick there are few pieces. */
TEST_F(bridge, memory_that_is_quick)
{
	int ram = make_file(LARGE);

	ASSERT_EQ(0, begin(self, 0));
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, LARGE, MAPPED, ram, 0));
	EXPECT_GT(PIECES / 2, maps);
	ASSERT_EQ(0, write_command(&self->wire, PCI_COMMAND_MASTER));
	EXPECT_EQ(PCI_COMMAND_MASTER, self->probe.bytes[PCI_COMMAND]);
	EXPECT_EQ(0, wire_unmap(&self->wire, IOVA, LARGE));
	close(ram);
}

TEST_F(bridge, memory_that_goes_before_it_is_mapped)
{
	int ram = make_file(LARGE);

	ASSERT_EQ(0, begin(self, 0));
	delay_ms = 40;
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, LARGE, MAPPED, ram, 0));
	EXPECT_GT(PIECES, maps);
	EXPECT_EQ(0, wire_unmap(&self->wire, IOVA, LARGE));
	EXPECT_EQ(0, maps);
	EXPECT_EQ(0, write_command(&self->wire, PCI_COMMAND_MASTER));
	EXPECT_EQ(PCI_COMMAND_MASTER, self->probe.bytes[PCI_COMMAND]);
	delay_ms = 0;
	EXPECT_EQ(0, wire_map(&self->wire, IOVA, LARGE, MAPPED, ram, 0));
	close(ram);
}

static atomic_uint ever_in_command;

static void note_command(struct vfioext_user_device *device, struct probe *probe)
{
	(void)device;
	ever_in_command |= probe->bytes[PCI_COMMAND];
}

/* The client was told that it is there: the device never gets to use it. */
TEST_F(bridge, memory_that_cannot_be_mapped_after_all)
{
	const struct {
		struct vfio_user_region_access access;
		uint16_t command;
	} master = { { PCI_COMMAND, VFIO_PCI_CONFIG_REGION_INDEX, 2 }, PCI_COMMAND_MASTER };
	int ram = make_file(LARGE);

	ASSERT_EQ(0, begin(self, 0));
	delay_ms = 40;
	maps_left = 50;
	ever_in_command = 0;
	self->probe.on_write = note_command;
	ASSERT_EQ(0, wire_map(&self->wire, IOVA, LARGE, MAPPED, ram, 0));
	wire_put(&self->wire, VFIO_USER_REGION_WRITE, VFIO_USER_COMMAND, &master,
		 sizeof(master.access) + sizeof(master.command), NULL, 0);
	while (wire_get(&self->wire) > 0)
		;
	EXPECT_EQ(0, ever_in_command & PCI_COMMAND_MASTER);
	EXPECT_EQ(0, maps);
	/* At once, if it is known at once. */
	ASSERT_EQ(0, attach(self));
	maps_left = 0;
	EXPECT_EQ(-ENOMEM, wire_map(&self->wire, IOVA, LARGE, MAPPED, ram, 0));
	close(ram);
}

/* What is masked, unmasked and triggered is so in the device. */
TEST_F(bridge, interrupts)
{
	const uint32_t pin = VFIO_PCI_INTX_IRQ_INDEX, vectors = VFIO_PCI_MSIX_IRQ_INDEX;
	int fd = make_eventfd(), unmask = make_eventfd(), i;
	struct wire *wire;

	ASSERT_EQ(0, begin(self, 0));
	wire = &self->wire;
	ASSERT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, pin,
				   0, 1, &fd, 1));
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, pin, 0, 1,
				   NULL, 0));
	EXPECT_EQ(1, self->probe.masked);
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, pin, 0, 1,
				   NULL, 0));
	EXPECT_EQ(1, self->probe.unmasked);
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, pin, 0, 1,
				   NULL, 0));
	EXPECT_EQ(1, eventfd_count(fd));
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, pin, 0,
				   1, &unmask, 1));
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, pin, 0, 1,
				   NULL, 0));
	unmask_calls = 0;
	eventfd_write(unmask, 1);
	for (i = 0; i < 2000 && !unmask_calls; i++)
		usleep(1000);
	EXPECT_EQ(1, unmask_calls);
	/* No longer by it. */
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, pin, 0,
				   1, NULL, 0));
	EXPECT_EQ(-ENOTSUP, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_MASK, pin,
					  0, 1, &fd, 1));
	EXPECT_EQ(-EINVAL, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, vectors,
					 0, 1, NULL, 0));
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, pin, 0, 0,
				   NULL, 0));
	vfioext_user_irq_trigger(self->below.device, pin, 0);
	EXPECT_EQ(0, eventfd_count(fd));
	close(fd);
	close(unmask);
}

/* Vectors that a client gives, and takes away one by one, and those that a bool names. */
TEST_F(bridge, vectors)
{
	struct {
		struct vfio_irq_set set;
		uint8_t bools[3];
	} bools = {
		.set = {
			.argsz = sizeof(bools),
			.flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = 1, .count = 3,
		},
		.bools = { 1, 0, 1 },
	};
	int fds[4], i;

	ASSERT_EQ(0, begin(self, 0));
	for (i = 0; i < 4; i++)
		fds[i] = make_eventfd();
	ASSERT_EQ(0, wire_set_irqs(&self->wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				   VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, fds, 4));
	EXPECT_EQ(0, wire_call(&self->wire, VFIO_USER_DEVICE_SET_IRQS, &bools,
			       sizeof(bools.set) + sizeof(bools.bools)));
	EXPECT_EQ(0, eventfd_count(fds[0]));
	EXPECT_EQ(1, eventfd_count(fds[1]));
	EXPECT_EQ(0, eventfd_count(fds[2]));
	EXPECT_EQ(1, eventfd_count(fds[3]));
	EXPECT_EQ(0, wire_set_irqs(&self->wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				   VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, NULL, 0));
	for (i = 0; i < 4; i++) {
		vfioext_user_irq_trigger(self->below.device, VFIO_PCI_MSIX_IRQ_INDEX, (unsigned int)i);
		EXPECT_EQ(i == 1 ? 0 : 1, eventfd_count(fds[i]));
		close(fds[i]);
	}
}

TEST_F(bridge, reset)
{
	ASSERT_EQ(0, begin(self, 0));
	EXPECT_EQ(0, wire_call(&self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(1, self->probe.resets);
	self->probe.error = -EIO;
	EXPECT_EQ(-EIO, wire_call(&self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	self->probe.error = 0;
	/* And once more for the next one. */
	EXPECT_EQ(0, attach(self));
	EXPECT_EQ(3, self->probe.resets);
}

TEST_HARNESS_MAIN
