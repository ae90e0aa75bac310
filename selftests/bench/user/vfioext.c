// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <vfioext/user_pci.h>

#include "bench.h"

const char server_name[] = "vfioext";

static uint8_t memory[REGION_SIZE];
static double rate;

static int region_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		       size_t count, uint64_t offset)
{
	(void)device;
	(void)region;
	memcpy(buffer, memory + offset, count);
	return 0;
}

static int region_write(struct vfioext_user_device *device, unsigned int region,
			const void *buffer, size_t count, uint64_t offset)
{
	double begin;
	int i;

	(void)region;
	memcpy(memory + offset, buffer, count);
	if (offset != REGISTER_SIGNAL)
		return 0;
	begin = now();
	for (i = 0; i < SIGNALS; i++)
		vfioext_user_irq_trigger(device, VFIO_PCI_MSIX_IRQ_INDEX, 0);
	rate = SIGNALS / (now() - begin);
	memcpy(memory + REGISTER_SIGNAL, &rate, sizeof(rate));
	return 0;
}

static const struct vfioext_user_ops ops = { .read = region_read, .write = region_write };

static void add(struct vfioext_user *server, const char *path, int nr)
{
	const struct vfioext_user_pci pci = { .vendor = 0x1234, .device = 1 };
	const struct vfioext_user_region bar = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE,
		.size = REGION_SIZE,
		.fd = -1,
	};
	struct vfioext_user_device *device;
	char name[108];

	snprintf(name, sizeof(name), "%s.%d", path, nr);
	if (vfioext_user_device_new(server, &ops, NULL, &device) ||
	    vfioext_user_pci_init(device, &pci) || vfioext_user_pci_set_bar(device, 0, 0, &bar) ||
	    vfioext_user_device_set_irq(device, VFIO_PCI_MSIX_IRQ_INDEX, VECTORS,
					VFIO_IRQ_INFO_EVENTFD) ||
	    vfioext_user_device_start(device, name, 0))
		errx(1, "%s", name);
}

void serve(const char *path, int nr)
{
	struct vfioext_user *server;
	struct vfioext *ctx;
	int i;

	if (vfioext_new(&ctx, NULL) || vfioext_user_new(ctx, NULL, NULL, &server))
		errx(1, "server");
	for (i = 0; i < nr; i++)
		add(server, path, i);
	for (;;)
		vfioext_user_wait(server, -1);
}
