// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real groups, shared: a primary and its secondaries are processes of their own, which
 * tell the test what happened by files.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

#define PAGE 4096
#define SOCKET "/tmp/shared"
#define DPDK_SOCKET "/tmp/.rte_mp_socket"
#define SECONDARIES 3
#define PRIMARY_IOVA 0x200000

static void tell(const char *what, int nr)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/tmp/share-%s-%d", what, nr);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		_exit(1);
	close(fd);
}

static bool told(const char *what, int nr)
{
	long deadline = now_ms() + 5000 * slowness();
	char path[64];

	snprintf(path, sizeof(path), "/tmp/share-%s-%d", what, nr);
	while (access(path, F_OK) && now_ms() < deadline)
		usleep(10000);
	return !access(path, F_OK);
}

static bool is_told(const char *path)
{
	return !access(path, F_OK);
}

/* Closes all it has, but its memory. */
static void end_serving(struct vfioext_share *share, struct vfioext_device *device)
{
	vfioext_share_free(share);
	vfioext_device_close(device);
	tell("closed", 0);
	for (;;)
		pause();
}

/* Serves, and lets the device go when the host wants it, unless it is told not to. */
static void serve(const void *data, int ready)
{
	struct vfioext_share_options options = { .path = SOCKET, .dpdk_path = DPDK_SOCKET };
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;
	struct vfioext_share *share;
	uint64_t iova = PRIMARY_IOVA;
	struct pollfd fds[2];
	void *page;

	(void)data;
	if (vfioext_device_open(ctx, EDU, BY_GROUP, &device) ||
	    vfioext_dma_alloc(vfioext_device_container(device), PAGE, VFIOEXT_DMA_FIXED, &page,
			      &iova) ||
	    vfioext_device_watch(device, NULL, NULL) || vfioext_share_new(ctx, &options, &share) ||
	    vfioext_share_add(share, vfioext_device_container(device)) ||
	    write(ready, "", 1) != 1) {
		fprintf(stderr, "# primary: %s\n", vfioext_message(ctx));
		return;
	}
	fds[0] = (struct pollfd){ .fd = vfioext_share_fd(share), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = vfioext_device_watch_fd(device), .events = POLLIN };
	for (;;) {
		if (poll(fds, 2, 50) < 0 || vfioext_share_dispatch(share))
			return;
		if (is_told("/tmp/share-close-0"))
			end_serving(share, device);
		if (fds[1].revents && is_told("/tmp/share-keep-0"))
			fds[1].fd = -1;
		else if (fds[1].revents && vfioext_device_watch_dispatch(device) == 1)
			fds[1].fd = -1;
	}
}

struct secondary {
	int nr;
	struct vfioext_attachment *attachment;
	struct vfioext_device *device;
	uint8_t *page;
	uint64_t iova;
};

/* One after the other: they have one device. */
static bool sees_in_turn(struct secondary *secondary)
{
	int turn = open("/tmp/share-turn", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	bool sees;

	if (turn < 0 || flock(turn, LOCK_EX))
		return false;
	sees = edu_sees(secondary->device, secondary->page, secondary->iova, 77);
	close(turn);
	return sees;
}

static void on_share(enum vfioext_attach_what what, const struct vfioext_event *event, void *data)
{
	struct secondary *secondary = data;

	if (what == VFIOEXT_ATTACH_GONE) {
		if (sees_in_turn(secondary))
			tell("still", secondary->nr);
		tell("gone", secondary->nr);
	} else if (what == VFIOEXT_ATTACH_EVENT &&
		   event->type == VFIOEXT_EVENT_REMOVAL_REQUESTED && secondary->device &&
		   !strcmp(event->removal.device, EDU)) {
		vfioext_device_close(secondary->device);
		secondary->device = NULL;
		tell("removal", secondary->nr);
	}
}

static bool attach(struct vfioext *ctx, struct secondary *secondary)
{
	struct vfioext_open how = { 0 };
	void *page;

	if (vfioext_attach(ctx, SOCKET, 5000, &secondary->attachment))
		return false;
	how.container = vfioext_attachment_container(secondary->attachment);
	if (vfioext_device_open(ctx, EDU, &how, &secondary->device) ||
	    vfioext_dma_alloc(how.container, PAGE, 0, &page, &secondary->iova))
		return false;
	secondary->page = page;
	return secondary->iova != PRIMARY_IOVA;
}

/* Has its own memory in the primary's container, and says whether the device sees it. */
static void use(const void *data, int ready)
{
	struct secondary secondary = { .nr = *(const int *)data };
	struct vfioext *ctx = test_context();
	struct pollfd fd = { .events = POLLIN };

	if (!attach(ctx, &secondary)) {
		fprintf(stderr, "# secondary: %s\n", vfioext_message(ctx));
		return;
	}
	if (edu_sees(secondary.device, secondary.page, secondary.iova, (uint8_t)(secondary.nr + 1)))
		tell("dma", secondary.nr);
	if (write(ready, "", 1) != 1)
		return;
	fd.fd = vfioext_attachment_fd(secondary.attachment);
	while (poll(&fd, 1, -1) > 0)
		if (vfioext_attachment_dispatch(secondary.attachment, on_share, &secondary) < 0)
			fd.fd = -1;
}

FIXTURE(share) {
	struct vfioext *ctx;
	struct holder_process primary;
	struct holder_process secondaries[SECONDARIES];
};

FIXTURE_SETUP(share)
{
	int i;

	memset(self, 0, sizeof(*self));
	self->ctx = test_context();
	run("rm -f /tmp/share-*");
	set_policy(self->ctx, 30000, 5000, 1000, VFIOEXT_ACTION_NOTIFY);
	bind_device(EDU);
	self->primary = holder_run(serve, NULL);
	for (i = 0; i < SECONDARIES; i++)
		self->secondaries[i] = holder_run(use, &i);
}

FIXTURE_TEARDOWN(share)
{
	int i;

	for (i = 0; i < SECONDARIES; i++)
		holder_kill(&self->secondaries[i]);
	holder_kill(&self->primary);
	vfioext_free(self->ctx);
}

/* Each maps memory of its own into the one container, and the device reaches it. */
TEST_F(share, dma_of_three)
{
	int i;

	for (i = 0; i < SECONDARIES; i++)
		EXPECT_TRUE(told("dma", i));
}

TEST_F(share, primary_dies)
{
	int i;

	holder_kill(&self->primary);
	for (i = 0; i < SECONDARIES; i++) {
		EXPECT_TRUE(told("gone", i));
		EXPECT_TRUE(told("still", i));
	}
}

/* What one had mapped goes with him, and nothing else does. */
TEST_F(share, detach)
{
	static _Alignas(PAGE) uint8_t page[PAGE];
	struct secondary one = { .nr = SECONDARIES }, two = { .nr = SECONDARIES + 1 };
	struct vfioext_container *container;
	uint64_t primary = PRIMARY_IOVA;
	int i;

	ASSERT_TRUE(attach(self->ctx, &one));
	ASSERT_TRUE(attach(self->ctx, &two));
	container = vfioext_attachment_container(two.attachment);
	EXPECT_EQ(-ERANGE, vfioext_dma_map(container, page, PAGE, VFIOEXT_DMA_FIXED, &primary));
	EXPECT_EQ(-EEXIST, vfioext_dma_map(container, page, PAGE, VFIOEXT_DMA_FIXED, &one.iova));
	EXPECT_EQ(-EBUSY, vfioext_detach(one.attachment));
	vfioext_device_close(one.device);
	ASSERT_EQ(0, vfioext_detach(one.attachment));
	EXPECT_EQ(0, vfioext_dma_map(container, page, PAGE, VFIOEXT_DMA_FIXED, &one.iova));
	EXPECT_TRUE(sees_in_turn(&two));
	/* The others look at theirs then. */
	holder_kill(&self->primary);
	for (i = 0; i < SECONDARIES; i++)
		EXPECT_TRUE(told("still", i));
	vfioext_device_close(two.device);
	EXPECT_EQ(0, vfioext_detach(two.attachment));
}

/* Who closes the device leaves it a bus master, for those who have it open. */
TEST_F(share, one_closes)
{
	struct secondary one = { .nr = SECONDARIES }, two = { .nr = SECONDARIES + 1 };

	ASSERT_TRUE(attach(self->ctx, &one));
	ASSERT_TRUE(attach(self->ctx, &two));
	EXPECT_TRUE(sees_in_turn(&one));
	vfioext_device_close(two.device);
	EXPECT_NE(0, vfioext_config_read(one.device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	vfioext_device_close(one.device);
	EXPECT_EQ(0, vfioext_detach(one.attachment));
	EXPECT_EQ(0, vfioext_detach(two.attachment));
}

static int map_at(struct vfioext_container *container, void *page, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ,
		.vaddr = (uintptr_t)page,
		.iova = iova,
		.size = PAGE,
	};

	return ioctl(vfioext_container_fd(container), VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

/* The primary takes along what it had mapped; the group stays, whoever has it open or not. */
TEST_F(share, primary_closes)
{
	static _Alignas(PAGE) uint8_t page[PAGE];
	struct secondary one = { .nr = SECONDARIES };
	struct vfioext_open how = { 0 };
	void *memory;
	int i;

	ASSERT_EQ(0, vfioext_attach(self->ctx, SOCKET, 5000, &one.attachment));
	how.container = vfioext_attachment_container(one.attachment);
	ASSERT_EQ(0, vfioext_dma_alloc(how.container, PAGE, 0, &memory, &one.iova));
	one.page = memory;
	for (i = 0; i < SECONDARIES; i++)
		holder_kill(&self->secondaries[i]);
	EXPECT_EQ(-EEXIST, map_at(how.container, page, PRIMARY_IOVA));
	tell("close", 0);
	ASSERT_TRUE(told("closed", 0));
	EXPECT_EQ(0, map_at(how.container, page, PRIMARY_IOVA));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, &how, &one.device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	EXPECT_TRUE(sees_in_turn(&one));
	vfioext_device_close(one.device);
	EXPECT_EQ(0, vfioext_detach(one.attachment));
}

static void take_current(enum vfioext_attach_what what, const struct vfioext_event *event,
			 void *data)
{
	struct vfioext_event *current = data;

	if (what == VFIOEXT_ATTACH_EVENT && event->type == VFIOEXT_EVENT_CURRENT)
		*current = *event;
}

/* Who comes when a removal has begun hears of it all the same. */
TEST_F(share, removal_under_way)
{
	struct vfioext_event current = { 0 };
	struct vfioext_attachment *attachment;
	struct vfioext_removals removals = { 0 };
	struct pollfd fd = { .events = POLLIN };
	pid_t unbinding;
	int i;

	for (i = 0; i < SECONDARIES; i++)
		holder_kill(&self->secondaries[i]);
	tell("keep", 0);
	unbinding = unbind_start(EDU);
	for (i = 0; i < 1000 && !removals.nr; i++) {
		vfioext_removals_release(&removals);
		usleep(5000);
		ASSERT_EQ(0, vfioext_removals_get(self->ctx, &removals));
	}
	ASSERT_EQ(1, removals.nr);
	ASSERT_EQ(0, vfioext_attach(self->ctx, SOCKET, 5000, &attachment));
	fd.fd = vfioext_attachment_fd(attachment);
	while (!current.type && poll(&fd, 1, 2000 * slowness()) > 0)
		ASSERT_LE(0, vfioext_attachment_dispatch(attachment, take_current, &current));
	EXPECT_EQ(removals.list[0].id, current.removal.id);
	EXPECT_STREQ(EDU, current.removal.device);
	vfioext_removals_release(&removals);
	EXPECT_EQ(0, vfioext_detach(attachment));
	holder_kill(&self->primary);
	EXPECT_TRUE(unbind_wait(unbinding, 5000));
}

/* Each asks by itself. Return: whether it never waited. */
static bool ask_often(int group)
{
	long begin;
	int i, fd;

	for (i = 0; i < 25; i++) {
		begin = now_ms();
		if (vfioext_share_get_group(DPDK_SOCKET, group, 5000, &fd))
			return false;
		close(fd);
		if (now_ms() - begin > 500 * slowness())
			return false;
	}
	return true;
}

/* A client of the old protocol may be silent for a second before it is given up. */
TEST_F(share, eight_and_a_silent_one)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = DPDK_SOCKET };
	int silent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), i, status;
	struct vfioext_device_info info;
	pid_t clients[8];

	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &info));
	ASSERT_EQ(0, connect(silent, (const struct sockaddr *)&address, sizeof(address)));
	for (i = 0; i < 8; i++) {
		clients[i] = fork();
		if (!clients[i])
			_exit(!ask_often(info.group));
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(clients[i], waitpid(clients[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	close(silent);
}

/* All of them hear of it, and let go. */
TEST_F(share, removal)
{
	pid_t unbinding = unbind_start(EDU);
	int i;

	for (i = 0; i < SECONDARIES; i++)
		EXPECT_TRUE(told("removal", i));
	EXPECT_TRUE(unbind_wait(unbinding, 5000));
}

/* As an application of DPDK does it: both descriptors, and the device from the group. */
TEST_F(share, old_wire)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct vfioext_device_info info;
	int container, group, device;

	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &info));
	ASSERT_EQ(0, vfioext_share_get_container(DPDK_SOCKET, 2000, &container));
	EXPECT_EQ(VFIO_API_VERSION, ioctl(container, VFIO_GET_API_VERSION));
	ASSERT_EQ(0, vfioext_share_get_group(DPDK_SOCKET, info.group, 2000, &group));
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_GET_STATUS, &status));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, status.flags);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, EDU);
	EXPECT_LE(0, device);
	EXPECT_EQ(-ENODEV, vfioext_share_get_group(DPDK_SOCKET, 0, 2000, &group));
	EXPECT_EQ(-ENOENT, vfioext_share_get_group(DPDK_SOCKET, 99999, 2000, &group));
	close(device);
	close(group);
	close(container);
}

/* So do we, by the library. */
TEST_F(share, old_secondary)
{
	static const char *const names[] = { EDU };
	struct vfioext_attachment *attachment;
	struct secondary one = { .nr = SECONDARIES };
	struct vfioext_open how = { 0 };
	void *memory;
	int i;

	ASSERT_EQ(0, vfioext_attach_dpdk(self->ctx, DPDK_SOCKET, names, 1, 5000, &attachment)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	how.container = vfioext_attachment_container(attachment);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, &how, &one.device));
	ASSERT_EQ(0, vfioext_dma_alloc(how.container, PAGE, 0, &memory, &one.iova));
	one.page = memory;
	EXPECT_TRUE(sees_in_turn(&one));
	vfioext_device_close(one.device);
	EXPECT_EQ(0, vfioext_detach(attachment));
	/* What the others have mapped is as it was. */
	holder_kill(&self->primary);
	for (i = 0; i < SECONDARIES; i++)
		EXPECT_TRUE(told("still", i));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfio_iommu_type1 && modprobe vfioext");
	return test_harness_run(argc, argv);
}
