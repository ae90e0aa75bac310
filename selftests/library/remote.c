// SPDX-License-Identifier: GPL-2.0-only
/* Devices that other processes serve, where the library is missing that speaks with them. */
#include <errno.h>
#include <string.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../../libvfioext/remote.h"

FIXTURE(remote) {
	struct vfioext *ctx;
	struct vfioext_device *device;
};

FIXTURE_SETUP(remote)
{
	ASSERT_EQ(0, vfioext_new(&self->ctx, NULL));
}

FIXTURE_TEARDOWN(remote)
{
	vfioext_free(self->ctx);
}

TEST_F(remote, says_what_is_missing)
{
	EXPECT_EQ(-EOPNOTSUPP, vfioext_device_open(self->ctx, "user:/run/x.sock", NULL,
						   &self->device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "libvfioext-user"));
}

TEST_F(remote, of_another_version)
{
	const struct remote_ops ops = { .version = REMOTE_VERSION + 1 };

	EXPECT_EQ(-EPROTONOSUPPORT, vfioext_remote_register(&ops));
	EXPECT_EQ(-EOPNOTSUPP, vfioext_device_open(self->ctx, "user:/run/x.sock", NULL,
						   &self->device));
}

TEST_F(remote, container_without_devices)
{
	struct vfioext_container *container;
	char memory[4096];
	uint64_t iova;

	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_USER, &container));
	EXPECT_EQ(VFIOEXT_BACKEND_USER, vfioext_container_backend(container));
	EXPECT_EQ(-1, vfioext_container_fd(container));
	EXPECT_EQ(-ENODEV, vfioext_dma_map(container, memory, sizeof(memory), 0, &iova));
	EXPECT_EQ(0, vfioext_container_free(container));
}

TEST_HARNESS_MAIN
