// SPDX-License-Identifier: GPL-2.0-only
/* Is there an IOMMU that is on, and if not, what turns it on? */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

#define ACPI_TABLES "/sys/firmware/acpi/tables/"

unsigned int host_groups(void)
{
	DIR *dir = opendir("/sys/kernel/iommu_groups");
	const struct dirent *entry;
	unsigned int nr = 0;

	while (dir && (entry = readdir(dir)))
		nr += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return nr;
}

static bool has_word(const char *path, const char *word)
{
	char text[4096];
	FILE *file = fopen(path, "re");
	size_t len;

	if (!file)
		return false;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	return strstr(text, word);
}

/* By what the firmware describes, and only then by the processor. */
static bool is_vendor(const char *table, const char *processor)
{
	return !access(table, F_OK) || (processor && has_word("/proc/cpuinfo", processor));
}

/* What to do about it that there are no groups. */
const char *host_iommu_hint(void)
{
	if (has_word("/proc/cmdline", "iommu=off"))
		return "the kernel's command line has iommu=off, intel_iommu=off or amd_iommu=off: "
		       "take it out, have intel_iommu=on in its place on Intel, and boot again";
	if (!access(ACPI_TABLES "DMAR", F_OK))
		return "the firmware has VT-d on: boot the kernel with intel_iommu=on";
	if (is_vendor(ACPI_TABLES "IVRS", "AuthenticAMD"))
		return "turn the IOMMU (AMD-Vi) on in the firmware's setup; the kernel then uses it by "
		       "itself";
	if (is_vendor(ACPI_TABLES "IORT", "CPU implementer"))
		return "the firmware has to describe an SMMU that is on; see its setup";
	if (has_word("/proc/cpuinfo", "GenuineIntel"))
		return "turn VT-d on in the firmware's setup, and boot the kernel with intel_iommu=on";
	return "turn the IOMMU on in the firmware's setup; a virtual machine needs one from its "
	       "hypervisor";
}

/* On a PC the kernel names the controllers of interrupts that are remapped so. */
enum known host_remaps_interrupts(void)
{
#if defined(__x86_64__) || defined(__i386__)
	char line[4096];
	FILE *file = fopen("/proc/interrupts", "re");
	bool remapped = false;

	if (!file)
		return KNOWN_NOT;
	while (!remapped && fgets(line, sizeof(line), file))
		remapped = strstr(line, " IR-");
	fclose(file);
	return remapped ? KNOWN_YES : KNOWN_NO;
#else
	return KNOWN_NOT;
#endif
}
