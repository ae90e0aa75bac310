/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TOOLS_SERVE_H
#define TOOLS_SERVE_H

#include <vfioext/user_bridge.h>

#include "access.h"
#include "example.h"
#include "vfioext.h"

#define SERVE_MAX 32

/*
 * One device.
 * @served: what clients see of it
 * @device, @bridge: of the host's; NULL for an example
 * @group: its IOMMU group
 * @container: of the group, if there are more of it; NULL for one of its own
 * @deadline: when a client has had its time, 0 while the host wants nothing
 * @gone: it went back to the host
 */
struct served {
	const char *name;
	const char *path;
	struct vfioext_user_device *served;
	struct vfioext_device *device;
	struct vfioext_user_bridge *bridge;
	int group;
	struct vfioext_container *container;
	long deadline;
	bool gone;
};

/*
 * @grace_ms: how long a client may take to let go when the host wants a device back
 * @no_map: clients map nothing of the host's devices
 * @fd: a client that is connected already, -1 for none
 * @limits: what each client may cost
 */
struct serving {
	struct vfioext *ctx;
	struct vfioext_user *server;
	const struct example *example;
	struct served list[SERVE_MAX];
	size_t nr;
	size_t nr_paths;
	bool no_map;
	int fd;
	uint32_t grace_ms;
	struct vfioext_user_limits limits;
	struct socket_access access;
	uid_t uids[SERVE_MAX];
	size_t nr_uids;
};

/* serve_begin.c */
int serve_begin(struct serving *serving);
void serve_end(struct serving *serving);

/* serve.c */
int serve_run(struct serving *serving);

#endif
