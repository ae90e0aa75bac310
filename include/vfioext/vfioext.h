/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvfioext: find VFIO devices, drive them, see who holds them, take them back.
 *
 * Every call returns 0 or a positive result, or a negative error number; errno
 * is not used. Objects are independent of each other; one object may be used by
 * one thread at a time, but for what container.h and device.h say. Nothing here starts a thread.
 */
#ifndef VFIOEXT_VFIOEXT_H
#define VFIOEXT_VFIOEXT_H

#include <vfioext/attach.h>
#include <vfioext/barrier.h>
#include <vfioext/bind.h>
#include <vfioext/config.h>
#include <vfioext/container.h>
#include <vfioext/context.h>
#include <vfioext/device.h>
#include <vfioext/discovery.h>
#include <vfioext/dma.h>
#include <vfioext/driver.h>
#include <vfioext/events.h>
#include <vfioext/holders.h>
#include <vfioext/interrupt.h>
#include <vfioext/policy.h>
#include <vfioext/region.h>
#include <vfioext/removal.h>
#include <vfioext/reset.h>
#include <vfioext/share.h>
#include <vfioext/uses.h>
#include <vfioext/watch.h>

#endif
