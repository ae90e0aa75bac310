// SPDX-License-Identifier: LGPL-2.1-or-later
/* Attaching to a process that shares its container. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "container.h"
#include "context.h"
#include "share_message.h"
#include "share_wire.h"

/* So many at once; the caller may have others to serve. */
#define RECORDS_MAX 256

static int say_hello(struct vfioext_attachment *attachment)
{
	struct share_hello hello = { SHARE_MAGIC, SHARE_VERSION, sizeof(hello) };
	socklen_t size = sizeof(attachment->primary);
	int ret;

	if (getsockopt(attachment->fd, SOL_SOCKET, SO_PEERCRED, &attachment->primary, &size))
		return -errno;
	ret = share_send(attachment->fd, &hello, sizeof(hello), -1);
	/* It hung up; why, it may have said. */
	return ret == -EPIPE || ret == -ECONNRESET ? 0 : ret;
}

static int start(struct vfioext *ctx, const char *path, unsigned int timeout_ms,
		 struct vfioext_attachment **attachment)
{
	struct vfioext_attachment *new;
	int ret;

	ctx->message[0] = '\0';
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->ctx = ctx;
	new->fd = share_connect(path, timeout_ms);
	ret = new->fd < 0 ? new->fd : say_hello(new);
	if (ret) {
		vfioext_detach(new);
		context_fail(ctx, ret, "%s: %s", path ? path : "", strerror(-ret));
		return ret;
	}
	*attachment = new;
	return 0;
}

int vfioext_attach_start(struct vfioext *ctx, const char *path,
			 struct vfioext_attachment **attachment)
{
	return start(ctx, path, 0, attachment);
}

/* Return: 0 if there was nothing, 1 if something happened, or an error. */
static int take_one(struct vfioext_attachment *attachment, struct vfioext_event *event,
		    enum vfioext_attach_what *what, bool *none)
{
	_Alignas(8) uint8_t record[SHARE_RECORD_MAX];
	bool complete = attachment->complete;
	ssize_t len;
	int fd, ret;

	len = share_receive(attachment->fd, record, sizeof(record), &fd);
	*none = len == -EAGAIN;
	if (*none)
		return 0;
	if (!len || len == -ECONNRESET) {
		if (fd >= 0)
			close(fd);
		*what = VFIOEXT_ATTACH_GONE;
		attachment->gone = true;
		return complete ? 1 : -ECONNRESET;
	}
	if (len < 0)
		return len == -EMSGSIZE ? -EPROTO : (int)len;
	ret = attach_take(attachment, record, (size_t)len, fd, event);
	*what = VFIOEXT_ATTACH_EVENT;
	if (!ret && !complete && attachment->complete) {
		*what = VFIOEXT_ATTACH_COMPLETE;
		ret = 1;
	}
	return ret;
}

/* Until there is no more; what comes behind the last of the offer may be left for later. */
static int dispatch(struct vfioext_attachment *attachment, bool offer_only, vfioext_attach_fn fn,
		    void *data)
{
	enum vfioext_attach_what what;
	struct vfioext_event event;
	int n, ret, calls = 0;
	bool none = false;

	if (attachment->busy)
		return -EDEADLK;
	if (attachment->gone)
		return -ENOTCONN;
	for (n = 0; n < RECORDS_MAX && !none && !attachment->gone; n++) {
		if (offer_only && attachment->complete)
			break;
		ret = take_one(attachment, &event, &what, &none);
		if (ret < 0) {
			attachment->gone = true;
			return ret;
		}
		attachment->busy = true;
		if (ret && fn)
			fn(what, what == VFIOEXT_ATTACH_EVENT ? &event : NULL, data);
		attachment->busy = false;
		calls += ret;
	}
	return calls;
}

static int wait_complete(struct vfioext_attachment *attachment, uint64_t deadline_ms)
{
	int ret = 0;

	while (!attachment->complete && ret >= 0) {
		ret = share_wait(attachment->fd, deadline_ms);
		if (!ret)
			ret = dispatch(attachment, true, NULL, NULL);
		/* There may be more to read for ever. */
		if (ret >= 0 && !attachment->complete && share_now_ms() >= deadline_ms)
			ret = -ETIMEDOUT;
	}
	return ret < 0 ? ret : 0;
}

int vfioext_attach(struct vfioext *ctx, const char *path, unsigned int timeout_ms,
		   struct vfioext_attachment **attachment)
{
	uint64_t deadline_ms = share_now_ms() + timeout_ms;
	struct vfioext_attachment *new;
	int ret;

	ret = start(ctx, path, timeout_ms ? timeout_ms : 1, &new);
	if (ret)
		return ret == -EAGAIN ? -ETIMEDOUT : ret;
	ret = wait_complete(new, deadline_ms);
	if (ret) {
		vfioext_detach(new);
		return context_fail(ctx, ret, "%s: %s", path, strerror(-ret));
	}
	*attachment = new;
	return 0;
}

int vfioext_detach(struct vfioext_attachment *attachment)
{
	if (!attachment)
		return 0;
	if (attachment->busy)
		return -EBUSY;
	if (attachment->container) {
		/* By others than the attachment, which are devices. */
		if (attachment->container->held > 1)
			return -EBUSY;
		container_unhold(attachment->container);
		vfioext_container_free(attachment->container);
	}
	if (attachment->fd >= 0)
		close(attachment->fd);
	free(attachment->devices.list);
	free(attachment->ranges.list);
	free(attachment->maps.list);
	free(attachment);
	return 0;
}

int vfioext_attachment_fd(const struct vfioext_attachment *attachment)
{
	return attachment->fd;
}

int vfioext_attachment_dispatch(struct vfioext_attachment *attachment, vfioext_attach_fn fn,
				void *data)
{
	return dispatch(attachment, false, fn, data);
}

struct vfioext_container *
vfioext_attachment_container(const struct vfioext_attachment *attachment)
{
	return attachment->complete ? attachment->container : NULL;
}

size_t vfioext_attachment_devices(const struct vfioext_attachment *attachment,
				  const struct vfioext_shared_device **devices)
{
	*devices = attachment->devices.list;
	return attachment->complete ? attachment->devices.nr : 0;
}

size_t vfioext_attachment_maps(const struct vfioext_attachment *attachment,
			       const struct vfioext_shared_map **maps)
{
	*maps = attachment->maps.list;
	return attachment->complete ? attachment->maps.nr : 0;
}

void vfioext_attachment_primary(const struct vfioext_attachment *attachment, pid_t *pid, uid_t *uid)
{
	if (pid)
		*pid = attachment->primary.pid;
	if (uid)
		*uid = attachment->primary.uid;
}
