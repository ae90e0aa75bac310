// SPDX-License-Identifier: LGPL-2.1-or-later
/* Drivers in user space, and which devices are theirs. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/config.h>
#include <vfioext/driver.h>

#include "context.h"

struct bound {
	struct bound *next;
	const struct vfioext_driver *driver;
	struct vfioext_device *device;
};

/*
 * @drivers: in the order of trying
 * @bound: devices that have a driver
 * @left_out: those that the last scan has found none for
 */
struct vfioext_bus {
	struct vfioext *ctx;
	struct vfioext_open how;
	char *vf_token;
	const struct vfioext_driver **drivers;
	size_t nr_drivers;
	struct bound *bound;
	struct vfioext_left_out *left_out;
	size_t nr_left_out;
};

static void take_ids(struct vfioext_device *device, struct vfioext_device_info *info)
{
	info->vendor = (uint16_t)vfioext_config_read(device, PCI_VENDOR_ID, 2);
	info->device = (uint16_t)vfioext_config_read(device, PCI_DEVICE_ID, 2);
	info->subsystem_vendor = (uint16_t)vfioext_config_read(device, PCI_SUBSYSTEM_VENDOR_ID, 2);
	info->subsystem_device = (uint16_t)vfioext_config_read(device, PCI_SUBSYSTEM_ID, 2);
	info->class_code = vfioext_config_read(device, PCI_CLASS_REVISION, 4) >> 8;
}

int vfioext_read_mdev_ids(struct vfioext *ctx, struct vfioext_device_info *info)
{
	struct vfioext_device *device;
	int ret;

	if (strcmp(info->bus, "mdev") || strcmp(info->device_api, "vfio-pci"))
		return -EINVAL;
	ret = vfioext_device_open(ctx, info->name, NULL, &device);
	if (ret)
		return ret;
	take_ids(device, info);
	vfioext_device_close(device);
	return 0;
}

static bool fits(uint32_t wanted, uint32_t has)
{
	return wanted == VFIOEXT_ANY_ID || wanted == has;
}

static bool wants_ids(const struct vfioext_device_id *id)
{
	return id->vendor != VFIOEXT_ANY_ID || id->device != VFIOEXT_ANY_ID ||
	       id->subsystem_vendor != VFIOEXT_ANY_ID || id->subsystem_device != VFIOEXT_ANY_ID ||
	       id->class_mask;
}

static bool ids_fit(const struct vfioext_device_info *info, const struct vfioext_device_id *id)
{
	return fits(id->vendor, info->vendor) && fits(id->device, info->device) &&
	       fits(id->subsystem_vendor, info->subsystem_vendor) &&
	       fits(id->subsystem_device, info->subsystem_device) &&
	       !((info->class_code ^ id->class_code) & id->class_mask);
}

static const char *api_of(const struct vfioext_device_info *info)
{
	return strcmp(info->bus, "mdev") ? "vfio-pci" : info->device_api;
}

static bool bus_fits(const struct vfioext_device_info *info, const struct vfioext_device_id *id)
{
	return (!id->bus || !strcmp(id->bus, info->bus)) &&
	       !strcmp(id->device_api ? id->device_api : "vfio-pci", api_of(info));
}

int vfioext_match(struct vfioext *ctx, const struct vfioext_device_info *info,
		  const struct vfioext_device_id *id)
{
	struct vfioext_device_info read = *info;
	int ret;

	if (!bus_fits(info, id))
		return 0;
	if (!wants_ids(id))
		return 1;
	if (!strcmp(info->bus, "mdev") && !info->vendor) {
		ret = vfioext_read_mdev_ids(ctx, &read);
		if (ret == -EINVAL)
			return 0;
		if (ret)
			return ret;
	}
	return ids_fit(&read, id);
}

int vfioext_bus_new(struct vfioext *ctx, const struct vfioext_open *how, struct vfioext_bus **bus)
{
	struct vfioext_bus *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->ctx = ctx;
	if (how)
		new->how = *how;
	if (new->how.vf_token) {
		new->vf_token = strdup(new->how.vf_token);
		new->how.vf_token = new->vf_token;
		if (!new->vf_token) {
			free(new);
			return -ENOMEM;
		}
	}
	*bus = new;
	return 0;
}

static void unbind(struct bound **at)
{
	struct bound *bound = *at;

	*at = bound->next;
	if (bound->driver->remove)
		bound->driver->remove(bound->driver, bound->device);
	vfioext_device_close(bound->device);
	free(bound);
}

void vfioext_bus_free(struct vfioext_bus *bus)
{
	if (!bus)
		return;
	while (bus->bound)
		unbind(&bus->bound);
	free(bus->drivers);
	free(bus->left_out);
	free(bus->vf_token);
	free(bus);
}

int vfioext_bus_register(struct vfioext_bus *bus, const struct vfioext_driver *driver)
{
	const struct vfioext_driver **more;
	size_t i;

	for (i = 0; i < bus->nr_drivers; i++)
		if (!strcmp(bus->drivers[i]->name, driver->name))
			return -EEXIST;
	more = realloc(bus->drivers, (bus->nr_drivers + 1) * sizeof(void *));
	if (!more)
		return -ENOMEM;
	bus->drivers = more;
	more[bus->nr_drivers++] = driver;
	return 0;
}

static struct bound **find_bound(struct vfioext_bus *bus, const char *name)
{
	struct bound **at = &bus->bound;

	while (*at && strcmp(vfioext_device_info((*at)->device)->name, name))
		at = &(*at)->next;
	return at;
}

static bool drives(struct vfioext_bus *bus, const struct vfioext_driver *driver,
		   const struct vfioext_device_info *info)
{
	size_t i;

	for (i = 0; i < driver->nr_ids; i++)
		if (vfioext_match(bus->ctx, info, &driver->ids[i]) == 1)
			return true;
	return false;
}

/* Each driver gets a device that is open anew, whatever the one before did to it. */
static int probe(struct vfioext_bus *bus, const struct vfioext_driver *driver, const char *name)
{
	struct bound *bound = calloc(1, sizeof(*bound));
	int ret;

	if (!bound)
		return -ENOMEM;
	ret = vfioext_device_open(bus->ctx, name, &bus->how, &bound->device);
	if (!ret)
		ret = driver->probe(driver, bound->device);
	if (ret) {
		vfioext_device_close(bound->device);
		free(bound);
		return ret;
	}
	bound->driver = driver;
	bound->next = bus->bound;
	bus->bound = bound;
	return 0;
}

/* To read the ids of an mdev takes to open it, which resets it. */
static bool wants_mdev_ids(const struct vfioext_bus *bus, const struct vfioext_device_info *info)
{
	const struct vfioext_device_id *id;
	size_t i, j;

	for (i = 0; i < bus->nr_drivers; i++) {
		for (j = 0; j < bus->drivers[i]->nr_ids; j++) {
			id = &bus->drivers[i]->ids[j];
			if (bus_fits(info, id) && wants_ids(id))
				return true;
		}
	}
	return false;
}

/* @wanted: a driver is for it, or its ids could not be read to see that none is */
static int probe_all(struct vfioext_bus *bus, const struct vfioext_device_info *info, bool *wanted)
{
	struct vfioext_device_info known = *info;
	int ret = -ENOENT, error = 0;
	size_t i;

	if (!strcmp(known.bus, "mdev") && wants_mdev_ids(bus, info))
		error = vfioext_read_mdev_ids(bus->ctx, &known);
	/* One of another API has none. */
	*wanted = error && error != -EINVAL;
	if (*wanted)
		ret = error;
	for (i = 0; i < bus->nr_drivers && ret; i++) {
		if (!drives(bus, bus->drivers[i], &known))
			continue;
		*wanted = true;
		ret = probe(bus, bus->drivers[i], known.name);
	}
	return ret;
}

int vfioext_bus_plug(struct vfioext_bus *bus, const char *name)
{
	struct vfioext_device_info info;
	int ret = vfioext_find_device(bus->ctx, name, &info);
	bool wanted;

	if (ret)
		return ret;
	if (*find_bound(bus, info.name))
		return -EALREADY;
	if (!info.vfio)
		return context_fail(bus->ctx, -ENXIO, "%s is not bound to a VFIO driver; "
				    "'vfioext bind %s' binds it", info.name, info.name);
	return probe_all(bus, &info, &wanted);
}

int vfioext_bus_unplug(struct vfioext_bus *bus, const char *name)
{
	struct bound **at = find_bound(bus, name);

	if (!*at)
		return -ENOENT;
	unbind(at);
	return 0;
}

static bool is_listed(const struct vfioext_device_list *devices, const char *name)
{
	size_t i;

	for (i = 0; i < devices->nr; i++)
		if (devices->list[i].vfio && !strcmp(devices->list[i].name, name))
			return true;
	return false;
}

static bool is_gone(const struct vfioext_device *device, const struct vfioext_device_list *devices)
{
	return vfioext_device_lost(device) || !is_listed(devices, vfioext_device_info(device)->name);
}

/* From the beginning each time: a driver may unplug others when it gives one back. */
static void remove_gone(struct vfioext_bus *bus, const struct vfioext_device_list *devices)
{
	struct bound **at = &bus->bound;

	while (*at) {
		if (is_gone((*at)->device, devices)) {
			unbind(at);
			at = &bus->bound;
		} else {
			at = &(*at)->next;
		}
	}
}

static int leave_out(struct vfioext_bus *bus, const char *name, int error)
{
	struct vfioext_left_out *more;

	more = realloc(bus->left_out, (bus->nr_left_out + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	bus->left_out = more;
	more += bus->nr_left_out++;
	strcpy(more->name, name);
	more->error = error;
	snprintf(more->reason, sizeof(more->reason), "%.*s", (int)sizeof(more->reason) - 1,
		 bus->ctx->message);
	return 0;
}

const struct vfioext_left_out *vfioext_bus_left_out(const struct vfioext_bus *bus, size_t *nr)
{
	*nr = bus->nr_left_out;
	return *nr ? bus->left_out : NULL;
}

int vfioext_bus_scan(struct vfioext_bus *bus)
{
	struct vfioext_device_list devices;
	struct bound *bound;
	int ret, error, nr = 0;
	bool wanted;
	size_t i;

	ret = vfioext_list_devices(bus->ctx, &devices);
	if (ret)
		return ret;
	remove_gone(bus, &devices);
	bus->nr_left_out = 0;
	for (i = 0; i < devices.nr && !ret; i++) {
		if (!devices.list[i].vfio || *find_bound(bus, devices.list[i].name))
			continue;
		bus->ctx->message[0] = '\0';
		error = probe_all(bus, &devices.list[i], &wanted);
		if (error && wanted)
			ret = leave_out(bus, devices.list[i].name, error);
	}
	vfioext_device_list_release(&devices);
	if (ret)
		return ret;
	for (bound = bus->bound; bound; bound = bound->next)
		nr++;
	return nr;
}
