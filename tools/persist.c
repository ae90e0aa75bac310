// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which driver a device has at every boot. driverctl's configuration where that is installed,
 * so that it can be read and undone by it; else a rule for udev. Either sets driver_override
 * when the device is found, and the rule has the device bound by this tool, which takes it from
 * a driver of the initramfs only if it is not in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfioext.h"

#define DRIVERCTL_DIR "/etc/driverctl.d"
#define RULES_DIR "/etc/udev/rules.d"

static void driverctl_path(const struct vfioext_device_info *info, char *path, size_t size)
{
	snprintf(path, size, DRIVERCTL_DIR "/pci-%s", info->name);
}

static void rule_path(const struct vfioext_device_info *info, char *path, size_t size)
{
	/* Before 80-drivers.rules, which loads the driver of the host. */
	snprintf(path, size, RULES_DIR "/60-vfioext-%s.rules", info->name);
}

static bool has_driverctl(void)
{
	return !access("/usr/sbin/driverctl", X_OK) || !access("/sbin/driverctl", X_OK);
}

/* The driver that is set aside for others than the host must be asked for by name. */
static bool needs_override(const struct vfioext_device_info *info)
{
	static const char *const drivers[] = {
		"pci-stub", "pciback", "xen-pciback", "uio_pci_generic", "igb_uio",
	};
	size_t i;

	for (i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (!strcmp(info->driver, drivers[i]))
			return true;
	return info->vfio;
}

static void write_override(const struct vfioext_device_info *info, const char *driver)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", info->name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, driver, strlen(driver)) < 0)
		error("driver_override of %s: %s", info->name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* The whole file or none of it. Return: 0 or an error. */
static int write_file(const char *dir, const char *path, const char *text)
{
	char temporary[64];
	ssize_t len = (ssize_t)strlen(text);
	int fd, ret = 0;

	snprintf(temporary, sizeof(temporary), "%s/.vfioext-XXXXXX", dir);
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)len) != len || fchmod(fd, 0644) || fsync(fd))
		ret = errno ? -errno : -EIO;
	close(fd);
	if (!ret && rename(temporary, path))
		ret = -errno;
	if (ret)
		unlink(temporary);
	return ret;
}

static void print_rule(const struct vfioext_device_info *info, char *text, size_t size)
{
	char tool[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", tool, sizeof(tool) - 1);

	tool[len > 0 ? len : 0] = '\0';
	snprintf(text, size,
		 "# Written by 'vfioext bind --persist'; 'vfioext unbind %s --persist' removes it.\n"
		 "ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", ATTR{vendor}==\"0x%04x\", ATTR{device}==\"0x%04x\", ATTR{driver_override}=\"%s\", RUN+=\"%s bind %s --driver %s\"\n",
		 info->name, info->name, info->vendor, info->device, info->driver,
		 len > 0 ? tool : "/usr/sbin/vfioext", info->name, info->driver);
}

bool persist_find(const struct vfioext_device_info *info)
{
	char path[128];

	driverctl_path(info, path, sizeof(path));
	if (!access(path, F_OK))
		return true;
	rule_path(info, path, sizeof(path));
	return !access(path, F_OK);
}

static int persist_remove(const struct vfioext_device_info *info)
{
	char paths[2][128];
	size_t i;

	driverctl_path(info, paths[0], sizeof(paths[0]));
	rule_path(info, paths[1], sizeof(paths[1]));
	for (i = 0; i < 2; i++) {
		if (unlink(paths[i]) && errno != ENOENT) {
			error("%s: %s", paths[i], strerror(errno));
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}

int persist_undo(const struct vfioext_device_info *info, bool quiet)
{
	int ret;

	if (!persist_find(info))
		return EXIT_DONE;
	ret = persist_remove(info);
	if (ret)
		return ret;
	/* driverctl leaves it so, too. */
	write_override(info, "\n");
	if (!quiet)
		printf("%s has its own driver again at the next boot\n", info->name);
	return EXIT_DONE;
}

int persist_keep(const struct vfioext_device_info *info, bool quiet)
{
	char path[128], other[128], text[PATH_MAX + 1024];
	bool driverctl = has_driverctl();
	int ret;

	/* A driver of the host comes by itself. */
	if (!needs_override(info))
		return persist_undo(info, quiet);
	driverctl_path(info, driverctl ? path : other, sizeof(path));
	rule_path(info, driverctl ? other : path, sizeof(path));
	if (driverctl)
		snprintf(text, sizeof(text), "%s\n", info->driver);
	else
		print_rule(info, text, sizeof(text));
	/* What was kept before is kept if this fails. */
	ret = write_file(driverctl ? DRIVERCTL_DIR : RULES_DIR, path, text);
	if (!ret && unlink(other) && errno != ENOENT)
		ret = -errno;
	if (ret) {
		error("%s: %s", path, strerror(-ret));
		return EXIT_FAILED;
	}
	write_override(info, info->driver);
	if (!quiet)
		printf("%s is bound to %s at every boot, by %s\n", info->name, info->driver, path);
	return EXIT_DONE;
}
