// SPDX-License-Identifier: GPL-2.0-only
/* The driver of edu, where iommufd stands behind the device. */
#define BACKEND VFIOEXT_BACKEND_IOMMUFD
#include "edu.c"
