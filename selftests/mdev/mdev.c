// SPDX-License-Identifier: GPL-2.0-only
/* The example parent's devices, and how they are taken back. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"
#include "vfioext_consumer.h"
#include "vfioext_mdev.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa100"
#define FIRST UUID "1"
#define SHARE "/tmp/mdev-share"
#define TYPE "/sys/class/mdev_bus/vfioext_mdev/mdev_supported_types/vfioext_mdev-sparse"

#define BAR(n, at) (((uint64_t)(n) << 40) + (at))
#define CONFIG(at) BAR(VFIO_PCI_CONFIG_REGION_INDEX, at)

static void create(const char *uuid)
{
	run("echo %s > " TYPE "/create", uuid);
}

static void destroy(const char *uuid)
{
	try_run("[ ! -e /sys/bus/mdev/devices/%s ] || echo 1 > /sys/bus/mdev/devices/%s/remove", uuid,
		uuid);
}

FIXTURE(mdev) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct vfioext_device *device;
	int fd;
};

FIXTURE_SETUP(mdev)
{
	memset(self, 0, sizeof(*self));
	destroy(FIRST);
	create(FIRST);
	self->ctx = test_context();
	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_SIGBUS);
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, FIRST, NULL, &self->device));
	self->fd = vfioext_device_fd(self->device);
}

FIXTURE_TEARDOWN(mdev)
{
	vfioext_device_close(self->device);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
	destroy(FIRST);
}

/* Where a container's group is what is tested. */
#define OPEN_BY_GROUP() do { \
	vfioext_device_close(self->device); \
	self->device = NULL; \
	ASSERT_EQ(0, vfioext_device_open(self->ctx, FIRST, BY_GROUP, &self->device)); \
} while (0)

static uint32_t read32(int fd, uint64_t at)
{
	uint32_t value = 0xdeadbeef;

	if (pread(fd, &value, sizeof(value), (off_t)at) != sizeof(value))
		return 0xdeadbeef;
	return value;
}

static bool write32(int fd, uint64_t at, uint32_t value)
{
	return pwrite(fd, &value, sizeof(value), (off_t)at) == sizeof(value);
}

TEST_F(mdev, config_space)
{
	uint16_t flags;

	EXPECT_EQ(MDEV_DEVICE << 16 | MDEV_VENDOR, read32(self->fd, CONFIG(0)));
	ASSERT_TRUE(write32(self->fd, CONFIG(0x10), 0xffffffff));
	EXPECT_EQ(~(MDEV_BAR0_SIZE - 1U), read32(self->fd, CONFIG(0x10)));
	ASSERT_TRUE(write32(self->fd, CONFIG(0x14), 0xffffffff));
	EXPECT_EQ(0, read32(self->fd, CONFIG(0x14)));
	ASSERT_EQ(2, pread(self->fd, &flags, 2, CONFIG(MDEV_MSIX_CAP + 2)));
	EXPECT_EQ(MDEV_VECTORS - 1, flags);
	/* Ids cannot be written, and there is nothing behind the end. */
	ASSERT_TRUE(write32(self->fd, CONFIG(0), 0));
	EXPECT_EQ(MDEV_DEVICE << 16 | MDEV_VENDOR, read32(self->fd, CONFIG(0)));
	EXPECT_EQ(-1, pread(self->fd, &flags, 2, CONFIG(256)));
	EXPECT_EQ(-1, pread(self->fd, &flags, 2, BAR(1, 0)));
	EXPECT_EQ(-1, pread(self->fd, &flags, 2, BAR(100, 0)));
}

/* Return: 0 if a process that attaches has the device, too. */
static int use_shared(void)
{
	struct vfioext_attachment *attachment;
	struct vfioext_open how = { 0 };
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;

	if (vfioext_attach(ctx, SHARE, 5000, &attachment))
		return 1;
	how.container = vfioext_attachment_container(attachment);
	if (vfioext_device_open(ctx, FIRST, &how, &device))
		return 2;
	return vfioext_config_read(device, 0, 4) == (MDEV_DEVICE << 16 | MDEV_VENDOR) ? 0 : 3;
}

/* Groups of mediated devices are shared as those of PCI devices are. */
TEST_F(mdev, shared)
{
	struct vfioext_share_options options = { .path = SHARE };
	struct vfioext_share *share;
	struct pollfd fd = { .events = POLLIN };
	int status = -1, i;
	pid_t child;

	OPEN_BY_GROUP();
	ASSERT_EQ(0, vfioext_share_new(self->ctx, &options, &share));
	ASSERT_EQ(0, vfioext_share_add(share, vfioext_device_container(self->device)));
	child = fork();
	if (!child)
		_exit(use_shared());
	fd.fd = vfioext_share_fd(share);
	for (i = 0; i < 200 * slowness() && !waitpid(child, &status, WNOHANG); i++) {
		poll(&fd, 1, 50);
		ASSERT_EQ(0, vfioext_share_dispatch(share));
	}
	EXPECT_EQ(0, status);
	vfioext_share_free(share);
}

TEST_F(mdev, sparse_region)
{
	struct {
		struct vfio_region_info info;
		struct vfio_region_info_cap_sparse_mmap sparse;
		struct vfio_region_sparse_mmap_area areas[2];
	} region = { .info = { .argsz = sizeof(region.info) } };
	uint32_t *low, *high;

	ASSERT_EQ(0, ioctl(self->fd, VFIO_DEVICE_GET_REGION_INFO, &region));
	EXPECT_EQ(MDEV_BAR0_SIZE, region.info.size);
	ASSERT_EQ(sizeof(region), region.info.argsz);
	ASSERT_EQ(0, ioctl(self->fd, VFIO_DEVICE_GET_REGION_INFO, &region));
	ASSERT_EQ(sizeof(region.info), region.info.cap_offset);
	EXPECT_EQ(VFIO_REGION_INFO_CAP_SPARSE_MMAP, region.sparse.header.id);
	ASSERT_EQ(2, region.sparse.nr_areas);

	low = mmap(NULL, region.areas[0].size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
		   BAR(0, region.areas[0].offset));
	ASSERT_NE(MAP_FAILED, low);
	high = mmap(NULL, region.areas[1].size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
		    BAR(0, region.areas[1].offset));
	ASSERT_NE(MAP_FAILED, high);
	/* What is mapped and what is read is the same. */
	low[1] = 0x11223344;
	high[2] = 0x55667788;
	EXPECT_EQ(0x11223344, read32(self->fd, BAR(0, 4)));
	EXPECT_EQ(0x55667788, read32(self->fd, BAR(0, MDEV_AREA1_START + 8)));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_AREA1_START), 0x99));
	EXPECT_EQ(0x99, high[0]);
	/* Not the hole, nor anything over it, nor the other BARs. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd,
				   BAR(0, MDEV_AREA0_SIZE)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, MDEV_BAR0_SIZE, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd,
				   BAR(0, MDEV_BAR0_SIZE)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, BAR(2, 0)));
	EXPECT_EQ(0, munmap(low, region.areas[0].size));
	EXPECT_EQ(0, munmap(high, region.areas[1].size));
}

/* A mapping holds the device as a descriptor does; its memory stays until then. */
TEST_F(mdev, removal_waits_for_a_mapping)
{
	uint32_t *low = mmap(NULL, MDEV_AREA0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
			     BAR(0, 0));
	pid_t child;

	ASSERT_NE(MAP_FAILED, low);
	low[0] = 0x12345678;
	set_policy(self->ctx, 5000, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	vfioext_device_close(self->device);
	self->device = NULL;
	child = fork();
	if (!child) {
		munmap(low, MDEV_AREA0_SIZE);
		destroy(FIRST);
		_exit(0);
	}
	EXPECT_FALSE(unbind_wait(child, 300));
	EXPECT_EQ(0x12345678, low[0]);
	EXPECT_EQ(0, munmap(low, MDEV_AREA0_SIZE));
	EXPECT_TRUE(unbind_wait(child, 1000));
	EXPECT_NE(0, access("/sys/bus/mdev/devices/" FIRST, F_OK));
}

TEST_F(mdev, region_without_mmap)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = 2 };

	ASSERT_EQ(0, ioctl(self->fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, info.flags);
	ASSERT_TRUE(write32(self->fd, BAR(2, 0xffc), 0x1234));
	EXPECT_EQ(0x1234, read32(self->fd, BAR(2, 0xffc)));
	EXPECT_FALSE(write32(self->fd, BAR(2, 0x1000), 0x1234));
	info.index = VFIO_PCI_NUM_REGIONS;
	EXPECT_EQ(-1, ioctl(self->fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	info.index = 0;
	info.argsz = 4;
	EXPECT_EQ(-1, ioctl(self->fd, VFIO_DEVICE_GET_REGION_INFO, &info));
}

static int set_trigger(int fd, unsigned int index, unsigned int vector, int eventfd)
{
	struct {
		struct vfio_irq_set set;
		int fd;
	} request = {
		.set = {
			.argsz = sizeof(request),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = index,
			.start = vector,
			.count = 1,
		},
		.fd = eventfd,
	};

	return ioctl(fd, VFIO_DEVICE_SET_IRQS, &request) ? -errno : 0;
}

static int set_vector(int fd, unsigned int vector, int eventfd)
{
	return set_trigger(fd, VFIO_PCI_MSIX_IRQ_INDEX, vector, eventfd);
}

static int disable_irqs(int fd, unsigned int index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	return ioctl(fd, VFIO_DEVICE_SET_IRQS, &set) ? -errno : 0;
}

TEST_F(mdev, msix)
{
	int event = eventfd(0, EFD_NONBLOCK);
	uint64_t count;

	ASSERT_EQ(0, set_vector(self->fd, 2, event));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_DOORBELL), 1));
	EXPECT_EQ(-1, read(event, &count, sizeof(count)));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_DOORBELL), 2));
	EXPECT_EQ(sizeof(count), read(event, &count, sizeof(count)));
	EXPECT_EQ(2, read32(self->fd, BAR(0, MDEV_DOORBELL)));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_DOORBELL), 0xffffffff));
	ASSERT_EQ(0, set_vector(self->fd, 2, -1));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_DOORBELL), 2));
	EXPECT_EQ(-1, read(event, &count, sizeof(count)));
	EXPECT_EQ(-EINVAL, set_vector(self->fd, MDEV_VECTORS, event));
	EXPECT_EQ(-EBADF, set_vector(self->fd, 0, 999));
	close(event);
}

/* A guest that disables MSI-X must still hear that its device is wanted back. */
TEST_F(mdev, disables_one_index)
{
	int vector = eventfd(0, EFD_NONBLOCK), request = eventfd(0, EFD_NONBLOCK);
	uint64_t count;
	uint32_t id;

	ASSERT_EQ(0, set_vector(self->fd, 0, vector));
	ASSERT_EQ(0, set_trigger(self->fd, VFIO_PCI_REQ_IRQ_INDEX, 0, request));
	ASSERT_EQ(0, disable_irqs(self->fd, VFIO_PCI_MSIX_IRQ_INDEX));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_DOORBELL), 0));
	EXPECT_EQ(-1, read(vector, &count, sizeof(count)));
	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, FIRST, NULL, &id));
	usleep(100000);
	EXPECT_EQ(sizeof(count), read(request, &count, sizeof(count)));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));

	/* And the other way round. */
	ASSERT_EQ(0, set_vector(self->fd, 0, vector));
	ASSERT_EQ(0, disable_irqs(self->fd, VFIO_PCI_REQ_IRQ_INDEX));
	ASSERT_TRUE(write32(self->fd, BAR(0, MDEV_DOORBELL), 0));
	EXPECT_EQ(sizeof(count), read(vector, &count, sizeof(count)));
	EXPECT_EQ(-EINVAL, disable_irqs(self->fd, VFIO_PCI_INTX_IRQ_INDEX));
	close(vector);
	close(request);
}

TEST_F(mdev, nothing_left_for_the_next)
{
	ASSERT_TRUE(write32(self->fd, BAR(0, 0), 0x11111111));
	ASSERT_TRUE(write32(self->fd, BAR(2, 0), 0x22222222));
	vfioext_device_close(self->device);
	self->device = NULL;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, FIRST, NULL, &self->device));
	self->fd = vfioext_device_fd(self->device);
	EXPECT_EQ(0, read32(self->fd, BAR(0, 0)));
	EXPECT_EQ(0, read32(self->fd, BAR(2, 0)));
}

TEST_F(mdev, reset)
{
	ASSERT_TRUE(write32(self->fd, BAR(2, 0), 7));
	ASSERT_EQ(0, ioctl(self->fd, VFIO_DEVICE_RESET));
	EXPECT_EQ(0, read32(self->fd, BAR(2, 0)));
	EXPECT_EQ(1, read32(self->fd, BAR(0, MDEV_RESETS)));
}

TEST_F(mdev, several_instances)
{
	struct vfioext_device *other;

	create(UUID "2");
	create(UUID "3");
	ASSERT_EQ(0, vfioext_device_open(self->ctx, UUID "2", NULL, &other));
	ASSERT_TRUE(write32(self->fd, BAR(2, 0), 1));
	EXPECT_EQ(0, read32(vfioext_device_fd(other), BAR(2, 0)));
	vfioext_device_close(other);
	destroy(UUID "2");
	destroy(UUID "3");
}

static int available(void)
{
	FILE *file = fopen(TYPE "/available_instances", "r");
	int nr = -1;

	if (file && fscanf(file, "%d", &nr) != 1)
		nr = -1;
	if (file)
		fclose(file);
	return nr;
}

/* As many devices as the parent has, the fixture's among them, and no more. */
TEST_F_TIMEOUT(mdev, instances_run_out, 100)
{
	int i, before = available();
	char uuid[48];

	ASSERT_LT(0, before);
	ASSERT_GT(64, before);
	for (i = 0; i <= before; i++) {
		snprintf(uuid, sizeof(uuid), "83b8f4f2-509f-382f-3c1e-0000000000%02x", i);
		EXPECT_EQ(i == before, !!try_run("echo %s 2>/dev/null > " TYPE "/create", uuid));
		EXPECT_EQ(i == before ? 0 : before - 1 - i, available());
	}
	for (i = 0; i <= before; i++) {
		snprintf(uuid, sizeof(uuid), "83b8f4f2-509f-382f-3c1e-0000000000%02x", i);
		destroy(uuid);
	}
	EXPECT_EQ(before, available());
}

/* Nothing of it is locked, so the limit is no limit. */
TEST_F(mdev, more_memory_than_may_be_locked)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct rlimit limit = { 65536, 65536 };
	uint64_t iova;
	void *memory;

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, syscall(SYS_capset, &header, none));
	EXPECT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->device), 1 << 20, 0, &memory,
				       &iova)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
}

TEST_F(mdev, known_to_the_module)
{
	struct vfioext_device_info info;
	struct vfioext_group group;

	OPEN_BY_GROUP();
	ASSERT_EQ(0, vfioext_find_device(self->ctx, FIRST, &info));
	EXPECT_TRUE(info.vfio);
	EXPECT_STREQ("vfio-pci", info.device_api);
	ASSERT_EQ(0, vfioext_group_get(self->ctx, info.group, &group));
	EXPECT_EQ(VFIOEXT_GROUP_TYPE_EMULATED, group.type);
	EXPECT_EQ(1, group.container_set);
}

/* A group of mdevs has external users like any other, but no domain to map in. */
TEST_F(mdev, external_user)
{
	static _Alignas(4096) uint8_t page[4096];
	int consumer = open("/dev/vfioext_consumer", O_RDWR);
	struct consumer_map map = {
		.vaddr = (uintptr_t)page, .iova = 0x1000, .size = 0x1000,
		.flags = CONSUMER_MAP_READ,
	};

	OPEN_BY_GROUP();
	ASSERT_LE(0, ioctl(consumer, CONSUMER_ATTACH, vfioext_device_group_fd(self->device)));
	EXPECT_EQ(-1, ioctl(consumer, CONSUMER_MAP, &map));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(0, ioctl(consumer, CONSUMER_DETACH));
	close(consumer);
}

/* remove blocks, in this process, until SIGBUS has ended the holder. */
TEST_F(mdev, removed_under_a_holder)
{
	struct holder_process holder;
	long begun;

	vfioext_device_close(self->device);
	self->device = NULL;
	holder = holder_start(FIRST, HOLDER_STUBBORN);
	begun = now_ms();
	destroy(FIRST);
	EXPECT_LE(400, now_ms() - begun);
	EXPECT_GE(1000 * slowness(), now_ms() - begun);
	EXPECT_EQ(SIGBUS, holder_wait(&holder, 1000));
	ASSERT_TRUE(wait_event(self->events, FIRST, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_SIGNALED, self->event.outcome);
}

TEST_F(mdev, released_when_asked)
{
	struct holder_process holder;
	uint32_t id;

	vfioext_device_close(self->device);
	self->device = NULL;
	holder = holder_start(FIRST, HOLDER_REQUEST);
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, FIRST, NULL, &id));
	ASSERT_TRUE(wait_event(self->events, FIRST, VFIOEXT_EVENT_REMOVAL_RELEASED, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
	holder_kill(&holder);
}

/* Read into memory that never comes: the device's driver sleeps in the copy. */
static void read_for_ever(int fd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = (int)syscall(SYS_userfaultfd, 0);
	void *page;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range))
		_exit(2);
	pread(fd, page, 4, BAR(2, 0));
	_exit(0);
}

/* A holder that sleeps in the driver cannot keep the deadline from coming. */
TEST_F(mdev, holder_stuck_in_the_driver)
{
	pid_t child;
	uint32_t id;

	set_policy(self->ctx, 400, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	child = fork();
	if (!child)
		read_for_ever(self->fd);
	usleep(100000);
	EXPECT_EQ(0, waitpid(child, NULL, WNOHANG));
	EXPECT_EQ(0, vfioext_removal_start(self->ctx, FIRST, NULL, &id));
	EXPECT_TRUE(wait_event(self->events, FIRST, VFIOEXT_EVENT_REMOVAL_CANCELLED, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_TIMED_OUT, self->event.outcome);
	kill(child, SIGKILL);
	EXPECT_EQ(child, waitpid(child, NULL, 0));
}

int main(int argc, char **argv)
{
	run("modprobe vfio_iommu_type1 && modprobe vfioext_mdev && modprobe vfioext_consumer");
	return test_harness_run(argc, argv);
}
