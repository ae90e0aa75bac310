// SPDX-License-Identifier: LGPL-2.1-or-later
/* A device that the host wants back. */
#include <errno.h>
#include <linux/vfioext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vfioext/interrupt.h>
#include <vfioext/watch.h>

#include "context.h"
#include "region.h"
#include "watch.h"

/*
 * @epoll: what the caller polls
 * @events: of netlink, NULL where the module is not loaded
 * @request: eventfd, of the request interrupt if the device has one
 * @wanted: the host wants the device, and the callback was not called yet
 * @told: the callback was called
 * @id: number of the removal
 */
struct watch {
	vfioext_removal_fn fn;
	void *data;
	int epoll;
	struct vfioext_events *events;
	int request;
	bool wanted;
	bool told;
	uint32_t id;
};

static int poll_for(struct watch *watch, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(watch->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* Without the module the request interrupt is all there is. */
static int watch_events(const struct vfioext *ctx, struct watch *watch)
{
	int ret = netlink_may_open(ctx) ?
		  vfioext_events_open(&watch->events, VFIOEXT_EVENTS_REMOVAL, -1) :
		  -EPROTONOSUPPORT;

	if (ret == -EPROTONOSUPPORT) {
		watch->events = NULL;
		return 0;
	}
	return ret ? ret : poll_for(watch, vfioext_events_fd(watch->events));
}

/* Of a device that is served nobody but its server knows. */
static int watch_server(struct remote *remote, struct watch *watch)
{
	struct epoll_event event = { .events = EPOLLRDHUP };

	return epoll_ctl(watch->epoll, EPOLL_CTL_ADD, remote->ops->poll_fd(remote), &event) ?
	       -errno : 0;
}

static int watch_request(struct vfioext_device *device, struct watch *watch)
{
	struct vfioext_irq_info info;
	int ret;

	watch->request = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->request < 0)
		return -errno;
	ret = poll_for(watch, watch->request);
	if (ret)
		return ret;
	if (device->pci && !vfioext_irq_get_info(device, VFIOEXT_IRQ_REQUEST, &info) && info.count)
		return vfioext_irq_set(device, VFIOEXT_IRQ_REQUEST, 0, &watch->request, 1);
	if (watch->events || device->remote)
		return 0;
	return context_fail(device->ctx, -ENOTSUP, "the module is not loaded, and %s has no request "
			    "interrupt", device->info.name);
}

static int begin(struct vfioext_device *device, struct watch *watch)
{
	int ret;

	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (watch->epoll < 0)
		return -errno;
	ret = device->remote ? watch_server(device->remote, watch) : watch_events(device->ctx, watch);
	return ret ? ret : watch_request(device, watch);
}

static void watch_end(struct watch *watch)
{
	vfioext_events_close(watch->events);
	if (watch->request >= 0)
		close(watch->request);
	if (watch->epoll >= 0)
		close(watch->epoll);
	free(watch);
}

static void take_current(const struct vfioext_event *event, void *data);

int vfioext_device_watch(struct vfioext_device *device, vfioext_removal_fn fn, void *data)
{
	struct watch *watch;
	int ret;

	if (vfioext_device_lost(device))
		return -ENODEV;
	if (device->watch)
		return -EBUSY;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->fn = fn;
	watch->data = data;
	watch->request = -1;
	ret = begin(device, watch);
	if (ret) {
		watch_end(watch);
		return ret;
	}
	device->watch = watch;
	/* One that began before the subscription. */
	if (watch->events)
		vfioext_events_resync(watch->events, device->ctx, take_current, device);
	if (watch->wanted)
		eventfd_write(watch->request, 1);
	return 0;
}

int vfioext_device_watch_fd(const struct vfioext_device *device)
{
	return device->watch ? device->watch->epoll : -1;
}

static void want(struct watch *watch, uint32_t id)
{
	watch->wanted = !watch->told;
	watch->id = id;
}

/* A removal that was called off may be followed by another. */
static void take_current(const struct vfioext_event *event, void *data)
{
	struct vfioext_device *device = data;
	struct watch *watch = device->watch;

	if (event->type != VFIOEXT_EVENT_LOST &&
	    (strcmp(event->removal.device, device->info.name) ||
	     strcmp(event->removal.bus, device->info.bus)))
		return;
	switch (event->type) {
	case VFIOEXT_EVENT_CURRENT:
	case VFIOEXT_EVENT_REMOVAL_REQUESTED:
		want(watch, event->removal.id);
		break;
	case VFIOEXT_EVENT_REMOVAL_CANCELLED:
		watch->wanted = false;
		watch->told = false;
		break;
	case VFIOEXT_EVENT_LOST:
		vfioext_events_resync(watch->events, device->ctx, take_current, device);
		break;
	default:
		break;
	}
}

/*
 * The module asks by the request interrupt, too, after it sent its event. Where it
 * was unloaded since, there is no event.
 */
static int take_request(struct vfioext_device *device, struct watch *watch)
{
	eventfd_t count;
	int ret = 0;

	if (eventfd_read(watch->request, &count))
		return 0;
	if (watch->events)
		ret = vfioext_events_dispatch(watch->events, take_current, device);
	if (ret >= 0 && !watch->wanted)
		want(watch, 0);
	return ret;
}

/* There is nothing that could be kept. */
static int server_gone(struct vfioext_device *device, struct watch *watch)
{
	struct remote *remote = device->remote;

	epoll_ctl(watch->epoll, EPOLL_CTL_DEL, remote->ops->poll_fd(remote), NULL);
	if (watch->fn && !watch->told)
		watch->fn(device, 0, watch->data);
	watch->told = true;
	remote_explain(device, -ENODEV);
	vfioext_device_let_go(device);
	return 1;
}

int vfioext_device_watch_dispatch(struct vfioext_device *device)
{
	struct watch *watch = device->watch;
	int ret = 0;

	if (!watch || device->let_go || (vfioext_device_lost(device) && !device->remote))
		return watch ? 1 : -EINVAL;
	if (device->remote && device->remote->ops->is_lost(device->remote))
		return server_gone(device, watch);
	if (watch->events)
		ret = vfioext_events_dispatch(watch->events, take_current, device);
	if (ret >= 0)
		ret = take_request(device, watch);
	if (ret < 0)
		return ret;
	if (!watch->wanted)
		return 0;
	watch->wanted = false;
	watch->told = true;
	if (watch->fn && watch->fn(device, watch->id, watch->data))
		return 0;
	vfioext_device_let_go(device);
	return 1;
}

void vfioext_device_let_go(struct vfioext_device *device)
{
	if (atomic_exchange(&device->let_go, true))
		return;
	atomic_store(&device->lost, true);
	regions_lose(device);
	irqs_free(device);
	device_detach(device);
}

void watch_free(struct vfioext_device *device)
{
	if (device->watch)
		watch_end(device->watch);
	device->watch = NULL;
}
