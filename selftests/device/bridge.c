// SPDX-License-Identifier: GPL-2.0-only
/* A device of the host that is served over vfio-user, when the host wants it back. */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

static pid_t serve(const char *grace)
{
	pid_t pid = fork();
	int tries;

	if (!pid) {
		execlp("vfioext", "vfioext", "serve", SERVED, "--socket", SOCKET, "--grace", grace, NULL);
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
	self->server = serve("1");
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
	self->server = serve("1");
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
	self->server = serve("1");
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

static uint32_t read_id(struct wire *wire)
{
	uint32_t id = 0;

	if (!wire_read(wire, 0, 0, sizeof(id)) && wire->size >= 16 + sizeof(id))
		memcpy(&id, wire->body + 16, sizeof(id));
	return id;
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
	EXPECT_EQ(ID, read_id(&self->wire));
	EXPECT_EQ(0, wire_unmap_all(&self->wire));
	close(ram);
}

/* QEMU does not listen to the request interrupt: it is dropped when its time is over. */
TEST_F(vm, removal_that_it_cannot_be_told_of)
{
	EXPECT_EQ(ID, read_id(&self->wire));
	unbind();
	EXPECT_EQ(0, wait_server(self->server));
	self->server = 0;
	EXPECT_EQ(-1, wire_get(&self->wire));
	EXPECT_TRUE(wait_unbound(5000 * slowness()));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
