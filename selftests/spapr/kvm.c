// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM on POWER, with a guest's table of memory for its devices: it maps in the group's
 * window itself. The device can be taken back from such a machine, too. Without a table the
 * kernel complains when the machine ends (kvm_spapr_tce_release_vfio_group()).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/kvm_fixture.h"
#include "../lib/test.h"

static int set_attr(int vfio, uint64_t attr, const void *value)
{
	struct kvm_device_attr set = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	return ioctl(vfio, KVM_SET_DEVICE_ATTR, &set);
}

/* The guest's table is that of the group's first window, which the first mapping makes. */
static int make_table(int machine, struct vfioext_container *container)
{
	struct kvm_create_spapr_tce_64 create = { .liobn = 0x80000000, .page_shift = 12 };
	struct vfioext_iova_range window;
	uint64_t iova;
	void *memory;

	if (vfioext_dma_alloc(container, getpagesize(), 0, &memory, &iova) ||
	    vfioext_dma_get_ranges(container, &window, 1) < 1)
		return -1;
	create.offset = window.start >> 12;
	create.size = (window.last - window.start + 1) >> 12;
	return ioctl(machine, KVM_CREATE_SPAPR_TCE_64, &create);
}

static int start_kvm(struct vfioext_device *device)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	int32_t group = vfioext_device_group_fd(device);
	int machine = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	struct kvm_vfio_spapr_tce tce = { .groupfd = group };

	if (machine < 0 || ioctl(machine, KVM_CREATE_DEVICE, &create) ||
	    set_attr((int)create.fd, KVM_DEV_VFIO_GROUP_ADD, &group))
		return -1;
	tce.tablefd = make_table(machine, vfioext_device_container(device));
	if (tce.tablefd < 0)
		return -1;
	return set_attr((int)create.fd, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &tce);
}

static void run_machine(const void *data, int ready)
{
	struct vfioext *ctx = test_context();
	const bool *keep = data;
	struct vfioext_device *device;

	if (vfioext_device_open(ctx, EDU, BY_GROUP, &device) || start_kvm(device))
		return;
	if (!*keep)
		vfioext_device_close(device);
	if (write(ready, "", 1) != 1)
		return;
	for (;;)
		pause();
}

TEST_F(kvm, machine_that_keeps_its_files)
{
	const bool keep = true;

	self->machine = holder_run(run_machine, &keep);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &self->holders));
	expect_holder(1, 1);
	ASSERT_EQ(0, try_run("vfioext unbind --timeout 0.2 --action sigbus " EDU));
	EXPECT_EQ(SIGBUS, holder_wait(&self->machine, 1000));
}

/* Nothing hangs, for as long as the machine lives, or after it. */
TEST_F(kvm, group_and_table_that_kvm_alone_keeps)
{
	const bool keep = false;
	struct vfioext_device *device;

	self->machine = holder_run(run_machine, &keep);
	ASSERT_EQ(0, vfioext_group_holders(self->ctx, self->info.group, &self->holders));
	expect_holder(0, 0);
	ASSERT_TRUE(unbind_wait(unbind_start(EDU), 1000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000, &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNHELD, self->event.outcome);
	EXPECT_EQ(-1, holder_wait(&self->machine, 100));
	holder_kill(&self->machine);
	bind_device(EDU);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, BY_GROUP, &device));
	vfioext_device_close(device);
}

int main(int argc, char **argv)
{
	load_kvm();
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
