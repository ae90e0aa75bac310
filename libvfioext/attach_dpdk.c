// SPDX-License-Identifier: LGPL-2.1-or-later
/* Attaching to a primary of DPDK's protocol, which hands out descriptors and tells nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/share.h>

#include "attach.h"
#include "container.h"
#include "context.h"
#include "share_message.h"

static unsigned int left_ms(uint64_t deadline_ms)
{
	uint64_t now = share_now_ms();

	return now < deadline_ms ? (unsigned int)(deadline_ms - now) : 0;
}

static int get_container(struct vfioext_attachment *attachment, const char *path,
			 uint64_t deadline_ms)
{
	int fd, ret;

	ret = vfioext_share_get_container(path, left_ms(deadline_ms), &fd);
	if (ret) {
		context_fail(attachment->ctx, ret, "%s: the container: %s", path ? path : "",
			     strerror(-ret));
		return ret;
	}
	attachment->container = container_alloc(attachment->ctx, VFIOEXT_BACKEND_CONTAINER);
	if (!attachment->container) {
		close(fd);
		return -ENOMEM;
	}
	container_hold(attachment->container);
	attachment->container->fd = fd;
	return 0;
}

static int get_group(struct vfioext_attachment *attachment, const char *path, const char *name,
		     uint64_t deadline_ms)
{
	struct vfioext_device_info info;
	int fd, ret;

	ret = vfioext_find_device(attachment->ctx, name, &info);
	if (ret)
		return ret;
	if (info.group < 0)
		return context_fail(attachment->ctx, -ENXIO, "%s has no IOMMU group", info.name);
	if (container_find_group(attachment->container, info.group))
		return 0;
	ret = vfioext_share_get_group(path, info.group, left_ms(deadline_ms), &fd);
	if (ret)
		return context_fail(attachment->ctx, ret, "%s: group %d of %s: %s", path, info.group,
				    info.name, ret == -ENODEV ? "the primary has not opened it" :
				    strerror(-ret));
	if (!container_add_group(attachment->container, info.group, fd)) {
		close(fd);
		return -ENOMEM;
	}
	attachment->nr_groups++;
	return 0;
}

/* Which addresses there are the kernel is asked; those of another's container are told. */
static void finish(struct vfioext_attachment *attachment)
{
	struct vfioext_container *container = attachment->container;

	container->ready = true;
	dma_begin(container);
	container->shared = true;
	attachment->complete = true;
	attachment->gone = true;
}

int vfioext_attach_dpdk(struct vfioext *ctx, const char *path, const char *const *devices,
			size_t nr_devices, unsigned int timeout_ms,
			struct vfioext_attachment **attachment)
{
	uint64_t deadline_ms = share_now_ms() + timeout_ms;
	struct vfioext_attachment *new;
	size_t i;
	int ret;

	ctx->message[0] = '\0';
	if (!nr_devices)
		return context_fail(ctx, -EINVAL, "no device is named");
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->ctx = ctx;
	new->fd = -1;
	new->primary = (struct ucred){ -1, (uid_t)-1, (gid_t)-1 };
	ret = get_container(new, path, deadline_ms);
	for (i = 0; i < nr_devices && !ret; i++)
		ret = get_group(new, path, devices[i], deadline_ms);
	if (ret) {
		vfioext_detach(new);
		return ret;
	}
	finish(new);
	*attachment = new;
	return 0;
}
