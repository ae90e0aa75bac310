// SPDX-License-Identifier: GPL-2.0-only
/* The driver of edu, where the host serves the device to the VM over vfio-user. */
#define EDU "0000:00:14.0"
#include "edu.c"
