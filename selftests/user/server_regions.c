// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of regions, which clients get: that they make one shorter harms nobody, and what they may
 * only read they cannot write to.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

FIXTURE(regions) {
	struct wire_test test;
	struct wire *wire;
	struct vfioext_user_region region;
};

FIXTURE_SETUP(regions)
{
	/* Without the sanitizer's handler. */
	signal(SIGBUS, SIG_DFL);
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	wire_close(self->wire);
	wire_pump(self->test.server);
	self->region = (struct vfioext_user_region){
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE, .size = 4 * PAGE, .fd = -1,
	};
}

FIXTURE_TEARDOWN(regions)
{
	EXPECT_TRUE(wire_test_end(&self->test));
}

/* As a device that makes its own memory does it. */
static void make_memory(struct vfioext_user_region *region, unsigned int flags)
{
	region->fd = memfd_create("wire", MFD_CLOEXEC | flags);
	if (ftruncate(region->fd, (off_t)region->size))
		abort();
	region->flags |= VFIOEXT_REGION_MMAP;
	region->memory = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, 0);
}

/* Return: the descriptor that a client gets, or -1. */
static int get_file(struct wire_test *test, const struct vfioext_user_region *region)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = PROBE_MEMORY };

	if (vfioext_user_device_set_region(test->device, PROBE_MEMORY, region))
		return -1;
	wire_test_attach(test, test->device, &test->wire);
	if (wire_negotiate(&test->wire, NULL) ||
	    wire_call(&test->wire, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)) ||
	    test->wire.nr_fds != 1)
		return -1;
	return fcntl(test->wire.fds[0], F_DUPFD_CLOEXEC, 0);
}

TEST_F(regions, sealed)
{
	int file;

	make_memory(&self->region, MFD_ALLOW_SEALING);
	file = get_file(&self->test, &self->region);
	ASSERT_LE(0, file);
	EXPECT_EQ(-1, ftruncate(file, 0));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, wire_write(self->wire, PROBE_MEMORY, 2 * PAGE, "here", 4));
	EXPECT_EQ(0, memcmp((char *)self->region.memory + 2 * PAGE, "here", 4));
	close(file);
	vfioext_user_region_free(&self->region);
}

/* Where it cannot be sealed, neither a message nor the device itself is the process's end. */
TEST_F(regions, guarded)
{
	volatile uint8_t *memory;
	int file;

	make_memory(&self->region, 0);
	memory = self->region.memory;
	file = get_file(&self->test, &self->region);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, wire_write(self->wire, PROBE_MEMORY, 2 * PAGE, "here", 4));
	ASSERT_EQ(0, wire_read(self->wire, PROBE_MEMORY, 2 * PAGE, 4));
	EXPECT_EQ(0, memcmp(self->wire->body + 16, "here", 4));
	ASSERT_EQ(0, ftruncate(file, PAGE));
	EXPECT_EQ(-EFAULT, wire_read(self->wire, PROBE_MEMORY, 2 * PAGE, 4));
	EXPECT_EQ(-EFAULT, wire_write(self->wire, PROBE_MEMORY, 2 * PAGE, "gone", 4));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_MEMORY, 0, 4));
	EXPECT_EQ(0, memory[3 * PAGE]);
	memory[2 * PAGE] = 1;
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	close(file);
	wire_close(self->wire);
	wire_pump(self->test.server);
	/* Guarded no longer. */
	ASSERT_EQ(0, vfioext_user_device_set_region(self->test.device, PROBE_MEMORY,
						    &(struct vfioext_user_region){ .fd = -1 }));
	vfioext_user_region_free(&self->region);
}

TEST_F(regions, read_only)
{
	int file;

	self->region.flags = VFIOEXT_REGION_READ;
	make_memory(&self->region, MFD_ALLOW_SEALING);
	memcpy(self->region.memory, "read", 4);
	file = get_file(&self->test, &self->region);
	ASSERT_LE(0, file);
	EXPECT_EQ(O_RDONLY, fcntl(file, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
	EXPECT_EQ(-1, pwrite(file, "x", 1, 0));
	ASSERT_EQ(0, wire_read(self->wire, PROBE_MEMORY, 0, 4));
	EXPECT_EQ(0, memcmp(self->wire->body + 16, "read", 4));
	/* The device itself may. */
	EXPECT_EQ(1, pwrite(self->region.fd, "R", 1, 0));
	close(file);
	vfioext_user_region_free(&self->region);
}

/* Another user does not open it once more, to write to it. */
TEST_F(regions, read_only_for_others)
{
	char path[32];
	int file;

	if (getuid())
		SKIP(return, "other users can be had by root alone");
	self->region.flags = VFIOEXT_REGION_READ;
	make_memory(&self->region, MFD_ALLOW_SEALING);
	file = get_file(&self->test, &self->region);
	ASSERT_LE(0, file);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	ASSERT_EQ(0, seteuid(65534));
	EXPECT_EQ(-1, open(path, O_RDWR | O_CLOEXEC));
	ASSERT_EQ(0, seteuid(0));
	close(file);
	vfioext_user_region_free(&self->region);
}

TEST_F(regions, allocated)
{
	int file, again;

	self->region.size = PAGE + 1;
	ASSERT_EQ(0, vfioext_user_region_alloc(&self->region));
	EXPECT_EQ(VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE | VFIOEXT_REGION_MMAP,
		  self->region.flags);
	file = get_file(&self->test, &self->region);
	ASSERT_LE(0, file);
	EXPECT_EQ(-1, ftruncate(file, 0));
	EXPECT_EQ(-1, ftruncate(file, 64 * PAGE));
	ASSERT_EQ(1, pwrite(file, "x", 1, PAGE));
	EXPECT_EQ('x', ((char *)self->region.memory)[PAGE]);
	close(file);
	wire_close(self->wire);
	wire_pump(self->test.server);
	vfioext_user_region_free(&self->region);

	self->region = (struct vfioext_user_region){ .flags = VFIOEXT_REGION_READ, .size = PAGE };
	ASSERT_EQ(0, vfioext_user_region_alloc(&self->region));
	memcpy(self->region.memory, "ours", 4);
	file = get_file(&self->test, &self->region);
	ASSERT_LE(0, file);
	EXPECT_EQ(-1, pwrite(self->region.fd, "x", 1, 0));
	again = fcntl(self->region.fd, F_DUPFD_CLOEXEC, 0);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0));
	close(again);
	close(file);
	vfioext_user_region_free(&self->region);
	vfioext_user_region_free(&self->region);
	self->region.size = 0;
	EXPECT_EQ(-EINVAL, vfioext_user_region_alloc(&self->region));
	self->region.size = UINT64_MAX;
	EXPECT_EQ(-EINVAL, vfioext_user_region_alloc(&self->region));
}

TEST_HARNESS_MAIN
