// SPDX-License-Identifier: GPL-2.0-only
/* The PCI configuration space of a device that is served: what clients see, and may change. */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/user_pci.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

FIXTURE(pci) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
};

static const struct vfioext_user_pci identity = {
	.vendor = 0x1234,
	.device = 0x11e8,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class_code = 0x00ff01,
	.revision = 0x10,
	.interrupt_pin = 1,
};

FIXTURE_SETUP(pci)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	/* One that nobody is attached to yet. */
	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, self->probe,
					     &self->device));
	wire_close(self->wire);
}

FIXTURE_TEARDOWN(pci)
{
	EXPECT_TRUE(wire_test_end(&self->test));
}

static void attach(struct wire_test *test, struct vfioext_user_device *device)
{
	wire_test_attach(test, device, &test->wire);
	if (wire_negotiate(&test->wire, NULL))
		abort();
}

static uint32_t config_read(struct wire *wire, unsigned int offset, unsigned int width)
{
	uint32_t value = 0;

	if (wire_read(wire, CONFIG, offset, width))
		abort();
	memcpy(&value, wire->body + 16, width);
	return le32toh(value);
}

static void config_write(struct wire *wire, unsigned int offset, unsigned int width,
			 uint32_t value)
{
	value = htole32(value);
	if (wire_write(wire, CONFIG, offset, &value, width))
		abort();
}

static int set_bar(struct vfioext_user_device *device, unsigned int bar, unsigned int flags,
		   uint64_t size)
{
	struct vfioext_user_region region = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE, .size = size, .fd = -1,
	};

	return vfioext_user_pci_set_bar(device, bar, flags, &region);
}

TEST_F(pci, header)
{
	struct vfio_user_device_info info = { .argsz = 16 };

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	EXPECT_EQ(-EEXIST, vfioext_user_pci_init(self->device, &identity));
	attach(&self->test, self->device);
	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_GET_INFO, &info, 16));
	memcpy(&info, self->wire->body, 16);
	EXPECT_EQ(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, info.flags);
	EXPECT_EQ(VFIO_PCI_NUM_REGIONS, info.num_regions);
	EXPECT_EQ(VFIO_PCI_NUM_IRQS, info.num_irqs);
	EXPECT_EQ(0x11e81234, config_read(self->wire, PCI_VENDOR_ID, 4));
	EXPECT_EQ(0x00ff0110, config_read(self->wire, PCI_CLASS_REVISION, 4));
	EXPECT_EQ(0x11001af4, config_read(self->wire, PCI_SUBSYSTEM_VENDOR_ID, 4));
	EXPECT_EQ(1, config_read(self->wire, PCI_INTERRUPT_PIN, 1));
	EXPECT_EQ(0, config_read(self->wire, PCI_STATUS, 2));
	/* All of it at once, as QEMU does; and no byte more. */
	EXPECT_EQ(0, wire_read(self->wire, CONFIG, 0, 256));
	EXPECT_EQ(-EINVAL, wire_read(self->wire, CONFIG, 0, 257));
	EXPECT_EQ(-EINVAL, wire_read(self->wire, CONFIG, 256, 4));
	EXPECT_EQ(0, self->probe->reads);
}

TEST_F(pci, what_clients_may_write)
{
	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	attach(&self->test, self->device);
	config_write(self->wire, PCI_VENDOR_ID, 4, 0);
	EXPECT_EQ(0x11e81234, config_read(self->wire, PCI_VENDOR_ID, 4));
	EXPECT_FALSE(vfioext_user_pci_is_master(self->device));
	config_write(self->wire, PCI_COMMAND, 2, 0xffff);
	EXPECT_EQ(0x547, config_read(self->wire, PCI_COMMAND, 2));
	EXPECT_TRUE(vfioext_user_pci_is_master(self->device));
	EXPECT_EQ(PCI_COMMAND, self->probe->config_offset);
	EXPECT_EQ(2, self->probe->config_size);
	EXPECT_EQ(2, self->probe->config_written);
	EXPECT_EQ(0, self->probe->writes);
	config_write(self->wire, PCI_CACHE_LINE_SIZE, 4, UINT32_MAX);
	EXPECT_EQ(0x0000ffff, config_read(self->wire, PCI_CACHE_LINE_SIZE, 4));
	config_write(self->wire, PCI_INTERRUPT_LINE, 2, 0xffff);
	EXPECT_EQ(0x01ff, config_read(self->wire, PCI_INTERRUPT_LINE, 2));
	EXPECT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(0, config_read(self->wire, PCI_COMMAND, 2));
	EXPECT_EQ(0x0100, config_read(self->wire, PCI_INTERRUPT_LINE, 2));
	EXPECT_EQ(0, config_read(self->wire, PCI_CACHE_LINE_SIZE, 4));
	/* A device that refuses to be reset stays as it is. */
	config_write(self->wire, PCI_COMMAND, 2, 4);
	self->probe->error = -EBUSY;
	EXPECT_EQ(-EBUSY, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(4, config_read(self->wire, PCI_COMMAND, 2));
}

/* What software writes to find out how large they are. */
TEST_F(pci, bars)
{
	unsigned int i;

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	ASSERT_EQ(0, set_bar(self->device, 0, 0, 0x1000));
	ASSERT_EQ(0, set_bar(self->device, 1, VFIOEXT_USER_BAR_IO, 4));
	ASSERT_EQ(0, set_bar(self->device, 2, VFIOEXT_USER_BAR_64 | VFIOEXT_USER_BAR_PREFETCH,
			     1ULL << 34));
	ASSERT_EQ(0, set_bar(self->device, 4, 0, 1u << 31));
	attach(&self->test, self->device);
	for (i = 0; i < 6; i++)
		config_write(self->wire, PCI_BASE_ADDRESS_0 + 4 * i, 4, UINT32_MAX);
	EXPECT_EQ(0xfffff000, config_read(self->wire, PCI_BASE_ADDRESS_0, 4));
	EXPECT_EQ(0xfffffffd, config_read(self->wire, PCI_BASE_ADDRESS_1, 4));
	EXPECT_EQ(0x0000000c, config_read(self->wire, PCI_BASE_ADDRESS_2, 4));
	EXPECT_EQ(0xfffffffc, config_read(self->wire, PCI_BASE_ADDRESS_3, 4));
	EXPECT_EQ(0x80000000, config_read(self->wire, PCI_BASE_ADDRESS_4, 4));
	EXPECT_EQ(0, config_read(self->wire, PCI_BASE_ADDRESS_5, 4));
	config_write(self->wire, PCI_BASE_ADDRESS_0, 4, 0xfebf1234);
	EXPECT_EQ(0xfebf1000, config_read(self->wire, PCI_BASE_ADDRESS_0, 4));
	/* There is no ROM. */
	config_write(self->wire, PCI_ROM_ADDRESS, 4, UINT32_MAX);
	EXPECT_EQ(0, config_read(self->wire, PCI_ROM_ADDRESS, 4));
	EXPECT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(0, config_read(self->wire, PCI_BASE_ADDRESS_0, 4));
	EXPECT_EQ(1, config_read(self->wire, PCI_BASE_ADDRESS_1, 4));
	EXPECT_EQ(0, wire_read(self->wire, 0, 0xffc, 4));
	EXPECT_EQ(-EINVAL, wire_read(self->wire, 0, 0x1000, 4));
}

TEST_F(pci, bars_that_cannot_be)
{
	struct vfioext_user_pci none = identity;

	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, 0, 0x1000));
	none.interrupt_pin = 5;
	EXPECT_EQ(-EINVAL, vfioext_user_pci_init(self->device, &none));
	none.interrupt_pin = 0;
	none.class_code = 0x1000000;
	EXPECT_EQ(-EINVAL, vfioext_user_pci_init(self->device, &none));
	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 6, 0, 0x1000));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 5, VFIOEXT_USER_BAR_64, 0x1000));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, VFIOEXT_USER_BAR_64 | VFIOEXT_USER_BAR_IO, 64));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, VFIOEXT_USER_BAR_64, 0));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, 0x8, 0x1000));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, 0, 8));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, VFIOEXT_USER_BAR_IO, 2));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, 0, 0x1800));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 0, 0, 1ULL << 32));
	ASSERT_EQ(0, set_bar(self->device, 0, 0, 0x1000));
	/* One of 64 bits takes two places, whichever comes first. */
	ASSERT_EQ(0, set_bar(self->device, 2, 0, 0x1000));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 1, VFIOEXT_USER_BAR_64, 0x1000));
	ASSERT_EQ(0, set_bar(self->device, 4, VFIOEXT_USER_BAR_64, 0x1000));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 5, 0, 0x1000));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 5, 0, 0));
	attach(&self->test, self->device);
	EXPECT_EQ(-EBUSY, set_bar(self->device, 0, 0, 0x1000));
	EXPECT_EQ(-EBUSY, set_bar(self->device, 0, 0, 0));
	EXPECT_EQ(-EBUSY, vfioext_user_pci_add_pm(self->device));
	EXPECT_EQ(-EBUSY, vfioext_user_pci_add_msi(self->device, 1));
}

/* As if it had never been there, and its place is another's. */
TEST_F(pci, bars_are_taken_away)
{
	struct vfioext_user_msix msix = { 4, 4, 0, 4, 0x800 };
	unsigned int i;

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	ASSERT_EQ(0, set_bar(self->device, 0, VFIOEXT_USER_BAR_64, 1ULL << 34));
	ASSERT_EQ(0, set_bar(self->device, 2, VFIOEXT_USER_BAR_IO, 64));
	ASSERT_EQ(0, set_bar(self->device, 4, 0, 0x1000));
	ASSERT_LT(0, vfioext_user_pci_add_msix(self->device, &msix));
	/* Its tables are there. */
	EXPECT_EQ(-EINVAL, set_bar(self->device, 4, 0, 0));
	EXPECT_EQ(-EINVAL, set_bar(self->device, 4, 0, 0x800));
	EXPECT_EQ(0, set_bar(self->device, 4, 0, 0x2000));
	EXPECT_EQ(0, set_bar(self->device, 0, 0, 0));
	EXPECT_EQ(0, set_bar(self->device, 1, 0, 0x1000));
	EXPECT_EQ(0, set_bar(self->device, 1, 0, 0));
	EXPECT_EQ(0, set_bar(self->device, 2, 0, 0));
	EXPECT_EQ(0, set_bar(self->device, 3, 0, 0));
	attach(&self->test, self->device);
	for (i = 0; i < 4; i++) {
		config_write(self->wire, PCI_BASE_ADDRESS_0 + 4 * i, 4, UINT32_MAX);
		EXPECT_EQ(0, config_read(self->wire, PCI_BASE_ADDRESS_0 + 4 * i, 4));
		EXPECT_EQ(-EINVAL, wire_read(self->wire, i, 0, 4));
	}
	config_write(self->wire, PCI_BASE_ADDRESS_4, 4, UINT32_MAX);
	EXPECT_EQ(0xffffe000, config_read(self->wire, PCI_BASE_ADDRESS_4, 4));
}

/* Where a capability is, found as software finds it; 0 if it is not there. */
static unsigned int find_capability(struct wire *wire, unsigned int id)
{
	unsigned int at, turns = 0;

	if (!(config_read(wire, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	for (at = config_read(wire, PCI_CAPABILITY_LIST, 1); at; at = config_read(wire, at + 1, 1)) {
		if (at % 4 || at < 64 || turns++ > 48)
			abort();
		if (config_read(wire, at, 1) == id)
			return at;
	}
	return 0;
}

static uint32_t irq_count(struct wire *wire, uint32_t index)
{
	struct vfio_user_irq_info info = { .argsz = 16, .index = index };

	if (wire_call(wire, VFIO_USER_DEVICE_GET_IRQ_INFO, &info, 16))
		abort();
	memcpy(&info, wire->body, 16);
	return info.count;
}

TEST_F(pci, capabilities)
{
	struct vfioext_user_msix msix = { 9, 0, 0, 0, 0x800 };
	int pm, msi, at;

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	ASSERT_EQ(0, set_bar(self->device, 0, 0, 0x1000));
	pm = vfioext_user_pci_add_pm(self->device);
	msi = vfioext_user_pci_add_msi(self->device, 8);
	at = vfioext_user_pci_add_msix(self->device, &msix);
	attach(&self->test, self->device);
	EXPECT_EQ(pm, find_capability(self->wire, PCI_CAP_ID_PM));
	EXPECT_EQ(msi, find_capability(self->wire, PCI_CAP_ID_MSI));
	EXPECT_EQ(at, find_capability(self->wire, PCI_CAP_ID_MSIX));
	EXPECT_EQ(0, find_capability(self->wire, PCI_CAP_ID_EXP));
	config_write(self->wire, (unsigned int)pm, 4, UINT32_MAX);
	EXPECT_EQ(3, config_read(self->wire, (unsigned int)pm + PCI_PM_PMC, 2));
	config_write(self->wire, (unsigned int)pm + PCI_PM_CTRL, 2, 0xffff);
	EXPECT_EQ(0xb, config_read(self->wire, (unsigned int)pm + PCI_PM_CTRL, 2));
	EXPECT_EQ(PCI_MSI_FLAGS_64BIT | 3 << 1,
		  config_read(self->wire, (unsigned int)msi + PCI_MSI_FLAGS, 2));
	/* No more of them than there are. */
	config_write(self->wire, (unsigned int)msi + PCI_MSI_FLAGS, 2, 0xffff);
	EXPECT_EQ(PCI_MSI_FLAGS_64BIT | 3 << 1 | 3 << 4 | PCI_MSI_FLAGS_ENABLE,
		  config_read(self->wire, (unsigned int)msi + PCI_MSI_FLAGS, 2));
	config_write(self->wire, (unsigned int)msi + PCI_MSI_FLAGS, 1, 2 << 4);
	EXPECT_EQ(PCI_MSI_FLAGS_64BIT | 3 << 1 | 2 << 4,
		  config_read(self->wire, (unsigned int)msi + PCI_MSI_FLAGS, 2));
	config_write(self->wire, (unsigned int)msi + PCI_MSI_ADDRESS_LO, 4, UINT32_MAX);
	EXPECT_EQ(0xfffffffc, config_read(self->wire, (unsigned int)msi + PCI_MSI_ADDRESS_LO, 4));
	config_write(self->wire, (unsigned int)at, 4, UINT32_MAX);
	EXPECT_EQ(0xc008, config_read(self->wire, (unsigned int)at + PCI_MSIX_FLAGS, 2));
	config_write(self->wire, (unsigned int)at + PCI_MSIX_TABLE, 4, UINT32_MAX);
	EXPECT_EQ(0, config_read(self->wire, (unsigned int)at + PCI_MSIX_TABLE, 4));
	EXPECT_EQ(0x800, config_read(self->wire, (unsigned int)at + PCI_MSIX_PBA, 4));
	EXPECT_EQ(1, irq_count(self->wire, VFIO_PCI_INTX_IRQ_INDEX));
	EXPECT_EQ(8, irq_count(self->wire, VFIO_PCI_MSI_IRQ_INDEX));
	EXPECT_EQ(9, irq_count(self->wire, VFIO_PCI_MSIX_IRQ_INDEX));
	EXPECT_EQ(1, irq_count(self->wire, VFIO_PCI_REQ_IRQ_INDEX));
	EXPECT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(PCI_MSI_FLAGS_64BIT | 3 << 1,
		  config_read(self->wire, (unsigned int)msi + PCI_MSI_FLAGS, 2));
	EXPECT_EQ(8, config_read(self->wire, (unsigned int)at + PCI_MSIX_FLAGS, 2));
}

static int listen_to(struct wire *wire, uint32_t index, int fd)
{
	return wire_set_irqs(wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index,
			     0, 1, &fd, 1);
}

/* Clients may listen to them, as QEMU does to errors, whatever the device can do. */
TEST_F(pci, errors_and_requests)
{
	int error = make_eventfd(), request = make_eventfd();

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	attach(&self->test, self->device);
	EXPECT_EQ(1, irq_count(self->wire, VFIO_PCI_ERR_IRQ_INDEX));
	EXPECT_EQ(1, irq_count(self->wire, VFIO_PCI_REQ_IRQ_INDEX));
	EXPECT_EQ(0, listen_to(self->wire, VFIO_PCI_ERR_IRQ_INDEX, error));
	EXPECT_EQ(0, listen_to(self->wire, VFIO_PCI_REQ_IRQ_INDEX, request));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, VFIO_PCI_ERR_IRQ_INDEX, 0));
	EXPECT_EQ(1, eventfd_count(error));
	EXPECT_EQ(0, eventfd_count(request));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, VFIO_PCI_REQ_IRQ_INDEX, 0));
	EXPECT_EQ(1, eventfd_count(request));
	close(error);
	close(request);
}

/* As QEMU does it: the pin is taken away, masked as it is, and given anew after the reset. */
TEST_F(pci, pin_over_a_reset)
{
	int before = make_eventfd(), after = make_eventfd();

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	attach(&self->test, self->device);
	ASSERT_EQ(0, listen_to(self->wire, VFIO_PCI_INTX_IRQ_INDEX, before));
	vfioext_user_pci_set_intx(self->device, true);
	EXPECT_EQ(1, eventfd_count(before));
	ASSERT_EQ(0, wire_set_irqs(self->wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				   VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL, 0));
	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(0, config_read(self->wire, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	ASSERT_EQ(0, listen_to(self->wire, VFIO_PCI_INTX_IRQ_INDEX, after));
	EXPECT_EQ(0, eventfd_count(after));
	vfioext_user_pci_set_intx(self->device, true);
	EXPECT_EQ(1, eventfd_count(after));
	EXPECT_EQ(0, eventfd_count(before));
	close(before);
	close(after);
}

/* What was asserted while it was masked, and taken back, is not signaled at the unmask. */
TEST_F(pci, pin_taken_back_while_masked)
{
	uint32_t none = VFIO_IRQ_SET_DATA_NONE, irq = VFIO_PCI_INTX_IRQ_INDEX;
	int event = make_eventfd(), i;

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	attach(&self->test, self->device);
	ASSERT_EQ(0, listen_to(self->wire, irq, event));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, wire_set_irqs(self->wire, none | VFIO_IRQ_SET_ACTION_MASK, irq, 0, 1,
					   NULL, 0));
		vfioext_user_pci_set_intx(self->device, true);
		if (i == 1)
			vfioext_user_pci_set_intx(self->device, false);
		if (i == 2)
			ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
		ASSERT_EQ(0, wire_set_irqs(self->wire, none | VFIO_IRQ_SET_ACTION_UNMASK, irq, 0, 1,
					   NULL, 0));
		EXPECT_EQ(!i, eventfd_count(event));
		vfioext_user_pci_set_intx(self->device, false);
	}
	close(event);
}

TEST_F(pci, interrupts_that_cannot_be)
{
	static const struct vfioext_user_msix wrong[] = {
		{ 0, 0, 0, 0, 0x800 }, { 2049, 0, 0, 0, 0x800 }, { 4, 1, 0, 0, 0 },
		{ 4, 0, 4, 0, 0x800 }, { 4, 0, 0, 0, 0x804 }, { 4, 6, 0, 0, 0x800 },
		{ 4, 0, 0xfc8, 0, 0 }, { 4, 0, 0, 0, 0x1000 }, { 4, 0, 0xfffffff8, 0, 0 },
		{ 257, 0, 0, 0, 0 },
	};
	size_t i;

	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_pm(self->device));
	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	ASSERT_EQ(0, set_bar(self->device, 0, 0, 0x1000));
	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_msi(self->device, 0));
	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_msi(self->device, 3));
	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_msi(self->device, 64));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		EXPECT_EQ(-EINVAL, vfioext_user_pci_add_msix(self->device, &wrong[i]))
			TH_LOG("line %zu", i);
}

/* All the room there is, and not a byte behind it. */
TEST_F(pci, no_room_for_capabilities)
{
	uint8_t data[4096] = { 1 };

	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_capability(self->device, 9, data, NULL, 191));
	EXPECT_EQ(64, vfioext_user_pci_add_capability(self->device, 9, data, NULL, 190));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_capability(self->device, 9, data, NULL, 2));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_capability(self->device, 9, data, NULL, 0));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_pm(self->device));
	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_extended(self->device, 3, 1, data, NULL, 8));
}

TEST_F(pci, express)
{
	struct vfioext_user_pci express = identity;
	uint8_t data[4096] = "serial..", writable[8] = { 0, 0xff };
	unsigned int at;

	express.express = true;
	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &express));
	EXPECT_EQ(0x100, vfioext_user_pci_add_extended(self->device, 3, 1, data, writable, 8));
	EXPECT_EQ(0x10c, vfioext_user_pci_add_extended(self->device, 11, 2, data, NULL, 4));
	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_extended(self->device, 11, 16, data, NULL, 4));
	EXPECT_EQ(-EINVAL, vfioext_user_pci_add_extended(self->device, 11, 1, data, NULL, 5));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_extended(self->device, 11, 1, data, NULL, 4096));
	EXPECT_EQ(0x114, vfioext_user_pci_add_extended(self->device, 11, 1, data, NULL,
						       4096 - 0x118));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_extended(self->device, 11, 1, data, NULL, 4));
	EXPECT_EQ(-ENOSPC, vfioext_user_pci_add_extended(self->device, 11, 1, data, NULL, 0));
	attach(&self->test, self->device);
	EXPECT_EQ(0, wire_read(self->wire, CONFIG, 0, 4096));
	at = find_capability(self->wire, PCI_CAP_ID_EXP);
	ASSERT_NE(0, at);
	EXPECT_EQ(2, config_read(self->wire, at + PCI_EXP_FLAGS, 2));
	EXPECT_EQ(0x11, config_read(self->wire, at + PCI_EXP_LNKSTA, 2));
	EXPECT_EQ(0x10c10003, config_read(self->wire, 0x100, 4));
	EXPECT_EQ(0x1142000b, config_read(self->wire, 0x10c, 4));
	EXPECT_EQ(0x0001000b, config_read(self->wire, 0x114, 4));
	config_write(self->wire, 0x104, 4, 0);
	EXPECT_EQ(0x69720073, config_read(self->wire, 0x104, 4));
	config_write(self->wire, at + PCI_EXP_DEVCTL, 2, 0x7fff);
	EXPECT_EQ(0x7fff, config_read(self->wire, at + PCI_EXP_DEVCTL, 2));
	/* The highest bit asks for a reset, and takes all of it back. */
	EXPECT_TRUE(config_read(self->wire, at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	config_write(self->wire, at + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	EXPECT_EQ(0, config_read(self->wire, at + PCI_EXP_DEVCTL, 2));
}

TEST_F(pci, of_the_device_itself)
{
	EXPECT_EQ(UINT32_MAX, vfioext_user_pci_read(self->device, 0, 4));
	EXPECT_FALSE(vfioext_user_pci_is_master(self->device));
	ASSERT_EQ(0, vfioext_user_pci_init(self->device, &identity));
	EXPECT_EQ(0x1234, vfioext_user_pci_read(self->device, 0, 2));
	vfioext_user_pci_write(self->device, PCI_STATUS, 2, 0x4000);
	EXPECT_EQ(0x4000, vfioext_user_pci_read(self->device, PCI_STATUS, 2));
	EXPECT_EQ(UINT32_MAX, vfioext_user_pci_read(self->device, 253, 4));
	EXPECT_EQ(UINT32_MAX, vfioext_user_pci_read(self->device, UINT32_MAX, 1));
	EXPECT_EQ(UINT32_MAX, vfioext_user_pci_read(self->device, 0, 3));
	vfioext_user_pci_write(self->device, 254, 4, 0);
	attach(&self->test, self->device);
	EXPECT_EQ(0x4000, config_read(self->wire, PCI_STATUS, 2));
}

TEST_HARNESS_MAIN
