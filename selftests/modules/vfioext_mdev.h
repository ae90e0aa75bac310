/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device that the example parent makes. All registers are little-endian.
 *
 * BAR 0, 64 KiB, can be mapped in two areas with a hole between them; the hole
 * has the registers. BAR 2, 4 KiB, is memory that cannot be mapped. BAR 4 has
 * the MSI-X table and its pending bits.
 */
#ifndef VFIOEXT_MDEV_H
#define VFIOEXT_MDEV_H

#define MDEV_VENDOR 0x1b36
#define MDEV_DEVICE 0x10f0

#define MDEV_BAR0_SIZE 0x10000
#define MDEV_BAR2_SIZE 0x1000
#define MDEV_BAR4_SIZE 0x1000

#define MDEV_AREA0_START 0x0000
#define MDEV_AREA0_SIZE 0x4000
#define MDEV_AREA1_START 0x8000
#define MDEV_AREA1_SIZE 0x8000

/* In the hole: writing n triggers MSI-X vector n; reading tells the last n. */
#define MDEV_DOORBELL 0x4000
/* In the hole: reads the number of resets. */
#define MDEV_RESETS 0x4004

#define MDEV_VECTORS 4
#define MDEV_MSIX_CAP 0x40

#endif
