// SPDX-License-Identifier: LGPL-2.1-or-later
/* A loop, and the devices in it. */
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../share_message.h"
#include "server.h"
#include "signal.h"

/* Each limit that a client is beyond is told of so often. */
#define LIMIT_LOG_MS 10000

static void log_line(struct vfioext_user_device *device, const char *format, va_list args)
{
	const struct vfioext_user *server = device->server;
	char text[PATH_MAX + 256];
	size_t size;

	if (!server->log)
		return;
	size = device->listener.path[0] ?
	       (size_t)snprintf(text, sizeof(text), "%s: ", device->listener.path) : 0;
	vsnprintf(text + size, sizeof(text) - size, format, args);
	if (log_limit_pass(&device->limit, text, sizeof(text)))
		server->log(text, server->data);
}

void device_log(struct vfioext_user_device *device, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(device, format, args);
	va_end(args);
}

void device_log_limit(struct vfioext_user_device *device, enum limit limit, const char *format, ...)
{
	uint64_t now = share_now_ms();
	va_list args;

	if (device->limits_told[limit] && now - device->limits_told[limit] < LIMIT_LOG_MS)
		return;
	device->limits_told[limit] = now;
	va_start(args, format);
	log_line(device, format, args);
	va_end(args);
}

void server_wake(const struct vfioext_user *server)
{
	eventfd_write(server->wake, 1);
}

int server_watch(const struct vfioext_user *server, int fd, uint32_t events,
		 struct source *source)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (!epoll_ctl(server->epoll, EPOLL_CTL_MOD, fd, &event))
		return 0;
	if (errno != ENOENT)
		return -errno;
	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* What was left for later, or has become possible through another thread. */
static void on_wake(struct source *source, uint32_t events)
{
	struct vfioext_user *server = (struct vfioext_user *)source;
	struct session *session, *other;
	struct vfioext_user_device *device;
	eventfd_t count;

	(void)events;
	eventfd_read(server->wake, &count);
	for (device = server->devices; device; device = server->next) {
		/* A callback may free any other. */
		server->next = device->next;
		for (session = device->waiting; session; session = other) {
			other = session->next;
			if (session->doomed)
				session_free(session);
		}
		if (device->session)
			session_resume(device->session);
	}
}

static int open_files(struct vfioext_user *server)
{
	server->wake = -1;
	server->nobody = -1;
	server->spare = -1;
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0)
		return -errno;
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake < 0)
		return -errno;
	server->nobody = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->nobody < 0)
		return -errno;
	server->spare = fcntl(server->wake, F_DUPFD_CLOEXEC, 0);
	if (server->spare < 0)
		return -errno;
	return server_watch(server, server->wake, EPOLLIN, &server->source);
}

static void close_file(int fd)
{
	if (fd >= 0)
		close(fd);
}

int vfioext_user_new(struct vfioext *ctx, vfioext_user_log_fn log, void *data,
		     struct vfioext_user **server)
{
	struct vfioext_user *new;
	int ret;

	ret = guard_install();
	if (!ret)
		ret = signal_init();
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->source.ready = on_wake;
	new->ctx = ctx;
	new->log = log;
	new->data = data;
	ret = open_files(new);
	if (ret) {
		vfioext_user_free(new);
		return ret;
	}
	*server = new;
	return 0;
}

void vfioext_user_free(struct vfioext_user *server)
{
	if (!server)
		return;
	while (server->devices)
		vfioext_user_device_free(server->devices);
	close_file(server->spare);
	close_file(server->nobody);
	close_file(server->wake);
	close_file(server->epoll);
	free(server);
}

int vfioext_user_fd(const struct vfioext_user *server)
{
	return server->epoll;
}

/* What it belongs to goes: events that were taken already are not for it any longer. */
void server_forget(struct vfioext_user *server, int fd, struct source *source)
{
	unsigned int i;

	if (fd >= 0)
		epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, NULL);
	for (i = server->at_event; i < server->nr_events; i++)
		if (server->events[i].data.ptr == source)
			server->events[i].data.ptr = NULL;
}

static int dispatch(struct vfioext_user *server, int timeout_ms)
{
	struct source *source;
	int nr;

	nr = epoll_wait(server->epoll, server->events, EVENTS_MAX, timeout_ms);
	if (nr < 0)
		return errno == EINTR ? 0 : -errno;
	server->nr_events = (unsigned int)nr;
	for (server->at_event = 0; server->at_event < server->nr_events;) {
		source = server->events[server->at_event].data.ptr;
		if (source)
			source->ready(source, server->events[server->at_event++].events);
		else
			server->at_event++;
	}
	server->nr_events = 0;
	return 0;
}

/* Not from a callback: what is being dispatched would be dispatched again. */
static int dispatch_from_outside(struct vfioext_user *server, int timeout_ms)
{
	int ret;

	if (server->inside)
		return -EDEADLK;
	server->inside++;
	ret = dispatch(server, timeout_ms);
	server->inside--;
	return ret;
}

int vfioext_user_dispatch(struct vfioext_user *server)
{
	return dispatch_from_outside(server, 0);
}

int vfioext_user_wait(struct vfioext_user *server, int timeout_ms)
{
	return dispatch_from_outside(server, timeout_ms);
}
