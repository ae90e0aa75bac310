/* SPDX-License-Identifier: GPL-2.0-only */
/* What is measured in pairs, ours and a peer's, and a row of a table of it. */
#ifndef SELFTESTS_SERIES_H
#define SELFTESTS_SERIES_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPETITIONS 7

/* Fewer, where it is only to be seen that all is measured. */
static int repetitions = REPETITIONS;

struct series {
	double ours[REPETITIONS];
	double peers[REPETITIONS];
};

static inline double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static inline int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static inline double median(double *values)
{
	qsort(values, (size_t)repetitions, sizeof(*values), compare);
	return values[repetitions / 2];
}

/* The ratio is that of each pair, so that what disturbs both does not count. */
static inline void print_row(const char *what, const char *peer, const char *unit,
			     struct series *series)
{
	double ratios[REPETITIONS];
	int i;

	for (i = 0; i < repetitions; i++)
		ratios[i] = series->ours[i] / series->peers[i];
	median(ratios);
	printf("| %s | %.1f %s | %s | %.1f %s | %.3f (%.3f to %.3f) |\n", what,
	       median(series->ours), unit, peer, median(series->peers), unit,
	       ratios[repetitions / 2], ratios[0], ratios[repetitions - 1]);
	fflush(stdout);
}

#endif
