// SPDX-License-Identifier: GPL-2.0-only
/*
 * SIGBUS: what of it is ours, and what goes to whom it is for. Each test is a process of its own,
 * and decides before our handler is there what is to be done with the signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../../libvfioext/user/guard.h"
#include "../lib/wire.h"

#define PAGES 16

static volatile sig_atomic_t nr_signals;
static volatile int last_code;
static volatile bool usr1_blocked;
static volatile bool bus_blocked;

/* As the module sends it, which a process may do to itself. */
static void send_from_kernel(void)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = SI_KERNEL };

	syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	sigset_t blocked;

	(void)signal;
	(void)context;
	nr_signals++;
	last_code = info->si_code;
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	usr1_blocked = sigismember(&blocked, SIGUSR1);
	bus_blocked = sigismember(&blocked, SIGBUS);
}

static void handle(int flags)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGBUS, &action, NULL);
}

/* A guarded mapping, of which nothing is there any longer. */
static volatile uint8_t *map_what_is_gone(struct guarded *guarded)
{
	int file = make_file(PAGES * PAGE);
	uint8_t *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	if (guard_add(guarded, at, PAGES * PAGE) || ftruncate(file, 0))
		abort();
	close(file);
	return at;
}

TEST_SIGNAL(one_that_is_sent_ends_us, SIGBUS)
{
	signal(SIGBUS, SIG_DFL);
	ASSERT_EQ(0, guard_install());
	send_from_kernel();
}

TEST_SIGNAL(one_of_another_process_ends_us, SIGBUS)
{
	signal(SIGBUS, SIG_DFL);
	ASSERT_EQ(0, guard_install());
	kill(getpid(), SIGBUS);
}

/* With one that is ours before. */
TEST_SIGNAL(one_that_is_sent_later_ends_us, SIGBUS)
{
	struct guarded guarded;
	volatile uint8_t *at;

	signal(SIGBUS, SIG_DFL);
	ASSERT_EQ(0, guard_install());
	at = map_what_is_gone(&guarded);
	ASSERT_EQ(0, at[0]);
	send_from_kernel();
}

TEST(ignored)
{
	struct guarded guarded;
	volatile uint8_t *at;

	signal(SIGBUS, SIG_IGN);
	ASSERT_EQ(0, guard_install());
	send_from_kernel();
	kill(getpid(), SIGBUS);
	at = map_what_is_gone(&guarded);
	EXPECT_EQ(0, at[PAGE]);
	send_from_kernel();
	EXPECT_TRUE(guard_is_broken(&guarded));
	guard_unmap(&guarded);
}

/* Nobody can ignore a fault. */
TEST_SIGNAL(ignored_but_for_faults, SIGBUS)
{
	volatile uint8_t *at;
	int file = make_file(PAGE);

	signal(SIGBUS, SIG_IGN);
	ASSERT_EQ(0, guard_install());
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_EQ(0, ftruncate(file, 0));
	at[0] = 1;
}

TEST(handled_before)
{
	struct guarded guarded;
	volatile uint8_t *at;

	handle(0);
	ASSERT_EQ(0, guard_install());
	send_from_kernel();
	EXPECT_EQ(1, nr_signals);
	EXPECT_EQ(SI_KERNEL, last_code);
	EXPECT_TRUE(usr1_blocked);
	EXPECT_TRUE(bus_blocked);
	at = map_what_is_gone(&guarded);
	EXPECT_EQ(0, at[0]);
	EXPECT_EQ(1, nr_signals);
	kill(getpid(), SIGBUS);
	EXPECT_EQ(2, nr_signals);
	EXPECT_EQ(SI_USER, last_code);
	guard_unmap(&guarded);
}

TEST(handled_without_deferring)
{
	handle(SA_NODEFER);
	ASSERT_EQ(0, guard_install());
	send_from_kernel();
	EXPECT_EQ(1, nr_signals);
	EXPECT_FALSE(bus_blocked);
}

TEST_SIGNAL(handled_once, SIGBUS)
{
	handle(SA_RESETHAND);
	ASSERT_EQ(0, guard_install());
	send_from_kernel();
	ASSERT_EQ(1, nr_signals);
	send_from_kernel();
}

/* Of what is touched, what is behind it goes too: a page each would be a mapping each. */
TEST(few_mappings)
{
	int file = make_file(PAGES * PAGE), gone = 0, i;
	unsigned int before;
	struct guarded guarded;
	volatile uint8_t *at;

	signal(SIGBUS, SIG_DFL);
	ASSERT_EQ(0, guard_install());
	at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_EQ(0, guard_add(&guarded, (void *)at, PAGES * PAGE));
	before = count_mappings();
	for (i = 0; i < PAGES; i++)
		at[i * PAGE] = 1;
	ASSERT_EQ(0, ftruncate(file, PAGE));
	for (i = PAGES - 1; i > 0; i -= 2)
		gone += !at[i * PAGE];
	EXPECT_EQ(before, count_mappings());
	for (i = PAGES - 2; i > 0; i -= 2)
		gone += !at[i * PAGE];
	EXPECT_EQ(PAGES - 1, gone);
	EXPECT_EQ(1, at[0]);
	EXPECT_EQ(before, count_mappings());
	guard_unmap(&guarded);
	close(file);
}

/* Copying has no need of a signal: whoever blocks it, or has another handler now, lives. */
static void *copy_all_blocked(void *data)
{
	struct guarded *guarded = data;
	uint8_t buffer[64] = { 0 };
	sigset_t all;
	intptr_t ret;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	ret = guard_copy(guarded, guarded->start, buffer, sizeof(buffer), false);
	if (ret == -EFAULT)
		ret = guard_copy(guarded, guarded->start, buffer, sizeof(buffer), true);
	return (void *)ret;
}

TEST(copied_without_a_signal)
{
	struct guarded guarded;
	pthread_t thread;
	uint8_t byte = 1;
	void *ret;

	signal(SIGBUS, SIG_DFL);
	ASSERT_EQ(0, guard_install());
	map_what_is_gone(&guarded);
	ASSERT_EQ(0, pthread_create(&thread, NULL, copy_all_blocked, &guarded));
	pthread_join(thread, &ret);
	EXPECT_EQ(-EFAULT, (intptr_t)ret);
	/* A handler that comes later. */
	signal(SIGBUS, SIG_DFL);
	EXPECT_EQ(-EFAULT, guard_copy(&guarded, guarded.start, &byte, 1, false));
	EXPECT_EQ(0, guard_copy(&guarded, guarded.start, &byte, 0, false));
	EXPECT_FALSE(guard_is_broken(&guarded));
	guard_unmap(&guarded);
}

static void *fork_often(void *data)
{
	unsigned int i;

	for (i = 0; i < 200; i++) {
		pid_t child = fork();
		int status = -1;

		if (!child) {
			struct guarded guarded;
			uint8_t byte;

			alarm(10);
			_exit(guard_add(&guarded, &byte, 1) || (guard_remove(&guarded), 0));
		}
		waitpid(child, &status, 0);
		if (status)
			return data;
	}
	return NULL;
}

/* A child finds no lock that is held by a thread that it has not. */
TEST(forked)
{
	struct guarded guarded;
	uint8_t byte = 0;
	pthread_t thread;
	void *ret = NULL;

	ASSERT_EQ(0, guard_install());
	ASSERT_EQ(0, pthread_create(&thread, NULL, fork_often, &byte));
	while (pthread_tryjoin_np(thread, &ret) == EBUSY) {
		guard_add(&guarded, &byte, 1);
		guard_remove(&guarded);
	}
	EXPECT_EQ(NULL, ret);
}

TEST_HARNESS_MAIN
