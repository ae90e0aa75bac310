// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a client sees of a host device's regions, and which pages of them it may map. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/config.h>

#include "bridge.h"

struct vfioext_region *bridge_region(const struct vfioext_user_bridge *bridge, unsigned int index,
				     int *ret)
{
	struct vfioext_region *region = NULL;

	*ret = vfioext_region_get(bridge->device, index, &region);
	return region;
}

/* Where the command register is in what is accessed, or -1. */
static ssize_t find_command(const struct vfioext_user_bridge *bridge, unsigned int index,
			    size_t count, uint64_t offset)
{
	if (!vfioext_device_is_pci(bridge->device) || index != VFIO_PCI_CONFIG_REGION_INDEX ||
	    offset > PCI_COMMAND || count <= PCI_COMMAND - offset)
		return -1;
	return (ssize_t)(PCI_COMMAND - offset);
}

/* A client that was not yet let master the bus is not to notice. */
int bridge_read(struct vfioext_user_device *device, unsigned int index, void *buffer,
		size_t count, uint64_t offset)
{
	const struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);
	ssize_t at = find_command(bridge, index, count, offset);
	const struct vfioext_region *region;
	int ret;

	region = bridge_region(bridge, index, &ret);
	if (region)
		ret = vfioext_region_read(region, buffer, count, offset);
	if (!ret && at >= 0 && bridge->master_held)
		((uint8_t *)buffer)[at] |= PCI_COMMAND_MASTER;
	return ret;
}

/* Write all but that the device masters the bus. */
static int write_held(const struct vfioext_region *region, const void *buffer, size_t count,
		      uint64_t offset, ssize_t at)
{
	uint8_t *copy = malloc(count);
	int ret;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, buffer, count);
	copy[at] &= (uint8_t)~PCI_COMMAND_MASTER;
	ret = vfioext_region_write(region, copy, count, offset);
	free(copy);
	return ret;
}

/* The device may master the bus once it can reach all of the memory. */
int bridge_write(struct vfioext_user_device *device, unsigned int index, const void *buffer,
		 size_t count, uint64_t offset)
{
	struct vfioext_user_bridge *bridge = vfioext_user_device_data(device);
	ssize_t at = find_command(bridge, index, count, offset);
	const struct vfioext_region *region;
	bool held = false;
	int ret;

	region = bridge_region(bridge, index, &ret);
	if (!region)
		return ret;
	if (at >= 0 && ((const uint8_t *)buffer)[at] & PCI_COMMAND_MASTER)
		held = !pin_finish(bridge);
	ret = held ? write_held(region, buffer, count, offset, at) :
		     vfioext_region_write(region, buffer, count, offset);
	if (!ret && at >= 0)
		bridge->master_held = held;
	return ret;
}

/* The part of an area that is between two offsets; of size 0 if there is none. */
static struct vfioext_area clip(const struct vfioext_area *area, uint64_t from, uint64_t to)
{
	uint64_t start = area->offset > from ? area->offset : from;
	uint64_t end = area->offset + area->size < to ? area->offset + area->size : to;

	return (struct vfioext_area){ start, end > start ? end - start : 0 };
}

/*
 * Take the pages of a table out of areas, which have room for one more. Return: how many
 * they are then.
 */
static size_t cut_out(struct vfioext_area *areas, size_t nr, uint64_t table, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first, behind;
	struct vfioext_area before, after;
	size_t i, left;

	first = table - table % page;
	behind = (table + size + page - 1) / page * page;
	for (i = nr; i-- > 0;) {
		before = clip(&areas[i], 0, first);
		after = clip(&areas[i], behind, UINT64_MAX);
		left = !!before.size + !!after.size;
		memmove(&areas[i + left], &areas[i + 1], (nr - i - 1) * sizeof(*areas));
		nr += left - 1;
		if (before.size)
			areas[i] = before;
		if (after.size)
			areas[i + left - 1] = after;
	}
	return nr;
}

/*
 * Who writes to an MSI-X table has the device send any message. The kernel does not care, as
 * it relies on interrupt remapping, but a client maps what it is offered.
 */
static size_t cut_out_tables(const struct vfioext_device *device, unsigned int index,
			     struct vfioext_area *areas, size_t nr)
{
	uint32_t table, pba, vectors;
	int at;

	if (!vfioext_device_is_pci(device) || index > VFIO_PCI_BAR5_REGION_INDEX)
		return nr;
	at = vfioext_config_capability(device, PCI_CAP_ID_MSIX);
	if (at <= 0)
		return nr;
	vectors = (vfioext_config_read(device, (unsigned int)at + PCI_MSIX_FLAGS, 2) &
		   PCI_MSIX_FLAGS_QSIZE) + 1;
	table = vfioext_config_read(device, (unsigned int)at + PCI_MSIX_TABLE, 4);
	pba = vfioext_config_read(device, (unsigned int)at + PCI_MSIX_PBA, 4);
	if ((table & PCI_MSIX_TABLE_BIR) == index)
		nr = cut_out(areas, nr, table & PCI_MSIX_TABLE_OFFSET,
			     vectors * (uint64_t)PCI_MSIX_ENTRY_SIZE);
	if ((pba & PCI_MSIX_PBA_BIR) == index)
		nr = cut_out(areas, nr, pba & PCI_MSIX_PBA_OFFSET, (uint64_t)(vectors + 63) / 64 * 8);
	return nr;
}

/* Each table may part an area in two. */
static int offer_areas(const struct vfioext_user_bridge *bridge, const struct vfioext_region *region,
		       struct vfioext_user_region *served, struct vfioext_area **areas)
{
	size_t nr = bridge->no_map ? 0 : region->nr_areas;

	if (!nr)
		return 0;
	*areas = malloc((nr + 2) * sizeof(**areas));
	if (!*areas)
		return -ENOMEM;
	memcpy(*areas, region->areas, nr * sizeof(**areas));
	nr = cut_out_tables(bridge->device, region->index, *areas, nr);
	if (!nr)
		return 0;
	served->fd = vfioext_region_file(region, &served->offset);
	if (served->fd < 0)
		return served->fd;
	served->flags |= VFIOEXT_REGION_MMAP;
	served->areas = *areas;
	served->nr_areas = (*areas)[0].size < region->size ? nr : 0;
	return 0;
}

int bridge_add_region(struct vfioext_user_bridge *bridge, unsigned int index)
{
	struct vfioext_user_region served = { .fd = -1 };
	const struct vfioext_region *region;
	struct vfioext_area *areas = NULL;
	int ret;

	region = bridge_region(bridge, index, &ret);
	if (!region)
		return ret;
	served.size = region->size;
	served.type = region->type;
	served.subtype = region->subtype;
	served.flags = region->flags & (VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE);
	ret = offer_areas(bridge, region, &served, &areas);
	if (!ret)
		ret = vfioext_user_device_set_region(bridge->served, index, &served);
	free(areas);
	return ret;
}
