// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which driver has a device. Whatever fails, the device ends with the driver and the
 * driver_override that it had.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <vfioext/bind.h>
#include <vfioext/discovery.h>

#include "bind.h"
#include "context.h"
#include "klog.h"
#include "refusal.h"
#include "settle.h"
#include "sysfs.h"

/*
 * A device whose driver is being changed.
 * @info: as it was, and so @override, "" if there was none
 * @lock: its directory in sysfs, locked against others that do the same
 * @log: the kernel's, since the change began
 */
struct change {
	struct vfioext *ctx;
	struct vfioext_device_info info;
	char override[VFIOEXT_NAME_SIZE];
	int lock;
	int log;
};

static int write_override(struct change *change, const char *driver)
{
	return sysfs_write(change->ctx, driver[0] ? driver : "\n",
			   "bus/pci/devices/%s/driver_override", change->info.name);
}

static int read_override(struct change *change)
{
	int ret = sysfs_read(change->ctx, change->override, sizeof(change->override),
			     "bus/pci/devices/%s/driver_override", change->info.name);

	if (ret >= 0 && !strcmp(change->override, "(null)"))
		change->override[0] = '\0';
	return ret < 0 ? ret : 0;
}

static int lock_device(struct change *change)
{
	char path[SYSFS_SIZE + 128];
	int ret;

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", change->ctx->sysfs, change->info.name);
	change->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (change->lock < 0)
		return context_fail(change->ctx, -errno, "%s: %s", path, strerror(errno));
	if (!flock(change->lock, LOCK_EX | LOCK_NB))
		return 0;
	ret = -errno;
	close(change->lock);
	if (ret == -EWOULDBLOCK)
		return context_fail(change->ctx, -EBUSY, "another program is just binding %s",
				    change->info.name);
	return context_fail(change->ctx, ret, "locking %s: %s", change->info.name, strerror(-ret));
}

/* Nothing is changed until this has succeeded; change_end() is its reverse. */
static int change_begin(struct change *change, const char *override)
{
	int ret;

	ret = lock_device(change);
	if (ret)
		return ret;
	ret = read_override(change);
	if (!ret && strcmp(change->override, override))
		ret = write_override(change, override);
	if (ret) {
		close(change->lock);
		return context_fail(change->ctx, ret, "driver_override of %s: %s%s",
				    change->info.name, strerror(-ret),
				    ret == -EACCES ? "; this takes root" : "");
	}
	change->log = klog_begin(change->ctx);
	return 0;
}

/* Say in addition to what has failed that the device is not as it was. */
static void tell_not_restored(struct change *change, const char *what, int error)
{
	char failed[sizeof(change->ctx->message)];

	snprintf(failed, sizeof(failed), "%s", change->ctx->message);
	context_fail(change->ctx, 0, "%.300s; then %s of %s could not be restored: %s", failed, what,
		     change->info.name, strerror(-error));
}

static void change_end(struct change *change)
{
	int ret = write_override(change, change->override);

	/* A device that was unplugged has none. */
	if (ret && ret != -ENOENT)
		tell_not_restored(change, "driver_override", ret);
	klog_end(change->log);
	close(change->lock);
}

/* The driver's own answer, which drivers_probe would not tell. */
static int attach(struct change *change, const char *driver)
{
	return sysfs_write(change->ctx, change->info.name, "bus/pci/drivers/%s/bind", driver);
}

/*
 * Undo what take() has left. By the override the former driver takes the device whatever it
 * matches otherwise.
 */
static void attach_again(struct change *change)
{
	const char *driver = change->info.driver, *name = change->info.name;
	char bound[VFIOEXT_NAME_SIZE];
	int ret;

	/* One that did not get ready in time has it still; the former may have it already. */
	if (!sysfs_read_link(change->ctx, bound, sizeof(bound), "bus/pci/devices/%s/driver", name)) {
		if (!strcmp(bound, driver))
			return;
		sysfs_write(change->ctx, name, "bus/pci/drivers/%s/unbind", bound);
	}
	if (!driver[0])
		return;
	ret = write_override(change, driver);
	if (!ret)
		ret = attach(change, driver);
	if (ret)
		tell_not_restored(change, "the driver", ret);
}

static int detach(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	int ret = sysfs_write(ctx, info->name, "bus/%s/drivers/%s/unbind", info->bus, info->driver);

	if (ret)
		return context_fail(ctx, ret, "unbinding %s from %s: %s", info->name, info->driver,
				    strerror(-ret));
	return 0;
}

bool is_vfio_driver(const char *driver)
{
	return strstr(driver, "vfio");
}

/* Where vfio does without, a device gets a group of its own as it is bound. */
static bool may_lack_iommu(struct vfioext *ctx)
{
	char allowed[8];

	return sysfs_read(ctx, allowed, sizeof(allowed),
			  "module/vfio/parameters/enable_unsafe_noiommu_mode") > 0 &&
	       allowed[0] == 'Y';
}

static int fail_no_group(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	return context_fail(ctx, -EOPNOTSUPP, "%s has no IOMMU group; is the IOMMU on?", info->name);
}

static bool has_group(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	return sysfs_exists(ctx, "bus/pci/devices/%s/iommu_group", info->name);
}

/* In sysfs a driver has the name that it chose; as a module it may be spelled otherwise. */
static bool same_driver(const char *a, const char *b)
{
	while (*a && (*a == *b || (strchr("-_", *a) && *b && strchr("-_", *b)))) {
		a++;
		b++;
	}
	return !*a && !*b;
}

int vfioext_find_driver(struct vfioext *ctx, const char *name, char *driver)
{
	int nr, i, ret = -ENOENT;
	char **names;

	ctx->message[0] = '\0';
	if (!name[0] || strchr(name, '/') || name[0] == '.' || strlen(name) >= VFIOEXT_NAME_SIZE)
		return context_fail(ctx, -EINVAL, "'%.64s' is no name of a driver", name);
	strcpy(driver, name);
	if (sysfs_exists(ctx, "bus/pci/drivers/%s", name))
		return 0;
	nr = sysfs_list(ctx, &names, "bus/pci/drivers");
	for (i = 0; i < nr && ret; i++) {
		if (!same_driver(names[i], name) || strlen(names[i]) >= VFIOEXT_NAME_SIZE)
			continue;
		strcpy(driver, names[i]);
		ret = 0;
	}
	if (nr >= 0)
		sysfs_list_free(names, nr);
	if (ret)
		return context_fail(ctx, ret, "there is no PCI driver %s; modprobe it first", name);
	return 0;
}

static int check_driver(struct vfioext *ctx, const struct vfioext_device_info *info,
			const char *name, char *driver)
{
	int ret = vfioext_find_driver(ctx, name, driver);

	/* With a device tree a device gets its group with its first driver, maybe this one. */
	if (info->group < 0 && info->driver[0] && is_vfio_driver(name) && !may_lack_iommu(ctx))
		return fail_no_group(ctx, info);
	if (ret)
		return ret == -EINVAL ? -ENOENT : ret;
	if (!strcmp(info->driver, driver))
		return context_fail(ctx, -EALREADY, "%s is bound to %s already", info->name, driver);
	return 0;
}

/* Have @driver take the device, and be sure that it keeps it. */
static int take(struct change *change, const char *driver)
{
	struct vfioext *ctx = change->ctx;
	char child[VFIOEXT_NAME_SIZE] = "";
	int ret;

	ret = attach(change, driver);
	if (ret && change->info.group < 0 && is_vfio_driver(driver) &&
	    !has_group(ctx, &change->info))
		return fail_no_group(ctx, &change->info);
	if (!ret) {
		if (sysfs_exists(ctx, "bus/pci/devices/%s/vfio-dev", change->info.name))
			return 0;
		ret = settle(ctx, change->info.name, driver, child, sizeof(child));
		if (ret == -ENODEV)
			ret = -ENOTCONN;
	}
	return ret ? refusal_explain(ctx, &change->info, driver, ret, change->log, child) : 0;
}

int vfioext_bind(struct vfioext *ctx, const char *name, const char *driver)
{
	struct change change = { .ctx = ctx };
	char found[VFIOEXT_NAME_SIZE] = "";
	int ret;

	ret = vfioext_find_device(ctx, name, &change.info);
	if (ret)
		return ret;
	if (!strcmp(change.info.bus, "mdev"))
		return bind_mdev(ctx, &change.info, driver);
	ret = check_driver(ctx, &change.info, driver ? driver : "vfio-pci", found);
	if (!ret)
		ret = change_begin(&change, found);
	if (ret)
		return ret;

	if (change.info.driver[0])
		ret = detach(ctx, &change.info);
	if (!ret) {
		ret = take(&change, found);
		if (ret)
			attach_again(&change);
	}
	change_end(&change);
	return ret;
}

int vfioext_unbind(struct vfioext *ctx, const char *name)
{
	struct vfioext_device_info info;
	int ret;

	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return ret;
	if (!info.driver[0])
		return context_fail(ctx, -EALREADY, "%s has no driver", info.name);
	return detach(ctx, &info);
}

/* Let the bus choose. */
static int probe(struct change *change)
{
	struct vfioext *ctx = change->ctx;
	const char *device = change->info.name;
	char driver[VFIOEXT_NAME_SIZE], child[VFIOEXT_NAME_SIZE] = "";
	int ret;

	ret = sysfs_write(ctx, device, "bus/pci/drivers_probe");
	/* The kernel says so also when it keeps all drivers from the group. */
	if (ret == -EINVAL && explain_owner(ctx, &change->info, NULL))
		return -EBUSY;
	if (ret)
		return context_fail(ctx, ret, "probing %s: %s", device, strerror(-ret));
	ret = sysfs_read_link(ctx, driver, sizeof(driver), "bus/pci/devices/%s/driver", device);
	/* It was told the device's numbers, and may be asked before the host's. */
	if (!ret && is_vfio_driver(driver))
		return context_fail(ctx, -ENOENT,
				    "%s takes %s by its numbers (its parameter ids, or new_id); give it to the host's driver by name: 'vfioext bind %s --driver NAME'",
				    driver, device, device);
	if (!ret) {
		ret = settle(ctx, device, driver, child, sizeof(child));
		if (ret == -ENODEV)
			ret = -ENOTCONN;
		return ret ? refusal_explain(ctx, &change->info, driver, ret, change->log, child) :
			     0;
	}
	if (ret != -ENOENT)
		return context_fail(ctx, ret, "the driver of %s: %s", device, strerror(-ret));
	if (explain_owner(ctx, &change->info, NULL))
		return -EBUSY;
	return context_fail(ctx, -ENOENT, "no loaded driver of the host took %s", device);
}

int vfioext_give_back(struct vfioext *ctx, const char *name)
{
	struct change change = { .ctx = ctx };
	int ret;

	ret = vfioext_find_device(ctx, name, &change.info);
	if (ret)
		return ret;
	if (change.info.driver[0] && !change.info.vfio)
		return context_fail(ctx, -EALREADY, "%s is bound to %s", change.info.name,
				    change.info.driver);
	if (strcmp(change.info.bus, "pci"))
		return context_fail(ctx, -EOPNOTSUPP, "%s is an mdev, which the host has no driver for",
				    change.info.name);
	ret = read_override(&change);
	if (!ret)
		ret = change_begin(&change, is_vfio_driver(change.override) ? "" : change.override);
	if (ret)
		return ret;
	if (change.info.driver[0])
		ret = detach(ctx, &change.info);
	if (!ret) {
		ret = probe(&change);
		if (ret)
			attach_again(&change);
	}
	change_end(&change);
	return ret;
}
