// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "deadline.h"

int deadlines_open(struct deadlines *deadlines)
{
	memset(deadlines, 0, sizeof(*deadlines));
	deadlines->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return deadlines->fd < 0 ? -errno : 0;
}

void deadlines_close(struct deadlines *deadlines)
{
	close(deadlines->fd);
	deadlines->fd = -1;
}

/* What it has told until now is forgotten. */
static void ring(struct deadlines *deadlines, uint64_t at_ms)
{
	struct itimerspec when = {
		.it_value = {
			.tv_sec = (time_t)(at_ms / 1000),
			.tv_nsec = (long)(at_ms % 1000 * 1000000),
		},
	};

	timerfd_settime(deadlines->fd, TFD_TIMER_ABSTIME, &when, NULL);
	deadlines->rings_ms = at_ms;
}

void deadlines_set(struct deadlines *deadlines, enum wait what, uint64_t at_ms)
{
	deadlines->at_ms[what] = at_ms;
	if (at_ms && (!deadlines->rings_ms || at_ms < deadlines->rings_ms))
		ring(deadlines, at_ms);
}

bool deadlines_is_over(struct deadlines *deadlines, enum wait what, uint64_t now_ms)
{
	if (!deadlines->at_ms[what] || now_ms < deadlines->at_ms[what])
		return false;
	deadlines->at_ms[what] = 0;
	return true;
}

void deadlines_go_on(struct deadlines *deadlines)
{
	uint64_t next = 0;
	unsigned int i;

	for (i = 0; i < NR_WAITS; i++)
		if (deadlines->at_ms[i] && (!next || deadlines->at_ms[i] < next))
			next = deadlines->at_ms[i];
	ring(deadlines, next);
}
