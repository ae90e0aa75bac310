// SPDX-License-Identifier: GPL-2.0-only
/* A device of the host that is served over vfio-user, when the host wants it back. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfioext/user_client.h>

#include "kselftest_harness.h"

#include "../lib/test.h"
#include "../lib/wire.h"

#define SERVED EDU2
#define SOCKET "/run/vfioext-bridge.sock"
#define UNBOUND "/run/vfioext-unbound"
#define ID 0x010000ed
#define EDU_RAISE 0x60
#define EDU_ACKNOWLEDGE 0x64
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define NVME "0000:02:00.0"
#define NVME_CC 0x14
#define NVME_CSTS 0x1c
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30

FIXTURE(bridge) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_region *bar;
	pid_t server;
};

/* A server that was killed leaves its socket behind: somebody has to listen at it. */
static bool served(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected = !connect(fd, (struct sockaddr *)&address, sizeof(address));

	close(fd);
	return connected;
}

static pid_t serve(const char *device, const char *grace)
{
	pid_t pid = fork();
	int tries;

	if (!pid) {
		execlp("vfioext", "vfioext", "serve", device, "--socket", SOCKET, "--grace", grace, NULL);
		_exit(127);
	}
	for (tries = 0; tries < 200 && !served(); tries++)
		usleep(50000);
	return pid;
}

FIXTURE_SETUP(bridge)
{
	vfioext_user_client_init();
	self->ctx = test_context();
	self->device = NULL;
	set_policy(self->ctx, 20000, 5000, 1000, VFIOEXT_ACTION_NOTIFY);
	bind_device(SERVED);
	self->server = serve(SERVED, "1");
	ASSERT_EQ(0, vfioext_device_open(self->ctx, "user:" SOCKET, NULL, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &self->bar));
	ASSERT_EQ(ID, vfioext_read32(self->bar, 0));
}

FIXTURE_TEARDOWN(bridge)
{
	vfioext_device_close(self->device);
	if (self->server > 0) {
		kill(self->server, SIGTERM);
		waitpid(self->server, NULL, 0);
	}
	vfioext_free(self->ctx);
}

/* Return: how it ended, -1 if it goes on. */
static int wait_server(pid_t pid)
{
	long deadline = now_ms() + 5000 * slowness();
	int status;

	while (now_ms() < deadline) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		usleep(20000);
	}
	return -1;
}

/*
 * By a process of its own: one that is forked from the test has what that has mapped of the
 * device, and would wait for itself.
 */
static void unbind(void)
{
	unlink(UNBOUND);
	run("(echo " SERVED " > /sys/bus/pci/drivers/vfio-pci/unbind; : > " UNBOUND ") &");
}

static bool wait_unbound(int timeout_ms)
{
	long deadline = now_ms() + timeout_ms;

	while (access(UNBOUND, F_OK) && now_ms() < deadline)
		usleep(20000);
	return !access(UNBOUND, F_OK);
}

/* The client is told by the request interrupt, and lets go. */
TEST_F(bridge, removal_reaches_the_client)
{
	struct pollfd fd = { .events = POLLIN };

	ASSERT_EQ(0, vfioext_device_watch(self->device, NULL, NULL));
	fd.fd = vfioext_device_watch_fd(self->device);
	ASSERT_EQ(0, vfioext_region_map(self->bar));
	unbind();
	ASSERT_EQ(1, poll(&fd, 1, 5000 * slowness()));
	ASSERT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, 0));
	EXPECT_TRUE(wait_unbound(5000 * slowness()));
	EXPECT_EQ(0, wait_server(self->server));
	self->server = 0;
	EXPECT_FALSE(served());
}

/* One that does nothing is dropped, and the device waits for the files that it was given. */
TEST_F(bridge, client_does_not_let_go)
{
	unbind();
	EXPECT_EQ(0, wait_server(self->server));
	self->server = 0;
	EXPECT_FALSE(wait_unbound(300));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, 0));
	EXPECT_TRUE(vfioext_device_lost(self->device));
	vfioext_device_let_go(self->device);
	EXPECT_TRUE(wait_unbound(5000 * slowness()));
}

/* Another client finds the device reset, and no mapping of the one before. */
TEST_F(bridge, next_client)
{
	struct vfioext_container *container;
	uint64_t iova = 0x100000;
	void *memory;
	int i;

	for (i = 0; i < 3; i++) {
		container = vfioext_device_container(self->device);
		ASSERT_EQ(0, vfioext_dma_alloc(container, 4096, VFIOEXT_DMA_FIXED, &memory, &iova));
		vfioext_write32(self->bar, 4, 77);
		EXPECT_EQ(~77u, vfioext_read32(self->bar, 4));
		vfioext_device_close(self->device);
		ASSERT_EQ(0, vfioext_device_open(self->ctx, "user:" SOCKET, NULL, &self->device)) {
			TH_LOG("%s", vfioext_message(self->ctx));
		}
		ASSERT_EQ(0, vfioext_region_get(self->device, 0, &self->bar));
	}
	EXPECT_EQ(ID, vfioext_read32(self->bar, 0));
}

/* A device that was served once is one like any other when the server is killed. */
TEST_F(bridge, server_killed)
{
	struct vfioext_device *device;

	kill(self->server, SIGKILL);
	waitpid(self->server, NULL, 0);
	self->server = 0;
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, 0));
	vfioext_device_close(self->device);
	self->device = NULL;
	ASSERT_EQ(0, vfioext_device_open(self->ctx, SERVED, NULL, &device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	vfioext_device_close(device);
	self->server = serve(SERVED, "1");
	EXPECT_TRUE(served());
}

/* A client that says what a VM does, whatever ours would. */
FIXTURE(vm) {
	struct vfioext *ctx;
	struct wire wire;
	pid_t server;
};

FIXTURE_SETUP(vm)
{
	self->ctx = test_context();
	set_policy(self->ctx, 20000, 5000, 1000, VFIOEXT_ACTION_NOTIFY);
	bind_device(SERVED);
	self->server = serve(SERVED, "1");
	wire_connect(&self->wire, SOCKET, NULL);
	ASSERT_EQ(0, wire_negotiate(&self->wire, NULL));
}

FIXTURE_TEARDOWN(vm)
{
	wire_close(&self->wire);
	if (self->server > 0) {
		kill(self->server, SIGTERM);
		waitpid(self->server, NULL, 0);
	}
	vfioext_free(self->ctx);
}

static uint32_t read32(struct wire *wire, unsigned int region, uint64_t offset)
{
	uint32_t value = 0;

	if (!wire_read(wire, region, offset, sizeof(value)))
		memcpy(&value, wire->body + sizeof(struct vfio_user_region_access), sizeof(value));
	return value;
}

static int write32(struct wire *wire, unsigned int region, uint64_t offset, uint32_t value)
{
	return wire_write(wire, region, offset, &value, sizeof(value));
}

/* ROM without a file, RAM with one, ranges of nothing, and a BAR of the device itself. */
TEST_F(vm, memory)
{
	struct vfio_region_info info = { .argsz = sizeof(info) };
	int ram = make_file(4 * PAGE), ret;

	EXPECT_EQ(0, wire_map(&self->wire, 0xc0000, PAGE, VFIO_USER_DMA_FLAG_READ, -1, 0));
	EXPECT_EQ(0, wire_map(&self->wire, 0x100000, 2 * PAGE, RW, ram, PAGE));
	EXPECT_EQ(-ENOENT, wire_unmap(&self->wire, 1ULL << 39, 1ULL << 39));
	/* What the IOMMU has is gone with it: it can be mapped again. */
	EXPECT_EQ(0, wire_unmap(&self->wire, 0, 1ULL << 39));
	EXPECT_EQ(0, wire_map(&self->wire, 0x100000, 4 * PAGE, RW, ram, 0));
	ASSERT_EQ(0, wire_call(&self->wire, VFIO_USER_DEVICE_GET_REGION_INFO, &info,
			       sizeof(info)));
	ASSERT_EQ(1, self->wire.nr_fds);
	memcpy(&info, self->wire.body, sizeof(info));
	/* Whether it can depends on the kernel. */
	ret = wire_map(&self->wire, 0xfe000000, info.size, RW, self->wire.fds[0], info.offset);
	EXPECT_TRUE(!ret || ret == -EINVAL || ret == -EFAULT) {
		TH_LOG("%d", ret);
	}
	EXPECT_EQ(ID, read32(&self->wire, 0, 0));
	EXPECT_EQ(0, wire_unmap_all(&self->wire));
	close(ram);
}

/* QEMU does not listen to the request interrupt: it is dropped when its time is over. */
TEST_F(vm, removal_that_it_cannot_be_told_of)
{
	EXPECT_EQ(ID, read32(&self->wire, 0, 0));
	unbind();
	EXPECT_EQ(0, wait_server(self->server));
	self->server = 0;
	EXPECT_EQ(-1, wire_get(&self->wire));
	EXPECT_TRUE(wait_unbound(5000 * slowness()));
}

static int set_pin(struct wire *wire, uint32_t flags, const int *fd)
{
	return wire_set_irqs(wire, flags, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, fd, fd ? 1 : 0);
}

static int mask_pin(struct wire *wire)
{
	return set_pin(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, NULL);
}

static int unmask_pin(struct wire *wire)
{
	return set_pin(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, NULL);
}

/* How often a pin was signaled, which takes a moment. */
static uint64_t signals(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, 500 * slowness()) > 0 ? eventfd_count(fd) : 0;
}

/* The device has its pin up, and down again. It is masked by being signaled. */
static uint64_t raise_pin(struct wire *wire, int fd)
{
	uint64_t nr;

	write32(wire, 0, EDU_RAISE, 1);
	nr = signals(fd);
	write32(wire, 0, EDU_ACKNOWLEDGE, 1);
	return nr;
}

TEST_F(vm, pin)
{
	int fd = make_eventfd(), unmask = make_eventfd();

	ASSERT_EQ(0, write32(&self->wire, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY));
	ASSERT_EQ(0, set_pin(&self->wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, &fd));
	EXPECT_EQ(1, raise_pin(&self->wire, fd));
	EXPECT_EQ(0, raise_pin(&self->wire, fd));
	EXPECT_EQ(0, unmask_pin(&self->wire));
	EXPECT_EQ(1, raise_pin(&self->wire, fd));
	EXPECT_EQ(0, unmask_pin(&self->wire));
	EXPECT_EQ(0, mask_pin(&self->wire));
	EXPECT_EQ(0, raise_pin(&self->wire, fd));
	/* Without a word to the server. */
	EXPECT_EQ(0, set_pin(&self->wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, &unmask));
	eventfd_write(unmask, 1);
	usleep(100000);
	EXPECT_EQ(1, raise_pin(&self->wire, fd));
	EXPECT_EQ(0, set_pin(&self->wire, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, NULL));
	eventfd_write(unmask, 1);
	usleep(100000);
	EXPECT_EQ(0, raise_pin(&self->wire, fd));
	/* Signaled for a client, and by no device. */
	EXPECT_EQ(0, set_pin(&self->wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, NULL));
	EXPECT_EQ(1, signals(fd));
	close(fd);
	close(unmask);
}

/* One that has a reset, and MSI-X. */
FIXTURE(nvme) {
	struct wire wire;
	pid_t server;
};

FIXTURE_SETUP(nvme)
{
	bind_device(NVME);
	self->server = serve(NVME, "1");
	wire_connect(&self->wire, SOCKET, NULL);
	ASSERT_EQ(0, wire_negotiate(&self->wire, NULL));
}

FIXTURE_TEARDOWN(nvme)
{
	wire_close(&self->wire);
	kill(self->server, SIGTERM);
	waitpid(self->server, NULL, 0);
}

/* Return: whether it is ready then. */
static bool enable(struct wire *wire)
{
	return !write32(wire, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY) &&
	       !write32(wire, 0, NVME_AQA, 0x001f001f) && !write32(wire, 0, NVME_ASQ, 0x1000) &&
	       !write32(wire, 0, NVME_ACQ, 0x2000) && !write32(wire, 0, NVME_CC, 0x00460001) &&
	       read32(wire, 0, NVME_CSTS) == 1;
}

TEST_F(nvme, reset)
{
	ASSERT_TRUE(enable(&self->wire));
	ASSERT_EQ(0, wire_call(&self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	ASSERT_EQ(0, write32(&self->wire, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY));
	EXPECT_EQ(0, read32(&self->wire, 0, NVME_CSTS));
	/* So does the end of its client. */
	ASSERT_TRUE(enable(&self->wire));
	wire_close(&self->wire);
	wire_connect(&self->wire, SOCKET, NULL);
	ASSERT_EQ(0, wire_negotiate(&self->wire, NULL));
	ASSERT_EQ(0, write32(&self->wire, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY));
	EXPECT_EQ(0, read32(&self->wire, 0, NVME_CSTS));
}

static uint32_t find_msix(struct wire *wire)
{
	uint32_t at = read32(wire, CONFIG, PCI_CAPABILITY_LIST) & 0xff;

	while (at && (read32(wire, CONFIG, at) & 0xff) != PCI_CAP_ID_MSIX)
		at = read32(wire, CONFIG, at) >> 8 & 0xff;
	return at;
}

/* The kernel has no objection to mapping it; a client that does so writes to the real one. */
TEST_F(nvme, table_is_not_offered)
{
	struct vfio_region_sparse_mmap_area areas[8];
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_info info = { .argsz = 4096 };
	uint32_t table, at = find_msix(&self->wire), i;

	ASSERT_NE(0, at);
	table = read32(&self->wire, CONFIG, at + PCI_MSIX_TABLE);
	ASSERT_EQ(0, table & PCI_MSIX_TABLE_BIR);
	ASSERT_EQ(0, wire_call(&self->wire, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)));
	memcpy(&info, self->wire.body, sizeof(info));
	ASSERT_TRUE(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	memcpy(&sparse, self->wire.body + info.cap_offset, sizeof(sparse));
	ASSERT_GE(8, sparse.nr_areas);
	ASSERT_LT(0, sparse.nr_areas);
	memcpy(areas, self->wire.body + info.cap_offset + sizeof(sparse),
	       sparse.nr_areas * sizeof(*areas));
	for (i = 0; i < sparse.nr_areas; i++)
		EXPECT_TRUE(table < areas[i].offset || table >= areas[i].offset + areas[i].size);
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
