/* SPDX-License-Identifier: GPL-2.0-only */
/* What a library of user-space drivers is asked for, each in a file of its own. */
#ifndef BENCH_DMA_PEER_H
#define BENCH_DMA_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ULL

/* Everything fails by abort(): a peer that does not do it is not measured. */
extern const char *const peer_name;

/* Has it peer_vaddr()? */
extern const bool peer_looks_back;

/* Be ready, with so many pages mapped, which are told with where devices see them. */
void peer_begin(void *const *pages, uint64_t *iovas, size_t nr);
uint64_t peer_map(void *page);
void peer_unmap(void *page, uint64_t iova);
uint64_t peer_iova(const void *vaddr);
void *peer_vaddr(uint64_t iova);

static inline void must(bool ok)
{
	if (!ok)
		__builtin_trap();
}

#endif
