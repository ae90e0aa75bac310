/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_BUS_H
#define VFIOEXT_BUS_H

int bus_init(void);
void bus_exit(void);

#endif
