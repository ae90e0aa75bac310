// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to look mappings for DMA up, and to add and remove one, in one of the
 * libraries: lines of what, mappings, threads and nanoseconds each, of CPU time, so
 * that what else runs counts little. All threads look up; but of those that map, one
 * does, while the other looks up.
 *
 *	bench [MAPPINGS [MILLISECONDS]]		each measurement takes so long
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peer.h"

#define PLACES 4096
#define MEMORY 0x700000000000ULL
#define BATCH 256

struct bench {
	size_t nr;
	void **pages;
	/* Where to look: known beforehand, as random numbers cost, too. */
	void *vaddrs[PLACES];
	uint64_t iovas[PLACES];
	atomic_bool stop;
};

static struct bench bench;
static double budget_ns = 100e6;

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

static void look_up_vaddr(size_t i)
{
	must(peer_iova(bench.vaddrs[i]) == bench.iovas[i]);
}

static void look_up_iova(size_t i)
{
	must(peer_vaddr(bench.iovas[i]) == bench.vaddrs[i]);
}

/* One more, that is between others. */
static void map_and_unmap(size_t i)
{
	void *page = (void *)((uintptr_t)bench.vaddrs[i] / PAGE * PAGE + PAGE);

	peer_unmap(page, peer_map(page));
}

/* For a while. Return: nanoseconds each. */
static double repeat(void (*what)(size_t i))
{
	double begin = now_ns(), spent;
	size_t done = 0, end;

	do {
		for (end = done + BATCH; done < end; done++)
			what(done % PLACES);
		spent = now_ns() - begin;
	} while (spent < budget_ns);
	return spent / (double)done;
}

static void *look_up_too(void *result)
{
	*(double *)result = repeat(look_up_vaddr);
	return NULL;
}

static void *look_back_too(void *result)
{
	*(double *)result = repeat(look_up_iova);
	return NULL;
}

static void *disturb(void *unused)
{
	size_t i;

	for (i = 0; !atomic_load_explicit(&bench.stop, memory_order_relaxed); i++)
		look_up_vaddr(i % PLACES);
	return unused;
}

static void print(const char *what, int threads, double ns)
{
	printf("%s %zu %d %.1f\n", what, bench.nr, threads, ns);
	fflush(stdout);
}

static void measure_looks(const char *name, void (*what)(size_t i), void *(*too)(void *result))
{
	pthread_t thread;
	double ns, other;

	repeat(what);
	print(name, 1, repeat(what));
	must(!pthread_create(&thread, NULL, too, &other));
	ns = repeat(what);
	must(!pthread_join(thread, NULL));
	print(name, 2, (ns + other) / 2);
}

static void measure_maps(void)
{
	pthread_t thread;
	double ns;

	print("map+unmap", 1, repeat(map_and_unmap));
	must(!pthread_create(&thread, NULL, disturb, NULL));
	ns = repeat(map_and_unmap);
	atomic_store(&bench.stop, true);
	must(!pthread_join(thread, NULL));
	print("map+unmap", 2, ns);
}

/* Pages in no order, as they come and go, and apart from each other. */
static void choose_pages(void)
{
	size_t i, at;
	void *page;

	bench.pages = malloc(bench.nr * sizeof(*bench.pages));
	must(bench.pages);
	for (i = 0; i < bench.nr; i++)
		bench.pages[i] = (void *)(MEMORY + i * 2 * PAGE);
	for (i = bench.nr; i > 1; i--) {
		at = next_random() % i;
		page = bench.pages[i - 1];
		bench.pages[i - 1] = bench.pages[at];
		bench.pages[at] = page;
	}
}

static void choose_places(const uint64_t *iovas)
{
	size_t i, at, offset;

	for (i = 0; i < PLACES; i++) {
		at = next_random() % bench.nr;
		offset = next_random() % PAGE;
		bench.vaddrs[i] = (char *)bench.pages[at] + offset;
		bench.iovas[i] = iovas[at] + offset;
	}
}

int main(int argc, char **argv)
{
	uint64_t *iovas;

	bench.nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 16;
	if (argc > 2)
		budget_ns = strtod(argv[2], NULL) * 1e6;
	must(budget_ns > 0);
	iovas = malloc(bench.nr * sizeof(*iovas));
	must(iovas && bench.nr);
	choose_pages();
	peer_begin(bench.pages, iovas, bench.nr);
	choose_places(iovas);
	measure_looks("vaddr->iova", look_up_vaddr, look_up_too);
	if (peer_looks_back)
		measure_looks("iova->vaddr", look_up_iova, look_back_too);
	measure_maps();
	return 0;
}
