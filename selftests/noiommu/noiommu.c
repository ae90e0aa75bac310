// SPDX-License-Identifier: GPL-2.0-only
/* Groups without an IOMMU behind them: nothing for an external user to rely on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"
#include "vfioext_consumer.h"

#define SYSFS "/sys/bus/pci/devices/" EDU

static int group_number(void)
{
	char link[256] = "";
	const char *last;

	if (readlink(SYSFS "/iommu_group", link, sizeof(link) - 1) < 0)
		return -1;
	last = strrchr(link, '/');
	return last ? atoi(last + 1) : -1;
}

TEST(refused)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	struct vfioext *ctx = test_context();
	char path[64], name[64] = EDU;
	struct vfioext_group info;
	int number = group_number(), group;

	ASSERT_LE(0, number);
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", number);
	group = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, group);
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	ASSERT_EQ(0, ioctl(container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(-1, ioctl(consumer, CONSUMER_ATTACH, group));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ioctl(consumer, CONSUMER_ATTACH_DEVICE, name));
	EXPECT_EQ(EPERM, errno);

	ASSERT_EQ(0, vfioext_group_get(ctx, number, &info));
	EXPECT_EQ(VFIOEXT_GROUP_TYPE_NOIOMMU, info.type);
	EXPECT_STREQ(strrchr(path, '/') + 1, info.name);
	EXPECT_EQ(0, info.external_users);
	/* Nothing was taken: the container can go. */
	EXPECT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	close(group);
	EXPECT_EQ(0, vfioext_unbind(ctx, EDU));
	vfioext_free(ctx);
	close(consumer);
	close(container);
}

/* The library drives a device that way if it is told to, and maps nothing. */
TEST(driven)
{
	struct vfioext_open how = { .backend = VFIOEXT_BACKEND_NOIOMMU };
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;
	struct vfioext_region *bar;
	uint64_t iova;
	void *memory;

	bind_device(EDU);
	/* Not unless it is told. */
	EXPECT_EQ(-ENOENT, vfioext_device_open(ctx, EDU, NULL, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(ctx), "VFIOEXT_BACKEND_NOIOMMU"));
	ASSERT_EQ(0, vfioext_device_open(ctx, EDU, &how, &device)) {
		TH_LOG("%s", vfioext_message(ctx));
	}
	EXPECT_NE(NULL, strstr(vfioext_message(ctx), "any memory of the host"));
	EXPECT_EQ(VFIOEXT_BACKEND_NOIOMMU,
		  vfioext_container_backend(vfioext_device_container(device)));
	ASSERT_EQ(0, vfioext_region_get(device, 0, &bar));
	vfioext_write32(bar, 4, 0x55);
	EXPECT_EQ(~0x55u, vfioext_read32(bar, 4));
	EXPECT_EQ(-ENOTSUP, vfioext_dma_alloc(vfioext_device_container(device), 4096, 0, &memory,
					      &iova));
	vfioext_device_close(device);
	EXPECT_EQ(0, vfioext_unbind(ctx, EDU));
	vfioext_free(ctx);
}

int main(int argc, char **argv)
{
	run("modprobe vfio enable_unsafe_noiommu_mode=1 && modprobe vfio-pci && modprobe vfioext_consumer");
	run("echo vfio-pci > " SYSFS "/driver_override && echo " EDU " > /sys/bus/pci/drivers_probe");
	return test_harness_run(argc, argv);
}
