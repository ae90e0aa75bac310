// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PCI Express device that does nothing: memory in a BAR that clients can map but for
 * the tables of MSI-X, and ports that keep what is written to them. The number that is
 * written to the first of them is that of the vector that is signaled.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/user_pci.h>

#include "example.h"

#define BAR_SIZE 0x10000
#define TABLES 0xf000
#define PORTS 32
#define VECTORS 16

struct null {
	struct vfioext_user_region memory;
	uint8_t ports[PORTS];
};

static int null_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		     size_t count, uint64_t offset)
{
	const struct null *null = vfioext_user_device_data(device);

	(void)region;
	memcpy(buffer, null->ports + offset, count);
	return 0;
}

static int null_write(struct vfioext_user_device *device, unsigned int region,
		      const void *buffer, size_t count, uint64_t offset)
{
	struct null *null = vfioext_user_device_data(device);

	(void)region;
	memcpy(null->ports + offset, buffer, count);
	if (!offset && count)
		vfioext_user_irq_trigger(device, VFIO_PCI_MSIX_IRQ_INDEX, null->ports[0]);
	return 0;
}

static int null_reset(struct vfioext_user_device *device)
{
	struct null *null = vfioext_user_device_data(device);

	memset(null->memory.memory, 0, BAR_SIZE);
	memset(null->ports, 0, PORTS);
	return 0;
}

static const struct vfioext_user_ops null_ops = {
	.read = null_read,
	.write = null_write,
	.reset = null_reset,
};

static void null_free(void *data)
{
	struct null *null = data;

	vfioext_user_region_free(&null->memory);
	free(null);
}

static int make_pci(struct vfioext_user_device *device, struct null *null)
{
	struct vfioext_user_pci pci = {
		.vendor = 0x1234,
		.device = 0x11e9,
		.class_code = 0x00ff00,
		.express = true,
	};
	struct vfioext_area mappable = { .size = TABLES };
	struct vfioext_user_region ports = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE,
		.size = PORTS,
		.fd = -1,
	};
	struct vfioext_user_msix msix = {
		.vectors = VECTORS,
		.table_offset = TABLES,
		.pba_offset = TABLES + 0x800,
	};
	int ret;

	ret = vfioext_user_region_alloc(&null->memory);
	if (ret)
		return ret;
	null->memory.areas = &mappable;
	null->memory.nr_areas = 1;
	ret = vfioext_user_pci_init(device, &pci);
	if (!ret)
		ret = vfioext_user_pci_set_bar(device, 0, VFIOEXT_USER_BAR_64, &null->memory);
	if (!ret)
		ret = vfioext_user_pci_set_bar(device, 2, VFIOEXT_USER_BAR_IO, &ports);
	if (!ret)
		ret = vfioext_user_pci_add_pm(device);
	if (ret >= 0)
		ret = vfioext_user_pci_add_msix(device, &msix);
	return ret < 0 ? ret : 0;
}

static int null_make(struct vfioext_user *server, struct vfioext_user_device **device)
{
	struct null *null = calloc(1, sizeof(*null));
	struct vfioext_user_device *new;
	int ret;

	if (!null)
		return -ENOMEM;
	null->memory.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE;
	null->memory.size = BAR_SIZE;
	ret = vfioext_user_device_new(server, &null_ops, null, &new);
	if (ret)
		goto err_free;
	ret = make_pci(new, null);
	if (ret)
		goto err_device;
	*device = new;
	return 0;

err_device:
	vfioext_user_device_free(new);
err_free:
	null_free(null);
	return ret;
}

const struct example example_null = {
	.name = "null",
	.make = null_make,
	.free = null_free,
};
