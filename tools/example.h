/* SPDX-License-Identifier: GPL-2.0-only */
/* Emulated devices to try vfio-user with. */
#ifndef TOOLS_EXAMPLE_H
#define TOOLS_EXAMPLE_H

#include <vfioext/user.h>

/*
 * @make: add the device to a server. Return: 0, or an error.
 * @free: what @make made, after the server is gone
 */
struct example {
	const char *name;
	int (*make)(struct vfioext_user *server, struct vfioext_user_device **device);
	void (*free)(void *data);
};

extern const struct example example_edu;
extern const struct example example_null;
extern const struct example example_nvme;

#endif
