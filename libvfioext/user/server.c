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

#include "server.h"

/*
 * A client that asks for one thing after the other, so often without another in between, is
 * waited for alone, so often before others are looked at.
 */
#define STREAK_MIN 16
#define TURNS_MAX 64

void device_log(struct vfioext_user_device *device, const char *format, ...)
{
	const struct vfioext_user *server = device->server;
	char text[PATH_MAX + 256];
	size_t size;
	va_list args;

	if (!server->log)
		return;
	size = device->listener.path[0] ?
	       (size_t)snprintf(text, sizeof(text), "%s: ", device->listener.path) : 0;
	va_start(args, format);
	vsnprintf(text + size, sizeof(text) - size, format, args);
	va_end(args);
	if (log_limit_pass(&device->limit, text, sizeof(text)))
		server->log(text, server->data);
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
	struct vfioext_user_device *device, *next;
	struct session *session, *other;
	eventfd_t count;

	(void)events;
	eventfd_read(server->wake, &count);
	for (device = server->devices; device; device = next) {
		next = device->next;
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
	server->turns = 0;
	if (nr != 1)
		server->only = NULL;
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

int vfioext_user_dispatch(struct vfioext_user *server)
{
	return dispatch(server, 0);
}

/* To wait for a client at its own socket for a moment saves to wait for all of them. */
int vfioext_user_wait(struct vfioext_user *server, int timeout_ms)
{
	if (!server->only || server->streak < STREAK_MIN || timeout_ms >= 0)
		return dispatch(server, timeout_ms);
	if (++server->turns < TURNS_MAX && session_wait(server->only))
		return 0;
	return dispatch(server, server->turns < TURNS_MAX ? -1 : 0);
}
