// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer (selftests/fuzz/run): a configuration space whose lists of capabilities
 * lead anywhere. Built with the library.
 */
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/config.h>

#include "../../libvfioext/region.h"

#define NR_REGIONS (VFIO_PCI_CONFIG_REGION_INDEX + 1)
/* More than either list can hold. */
#define MANY 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The walk ends within the space; what is found by its number is of that number. */
static void walk(const struct vfioext_device *device, unsigned int begin, unsigned int end,
		 bool extended)
{
	int at = 0, found, n = 0;
	unsigned int id;

	while ((at = vfioext_config_next_capability(device, (unsigned int)at, extended, &id)) > 0) {
		if ((unsigned int)at < begin || (unsigned int)at + 2 > end || ++n > MANY)
			abort();
		found = extended ? vfioext_config_extended_capability(device, id) :
				   vfioext_config_capability(device, id);
		if (found <= 0 || id != (vfioext_config_read(device, (unsigned int)found, 2) &
					 (extended ? 0xffff : 0xff)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(8) uint8_t space[PCI_CFG_SPACE_EXP_SIZE] = { 0 };
	struct region *regions[NR_REGIONS] = { NULL };
	struct vfioext_device device = {
		.pci = true, .fd = -1, .nr_regions = NR_REGIONS, .regions = regions,
	};
	struct region region = { .public = { .device = &device, .base = space } };
	struct vfioext_area whole = { 0 };

	memcpy(space, data, size < sizeof(space) ? size : sizeof(space));
	/* As a conventional device, or with extended capabilities. */
	whole.size = size > PCI_CFG_SPACE_SIZE ? sizeof(space) : PCI_CFG_SPACE_SIZE;
	region.public.size = whole.size;
	region.public.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE;
	region.public.areas = &whole;
	region.public.nr_areas = 1;
	regions[VFIO_PCI_CONFIG_REGION_INDEX] = &region;
	walk(&device, PCI_STD_HEADER_SIZEOF, PCI_CFG_SPACE_SIZE, false);
	walk(&device, PCI_CFG_SPACE_SIZE, sizeof(space), true);
	return 0;
}
