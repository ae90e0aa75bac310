// SPDX-License-Identifier: GPL-2.0-only
#include <pci/pci.h>
#include <stdio.h>

#include "vfioext.h"

static struct pci_access *pci;

void names_begin(void)
{
	pci = pci_alloc();
	pci_init(pci);
}

void names_end(void)
{
	pci_cleanup(pci);
}

const char *names_device(const struct vfioext_device_info *info, char *buffer, size_t size)
{
	if (!info->vendor) {
		snprintf(buffer, size, "%s", info->mdev_type);
		return buffer;
	}
	return pci_lookup_name(pci, buffer, (int)size, PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE,
			       info->vendor, info->device);
}

const char *names_class(const struct vfioext_device_info *info, char *buffer, size_t size)
{
	if (!info->vendor) {
		snprintf(buffer, size, "%s", info->device_api);
		return buffer;
	}
	return pci_lookup_name(pci, buffer, (int)size, PCI_LOOKUP_CLASS, info->class_code >> 8);
}

static const char *name_of(const char *const *names, size_t nr, uint32_t value)
{
	return value < nr ? names[value] : "unknown";
}

#define NAME_OF(value, ...)							\
	name_of((const char *const[]){ __VA_ARGS__ },				\
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *), value)

const char *name_of_origin(uint32_t origin)
{
	return NAME_OF(origin, "kernel", "asked");
}

const char *name_of_state(uint32_t state)
{
	return NAME_OF(state, "requested", "overdue", "signaled", "ended");
}

const char *name_of_outcome(int outcome)
{
	return NAME_OF((uint32_t)outcome, "unheld", "let-go", "signaled", "cancelled", "timed-out",
		       "unloaded");
}

const char *name_of_action(uint32_t action)
{
	return NAME_OF(action, "notify", "sigbus");
}

const char *name_of_type(uint32_t type)
{
	return NAME_OF(type, "physical", "emulated", "noiommu");
}
