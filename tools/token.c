// SPDX-License-Identifier: GPL-2.0-only
/* Opening a device, with the token that a virtual function's owner asks for. */
#include <ctype.h>
#include <string.h>
#include <stddef.h>

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

/* @container: NULL for one of its own; @token: NULL for none, and only for what has one */
int open_device(struct vfioext *ctx, const char *name, const char *token,
		struct vfioext_container *container, struct vfioext_device **device)
{
	struct vfioext_open how = { .container = container, .vf_token = token };

	return vfioext_device_open(ctx, name, &how, device);
}
