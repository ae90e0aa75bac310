/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvfioext: find VFIO devices, see who holds them, take them back.
 *
 * Every call returns 0 or a positive result, or a negative error number; errno
 * is not used. Objects are independent of each other; one object may be used by
 * one thread at a time. Nothing here starts a thread.
 */
#ifndef VFIOEXT_VFIOEXT_H
#define VFIOEXT_VFIOEXT_H

#include <vfioext/context.h>
#include <vfioext/device.h>
#include <vfioext/discovery.h>
#include <vfioext/events.h>
#include <vfioext/holders.h>
#include <vfioext/policy.h>
#include <vfioext/removal.h>

#endif
