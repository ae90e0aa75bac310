// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts to clients that are not trusted, which nothing the client does can hold up: of
 * several threads, in a child, and what they cost.
 */
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define THREADS 4
#define SIGNALS 20000

/* What blocks is signaled so that it never waits, be the client who it may. */
FIXTURE(signals) {
	struct wire_test test;
	struct vfioext_user_device *device;
	int fds[THREADS];
};

FIXTURE_SETUP(signals)
{
	int i;

	for (i = 0; i < THREADS; i++)
		self->fds[i] = eventfd(0, EFD_CLOEXEC);
	wire_test_begin(&self->test, &probe_ops);
	self->device = self->test.device;
	ASSERT_EQ(0, wire_negotiate(&self->test.wire, NULL));
	ASSERT_EQ(0, wire_set_irqs(&self->test.wire,
				   VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				   PROBE_VECTORS, 0, THREADS, self->fds, THREADS));
}

FIXTURE_TEARDOWN(signals)
{
	int i;

	EXPECT_TRUE(wire_test_end(&self->test));
	for (i = 0; i < THREADS; i++)
		close(self->fds[i]);
}

static uint64_t take_all(int fd)
{
	eventfd_t count = 0;

	eventfd_write(fd, 1);
	eventfd_read(fd, &count);
	return count - 1;
}

struct signaler {
	pthread_t thread;
	struct vfioext_user_device *device;
	unsigned int vector;
	unsigned int failed;
};

static void *signal_often(void *data)
{
	struct signaler *signaler = data;
	unsigned int i;

	for (i = 0; i < SIGNALS; i++)
		if (vfioext_user_irq_trigger(signaler->device, PROBE_VECTORS, signaler->vector))
			signaler->failed++;
	return NULL;
}

/* More threads than processors share what each processor has, and lose nothing. */
TEST_F(signals, of_threads)
{
	struct signaler signalers[THREADS] = { 0 };
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		signalers[i].device = self->device;
		signalers[i].vector = i;
		ASSERT_EQ(0, pthread_create(&signalers[i].thread, NULL, signal_often, &signalers[i]));
	}
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(signalers[i].thread, NULL));
		EXPECT_EQ(0, signalers[i].failed);
		EXPECT_EQ(SIGNALS, take_all(self->fds[i]));
	}
}

/* A child has nothing of what its parent had set up, and the parent keeps it. */
TEST_F(signals, of_a_child)
{
	int status, i;
	pid_t pid;

	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (!pid)
			_exit(vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0) ||
			      vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
	}
	EXPECT_EQ(7, take_all(self->fds[0]));
}

/* One after the other, from the second on, as the first has something to set up. */
static void signal_traced(struct vfioext_user_device *device)
{
	vfioext_user_irq_trigger(device, PROBE_VECTORS, 0);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	vfioext_user_irq_trigger(device, PROBE_VECTORS, 0);
	vfioext_user_irq_trigger(device, PROBE_VECTORS, 0);
	vfioext_user_irq_trigger(device, PROBE_VECTORS, 0);
	raise(SIGSTOP);
	_exit(0);
}

static bool stops_for_a_call(pid_t pid)
{
	int status;

	return !ptrace(PTRACE_SYSCALL, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid &&
	       WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

/* What raise() takes is the same before and behind: it is measured without signals, too. */
static unsigned int count_calls(struct vfioext_user_device *device, void (*run)(struct vfioext_user_device *))
{
	unsigned int stops = 0;
	pid_t pid = fork();
	int status;

	if (!pid)
		run(device);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
		abort();
	while (stops_for_a_call(pid))
		stops++;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	/* Each call stops it when it begins and when it ends. */
	return stops / 2;
}

static void do_nothing_traced(struct vfioext_user_device *device)
{
	vfioext_user_irq_trigger(device, PROBE_VECTORS, 0);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	raise(SIGSTOP);
	_exit(0);
}

TEST_F(signals, one_system_call_each)
{
	unsigned int nothing = count_calls(self->device, do_nothing_traced);
	unsigned int calls = count_calls(self->device, signal_traced);

	/* A processor that it moves to may have something to set up, once. */
	EXPECT_LE(nothing + 3, calls);
	EXPECT_GE(nothing + 4, calls);
}

TEST_HARNESS_MAIN
