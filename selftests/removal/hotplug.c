// SPDX-License-Identifier: GPL-2.0-only
/* Removals that hardware, or a physical function, begins; and what unbinds. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

#define HOT "0000:03:00.0"
#define PF "0000:02:00.0"

FIXTURE(hotplug) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct holder_process holder;
};

FIXTURE_SETUP(hotplug)
{
	memset(self, 0, sizeof(*self));
	self->ctx = test_context();
	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_SIGBUS);
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
}

FIXTURE_TEARDOWN(hotplug)
{
	holder_kill(&self->holder);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

/* QEMU takes the device away; the guest lets its driver go first. */
TEST_F(hotplug, hot_unplug)
{
	bind_device(HOT);
	self->holder = holder_start(HOT, HOLDER_STUBBORN);
	EXPECT_TRUE(qmp("{\"execute\":\"qmp_capabilities\"}\n", "return"));
	EXPECT_TRUE(qmp("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"hot\"}}\n", "return"));
	/* The slot's button blinks for five seconds before anything happens. */
	ASSERT_TRUE(wait_event(self->events, HOT, VFIOEXT_EVENT_REMOVAL_REQUESTED, 15000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_ORIGIN_KERNEL, self->event.removal.origin);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	ASSERT_TRUE(wait_event(self->events, HOT, VFIOEXT_EVENT_REMOVAL_DONE, 2000, &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

/* A virtual function that is held, when its physical function wants it back. */
TEST_F(hotplug, sriov_numvfs)
{
	char vf[64];
	FILE *link;
	pid_t child;

	run("modprobe nvme; [ -e /sys/bus/pci/devices/" PF "/driver ] || echo " PF " > /sys/bus/pci/drivers_probe");
	write_file("0", "/sys/bus/pci/devices/" PF "/sriov_drivers_autoprobe");
	write_file("1", "/sys/bus/pci/devices/" PF "/sriov_numvfs");
	link = popen("basename $(readlink /sys/bus/pci/devices/" PF "/virtfn0)", "r");
	ASSERT_NE(NULL, link);
	ASSERT_EQ(1, fscanf(link, "%63s", vf));
	pclose(link);
	bind_device(vf);
	self->holder = holder_start(vf, HOLDER_STUBBORN);
	child = fork();
	if (!child) {
		write_file("0", "/sys/bus/pci/devices/" PF "/sriov_numvfs");
		_exit(0);
	}
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 3000));
	EXPECT_TRUE(unbind_wait(child, 3000));
	ASSERT_TRUE(wait_event(self->events, vf, VFIOEXT_EVENT_REMOVAL_DONE, 1000, &self->event));
	run("echo " PF " > /sys/bus/pci/devices/" PF "/driver/unbind");
}

static void *close_later(void *device)
{
	usleep(300000);
	vfioext_device_close(device);
	return NULL;
}

/* A process that unbinds what it holds: another of its threads lets go. */
TEST_F(hotplug, unbinder_holds_it)
{
	struct vfioext_device *device;
	pthread_t thread;

	set_policy(self->ctx, 5000, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	bind_device(EDU);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &device));
	ASSERT_EQ(0, pthread_create(&thread, NULL, close_later, device));
	EXPECT_EQ(0, vfioext_unbind(self->ctx, EDU));
	pthread_join(thread, NULL);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000, &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
	EXPECT_GE(self->event.removal.elapsed_ms, 200);
}

/* A signal does not end the wait of who unbinds; the removal goes on. */
TEST_F(hotplug, unbinder_gets_a_signal)
{
	pid_t child;

	set_policy(self->ctx, 1000, 500, 0, VFIOEXT_ACTION_SIGBUS);
	bind_device(EDU);
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
	child = unbind_start(EDU);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	kill(child, SIGTERM);
	EXPECT_FALSE(unbind_wait(child, 200));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 3000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 12000, &self->event));
	EXPECT_FALSE(unbind_wait(child, 1000));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
