// SPDX-License-Identifier: LGPL-2.1-or-later
/* A device that the host wants back. */
#include <errno.h>
#include <linux/vfioext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <vfioext/interrupt.h>
#include <vfioext/watch.h>

#include "context.h"
#include "region.h"
#include "watch.h"

/* What is under way is asked for again so much later if it could not be told. */
#define RETRY_MS 100

/*
 * @epoll: what the caller polls
 * @events: of netlink, NULL where the module is not loaded
 * @request: eventfd, of the request interrupt if the device has one
 * @retry: timer of the next try to read what is under way, -1 without @events
 * @lost: events were lost, and that was not read yet
 * @found: it was read, and the device is wanted
 * @heard: something was told of the device's removals, by a module that is there
 * @wanted: the host wants the device, and the callback was not called yet
 * @told: it was called, and the removal may be under way still
 * @id: number of that removal, 0 if only the request interrupt told it
 * @busy: the callback is being called
 */
struct watch {
	vfioext_removal_fn fn;
	void *data;
	int epoll;
	struct vfioext_events *events;
	int request;
	int retry;
	bool lost;
	bool found;
	bool heard;
	bool wanted;
	bool told;
	uint32_t id;
	bool busy;
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
	if (ret)
		return ret;
	watch->retry = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch->retry < 0)
		return -errno;
	ret = poll_for(watch, watch->retry);
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
	if (watch->retry >= 0)
		close(watch->retry);
	if (watch->request >= 0)
		close(watch->request);
	if (watch->epoll >= 0)
		close(watch->epoll);
	free(watch);
}

/* Another number is another removal, whatever became of the one before. */
static void want(struct watch *watch, uint32_t id)
{
	if (watch->told && watch->id == id)
		return;
	watch->wanted = true;
	watch->told = false;
	watch->id = id;
}

/* One whose number is not known may be any. */
static void be_over(struct watch *watch, uint32_t id)
{
	if (watch->id && watch->id != id)
		return;
	watch->wanted = false;
	watch->told = false;
}

static void take_event(const struct vfioext_event *event, void *data)
{
	struct vfioext_device *device = data;
	struct watch *watch = device->watch;

	if (event->type == VFIOEXT_EVENT_LOST)
		watch->lost = true;
	if (strcmp(event->removal.device, device->info.name) ||
	    strcmp(event->removal.bus, device->info.bus))
		return;
	watch->heard |= event->outcome != VFIOEXT_OUTCOME_UNLOADED;
	switch (event->type) {
	case VFIOEXT_EVENT_CURRENT:
		watch->found = true;
		want(watch, event->removal.id);
		break;
	case VFIOEXT_EVENT_REMOVAL_REQUESTED:
		want(watch, event->removal.id);
		break;
	case VFIOEXT_EVENT_REMOVAL_RELEASED:
	case VFIOEXT_EVENT_REMOVAL_CANCELLED:
	case VFIOEXT_EVENT_REMOVAL_DONE:
		be_over(watch, event->removal.id);
		break;
	default:
		break;
	}
}

/*
 * The end of a removal may be among what was lost: one that is not under way is over. Without
 * the module none is. Where the kernel cannot tell now it is asked again.
 */
static void resync(struct vfioext_device *device)
{
	struct watch *watch = device->watch;
	struct itimerspec next = { 0 };
	int ret;

	watch->found = false;
	ret = vfioext_events_resync(watch->events, device->ctx, take_event, device);
	watch->lost = ret < 0 && ret != -EPROTONOSUPPORT;
	if (!watch->lost && !watch->found)
		be_over(watch, watch->id);
	if (watch->lost)
		next.it_value.tv_nsec = RETRY_MS * 1000000L;
	timerfd_settime(watch->retry, 0, &next, NULL);
}

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
	watch->retry = -1;
	ret = begin(device, watch);
	if (ret) {
		watch_end(watch);
		return ret;
	}
	device->watch = watch;
	/* One that began before the subscription. */
	if (watch->events)
		resync(device);
	if (watch->wanted)
		eventfd_write(watch->request, 1);
	return 0;
}

int vfioext_device_watch_fd(const struct vfioext_device *device)
{
	return device->watch ? device->watch->epoll : -1;
}

/*
 * The module asks by the request interrupt, too, after it sent its event: what was signaled
 * before the events are read is told by one of these, and may be called off by now, unless
 * there is no module any longer. The server of a vfio-user device has no other way to ask,
 * nor one to call it off.
 */
static int take_all(struct vfioext_device *device, struct watch *watch)
{
	eventfd_t count;
	bool requested = !eventfd_read(watch->request, &count);
	int ret = 0;

	watch->heard = false;
	if (watch->events)
		ret = vfioext_events_dispatch(watch->events, take_event, device);
	if (ret >= 0 && watch->lost)
		resync(device);
	if (requested && !watch->wanted && !watch->heard && (!watch->told || device->remote)) {
		watch->told = false;
		want(watch, 0);
	}
	return ret;
}

static int call(struct vfioext_device *device, struct watch *watch, uint32_t id)
{
	int ret;

	if (!watch->fn)
		return 0;
	watch->busy = true;
	ret = watch->fn(device, id, watch->data);
	watch->busy = false;
	return ret;
}

/* There is nothing that could be kept. */
static int server_gone(struct vfioext_device *device, struct watch *watch)
{
	struct remote *remote = device->remote;

	epoll_ctl(watch->epoll, EPOLL_CTL_DEL, remote->ops->poll_fd(remote), NULL);
	call(device, watch, 0);
	remote_explain(device, -ENODEV);
	vfioext_device_let_go(device);
	return 1;
}

int vfioext_device_watch_dispatch(struct vfioext_device *device)
{
	struct watch *watch = device->watch;
	int ret;

	if (!watch)
		return -EINVAL;
	if (watch->busy)
		return -EDEADLK;
	if (device->let_go || (vfioext_device_lost(device) && !device->remote))
		return 1;
	if (device->remote && device->remote->ops->is_lost(device->remote))
		return server_gone(device, watch);
	ret = take_all(device, watch);
	if (!watch->wanted)
		return ret < 0 ? ret : 0;
	watch->wanted = false;
	watch->told = true;
	if (call(device, watch, watch->id))
		return device->let_go;
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
