// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that are opened through a file of their own and iommufd, without a
 * group; and groups that iommufd stands behind. Runs where the kernel has them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../../libvfioext/kernel_abi.h"
#include "../lib/test.h"
#include "vfioext_consumer.h"

/* How far a holder goes with the device file that it opened. */
enum stage {
	OPENED,		/* no further */
	BOUND,		/* to iommufd */
	MAPPED,		/* bound and mapped, and the descriptor closed */
	GIVEN,		/* bound and given to KVM, and the descriptor closed */
};

FIXTURE(iommufd) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct holder_process holder;
};

FIXTURE_SETUP(iommufd)
{
	memset(&self->holder, 0, sizeof(self->holder));
	bind_device(EDU);
	self->ctx = test_context();
	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_SIGBUS);
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
}

FIXTURE_TEARDOWN(iommufd)
{
	holder_kill(&self->holder);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

static int map_and_close(int device)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = 0 };
	void *bar;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return -1;
	bar = mmap(NULL, info.size, PROT_READ, MAP_SHARED, device, (off_t)info.offset);
	close(device);
	return bar == MAP_FAILED ? -1 : 0;
}

static void hold(const void *data, int ready)
{
	enum stage stage = *(const enum stage *)data;
	int device = open_device_file(EDU);

	if (device < 0 || (stage == GIVEN && give_to_kvm(device)) ||
	    (stage >= BOUND && bind_iommufd(device)) ||
	    (stage == MAPPED && map_and_close(device)) ||
	    (stage == GIVEN && close(device)) || write(ready, "", 1) != 1)
		return;
	for (;;)
		pause();
}

static struct holder_process start_holder(enum stage stage)
{
	return holder_run(hold, &stage);
}

static void expect_holder(struct __test_metadata *_metadata, struct vfioext *ctx, pid_t pid,
			  unsigned int fds, unsigned int mappings)
{
	struct vfioext_holders holders;

	ASSERT_EQ(0, vfioext_device_holders(ctx, EDU, &holders));
	ASSERT_EQ(1, holders.nr);
	EXPECT_EQ(pid, holders.list[0].pid);
	EXPECT_EQ(fds, holders.list[0].device_fds);
	EXPECT_EQ(mappings, holders.list[0].mappings);
	EXPECT_EQ(0, holders.list[0].group_fds);
	EXPECT_EQ(0, holders.unaccounted);
	vfioext_holders_release(&holders);
}

/* No handle yet, as vfio counts them, and yet an unbind would wait for it. */
TEST_F(iommufd, opened_only)
{
	struct vfioext_policy how = { .has = VFIOEXT_POLICY_ACTION,
				      .action = VFIOEXT_ACTION_NOTIFY };
	uint32_t id, handles;

	self->holder = start_holder(OPENED);
	EXPECT_EQ(0, vfioext_device_handles(self->ctx, EDU, &handles));
	EXPECT_EQ(0, handles);
	expect_holder(_metadata, self->ctx, self->holder.pid, 1, 0);
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, &how, &id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, 3000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_TIMED_OUT, self->event.outcome);
	EXPECT_EQ(-1, holder_wait(&self->holder, 0));
}

TEST_F(iommufd, asked_of_a_bound_one)
{
	uint32_t id, handles;

	self->holder = start_holder(BOUND);
	EXPECT_EQ(0, vfioext_device_handles(self->ctx, EDU, &handles));
	EXPECT_EQ(1, handles);
	expect_holder(_metadata, self->ctx, self->holder.pid, 1, 0);
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 3000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_RELEASED, 3000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

static void take_from(struct __test_metadata *_metadata, struct _test_data_iommufd *self,
		      enum stage stage)
{
	pid_t child;

	self->holder = start_holder(stage);
	child = unbind_start(EDU);
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 3000));
	EXPECT_TRUE(unbind_wait(child, 3000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 2000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(iommufd, taken_from_an_opener)
{
	take_from(_metadata, self, OPENED);
}

TEST_F(iommufd, taken_from_a_bound_one)
{
	take_from(_metadata, self, BOUND);
}

TEST_F(iommufd, taken_from_a_mapping)
{
	self->holder = start_holder(MAPPED);
	expect_holder(_metadata, self->ctx, self->holder.pid, 0, 1);
	holder_kill(&self->holder);
	take_from(_metadata, self, MAPPED);
}

/* The handle is no process's: KVM has it, for a machine that tells whose it is. */
TEST_F(iommufd, device_that_kvm_keeps)
{
	struct vfioext_holders holders;

	self->holder = start_holder(GIVEN);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &holders));
	EXPECT_EQ(1, holders.unaccounted);
	ASSERT_EQ(1, holders.nr);
	EXPECT_EQ(self->holder.pid, holders.list[0].pid);
	EXPECT_EQ(0, holders.list[0].device_fds);
	EXPECT_EQ(1, holders.list[0].kvm_fds);
	vfioext_holders_release(&holders);

	EXPECT_EQ(3, try_run("vfioext unbind --timeout 0.2 --action notify " EDU));
	EXPECT_EQ(-1, holder_wait(&self->holder, 100));
	EXPECT_EQ(0, try_run("vfioext unbind --timeout 0.2 --action sigbus " EDU));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 1000));
}

/* The kernel's own unbind waits for KVM, and no longer than the policy says. */
TEST_F(iommufd, unbind_of_a_device_that_kvm_keeps)
{
	self->holder = start_holder(GIVEN);
	ASSERT_TRUE(unbind_wait(unbind_start(EDU), 3000));
	EXPECT_EQ(SIGBUS, holder_wait(&self->holder, 1000));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

/* iommufd in a container's place: nothing there can be pinned, so nothing is promised. */
TEST_F(iommufd, group_of_iommufd)
{
	int consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	struct vfioext_device_info info;
	struct vfioext_group group;
	char path[32];
	int fd;

	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &info));
	snprintf(path, sizeof(path), "/dev/vfio/%d", info.group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, VFIO_GROUP_SET_CONTAINER, &iommufd));
	EXPECT_EQ(-1, ioctl(consumer, CONSUMER_ATTACH, fd));
	EXPECT_EQ(EOPNOTSUPP, errno);
	ASSERT_EQ(0, vfioext_group_get(self->ctx, info.group, &group));
	EXPECT_EQ(0, group.external_users);
	EXPECT_EQ(1, group.viable);
	EXPECT_EQ(0, ioctl(fd, VFIO_GROUP_UNSET_CONTAINER));
	close(fd);
	close(iommufd);
	close(consumer);
	EXPECT_EQ(0, vfioext_unbind(self->ctx, EDU));
}

int main(int argc, char **argv)
{
	load_kvm();
	run("modprobe iommufd && modprobe vfio-pci && modprobe vfioext_consumer");
	return test_harness_run(argc, argv);
}
