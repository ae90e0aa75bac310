// SPDX-License-Identifier: GPL-2.0-only
/* Devices that change from one address space to another, seen by their DMA. */
#include <stdint.h>
#include <string.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

/* moves_iommufd.c is the same over iommufd. */
#ifndef BACKEND
#define BACKEND VFIOEXT_BACKEND_CONTAINER
#endif

#define PAGE 4096

FIXTURE(moves) {
	struct vfioext *ctx;
	struct vfioext_device *first;
	struct vfioext_device *second;
	struct vfioext_container *shared;
	struct vfioext_container *other;
	uint64_t iova;
	void *page;
};

FIXTURE_SETUP(moves)
{
	struct vfioext_open how = { .backend = BACKEND };

	memset(self, 0, sizeof(*self));
	self->ctx = test_context();
	self->iova = 0x200000;
	bind_device(EDU);
	bind_device(EDU2);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, &how, &self->first)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU2, &how, &self->second));
	self->shared = vfioext_device_container(self->first);
	ASSERT_EQ(0, vfioext_dma_alloc(self->shared, PAGE, VFIOEXT_DMA_FIXED, &self->page,
				       &self->iova));
}

FIXTURE_TEARDOWN(moves)
{
	vfioext_device_close(self->second);
	vfioext_device_close(self->first);
	vfioext_container_free(self->other);
	run("vfioext unbind " EDU2 " > /dev/null");
	vfioext_free(self->ctx);
}

/* A group joins another's address space, and leaves it, while the other works on. */
TEST_F(moves, there_and_back)
{
	EXPECT_TRUE(edu_sees(self->first, self->page, self->iova, 1));
	EXPECT_FALSE(edu_sees(self->second, self->page, self->iova, 2));
	ASSERT_EQ(0, vfioext_device_move(self->second, self->shared)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	EXPECT_EQ(self->shared, vfioext_device_container(self->second));
	EXPECT_TRUE(edu_sees(self->second, self->page, self->iova, 3));
	EXPECT_TRUE(edu_sees(self->first, self->page, self->iova, 4));

	ASSERT_EQ(0, vfioext_container_new(self->ctx, BACKEND, &self->other));
	ASSERT_EQ(0, vfioext_device_move(self->second, self->other));
	EXPECT_FALSE(edu_sees(self->second, self->page, self->iova, 5));
	EXPECT_TRUE(edu_sees(self->first, self->page, self->iova, 6));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfio_iommu_type1");
	return test_harness_run(argc, argv);
}
