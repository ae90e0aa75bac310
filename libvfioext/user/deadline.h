/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client, or the device for it, must have done by a certain time. There is one timer for
 * all of it, which is set when something is waited for sooner than it rings, and not when that
 * has come: mostly it has, and costs no system call.
 */
#ifndef LIBVFIOEXT_USER_DEADLINE_H
#define LIBVFIOEXT_USER_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * WAIT_VERSION: for the client's first message, all of it
 * WAIT_MESSAGE: for the end of a message that it has begun
 * WAIT_UNMAP: for the device's last use of memory that the client unmaps
 * WAIT_DMA: for the client's answer to what it was asked for
 */
enum wait { WAIT_VERSION, WAIT_MESSAGE, WAIT_UNMAP, WAIT_DMA, NR_WAITS };

/*
 * @fd: timerfd
 * @rings_ms: when it rings, 0 for never
 * @at_ms: when each is over, 0 for what is not waited for
 */
struct deadlines {
	int fd;
	uint64_t rings_ms;
	uint64_t at_ms[NR_WAITS];
};

/* Return: 0, or the error of a system call. */
int deadlines_open(struct deadlines *deadlines);
void deadlines_close(struct deadlines *deadlines);

/* Wait until then, a time of share_now_ms(); 0: no longer. */
void deadlines_set(struct deadlines *deadlines, enum wait what, uint64_t at_ms);

/* Is this one over? It is not waited for any longer then. */
bool deadlines_is_over(struct deadlines *deadlines, enum wait what, uint64_t now_ms);

/* It has rung: set it for the next. */
void deadlines_go_on(struct deadlines *deadlines);

#endif
