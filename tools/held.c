// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration space of a device that somebody else has open: the kernel lets
 * an administrator at it through sysfs. Nothing else of such a device can be reached.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vfioext.h"

static int open_config(const char *name, int flags)
{
	struct vfioext_device_info info;
	struct vfioext *ctx = open_context();
	char path[128];
	int fd = -1;

	if (ctx && !vfioext_find_device(ctx, name, &info) && !strcmp(info.bus, "pci")) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", info.name);
		fd = open(path, flags | O_CLOEXEC);
	}
	vfioext_free(ctx);
	return fd;
}

static bool is_config(const struct place *place)
{
	return place->region == VFIO_PCI_CONFIG_REGION_INDEX;
}

bool held_read(const char *name, const struct place *place, unsigned int width, uint64_t *value)
{
	int fd = is_config(place) ? open_config(name, O_RDONLY) : -1;
	uint64_t raw = 0;
	bool done;

	if (fd < 0)
		return false;
	done = pread(fd, &raw, width, (off_t)place->offset) == (ssize_t)width;
	close(fd);
	*value = le64toh(raw);
	return done;
}

bool held_write(const char *name, const struct place *place, unsigned int width, uint64_t value)
{
	int fd = is_config(place) ? open_config(name, O_WRONLY) : -1;
	uint64_t raw = htole64(value);
	bool done;

	if (fd < 0)
		return false;
	done = pwrite(fd, &raw, width, (off_t)place->offset) == (ssize_t)width;
	close(fd);
	return done;
}
