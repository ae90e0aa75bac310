// SPDX-License-Identifier: LGPL-2.1-or-later
/* The PCI configuration space, which is a region of its own that is not mapped. */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <vfioext/config.h>
#include <vfioext/region.h>

#include "context.h"
#include "region.h"

/* So many capabilities have room, extended ones of 8 bytes at least. */
#define CAPABILITIES_MAX ((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)
#define EXTENDED_MAX ((PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 8)

/*
 * Called when the device is opened, and before any other region is asked for:
 * from then on the region is there, and no lock is taken to find it.
 */
int config_begin(struct vfioext_device *device)
{
	struct vfioext_region *region;
	int ret;

	ret = vfioext_region_get(device, VFIO_PCI_CONFIG_REGION_INDEX, &region);
	if (!ret && region->size < PCI_STD_HEADER_SIZEOF)
		ret = -EPROTO;
	if (ret)
		return context_fail(device->ctx, ret, "configuration space of %s: %s",
				    device->info.name, strerror(-ret));
	return 0;
}

/* NULL if it is no PCI device. */
static const struct vfioext_region *space(const struct vfioext_device *device)
{
	const struct region *region;

	if (!device->pci || !device->regions ||
	    device->nr_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return NULL;
	region = device->regions[VFIO_PCI_CONFIG_REGION_INDEX];
	return region ? &region->public : NULL;
}

static bool is_register(unsigned int offset, unsigned int width)
{
	return (width == 1 || width == 2 || width == 4) && !(offset % width);
}

uint32_t vfioext_config_read(const struct vfioext_device *device, unsigned int offset,
			     unsigned int width)
{
	const struct vfioext_region *region = space(device);

	if (!is_register(offset, width))
		return UINT32_MAX;
	if (!region)
		return UINT32_MAX >> (32 - 8 * width);
	return (uint32_t)vfioext_region_read_slow(region, offset, width);
}

int vfioext_config_write(const struct vfioext_device *device, unsigned int offset,
			 unsigned int width, uint32_t value)
{
	const struct vfioext_region *region = space(device);

	if (!region || !is_register(offset, width))
		return -EINVAL;
	/* The low bytes come first. */
	value = htole32(value);
	return vfioext_region_write(region, &value, width, offset);
}

/*
 * A walk along a list.
 * @at: where the capability is that was found last; 0 at the beginning
 * @id: its number
 * @next: where the list goes on
 * @steps: how many were found
 */
struct walk {
	const struct vfioext_device *device;
	bool extended;
	unsigned int at;
	unsigned int id;
	unsigned int next;
	unsigned int steps;
};

/* Extended ones are where there is room, and a device that has none reads as none. */
static unsigned int first_extended(const struct vfioext_device *device)
{
	const struct vfioext_region *region = space(device);
	uint32_t header;

	if (!region || region->size < PCI_CFG_SPACE_EXP_SIZE)
		return 0;
	header = vfioext_config_read(device, PCI_CFG_SPACE_SIZE, 4);
	return header && header != UINT32_MAX ? PCI_CFG_SPACE_SIZE : 0;
}

static unsigned int first_capability(const struct vfioext_device *device)
{
	if (!space(device) || !(vfioext_config_read(device, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	return vfioext_config_read(device, PCI_CAPABILITY_LIST, 1) & ~3u;
}

static void walk_begin(struct walk *walk, const struct vfioext_device *device, bool extended)
{
	memset(walk, 0, sizeof(*walk));
	walk->device = device;
	walk->extended = extended;
	walk->next = extended ? first_extended(device) : first_capability(device);
}

static void read_header(struct walk *walk)
{
	uint32_t header;

	if (walk->extended) {
		header = vfioext_config_read(walk->device, walk->at, 4);
		walk->id = PCI_EXT_CAP_ID(header);
		walk->next = PCI_EXT_CAP_NEXT(header);
	} else {
		header = vfioext_config_read(walk->device, walk->at, 2);
		walk->id = header & 0xff;
		/* The low bits are reserved, and to be masked. */
		walk->next = (header >> 8) & ~3u;
	}
}

/* Return: 1 if there is one more, 0 at the end, or an error. */
static int walk_on(struct walk *walk)
{
	unsigned int begin = walk->extended ? PCI_CFG_SPACE_SIZE : PCI_STD_HEADER_SIZEOF;
	unsigned int max = walk->extended ? EXTENDED_MAX : CAPABILITIES_MAX;

	if (vfioext_device_lost(walk->device))
		return -ENODEV;
	if (!walk->next)
		return 0;
	if (walk->next < begin || walk->steps++ == max)
		return -EPROTO;
	walk->at = walk->next;
	read_header(walk);
	/* What was read of a lost device is no capability. */
	return vfioext_device_lost(walk->device) ? -ENODEV : 1;
}

static int find(const struct vfioext_device *device, unsigned int id, bool extended)
{
	struct walk walk;
	int ret;

	walk_begin(&walk, device, extended);
	do
		ret = walk_on(&walk);
	while (ret > 0 && walk.id != id);
	return ret > 0 ? (int)walk.at : ret;
}

int vfioext_config_capability(const struct vfioext_device *device, unsigned int id)
{
	return find(device, id, false);
}

int vfioext_config_extended_capability(const struct vfioext_device *device, unsigned int id)
{
	return find(device, id, true);
}

/*
 * All of the list is walked each time: so its caller's walk has an end as well.
 */
int vfioext_config_next_capability(const struct vfioext_device *device, unsigned int offset,
				   bool extended, unsigned int *id)
{
	bool behind = !offset;
	struct walk walk;
	int found = 0, ret;

	walk_begin(&walk, device, extended);
	while ((ret = walk_on(&walk)) > 0) {
		if (behind && !found) {
			found = (int)walk.at;
			*id = walk.id;
		}
		behind |= walk.at == offset;
	}
	if (ret)
		return ret;
	return behind ? found : -EINVAL;
}

int vfioext_device_set_master(struct vfioext_device *device, bool master)
{
	const struct vfioext_region *region = space(device);
	uint16_t old, new;
	int ret;

	if (!region)
		return -EINVAL;
	pthread_mutex_lock(&device->lock);
	ret = vfioext_region_read(region, &old, sizeof(old), PCI_COMMAND);
	if (ret)
		goto out;
	if (master)
		new = old | htole16(PCI_COMMAND_MASTER);
	else
		new = old & htole16((uint16_t)~PCI_COMMAND_MASTER);
	if (new != old)
		ret = vfioext_region_write(region, &new, sizeof(new), PCI_COMMAND);
out:
	pthread_mutex_unlock(&device->lock);
	return ret;
}
