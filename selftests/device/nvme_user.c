// SPDX-License-Identifier: GPL-2.0-only
/* The driver of NVMe, where the host serves the controller to the VM over vfio-user. */
#define NVME "0000:06:00.0"
#define MODEL "vfioext nvme-ish "
#include "nvme.c"
