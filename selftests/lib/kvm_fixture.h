/* SPDX-License-Identifier: GPL-2.0-only */
/* A virtual machine of the VM has the group of an edu; for tests of the harness. */
#ifndef SELFTESTS_KVM_FIXTURE_H
#define SELFTESTS_KVM_FIXTURE_H

#include <string.h>

#include "test.h"

FIXTURE(kvm) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct vfioext_device_info info;
	struct vfioext_holders holders;
	struct holder_process machine;
};

FIXTURE_SETUP(kvm)
{
	memset(self, 0, sizeof(*self));
	bind_device(EDU);
	self->ctx = test_context();
	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_SIGBUS);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &self->info));
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
}

FIXTURE_TEARDOWN(kvm)
{
	holder_kill(&self->machine);
	vfioext_holders_release(&self->holders);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

/* The machine's process alone holds it, with so many descriptors of its own. */
#define expect_holder(groups_, devices_) do { \
	const struct vfioext_holder *holder = self->holders.list; \
	ASSERT_EQ(1, self->holders.nr); \
	EXPECT_EQ(self->machine.pid, holder->pid); \
	EXPECT_EQ(groups_, holder->group_fds); \
	EXPECT_EQ(devices_, holder->device_fds); \
	EXPECT_EQ(1, holder->kvm_fds); \
	EXPECT_EQ(0, self->holders.unaccounted); \
} while (0)

#endif
