// SPDX-License-Identifier: GPL-2.0-only
/* The same where iommufd stands behind the devices. */
#define BACKEND VFIOEXT_BACKEND_IOMMUFD
#include "moves.c"
