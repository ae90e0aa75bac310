// SPDX-License-Identifier: GPL-2.0-only
/* A place in a region as users name it: "bar0+0x10", "config+4", "2+0". */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vfioext.h"

static const char *const names[] = {
	[VFIO_PCI_BAR0_REGION_INDEX] = "bar0",
	[VFIO_PCI_BAR1_REGION_INDEX] = "bar1",
	[VFIO_PCI_BAR2_REGION_INDEX] = "bar2",
	[VFIO_PCI_BAR3_REGION_INDEX] = "bar3",
	[VFIO_PCI_BAR4_REGION_INDEX] = "bar4",
	[VFIO_PCI_BAR5_REGION_INDEX] = "bar5",
	[VFIO_PCI_ROM_REGION_INDEX] = "rom",
	[VFIO_PCI_CONFIG_REGION_INDEX] = "config",
	[VFIO_PCI_VGA_REGION_INDEX] = "vga",
};

#define NR_NAMES (sizeof(names) / sizeof(names[0]))

const char *name_of_region(const struct vfioext_device *device, unsigned int index)
{
	static char number[16];

	if (vfioext_device_is_pci(device) && index < NR_NAMES)
		return names[index];
	snprintf(number, sizeof(number), "%u", index);
	return number;
}

bool parse_number(const char *text, uint64_t *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 0);
	return !errno && !*end;
}

static bool parse_region(const char *text, unsigned int *index)
{
	uint64_t number;
	unsigned int i;

	for (i = 0; i < NR_NAMES; i++) {
		if (strcasecmp(text, names[i]))
			continue;
		*index = i;
		return true;
	}
	if (!parse_number(text, &number) || number > INT32_MAX)
		return false;
	*index = (unsigned int)number;
	return true;
}

bool parse_place(const char *text, struct place *place)
{
	const char *plus = strchr(text, '+');
	char region[16] = "";

	place->offset = 0;
	if (plus && !parse_number(plus + 1, &place->offset))
		return false;
	if (!plus)
		plus = text + strlen(text);
	if ((size_t)(plus - text) >= sizeof(region))
		return false;
	memcpy(region, text, (size_t)(plus - text));
	return parse_region(region, &place->region);
}

bool parse_width(const char *text, unsigned int *width)
{
	uint64_t bits;

	if (!parse_number(text, &bits) || (bits != 8 && bits != 16 && bits != 32 && bits != 64))
		return false;
	*width = (unsigned int)bits / 8;
	return true;
}

/* The region of a place, which must be in it. Return: 0, or the exit status. */
int find_place(struct vfioext *ctx, struct vfioext_device *device, const struct place *place,
	       uint64_t size, struct vfioext_region **region)
{
	int ret = vfioext_region_get(device, place->region, region);

	if (ret)
		return fail(ctx, ret, "region %u", place->region);
	if ((*region)->size < size || place->offset > (*region)->size - size) {
		error("%s has %" PRIu64 " bytes; %" PRIu64 " at %#" PRIx64 " are not in it",
		      name_of_region(device, place->region), (*region)->size, size, place->offset);
		return EXIT_FAILED;
	}
	return 0;
}
