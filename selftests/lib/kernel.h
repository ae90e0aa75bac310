/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands for the kernel's VFIO in tests on the host: open() and ioctl() of a program that
 * is linked with it know containers, groups, iommufd and devices, whose files are memory files.
 */
#ifndef SELFTESTS_KERNEL_H
#define SELFTESTS_KERNEL_H

/* In sysfs, bound to VFIO: two devices in a group, and one alone. */
#define DEVICE "0000:00:03.0"
#define NEIGHBOUR "0000:00:03.1"
#define LONER "0000:00:04.0"

/* Make that sysfs in a directory that is there. */
void kernel_make_sysfs(const char *root);

/* How many mappings there are in all containers. */
unsigned int kernel_mapped(void);

/* How many files are open. */
unsigned int open_files(void);

#endif
