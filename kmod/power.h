/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_POWER_H
#define VFIOEXT_POWER_H

int power_init(void);
void power_exit(void);

#endif
