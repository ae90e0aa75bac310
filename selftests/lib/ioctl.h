/* SPDX-License-Identifier: GPL-2.0-only */
/* The type of a request, for tests that are the kernel: C libraries differ. */
#ifndef SELFTESTS_IOCTL_H
#define SELFTESTS_IOCTL_H

#include <features.h>

#ifdef __GLIBC__
typedef unsigned long ioctl_request;
#else
typedef int ioctl_request;
#endif

#endif
