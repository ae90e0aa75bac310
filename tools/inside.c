// SPDX-License-Identifier: GPL-2.0-only
/* What is in a device that is open: regions, capabilities, interrupts. */
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <vfioext/config.h>
#include <vfioext/interrupt.h>

#include "vfioext.h"

static const char *const capabilities[] = {
	[PCI_CAP_ID_PM] = "power management",
	[PCI_CAP_ID_AGP] = "AGP",
	[PCI_CAP_ID_VPD] = "vital product data",
	[PCI_CAP_ID_SLOTID] = "slot",
	[PCI_CAP_ID_MSI] = "MSI",
	[PCI_CAP_ID_PCIX] = "PCI-X",
	[PCI_CAP_ID_HT] = "HyperTransport",
	[PCI_CAP_ID_VNDR] = "vendor",
	[PCI_CAP_ID_DBG] = "debug port",
	[PCI_CAP_ID_SSVID] = "bridge subsystem",
	[PCI_CAP_ID_EXP] = "PCI Express",
	[PCI_CAP_ID_MSIX] = "MSI-X",
	[PCI_CAP_ID_SATA] = "SATA",
	[PCI_CAP_ID_AF] = "advanced features",
	[PCI_CAP_ID_EA] = "enhanced allocation",
};

static const char *const extended[] = {
	[PCI_EXT_CAP_ID_ERR] = "error reporting",
	[PCI_EXT_CAP_ID_VC] = "virtual channel",
	[PCI_EXT_CAP_ID_DSN] = "serial number",
	[PCI_EXT_CAP_ID_VNDR] = "vendor",
	[PCI_EXT_CAP_ID_ACS] = "access control",
	[PCI_EXT_CAP_ID_ARI] = "ARI",
	[PCI_EXT_CAP_ID_ATS] = "ATS",
	[PCI_EXT_CAP_ID_SRIOV] = "SR-IOV",
	[PCI_EXT_CAP_ID_PRI] = "page request",
	[PCI_EXT_CAP_ID_REBAR] = "resizable BAR",
	[PCI_EXT_CAP_ID_LTR] = "latency tolerance",
	[PCI_EXT_CAP_ID_PASID] = "PASID",
	[PCI_EXT_CAP_ID_DVSEC] = "designated vendor",
};

static const char *const pci_irqs[] = {
	[VFIOEXT_IRQ_INTX] = "INTx",
	[VFIOEXT_IRQ_MSI] = "MSI",
	[VFIOEXT_IRQ_MSIX] = "MSI-X",
	[VFIOEXT_IRQ_ERROR] = "error",
	[VFIOEXT_IRQ_REQUEST] = "request",
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static void put_regions(struct table *table, struct vfioext_device *device)
{
	struct vfioext_region *region;
	uint64_t mapped;
	unsigned int i;
	size_t area;

	for (i = 0; i < vfioext_device_nr_regions(device); i++) {
		if (vfioext_region_get(device, i, &region) || !region->size)
			continue;
		for (area = 0, mapped = 0; area < region->nr_areas; area++)
			mapped += region->areas[area].size;
		table_put_property(table, "region", "%s: %" PRIu64 " bytes, %" PRIu64 " can be mapped",
				   name_of_region(device, i), region->size, mapped);
	}
}

static void put_capabilities(struct table *table, const struct vfioext_device *device, bool extend)
{
	const char *const *names = extend ? extended : capabilities;
	size_t nr = extend ? NR(extended) : NR(capabilities);
	unsigned int id;
	int at = 0;

	while ((at = vfioext_config_next_capability(device, (unsigned int)at, extend, &id)) > 0) {
		if (id < nr && names[id])
			table_put_property(table, "capability", "%#x: %s", (unsigned int)at, names[id]);
		else
			table_put_property(table, "capability", "%#x: %snumber %#x", (unsigned int)at,
					   extend ? "extended " : "", id);
	}
	if (at < 0)
		table_put_property(table, "capability", "the list has no end");
}

static void put_interrupts(struct table *table, struct vfioext_device *device)
{
	struct vfioext_irq_info info;
	char number[16];
	const char *name;
	unsigned int i;

	for (i = 0; i < vfioext_device_nr_irqs(device); i++) {
		if (vfioext_irq_get_info(device, i, &info) || !info.count)
			continue;
		snprintf(number, sizeof(number), "%u", i);
		name = vfioext_device_is_pci(device) && i < NR(pci_irqs) ? pci_irqs[i] : number;
		table_put_property(table, "interrupt", "%s: %u vector%s", name, info.count,
				   info.count == 1 ? "" : "s");
	}
}

void put_inside(struct table *table, struct vfioext_device *device)
{
	put_regions(table, device);
	if (vfioext_device_is_pci(device)) {
		put_capabilities(table, device, false);
		put_capabilities(table, device, true);
	}
	put_interrupts(table, device);
}
