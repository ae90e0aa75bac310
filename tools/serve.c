// SPDX-License-Identifier: GPL-2.0-only
/* Serving, until a signal comes or there is nothing left to serve. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "serve.h"

#define FOREVER (-1)

/* The server's, that of signals, and one of each bridge. */
#define FDS_BEFORE 2

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2)))
static void tell(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	print_log(text, NULL);
}

/*
 * What the host wants of a device, and when the client has had its time.
 * @timeout_ms: how long to wait at most; made shorter if need be
 * Return: 0, or the error of the bridge.
 */
static int look_at(const struct serving *serving, struct served *served, int *timeout_ms)
{
	int state = vfioext_user_bridge_dispatch(served->bridge);
	long left;

	if (state < 0)
		return state;
	if (state == VFIOEXT_USER_BRIDGE_WANTED && !served->deadline) {
		served->deadline = now_ms() + serving->grace_ms;
		tell("%s: the host wants it back; its client is asked to let go", served->name);
	}
	if (state == VFIOEXT_USER_BRIDGE_WANTED) {
		left = served->deadline - now_ms();
		if (left > 0) {
			if (*timeout_ms == FOREVER || left < *timeout_ms)
				*timeout_ms = (int)left;
			return 0;
		}
		tell("%s: the client does not let go, and is dropped", served->name);
		vfioext_user_bridge_let_go(served->bridge);
		state = VFIOEXT_USER_BRIDGE_GONE;
	}
	if (state != VFIOEXT_USER_BRIDGE_GONE)
		return 0;
	tell("%s goes back to the host", served->name);
	served->gone = true;
	return 0;
}

/* Return: whether there is one left, or an error. */
static int look_at_all(struct serving *serving, struct pollfd *fds, int *timeout_ms)
{
	struct served *served;
	int ret, left = 0;
	size_t i;

	*timeout_ms = FOREVER;
	for (i = 0; i < serving->nr; i++) {
		served = &serving->list[i];
		ret = served->bridge && !served->gone ? look_at(serving, served, timeout_ms) : 0;
		if (ret) {
			error("%s: %s", served->name, strerror(-ret));
			return ret;
		}
		if (served->gone)
			fds[FDS_BEFORE + i].fd = -1;
		else
			left = 1;
	}
	return left;
}

/* Until a signal comes, all devices have gone, or the one client that there is. */
static int serve_until(struct serving *serving, struct pollfd *fds)
{
	nfds_t nr = FDS_BEFORE + serving->nr;
	int ret, timeout_ms = FOREVER;

	while ((poll(fds, nr, timeout_ms) >= 0 || errno == EINTR) && !fds[1].revents) {
		ret = vfioext_user_dispatch(serving->server);
		if (ret) {
			error("serving: %s", strerror(-ret));
			return EXIT_FAILED;
		}
		if (!serving->nr_paths && !vfioext_user_device_has_client(serving->list[0].served))
			break;
		ret = look_at_all(serving, fds, &timeout_ms);
		if (ret <= 0)
			return ret ? EXIT_FAILED : EXIT_DONE;
	}
	return EXIT_DONE;
}

static int serve(struct serving *serving)
{
	struct pollfd fds[FDS_BEFORE + SERVE_MAX] = {
		{ .fd = vfioext_user_fd(serving->server), .events = POLLIN },
		{ .fd = signals_catch(), .events = POLLIN },
	};
	size_t i;
	int ret;

	if (fds[1].fd < 0) {
		error("signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	for (i = 0; i < serving->nr; i++) {
		fds[FDS_BEFORE + i].fd = serving->list[i].bridge ?
					 vfioext_user_bridge_fd(serving->list[i].bridge) : -1;
		fds[FDS_BEFORE + i].events = POLLIN;
	}
	sd_notify(0, "READY=1");
	ret = serve_until(serving, fds);
	sd_notify(0, "STOPPING=1");
	close(fds[1].fd);
	return ret;
}

int serve_run(struct serving *serving)
{
	int ret;

	raise_file_limit();
	serving->ctx = open_context();
	if (!serving->ctx)
		return EXIT_FAILED;
	ret = serve_begin(serving);
	if (!ret)
		ret = serve(serving);
	serve_end(serving);
	vfioext_free(serving->ctx);
	return ret;
}
