// SPDX-License-Identifier: GPL-2.0-only
/*
 * A complete driver of QEMU's edu device, as an example of the library and a test
 * of it: registers, interrupts of two kinds, and DMA both ways.
 */
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/edu.h"
#include "../lib/test.h"

/* edu_iommufd.c is the same over iommufd, edu_bridge.c through another process. */
#ifndef BACKEND
#define BACKEND VFIOEXT_BACKEND_CONTAINER
#endif
#ifndef PREPARE
#define PREPARE() bind_device(EDU)
#endif

#define REG_ID 0x00
#define REG_INVERT 0x04
#define REG_FACTORIAL 0x08
#define REG_STATUS 0x20
#define STATUS_COMPUTING 0x01
#define STATUS_INTERRUPT 0x80
#define REG_INTERRUPT_STATUS 0x24
#define REG_INTERRUPT_RAISE 0x60
#define REG_INTERRUPT_ACK 0x64
#define REG_DMA_SOURCE 0x80
#define REG_DMA_TARGET 0x88
#define REG_DMA_COUNT 0x90
#define REG_DMA_COMMAND 0x98
#define DMA_START 0x1
#define DMA_TO_MEMORY 0x2
#define DMA_INTERRUPT 0x4
#define DMA_DONE 0x100
#define DEVICE_BUFFER 0x40000
#define BUFFER_SIZE 4096

FIXTURE(edu) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_region *bar;
	uint8_t *memory;
	uint64_t iova;
	int eventfd;
};

FIXTURE_VARIANT(edu) {
	enum vfioext_irq irq;
};

FIXTURE_VARIANT_ADD(edu, intx) { VFIOEXT_IRQ_INTX };
FIXTURE_VARIANT_ADD(edu, msi) { VFIOEXT_IRQ_MSI };

FIXTURE_SETUP(edu)
{
	struct vfioext_open how = { .backend = BACKEND };
	void *memory;

	PREPARE();
	self->ctx = test_context();
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, &how, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &self->bar));
	ASSERT_EQ(0, vfioext_region_map(self->bar));
	ASSERT_EQ(0, vfioext_device_set_master(self->device, true));
	/* The device has 28 address lines. */
	self->iova = 0x100000;
	ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->device), BUFFER_SIZE,
				       VFIOEXT_DMA_FIXED, &memory, &self->iova));
	self->memory = memory;
	self->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->eventfd);
	/* Whatever a test before left. */
	edu_write32(self->bar, REG_INTERRUPT_ACK, UINT32_MAX);
	ASSERT_EQ(0, vfioext_irq_set(self->device, variant->irq, 0, &self->eventfd, 1));
}

FIXTURE_TEARDOWN(edu)
{
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	close(self->eventfd);
}

/* Wait for the interrupt and let the next one in. Return: what the device says. */
static uint32_t interrupted(struct vfioext_device *device, struct vfioext_region *bar,
			    unsigned int irq, int eventfd)
{
	struct pollfd fd = { .fd = eventfd, .events = POLLIN };
	uint32_t status;
	eventfd_t count;

	if (poll(&fd, 1, 2000 * slowness()) != 1 || eventfd_read(eventfd, &count))
		return 0;
	status = edu_read32(bar, REG_INTERRUPT_STATUS);
	edu_write32(bar, REG_INTERRUPT_ACK, status);
	if (irq == VFIOEXT_IRQ_INTX)
		vfioext_irq_unmask(device, irq, 0);
	return status;
}

#define interrupted(self) interrupted((self)->device, (self)->bar, variant->irq, (self)->eventfd)

TEST_F(edu, identify)
{
	EXPECT_EQ(0x010000ed, edu_read32(self->bar, REG_ID));
	edu_write32(self->bar, REG_INVERT, 0x12345678);
	EXPECT_EQ(~0x12345678u, edu_read32(self->bar, REG_INVERT));
}

TEST_F(edu, factorial_by_interrupt)
{
	int i;

	for (i = 0; i < 20; i++) {
		edu_write32(self->bar, REG_STATUS, STATUS_INTERRUPT);
		edu_write32(self->bar, REG_FACTORIAL, 10);
		ASSERT_EQ(1, interrupted(self));
		EXPECT_EQ(3628800, edu_read32(self->bar, REG_FACTORIAL));
	}
}

static void start_dma(struct vfioext_region *bar, uint64_t from, uint64_t to, uint32_t command)
{
	edu_write64(bar, REG_DMA_SOURCE, from);
	edu_write64(bar, REG_DMA_TARGET, to);
	edu_write64(bar, REG_DMA_COUNT, BUFFER_SIZE / 2);
	edu_write64(bar, REG_DMA_COMMAND, command | DMA_START | DMA_INTERRUPT);
}

TEST_F(edu, dma_both_ways)
{
	uint64_t second = self->iova + BUFFER_SIZE / 2;
	int i;

	for (i = 0; i < BUFFER_SIZE / 2; i++)
		self->memory[i] = (uint8_t)(i * 7);
	start_dma(self->bar, self->iova, DEVICE_BUFFER, 0);
	ASSERT_EQ(DMA_DONE, interrupted(self));
	start_dma(self->bar, DEVICE_BUFFER, second, DMA_TO_MEMORY);
	ASSERT_EQ(DMA_DONE, interrupted(self));
	EXPECT_EQ(0, memcmp(self->memory, self->memory + BUFFER_SIZE / 2, BUFFER_SIZE / 2));
}

/* What is not mapped is not reached. */
TEST_F(edu, dma_to_nowhere)
{
	memset(self->memory, 0x5a, BUFFER_SIZE);
	ASSERT_EQ(0, vfioext_dma_unmap_all(vfioext_device_container(self->device)));
	start_dma(self->bar, DEVICE_BUFFER, self->iova, DMA_TO_MEMORY);
	ASSERT_EQ(DMA_DONE, interrupted(self));
	EXPECT_EQ(0x5a, self->memory[0]);
	EXPECT_EQ(0x5a, self->memory[BUFFER_SIZE / 2 - 1]);
}

TEST_F(edu, no_dma_without_master)
{
	memset(self->memory, 0x5a, BUFFER_SIZE);
	ASSERT_EQ(0, vfioext_device_set_master(self->device, false));
	start_dma(self->bar, DEVICE_BUFFER, self->iova, DMA_TO_MEMORY);
	usleep(200000 * slowness());
	EXPECT_EQ(0x5a, self->memory[0]);
}

TEST_F(edu, triggered_by_hand)
{
	ASSERT_EQ(0, vfioext_irq_trigger(self->device, variant->irq, 0));
	EXPECT_EQ(0, interrupted(self));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci");
	return test_harness_run(argc, argv);
}
