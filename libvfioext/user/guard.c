// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "guard.h"

#define BLOCK 1024

/*
 * The handler reads these, whatever the thread was at that it interrupts: nothing of
 * them is ever freed, and the end is what makes a slot valid. It is read again after the
 * start, as the slot may be of another mapping by then.
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
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct slot *find_slot(uintptr_t address)
{
	struct block *block;
	uintptr_t end;
	size_t i;

	for (block = blocks; block; block = block->next) {
		for (i = 0; i < BLOCK; i++) {
			end = block->slots[i].end;
			if (address < end && address >= block->slots[i].start &&
			    end == block->slots[i].end)
				return &block->slots[i];
		}
	}
	return NULL;
}

/*
 * Zeros in the place of what is behind an address, which is gone, too: page by page each would
 * be a mapping more. Pages may be huge: then of all.
 */
static bool lay_zeros(const struct slot *slot, uintptr_t address)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
	int prot = PROT_READ | PROT_WRITE;
	uintptr_t start = slot->start, end = slot->end, at = address & ~(page - 1);

	return mmap((void *)at, end - at, prot, flags, -1, 0) != MAP_FAILED ||
	       mmap((void *)start, end - start, prot, flags, -1, 0) != MAP_FAILED;
}

/* Those of the kernel that come again as long as what was touched is as it is. */
static bool is_fault(const siginfo_t *info)
{
	return info->si_code > 0 && info->si_code != SI_KERNEL && info->si_code != BUS_MCEERR_AO;
}

/* As if ours were not there: with what the one before wants blocked, or not. */
static void call_before(const struct sigaction *action, int signal, siginfo_t *info, void *context)
{
	sigset_t mask, own;

	sigprocmask(SIG_BLOCK, &action->sa_mask, &mask);
	if (action->sa_flags & SA_NODEFER) {
		sigemptyset(&own);
		sigaddset(&own, signal);
		sigprocmask(SIG_UNBLOCK, &own, NULL);
	}
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(signal, info, context);
	else
		action->sa_handler(signal);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

/*
 * Another's: as it would be without us. What was sent does not come again by itself, and may be
 * ignored; a fault cannot.
 */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	static const struct sigaction by_default;
	struct sigaction action = before;

	if (action.sa_flags & SA_RESETHAND)
		before = by_default;
	if (action.sa_flags & SA_SIGINFO ||
	    (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)) {
		call_before(&action, signal, info, context);
		return;
	}
	if (action.sa_handler == SIG_IGN && !is_fault(info))
		return;
	sigaction(signal, &by_default, NULL);
	if (!is_fault(info))
		raise(signal);
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

static void lock_all(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_all(void)
{
	pthread_mutex_unlock(&lock);
}

/* A child must not find it held by a thread that it does not have. */
static void watch_forks(void)
{
	pthread_atfork(lock_all, unlock_all, unlock_all);
}

int guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int ret = 0;

	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&lock);
	if (!installed) {
		page = (uintptr_t)sysconf(_SC_PAGESIZE);
		sigemptyset(&action.sa_mask);
		ret = sigaction(SIGBUS, NULL, &before) ? -errno : 0;
		action.sa_flags |= before.sa_flags & SA_RESTART;
		if (!ret && sigaction(SIGBUS, &action, NULL))
			ret = -errno;
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

void guard_none(struct guarded *guarded, void *start, size_t size)
{
	*guarded = (struct guarded){ start, size, NULL };
}

void guard_remove(struct guarded *guarded)
{
	struct slot *slot = guarded->slot;

	guarded->start = NULL;
	guarded->slot = NULL;
	if (!slot)
		return;
	slot->end = 0;
	pthread_mutex_lock(&lock);
	slot->next_free = free_slots;
	free_slots = slot;
	pthread_mutex_unlock(&lock);
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
	return guarded->slot && guarded->slot->broken;
}

/* The kernel copies from ourselves to ourselves: where nothing is it says so. */
static ssize_t copy_by_kernel(void *at, void *buffer, size_t size, bool write)
{
	struct iovec there = { at, size }, here = { buffer, size };

	return write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0) :
		       process_vm_readv(getpid(), &here, 1, &there, 1, 0);
}

int guard_copy(const struct guarded *guarded, void *at, void *buffer, size_t size, bool write)
{
	ssize_t done = -1;

	if (guard_is_broken(guarded))
		return -EFAULT;
	if (guarded->slot && size)
		done = copy_by_kernel(at, buffer, size, write);
	if (done == (ssize_t)size)
		return 0;
	if (done >= 0 || (guarded->slot && errno == EFAULT && size))
		return -EFAULT;
	/* It needs no guard, or the kernel lets nobody do so, and there is the handler. */
	if (write)
		memcpy(at, buffer, size);
	else
		memcpy(buffer, at, size);
	return guard_is_broken(guarded) ? -EFAULT : 0;
}
