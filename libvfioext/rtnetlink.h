/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_RTNETLINK_H
#define LIBVFIOEXT_RTNETLINK_H

#include <libmnl/libmnl.h>
#include <stdint.h>

/*
 * Run @fn on all that the kernel has of a type and a family, in the network namespace that
 * the thread is in. What changes meanwhile is read again, and so @fn may see a part twice.
 * Return: 0 or an error.
 */
int rtnetlink_dump(uint16_t type, int family, mnl_cb_t fn, void *data);
/* What a network namespace that is open is called in that of the thread; -1 for nothing. */
int rtnetlink_name_namespace(int fd);

#endif
