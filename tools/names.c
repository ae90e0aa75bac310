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

/* Length of the UTF-8 character at @at, which a '\0' ends; 0 if it is none. */
static size_t utf8_length(const unsigned char *at)
{
	static const unsigned char firsts[] = { 0x80, 0xc2, 0xe0, 0xf0, 0xf5 };
	size_t len = 1, i;

	if (at[0] < firsts[0])
		return 1;
	if (at[0] < firsts[1] || at[0] >= firsts[4])
		return 0;
	while (at[0] >= firsts[len])
		len++;
	for (i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Too long for what it says, a surrogate, or past the last character. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
		return 0;
	return len;
}

/* A process chooses its name: nothing in it may steer a terminal, or spoil JSON. */
const char *printable(char *name)
{
	unsigned char *at = (unsigned char *)name;
	size_t len;

	for (; *at; at += len) {
		len = utf8_length(at);
		if (!len || *at < ' ' || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0)) {
			len = 1;
			*at = '?';
		}
	}
	return name;
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
		       "unloaded", "abandoned");
}

const char *name_of_action(uint32_t action)
{
	return NAME_OF(action, "notify", "sigbus");
}

const char *name_of_type(uint32_t type)
{
	return NAME_OF(type, "physical", "emulated", "noiommu");
}
