// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The token of an SR-IOV device whose physical function is user space's, too: who has that one
 * sets it, and who opens a virtual function shows it.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/device.h>
#include <vfioext/discovery.h>

#include "context.h"
#include "device.h"
#include "sysfs.h"
#include "token.h"

bool token_parse(const char *text, uint8_t *bytes)
{
	char pair[3] = "";
	size_t i, nr = 0;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
			continue;
		}
		if (!isxdigit((unsigned char)text[i]))
			return false;
		pair[nr % 2] = text[i];
		if (nr % 2 && bytes)
			bytes[nr / 2] = (uint8_t)strtoul(pair, NULL, 16);
		nr++;
	}
	return !text[36];
}

bool token_wanted(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	struct vfioext_device_info physical;
	char name[VFIOEXT_NAME_SIZE];

	if (strcmp(info->bus, "pci"))
		return false;
	if (sysfs_exists(ctx, "bus/pci/devices/%s/sriov_totalvfs", info->name))
		return true;
	return !sysfs_read_link(ctx, name, sizeof(name), "bus/pci/devices/%s/physfn", info->name) &&
	       !vfioext_find_device(ctx, name, &physical) && physical.vfio;
}

int vfioext_device_set_vf_token(struct vfioext_device *device, const char *token)
{
	struct {
		struct vfio_device_feature feature;
		uint8_t token[TOKEN_SIZE];
	} set = {
		.feature.argsz = sizeof(set),
		.feature.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
	};
	int ret;

	if (vfioext_device_lost(device))
		return -ENODEV;
	if (!token_parse(token, set.token))
		return context_fail(device->ctx, -EINVAL, "a token is a UUID");
	if (!device_ioctl(device, VFIO_DEVICE_FEATURE, &set))
		return 0;
	ret = -errno;
	if (ret == -ENOTTY || ret == -EOPNOTSUPP)
		return context_fail(device->ctx, -ENOTSUP, "%s has no virtual functions, and so no token",
				    device->info.name);
	return context_fail(device->ctx, ret, "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: %s", strerror(-ret));
}
