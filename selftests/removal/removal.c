// SPDX-License-Identifier: GPL-2.0-only
/* Taking a device back: asked first, and by the kernel. */
#include <errno.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

/* How far from the moment it was due something may happen. */
#define TOLERANCE_MS 100

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

TEST_F(removal, asked_sigbus)
{
	uint32_t id;
	long begun;

	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	begun = now_ms();
	ASSERT_EQ(0, start(self->ctx, 400, VFIOEXT_ACTION_SIGBUS, &id));
	ASSERT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_GE(now_ms() - begun, 400);
	EXPECT_LE(now_ms() - begun, 400 + TOLERANCE_MS);
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
	long begun;

	set_policy(self->ctx, 500, 500, 0, VFIOEXT_ACTION_SIGBUS);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	begun = now_ms();
	child = unbind_start(EDU);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_GE(now_ms() - begun, 500);
	EXPECT_LE(now_ms() - begun, 500 + TOLERANCE_MS);
	EXPECT_TRUE(unbind_wait(child, 1000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(removal, second_sigbus_after_grace)
{
	uint32_t id;
	long begun;

	self->holder = holder_start(EDU, HOLDER_CATCHER);
	begun = now_ms();
	ASSERT_EQ(0, start(self->ctx, 200, VFIOEXT_ACTION_SIGBUS, &id));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 3000));
	EXPECT_GE(now_ms() - begun, 200 + 500);
	EXPECT_LE(now_ms() - begun, 200 + 500 + TOLERANCE_MS);
}

/* Five times 300 ms are asked for, and 1,000 ms granted. */
TEST_F(removal, extended_to_the_cap)
{
	unsigned int extended = 0;
	uint32_t id;
	long begun;
	int i;

	self->holder = holder_start(EDU, HOLDER_EXTENDER);
	begun = now_ms();
	ASSERT_EQ(0, start(self->ctx, 500, VFIOEXT_ACTION_SIGBUS, &id));
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_EXTENDED, 1000,
				       &self->event));
		extended += self->event.extend_ms;
	}
	EXPECT_EQ(1000, extended);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 4000));
	EXPECT_GE(now_ms() - begun, 500 + 1000);
	EXPECT_LE(now_ms() - begun, 500 + 1000 + TOLERANCE_MS);
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
	run("modprobe -r vfioext_consumer; rmmod vfioext && modprobe vfioext");

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
	run("modprobe -r vfioext_consumer; rmmod vfioext");
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNLOADED, self->event.outcome);
	holder_kill(&self->holder);
	EXPECT_TRUE(unbind_wait(child, 2000));
	run("modprobe vfioext");
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
TEST_F(removal, lost_events)
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

TEST_F(removal, many_unbinds)
{
	pid_t opener = fork();
	int i;

	if (!opener) {
		struct vfioext *ctx = test_context();
		struct vfioext_device *device;

		for (;;)
			if (!vfioext_device_open(ctx, EDU, &device))
				vfioext_device_close(device);
	}
	for (i = 0; i < 500; i++) {
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
