// SPDX-License-Identifier: GPL-2.0-only
/* What libvfioext makes of sysfs: a tree that is made here, and damaged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../lib/sysfs_tree.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

FIXTURE(discovery) {
	char root[64];
	struct vfioext *ctx;
	struct vfioext_device_info info;
	struct vfioext_device_list list;
};

FIXTURE_SETUP(discovery)
{
	strcpy(self->root, "/tmp/vfioext-test-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->root));
	add_pci(self->root, "0000:00:03.0", 1, "vfio-pci", "0x00ff00");
	in_tree(self->root, "mkdir bus/pci/devices/0000:00:03.0/vfio-dev");
	add_pci(self->root, "0000:01:00.0", 2, NULL, "0x020000");
	add_pci(self->root, "0000:01:00.1", 2, "e1000e", "0x020000");
	add_pci(self->root, "0000:00:1c.0", 3, "pcieport", "0x060400");
	add_mdev(self->root, UUID, 4, "vfio-pci");
}

FIXTURE_TEARDOWN(discovery)
{
	vfioext_free(self->ctx);
	in_tree("/", "rm -rf %s", self->root);
}

TEST_F(discovery, pci)
{
	ASSERT_EQ(0, vfioext_find_device(self->ctx, "0000:00:03.0", &self->info));
	EXPECT_STREQ("pci", self->info.bus);
	EXPECT_STREQ("vfio-pci", self->info.driver);
	EXPECT_EQ(1, self->info.group);
	EXPECT_TRUE(self->info.vfio);
	EXPECT_EQ(0x1234, self->info.vendor);
	EXPECT_EQ(0x11e8, self->info.device);
	EXPECT_EQ(0xff00, self->info.class_code);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, "01:00.1", &self->info));
	EXPECT_STREQ("0000:01:00.1", self->info.name);
	EXPECT_FALSE(self->info.vfio);
}

TEST_F(discovery, mdev)
{
	ASSERT_EQ(0, vfioext_find_device(self->ctx, UUID, &self->info));
	EXPECT_STREQ("mdev", self->info.bus);
	EXPECT_STREQ("vfio-pci-1", self->info.mdev_type);
	EXPECT_STREQ("vfio-pci", self->info.device_api);
	EXPECT_EQ(4, self->info.group);
	EXPECT_EQ(0, self->info.vendor);
}

TEST_F(discovery, list)
{
	ASSERT_EQ(0, vfioext_list_devices(self->ctx, &self->list));
	ASSERT_EQ(5, self->list.nr);
	EXPECT_STREQ("0000:00:03.0", self->list.list[0].name);
	EXPECT_STREQ(UUID, self->list.list[4].name);
	vfioext_device_list_release(&self->list);
	EXPECT_EQ(0, self->list.nr);
}

TEST_F(discovery, viability)
{
	ASSERT_EQ(0, vfioext_list_group(self->ctx, 1, &self->list));
	EXPECT_EQ(NULL, vfioext_group_breaker(&self->list));
	vfioext_device_list_release(&self->list);
	ASSERT_EQ(0, vfioext_list_group(self->ctx, 2, &self->list));
	EXPECT_EQ(2, self->list.nr);
	ASSERT_NE(NULL, vfioext_group_breaker(&self->list));
	EXPECT_STREQ("0000:01:00.1", vfioext_group_breaker(&self->list)->name);
	EXPECT_STREQ("e1000e", vfioext_group_breaker(&self->list)->driver);
	vfioext_device_list_release(&self->list);
	/* A port stays the kernel's. */
	ASSERT_EQ(0, vfioext_list_group(self->ctx, 3, &self->list));
	EXPECT_EQ(NULL, vfioext_group_breaker(&self->list));
	vfioext_device_list_release(&self->list);
	EXPECT_EQ(-ENOENT, vfioext_list_group(self->ctx, 77, &self->list));
}

TEST_F(discovery, bad_names)
{
	char name[4096];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, name, &self->info));
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "", &self->info));
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "..", &self->info));
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "0000:00:03.0/../x", &self->info));
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, "0000:00:04.0", &self->info));
	EXPECT_NE('\0', vfioext_message(self->ctx)[0]);
	EXPECT_EQ(-ENAMETOOLONG, vfioext_new(&self->ctx, name));
}

/* Nothing that sysfs says, however wrong, is more than an error for that device. */
TEST_F(discovery, damaged)
{
	in_tree(self->root, "echo garbage > bus/pci/devices/0000:01:00.0/vendor");
	EXPECT_EQ(-EIO, vfioext_find_device(self->ctx, "0000:01:00.0", &self->info));
	in_tree(self->root, "echo 0x123456789abcdef01 > bus/pci/devices/0000:01:00.1/device");
	EXPECT_EQ(-EIO, vfioext_find_device(self->ctx, "0000:01:00.1", &self->info));
	in_tree(self->root, "rm bus/pci/devices/0000:00:1c.0/iommu_group && ln -s x/12y bus/pci/devices/0000:00:1c.0/iommu_group");
	EXPECT_EQ(-EIO, vfioext_find_device(self->ctx, "0000:00:1c.0", &self->info));
	in_tree(self->root, "rm bus/mdev/devices/" UUID "/mdev_type");
	EXPECT_EQ(-ENOENT, vfioext_find_device(self->ctx, UUID, &self->info));
	in_tree(self->root, "ln -s $(printf 'x%%.0s' $(seq 200)) bus/mdev/devices/" UUID "/mdev_type");
	EXPECT_EQ(-ENAMETOOLONG, vfioext_find_device(self->ctx, UUID, &self->info));
	ASSERT_EQ(0, vfioext_list_devices(self->ctx, &self->list));
	EXPECT_EQ(1, self->list.nr);
	vfioext_device_list_release(&self->list);
}

TEST_F(discovery, no_buses)
{
	in_tree(self->root, "rm -rf bus");
	ASSERT_EQ(0, vfioext_list_devices(self->ctx, &self->list));
	EXPECT_EQ(0, self->list.nr);
}

TEST_F(discovery, bind_refused)
{
	in_tree(self->root, "rm -f bus/pci/drivers_probe; touch bus/pci/drivers_probe bus/pci/devices/0000:00:03.0/driver_override");
	EXPECT_EQ(-EALREADY, vfioext_bind(self->ctx, "0000:00:03.0", NULL));
	EXPECT_EQ(-ENOENT, vfioext_bind(self->ctx, "0000:01:00.0", "vfio-frob"));
	EXPECT_EQ(-ENOENT, vfioext_bind(self->ctx, "0000:01:00.0", "../frob"));
	EXPECT_EQ(-EALREADY, vfioext_bind(self->ctx, UUID, NULL));
	EXPECT_EQ(-EOPNOTSUPP, vfioext_bind(self->ctx, UUID, "vfio-pci"));
	EXPECT_EQ(-EALREADY, vfioext_unbind(self->ctx, "0000:01:00.0"));
	EXPECT_EQ(-EALREADY, vfioext_give_back(self->ctx, "0000:01:00.1"));
}

static int take(const struct vfioext_driver *driver, struct vfioext_device *device)
{
	(void)driver;
	(void)device;
	return 0;
}

/* To open an mdev resets it: one that no driver can be for is left alone. */
TEST_F(discovery, scan_opens_what_may_fit)
{
	struct vfioext_device_id ids[2] = {
		{ .bus = "pci", .vendor = 0x1234, .device = 0x77, .subsystem_vendor = VFIOEXT_ANY_ID,
		  .subsystem_device = VFIOEXT_ANY_ID },
		{ .device_api = "vfio-ccw", .vendor = 0x1234, .device = 0x77,
		  .subsystem_vendor = VFIOEXT_ANY_ID, .subsystem_device = VFIOEXT_ANY_ID },
	};
	struct vfioext_driver driver = { .name = "test", .ids = ids, .nr_ids = 2, .probe = take };
	struct vfioext_bus *bus;

	ASSERT_EQ(0, vfioext_bus_new(self->ctx, NULL, &bus));
	ASSERT_EQ(0, vfioext_bus_register(bus, &driver));
	EXPECT_EQ(0, vfioext_bus_scan(bus));
	EXPECT_STREQ("", vfioext_message(self->ctx));
	/* There is no such device here, and so it cannot be opened. */
	ids[0].bus = NULL;
	EXPECT_EQ(0, vfioext_bus_scan(bus));
	EXPECT_STRNE("", vfioext_message(self->ctx));
	vfioext_bus_free(bus);
}

TEST_F(discovery, status_without_module)
{
	struct vfioext_status status;

	vfioext_status(self->ctx, &status);
	EXPECT_FALSE(status.loaded);
	in_tree(self->root, "mkdir -p module/vfioext/parameters && echo 0.1 > module/vfioext/version && echo ok > module/vfioext/parameters/private_layout");
	vfioext_status(self->ctx, &status);
	EXPECT_TRUE(status.loaded);
	EXPECT_STREQ("0.1", status.version);
	EXPECT_STREQ("ok", status.external_users);
}

TEST_HARNESS_MAIN
