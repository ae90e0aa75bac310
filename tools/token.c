// SPDX-License-Identifier: GPL-2.0-only
/* Opening a device, with the token that a virtual function's owner asks for. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vfioext.h"

bool is_token(const char *text)
{
	size_t i;

	for (i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' :
							      !isxdigit((unsigned char)text[i]))
			return false;
	return !text[36];
}

bool take_token(const char *text, const char **token)
{
	*token = text;
	return is_token(text);
}

/* A device that another process serves over vfio-user, and not one of the host. */
bool is_served(const char *name)
{
	return !strncmp(name, "user:", 5);
}

/* The kernel refuses a token for what has nothing to do with SR-IOV. */
static bool takes_token(struct vfioext *ctx, const char *name)
{
	struct vfioext_device_info info;
	char path[128];

	if (is_served(name) || vfioext_find_device(ctx, name, &info) || strcmp(info.bus, "pci"))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", info.name);
	if (!access(path, F_OK))
		return true;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/sriov_totalvfs", info.name);
	return !access(path, F_OK);
}

/* @container: NULL for one of its own; @token: NULL for none */
int open_device(struct vfioext *ctx, const char *name, const char *token,
		struct vfioext_container *container, struct vfioext_device **device)
{
	struct vfioext_open how = { .container = container };

	if (token && takes_token(ctx, name))
		how.vf_token = token;
	return vfioext_device_open(ctx, name, &how, device);
}
