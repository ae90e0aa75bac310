// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine of this host has a group: KVM keeps the file that it was given
 * when no process has it any longer.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/kvm_fixture.h"
#include "../lib/test.h"

#define OTHER TESTDEV

/*
 * A virtual machine that is given the group of a device, and whose process keeps
 * its descriptors, as QEMU does, or none.
 */
struct machine {
	const char *device;
	bool keep;
};

static void run_machine(const void *data, int ready)
{
	const struct machine *machine = data;
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;

	if (vfioext_device_open(ctx, machine->device, BY_GROUP, &device) ||
	    give_to_kvm(vfioext_device_group_fd(device)))
		return;
	if (!machine->keep)
		vfioext_device_close(device);
	if (write(ready, "", 1) != 1)
		return;
	for (;;)
		pause();
}

static struct holder_process start_machine(const char *device, bool keep)
{
	struct machine machine = { .device = device, .keep = keep };

	return holder_run(run_machine, &machine);
}

TEST_F(kvm, machine_that_keeps_its_files)
{
	self->machine = start_machine(EDU, true);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &self->holders));
	expect_holder(1, 1);
	ASSERT_EQ(0, try_run("vfioext unbind --timeout 0.2 --action sigbus " EDU));
	EXPECT_EQ(SIGBUS, holder_wait(&self->machine, 1000));
}

/* The group alone keeps no device: it is taken back without a wait. */
TEST_F(kvm, group_that_kvm_alone_keeps)
{
	self->machine = start_machine(EDU, false);
	ASSERT_EQ(0, vfioext_group_holders(self->ctx, self->info.group, &self->holders));
	expect_holder(0, 0);
	ASSERT_TRUE(unbind_wait(unbind_start(EDU), 1000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000, &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNHELD, self->event.outcome);
	EXPECT_EQ(-1, holder_wait(&self->machine, 100));
}

/* Once the machine is gone, so is its claim. */
TEST_F(kvm, group_is_free_after_the_machine)
{
	struct vfioext_device *device;

	self->machine = start_machine(EDU, false);
	EXPECT_EQ(-EBUSY, vfioext_device_open(self->ctx, EDU, BY_GROUP, &device));
	holder_kill(&self->machine);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &device));
	vfioext_device_close(device);
	ASSERT_EQ(0, vfioext_group_holders(self->ctx, self->info.group, &self->holders));
	EXPECT_EQ(0, self->holders.nr);
}

/* Another machine, of another process, has nothing to do with it. */
TEST_F(kvm, machines_are_told_apart)
{
	struct holder_process other;

	bind_device(OTHER);
	other = start_machine(OTHER, true);
	self->machine = start_machine(EDU, false);
	ASSERT_EQ(0, vfioext_group_holders(self->ctx, self->info.group, &self->holders));
	expect_holder(0, 0);
	holder_kill(&other);
}

int main(int argc, char **argv)
{
	load_kvm();
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
