// SPDX-License-Identifier: GPL-2.0-only
/* Taking a device back: asked first, and by the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

/* How far from the moment it was due something may happen. */
#define TOLERANCE_MS (100 * slowness())

FIXTURE(removal) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct holder_process holder;
};

FIXTURE_SETUP(removal)
{
	memset(&self->holder, 0, sizeof(self->holder));
	bind_device(EDU);
	self->ctx = test_context();
	set_policy(self->ctx, 5000, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	ASSERT_EQ(0, vfioext_events_open(&self->events,
					 VFIOEXT_EVENTS_REMOVAL | VFIOEXT_EVENTS_GROUP, -1));
}

FIXTURE_TEARDOWN(removal)
{
	holder_kill(&self->holder);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

static int start(struct vfioext *ctx, unsigned int timeout_ms, unsigned int action, uint32_t *id)
{
	struct vfioext_policy how = {
		.has = VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_ACTION,
		.timeout_ms = timeout_ms,
		.action = action,
	};

	return vfioext_removal_start(ctx, EDU, &how, id);
}

TEST_F(removal, asked_unheld)
{
	uint32_t id;

	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNHELD, self->event.outcome);
	EXPECT_EQ(id, self->event.removal.id);
}

TEST_F(removal, asked_cooperative)
{
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_EVENT);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
	EXPECT_EQ(VFIOEXT_ORIGIN_ASKED, self->event.removal.origin);
	EXPECT_EQ(0, vfioext_unbind(self->ctx, EDU));
}

TEST_F(removal, asked_request_eventfd)
{
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_REQUEST);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
}

TEST_F(removal, asked_timed_out)
{
	uint32_t id, handles;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 400, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_TIMED_OUT, self->event.outcome);
	EXPECT_GE(self->event.removal.elapsed_ms, 400);
	EXPECT_LE(self->event.removal.elapsed_ms, 400 + TOLERANCE_MS);

	/* Nothing has changed for the holder, and a second try is free. */
	EXPECT_EQ(-1, holder_wait(&self->holder, 0));
	EXPECT_EQ(0, vfioext_device_handles(self->ctx, EDU, &handles));
	EXPECT_EQ(1, handles);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	holder_kill(&self->holder);
	EXPECT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
}

/* A signal went to one process, so long after the removal had begun. */
#define EXPECT_SIGNALED(due_ms) do {							\
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_SIGNALED,	\
			       (due_ms) + 2000, &self->event));				\
	EXPECT_EQ(1, self->event.signaled);						\
	EXPECT_GE(self->event.removal.elapsed_ms, due_ms);				\
	EXPECT_LE(self->event.removal.elapsed_ms, (due_ms) + TOLERANCE_MS);		\
} while (0)

TEST_F(removal, asked_sigbus)
{
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 400, VFIOEXT_ACTION_SIGBUS, &id));
	EXPECT_SIGNALED(400);
	ASSERT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(removal, asked_cancelled)
{
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_CANCELLED, self->event.outcome);
	EXPECT_EQ(-ENOENT, vfioext_removal_cancel(self->ctx, id));
	EXPECT_EQ(-1, holder_wait(&self->holder, 100));
}

TEST_F(removal, asked_twice)
{
	uint32_t id, other;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	EXPECT_EQ(-EBUSY, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &other));
	EXPECT_NE('\0', vfioext_message(self->ctx)[0]);
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

TEST_F(removal, asked_overtaken_by_unbind)
{
	uint32_t id;
	pid_t child;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 800, VFIOEXT_ACTION_SIGBUS, &id));
	child = unbind_start(EDU);
	do {
		ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
				       &self->event));
	} while (self->event.removal.origin != VFIOEXT_ORIGIN_KERNEL);
	EXPECT_EQ(id, self->event.removal.id);
	EXPECT_EQ(-EBUSY, vfioext_removal_cancel(self->ctx, id));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_TRUE(unbind_wait(child, 2000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(id, self->event.removal.id);
}

/* Whoever asked had no right to more patience than the host has. */
TEST_F(removal, overtaken_with_the_hosts_policy)
{
	uint32_t id;
	pid_t child;

	set_policy(self->ctx, 500, 500, 0, VFIOEXT_ACTION_SIGBUS);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 60000, VFIOEXT_ACTION_NOTIFY, &id));
	child = unbind_start(EDU);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_SIGNALED, 3000,
			       &self->event));
	EXPECT_EQ(id, self->event.removal.id);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_TRUE(unbind_wait(child, 2000));
}

/* Ask for the device, and unbind it once a new holder has it. */
static void ask_and_unbind(struct vfioext_events *events, int go_on)
{
	struct vfioext *ctx = test_context();
	struct vfioext_event event;
	uint32_t id;
	char byte;

	if (start(ctx, 2000, VFIOEXT_ACTION_SIGBUS, &id) ||
	    !wait_event(events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 1000, &event) ||
	    read(go_on, &byte, 1) != 1)
		_exit(EXIT_FAILURE);
	_exit(vfioext_unbind(ctx, EDU) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Who opens the device in between has the time that is left, though the host's policy is none. */
TEST_F(removal, asked_policy_holds_to_the_end)
{
	int go_on[2];
	pid_t child;

	ASSERT_EQ(0, pipe(go_on));
	child = fork();
	if (!child)
		ask_and_unbind(self->events, go_on[0]);
	usleep(300000 * slowness());
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(1, write(go_on[1], "", 1));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_SIGNALED, 4000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_ORIGIN_KERNEL, self->event.removal.origin);
	EXPECT_GT(2000, self->event.removal.elapsed_ms);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_TRUE(unbind_wait(child, 2000));
	close(go_on[0]);
	close(go_on[1]);
}

/* Another process's removal goes by the host's policy. */
TEST_F(removal, asked_policy_is_the_askers)
{
	uint32_t id;
	pid_t child;

	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 1000,
			       &self->event));
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	child = unbind_start(EDU);
	EXPECT_FALSE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_SIGNALED, 1000,
				&self->event));
	holder_kill(&self->holder);
	EXPECT_TRUE(unbind_wait(child, 2000));
}

/* Nobody's time is without end. */
TEST_F(removal, times_have_a_limit)
{
	struct vfioext_policy policy = { .has = VFIOEXT_POLICY_GRACE };
	uint32_t id;

	EXPECT_EQ(-ERANGE, start(self->ctx, VFIOEXT_TIME_MAX + 1, VFIOEXT_ACTION_NOTIFY, &id));
	policy.grace_ms = VFIOEXT_TIME_MAX + 1;
	EXPECT_EQ(-ERANGE, vfioext_policy_set(self->ctx, NULL, &policy));
	ASSERT_EQ(0, start(self->ctx, VFIOEXT_TIME_MAX, VFIOEXT_ACTION_NOTIFY, &id));
}

TEST_F(removal, kernel_unheld)
{
	ASSERT_EQ(0, vfioext_unbind(self->ctx, EDU));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNHELD, self->event.outcome);
}

TEST_F(removal, kernel_cooperative)
{
	pid_t child;

	self->holder = holder_start(EDU, HOLDER_EVENT);
	child = unbind_start(EDU);
	EXPECT_TRUE(unbind_wait(child, 2000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
	EXPECT_EQ(VFIOEXT_ORIGIN_KERNEL, self->event.removal.origin);
}

/* vfio's own request eventfd fires as ever. */
TEST_F(removal, kernel_request_eventfd)
{
	self->holder = holder_start(EDU, HOLDER_REQUEST);
	EXPECT_TRUE(unbind_wait(unbind_start(EDU), 2000));
}

TEST_F(removal, kernel_sigbus)
{
	pid_t child;

	set_policy(self->ctx, 500, 500, 0, VFIOEXT_ACTION_SIGBUS);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	child = unbind_start(EDU);
	EXPECT_SIGNALED(500);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_TRUE(unbind_wait(child, 1000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

static bool log_says(const char *device, pid_t holder, const char *users)
{
	return !try_run("dmesg | grep -qE 'vfio-pci %s: removal [0-9]+ waits for 1[0-9] s: 1 handles, %s; held by removal \\(%d\\)'",
			device, users, holder);
}

/* After ten seconds, whoever began it. */
TEST_F_TIMEOUT(removal, told_in_the_log, 120)
{
	struct holder_process other;
	uint32_t id;
	pid_t child;

	set_policy(self->ctx, 60000, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	bind_device(EDU2);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	other = holder_start(EDU2, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 60000, VFIOEXT_ACTION_NOTIFY, &id));
	child = unbind_start(EDU2);
	usleep(5000000);
	EXPECT_FALSE(log_says(EDU, self->holder.pid, "0 external users"));
	EXPECT_FALSE(log_says(EDU2, other.pid, "0 external users"));
	usleep(7000000);
	EXPECT_TRUE(log_says(EDU, self->holder.pid, "0 external users"));
	EXPECT_TRUE(log_says(EDU2, other.pid, "0 external users"));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	holder_kill(&other);
	EXPECT_TRUE(unbind_wait(child, 2000));
}

TEST_F(removal, second_sigbus_after_grace)
{
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_CATCHER);
	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	EXPECT_SIGNALED(200);
	EXPECT_EQ(-1, holder_wait(&self->holder, 0));
	EXPECT_SIGNALED(200 + 500 * slowness());
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
}

/* Five times 300 ms are asked for, and 1,000 ms granted. */
TEST_F(removal, extended_to_the_cap)
{
	unsigned int extended = 0;
	uint32_t id;
	int i;

	self->holder = holder_start(EDU, HOLDER_EXTENDER);
	ASSERT_EQ(0, start(self->ctx, 500, VFIOEXT_ACTION_SIGBUS, &id));
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_EXTENDED, 1000,
				       &self->event));
		extended += self->event.extend_ms;
	}
	EXPECT_EQ(1000, extended);
	EXPECT_SIGNALED(500 + 1000);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
}

TEST_F(removal, extend_refused)
{
	uint32_t id, extend_ms = 0;

	EXPECT_EQ(-ENOENT, vfioext_removal_extend(self->ctx, 4000000000u, &(uint32_t){ 1 }, NULL));
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	EXPECT_EQ(-ERANGE, vfioext_removal_extend(self->ctx, id, &extend_ms, NULL));
	extend_ms = 1000000;
	EXPECT_EQ(0, vfioext_removal_extend(self->ctx, id, &extend_ms, NULL));
	EXPECT_EQ(1000, extend_ms);
	EXPECT_EQ(-EDQUOT, vfioext_removal_extend(self->ctx, id, &extend_ms, NULL));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

/* Each is an event for everybody who listens. */
TEST_F(removal, extended_too_often)
{
	uint32_t id, extend_ms = 1;
	int i, ret = 0;

	set_policy(self->ctx, 5000, 500, 60000, VFIOEXT_ACTION_NOTIFY);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	for (i = 0; !ret && i < 1000; i++)
		ret = vfioext_removal_extend(self->ctx, id, &extend_ms, NULL);
	EXPECT_EQ(-EDQUOT, ret);
	EXPECT_EQ(101, i);
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

/* A stopped process cannot act on SIGBUS: time runs out, and it dies when it goes on. */
TEST_F(removal, stopped_holder)
{
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, kill(self->holder.pid, SIGSTOP));
	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, 3000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_TIMED_OUT, self->event.outcome);
	ASSERT_EQ(0, kill(self->holder.pid, SIGCONT));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 1000));
}

TEST_F(removal, holder_by_mapping_alone)
{
	struct vfioext_holders holders;
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_MAPPING);
	usleep(100000);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &holders));
	ASSERT_EQ(1, holders.nr);
	EXPECT_EQ(0, holders.list[0].device_fds);
	EXPECT_EQ(0, holders.list[0].group_fds);
	EXPECT_EQ(1, holders.list[0].mappings);
	EXPECT_NE(self->holder.pid, holders.list[0].pid);
	EXPECT_EQ(0, holders.unaccounted);
	vfioext_holders_release(&holders);

	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(removal, holder_in_a_thread)
{
	struct vfioext_holders holders;
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_THREAD);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &holders));
	ASSERT_EQ(1, holders.nr);
	EXPECT_EQ(self->holder.pid, holders.list[0].pid);
	EXPECT_EQ(1, holders.list[0].device_fds);
	EXPECT_EQ(0, holders.unaccounted);
	vfioext_holders_release(&holders);
	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(removal, holder_in_other_namespaces)
{
	struct vfioext_holders holders;
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_NAMESPACES);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &holders));
	ASSERT_EQ(1, holders.nr);
	EXPECT_LT(1, holders.list[0].pid);
	vfioext_holders_release(&holders);
	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(removal, pci_remove)
{
	pid_t child;

	set_policy(self->ctx, 300, 500, 0, VFIOEXT_ACTION_SIGBUS);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	child = fork();
	if (!child) {
		write_file("1", "/sys/bus/pci/devices/%s/remove", EDU);
		_exit(0);
	}
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_TRUE(unbind_wait(child, 2000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
	write_file("1", "/sys/bus/pci/rescan");
}

/* A removal that began before there was a subscriber, or a module, is found. */
TEST_F(removal, module_loaded_in_the_middle)
{
	struct vfioext_removals removals;
	pid_t child;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	vfioext_events_close(self->events);
	self->events = NULL;
	vfioext_free(self->ctx);
	child = unbind_start(EDU);
	usleep(200000);
	run("rmmod vfioext_consumer 2>/dev/null; rmmod vfioext && modprobe vfioext");

	self->ctx = test_context();
	ASSERT_EQ(0, vfioext_removals_get(self->ctx, &removals));
	ASSERT_EQ(1, removals.nr);
	EXPECT_STREQ(EDU, removals.list[0].device);
	EXPECT_EQ(VFIOEXT_ORIGIN_KERNEL, removals.list[0].origin);
	vfioext_removals_release(&removals);
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
	holder_kill(&self->holder);
	EXPECT_TRUE(unbind_wait(child, 2000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
}

TEST_F(removal, module_gone_in_the_middle)
{
	pid_t child;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	child = unbind_start(EDU);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	run("rmmod vfioext_consumer 2>/dev/null; rmmod vfioext");
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_UNWATCHED, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNLOADED, self->event.outcome);
	holder_kill(&self->holder);
	EXPECT_TRUE(unbind_wait(child, 2000));
	run("modprobe vfioext");
}

/* A signal does not wake the unbinder; the removal ends, and only then it stops. */
TEST_F(removal, unbinder_is_stopped)
{
	pid_t child;
	int status;

	set_policy(self->ctx, 300, 500, 0, VFIOEXT_ACTION_SIGBUS);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	child = unbind_start(EDU);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	usleep(50000);
	ASSERT_EQ(0, kill(child, SIGSTOP));
	EXPECT_EQ(0, waitpid(child, &status, WUNTRACED | WNOHANG));
	EXPECT_SIGNALED(300);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
	EXPECT_EQ(child, waitpid(child, &status, WUNTRACED));
	EXPECT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(child, SIGCONT));
	EXPECT_TRUE(unbind_wait(child, 1000));
}

/* The network namespace of a process that is gone, for as long as the fd is open. */
static int other_network_namespace(void)
{
	int pipes[2], netns;
	char path[64];
	pid_t child;

	if (pipe(pipes))
		return -1;
	child = fork();
	if (!child) {
		if (unshare(CLONE_NEWNET) || write(pipes[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(pipes[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
	netns = read(pipes[0], path + sizeof(path) - 1, 1) == 1 ? open(path, O_RDONLY) : -1;
	close(pipes[0]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return netns;
}

TEST_F(removal, subscriber_in_other_namespace)
{
	int netns = other_network_namespace();
	struct vfioext_events *events;
	char before[64], after[64];
	uint32_t id;

	ASSERT_LE(0, netns);
	ASSERT_LT(0, readlink("/proc/thread-self/ns/net", before, sizeof(before)));
	ASSERT_EQ(0, vfioext_events_open(&events, VFIOEXT_EVENTS_REMOVAL, netns));
	ASSERT_LT(0, readlink("/proc/thread-self/ns/net", after, sizeof(after)));
	EXPECT_EQ(0, strncmp(before, after, sizeof("net:[4026531840]") - 1));
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_TRUE(wait_event(events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 1000, &self->event));
	EXPECT_EQ(id, self->event.removal.id);
	vfioext_events_close(events);
	close(netns);
}

static void take_current(const struct vfioext_event *event, void *data)
{
	if (event->type == VFIOEXT_EVENT_CURRENT)
		*(struct vfioext_event *)data = *event;
}

/* Its ret is what to dispatch there gives. */
struct nested {
	struct vfioext_events *events;
	int ret;
};

static void dispatch_again(const struct vfioext_event *event, void *data)
{
	struct nested *nested = data;

	(void)event;
	nested->ret = vfioext_events_dispatch(nested->events, dispatch_again, nested);
}

TEST_F(removal, dispatched_from_its_callback)
{
	struct nested nested = { .events = self->events };
	struct pollfd fd = { .fd = vfioext_events_fd(self->events), .events = POLLIN };
	uint32_t id;

	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_EQ(1, poll(&fd, 1, 5000));
	EXPECT_LE(1, vfioext_events_dispatch(self->events, dispatch_again, &nested));
	EXPECT_EQ(-EDEADLK, nested.ret);
}

/* Announced before there was a subscriber: its first look finds it. */
TEST_F(removal, found_by_a_late_subscriber)
{
	struct vfioext_events *late;
	uint32_t id;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_EQ(0, vfioext_events_open(&late, VFIOEXT_EVENTS_REMOVAL, -1));
	ASSERT_EQ(1, vfioext_events_resync(late, self->ctx, take_current, &self->event));
	EXPECT_EQ(id, self->event.removal.id);
	EXPECT_STREQ(EDU, self->event.removal.device);
	EXPECT_EQ(1, self->event.removal.handles);
	EXPECT_EQ(VFIOEXT_ORIGIN_ASKED, self->event.removal.origin);
	EXPECT_EQ(VFIOEXT_ACTION_SIGBUS, self->event.removal.action);
	EXPECT_LT(0, self->event.removal.remaining_ms);
	EXPECT_GE(5000, self->event.removal.remaining_ms);
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	EXPECT_EQ(0, vfioext_events_resync(late, self->ctx, take_current, &self->event));
	vfioext_events_close(late);
}

/* A device and its group go and come, in this order, each numbered. */
TEST_F(removal, group_events)
{
	static const enum vfioext_event_type order[] = {
		VFIOEXT_EVENT_DEVICE_REMOVED, VFIOEXT_EVENT_GROUP_REMOVED,
		VFIOEXT_EVENT_GROUP_ADDED, VFIOEXT_EVENT_DEVICE_ADDED,
	};
	struct vfioext_device_info info;
	uint32_t sequence = 0;
	size_t i;

	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &info));
	ASSERT_EQ(0, vfioext_unbind(self->ctx, EDU));
	ASSERT_EQ(0, vfioext_bind(self->ctx, EDU, NULL));
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		bool device = order[i] == VFIOEXT_EVENT_DEVICE_REMOVED ||
			      order[i] == VFIOEXT_EVENT_DEVICE_ADDED;

		ASSERT_TRUE(wait_event(self->events, device ? EDU : NULL, order[i], 1000,
				       &self->event));
		EXPECT_EQ(info.group, self->event.removal.group);
		EXPECT_STREQ(device ? "vfio-pci" : "", self->event.driver);
		if (i)
			EXPECT_EQ(sequence + 1, self->event.sequence);
		sequence = self->event.sequence;
	}
}

/* A subscription outlasts the module; asking for it brings the module back. */
TEST_F(removal, module_loaded_anew)
{
	struct vfioext_events *fresh;
	uint32_t id;

	run("rmmod vfioext_consumer 2>/dev/null; rmmod vfioext");
	ASSERT_EQ(0, vfioext_events_open(&fresh, VFIOEXT_EVENTS_REMOVAL, -1));
	vfioext_events_close(fresh);
	EXPECT_EQ(0, access("/sys/module/vfioext", F_OK));
	ASSERT_TRUE(wait_event(self->events, NULL, VFIOEXT_EVENT_LOST, 1000, &self->event));
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	EXPECT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 1000,
			       &self->event));
}

/* An open device keeps its driver's module: unloading it is refused at once. */
TEST_F(removal, driver_unload_refused)
{
	self->holder = holder_start(EDU, HOLDER_EVENT);
	EXPECT_NE(0, try_run("modprobe -r vfio-pci 2>/dev/null"));
	EXPECT_FALSE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 200,
				&self->event));
	holder_kill(&self->holder);
	EXPECT_EQ(0, try_run("rmmod vfio-pci"));
	EXPECT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000, &self->event));
	run("modprobe vfio-pci");
}

/* What a subscriber does not read is lost, and it knows. */
TEST_F_TIMEOUT(removal, lost_events, 100)
{
	uint32_t id;
	int i;

	ASSERT_EQ(0, vfioext_events_set_buffer(self->events, 4096));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id) ?:
			  (vfioext_removal_cancel(self->ctx, id), 0));
	ASSERT_TRUE(wait_event(self->events, NULL, VFIOEXT_EVENT_LOST, 1000, &self->event));

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	ASSERT_EQ(0, start(self->ctx, 5000, VFIOEXT_ACTION_NOTIFY, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

TEST_F_TIMEOUT(removal, many_unbinds, 300)
{
	pid_t opener = fork();
	int i;

	if (!opener) {
		struct vfioext *ctx = test_context();
		struct vfioext_device *device;

		for (;;)
			if (!vfioext_device_open(ctx, EDU, NULL, &device))
				vfioext_device_close(device);
	}
	for (i = 0; i < 500 / slowness(); i++) {
		ASSERT_EQ(0, vfioext_unbind(self->ctx, EDU));
		ASSERT_EQ(0, vfioext_bind(self->ctx, EDU, NULL));
	}
	kill(opener, SIGKILL);
	waitpid(opener, NULL, 0);
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
