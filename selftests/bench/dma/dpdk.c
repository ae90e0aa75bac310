// SPDX-License-Identifier: GPL-2.0-only
/*
 * DPDK has no look-up among what an application maps itself, but one among external
 * memory that it registers: all pages at once, as each registration is an area of its
 * own and there can be 128. By IOVA it finds its own memory only.
 */
#include <rte_eal.h>
#include <rte_memory.h>
#include <stdlib.h>

#include "peer.h"

const char *const peer_name = "DPDK";
const bool peer_looks_back = false;

uint64_t peer_map(void *page)
{
	rte_iova_t iova = (rte_iova_t)(uintptr_t)page >> 8;

	must(!rte_extmem_register(page, PAGE, &iova, 1, PAGE));
	return iova;
}

static int compare(const void *a, const void *b)
{
	const uintptr_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

void peer_begin(void *const *pages, uint64_t *iovas, size_t nr)
{
	char *arguments[] = { "bench", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
			      "--log-level=error", "-m", "16", "-l", "0" };
	uintptr_t first = (uintptr_t)pages[0], *at;
	rte_iova_t *all;
	size_t nr_all, i;

	must(rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), arguments) >= 0);
	at = malloc(nr * sizeof(*at));
	must(at);
	for (i = 0; i < nr; i++)
		at[i] = (uintptr_t)pages[i];
	qsort(at, nr, sizeof(*at), compare);
	first = at[0];
	nr_all = (at[nr - 1] - first) / PAGE + 1;
	free(at);
	all = malloc(nr_all * sizeof(*all));
	must(all);
	/* In no order, as they are elsewhere. */
	for (i = 0; i < nr_all; i++)
		all[i] = (1ULL << 40) + (i * 40503 % nr_all) * 2 * PAGE;
	must(!rte_extmem_register((void *)first, nr_all * PAGE, all, nr_all, PAGE));
	for (i = 0; i < nr; i++)
		iovas[i] = all[((uintptr_t)pages[i] - first) / PAGE];
	free(all);
}

void peer_unmap(void *page, uint64_t iova)
{
	(void)iova;
	must(!rte_extmem_unregister(page, PAGE));
}

uint64_t peer_iova(const void *vaddr)
{
	const struct rte_memseg *segment = rte_mem_virt2memseg(vaddr, NULL);

	must(segment);
	return segment->iova + ((uintptr_t)vaddr - segment->addr_64);
}

void *peer_vaddr(uint64_t iova)
{
	(void)iova;
	abort();
}
