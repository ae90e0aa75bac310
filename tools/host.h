/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host has that VFIO needs, as far as anybody may know. */
#ifndef TOOLS_HOST_H
#define TOOLS_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* Yes, no, or not known here. */
enum known { KNOWN_NOT = -1, KNOWN_NO, KNOWN_YES };

/* iommu.c */
unsigned int host_groups(void);
const char *host_iommu_hint(void);
enum known host_remaps_interrupts(void);

/* host.c */
bool host_read_line(const char *path, char *line, size_t size);
const char *host_module(const char *name);
const char *host_access(const char *path);
enum known host_secure_boot(void);
bool host_lockdown(char *mode, size_t size);
enum known host_takes_unsigned(void);

#endif
