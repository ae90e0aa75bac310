// SPDX-License-Identifier: GPL-2.0-only
/* Groups of several devices. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

FIXTURE(groups) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct holder_process holder;
};

FIXTURE_SETUP(groups)
{
	memset(self, 0, sizeof(*self));
	self->ctx = test_context();
	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_SIGBUS);
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
}

FIXTURE_TEARDOWN(groups)
{
	holder_kill(&self->holder);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

/* Two devices of one group go at once, each with a holder of its own group file. */
TEST_F(groups, two_of_one_group)
{
	pid_t first, second;

	bind_device(PAIR);
	bind_device(PAIR2);
	self->holder = holder_start(PAIR, HOLDER_STUBBORN);
	first = unbind_start(PAIR);
	second = unbind_start(PAIR2);
	/* Nobody has the second open: it need not wait. */
	EXPECT_TRUE(unbind_wait(second, 300));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 2000));
	EXPECT_TRUE(unbind_wait(first, 1000));
	EXPECT_TRUE(wait_event(self->events, PAIR2, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNHELD, self->event.outcome);
	EXPECT_TRUE(wait_event(self->events, PAIR, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

/* A group that a driver keeps from being viable: who does is named. */
TEST_F(groups, not_viable)
{
	struct vfioext_device *device;

	bind_device(PAIR);
	/* pci-stub is harmless; a driver that does DMA for the kernel is not. */
	run("modprobe -q uio_pci_generic && echo uio_pci_generic > /sys/bus/pci/devices/" PAIR2 "/driver_override && echo " PAIR2 " > /sys/bus/pci/drivers_probe");
	EXPECT_EQ(-EBUSY, vfioext_device_open(self->ctx, PAIR, NULL, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), PAIR2));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "uio_pci_generic"));
	run("echo " PAIR2 " > /sys/bus/pci/devices/" PAIR2 "/driver/unbind");
	EXPECT_EQ(0, vfioext_unbind(self->ctx, PAIR));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
