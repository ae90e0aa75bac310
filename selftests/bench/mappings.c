// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to look up, add and remove mappings for DMA: lines of name, mappings,
 * threads and nanoseconds each. Of CPU time, as nothing waits, and so that what else
 * runs counts little. There is one writer at most: where there are two threads the
 * other one looks up meanwhile.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vfioext/dma.h>

#include "../../libvfioext/mappings.h"

#define PAGE 4096ULL
#define REPETITIONS 5
#define LOOKUPS 400000
#define PAIRS 100000
#define PLACES 65536
#define MEMORY 0x7f0000000000ULL

struct bench {
	struct mappings *mappings;
	size_t nr;
	/* Where to look, or what to remove: known beforehand, as random numbers cost, too. */
	uint64_t vaddrs[PLACES];
	uint64_t iovas[PLACES];
	atomic_bool stop;
	double ns;
};

static const struct vfioext_iova_range range = { PAGE, (1ULL << 39) - 1 };
static volatile uint64_t sink;

static uint64_t next_random(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x * 0x2545f4914f6cdd1dULL >> 16;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void *look_up_vaddrs(void *argument)
{
	struct bench *bench = argument;
	struct mapping found;
	double begin = now_ns();
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < LOOKUPS; i++) {
		check(mappings_by_vaddr(bench->mappings, bench->vaddrs[i % PLACES], &found));
		sum += found.iova;
	}
	sink = sum;
	bench->ns = (now_ns() - begin) / LOOKUPS;
	return NULL;
}

static void *look_up_iovas(void *argument)
{
	struct bench *bench = argument;
	struct mapping found;
	double begin = now_ns();
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < LOOKUPS; i++) {
		check(mappings_by_iova(bench->mappings, bench->iovas[i % PLACES], &found));
		sum += found.vaddr;
	}
	sink = sum;
	bench->ns = (now_ns() - begin) / LOOKUPS;
	return NULL;
}

/* Map one more, and unmap it. */
static void *add_and_remove(void *argument)
{
	struct bench *bench = argument;
	struct mapping mapping = { .size = PAGE, .flags = 3 };
	double begin = now_ns();
	size_t i;

	for (i = 0; i < PAIRS; i++) {
		mapping.vaddr = (bench->vaddrs[i % PLACES] / PAGE + 1) * PAGE;
		check(!mappings_find_free(bench->mappings, &range, 1, PAGE, PAGE, &mapping.iova));
		check(!mappings_add(bench->mappings, &mapping));
		check(!mappings_remove(bench->mappings, mapping.iova, NULL));
	}
	bench->ns = (now_ns() - begin) / PAIRS;
	return NULL;
}

/* Unmap any, and map it again elsewhere. */
static void *replace(void *argument)
{
	struct bench *bench = argument;
	double begin = now_ns();
	struct mapping mapping;
	uint64_t *iova;
	size_t i;

	for (i = 0; i < PAIRS; i++) {
		iova = &bench->iovas[i * 40503 % bench->nr];
		check(!mappings_remove(bench->mappings, *iova, &mapping));
		check(!mappings_find_free(bench->mappings, &range, 1, PAGE, PAGE, iova));
		mapping.iova = *iova;
		check(!mappings_add(bench->mappings, &mapping));
	}
	bench->ns = (now_ns() - begin) / PAIRS;
	return NULL;
}

/* Until the writer is through: what stays is always found. */
static void *disturb(void *argument)
{
	struct bench *bench = argument;
	struct mapping found;
	size_t i;

	for (i = 0; !atomic_load_explicit(&bench->stop, memory_order_relaxed); i++)
		mappings_by_vaddr(bench->mappings, bench->vaddrs[i % PLACES], &found);
	return NULL;
}

static void shuffle(uint64_t *values, size_t nr)
{
	uint64_t value;
	size_t i, at;

	for (i = nr; i > 1; i--) {
		at = next_random() % i;
		value = values[i - 1];
		values[i - 1] = values[at];
		values[at] = value;
	}
}

/* Memory in no order, as the pieces come and go. */
static void fill(struct bench *bench)
{
	struct mapping mapping = { .size = PAGE, .flags = 3 };
	uint64_t *vaddrs = malloc(bench->nr * sizeof(*vaddrs));
	size_t i;

	check(vaddrs);
	bench->mappings = mappings_new();
	check(bench->mappings);
	for (i = 0; i < bench->nr; i++)
		vaddrs[i] = MEMORY + i * 2 * PAGE;
	shuffle(vaddrs, bench->nr);
	for (i = 0; i < bench->nr; i++) {
		mapping.vaddr = vaddrs[i];
		check(!mappings_find_free(bench->mappings, &range, 1, PAGE, PAGE, &mapping.iova));
		check(!mappings_add(bench->mappings, &mapping));
	}
	free(vaddrs);
}

static void choose_places(struct bench *bench)
{
	size_t i;

	for (i = 0; i < PLACES; i++) {
		bench->vaddrs[i] = MEMORY + next_random() % bench->nr * 2 * PAGE +
				   next_random() % PAGE;
		bench->iovas[i] = PAGE + next_random() % (bench->nr * PAGE);
	}
}

/* Each mapping once: it is removed and comes back. */
static void choose_all(struct bench *bench)
{
	struct mapping mapping;
	uint64_t from = 0;
	size_t i;

	for (i = 0; mappings_next(bench->mappings, from, &mapping); i++) {
		bench->iovas[i] = mapping.iova;
		from = mapping.iova + 1;
	}
	shuffle(bench->iovas, i);
}

static double run_alike(struct bench *bench, int threads, void *(*run)(void *))
{
	static struct bench twin;
	pthread_t thread;

	twin = *bench;
	if (threads == 2)
		check(!pthread_create(&thread, NULL, run, &twin));
	run(bench);
	if (threads < 2)
		return bench->ns;
	pthread_join(thread, NULL);
	return (bench->ns + twin.ns) / 2;
}

static double run_disturbed(struct bench *bench, int threads, void *(*run)(void *))
{
	pthread_t thread;

	atomic_store(&bench->stop, false);
	if (threads == 2)
		check(!pthread_create(&thread, NULL, disturb, bench));
	run(bench);
	atomic_store(&bench->stop, true);
	if (threads == 2)
		pthread_join(thread, NULL);
	return bench->ns;
}

static void measure(struct bench *bench, const char *name, int threads, void *(*run)(void *),
		    double (*run_with)(struct bench *bench, int threads, void *(*run)(void *)))
{
	double ns[REPETITIONS];
	int i;

	run_with(bench, threads, run);
	for (i = 0; i < REPETITIONS; i++)
		ns[i] = run_with(bench, threads, run);
	qsort(ns, REPETITIONS, sizeof(*ns), compare);
	printf("%s %zu %d %.1f\n", name, bench->nr, threads, ns[REPETITIONS / 2]);
	fflush(stdout);
}

int main(void)
{
	static const size_t sizes[] = { 16, 256, 4096, 65536 };
	static struct bench bench;
	int threads;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (threads = 1; threads <= 2; threads++) {
			bench.nr = sizes[i];
			fill(&bench);
			choose_places(&bench);
			measure(&bench, "vaddr_to_iova", threads, look_up_vaddrs, run_alike);
			measure(&bench, "iova_to_vaddr", threads, look_up_iovas, run_alike);
			measure(&bench, "add_remove", threads, add_and_remove, run_disturbed);
			choose_all(&bench);
			measure(&bench, "replace_any", threads, replace, run_disturbed);
			mappings_free(bench.mappings);
		}
	}
	return 0;
}
