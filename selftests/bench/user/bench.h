/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device of 4096 bytes in region 0 and 4 vectors of MSI-X, served at paths until the
 * process is killed. Each server is a program of its own: bench.c and one of the others.
 */
#ifndef BENCH_USER_H
#define BENCH_USER_H

#include <time.h>

#define REGION_SIZE 4096
#define VECTORS 4

/*
 * Writing this register has the device signal vector 0 so often, as fast as it can; read
 * then, it tells how many a second that was (a double).
 */
#define REGISTER_SIGNAL 2048
#define SIGNALS 200000

/* In seconds. */
static inline double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Serve so many devices, device N at PATH.N, from one loop. Never returns. */
void serve(const char *path, int nr);

/* What the server is called. */
extern const char server_name[];

#endif
