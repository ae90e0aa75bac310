// SPDX-License-Identifier: GPL-2.0-only
/* Who holds a device, as a made-up /proc tells. */
#include <errno.h>
#include <string.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../lib/sysfs_tree.h"

#define DEVICE "0000:02:00.0"

FIXTURE(holders) {
	char root[64];
	struct vfioext *ctx;
	struct vfioext_holders holders;
};

FIXTURE_SETUP(holders)
{
	strcpy(self->root, "/tmp/vfioext-test-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->root));
	add_pci(self->root, DEVICE, 7, "vfio-pci", "0x010802");
	in_tree(self->root, "mkdir -p bus/pci/devices/" DEVICE "/vfio-dev/vfio3 proc/self proc/uptime");
}

FIXTURE_TEARDOWN(holders)
{
	vfioext_holders_release(&self->holders);
	vfioext_free(self->ctx);
	in_tree("/", "rm -rf %s", self->root);
}

/* A process with descriptors of the files that are named. */
static void add_process(const char *root, int pid, const char *files)
{
	in_tree(root, "mkdir -p proc/%d/fd && echo worker > proc/%d/comm && touch proc/%d/maps && i=3 && for f in %s; do ln -s \"$f\" proc/%d/fd/$i && i=$((i + 1)); done",
		pid, pid, pid, files, pid);
}

TEST_F(holders, descriptors)
{
	add_process(self->root, 100, "/dev/vfio/7 'anon_inode:[vfio-device]' /dev/vfio/vfio");
	add_process(self->root, 101, "/dev/vfio/77 /dev/null 'anon_inode:[eventfd]'");
	add_process(self->root, 102, "/dev/vfio/devices/vfio3");
	ASSERT_EQ(0, vfioext_device_holders_by_proc(self->ctx, DEVICE, &self->holders));
	ASSERT_EQ(2, self->holders.nr);
	EXPECT_EQ(0, self->holders.hidden);
	/* Directories are in no order. */
	if (self->holders.list[0].pid != 100) {
		struct vfioext_holder first = self->holders.list[1];

		self->holders.list[1] = self->holders.list[0];
		self->holders.list[0] = first;
	}
	EXPECT_EQ(100, self->holders.list[0].pid);
	EXPECT_STREQ("worker", self->holders.list[0].comm);
	EXPECT_EQ(1, self->holders.list[0].group_fds);
	EXPECT_EQ(1, self->holders.list[0].device_fds);
	EXPECT_EQ(102, self->holders.list[1].pid);
	EXPECT_EQ(0, self->holders.list[1].group_fds);
	EXPECT_EQ(1, self->holders.list[1].device_fds);
}

TEST_F(holders, mappings)
{
	add_process(self->root, 100, "");
	in_tree(self->root, "echo '7f00-7f01 rw-s 0 0:0e 1 anon_inode:[vfio-device]' > proc/100/maps && echo '7f02-7f03 rw-s 0 0:0e 1 /dev/vfio/devices/vfio3' >> proc/100/maps && echo '7f04-7f05 rw-p 0 0:0 0' >> proc/100/maps");
	ASSERT_EQ(0, vfioext_device_holders_by_proc(self->ctx, DEVICE, &self->holders));
	ASSERT_EQ(1, self->holders.nr);
	EXPECT_EQ(2, self->holders.list[0].mappings);
}

/* Of a group the devices' own files are not known. */
TEST_F(holders, group)
{
	add_process(self->root, 100, "/dev/vfio/7");
	add_process(self->root, 102, "/dev/vfio/devices/vfio3");
	ASSERT_EQ(0, vfioext_group_holders_by_proc(self->ctx, 7, &self->holders));
	ASSERT_EQ(1, self->holders.nr);
	EXPECT_EQ(100, self->holders.list[0].pid);
}

/* What cannot be looked at is counted; a process that has gone meanwhile is not. */
TEST_F(holders, hidden)
{
	add_process(self->root, 100, "/dev/vfio/7");
	in_tree(self->root, "mkdir proc/103 proc/104 && touch proc/103/fd");
	ASSERT_EQ(0, vfioext_device_holders_by_proc(self->ctx, DEVICE, &self->holders));
	EXPECT_EQ(1, self->holders.nr);
	EXPECT_EQ(1, self->holders.hidden);
	EXPECT_EQ(-ENODEV, vfioext_device_holders_by_proc(self->ctx, "0000:77:00.0", &self->holders));
	in_tree(self->root, "rm -r proc");
	vfioext_holders_release(&self->holders);
	EXPECT_EQ(-ENOENT, vfioext_group_holders_by_proc(self->ctx, 7, &self->holders));
}

/* Without the module nothing is known of handles, and that is an error. */
TEST_F(holders, without_the_module)
{
	struct vfioext_status status;

	vfioext_never_load(self->ctx);
	vfioext_status(self->ctx, &status);
	if (status.loaded)
		SKIP(return, "the module is loaded");
	EXPECT_GT(0, vfioext_device_holders(self->ctx, DEVICE, &self->holders));
	EXPECT_EQ(0, self->holders.hidden);
}

/* A name that another process serves is told apart. */
TEST_F(holders, served)
{
	struct vfioext_device_info info;

	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "user:/run/x.sock", &info));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "none of the host's devices"));
}

TEST_HARNESS_MAIN
