// SPDX-License-Identifier: GPL-2.0-only
/* How a device may be written, against a made-up sysfs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../lib/sysfs_tree.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

FIXTURE(names) {
	char root[64];
	struct vfioext *ctx;
	struct vfioext_device_info info;
};

FIXTURE_SETUP(names)
{
	strcpy(self->root, "/tmp/vfioext-test-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->root));
	add_pci(self->root, "0000:00:03.0", 1, "vfio-pci", "0x00ff00");
	add_pci(self->root, "0000:af:00.0", 2, NULL, "0x020000");
	add_pci(self->root, "0000:af:00.1", 2, "e1000e", "0x020000");
	add_pci(self->root, "10000:01:00.0", 3, NULL, "0x010802");
	add_pci(self->root, "0000:05:00.0", 5, NULL, "0x010802");
	add_pci(self->root, "10000:05:00.0", 6, NULL, "0x010802");
	in_tree(self->root, "mkdir -p bus/pci/devices/0000:00:03.0/vfio-dev/vfio7 bus/pci/devices/0000:af:00.1/net/eth3 class/net class/vfio-dev");
	in_tree(self->root, "ln -s ../../../../../bus/pci/devices/0000:00:03.0 bus/pci/devices/0000:00:03.0/vfio-dev/vfio7/device");
	in_tree(self->root, "ln -s ../../bus/pci/devices/0000:af:00.1/net/eth3 class/net/ && ln -s ../../bus/pci/devices/0000:00:03.0/vfio-dev/vfio7 class/vfio-dev/");
	add_mdev(self->root, UUID, 4, "vfio-pci");
}

FIXTURE_TEARDOWN(names)
{
	vfioext_free(self->ctx);
	in_tree("/", "rm -rf %s", self->root);
}

TEST_F(names, of_one_device)
{
	static const struct {
		const char *text;
		const char *name;
	} spellings[] = {
		{ "0000:00:03.0", "0000:00:03.0" },
		{ "00:03.0", "0000:00:03.0" },
		{ "0:3.0", "0000:00:03.0" },
		{ "0:0:3.0", "0000:00:03.0" },
		{ "pci_0000_00_03_0", "0000:00:03.0" },
		{ "pci:0000:00:03.0", "0000:00:03.0" },
		{ "pci:00:03.0", "0000:00:03.0" },
		{ "/dev/vfio/devices/vfio7", "0000:00:03.0" },
		{ "group:1", "0000:00:03.0" },
		{ "/dev/vfio/1", "0000:00:03.0" },
		{ "/dev/vfio/noiommu-1", "0000:00:03.0" },
		{ "0000:AF:00.0", "0000:af:00.0" },
		{ "AF:0.0", "0000:af:00.0" },
		{ "PCI_0000_AF_00_0", "0000:af:00.0" },
		{ "10000:1:0.0", "10000:01:00.0" },
		/* The only one, whatever its domain. */
		{ "1:0.0", "10000:01:00.0" },
		{ "10000:05:00.0", "10000:05:00.0" },
		{ UUID, UUID },
		{ "83B8F4F2-509F-382F-3C1E-E6BFE0FA1001", UUID },
		{ "mdev:" UUID, UUID },
		{ "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1001", UUID },
		{ "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1001_0000_06_00_0", UUID },
	};
	size_t i;

	for (i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		ASSERT_EQ(0, vfioext_find_device(self->ctx, spellings[i].text, &self->info)) {
			TH_LOG("%s: %s", spellings[i].text, vfioext_message(self->ctx));
		}
		EXPECT_STREQ(spellings[i].name, self->info.name);
	}
	/* Into what the name is in. */
	EXPECT_EQ(0, vfioext_find_device(self->ctx, self->info.name, &self->info));
	EXPECT_STREQ(UUID, self->info.name);
}

TEST_F(names, of_none)
{
	static const char *const texts[] = {
		"3.0", "00:03", "0:0:0:3.0", "0:0:3.8", "0:20.0", "100:0.0", "00:03.0.0", "0:0:3.", ":0:3.0",
		"pci_0000_00_03", "pci:", "pci_", "mdev_", "mdev:83b8f4f2", "0000_00_03_0", "4",
		"123456789:00:03.0", "00-03.0", "83b8f4f2-509f-382f-3c1e-e6bfe0fa100", "0000:00:03.0 ",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, texts[i], &self->info)) {
			TH_LOG("%s", texts[i]);
		}
		EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "no PCI device or mdev is called"));
	}
}

TEST_F(names, of_several)
{
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "05:00.0", &self->info));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "ambiguous: 0000:05:00.0, 10000:05:00.0"));
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "group:2", &self->info));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "0000:af:00.0, 0000:af:00.1"));
	EXPECT_EQ(-ENOENT, vfioext_find_device(self->ctx, "group:77", &self->info));
}

TEST_F(names, nearest)
{
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, "0000:00:04.0", &self->info));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "; the nearest: 0000:00:03.0"));
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, "AF:00", &self->info));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "0000:af:00.0, 0000:af:00.1"));
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, "somewhere else", &self->info));
	EXPECT_EQ(NULL, strstr(vfioext_message(self->ctx), "nearest"));
}

TEST_F(names, paths)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:00:03.0/", self->root);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, path, &self->info));
	EXPECT_STREQ("0000:00:03.0", self->info.name);
	snprintf(path, sizeof(path), "%s/class/net/eth3", self->root);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, path, &self->info));
	EXPECT_STREQ("0000:af:00.1", self->info.name);
	snprintf(path, sizeof(path), "%s/bus/mdev/devices/" UUID, self->root);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, path, &self->info));
	EXPECT_STREQ(UUID, self->info.name);
	snprintf(path, sizeof(path), "%s/bus/pci/drivers", self->root);
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, path, &self->info));
	snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:77:00.0", self->root);
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, path, &self->info));
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "/etc", &self->info));
	EXPECT_EQ(-ENODEV, vfioext_find_device(self->ctx, "/dev/vfio/devices/vfio8", &self->info));
	EXPECT_EQ(-EINVAL, vfioext_find_device(self->ctx, "/dev/vfio/devices/../x", &self->info));
}

TEST_F(names, groups)
{
	int group = -1;

	EXPECT_TRUE(vfioext_parse_group("4", &group));
	EXPECT_EQ(4, group);
	EXPECT_TRUE(vfioext_parse_group("group:17", &group));
	EXPECT_EQ(17, group);
	EXPECT_TRUE(vfioext_parse_group("/dev/vfio/5", &group));
	EXPECT_EQ(5, group);
	EXPECT_FALSE(vfioext_parse_group("/dev/vfio/vfio", &group));
	EXPECT_FALSE(vfioext_parse_group("group:", &group));
	EXPECT_FALSE(vfioext_parse_group("group:-1", &group));
	EXPECT_FALSE(vfioext_parse_group("4294967296", &group));
	EXPECT_FALSE(vfioext_parse_group("4x", &group));
}

TEST_F(names, drivers)
{
	char driver[VFIOEXT_NAME_SIZE];

	EXPECT_EQ(0, vfioext_find_driver(self->ctx, "vfio_pci", driver));
	EXPECT_STREQ("vfio-pci", driver);
	EXPECT_EQ(0, vfioext_find_driver(self->ctx, "e1000e", driver));
	EXPECT_EQ(-ENOENT, vfioext_find_driver(self->ctx, "e1000", driver));
	EXPECT_EQ(-EINVAL, vfioext_find_driver(self->ctx, "../vfio-pci", driver));
	EXPECT_EQ(-EINVAL, vfioext_find_driver(self->ctx, "", driver));
}

TEST_HARNESS_MAIN
