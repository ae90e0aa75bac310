// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small driver of an NVMe controller, as an example of the library and a test of
 * it: an admin queue, a pair of I/O queues, MSI-X, one block written and read.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

/* nvme_user.c and nvme_served.c are the same with another controller. */
#ifndef NVME
#define NVME "0000:02:00.0"
#define MODEL "QEMU NVMe Ctrl "
#endif
#ifndef PREPARE
#define PREPARE() bind_device(NVME)
#endif
#define PAGE 4096

#define REG_CAP 0x00
#define REG_CC 0x14
#define CC_ENABLE 0x1
#define CC_ENTRY_SIZES (6u << 16 | 4u << 20)
#define REG_CSTS 0x1c
#define CSTS_READY 0x1
#define CSTS_FATAL 0x2
#define REG_AQA 0x24
#define REG_ASQ 0x28
#define REG_ACQ 0x30
#define DOORBELLS 0x1000

#define QUEUE_ENTRIES 16
#define ADMIN_CREATE_SQ 0x01
#define ADMIN_CREATE_CQ 0x05
#define ADMIN_IDENTIFY 0x06
#define IO_WRITE 0x01
#define IO_READ 0x02

struct command {
	uint32_t opcode;
	uint32_t namespace;
	uint64_t unused;
	uint64_t metadata;
	uint64_t data[2];
	uint32_t word[6];
};

struct completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t head;
	uint16_t queue;
	uint16_t id;
	uint16_t status;
};

/* A submission queue and the completion queue to it, on a page each. */
struct queue {
	struct command *commands;
	volatile struct completion *completions;
	uint64_t commands_iova;
	uint64_t completions_iova;
	uint32_t tail;
	uint32_t head;
	uint32_t number;
	uint16_t phase;
};

FIXTURE(nvme) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_region *bar;
	struct vfioext_container *container;
	struct queue admin;
	struct queue io;
	uint8_t *data;
	uint64_t data_iova;
	unsigned int stride;
	int eventfds[2];
};

#define DATA struct _test_data_nvme

static bool alloc_page(DATA *self, void *page, uint64_t *iova)
{
	return !vfioext_dma_alloc(self->container, PAGE, 0, page, iova);
}

static bool alloc_queue(DATA *self, struct queue *queue, uint32_t number)
{
	queue->number = number;
	queue->phase = 1;
	return alloc_page(self, &queue->commands, &queue->commands_iova) &&
	       alloc_page(self, &queue->completions, &queue->completions_iova);
}

static bool wait_ready(DATA *self, uint32_t ready)
{
	long deadline = now_ms() + 5000 * slowness();
	uint32_t status;

	do {
		status = vfioext_read32(self->bar, REG_CSTS);
		if (status & CSTS_FATAL)
			return false;
		if ((status & CSTS_READY) == ready)
			return true;
		usleep(1000);
	} while (now_ms() < deadline);
	return false;
}

static bool enable(DATA *self)
{
	uint64_t capabilities = vfioext_read64(self->bar, REG_CAP);

	self->stride = 4u << (capabilities >> 32 & 0xf);
	vfioext_write32(self->bar, REG_CC, 0);
	if (!wait_ready(self, 0) || !alloc_queue(self, &self->admin, 0))
		return false;
	vfioext_write32(self->bar, REG_AQA, (QUEUE_ENTRIES - 1) << 16 | (QUEUE_ENTRIES - 1));
	vfioext_write64(self->bar, REG_ASQ, self->admin.commands_iova);
	vfioext_write64(self->bar, REG_ACQ, self->admin.completions_iova);
	vfioext_write32(self->bar, REG_CC, CC_ENABLE | CC_ENTRY_SIZES);
	return wait_ready(self, CSTS_READY);
}

FIXTURE_SETUP(nvme)
{
	int i, ret;

	PREPARE();
	self->ctx = test_context();
	memset(&self->admin, 0, sizeof(self->admin));
	memset(&self->io, 0, sizeof(self->io));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, NVME, NULL, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	self->container = vfioext_device_container(self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &self->bar));
	/* Where it cannot be mapped it is read and written. */
	ret = vfioext_region_map(self->bar);
	ASSERT_TRUE(!ret || ret == -EOPNOTSUPP);
	ASSERT_EQ(0, vfioext_device_set_master(self->device, true));
	for (i = 0; i < 2; i++) {
		self->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, self->eventfds[i]);
	}
	/* The second is added later, to the first at work. */
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 0, self->eventfds, 1));
	ASSERT_TRUE(alloc_page(self, &self->data, &self->data_iova));
	ASSERT_TRUE(enable(self));
}

FIXTURE_TEARDOWN(nvme)
{
	int i;

	vfioext_write32(self->bar, REG_CC, 0);
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	for (i = 0; i < 2; i++)
		close(self->eventfds[i]);
}

static void ring(DATA *self, const struct queue *queue, bool completion, uint32_t value)
{
	vfioext_write32(self->bar, DOORBELLS + (2 * queue->number + completion) * self->stride,
			value);
}

/* Submit a command, and wait for its interrupt. Return: its status, -1 without one. */
static int submit(DATA *self, struct queue *queue, const struct command *command)
{
	struct pollfd fd = { .fd = self->eventfds[queue->number], .events = POLLIN };
	volatile struct completion *completion = &queue->completions[queue->head];
	eventfd_t count;
	uint16_t status;

	/* The doorbell's write comes after it by itself. */
	queue->commands[queue->tail] = *command;
	queue->tail = (queue->tail + 1) % QUEUE_ENTRIES;
	ring(self, queue, false, queue->tail);
	do {
		if (poll(&fd, 1, 5000 * slowness()) != 1)
			return -1;
		eventfd_read(fd.fd, &count);
		status = le16toh(completion->status);
	} while ((status & 1) != queue->phase);
	/* What else the device wrote was there before the phase; and it may write here again only then. */
	vfioext_dma_rmb();

	queue->head = (queue->head + 1) % QUEUE_ENTRIES;
	if (!queue->head)
		queue->phase ^= 1;
	ring(self, queue, true, queue->head);
	return status >> 1;
}

static int identify(DATA *self, uint32_t what, uint32_t namespace)
{
	struct command command = {
		.opcode = htole32(ADMIN_IDENTIFY),
		.namespace = htole32(namespace),
		.data = { htole64(self->data_iova) },
		.word = { htole32(what) },
	};

	return submit(self, &self->admin, &command);
}

static int create_queues(DATA *self)
{
	struct command completions = {
		.opcode = htole32(ADMIN_CREATE_CQ),
		.data = { htole64(self->io.completions_iova) },
		.word = { htole32((QUEUE_ENTRIES - 1) << 16 | 1), htole32(1 << 16 | 3) },
	};
	struct command commands = {
		.opcode = htole32(ADMIN_CREATE_SQ),
		.data = { htole64(self->io.commands_iova) },
		.word = { htole32((QUEUE_ENTRIES - 1) << 16 | 1), htole32(1 << 16 | 1) },
	};
	int status = submit(self, &self->admin, &completions);

	return status ? status : submit(self, &self->admin, &commands);
}

static int transfer(DATA *self, uint32_t opcode, uint32_t block)
{
	struct command command = {
		.opcode = htole32(opcode),
		.namespace = htole32(1),
		.data = { htole64(self->data_iova) },
		.word = { htole32(block) },
	};

	return submit(self, &self->io, &command);
}

TEST_F(nvme, identify)
{
	ASSERT_EQ(0, identify(self, 1, 0));
	EXPECT_EQ(0, memcmp(MODEL, self->data + 24, strlen(MODEL)));
}

/* More commands than the queue has entries: it wraps, and its phase changes. */
TEST_F(nvme, many_commands)
{
	int i;

	for (i = 0; i < 3 * QUEUE_ENTRIES; i++)
		ASSERT_EQ(0, identify(self, 1, 0));
}

TEST_F(nvme, write_and_read)
{
	int i;

	ASSERT_TRUE(alloc_queue(self, &self->io, 1));
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 1, &self->eventfds[1], 1));
	ASSERT_EQ(0, create_queues(self));
	for (i = 0; i < 512; i++)
		self->data[i] = (uint8_t)(i * 13);
	ASSERT_EQ(0, transfer(self, IO_WRITE, 5));
	memset(self->data, 0, 512);
	ASSERT_EQ(0, transfer(self, IO_READ, 5));
	for (i = 0; i < 512; i++)
		ASSERT_EQ((uint8_t)(i * 13), self->data[i]);
	ASSERT_EQ(0, transfer(self, IO_READ, 6));
	EXPECT_EQ(0, self->data[1]);
}

#ifndef OWN_MAIN
int main(int argc, char **argv)
{
	run("modprobe vfio-pci");
	return test_harness_run(argc, argv);
}
#endif
