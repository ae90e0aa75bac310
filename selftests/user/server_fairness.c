// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that asks for one thing after the other, without a pause: what others wait for
 * is done meanwhile. How long that takes is counted in messages of the busy one, not in time.
 */
#include <linux/vfio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

/* So many before anybody else has something to say, and so many at most until it is heard. */
#define MANY 100
#define FEW 3

static const char with_twin[] =
	"{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":{\"supported\":true}}}";

FIXTURE(fairness) {
	struct wire_test test;
	struct wire *busy;
	struct probe *probe;
	struct vfioext_user_device *device;
};

FIXTURE_SETUP(fairness)
{
	wire_test_begin(&self->test, &probe_ops);
	self->busy = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
}

FIXTURE_TEARDOWN(fairness)
{
	EXPECT_TRUE(wire_test_end(&self->test));
}

static bool is_readable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

/* One thing after the other, each asked for when the one before is answered. */
static void ask(struct wire_test *test, unsigned int times)
{
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };

	while (times--) {
		wire_put(&test->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
		while (!is_readable(test->wire.fd))
			if (vfioext_user_wait(test->server, -1))
				abort();
		if (wire_get(&test->wire) != 1)
			abort();
	}
}

TEST_F(fairness, another_client)
{
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct probe *probe = calloc(1, sizeof(*probe));
	struct vfioext_user_device *device;
	struct wire wire;

	probe->file = self->probe->file;
	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, probe, &device));
	probe_setup(device);
	wire_test_attach(&self->test, device, &wire);
	ASSERT_EQ(0, wire_negotiate(self->busy, NULL));
	ASSERT_EQ(0, wire_negotiate(&wire, NULL));
	ask(&self->test, MANY);
	wire_put(&wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	ask(&self->test, FEW);
	EXPECT_EQ(1, probe->reads);
	EXPECT_TRUE(is_readable(wire.fd));
	wire_close(&wire);
	vfioext_user_device_free(device);
	free(probe);
}

/* KVM unmasks the pin by an eventfd. */
TEST_F(fairness, an_eventfd)
{
	int fds[2] = { make_eventfd(), make_eventfd() };

	ASSERT_EQ(0, wire_negotiate(self->busy, NULL));
	ASSERT_EQ(0, wire_set_irqs(self->busy, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				   PROBE_PIN, 0, 1, fds, 1));
	ASSERT_EQ(0, wire_set_irqs(self->busy, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK,
				   PROBE_PIN, 0, 1, fds + 1, 1));
	ASSERT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	ask(&self->test, MANY);
	ASSERT_EQ(0, eventfd_write(fds[1], 1));
	ask(&self->test, FEW);
	EXPECT_EQ(1, self->probe->unmasked);
	close(fds[0]);
	close(fds[1]);
}

static void read_memory(struct vfioext_user_device *device, struct probe *probe)
{
	static const struct vfioext_user_sg sg = { .size = 4 };
	static uint8_t bytes[4];

	vfioext_user_dma_read(device, &sg, 1, bytes, probe_dma_done, probe);
}

/* A driver starts a transfer and polls a register until it is done. */
TEST_F(fairness, an_answer_on_the_second_socket)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_access access;
		uint8_t bytes[4];
	} message;
	const size_t asked = sizeof(message.header) + sizeof(message.access);
	int twin;

	ASSERT_EQ(0, wire_negotiate(self->busy, with_twin));
	ASSERT_EQ(1, self->busy->nr_fds);
	twin = self->busy->fds[0];
	self->busy->nr_fds = 0;
	ASSERT_EQ(0, wire_map(self->busy, 0, PAGE, RW, -1, 0));
	self->probe->on_write = read_memory;
	ask(&self->test, MANY);
	ASSERT_EQ(0, wire_write(self->busy, PROBE_CALLED, 0, "go", 2));
	ASSERT_EQ(asked, recv(twin, &message, asked, 0));
	message.header.flags = VFIO_USER_REPLY;
	message.header.size = sizeof(message);
	ask(&self->test, MANY);
	ASSERT_EQ(sizeof(message), send(twin, &message, sizeof(message), MSG_NOSIGNAL));
	ask(&self->test, FEW);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	close(twin);
}

TEST_HARNESS_MAIN
