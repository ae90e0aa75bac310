// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a client of vfio-user lets a device see: with a file and without one, in
 * use when it goes, taken away under us; and what goes by messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define RW (VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE)
#define MAPPED (RW | VFIO_USER_DMA_FLAG_MMAP)
#define FILE_IO (RW | VFIO_USER_DMA_FLAG_FILE_IO)
#define PAGE 4096ULL

#define TWIN "{\"capabilities\":{\"max_msg_fds\":16,\"twin_socket\":{\"supported\":true}}}"

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

TEST_F(dma, map_of_what_cannot_be_mapped)
{
	struct vfio_user_dma_map map = { sizeof(map), MAPPED, 0, 0, PAGE };
	int pipes[2], two[2] = { self->file, self->file };
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
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

TEST_F(dma, unmap)
{
	ASSERT_EQ(0, wire_map(self->wire, 4 * PAGE, 4 * PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, 8 * PAGE, 4 * PAGE, MAPPED, self->file, 0));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 4 * PAGE, 3 * PAGE));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 4 * PAGE, 8 * PAGE));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 5 * PAGE, 3 * PAGE));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 0, 4 * PAGE));
	EXPECT_EQ(0, self->probe->unmaps);
	EXPECT_EQ(0, wire_unmap(self->wire, 4 * PAGE, 4 * PAGE));
	EXPECT_EQ(1, self->probe->unmaps);
	EXPECT_EQ(4 * PAGE, self->probe->unmap.iova);
	EXPECT_NE(NULL, self->probe->unmap.vaddr);
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 4 * PAGE, 4 * PAGE));
	EXPECT_EQ(0, wire_map(self->wire, 4 * PAGE, 4 * PAGE, RW, -1, 0));
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(3, self->probe->unmaps);
	EXPECT_EQ(0, wire_unmap_all(self->wire));
	EXPECT_EQ(3, self->probe->unmaps);
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
	for (i = 0; i < 36; i++)
		EXPECT_EQ(-ENOENT, wire_unmap(self->wire, (uint64_t)i << 40, 1ULL << 40));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 0, 0));
	EXPECT_EQ(-ENOENT, wire_unmap(self->wire, 0, UINT64_MAX));
	EXPECT_EQ(logs, self->probe->logs);
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
	EXPECT_EQ(0, memcmp(buffer, "1234\0\0\0\0", 8));
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

/* A server's command that the client gets. */
static bool is_asked(struct wire *wire, unsigned int command, uint64_t address, uint64_t count)
{
	struct vfio_user_dma_access access;

	if (wire_get(wire) != 1 || wire->size < sizeof(access))
		return false;
	memcpy(&access, wire->body, sizeof(access));
	return wire->header.command == command && wire->header.flags == VFIO_USER_COMMAND &&
	       wire->size == sizeof(access) + (command == VFIO_USER_DMA_WRITE ? count : 0) &&
	       access.address == address && access.count == count;
}

/* Answer the last one of them. */
static void answer(struct wire *wire, uint64_t address, uint64_t count, const void *data,
		   size_t size)
{
	struct vfio_user_dma_access access = { address, count };
	uint16_t id = wire->id;
	uint8_t body[16 + 64];

	memcpy(body, &access, sizeof(access));
	if (size)
		memcpy(body + 16, data, size);
	wire->id = wire->header.id;
	wire_put(wire, wire->header.command, VFIO_USER_REPLY, body, 16 + size, NULL, 0);
	wire->id = id;
	if (wire->server)
		wire_pump(wire->server);
}

static void answer_error(struct wire *wire, uint32_t error)
{
	struct vfio_user_header header = {
		wire->header.id, wire->header.command, 16, VFIO_USER_REPLY | VFIO_USER_ERROR, error
	};

	wire_send(wire, &header, sizeof(header), NULL, 0);
	wire_pump(wire->server);
}

/* Memory without a file, of two maps. */
static void map_remote(struct wire *wire)
{
	if (wire_map(wire, 0, PAGE, RW, -1, 0) || wire_map(wire, PAGE, PAGE, RW, -1, 0))
		abort();
}

TEST_F(dma, messages)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	char buffer[9] = "";

	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	EXPECT_EQ(0, self->probe->dma_done);
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	EXPECT_STREQ("12345678", buffer);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, "abcdefgh",
						       probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x10, 8));
	EXPECT_EQ(0, memcmp(self->wire->body + 16, "abcdefgh", 8));
	answer(self->wire, 0x10, 8, NULL, 0);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

/* A short answer is followed by a question for the rest. */
TEST_F(dma, messages_answered_in_part)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	char buffer[9] = "";

	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	answer(self->wire, 0x10, 3, "123", 3);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x13, 5));
	answer(self->wire, 0x13, 5, "45678", 5);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_STREQ("12345678", buffer);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, buffer, probe_dma_done,
						       self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x10, 8));
	answer(self->wire, 0x10, 7, NULL, 0);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x17, 1));
	EXPECT_EQ('8', self->wire->body[16]);
	answer(self->wire, 0x17, 1, NULL, 0);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

/* The count of what was written has 4 bytes in one place of the specification. */
TEST_F(dma, messages_with_a_short_count)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	uint16_t id;

	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, "abcdefgh",
						       probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x10, 8));
	id = self->wire->id;
	self->wire->id = self->wire->header.id;
	wire_put(self->wire, VFIO_USER_DMA_WRITE, VFIO_USER_REPLY, self->wire->body, 12, NULL, 0);
	self->wire->id = id;
	wire_pump(self->test.server);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

TEST_F(dma, messages_with_errors)
{
	static const struct { uint32_t error; int seen; } errors[] = {
		{ ENODEV, -ENODEV }, { E2BIG, -E2BIG }, { 0, -EIO }, { 4096, -EIO },
		{ UINT32_MAX, -EIO },
	};
	struct vfioext_user_sg sg = { 0x10, 8 };
	char buffer[8];
	size_t i;

	map_remote(self->wire);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer,
							      probe_dma_done, self->probe));
		ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
		answer_error(self->wire, errors[i].error);
		EXPECT_EQ(i + 1, self->probe->dma_done);
		EXPECT_EQ(errors[i].seen, self->probe->dma_error);
	}
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* More than was asked for, nothing at all, fewer bytes than it says. */
TEST_F(dma, messages_with_wrong_counts)
{
	static const struct { uint64_t count; size_t size; } wrong[] = {
		{ 0, 0 }, { 0, 8 }, { 9, 9 }, { 8, 7 }, { UINT64_MAX, 8 }, { 1ULL << 32, 8 },
	};
	struct vfioext_user_sg sg = { 0x10, 8 };
	char *buffer = malloc(8);
	size_t i;

	map_remote(self->wire);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer,
							      probe_dma_done, self->probe));
		ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
		answer(self->wire, 0x10, wrong[i].count, "0123456789", wrong[i].size);
		EXPECT_EQ(i + 1, self->probe->dma_done);
		EXPECT_EQ(-EPROTO, self->probe->dma_error);
	}
	free(buffer);
}

/* Several pieces, those of files without a message. */
TEST_F(dma, messages_for_some_pieces)
{
	struct vfioext_user_sg list[] = { { 0x10, 4 }, { 2 * PAGE, 4 }, { 0, 0 }, { PAGE, 4 },
					  { 3 * PAGE, 4 } };
	char buffer[17] = "";

	map_remote(self->wire);
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, 3 * PAGE, PAGE, FILE_IO, self->file, 0));
	ASSERT_EQ(4, pwrite(self->file, "file", 4, 0));
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, list, 5, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 4));
	answer(self->wire, 0x10, 4, "1234", 4);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, PAGE, 4));
	answer(self->wire, PAGE, 4, "5678", 4);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	EXPECT_STREQ("1234file5678file", buffer);
	list[4].iova = 9 * PAGE;
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, list, 5, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 4));
	answer(self->wire, 0x10, 4, "1234", 4);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, PAGE, 4));
	answer(self->wire, PAGE, 4, "5678", 4);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(-ENOENT, self->probe->dma_error);
}

/* No more in one message than the client takes, or than is agreed on. */
TEST_F(dma, messages_as_large_as_agreed)
{
	struct vfioext_user_sg sg = { 0, 2500 };
	char buffer[2500];

	wire_close(self->wire);
	wire_pump(self->test.server);
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_data_xfer_size\":1024}}"));
	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, buffer, probe_dma_done,
						       self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0, 1024));
	answer(self->wire, 0, 1024, NULL, 0);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 1024, 1024));
	answer(self->wire, 1024, 1024, NULL, 0);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 2048, 452));
	answer(self->wire, 2048, 452, NULL, 0);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

TEST_F(dma, no_messages_to_who_takes_none)
{
	struct vfioext_user_sg sg = { 0, 8 };
	char buffer[8];

	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(-ENOENT, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						 self->probe));
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_data_xfer_size\":0}}"));
	map_remote(self->wire);
	EXPECT_EQ(-EREMOTE, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						  self->probe));
}

/* A hundred at once: some are on their way, the others wait; answers in any order. */
TEST_F(dma, many_messages)
{
	uint16_t ids[100];
	struct vfioext_user_sg sg = { 0, 4 };
	uint32_t buffers[100], i, nr = 0, next = 0;

	map_remote(self->wire);
	for (i = 0; i < 100; i++) {
		sg.iova = i * 4;
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, &buffers[i],
							      probe_dma_done, self->probe));
	}
	while (next < 100) {
		while (wire_get(self->wire) == 1)
			ids[nr++] = self->wire->header.id;
		ASSERT_LT(next, nr);
		/* The last that was asked for is answered first. */
		for (i = nr; i-- > next;) {
			self->wire->header.id = ids[i];
			answer(self->wire, i * 4, 4, &i, 4);
		}
		next = nr;
	}
	EXPECT_EQ(100, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	for (i = 0; i < 100; i++)
		EXPECT_EQ(i, buffers[i]);
}

static char dma_buffer[8];

static void read_memory(struct vfioext_user_device *device, struct probe *probe)
{
	struct vfioext_user_sg sg = { 0x10, 8 };

	if (vfioext_user_dma_read(device, &sg, 1, dma_buffer, probe_dma_done, probe) != -EINPROGRESS)
		abort();
}

/* A client that waits for its answer does nothing else: it comes before our question. */
TEST_F(dma, answer_first_message_after)
{
	map_remote(self->wire);
	self->probe->on_write = read_memory;
	EXPECT_EQ(0, wire_write(self->wire, PROBE_CALLED, 0, "1234", 4));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	/* Its next command comes in between. */
	EXPECT_EQ(0, self->probe->dma_done);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	self->wire->header.command = VFIO_USER_DMA_READ;
	self->wire->header.id = 0;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
}

/* Its ids and ours are nothing to each other. */
TEST_F(dma, same_ids_both_ways)
{
	struct vfioext_user_sg sg = { 0x10, 8 };

	map_remote(self->wire);
	self->wire->id = 0;
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	EXPECT_EQ(0, self->wire->header.id);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	self->wire->header.command = VFIO_USER_DMA_READ;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
}

TEST_F(dma, client_goes_with_messages_open)
{
	struct vfioext_user_sg sg = { 0, 8 };
	int i;

	map_remote(self->wire);
	for (i = 0; i < 20; i++)
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
							      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0, 8));
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(20, self->probe->dma_done);
	EXPECT_EQ(-ENOTCONN, self->probe->dma_error);
}

/* Memory in use for as long as a message is open, whose answer is behind the unmap. */
static struct vfioext_user_use held;

static void put_held(struct vfioext_user_device *device, int error, void *data)
{
	struct probe *probe = data;

	probe->dma_error = error;
	probe->dma_done++;
	vfioext_user_sgl_put(device, &held, 1);
}

TEST_F(dma, unmap_waits_for_a_message)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct iovec iov;

	map_remote(self->wire);
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 2 * PAGE, 8, VFIOEXT_USER_WRITE, &iov, &held, 1));
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, iov.iov_base, put_held,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	wire_pump(self->test.server);
	/* What another thread of the client asks must not be in the way, either. */
	wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REGION_READ, self->wire->header.command);
}

/* Transfers that are to be asked for do not wait for it, either. */
TEST_F(dma, message_while_unmap_waits)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct iovec iov;

	map_remote(self->wire);
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 2 * PAGE, 8, VFIOEXT_USER_WRITE, &iov, &held, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, iov.iov_base, put_held,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
}

static void open_twin(struct wire_test *test, struct wire *twin)
{
	wire_close(&test->wire);
	wire_pump(test->server);
	wire_test_attach(test, test->device, &test->wire);
	if (wire_negotiate(&test->wire, TWIN) || test->wire.nr_fds != 1 ||
	    !strstr((char *)test->wire.body + 4, "\"fd_index\":0"))
		abort();
	wire_open(twin, fcntl(test->wire.fds[0], F_DUPFD_CLOEXEC, 0), test->server);
	map_remote(&test->wire);
}

/* Our commands, and the answers to them, have a socket of their own. */
TEST_F(dma, twin)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct wire twin;

	open_twin(&self->test, &twin);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	EXPECT_EQ(0, wire_get(self->wire));
	ASSERT_TRUE(is_asked(&twin, VFIO_USER_DMA_READ, 0x10, 8));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	answer(&twin, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, memcmp(dma_buffer, "12345678", 8));
	/* Without it there is no client. */
	wire_close(&twin);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(2, self->probe->detached);
}

/* What is no answer has no place there, and an answer none at the first socket. */
TEST_F(dma, twin_misused)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct wire twin;

	open_twin(&self->test, &twin);
	EXPECT_EQ(-ENOTCONN, wire_read(&twin, PROBE_CALLED, 0, 4));
	EXPECT_EQ(-1, wire_get(self->wire));
	wire_close(&twin);
	open_twin(&self->test, &twin);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(&twin, VFIO_USER_DMA_READ, 0x10, 8));
	self->wire->header = twin.header;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(-ENOTCONN, self->probe->dma_error);
	wire_close(&twin);
}

TEST_F(dma, twin_goes_to_nobody_who_takes_none)
{
	wire_close(self->wire);
	wire_pump(self->test.server);
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_msg_fds\":0,"
				    "\"twin_socket\":{\"supported\":true}}}"));
	EXPECT_EQ(0, self->wire->nr_fds);
	EXPECT_EQ(NULL, strstr((char *)self->wire->body + 4, "twin"));
}

TEST_HARNESS_MAIN
