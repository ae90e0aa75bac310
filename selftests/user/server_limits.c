// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a client may cost: address space, mappings, descriptors. Beyond that its memory is
 * reached by messages, and another device of the same server has what it wants.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define TIB 0x10000000000ULL

FIXTURE(limits) {
	struct wire_test test;
	struct wire *wire;
	struct wire other;
	struct probe *probe;
	struct vfioext_user_device *device;
};

FIXTURE_SETUP(limits)
{
	struct vfioext_user_device *other;

	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, self->probe, &other));
	probe_setup(other);
	wire_test_attach(&self->test, other, &self->other);
	ASSERT_EQ(0, wire_negotiate(&self->other, NULL));
}

FIXTURE_TEARDOWN(limits)
{
	wire_close(&self->other);
	EXPECT_TRUE(wire_test_end(&self->test));
}

static uint64_t address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file && fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Map a part of a file of its own, which the client closes. */
static int map_file(struct wire *wire, uint64_t iova, uint64_t file_size, uint64_t size,
		    uint32_t flags)
{
	int file = make_file(file_size), ret;

	ret = wire_map(wire, iova, size, flags, file, 0);
	close(file);
	return ret;
}

/* What the other client maps is mapped. */
static bool other_maps(struct wire *other, const struct probe *probe, uint64_t size)
{
	return !map_file(other, 0, size, size, MAPPED) && probe->map.vaddr &&
	       !wire_unmap_all(other);
}

static int read_at(struct vfioext_user_device *device, uint64_t iova)
{
	struct vfioext_user_sg sg = { iova, 4 };
	char buffer[4];

	return vfioext_user_dma_read(device, &sg, 1, buffer, NULL, NULL);
}

/* However large the files are that little is mapped of. */
TEST_F(limits, address_space_of_whole_files)
{
	uint64_t before = address_space();
	unsigned int i;

	for (i = 0; i < 400; i++) {
		ASSERT_EQ(0, map_file(self->wire, i * PAGE, 1ULL << (20 + i % 26), PAGE, MAPPED));
		EXPECT_NE(NULL, self->probe->map.vaddr)
			TH_LOG("map %u", i);
	}
	EXPECT_GE(3 * TIB / 2, address_space() - before);
	EXPECT_TRUE(other_maps(&self->other, self->probe, TIB));
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_GE(TIB / 2, address_space() - before);
}

TEST_F(limits, address_space_of_maps)
{
	uint64_t before = address_space();
	unsigned int i;

	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, map_file(self->wire, i * TIB / 2, TIB / 2, TIB / 2, MAPPED));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	EXPECT_GE(5 * TIB / 2, address_space() - before);
	EXPECT_EQ(-EREMOTE, read_at(self->device, 99 * TIB / 2));
	EXPECT_NE(NULL, strstr(self->probe->log, "address space"));
	EXPECT_TRUE(other_maps(&self->other, self->probe, TIB));
	/* What goes makes room. */
	ASSERT_EQ(0, wire_unmap(self->wire, 0, TIB / 2));
	ASSERT_EQ(0, map_file(self->wire, 0, TIB / 2, TIB / 2, MAPPED));
	EXPECT_NE(NULL, self->probe->map.vaddr);
}

/* A file that is large beside what a client may have is mapped whole once enough of it is used. */
TEST_F(limits, whole_in_proportion)
{
	int file = make_file(192 * PAGE);
	unsigned int before = count_mappings(), i;

	wire_test_limit(&self->test, &(struct vfioext_user_limits){ .max_bytes = 256 * PAGE });
	for (i = 0; i < 6; i++)
		ASSERT_EQ(0, wire_map(self->wire, 2 * i * PAGE, PAGE, MAPPED, file, 2 * i * PAGE));
	EXPECT_EQ(before + 6, count_mappings());
	for (i = 6; i < 90; i++)
		ASSERT_EQ(0, wire_map(self->wire, 2 * i * PAGE, PAGE, MAPPED, file, 2 * i * PAGE));
	EXPECT_GE(before + 13, count_mappings());
	EXPECT_NE(NULL, self->probe->map.vaddr);
	close(file);
}

TEST_F(limits, mappings)
{
	unsigned int before = count_mappings(), logs, i;

	for (i = 0; i < 1024; i++)
		ASSERT_EQ(0, map_file(self->wire, i * PAGE, PAGE, PAGE,
				      i % 2 ? MAPPED : VFIO_USER_DMA_FLAG_READ));
	EXPECT_NE(NULL, self->probe->map.vaddr);
	logs = self->probe->logs;
	for (; i < 2000; i++)
		ASSERT_EQ(0, map_file(self->wire, i * PAGE, PAGE, PAGE, MAPPED));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	EXPECT_GE(before + 1024, count_mappings());
	/* It is told, and not time and again. */
	EXPECT_EQ(logs + 1, self->probe->logs);
	EXPECT_NE(NULL, strstr(self->probe->log, "0x400000 is reached by messages"));
	EXPECT_EQ(-EREMOTE, read_at(self->device, 1999 * PAGE));
	EXPECT_EQ(0, read_at(self->device, 1023 * PAGE));
	EXPECT_TRUE(other_maps(&self->other, self->probe, 8 * PAGE));
	ASSERT_EQ(0, wire_unmap(self->wire, 0, PAGE));
	ASSERT_EQ(0, map_file(self->wire, 0, PAGE, PAGE, MAPPED));
	EXPECT_NE(NULL, self->probe->map.vaddr);
}

/* The client hears how many there can be. */
TEST_F(limits, maps)
{
	unsigned int logs, i;
	char json[512] = "";

	ASSERT_EQ(-EBUSY, vfioext_user_device_set_limits(self->device,
							 &(struct vfioext_user_limits){ 0 }));
	wire_test_limit(&self->test, &(struct vfioext_user_limits){ .max_maps = 10 });
	ASSERT_GT(sizeof(json), self->wire->size);
	memcpy(json, self->wire->body + 4, self->wire->size - 4);
	EXPECT_NE(NULL, strstr(json, "\"max_dma_maps\":10,"));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, wire_map(self->wire, i * PAGE, PAGE, RW, -1, 0));
	logs = self->probe->logs;
	EXPECT_EQ(-ENOSPC, wire_map(self->wire, 10 * PAGE, PAGE, RW, -1, 0));
	EXPECT_EQ(-ENOSPC, map_file(self->wire, 10 * PAGE, PAGE, PAGE, MAPPED));
	EXPECT_EQ(logs + 1, self->probe->logs);
	EXPECT_NE(NULL, strstr(self->probe->log, "refused"));
	EXPECT_EQ(0, wire_unmap(self->wire, 0, PAGE));
	EXPECT_EQ(0, wire_map(self->wire, 10 * PAGE, PAGE, RW, -1, 0));
}

/* What is read and written has a descriptor for each file, and way it is open. */
TEST_F(limits, descriptors)
{
	unsigned int before, i;
	char path[32];
	int file, again;

	before = count_files();
	file = make_file(16 * PAGE);
	ASSERT_EQ(5, pwrite(file, "bytes", 5, 0));
	for (i = 0; i < 2000; i++)
		ASSERT_EQ(0, wire_map(self->wire, i * PAGE, PAGE, FILE_IO, file, i % 16 * PAGE));
	EXPECT_EQ(before + 2, count_files());
	/* One that can only be read is another. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	again = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, wire_map(self->wire, i * PAGE, PAGE, VFIO_USER_DMA_FLAG_FILE_IO |
			      VFIO_USER_DMA_FLAG_READ, again, 0));
	close(again);
	close(file);
	EXPECT_EQ(before + 2, count_files());
	EXPECT_EQ(0, read_at(self->device, 1999 * PAGE));
	EXPECT_EQ(0, read_at(self->device, 2000 * PAGE));
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(before, count_files());
}

TEST_F(limits, files_that_are_open)
{
	unsigned int before = count_files(), i;

	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, map_file(self->wire, i * PAGE, PAGE, PAGE, FILE_IO));
	EXPECT_EQ(before + 64, count_files());
	EXPECT_EQ(0, read_at(self->device, 63 * PAGE));
	EXPECT_EQ(-EREMOTE, read_at(self->device, 64 * PAGE));
	EXPECT_NE(NULL, strstr(self->probe->log, "are open"));
	ASSERT_EQ(0, wire_unmap(self->wire, 0, PAGE));
	ASSERT_EQ(0, map_file(self->wire, 0, PAGE, PAGE, FILE_IO));
	EXPECT_EQ(0, read_at(self->device, 0));
}

/* What is not memory alone is there by messages, unless any file may be. */
TEST_F(limits, other_files)
{
	int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned int before = count_files();

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, VFIO_USER_DMA_FLAG_READ, program, 0));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	EXPECT_NE(NULL, strstr(self->probe->log, "not of memfd"));
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, FILE_IO, program, 0));
	EXPECT_EQ(-EREMOTE, read_at(self->device, 0));
	EXPECT_EQ(-EREMOTE, read_at(self->device, PAGE));
	wire_test_limit(&self->test, &(struct vfioext_user_limits){ .any_file = true });
	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, VFIO_USER_DMA_FLAG_READ, program, 0));
	EXPECT_NE(NULL, self->probe->map.vaddr);
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, FILE_IO, program, 0));
	EXPECT_EQ(0, read_at(self->device, PAGE));
	close(program);
	EXPECT_TRUE(files_become(before));
}

/* Of a message that does not end, which brings more with each of its bytes. */
TEST_F(limits, descriptors_of_an_unfinished_message)
{
	struct vfio_user_header header = { 1, VFIO_USER_DEVICE_SET_IRQS, 4096, 0, 0 };
	unsigned int before = count_files(), i;
	int fds[16], file = make_eventfd();

	for (i = 0; i < 16; i++)
		fds[i] = file;
	ASSERT_TRUE(wire_send(self->wire, &header, sizeof(header), fds, 16));
	for (i = 0; i < 64; i++) {
		wire_pump(self->test.server);
		ASSERT_TRUE(wire_send(self->wire, "", 1, fds, 16));
	}
	wire_pump(self->test.server);
	EXPECT_GE(before + 33, count_files());
	EXPECT_TRUE(other_maps(&self->other, self->probe, PAGE));
	wire_close(self->wire);
	wire_pump(self->test.server);
	close(file);
}

/* What the client before had is counted as long as the device uses it. */
TEST_F(limits, lowered_below_what_is_in_use)
{
	struct vfioext_user_sg sg = { 0, 4 };
	struct vfioext_user_use use;
	struct iovec iov;

	ASSERT_EQ(0, map_file(self->wire, 0, 16 * PAGE, 16 * PAGE, MAPPED));
	ASSERT_EQ(1, vfioext_user_sgl_get(self->device, &sg, 1, 0, &iov, &use, 1));
	wire_test_limit(&self->test, &(struct vfioext_user_limits){ .max_bytes = 8 * PAGE });
	ASSERT_EQ(0, map_file(self->wire, 0, PAGE, PAGE, MAPPED));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	vfioext_user_sgl_put(self->device, &use, 1);
	ASSERT_EQ(0, map_file(self->wire, PAGE, PAGE, PAGE, MAPPED));
	EXPECT_NE(NULL, self->probe->map.vaddr);
}

/* There is none left for what a client sends. */
TEST_F(limits, no_descriptors_left)
{
	struct rlimit before, few;
	int file = make_file(PAGE), nr = dup(0);
	unsigned int i, logs = self->probe->logs;

	close(nr);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	few = before;
	few.rlim_cur = (rlim_t)nr;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EMFILE, wire_map(self->wire, 0, PAGE, MAPPED, file, 0));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
	EXPECT_EQ(logs + 1, self->probe->logs);
	EXPECT_NE(NULL, strstr(self->probe->log, "descriptors are lost"));
	EXPECT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, file, 0));
	close(file);
}

TEST_HARNESS_MAIN
