// SPDX-License-Identifier: LGPL-2.1-or-later
/* The PCI configuration space of a device that is served. */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/user_pci.h>

#include "server.h"

#define COMMAND_WRITABLE (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | \
			  PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
#define EXPRESS_SIZE 60

/*
 * @bytes: what is read; @first: what it is at power on
 * @writable: bits that clients can write
 * @capability: the last one, 0 for none; @next: where another one has room
 * @extended, @next_extended: likewise
 * @express, @msi: the capabilities of PCI Express and MSI, 0 for none
 * @msix: where MSI-X has its tables, if it has vectors
 * @asserted: the pin
 */
struct user_pci {
	unsigned int size;
	unsigned int capability;
	unsigned int next;
	unsigned int extended;
	unsigned int next_extended;
	unsigned int express;
	unsigned int msi;
	struct vfioext_user_msix msix;
	bool asserted;
	uint8_t bytes[PCI_CFG_SPACE_EXP_SIZE];
	uint8_t first[PCI_CFG_SPACE_EXP_SIZE];
	uint8_t writable[PCI_CFG_SPACE_EXP_SIZE];
};

static void put16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static bool is_register(const struct vfioext_user_device *device, unsigned int offset,
			unsigned int width)
{
	return device->pci && (width == 1 || width == 2 || width == 4) &&
	       offset <= device->pci->size && width <= device->pci->size - offset;
}

uint32_t vfioext_user_pci_read(const struct vfioext_user_device *device, unsigned int offset,
			       unsigned int width)
{
	uint32_t value = 0;

	if (!is_register(device, offset, width))
		return UINT32_MAX;
	memcpy(&value, device->pci->bytes + offset, width);
	return le32toh(value);
}

/* What is there now is what it is at power on. */
static void save(struct user_pci *pci)
{
	memcpy(pci->first, pci->bytes, sizeof(pci->first));
}

void vfioext_user_pci_write(struct vfioext_user_device *device, unsigned int offset,
			    unsigned int width, uint32_t value)
{
	value = htole32(value);
	if (!is_register(device, offset, width))
		return;
	memcpy(device->pci->bytes + offset, &value, width);
	if (!device->session)
		save(device->pci);
}

bool vfioext_user_pci_is_master(const struct vfioext_user_device *device)
{
	return device->pci && vfioext_user_pci_read(device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

static void fill_header(struct user_pci *config, const struct vfioext_user_pci *pci)
{
	uint8_t *bytes = config->bytes, *writable = config->writable;

	put16(bytes + PCI_VENDOR_ID, pci->vendor);
	put16(bytes + PCI_DEVICE_ID, pci->device);
	put32(bytes + PCI_CLASS_REVISION, pci->class_code << 8 | pci->revision);
	put16(bytes + PCI_SUBSYSTEM_VENDOR_ID, pci->subsystem_vendor);
	put16(bytes + PCI_SUBSYSTEM_ID, pci->subsystem);
	bytes[PCI_INTERRUPT_PIN] = pci->interrupt_pin;
	put16(writable + PCI_COMMAND, COMMAND_WRITABLE);
	writable[PCI_CACHE_LINE_SIZE] = 0xff;
	writable[PCI_LATENCY_TIMER] = 0xff;
	writable[PCI_INTERRUPT_LINE] = 0xff;
}

static int set_regions(struct vfioext_user_device *device, unsigned int size)
{
	struct vfioext_user_region config = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE,
		.size = size,
		.fd = -1,
	};
	struct vfioext_user_region none = { .fd = -1 };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < VFIO_PCI_NUM_REGIONS && !ret; i++)
		ret = vfioext_user_device_set_region(device, i, i == VFIO_PCI_CONFIG_REGION_INDEX ?
						     &config : &none);
	return ret;
}

static int set_interrupts(struct vfioext_user_device *device, bool pin)
{
	uint32_t intx = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	int ret;

	ret = vfioext_user_device_set_irq(device, VFIO_PCI_INTX_IRQ_INDEX, pin, intx);
	if (!ret)
		ret = vfioext_user_device_set_irq(device, VFIO_PCI_MSI_IRQ_INDEX, 0, 0);
	if (!ret)
		ret = vfioext_user_device_set_irq(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0);
	if (!ret)
		ret = vfioext_user_device_set_irq(device, VFIO_PCI_ERR_IRQ_INDEX, 1,
						  VFIO_IRQ_INFO_EVENTFD);
	if (!ret)
		ret = vfioext_user_device_set_irq(device, VFIO_PCI_REQ_IRQ_INDEX, 1,
						  VFIO_IRQ_INFO_EVENTFD);
	return ret;
}

/* An endpoint of one lane at 2.5 GT/s, which can be reset by itself if the device can. */
static int add_express(struct vfioext_user_device *device)
{
	uint8_t data[EXPRESS_SIZE - 2] = { 0 }, writable[EXPRESS_SIZE - 2] = { 0 };

	put16(data + PCI_EXP_FLAGS - 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(data + PCI_EXP_DEVCAP - 2,
	      PCI_EXP_DEVCAP_RBER | (device->ops->reset ? PCI_EXP_DEVCAP_FLR : 0));
	put16(writable + PCI_EXP_DEVCTL - 2, 0xffff & ~PCI_EXP_DEVCTL_BCR_FLR);
	put32(data + PCI_EXP_LNKCAP - 2, PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
	put16(writable + PCI_EXP_LNKCTL - 2, PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_CCC);
	put16(data + PCI_EXP_LNKSTA - 2, PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
	device->pci->express = PCI_STD_HEADER_SIZEOF;
	return vfioext_user_pci_add_capability(device, PCI_CAP_ID_EXP, data, writable, sizeof(data));
}

int vfioext_user_pci_init(struct vfioext_user_device *device, const struct vfioext_user_pci *pci)
{
	struct user_pci *config;
	int ret;

	if (pci->interrupt_pin > 4 || pci->class_code > 0xffffff)
		return -EINVAL;
	if (device->pci)
		return -EEXIST;
	config = calloc(1, sizeof(*config));
	if (!config)
		return -ENOMEM;
	config->size = pci->express ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
	config->next = PCI_STD_HEADER_SIZEOF;
	config->next_extended = PCI_CFG_SPACE_SIZE;
	fill_header(config, pci);
	ret = set_regions(device, config->size);
	if (!ret)
		ret = set_interrupts(device, pci->interrupt_pin);
	if (ret) {
		free(config);
		return ret;
	}
	device->pci = config;
	device->is_pci = true;
	if (pci->express)
		add_express(device);
	save(config);
	return 0;
}

void pci_free(struct vfioext_user_device *device)
{
	free(device->pci);
	device->pci = NULL;
}

/* The pin, if the command register lets it. */
static void signal_pin(struct vfioext_user_device *device)
{
	uint32_t command = vfioext_user_pci_read(device, PCI_COMMAND, 2);

	if (device->pci->asserted && !(command & PCI_COMMAND_INTX_DISABLE))
		vfioext_user_irq_trigger(device, VFIO_PCI_INTX_IRQ_INDEX, 0);
}

/* Drivers that share an interrupt look at the status to see whose it is. */
void vfioext_user_pci_set_intx(struct vfioext_user_device *device, bool asserted)
{
	struct user_pci *pci = device->pci;

	if (!pci || pci->asserted == asserted)
		return;
	pci->asserted = asserted;
	if (asserted)
		pci->bytes[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		pci->bytes[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	/* What was held back by the mask has gone with its reason. */
	if (!asserted)
		irq_cancel(device, VFIO_PCI_INTX_IRQ_INDEX, 0);
	signal_pin(device);
}

void pci_unmasked(struct vfioext_user_device *device)
{
	if (device->pci)
		signal_pin(device);
}

void pci_reset(struct vfioext_user_device *device)
{
	if (!device->pci)
		return;
	device->pci->asserted = false;
	irq_cancel(device, VFIO_PCI_INTX_IRQ_INDEX, 0);
	memcpy(device->pci->bytes, device->pci->first, sizeof(device->pci->bytes));
}

/* Of the address the bits below its size are fixed: so software finds out how large it is. */
static void put_bar(struct user_pci *pci, unsigned int bar, unsigned int flags, uint64_t size)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint32_t type = 0;

	if (flags & VFIOEXT_USER_BAR_IO)
		type |= PCI_BASE_ADDRESS_SPACE_IO;
	if (flags & VFIOEXT_USER_BAR_64)
		type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (flags & VFIOEXT_USER_BAR_PREFETCH)
		type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	put32(pci->bytes + at, type);
	put32(pci->writable + at, (uint32_t)~(size - 1));
	if (flags & VFIOEXT_USER_BAR_64) {
		put32(pci->bytes + at + 4, 0);
		put32(pci->writable + at + 4, (uint32_t)(~(size - 1) >> 32));
	}
	save(pci);
}

/* Is there one, and of what kind? Those of 0 bytes are none. */
static bool is_wide(const struct vfioext_user_device *device, unsigned int bar)
{
	uint8_t low = device->pci->bytes[PCI_BASE_ADDRESS_0 + 4 * bar];

	return device->regions[bar].public.size && !(low & PCI_BASE_ADDRESS_SPACE_IO) &&
	       low & PCI_BASE_ADDRESS_MEM_TYPE_64;
}

static bool is_bar(unsigned int flags, uint64_t size)
{
	bool wide = flags & VFIOEXT_USER_BAR_64, ports = flags & VFIOEXT_USER_BAR_IO;

	if (ports && flags != VFIOEXT_USER_BAR_IO)
		return false;
	return size >= (ports ? 4 : 16) && !(size & (size - 1)) && (wide || size <= 1u << 31);
}

/* A BAR of 64 bits takes two places. */
static bool has_place(const struct vfioext_user_device *device, unsigned int bar, bool wide)
{
	if (bar >= PCI_STD_NUM_BARS || (bar && is_wide(device, bar - 1)))
		return false;
	return !wide || (bar + 1 < PCI_STD_NUM_BARS && !device->regions[bar + 1].public.size);
}

static bool is_within(uint64_t size, uint32_t offset, uint64_t part)
{
	return offset <= size && part <= size - offset;
}

/* The table of MSI-X, and the bits of what is pending. */
static bool holds_msix(const struct vfioext_user_msix *msix, unsigned int bar, uint64_t size)
{
	uint64_t table = (uint64_t)msix->vectors * PCI_MSIX_ENTRY_SIZE;
	uint64_t pba = (msix->vectors + 63ULL) / 64 * 8;

	if (!msix->vectors)
		return true;
	return (msix->table_bar != bar || is_within(size, msix->table_offset, table)) &&
	       (msix->pba_bar != bar || is_within(size, msix->pba_offset, pba));
}

static void drop_bar(struct user_pci *pci, unsigned int bar, bool wide)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar, size = wide ? 8 : 4;

	memset(pci->bytes + at, 0, size);
	memset(pci->writable + at, 0, size);
	save(pci);
}

int vfioext_user_pci_set_bar(struct vfioext_user_device *device, unsigned int bar,
			     unsigned int flags, const struct vfioext_user_region *region)
{
	uint64_t size = region->size;
	bool was_wide;
	int ret;

	if (flags & ~(VFIOEXT_USER_BAR_IO | VFIOEXT_USER_BAR_64 | VFIOEXT_USER_BAR_PREFETCH))
		return -EINVAL;
	if (!device->pci || !has_place(device, bar, size && flags & VFIOEXT_USER_BAR_64) ||
	    (size ? !is_bar(flags, size) : flags != 0) ||
	    !holds_msix(&device->pci->msix, bar, size))
		return -EINVAL;
	was_wide = is_wide(device, bar);
	ret = vfioext_user_device_set_region(device, bar, region);
	if (ret)
		return ret;
	drop_bar(device->pci, bar, was_wide);
	if (size)
		put_bar(device->pci, bar, flags, size);
	return 0;
}

int vfioext_user_pci_add_capability(struct vfioext_user_device *device, uint8_t id,
				    const void *data, const void *writable, size_t size)
{
	struct user_pci *pci = device->pci;
	unsigned int at;

	if (!pci)
		return -EINVAL;
	if (device->session)
		return -EBUSY;
	at = pci->next;
	if (at + 2 > PCI_CFG_SPACE_SIZE || size > PCI_CFG_SPACE_SIZE - 2 - at)
		return -ENOSPC;
	pci->bytes[at] = id;
	memcpy(pci->bytes + at + 2, data, size);
	if (writable)
		memcpy(pci->writable + at + 2, writable, size);
	pci->bytes[pci->capability ? pci->capability + 1 : PCI_CAPABILITY_LIST] = (uint8_t)at;
	pci->bytes[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	pci->capability = at;
	pci->next = (at + 2 + (unsigned int)size + 3) & ~3u;
	save(pci);
	return (int)at;
}

int vfioext_user_pci_add_extended(struct vfioext_user_device *device, uint16_t id,
				  uint8_t version, const void *data, const void *writable,
				  size_t size)
{
	struct user_pci *pci = device->pci;
	uint32_t header;
	unsigned int at;

	if (!pci || pci->size < PCI_CFG_SPACE_EXP_SIZE || size % 4 || version > 15)
		return -EINVAL;
	if (device->session)
		return -EBUSY;
	at = pci->next_extended;
	if (at + 4 > PCI_CFG_SPACE_EXP_SIZE || size > PCI_CFG_SPACE_EXP_SIZE - 4 - at)
		return -ENOSPC;
	put32(pci->bytes + at, (uint32_t)id | (uint32_t)version << 16);
	memcpy(pci->bytes + at + 4, data, size);
	if (writable)
		memcpy(pci->writable + at + 4, writable, size);
	if (pci->extended) {
		header = vfioext_user_pci_read(device, pci->extended, 4);
		put32(pci->bytes + pci->extended, header | at << 20);
	}
	pci->extended = at;
	pci->next_extended = at + 4 + (unsigned int)size;
	save(pci);
	return (int)at;
}

int vfioext_user_pci_add_pm(struct vfioext_user_device *device)
{
	uint8_t data[PCI_PM_SIZEOF - 2] = { 0 }, writable[PCI_PM_SIZEOF - 2] = { 0 };

	put16(data + PCI_PM_PMC - 2, 3);
	put16(data + PCI_PM_CTRL - 2, PCI_PM_CTRL_NO_SOFT_RESET);
	put16(writable + PCI_PM_CTRL - 2, PCI_PM_CTRL_STATE_MASK);
	return vfioext_user_pci_add_capability(device, PCI_CAP_ID_PM, data, writable, sizeof(data));
}

int vfioext_user_pci_add_msi(struct vfioext_user_device *device, unsigned int vectors)
{
	uint8_t data[12] = { 0 }, writable[12] = { 0 };
	int at, ret;

	if (!vectors || vectors > 32 || vectors & (vectors - 1))
		return -EINVAL;
	put16(data, (uint16_t)(PCI_MSI_FLAGS_64BIT | __builtin_ctz(vectors) << 1));
	put16(writable, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	put32(writable + PCI_MSI_ADDRESS_LO - 2, 0xfffffffc);
	put32(writable + PCI_MSI_ADDRESS_HI - 2, 0xffffffff);
	put16(writable + PCI_MSI_DATA_64 - 2, 0xffff);
	at = vfioext_user_pci_add_capability(device, PCI_CAP_ID_MSI, data, writable, sizeof(data));
	if (at < 0)
		return at;
	device->pci->msi = (unsigned int)at;
	ret = vfioext_user_device_set_irq(device, VFIO_PCI_MSI_IRQ_INDEX, vectors,
					  VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE);
	return ret ? ret : at;
}

static bool is_in_bars(const struct vfioext_user_device *device,
		       const struct vfioext_user_msix *msix)
{
	if (msix->table_bar >= PCI_STD_NUM_BARS || msix->pba_bar >= PCI_STD_NUM_BARS ||
	    msix->table_offset % 8 || msix->pba_offset % 8)
		return false;
	return holds_msix(msix, msix->table_bar, device->regions[msix->table_bar].public.size) &&
	       holds_msix(msix, msix->pba_bar, device->regions[msix->pba_bar].public.size);
}

int vfioext_user_pci_add_msix(struct vfioext_user_device *device,
			      const struct vfioext_user_msix *msix)
{
	uint8_t data[PCI_CAP_MSIX_SIZEOF - 2] = { 0 }, writable[PCI_CAP_MSIX_SIZEOF - 2] = { 0 };
	unsigned int nr = msix->vectors;
	int at, ret;

	if (!nr || nr > PCI_MSIX_FLAGS_QSIZE + 1 || !is_in_bars(device, msix))
		return -EINVAL;
	put16(data, (uint16_t)(nr - 1));
	put32(data + PCI_MSIX_TABLE - 2, msix->table_offset | msix->table_bar);
	put32(data + PCI_MSIX_PBA - 2, msix->pba_offset | msix->pba_bar);
	put16(writable, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	at = vfioext_user_pci_add_capability(device, PCI_CAP_ID_MSIX, data, writable, sizeof(data));
	if (at < 0)
		return at;
	device->pci->msix = *msix;
	ret = vfioext_user_device_set_irq(device, VFIO_PCI_MSIX_IRQ_INDEX, nr,
					  VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE);
	return ret ? ret : at;
}

/* A driver resets the device through its configuration space. */
static int function_reset(struct vfioext_user_device *device)
{
	int ret = device->ops->reset(device);

	if (!ret)
		pci_reset(device);
	return ret;
}

/* Is the bit in what is written that asks for a reset? It reads as 0. */
static bool asks_for_reset(const struct vfioext_user_device *device, const uint8_t *from,
			   size_t count, uint64_t offset)
{
	/* The high byte of the register. */
	uint64_t at = device->pci->express + PCI_EXP_DEVCTL + 1;

	return device->pci->express && device->ops->reset && offset <= at && at - offset < count &&
	       from[at - offset] & (PCI_EXP_DEVCTL_BCR_FLR >> 8);
}

/* No more vectors of MSI are enabled than there are. */
static void clamp_msi(struct user_pci *pci)
{
	uint8_t *flags = pci->bytes + pci->msi + PCI_MSI_FLAGS;
	uint8_t most = (*flags & PCI_MSI_FLAGS_QMASK) >> 1;

	if (pci->msi && (*flags & PCI_MSI_FLAGS_QSIZE) >> 4 > most)
		*flags = (uint8_t)((*flags & ~PCI_MSI_FLAGS_QSIZE) | most << 4);
}

int pci_access(struct vfioext_user_device *device, unsigned int region, void *buffer,
	       size_t count, uint64_t offset, bool write)
{
	struct user_pci *pci = device->pci;
	const uint8_t *from = buffer;
	uint32_t command;
	size_t i;

	if (!pci || region != VFIO_PCI_CONFIG_REGION_INDEX)
		return 0;
	if (!write) {
		memcpy(buffer, pci->bytes + offset, count);
		return 1;
	}
	command = vfioext_user_pci_read(device, PCI_COMMAND, 2);
	for (i = 0; i < count; i++) {
		uint8_t mask = pci->writable[offset + i], *at = &pci->bytes[offset + i];

		*at = (uint8_t)((*at & ~mask) | (from[i] & mask));
	}
	clamp_msi(pci);
	if (command & ~vfioext_user_pci_read(device, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE)
		signal_pin(device);
	if (asks_for_reset(device, from, count, offset))
		return function_reset(device) ? -EIO : 1;
	if (device->ops->config_written)
		device->ops->config_written(device, (unsigned int)offset, (unsigned int)count);
	return 1;
}
