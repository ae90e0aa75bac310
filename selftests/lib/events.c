// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vfioext/interrupt.h>

#include "events.h"

#define EVENTS_MAX 16

int events_dispatch_error, events_resync_error;
unsigned int events_resyncs;

static struct vfioext_event queue[EVENTS_MAX], current[EVENTS_MAX];
static unsigned int nr_queued, nr_current;
static int fd = -1, request = -1;

void events_reset(void)
{
	events_dispatch_error = 0;
	events_resync_error = 0;
	nr_queued = 0;
	nr_current = 0;
}

struct vfioext_event events_make(enum vfioext_event_type type, uint32_t id, const char *device,
				 uint32_t group)
{
	struct vfioext_event event = {
		.type = type,
		.outcome = -1,
		.removal = { .id = id, .group = group },
	};

	strcpy(event.removal.device, device);
	strcpy(event.removal.bus, "pci");
	return event;
}

void events_tell(const struct vfioext_event *event)
{
	queue[nr_queued++] = *event;
	eventfd_write(fd, 1);
}

void events_request(void)
{
	eventfd_write(request, 1);
}

void events_under_way(const struct vfioext_event *list, unsigned int nr)
{
	memcpy(current, list, nr * sizeof(*list));
	nr_current = nr;
}

int __wrap_vfioext_events_open(struct vfioext_events **events, unsigned int which, int netns);
int __wrap_vfioext_events_fd(const struct vfioext_events *events);
void __wrap_vfioext_events_close(struct vfioext_events *events);
int __wrap_vfioext_events_dispatch(struct vfioext_events *events, vfioext_event_fn fn, void *data);
int __wrap_vfioext_events_resync(struct vfioext_events *events, struct vfioext *ctx,
				 vfioext_event_fn fn, void *data);
int __wrap_vfioext_irq_get_info(struct vfioext_device *device, unsigned int irq,
				struct vfioext_irq_info *info);
int __wrap_vfioext_irq_set(struct vfioext_device *device, unsigned int irq, unsigned int first,
			   const int *eventfds, unsigned int nr);

int __wrap_vfioext_irq_get_info(struct vfioext_device *device, unsigned int irq,
				struct vfioext_irq_info *info)
{
	(void)device;
	*info = (struct vfioext_irq_info){ .count = irq == VFIOEXT_IRQ_REQUEST };
	return 0;
}

int __wrap_vfioext_irq_set(struct vfioext_device *device, unsigned int irq, unsigned int first,
			   const int *eventfds, unsigned int nr)
{
	(void)device;
	(void)irq;
	(void)first;
	(void)nr;
	request = eventfds[0];
	return 0;
}

int __wrap_vfioext_events_open(struct vfioext_events **events, unsigned int which, int netns)
{
	(void)which;
	(void)netns;
	*events = (struct vfioext_events *)queue;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return 0;
}

int __wrap_vfioext_events_fd(const struct vfioext_events *events)
{
	(void)events;
	return fd;
}

void __wrap_vfioext_events_close(struct vfioext_events *events)
{
	if (events)
		close(fd);
}

int __wrap_vfioext_events_dispatch(struct vfioext_events *events, vfioext_event_fn fn, void *data)
{
	unsigned int i, nr = nr_queued;
	eventfd_t count;

	(void)events;
	eventfd_read(fd, &count);
	nr_queued = 0;
	for (i = 0; i < nr; i++)
		fn(&queue[i], data);
	return events_dispatch_error ? events_dispatch_error : (int)nr;
}

int __wrap_vfioext_events_resync(struct vfioext_events *events, struct vfioext *ctx,
				 vfioext_event_fn fn, void *data)
{
	unsigned int i;

	(void)events;
	(void)ctx;
	events_resyncs++;
	if (events_resync_error)
		return events_resync_error;
	for (i = 0; i < nr_current; i++)
		fn(&current[i], data);
	return (int)nr_current;
}
