// SPDX-License-Identifier: GPL-2.0-only
/* A PCI device that keeps what is written to it, in a BAR that clients can map. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/user_pci.h>

#include "example.h"

#define BAR_SIZE 0x10000

struct null {
	int fd;
	void *memory;
};

static int null_reset(struct vfioext_user_device *device)
{
	const struct null *null = vfioext_user_device_data(device);

	memset(null->memory, 0, BAR_SIZE);
	return 0;
}

static const struct vfioext_user_ops null_ops = {
	.reset = null_reset,
};

static void null_free(void *data)
{
	struct null *null = data;

	if (null->memory)
		munmap(null->memory, BAR_SIZE);
	if (null->fd >= 0)
		close(null->fd);
	free(null);
}

/* Clients cannot make it shorter. */
static int make_memory(struct null *null)
{
	void *memory;

	null->fd = memfd_create("vfioext-null", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (null->fd < 0 || ftruncate(null->fd, BAR_SIZE) ||
	    fcntl(null->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	memory = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, null->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	null->memory = memory;
	return 0;
}

static int make_pci(struct vfioext_user_device *device, const struct null *null)
{
	struct vfioext_user_pci pci = {
		.vendor = 0x1b36,
		.device = 0x0005,
		.class_code = 0x00ff00,
		.express = true,
	};
	struct vfioext_user_region bar = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE | VFIOEXT_REGION_MMAP,
		.size = BAR_SIZE,
		.memory = null->memory,
		.fd = null->fd,
	};
	int ret;

	ret = vfioext_user_pci_init(device, &pci);
	if (!ret)
		ret = vfioext_user_pci_set_bar(device, 0, VFIOEXT_USER_BAR_64, &bar);
	return ret;
}

static int null_make(struct vfioext_user *server, struct vfioext_user_device **device)
{
	struct null *null = calloc(1, sizeof(*null));
	int ret;

	if (!null)
		return -ENOMEM;
	null->fd = -1;
	ret = make_memory(null);
	if (!ret)
		ret = vfioext_user_device_new(server, &null_ops, null, device);
	if (ret)
		goto err_free;
	ret = make_pci(*device, null);
	if (ret)
		goto err_device;
	return 0;

err_device:
	vfioext_user_device_free(*device);
err_free:
	null_free(null);
	return ret;
}

const struct example example_null = {
	.name = "null",
	.summary = "a BAR of memory, which can be mapped",
	.make = null_make,
	.free = null_free,
};
