/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device of 4096 bytes in region 0 and 4 vectors of MSI-X, served at paths until the
 * process is killed. Each server is a program of its own: bench.c and one of the others.
 */
#ifndef BENCH_USER_H
#define BENCH_USER_H

#define REGION_SIZE 4096
#define VECTORS 4

/* Serve so many devices, device N at PATH.N, from one loop. Never returns. */
void serve(const char *path, int nr);

/* What the server is called. */
extern const char server_name[];

#endif
