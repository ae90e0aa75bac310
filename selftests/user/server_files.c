// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files behind a client's memory: one is mapped once, whole, however it is mapped for
 * the device.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define HUGE_PAGES "/proc/sys/vm/nr_hugepages"

FIXTURE(files) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	int file;
};

FIXTURE_SETUP(files)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->file = make_file(16 * PAGE);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
}

FIXTURE_TEARDOWN(files)
{
	close(self->file);
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(self->test.mappings, count_mappings());
	EXPECT_TRUE(wire_test_end(&self->test));
}

TEST_F(files, mapped_once)
{
	uint8_t *first;
	int again;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 2 * PAGE));
	EXPECT_EQ(self->test.mappings + 1, count_mappings());
	first = self->probe->map.vaddr;
	/* Another descriptor, and a part of what is mapped already. */
	again = fcntl(self->file, F_DUPFD_CLOEXEC, 0);
	ASSERT_EQ(0, wire_map(self->wire, 8 * PAGE, 4 * PAGE, MAPPED, again, PAGE));
	EXPECT_EQ(first - PAGE, self->probe->map.vaddr);
	/* It may be read only. */
	ASSERT_EQ(0, wire_map(self->wire, 32 * PAGE, PAGE, VFIO_USER_DMA_FLAG_READ, again, 0));
	EXPECT_EQ(self->test.mappings + 2, count_mappings());
	ASSERT_EQ(0, wire_unmap(self->wire, 0, PAGE));
	ASSERT_EQ(0, wire_unmap(self->wire, 32 * PAGE, PAGE));
	EXPECT_EQ(self->test.mappings + 1, count_mappings());
	ASSERT_EQ(0, wire_unmap(self->wire, 8 * PAGE, 4 * PAGE));
	EXPECT_EQ(self->test.mappings, count_mappings());
	close(again);
}

TEST_F(files, others)
{
	int other = make_file(16 * PAGE);
	uint8_t *first;

	ASSERT_EQ(1, pwrite(self->file, "a", 1, 0));
	ASSERT_EQ(1, pwrite(other, "b", 1, 0));
	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	first = self->probe->map.vaddr;
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, MAPPED, other, 0));
	EXPECT_EQ('a', *first);
	EXPECT_EQ('b', *(uint8_t *)self->probe->map.vaddr);
	close(other);
}

/* The end of it is not in what was mapped. */
TEST_F(files, that_grows)
{
	struct vfioext_user_sg sg = { 64 * PAGE, 4 };
	char buffer[5] = "";

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, ftruncate(self->file, 64 * PAGE));
	ASSERT_EQ(4, pwrite(self->file, "grew", 4, 60 * PAGE));
	ASSERT_EQ(0, wire_map(self->wire, 64 * PAGE, PAGE, MAPPED, self->file, 60 * PAGE));
	EXPECT_EQ(0, vfioext_user_dma_read(self->test.device, &sg, 1, buffer, NULL, NULL));
	EXPECT_STREQ("grew", buffer);
}

/* What stands in for pages that were gone does not for those that came instead. */
TEST_F(files, that_was_shorter)
{
	struct vfioext_user_sg sg = { 15 * PAGE, 4 };
	char buffer[5] = "";

	ASSERT_EQ(0, wire_map(self->wire, 0, 16 * PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, ftruncate(self->file, PAGE));
	EXPECT_EQ(-EFAULT, vfioext_user_dma_read(self->test.device, &sg, 1, buffer, NULL, NULL));
	ASSERT_EQ(0, ftruncate(self->file, 16 * PAGE));
	ASSERT_EQ(4, pwrite(self->file, "anew", 4, 15 * PAGE));
	ASSERT_EQ(0, wire_map(self->wire, 64 * PAGE, PAGE, MAPPED, self->file, 15 * PAGE));
	sg.iova = 64 * PAGE;
	EXPECT_EQ(0, vfioext_user_dma_read(self->test.device, &sg, 1, buffer, NULL, NULL));
	EXPECT_STREQ("anew", buffer);
}

/* Of what is larger than any address space, and of what is no file, there is a part. */
TEST_F(files, that_are_not_mapped_whole)
{
	int zeros = open("/dev/zero", O_RDWR | O_CLOEXEC);

	wire_test_limit(&self->test, &(struct vfioext_user_limits){ .any_file = true });
	ASSERT_EQ(0, ftruncate(self->file, INT64_MAX));
	ASSERT_EQ(4, pwrite(self->file, "far", 4, 1LL << 60));
	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 1ULL << 60));
	EXPECT_STREQ("far", self->probe->map.vaddr);
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, MAPPED, zeros, 1ULL << 60));
	EXPECT_EQ(0, *(uint8_t *)self->probe->map.vaddr);
	close(zeros);
}

/* More than the kernel lets a process have of mappings. */
TEST_F_TIMEOUT(files, as_many_as_were_agreed_on, 120)
{
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, 0, PAGE };
	unsigned int i;

	for (i = 0; i < 65535; i++) {
		map.address = i * 2 * PAGE;
		wire_put(self->wire, VFIO_USER_DMA_MAP, VFIO_USER_NO_REPLY, &map, sizeof(map),
			 &self->file, 1);
		if (i % 64 == 63)
			wire_pump(self->test.server);
	}
	wire_pump(self->test.server);
	EXPECT_EQ(65535, self->probe->maps);
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(65535, self->probe->unmaps);
}

/* Each descriptor ends a receive; the turn of a client that has sent many does not. */
TEST_F(files, in_flight)
{
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, 0, PAGE };
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 0, PAGE };
	uint16_t ids[32];
	unsigned int i;

	for (i = 0; i < 32; i += 2) {
		ids[i] = wire_put(self->wire, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &self->file, 1);
		ids[i + 1] = wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	}
	/* The first has nothing before it, which would say that there is more. */
	ASSERT_EQ(0, vfioext_user_dispatch(self->test.server));
	ASSERT_EQ(0, vfioext_user_dispatch(self->test.server));
	EXPECT_EQ(16, self->probe->maps);
	EXPECT_LE(15, self->probe->unmaps);
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		EXPECT_EQ(ids[i], self->wire->header.id);
		EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	}
}

static void set_huge_pages(unsigned int nr)
{
	FILE *file = fopen(HUGE_PAGES, "w");

	if (!file)
		return;
	fprintf(file, "%u\n", nr);
	fclose(file);
}

static unsigned int huge_pages(void)
{
	FILE *file = fopen(HUGE_PAGES, "r");
	unsigned int nr = 0;

	if (file && fscanf(file, "%u", &nr) != 1)
		nr = 0;
	if (file)
		fclose(file);
	return nr;
}

/* A guest maps parts of its pages, whatever their size is on the host. */
TEST_F(files, of_huge_pages)
{
	struct vfioext_user_sg sg = { PAGE, 4 };
	unsigned int before = huge_pages();
	char buffer[5] = "";
	struct stat status;
	uint8_t *at;
	int file;

	file = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	ASSERT_EQ(0, fstat(file, &status));
	ASSERT_EQ(0, ftruncate(file, status.st_blksize));
	/* The host's: nothing may end the test before it has its number again. */
	set_huge_pages(before + 1);
	at = mmap(NULL, (size_t)status.st_blksize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	set_huge_pages(before);
	if (at == MAP_FAILED) {
		close(file);
		SKIP(return, "no huge page can be had here");
	}
	memcpy(at + 3 * PAGE, "huge", 4);
	munmap(at, (size_t)status.st_blksize);
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, MAPPED, file, 3 * PAGE));
	EXPECT_EQ(0, vfioext_user_dma_read(self->test.device, &sg, 1, buffer, NULL, NULL));
	EXPECT_STREQ("huge", buffer);
	EXPECT_EQ(0, wire_unmap(self->wire, PAGE, PAGE));
	EXPECT_EQ(self->test.mappings, count_mappings());
	close(file);
}

TEST_HARNESS_MAIN
