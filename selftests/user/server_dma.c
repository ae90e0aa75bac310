// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a client of vfio-user lets a device see: with a file and without one, in
 * use when it goes, taken away under us. What goes by messages is in server_messages.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

FIXTURE(dma) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
	int file;
};

FIXTURE_SETUP(dma)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
	self->file = make_file(16 * PAGE);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
}

FIXTURE_TEARDOWN(dma)
{
	close(self->file);
	EXPECT_TRUE(wire_test_end(&self->test));
}

TEST_F(dma, map)
{
	struct vfioext_user_memory *list;
	size_t nr;

	ASSERT_EQ(2, pwrite(self->file, "ab", 2, PAGE));
	EXPECT_EQ(0, wire_map(self->wire, 8 * PAGE, 2 * PAGE, MAPPED, self->file, PAGE));
	EXPECT_EQ(0, self->wire->size);
	EXPECT_EQ(1, self->probe->maps);
	EXPECT_EQ(8 * PAGE, self->probe->map.iova);
	EXPECT_EQ(2 * PAGE, self->probe->map.size);
	EXPECT_EQ(VFIOEXT_USER_READ | VFIOEXT_USER_WRITE, self->probe->map.flags);
	ASSERT_NE(NULL, self->probe->map.vaddr);
	EXPECT_EQ(0, memcmp(self->probe->map.vaddr, "ab", 2));
	/* As QEMU does it: no mode; and ROM, without a file. */
	EXPECT_EQ(0, wire_map(self->wire, 0, PAGE, RW, self->file, 0));
	EXPECT_NE(NULL, self->probe->map.vaddr);
	EXPECT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, VFIO_USER_DMA_FLAG_READ, -1, 0));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	EXPECT_EQ(VFIOEXT_USER_READ, self->probe->map.flags);
	EXPECT_EQ(0, wire_map(self->wire, 4 * PAGE, PAGE, FILE_IO, self->file, 0));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	ASSERT_EQ(0, vfioext_user_device_memory(self->device, &list, &nr));
	ASSERT_EQ(4, nr);
	EXPECT_EQ(0, list[0].iova);
	EXPECT_EQ(2 * PAGE, list[1].iova);
	EXPECT_EQ(4 * PAGE, list[2].iova);
	EXPECT_EQ(8 * PAGE, list[3].iova);
	free(list);
}

/* The last one, in the last page there is. */
TEST_F(dma, map_at_the_end)
{
	EXPECT_EQ(0, wire_map(self->wire, -PAGE, PAGE, RW, -1, 0));
	EXPECT_EQ(-EEXIST, wire_map(self->wire, -PAGE, PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_unmap(self->wire, -PAGE, PAGE));
}

TEST_F(dma, map_that_cannot_be)
{
	static const struct {
		uint64_t iova, size;
		uint32_t flags;
		bool file;
		uint64_t offset;
		int error;
	} wrong[] = {
		{ 0, 0, RW, false, 0, -EINVAL },
		{ 0, 1, RW, false, 0, -EINVAL },
		{ 1, PAGE, RW, false, 0, -EINVAL },
		{ PAGE / 2, PAGE, RW, true, 0, -EINVAL },
		{ 0, PAGE + 512, RW, true, 0, -EINVAL },
		{ -PAGE, 2 * PAGE, RW, false, 0, -EINVAL },
		{ PAGE, -PAGE + PAGE, RW, false, 0, -EINVAL },
		{ 2 * PAGE, -PAGE, RW, false, 0, -EINVAL },
		/* A mode, and no file. */
		{ 0, PAGE, MAPPED, false, 0, -EINVAL },
		{ 0, PAGE, FILE_IO, false, 0, -EINVAL },
		{ 0, PAGE, RW | 0x10, false, 0, -EINVAL },
		{ 0, PAGE, 0x80000000, true, 0, -EINVAL },
		/* Not all of it is in the file. */
		{ 0, 17 * PAGE, MAPPED, true, 0, -EINVAL },
		{ 0, PAGE, MAPPED, true, 16 * PAGE, -EINVAL },
		{ 0, PAGE, FILE_IO, true, 16 * PAGE, -EINVAL },
		{ 0, 2 * PAGE, MAPPED, true, 15 * PAGE, -EINVAL },
		{ 0, PAGE, MAPPED, true, -PAGE, -EINVAL },
		{ 0, PAGE, FILE_IO, true, INT64_MAX, -EINVAL },
		{ 0, 1ULL << 62, MAPPED, true, 0, -EINVAL },
		{ 0, PAGE, MAPPED, true, 1, -EINVAL },
	};
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		EXPECT_EQ(wrong[i].error, wire_map(self->wire, wrong[i].iova, wrong[i].size,
						   wrong[i].flags, wrong[i].file ? self->file : -1,
						   wrong[i].offset))
			TH_LOG("line %zu", i);
	EXPECT_EQ(0, self->probe->maps);
	EXPECT_EQ(0, wire_map(self->wire, 0, 16 * PAGE, MAPPED, self->file, 0));
}

/* One that says it is shorter than a map is refused, although all of it is there. */
TEST_F(dma, map_of_a_short_size)
{
	struct vfio_user_dma_map map = { 0, RW, 0, 0, PAGE };
	struct vfioext_user_memory *list;
	size_t nr;

	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DMA_MAP, &map, sizeof(map)));
	map.argsz = sizeof(map) - 1;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DMA_MAP, &map, sizeof(map)));
	EXPECT_EQ(-EINVAL, wire_call_fds(self->wire, VFIO_USER_DMA_MAP, &map, sizeof(map),
					 &self->file, 1));
	EXPECT_EQ(0, self->probe->maps);
	ASSERT_EQ(0, vfioext_user_device_memory(self->device, &list, &nr));
	EXPECT_EQ(0, nr);
	free(list);
	map.argsz = sizeof(map);
	EXPECT_EQ(0, wire_call(self->wire, VFIO_USER_DMA_MAP, &map, sizeof(map)));
}

TEST_F(dma, map_of_what_cannot_be_mapped)
{
	struct vfio_user_dma_map map = { sizeof(map), MAPPED, 0, 0, PAGE };
	int pipes[2], two[2] = { self->file, self->file };
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
	wire_test_limit(&self->test, &(struct vfioext_user_limits){ .any_file = true });
	EXPECT_EQ(-ENODEV, wire_map(self->wire, 0, PAGE, VFIO_USER_DMA_FLAG_READ, pipes[0], 0));
	EXPECT_EQ(-EACCES, wire_map(self->wire, 0, PAGE, MAPPED, read_only, 0));
	EXPECT_EQ(0, wire_map(self->wire, 0, PAGE, VFIO_USER_DMA_FLAG_READ, read_only, 0));
	EXPECT_EQ(-EINVAL, wire_call_fds(self->wire, VFIO_USER_DMA_MAP, &map, sizeof(map), two, 2));
	close(pipes[0]);
	close(pipes[1]);
	close(read_only);
}

TEST_F(dma, overlap)
{
	uint64_t at;

	ASSERT_EQ(0, wire_map(self->wire, 4 * PAGE, 4 * PAGE, RW, -1, 0));
	ASSERT_EQ(0, wire_map(self->wire, 12 * PAGE, 4 * PAGE, RW, -1, 0));
	for (at = 1; at < 16; at++)
		EXPECT_EQ(at == 8 ? 0 : -EEXIST, wire_map(self->wire, at * PAGE, 4 * PAGE, RW, -1, 0));
	EXPECT_EQ(-EEXIST, wire_map(self->wire, 0, 64 * PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_map(self->wire, 0, 4 * PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_map(self->wire, 16 * PAGE, PAGE, RW, -1, 0));
	EXPECT_EQ(5, self->probe->maps);
}

/* All that is wholly in a range, and nothing if there is something that is not. */
TEST_F(dma, unmap)
{
	ASSERT_EQ(0, wire_map(self->wire, 4 * PAGE, 4 * PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, 8 * PAGE, 4 * PAGE, MAPPED, self->file, 0));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, 4 * PAGE, 3 * PAGE));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, 4 * PAGE, 5 * PAGE));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, 5 * PAGE, 3 * PAGE));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, 5 * PAGE, PAGE));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, 5 * PAGE, 16 * PAGE));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 0, 4 * PAGE));
	EXPECT_EQ(0, self->probe->unmaps);
	EXPECT_EQ(0, wire_unmap(self->wire, 4 * PAGE, 4 * PAGE));
	EXPECT_EQ(1, self->probe->unmaps);
	EXPECT_EQ(4 * PAGE, self->probe->unmap.iova);
	EXPECT_NE(NULL, self->probe->unmap.vaddr);
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 4 * PAGE, 4 * PAGE));
	EXPECT_EQ(0, wire_map(self->wire, 4 * PAGE, 4 * PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_unmap(self->wire, 0, 1ULL << 32));
	EXPECT_EQ(3, self->probe->unmaps);
	EXPECT_EQ(0, wire_map(self->wire, 4 * PAGE, 4 * PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_map(self->wire, 8 * PAGE, 4 * PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_unmap(self->wire, 8 * PAGE, 16 * PAGE));
	EXPECT_EQ(4, self->probe->unmaps);
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(5, self->probe->unmaps);
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(5, self->probe->unmaps);
	EXPECT_EQ(self->test.mappings, count_mappings());
}

TEST_F(dma, unmap_that_cannot_be)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), VFIO_USER_UNMAP_FLAG_ALL, PAGE, PAGE };
	unsigned int logs = self->probe->logs;
	int i;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, RW, -1, 0));
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)));
	unmap.flags = VFIO_USER_UNMAP_FLAG_DIRTY;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)));
	unmap.flags = 4;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)));
	unmap.flags = 0;
	unmap.argsz = 23;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)));
	EXPECT_EQ(0, self->probe->unmaps);
	/* Ranges nobody mapped, by the dozen, as behind a guest's IOMMU: nothing to tell of. */
	for (i = 1; i < 36; i++)
		EXPECT_EQ(-ENOENT, wire_unmap(self->wire, (uint64_t)i << 40, 1ULL << 40));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, 0, 0));
	EXPECT_EQ(-EINVAL, wire_unmap(self->wire, PAGE, UINT64_MAX));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, PAGE, UINT64_MAX - PAGE));
	EXPECT_EQ(logs, self->probe->logs);
}

/* As QEMU does at its start, which waits for no answer: ROM has no file, and RAM has one. */
TEST_F(dma, maps_before_any_answer)
{
	struct vfio_user_dma_map map = { sizeof(map), 0, 0, 0, PAGE };
	struct vfioext_user_memory *list;
	size_t nr, i;

	ASSERT_EQ(8, pwrite(self->file, "ram of 1", 8, PAGE));
	ASSERT_EQ(8, pwrite(self->file, "ram of 3", 8, 3 * PAGE));
	for (i = 0; i < 4; i++) {
		map.flags = i % 2 ? RW : VFIO_USER_DMA_FLAG_READ;
		map.address = i * PAGE;
		map.offset = i * PAGE;
		wire_put(self->wire, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &self->file, i % 2);
	}
	EXPECT_EQ(0, self->probe->maps);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	}
	ASSERT_EQ(0, vfioext_user_device_memory(self->device, &list, &nr));
	ASSERT_EQ(4, nr);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(i % 2, !!list[i].vaddr)
			TH_LOG("map %zu", i);
	EXPECT_STREQ("ram of 1", list[1].vaddr);
	EXPECT_STREQ("ram of 3", list[3].vaddr);
	free(list);
}

static int get(struct vfioext_user_device *device, uint64_t iova, uint64_t size, uint32_t flags,
	       struct iovec *iov, struct vfioext_user_use *uses, size_t nr)
{
	struct vfioext_user_sg sg = { iova, size };

	return vfioext_user_sgl_get(device, &sg, 1, flags, iov, uses, nr);
}

TEST_F(dma, sgl)
{
	struct vfioext_user_sg list[] = { { PAGE - 8, 16 }, { 2 * PAGE, 4 }, { 0, 0 } };
	struct vfioext_user_use uses[4];
	struct iovec iov[4];

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, MAPPED, self->file, 4 * PAGE));
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, VFIO_USER_DMA_FLAG_READ, self->file, 0));
	ASSERT_EQ(3, vfioext_user_sgl_get(self->device, list, 3, VFIOEXT_USER_READ, iov, uses, 4));
	EXPECT_EQ(8, iov[0].iov_len);
	EXPECT_EQ(8, iov[1].iov_len);
	EXPECT_EQ(4, iov[2].iov_len);
	memcpy(iov[1].iov_base, "there", 5);
	ASSERT_EQ(5, pread(self->file, iov[0].iov_base, 5, 4 * PAGE));
	EXPECT_EQ(0, memcmp(iov[0].iov_base, "there", 5));
	vfioext_user_sgl_put(self->device, uses, 3);
	EXPECT_EQ(-EINVAL, vfioext_user_sgl_get(self->device, list, 3, 0x4, iov, uses, 4));
	EXPECT_EQ(-ENOSPC, vfioext_user_sgl_get(self->device, list, 3, 0, iov, uses, 2));
	EXPECT_EQ(-ENOSPC, vfioext_user_sgl_get(self->device, list, 1, 0, iov, uses, 1));
	EXPECT_EQ(-EACCES, vfioext_user_sgl_get(self->device, list, 3, VFIOEXT_USER_WRITE, iov,
						uses, 4));
	EXPECT_EQ(-ENOENT, get(self->device, 3 * PAGE - 1, 2, 0, iov, uses, 4));
	EXPECT_EQ(-ENOENT, get(self->device, UINT64_MAX, 2, 0, iov, uses, 4));
	EXPECT_EQ(-ENOENT, get(self->device, 0, UINT64_MAX, 0, iov, uses, 4));
	/* What failed has left nothing in use. */
	EXPECT_EQ(0, wire_unmap_all(self->wire));
}

TEST_F(dma, sgl_of_what_is_not_here)
{
	struct vfioext_user_use uses[2];
	struct iovec iov[2];

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, RW, -1, 0));
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, FILE_IO, self->file, 0));
	EXPECT_EQ(-EREMOTE, get(self->device, PAGE + 8, 8, 0, iov, uses, 2));
	EXPECT_EQ(-EREMOTE, get(self->device, 2 * PAGE + 8, 8, 0, iov, uses, 2));
	EXPECT_EQ(-EREMOTE, get(self->device, PAGE - 8, 16, 0, iov, uses, 2));
	EXPECT_EQ(0, wire_unmap_all(self->wire));
}

TEST_F(dma, read_and_write)
{
	struct vfioext_user_sg list[] = { { PAGE - 2, 4 }, { 2 * PAGE + 1, 3 } };
	char buffer[8] = "";

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, MAPPED, self->file, 4 * PAGE));
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, FILE_IO, self->file, 8 * PAGE));
	EXPECT_EQ(0, vfioext_user_dma_write(self->device, list, 2, "abcdefg", NULL, NULL));
	EXPECT_EQ(3, pread(self->file, buffer, 3, 8 * PAGE + 1));
	EXPECT_STREQ("efg", buffer);
	EXPECT_EQ(2, pread(self->file, buffer, 2, 4 * PAGE));
	EXPECT_STREQ("cdg", buffer);
	EXPECT_EQ(0, vfioext_user_dma_read(self->device, list, 2, buffer, NULL, NULL));
	EXPECT_EQ(0, memcmp(buffer, "abcdefg", 7));
	list[1].iova = 3 * PAGE;
	EXPECT_EQ(-ENOENT, vfioext_user_dma_read(self->device, list, 2, buffer, NULL, NULL));
	ASSERT_EQ(0, wire_map(self->wire, 3 * PAGE, PAGE, VFIO_USER_DMA_FLAG_READ, self->file, 0));
	EXPECT_EQ(-EACCES, vfioext_user_dma_write(self->device, list, 2, "abcdefg", NULL, NULL));
	ASSERT_EQ(0, wire_map(self->wire, 4 * PAGE, PAGE, RW, -1, 0));
	list[1].iova = 4 * PAGE;
	EXPECT_EQ(-EREMOTE, vfioext_user_dma_read(self->device, list, 2, buffer, NULL, NULL));
}

/* The client is answered when nobody uses it any longer, and what it asks next as well. */
TEST_F(dma, unmap_in_use)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 0, PAGE };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct vfioext_user_use uses[2];
	struct iovec iov[2];

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 0, 8, VFIOEXT_USER_WRITE, iov, uses, 2));
	ASSERT_EQ(1, get(self->device, 8, 8, VFIOEXT_USER_WRITE, iov + 1, uses + 1, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	EXPECT_EQ(1, self->probe->unmaps);
	EXPECT_EQ(-ENOENT, get(self->device, 0, 8, 0, iov, uses, 1));
	memcpy(iov[0].iov_base, "late", 4);
	vfioext_user_sgl_put(self->device, uses, 1);
	EXPECT_EQ(0, wire_get(self->wire));
	vfioext_user_sgl_put(self->device, uses + 1, 1);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	EXPECT_EQ(0, memcmp(self->wire->body, &unmap, sizeof(unmap)));
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REGION_READ, self->wire->header.command);
	EXPECT_EQ(self->test.mappings, count_mappings());
}

struct later {
	struct vfioext_user_device *device;
	struct vfioext_user_use use;
};

static void *put_later(void *data)
{
	struct later *later = data;

	usleep(50000);
	vfioext_user_sgl_put(later->device, &later->use, 1);
	return NULL;
}

TEST_F(dma, unmap_in_use_of_another_thread)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), VFIO_USER_UNMAP_FLAG_ALL, 0, 0 };
	struct later later = { .device = self->device };
	pthread_t thread;
	struct iovec iov;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 0, 8, VFIOEXT_USER_WRITE, &iov, &later.use, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	ASSERT_EQ(0, pthread_create(&thread, NULL, put_later, &later));
	while (!wire_get(self->wire))
		ASSERT_EQ(0, vfioext_user_wait(self->test.server, 1000));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	pthread_join(thread, NULL);
}

/*
 * More files than are kept for messages that wait: the rest waits in the socket, and each
 * still goes with its own.
 */
TEST_F(dma, maps_behind_an_unmap_in_use)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 0, PAGE };
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, 0, PAGE };
	struct vfioext_user_sg sg = { .size = 1 };
	struct vfioext_user_use use;
	struct iovec iov;
	uint8_t i, byte;
	int file;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 0, 8, 0, &iov, &use, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	for (i = 1; i <= 40; i++) {
		file = make_file(PAGE);
		ASSERT_EQ(1, pwrite(file, &i, 1, 0));
		map.address = i * PAGE;
		wire_put(self->wire, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &file, 1);
		close(file);
		wire_pump(self->test.server);
	}
	EXPECT_EQ(0, wire_get(self->wire));
	EXPECT_EQ(1, self->probe->maps);
	vfioext_user_sgl_put(self->device, &use, 1);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	for (i = 1; i <= 40; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		ASSERT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
		sg.iova = i * PAGE;
		EXPECT_EQ(0, vfioext_user_dma_read(self->device, &sg, 1, &byte, NULL, NULL));
		EXPECT_EQ(i, byte);
	}
}

TEST_F(dma, unmap_in_use_without_reply)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 0, PAGE };
	struct vfioext_user_use use;
	struct iovec iov;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 0, 8, 0, &iov, &use, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, VFIO_USER_NO_REPLY, &unmap, sizeof(unmap), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	vfioext_user_sgl_put(self->device, &use, 1);
	EXPECT_EQ(0, wire_get(self->wire));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* A device may be told to let its client go while that is waiting. */
TEST_F(dma, detach_while_in_use)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 0, PAGE };
	struct vfioext_user_use use;
	struct iovec iov;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 0, 8, 0, &iov, &use, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	vfioext_user_device_detach(self->device);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_FALSE(vfioext_user_device_has_client(self->device));
	vfioext_user_sgl_put(self->device, &use, 1);
}

/* Memory in use when its client goes is there until it is put; the next one waits for none. */
TEST_F(dma, client_goes_while_in_use)
{
	struct vfioext_user_use use;
	struct iovec iov;

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 0, 8, VFIOEXT_USER_WRITE, &iov, &use, 1));
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(1, self->probe->unmaps);
	memset(iov.iov_base, 1, iov.iov_len);
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	EXPECT_EQ(0, wire_unmap(self->wire, 0, PAGE));
	vfioext_user_sgl_put(self->device, &use, 1);
	EXPECT_EQ(self->test.mappings, count_mappings());
}

TEST_F(dma, file_gets_shorter)
{
	struct vfioext_user_sg sg = { PAGE - 4, 8 };
	struct vfioext_user_use use;
	char buffer[8] = "1234567";
	struct iovec iov;

	ASSERT_EQ(0, wire_map(self->wire, 0, 2 * PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, FILE_IO, self->file, 2 * PAGE));
	ASSERT_EQ(1, get(self->device, PAGE, 8, VFIOEXT_USER_WRITE, &iov, &use, 1));
	ASSERT_EQ(0, vfioext_user_dma_write(self->device, &sg, 1, buffer, NULL, NULL));
	ASSERT_EQ(0, ftruncate(self->file, PAGE));
	EXPECT_EQ(-EFAULT, vfioext_user_dma_read(self->device, &sg, 1, buffer, NULL, NULL));
	EXPECT_EQ(0, memcmp(buffer, "1234", 4));
	EXPECT_EQ(-EFAULT, vfioext_user_dma_write(self->device, &sg, 1, buffer, NULL, NULL));
	memset(iov.iov_base, 1, iov.iov_len);
	vfioext_user_sgl_put(self->device, &use, 1);
	sg.iova = 2 * PAGE;
	EXPECT_EQ(-EFAULT, vfioext_user_dma_read(self->device, &sg, 1, buffer, NULL, NULL));
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* Another's SIGBUS is not ours. */
TEST_SIGNAL(a_bus_error_of_somebody_else, SIGBUS)
{
	struct wire_test test;
	char *at;
	int file;

	/* Without the sanitizer's handler. */
	signal(SIGBUS, SIG_DFL);
	wire_test_begin(&test, &probe_ops);
	file = make_file(PAGE);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, at);
	ASSERT_EQ(0, ftruncate(file, 0));
	*(volatile char *)at = 1;
}

TEST_F_TIMEOUT(dma, as_many_as_were_agreed_on, 120)
{
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, 0, PAGE };
	unsigned int i;

	for (i = 0; i < 65535; i++) {
		map.address = i * 2 * PAGE;
		wire_put(self->wire, VFIO_USER_DMA_MAP, VFIO_USER_NO_REPLY, &map, sizeof(map),
			 NULL, 0);
	}
	wire_pump(self->test.server);
	EXPECT_EQ(65535, self->probe->maps);
	EXPECT_EQ(-ENOSPC, wire_map(self->wire, 65535 * 2 * PAGE, PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_unmap(self->wire, 1000 * 2 * PAGE, PAGE));
	EXPECT_EQ(0, wire_map(self->wire, 1000 * 2 * PAGE, PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(65536, self->probe->unmaps);
}

/* A region's file comes back: what is in a BAR is memory of other devices, too. */
TEST_F(dma, own_region)
{
	struct vfio_region_info info = { .argsz = 32, .index = PROBE_MAPPED };
	struct vfioext_user_sg sg = { 64 * PAGE, 4 };
	char buffer[5] = "";
	int file;

	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)));
	ASSERT_EQ(1, self->wire->nr_fds);
	ASSERT_EQ(4, pwrite(self->probe->file, "peer", 4, PAGE));
	file = fcntl(self->wire->fds[0], F_DUPFD_CLOEXEC, 0);
	ASSERT_EQ(0, wire_map(self->wire, 64 * PAGE, 2 * PAGE, RW, file, PAGE));
	close(file);
	EXPECT_EQ(0, vfioext_user_dma_read(self->device, &sg, 1, buffer, NULL, NULL));
	EXPECT_STREQ("peer", buffer);
}

TEST_HARNESS_MAIN
