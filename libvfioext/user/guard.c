// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard.h"

#define BLOCK 1024

/*
 * The handler reads these, whatever the thread was at that it interrupts: nothing of
 * them is ever freed, and the end is what makes a slot valid.
 */
struct slot {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
	atomic_bool broken;
	struct slot *next_free;
};

struct block {
	struct block *_Atomic next;
	struct slot slots[BLOCK];
};

/* Protects what is free, and that blocks are added. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *_Atomic blocks;
static struct slot *free_slots;
static bool installed;
static struct sigaction before;
static uintptr_t page;

static struct slot *find_slot(uintptr_t address)
{
	struct block *block;
	uintptr_t end;
	size_t i;

	for (block = blocks; block; block = block->next) {
		for (i = 0; i < BLOCK; i++) {
			end = atomic_load_explicit(&block->slots[i].end, memory_order_acquire);
			if (address < end && address >= block->slots[i].start)
				return &block->slots[i];
		}
	}
	return NULL;
}

/* Zeros in the place of a page, or of all of it: pages may be huge. */
static bool lay_zeros(const struct slot *slot, uintptr_t address)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

	return mmap((void *)(address & ~(page - 1)), page, PROT_READ | PROT_WRITE, flags, -1, 0) !=
		       MAP_FAILED ||
	       mmap((void *)slot->start, slot->end - slot->start, PROT_READ | PROT_WRITE, flags,
		    -1, 0) != MAP_FAILED;
}

/* Another's: as it would be without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(signal, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(signal);
	} else {
		sigaction(signal, &before, NULL);
		/* One that was sent does not come again by itself. */
		if (info->si_code <= 0)
			raise(signal);
	}
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	int error = errno;
	struct slot *slot = NULL;

	if (info->si_code == BUS_ADRERR)
		slot = find_slot((uintptr_t)info->si_addr);
	if (slot && lay_zeros(slot, (uintptr_t)info->si_addr))
		slot->broken = true;
	else
		pass_on(signal, info, context);
	errno = error;
}

int guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (!installed) {
		page = (uintptr_t)sysconf(_SC_PAGESIZE);
		sigemptyset(&action.sa_mask);
		ret = sigaction(SIGBUS, NULL, &before) || sigaction(SIGBUS, &action, NULL) ? -errno : 0;
		installed = !ret;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

static int more_slots(void)
{
	struct block *block = calloc(1, sizeof(*block));
	size_t i;

	if (!block)
		return -ENOMEM;
	for (i = 0; i < BLOCK; i++) {
		block->slots[i].next_free = free_slots;
		free_slots = &block->slots[i];
	}
	block->next = blocks;
	blocks = block;
	return 0;
}

int guard_add(struct guarded *guarded, void *start, size_t size)
{
	struct slot *slot;

	pthread_mutex_lock(&lock);
	if (!free_slots && more_slots()) {
		pthread_mutex_unlock(&lock);
		return -ENOMEM;
	}
	slot = free_slots;
	free_slots = slot->next_free;
	pthread_mutex_unlock(&lock);
	slot->broken = false;
	slot->start = (uintptr_t)start;
	atomic_store_explicit(&slot->end, (uintptr_t)start + size, memory_order_release);
	guarded->start = start;
	guarded->size = size;
	guarded->slot = slot;
	return 0;
}

void guard_remove(struct guarded *guarded)
{
	struct slot *slot = guarded->slot;

	if (!guarded->start)
		return;
	slot->end = 0;
	pthread_mutex_lock(&lock);
	slot->next_free = free_slots;
	free_slots = slot;
	pthread_mutex_unlock(&lock);
	guarded->start = NULL;
}

void guard_unmap(struct guarded *guarded)
{
	void *start = guarded->start;

	guard_remove(guarded);
	if (start)
		munmap(start, guarded->size);
}

bool guard_is_broken(const struct guarded *guarded)
{
	return guarded->start && guarded->slot->broken;
}
