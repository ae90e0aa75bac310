// SPDX-License-Identifier: GPL-2.0-only
/*
 * What QEMU's edu device is, over vfio-user: registers, a factorial, interrupts of two
 * kinds, and DMA between memory and a buffer of 4 KiB. Its drivers work with it.
 */
#include <endian.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/user_pci.h>

#include "example.h"

#define BAR_SIZE 0x100000
#define BUFFER 0x40000
#define BUFFER_SIZE 4096
#define ADDRESS_MASK 0xfffffffULL

enum {
	REG_ID = 0x00,
	REG_INVERT = 0x04,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_INTERRUPT_STATUS = 0x24,
	REG_INTERRUPT_RAISE = 0x60,
	REG_INTERRUPT_ACK = 0x64,
	REG_DMA_SOURCE = 0x80,
	REG_DMA_TARGET = 0x88,
	REG_DMA_COUNT = 0x90,
	REG_DMA_COMMAND = 0x98,
};

#define ID 0x010000ed
#define STATUS_INTERRUPT 0x80
#define DMA_START 0x1
#define DMA_TO_MEMORY 0x2
#define DMA_INTERRUPT 0x4
#define FACTORIAL_DONE 0x1
#define DMA_DONE 0x100

struct edu {
	uint32_t inverted;
	uint32_t factorial;
	uint32_t status;
	uint32_t interrupts;
	uint64_t source;
	uint64_t target;
	uint64_t count;
	uint64_t command;
	uint8_t buffer[BUFFER_SIZE];
};

/* MSI if the driver has set it up, else the pin. */
static void set_interrupts(struct vfioext_user_device *device, uint32_t interrupts)
{
	struct edu *edu = vfioext_user_device_data(device);
	bool more = interrupts & ~edu->interrupts;

	edu->interrupts = interrupts;
	if (!more || vfioext_user_irq_trigger(device, VFIO_PCI_MSI_IRQ_INDEX, 0))
		vfioext_user_pci_set_intx(device, interrupts);
}

static void raise_interrupt(struct vfioext_user_device *device, uint32_t bits)
{
	const struct edu *edu = vfioext_user_device_data(device);

	set_interrupts(device, edu->interrupts | bits);
}

/* In 32 bits that of any larger number is 0. */
static uint32_t factorial(uint32_t number)
{
	uint32_t product = 1;

	if (number > 33)
		return 0;
	for (; number > 1; number--)
		product *= number;
	return product;
}

static void dma_done(struct vfioext_user_device *device, int error, void *data)
{
	struct edu *edu = data;
	bool interrupt = edu->command & DMA_INTERRUPT;

	(void)error;
	edu->command &= ~(uint64_t)(DMA_START | DMA_INTERRUPT);
	if (interrupt)
		raise_interrupt(device, DMA_DONE);
}

/* What of the buffer a transfer is of; NULL if it is not all in it. */
static uint8_t *buffer_at(struct edu *edu, uint64_t address)
{
	if (address < BUFFER || address - BUFFER > BUFFER_SIZE ||
	    edu->count > BUFFER_SIZE - (address - BUFFER))
		return NULL;
	return edu->buffer + (address - BUFFER);
}

static void start_dma(struct vfioext_user_device *device, struct edu *edu)
{
	bool to_memory = edu->command & DMA_TO_MEMORY;
	uint8_t *buffer = buffer_at(edu, to_memory ? edu->source : edu->target);
	struct vfioext_user_sg sg = {
		.iova = (to_memory ? edu->target : edu->source) & ADDRESS_MASK,
		.size = edu->count,
	};
	int ret = -EINVAL;

	if (buffer && sg.size && vfioext_user_pci_is_master(device))
		ret = to_memory ? vfioext_user_dma_write(device, &sg, 1, buffer, dma_done, edu) :
				  vfioext_user_dma_read(device, &sg, 1, buffer, dma_done, edu);
	if (ret != -EINPROGRESS)
		dma_done(device, ret, edu);
}

static uint64_t read_register(const struct edu *edu, uint64_t offset)
{
	switch (offset) {
	case REG_ID:
		return ID;
	case REG_INVERT:
		return edu->inverted;
	case REG_FACTORIAL:
		return edu->factorial;
	case REG_STATUS:
		return edu->status;
	case REG_INTERRUPT_STATUS:
		return edu->interrupts;
	case REG_DMA_SOURCE:
		return edu->source;
	case REG_DMA_TARGET:
		return edu->target;
	case REG_DMA_COUNT:
		return edu->count;
	case REG_DMA_COMMAND:
		return edu->command;
	default:
		return UINT64_MAX;
	}
}

/* Registers of DMA are not to be changed while it runs. */
static void write_dma(struct vfioext_user_device *device, struct edu *edu, uint64_t offset,
		      uint64_t value)
{
	if (edu->command & DMA_START)
		return;
	switch (offset) {
	case REG_DMA_SOURCE:
		edu->source = value;
		break;
	case REG_DMA_TARGET:
		edu->target = value;
		break;
	case REG_DMA_COUNT:
		edu->count = value;
		break;
	case REG_DMA_COMMAND:
		edu->command = value;
		if (value & DMA_START)
			start_dma(device, edu);
		break;
	}
}

static void write_register(struct vfioext_user_device *device, struct edu *edu, uint64_t offset,
			   uint64_t value)
{
	switch (offset) {
	case REG_INVERT:
		edu->inverted = ~(uint32_t)value;
		break;
	case REG_FACTORIAL:
		edu->factorial = factorial((uint32_t)value);
		if (edu->status & STATUS_INTERRUPT)
			raise_interrupt(device, FACTORIAL_DONE);
		break;
	case REG_STATUS:
		edu->status = value & STATUS_INTERRUPT;
		break;
	case REG_INTERRUPT_RAISE:
		raise_interrupt(device, (uint32_t)value);
		break;
	case REG_INTERRUPT_ACK:
		set_interrupts(device, edu->interrupts & ~(uint32_t)value);
		break;
	default:
		write_dma(device, edu, offset, value);
		break;
	}
}

/* All of 4 bytes, those of DMA of 8 as well. */
static bool is_register(unsigned int region, size_t count, uint64_t offset)
{
	return !region && !(offset % count) && (count == 4 || (count == 8 && offset >= REG_DMA_SOURCE));
}

static int edu_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		    size_t count, uint64_t offset)
{
	uint64_t value = UINT64_MAX;

	if (count && is_register(region, count, offset))
		value = read_register(vfioext_user_device_data(device), offset);
	value = htole64(value);
	memset(buffer, 0xff, count);
	memcpy(buffer, &value, count < sizeof(value) ? count : sizeof(value));
	return 0;
}

static int edu_write(struct vfioext_user_device *device, unsigned int region, const void *buffer,
		     size_t count, uint64_t offset)
{
	uint64_t value = 0;

	if (!count || !is_register(region, count, offset))
		return 0;
	memcpy(&value, buffer, count);
	write_register(device, vfioext_user_device_data(device), offset, le64toh(value));
	return 0;
}

/* A transfer that is under way comes to its end by itself. */
static int edu_reset(struct vfioext_user_device *device)
{
	struct edu *edu = vfioext_user_device_data(device);
	uint64_t running = edu->command & DMA_START;

	memset(edu, 0, sizeof(*edu));
	edu->command = running;
	return 0;
}

static const struct vfioext_user_ops edu_ops = {
	.read = edu_read,
	.write = edu_write,
	.reset = edu_reset,
};

static int make_pci(struct vfioext_user_device *device)
{
	struct vfioext_user_pci pci = {
		.vendor = 0x1234,
		.device = 0x11e8,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x00ff00,
		.revision = 0x10,
		.interrupt_pin = 1,
	};
	struct vfioext_user_region bar = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE,
		.size = BAR_SIZE,
		.fd = -1,
	};
	int ret;

	ret = vfioext_user_pci_init(device, &pci);
	if (!ret)
		ret = vfioext_user_pci_set_bar(device, 0, 0, &bar);
	if (!ret)
		ret = vfioext_user_pci_add_msi(device, 1);
	return ret < 0 ? ret : 0;
}

static int edu_make(struct vfioext_user *server, struct vfioext_user_device **device)
{
	struct edu *edu = calloc(1, sizeof(*edu));
	struct vfioext_user_device *new;
	int ret;

	if (!edu)
		return -ENOMEM;
	ret = vfioext_user_device_new(server, &edu_ops, edu, &new);
	if (ret) {
		free(edu);
		return ret;
	}
	ret = make_pci(new);
	if (ret) {
		vfioext_user_device_free(new);
		free(edu);
		return ret;
	}
	*device = new;
	return 0;
}

const struct example example_edu = {
	.name = "edu",
	.make = edu_make,
	.free = free,
};
