// SPDX-License-Identifier: GPL-2.0-only
/*
 * Containers, memory for DMA, and what is left of them when a device is closed, moved, or
 * taken away. The kernel is in lib/kernel.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../lib/kernel.h"

#define PAGE 4096

FIXTURE(lifetimes) {
	char sysfs[64];
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_open how;
	unsigned int files;
	uint64_t iova;
	void *memory;
};

FIXTURE_VARIANT(lifetimes) {
	enum vfioext_backend backend;
};

FIXTURE_VARIANT_ADD(lifetimes, container) { .backend = VFIOEXT_BACKEND_CONTAINER };
FIXTURE_VARIANT_ADD(lifetimes, iommufd) { .backend = VFIOEXT_BACKEND_IOMMUFD };

FIXTURE_SETUP(lifetimes)
{
	strcpy(self->sysfs, "/tmp/vfioext.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->sysfs));
	kernel_make_sysfs(self->sysfs);
	self->files = open_files();
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->sysfs));
	self->how.backend = variant->backend;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, DEVICE, &self->how, &self->device));
	ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->device), PAGE, 0,
				       &self->memory, &self->iova));
}

/* Nothing is left: neither a file nor a mapping. */
FIXTURE_TEARDOWN(lifetimes)
{
	char command[128];

	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	EXPECT_EQ(self->files, open_files());
	EXPECT_EQ(0, kernel_mapped());
	snprintf(command, sizeof(command), "rm -rf %s", self->sysfs);
	EXPECT_EQ(0, system(command));
}

static bool is_memory(void *at)
{
	return !msync(at, PAGE, MS_ASYNC);
}

/* The address of what was allocated is known for it while it is mapped. */
static bool is_mapped(const struct vfioext_container *container, void *memory, uint64_t iova)
{
	uint64_t found_iova;
	void *found;

	return !vfioext_dma_iova(container, memory, &found_iova) && found_iova == iova &&
	       !vfioext_dma_vaddr(container, iova, &found) && found == memory;
}

/* What is so for a container without devices, whatever became of them. */
#define expect_emptied(container, memory, iova) \
do { \
	struct vfioext_dma_limits _limits; \
	uint64_t _iova, _bitmap; \
	void *_memory; \
\
	EXPECT_FALSE(is_mapped(container, memory, iova)); \
	EXPECT_EQ(-ENODEV, vfioext_dma_map(container, memory, PAGE, 0, &_iova)); \
	EXPECT_EQ(-ENODEV, vfioext_dma_alloc(container, PAGE, 0, &_memory, &_iova)); \
	EXPECT_EQ(-ENOENT, vfioext_dma_unmap(container, iova, PAGE)); \
	EXPECT_EQ(0, vfioext_dma_unmap_all(container)); \
	EXPECT_EQ(-ENODEV, vfioext_dma_get_limits(container, &_limits)); \
	EXPECT_EQ(-ENODEV, vfioext_dma_get_ranges(container, NULL, 0)); \
	EXPECT_EQ(-ENODEV, vfioext_dma_track(container, true)); \
	EXPECT_EQ(-ENODEV, vfioext_dma_dirty(container, iova, PAGE, &_bitmap)); \
} while (0)

/* An address space of iommufd is as good as before. */
#define expect_without_device(container, memory, iova) \
do { \
	if (variant->backend == VFIOEXT_BACKEND_CONTAINER) \
		expect_emptied(container, memory, iova); \
	else \
		EXPECT_TRUE(is_mapped(container, memory, iova)); \
	EXPECT_TRUE(is_memory(memory)); \
	EXPECT_EQ(0, vfioext_dma_free(container, memory, PAGE)); \
	EXPECT_FALSE(is_memory(memory)); \
	EXPECT_EQ(-ENOENT, vfioext_dma_free(container, memory, PAGE)); \
	EXPECT_EQ(0, kernel_mapped()); \
} while (0)

TEST_F(lifetimes, own_container_of_a_lost_device)
{
	struct vfioext_container *container = vfioext_device_container(self->device);

	vfioext_device_let_go(self->device);
	vfioext_device_let_go(self->device);
	EXPECT_TRUE(vfioext_device_lost(self->device));
	EXPECT_EQ(container, vfioext_device_container(self->device));
	EXPECT_EQ(variant->backend, vfioext_container_backend(container));
	EXPECT_LE(0, vfioext_container_fd(container));
	EXPECT_EQ(-ENODEV, vfioext_device_move(self->device, container));
	EXPECT_EQ(-EBUSY, vfioext_container_free(container));
	expect_without_device(container, self->memory, self->iova);
}

TEST_F(lifetimes, given_container_of_a_lost_device)
{
	struct vfioext_container *container;

	vfioext_device_close(self->device);
	ASSERT_EQ(0, vfioext_container_new(self->ctx, variant->backend, &container));
	self->how.container = container;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, DEVICE, &self->how, &self->device));
	munmap(self->memory, PAGE);
	ASSERT_EQ(0, vfioext_dma_alloc(container, PAGE, 0, &self->memory, &self->iova));
	vfioext_device_let_go(self->device);
	EXPECT_EQ(container, vfioext_device_container(self->device));
	expect_without_device(container, self->memory, self->iova);
	/* Until the device is closed it may ask for its container. */
	EXPECT_EQ(-EBUSY, vfioext_container_free(container));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_container_free(container));
}

TEST_F(lifetimes, given_container_of_a_closed_device)
{
	struct vfioext_container *container;

	munmap(self->memory, PAGE);
	vfioext_device_close(self->device);
	ASSERT_EQ(0, vfioext_container_new(self->ctx, variant->backend, &container));
	expect_emptied(container, self->memory, self->iova);
	self->how.container = container;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, DEVICE, &self->how, &self->device));
	ASSERT_EQ(0, vfioext_dma_alloc(container, PAGE, 0, &self->memory, &self->iova));
	vfioext_device_close(self->device);
	self->device = NULL;
	expect_without_device(container, self->memory, self->iova);
	EXPECT_EQ(0, vfioext_container_free(container));
}

/* Also what the next device could see, had it been mapped again. */
TEST_F(lifetimes, memory_outlives_devices)
{
	struct vfioext_container *container;

	munmap(self->memory, PAGE);
	vfioext_device_close(self->device);
	ASSERT_EQ(0, vfioext_container_new(self->ctx, variant->backend, &container));
	self->how.container = container;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, DEVICE, &self->how, &self->device));
	ASSERT_EQ(0, vfioext_dma_alloc(container, PAGE, 0, &self->memory, &self->iova));
	vfioext_device_close(self->device);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, DEVICE, &self->how, &self->device));
	EXPECT_EQ(0, vfioext_dma_map(container, self->memory, PAGE, VFIOEXT_DMA_FIXED, &self->iova));
	EXPECT_EQ(1, kernel_mapped());
	EXPECT_EQ(0, vfioext_dma_free(container, self->memory, PAGE));
	EXPECT_EQ(0, kernel_mapped());
	EXPECT_FALSE(is_memory(self->memory));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_container_free(container));
}

TEST_F(lifetimes, moved_away_and_back)
{
	struct vfioext_container *own = vfioext_device_container(self->device), *other;

	ASSERT_EQ(0, vfioext_container_new(self->ctx, variant->backend, &other));
	ASSERT_EQ(0, vfioext_device_move(self->device, other));
	EXPECT_EQ(other, vfioext_device_container(self->device));
	EXPECT_EQ(-EBUSY, vfioext_container_free(other));
	expect_without_device(own, self->memory, self->iova);
	ASSERT_EQ(0, vfioext_dma_alloc(other, PAGE, 0, &self->memory, &self->iova));
	ASSERT_EQ(0, vfioext_device_move(self->device, own));
	EXPECT_EQ(own, vfioext_device_container(self->device));
	expect_without_device(other, self->memory, self->iova);
	EXPECT_EQ(0, vfioext_container_free(other));
	EXPECT_EQ(0, vfioext_dma_alloc(own, PAGE, 0, &self->memory, &self->iova));
	EXPECT_EQ(0, vfioext_dma_free(own, self->memory, PAGE));
}

/* One that was made for a device, and has another in it when that is closed. */
TEST_F(lifetimes, own_container_of_several)
{
	struct vfioext_container *container = vfioext_device_container(self->device);
	struct vfioext_device *other;

	self->how.container = container;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, LONER, &self->how, &other));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(container, vfioext_device_container(other));
	EXPECT_TRUE(is_mapped(container, self->memory, self->iova));
	EXPECT_EQ(-EBUSY, vfioext_container_free(container));
	EXPECT_EQ(0, vfioext_dma_free(container, self->memory, PAGE));
	vfioext_device_let_go(other);
	EXPECT_EQ(container, vfioext_device_container(other));
	vfioext_device_close(other);
}

TEST_F(lifetimes, ranges_are_the_callers)
{
	struct vfioext_container *container = vfioext_device_container(self->device);
	struct vfioext_iova_range first[3], again[3];
	struct vfioext_dma_limits limits;
	int nr;

	memset(first, 0, sizeof(first));
	nr = vfioext_dma_get_ranges(container, first, 3);
	EXPECT_EQ(variant->backend == VFIOEXT_BACKEND_CONTAINER ? 2 : 1, nr);
	memcpy(again, first, sizeof(first));
	EXPECT_EQ(0, vfioext_dma_get_limits(container, &limits));
	EXPECT_EQ(1, limits.mapped);
	EXPECT_EQ(nr, vfioext_dma_get_ranges(container, NULL, 0));
	EXPECT_EQ(nr, vfioext_dma_get_ranges(container, first, 1));
	EXPECT_EQ(0, memcmp(first, again, sizeof(first)));
	EXPECT_EQ((1ULL << 39) - 1, first[nr - 1].last);
}

TEST_F(lifetimes, freed_wherever_it_is_mapped)
{
	struct vfioext_container *container = vfioext_device_container(self->device);
	uint64_t whole, piece, again;
	void *memory;

	/* Twice, and in pieces; and what is no page of it. */
	ASSERT_EQ(0, vfioext_dma_alloc(container, 4 * PAGE - 1, 0, &memory, &whole));
	ASSERT_EQ(0, vfioext_dma_map(container, memory, 4 * PAGE, 0, &again));
	ASSERT_EQ(0, vfioext_dma_map(container, memory + 2 * PAGE, PAGE, 0, &piece));
	EXPECT_EQ(4, kernel_mapped());
	EXPECT_EQ(-ENOENT, vfioext_dma_free(container, memory + PAGE, PAGE));
	EXPECT_EQ(-ENOENT, vfioext_dma_free(container, &whole, PAGE));
	EXPECT_EQ(-EINVAL, vfioext_dma_free(container, memory, 2 * PAGE));
	EXPECT_EQ(-EINVAL, vfioext_dma_free(container, memory, 0));
	EXPECT_EQ(4, kernel_mapped());
	EXPECT_EQ(0, vfioext_dma_free(container, memory, 4 * PAGE - 1));
	EXPECT_EQ(1, kernel_mapped());
	EXPECT_FALSE(is_memory(memory));
	/* Only in pieces, of which one is missing. */
	ASSERT_EQ(0, vfioext_dma_alloc(container, 4 * PAGE, 0, &memory, &whole));
	ASSERT_EQ(0, vfioext_dma_unmap(container, whole, 4 * PAGE));
	ASSERT_EQ(0, vfioext_dma_map(container, memory + PAGE, PAGE, 0, &piece));
	ASSERT_EQ(0, vfioext_dma_map(container, memory + 3 * PAGE, PAGE, 0, &piece));
	EXPECT_EQ(0, vfioext_dma_free(container, memory, 4 * PAGE));
	EXPECT_EQ(1, kernel_mapped());
	EXPECT_EQ(0, vfioext_dma_free(container, self->memory, PAGE));
}

/* Memory that is mapped together with what is the caller's. */
TEST_F(lifetimes, not_freed_as_a_part)
{
	struct vfioext_container *container = vfioext_device_container(self->device);
	uint8_t *around;
	uint64_t iova;

	ASSERT_EQ(0, vfioext_dma_unmap_all(container));
	around = mmap((uint8_t *)self->memory - PAGE, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (around == MAP_FAILED)
		SKIP(return, "something else is there");
	ASSERT_EQ(0, vfioext_dma_map(container, around, 2 * PAGE, 0, &iova));
	EXPECT_EQ(-EINVAL, vfioext_dma_free(container, self->memory, PAGE));
	EXPECT_TRUE(is_memory(self->memory));
	EXPECT_EQ(0, vfioext_dma_unmap(container, iova, 2 * PAGE));
	EXPECT_EQ(0, vfioext_dma_free(container, self->memory, PAGE));
	munmap(around, PAGE);
}

/* A copy would be of no use: the child has none. */
TEST_F(lifetimes, memory_is_not_the_childs)
{
	struct vfioext_container *container = vfioext_device_container(self->device);
	int status;
	pid_t pid;

	memset(self->memory, 1, PAGE);
	pid = fork();
	if (!pid)
		_exit(is_memory(self->memory));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(is_memory(self->memory));
	EXPECT_EQ(0, vfioext_dma_free(container, self->memory, PAGE));
}

/*
 * Whoever is about to use the device's descriptor finds that nothing is there, and no other
 * file, be it that the process has no descriptor left, and no /dev.
 */
TEST_F(lifetimes, descriptor_of_a_lost_device)
{
	int fd = vfioext_device_fd(self->device), next = dup(fd);
	struct rlimit limit, none;
	struct stat before, after;
	uint64_t value;

	ASSERT_EQ(0, fstat(fd, &before));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	/* That is the first that is free. */
	close(next);
	none = (struct rlimit){ (rlim_t)next, limit.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	ASSERT_GT(0, dup(fd));
	vfioext_device_let_go(self->device);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(fd, vfioext_device_fd(self->device));
	ASSERT_EQ(0, fstat(fd, &after));
	EXPECT_NE(before.st_ino, after.st_ino);
	EXPECT_GT(0, pread(fd, &value, sizeof(value), 0));
	EXPECT_GT(0, pwrite(fd, &value, sizeof(value), 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(0, vfioext_dma_free(vfioext_device_container(self->device), self->memory, PAGE));
}

static struct vfioext_bus *bus;
static unsigned int removed;

static int probe(const struct vfioext_driver *driver, struct vfioext_device *device)
{
	(void)driver;
	return vfioext_device_lost(device);
}

/* Whoever goes takes all others along. */
static void remove_all(const struct vfioext_driver *driver, struct vfioext_device *device)
{
	static const char *const names[] = { DEVICE, NEIGHBOUR, LONER };
	unsigned int i;

	(void)driver;
	removed++;
	for (i = 0; i < 3; i++)
		if (strcmp(names[i], vfioext_device_info(device)->name))
			vfioext_bus_unplug(bus, names[i]);
}

TEST_F(lifetimes, driver_unplugs_others)
{
	static const struct vfioext_device_id any = {
		.vendor = VFIOEXT_ANY_ID, .device = VFIOEXT_ANY_ID,
		.subsystem_vendor = VFIOEXT_ANY_ID, .subsystem_device = VFIOEXT_ANY_ID,
	};
	const struct vfioext_driver driver = {
		.name = "all", .ids = &any, .nr_ids = 1, .probe = probe, .remove = remove_all,
	};
	char path[128];

	EXPECT_EQ(0, vfioext_dma_free(vfioext_device_container(self->device), self->memory, PAGE));
	vfioext_device_close(self->device);
	self->device = NULL;
	removed = 0;
	ASSERT_EQ(0, vfioext_bus_new(self->ctx, &self->how, &bus));
	ASSERT_EQ(0, vfioext_bus_register(bus, &driver));
	EXPECT_EQ(3, vfioext_bus_scan(bus));
	snprintf(path, sizeof(path), "%s/bus/pci/devices/" DEVICE "/vfio-dev/vfio0", self->sysfs);
	ASSERT_EQ(0, rmdir(path));
	path[strlen(path) - strlen("/vfio0")] = '\0';
	ASSERT_EQ(0, rmdir(path));
	/* They are found again. */
	EXPECT_EQ(2, vfioext_bus_scan(bus));
	EXPECT_EQ(3, removed);
	vfioext_bus_free(bus);
}

TEST_HARNESS_MAIN
