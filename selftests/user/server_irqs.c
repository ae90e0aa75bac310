// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts of devices that are served over vfio-user: all that clients can ask for. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define NONE VFIO_IRQ_SET_DATA_NONE
#define BOOL VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK VFIO_IRQ_SET_ACTION_MASK
#define UNMASK VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

#define NR 4

FIXTURE(irqs) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
	int fds[NR];
};

FIXTURE_SETUP(irqs)
{
	int i;

	for (i = 0; i < NR; i++)
		self->fds[i] = make_eventfd();
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
}

FIXTURE_TEARDOWN(irqs)
{
	int i;

	EXPECT_TRUE(wire_test_end(&self->test));
	for (i = 0; i < NR; i++)
		close(self->fds[i]);
}

static int set(struct wire *wire, uint32_t flags, uint32_t index, uint32_t start, uint32_t count)
{
	return wire_set_irqs(wire, flags, index, start, count, NULL, 0);
}

static int set_bools(struct wire *wire, uint32_t flags, uint32_t index, uint32_t start,
		     uint32_t count, const void *bools, size_t size)
{
	struct vfio_irq_set head = {
		.argsz = sizeof(head), .flags = flags, .index = index, .start = start, .count = count,
	};
	uint8_t body[sizeof(head) + 64];

	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head), bools, size);
	return wire_call(wire, VFIO_USER_DEVICE_SET_IRQS, body, sizeof(head) + size);
}

TEST_F(irqs, info)
{
	static const struct { uint32_t flags, count; } kinds[] = {
		{ VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, 1 },
		{ VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE, 4 },
		{ VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 64 },
		{ 0, 0 },
	};
	struct vfio_user_irq_info info;
	uint32_t i;

	for (i = 0; i < PROBE_IRQS; i++) {
		info = (struct vfio_user_irq_info){ .argsz = 32, .index = i };
		ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_GET_IRQ_INFO, &info, 16));
		ASSERT_EQ(16, self->wire->size);
		memcpy(&info, self->wire->body, 16);
		EXPECT_EQ(16, info.argsz);
		EXPECT_EQ(i, info.index);
		EXPECT_EQ(kinds[i].flags, info.flags);
		EXPECT_EQ(kinds[i].count, info.count);
	}
	info.index = PROBE_IRQS;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DEVICE_GET_IRQ_INFO, &info, 16));
	info = (struct vfio_user_irq_info){ .argsz = 15 };
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DEVICE_GET_IRQ_INFO, &info, 16));
}

TEST_F(irqs, eventfds)
{
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 5));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_eventfd(self->device, PROBE_VECTORS, 5));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 4, 3, self->fds, 3));
	EXPECT_EQ(0, self->wire->size);
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 5));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 5));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
	EXPECT_EQ(2, eventfd_count(self->fds[1]));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 7));
	EXPECT_EQ(-EINVAL, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 64));
	EXPECT_EQ(-EINVAL, vfioext_user_irq_trigger(self->device, PROBE_NO_VECTORS, 0));
	EXPECT_EQ(-EINVAL, vfioext_user_irq_trigger(self->device, PROBE_IRQS, 0));
	EXPECT_EQ(-EINVAL, vfioext_user_irq_eventfd(self->device, PROBE_IRQS, 0));
}

/* The number stays when another eventfd takes its place, or none. */
TEST_F(irqs, eventfds_are_taken_away)
{
	int number;

	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 1, self->fds, 1));
	number = vfioext_user_irq_eventfd(self->device, PROBE_VECTORS, 0);
	ASSERT_LE(0, number);
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 1,
				   self->fds + 1, 1));
	EXPECT_EQ(number, vfioext_user_irq_eventfd(self->device, PROBE_VECTORS, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
	EXPECT_EQ(1, eventfd_count(self->fds[1]));
	ASSERT_EQ(0, set(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 64));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
	EXPECT_EQ(number, vfioext_user_irq_eventfd(self->device, PROBE_VECTORS, 0));
	EXPECT_EQ(0, eventfd_write(number, 1));
	EXPECT_EQ(0, eventfd_count(self->fds[1]));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 1, self->fds, 1));
	EXPECT_EQ(0, eventfd_write(number, 1));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
}

TEST_F(irqs, disable)
{
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 4, self->fds, 4));
	ASSERT_EQ(0, set(self->wire, NONE | TRIGGER, PROBE_VECTORS, 0, 0));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 3));
	EXPECT_EQ(0, set(self->wire, NONE | TRIGGER, PROBE_NO_VECTORS, 0, 0));
}

/* The client signals itself: all, or those that a bool stands for. */
TEST_F(irqs, loopback)
{
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 3, self->fds, 3));
	EXPECT_EQ(0, set(self->wire, NONE | TRIGGER, PROBE_VECTORS, 1, 3));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
	EXPECT_EQ(1, eventfd_count(self->fds[1]));
	EXPECT_EQ(1, eventfd_count(self->fds[2]));
	EXPECT_EQ(0, set_bools(self->wire, BOOL | TRIGGER, PROBE_VECTORS, 0, 3, "\1\0\xff", 3));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	EXPECT_EQ(0, eventfd_count(self->fds[1]));
	EXPECT_EQ(1, eventfd_count(self->fds[2]));
	EXPECT_EQ(-EINVAL, set_bools(self->wire, BOOL | TRIGGER, PROBE_VECTORS, 0, 3, "\1\1", 2));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
}

TEST_F(irqs, masks)
{
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_MASKABLE, 0, 4, self->fds, 4));
	ASSERT_EQ(0, set(self->wire, NONE | MASK, PROBE_MASKABLE, 1, 2));
	EXPECT_EQ(2, self->probe->masked);
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 1));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	EXPECT_EQ(0, eventfd_count(self->fds[1]));
	/* What came meanwhile comes now, once; where nothing came nothing comes. */
	ASSERT_EQ(0, set(self->wire, NONE | UNMASK, PROBE_MASKABLE, 0, 4));
	EXPECT_EQ(4, self->probe->unmasked);
	EXPECT_EQ(1, eventfd_count(self->fds[1]));
	EXPECT_EQ(0, eventfd_count(self->fds[2]));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 2));
	EXPECT_EQ(1, eventfd_count(self->fds[2]));
	EXPECT_EQ(0, set_bools(self->wire, BOOL | MASK, PROBE_MASKABLE, 0, 2, "\0\1", 2));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 1));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	EXPECT_EQ(0, eventfd_count(self->fds[1]));
	EXPECT_EQ(0, set_bools(self->wire, BOOL | UNMASK, PROBE_MASKABLE, 1, 1, "\1", 1));
	EXPECT_EQ(1, eventfd_count(self->fds[1]));
	EXPECT_EQ(-EINVAL, set(self->wire, NONE | MASK, PROBE_VECTORS, 0, 1));
	EXPECT_EQ(-EINVAL, set(self->wire, NONE | UNMASK, PROBE_VECTORS, 0, 1));
}

/* A pin is masked by being signaled, until the client has seen to it. */
TEST_F(irqs, automask)
{
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_PIN, 0, 1, self->fds, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	ASSERT_EQ(0, set(self->wire, NONE | UNMASK, PROBE_PIN, 0, 1));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	ASSERT_EQ(0, set(self->wire, NONE | UNMASK, PROBE_PIN, 0, 1));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
	/* Disabled it forgets that it was masked. */
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	ASSERT_EQ(0, set(self->wire, NONE | TRIGGER, PROBE_PIN, 0, 0));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_PIN, 0, 1, self->fds + 1, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(1, eventfd_count(self->fds[1]));
}

/* Nobody unmasks what nobody was told of. */
TEST_F(irqs, automask_without_a_listener)
{
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_PIN, 0, 1, self->fds, 1));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
}

/* KVM writes there when the guest has seen to it. */
TEST_F(irqs, unmask_by_eventfd)
{
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_PIN, 0, 1, self->fds, 1));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1, self->fds + 1, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	ASSERT_EQ(0, eventfd_write(self->fds[1], 1));
	wire_pump(self->test.server);
	EXPECT_EQ(1, self->probe->unmasked);
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	/* Another in its place, then none. */
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1, self->fds + 2, 1));
	ASSERT_EQ(0, eventfd_write(self->fds[1], 1));
	ASSERT_EQ(0, eventfd_write(self->fds[2], 1));
	wire_pump(self->test.server);
	EXPECT_EQ(2, self->probe->unmasked);
	ASSERT_EQ(0, set(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1));
	ASSERT_EQ(0, eventfd_write(self->fds[2], 1));
	wire_pump(self->test.server);
	EXPECT_EQ(2, self->probe->unmasked);
	EXPECT_EQ(-ENOTSUP, wire_set_irqs(self->wire, EVENTFD | MASK, PROBE_PIN, 0, 1, self->fds, 1));
	EXPECT_EQ(-EINVAL, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_MASKABLE, 1, 1,
					 self->fds, 1));
	EXPECT_EQ(-EINVAL, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_MASKABLE, 0, 2,
					 self->fds, 2));
}

/* What is no eventfd is refused, and the one before it stays. */
TEST_F(irqs, unmask_by_what_is_no_eventfd)
{
	int wrong[] = { self->probe->file, -1, -1, vfioext_user_fd(self->test.server) };
	unsigned int i;

	ASSERT_EQ(0, pipe(wrong + 1));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1, self->fds + 1, 1));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(-EINVAL, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1,
						 wrong + i, 1));
	ASSERT_EQ(0, eventfd_write(self->fds[1], 1));
	wire_pump(self->test.server);
	EXPECT_EQ(1, self->probe->unmasked);
	close(wrong[1]);
	close(wrong[2]);
}

/* Every combination of data and action, right or wrong, for each kind. */
TEST_F(irqs, combinations)
{
	uint32_t flags, index;
	int ret;

	for (index = 0; index < PROBE_IRQS; index++) {
		for (flags = 0; flags < 0x80; flags++) {
			uint32_t data = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
			uint32_t action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
			bool good = !(flags & 0x40) && index != PROBE_NO_VECTORS &&
				    __builtin_popcount(data) == 1 && __builtin_popcount(action) == 1;

			if (action != TRIGGER && index == PROBE_VECTORS)
				good = false;
			ret = set_bools(self->wire, flags, index, 0, 1, "\1", 1);
			EXPECT_EQ(!good ? -EINVAL : data == EVENTFD && action == MASK ? -ENOTSUP : 0,
				  ret)
				TH_LOG("flags %x index %u", flags, index);
		}
	}
}

TEST_F(irqs, that_cannot_be)
{
	static const struct { uint32_t flags, index, start, count; size_t fds; } wrong[] = {
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 0, 65, 0 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 64, 1, 0 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 65, 0, 0 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, UINT32_MAX, 2, 0 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 1, UINT32_MAX, 0 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 0, 0, 0 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 0, 2, 1 },
		{ EVENTFD | TRIGGER, PROBE_VECTORS, 0, 1, 2 },
		{ NONE | TRIGGER, PROBE_VECTORS, 0, 1, 1 },
		{ NONE | TRIGGER, PROBE_VECTORS, 1, 0, 0 },
		{ BOOL | TRIGGER, PROBE_VECTORS, 0, 1, 1 },
		{ BOOL | TRIGGER, PROBE_VECTORS, 0, 0, 0 },
		{ EVENTFD | TRIGGER, PROBE_NO_VECTORS, 0, 1, 1 },
		{ EVENTFD | TRIGGER, PROBE_IRQS, 0, 1, 1 },
		{ EVENTFD | TRIGGER, UINT32_MAX, 0, 1, 1 },
		{ EVENTFD | TRIGGER | 1u << 31, PROBE_VECTORS, 0, 1, 1 },
	};
	struct vfio_irq_set head = { .argsz = 19, .flags = NONE | TRIGGER };
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		EXPECT_EQ(-EINVAL, wire_set_irqs(self->wire, wrong[i].flags, wrong[i].index,
						 wrong[i].start, wrong[i].count, self->fds,
						 wrong[i].fds))
			TH_LOG("line %zu", i);
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DEVICE_SET_IRQS, &head, sizeof(head)));
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
}

/* With the callback nothing is done with them here. */
static struct vfio_irq_set last_set;
static uint8_t last_bools[4];
static int last_fd = -1;
static size_t last_nr;

static int take_set(struct vfioext_user_device *device, const struct vfio_irq_set *set,
		    const int *fds, size_t nr_fds)
{
	struct probe *probe = vfioext_user_device_data(device);

	last_set = *set;
	if (set->flags & BOOL)
		memcpy(last_bools, set->data, set->count);
	last_nr = nr_fds;
	if (nr_fds)
		last_fd = fds[0];
	return probe->error;
}

static const struct vfioext_user_ops set_ops = { .set_irqs = take_set };

TEST_F(irqs, callback)
{
	wire_test_end(&self->test);
	wire_test_begin(&self->test, &set_ops);
	self->probe = self->test.probe;
	self->device = self->test.device;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, set_bools(self->wire, BOOL | TRIGGER, PROBE_VECTORS, 5, 3, "\1\0\1", 3));
	EXPECT_EQ(BOOL | TRIGGER, last_set.flags);
	EXPECT_EQ(5, last_set.start);
	EXPECT_EQ(3, last_set.count);
	EXPECT_EQ(0, memcmp(last_bools, "\1\0\1", 3));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 1, self->fds, 1));
	EXPECT_EQ(1, last_nr);
	/* It stays open only for who took it. */
	EXPECT_NE(-1, last_fd);
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 0));
	EXPECT_EQ(-EINVAL, set(self->wire, NONE | TRIGGER, PROBE_VECTORS, 0, 65));
	EXPECT_EQ(0, last_set.start);
	self->probe->error = -EBUSY;
	EXPECT_EQ(-EBUSY, set(self->wire, NONE | TRIGGER, PROBE_VECTORS, 0, 1));
}

/* It gets an aligned structure, wherever in the stream that is. */
TEST_F(irqs, callback_behind_odd_sizes)
{
	struct vfio_user_region_access access = { 0, PROBE_WRITE_ONLY, 1 };
	struct vfio_irq_set head = { .argsz = 20, .flags = NONE | TRIGGER, .start = 7, .count = 1,
				     .index = PROBE_VECTORS };
	struct vfio_user_header write = { 1, VFIO_USER_REGION_WRITE, 33, VFIO_USER_NO_REPLY, 0 };
	struct vfio_user_header set = { 2, VFIO_USER_DEVICE_SET_IRQS, 36, 0, 0 };
	uint8_t messages[33 + 36] = { 0 };

	wire_test_end(&self->test);
	wire_test_begin(&self->test, &set_ops);
	self->probe = self->test.probe;
	self->device = self->test.device;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	memcpy(messages, &write, 16);
	memcpy(messages + 16, &access, 16);
	memcpy(messages + 33, &set, 16);
	memcpy(messages + 49, &head, 20);
	ASSERT_TRUE(wire_send(self->wire, messages, sizeof(messages), NULL, 0));
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	EXPECT_EQ(7, last_set.start);
}

static int leave_it(struct vfioext_user_device *device, const struct vfio_irq_set *set,
		    const int *fds, size_t nr_fds)
{
	(void)device;
	(void)set;
	(void)fds;
	(void)nr_fds;
	return 1;
}

static const struct vfioext_user_ops leave_ops = { .set_irqs = leave_it };

/* What the callback leaves to the library is done with the vectors that were named. */
TEST_F(irqs, bools_behind_odd_sizes)
{
	struct vfio_user_header write = { 1, VFIO_USER_REGION_WRITE, 0, VFIO_USER_NO_REPLY, 0 };
	struct vfio_user_header set = { 2, VFIO_USER_DEVICE_SET_IRQS, 36 + NR, 0, 0 };
	struct vfio_irq_set head = { .argsz = 20, .flags = BOOL | TRIGGER, .count = NR,
				     .index = PROBE_VECTORS };
	uint8_t messages[36 + 36 + NR] = { 0 };
	size_t odd;
	int i;

	wire_test_end(&self->test);
	wire_test_begin(&self->test, &leave_ops);
	self->device = self->test.device;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, NR,
				   self->fds, NR));
	for (odd = 0; odd < 4; odd++) {
		write.size = (uint32_t)(32 + odd);
		memcpy(messages, &write, 16);
		memcpy(messages + write.size, &set, 16);
		memcpy(messages + write.size + 16, &head, 20);
		memcpy(messages + write.size + 36, "\0\0\1\0", NR);
		ASSERT_TRUE(wire_send(self->wire, messages, write.size + set.size, NULL, 0));
		ASSERT_EQ(1, wire_get(self->wire));
		EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
		for (i = 0; i < NR; i++)
			EXPECT_EQ(i == 2, eventfd_count(self->fds[i]))
				TH_LOG("vector %d behind %zu bytes", i, odd);
	}
}

/* To mask none, or to unmask none, is nothing that a client can mean. */
TEST_F(irqs, masks_of_none)
{
	uint32_t irq;

	for (irq = PROBE_PIN; irq <= PROBE_MASKABLE; irq++) {
		EXPECT_EQ(-EINVAL, set(self->wire, NONE | MASK, irq, 0, 0));
		EXPECT_EQ(-EINVAL, set(self->wire, NONE | UNMASK, irq, 0, 0));
		EXPECT_EQ(0, set(self->wire, NONE | TRIGGER, irq, 0, 0));
	}
	EXPECT_EQ(0, self->probe->masked + self->probe->unmasked);
}

/* An idle server keeps no descriptor of a client, nor one in its place. */
TEST_F(irqs, descriptors_are_closed)
{
	unsigned int files = count_files(), i;

	for (i = 0; i < 64; i += NR)
		ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, i, NR,
					   self->fds, NR));
	EXPECT_EQ(files + 64, count_files());
	ASSERT_EQ(0, set(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, 0, 16));
	EXPECT_EQ(files + 48, count_files());
	/* Whose number was asked for keeps it. */
	ASSERT_LE(0, vfioext_user_irq_eventfd(self->device, PROBE_VECTORS, 20));
	ASSERT_EQ(0, set(self->wire, NONE | TRIGGER, PROBE_VECTORS, 0, 0));
	EXPECT_EQ(files + 1, count_files());
	EXPECT_EQ(-ENOENT, vfioext_user_irq_eventfd(self->device, PROBE_VECTORS, 21));
	for (i = 0; i < 64; i += NR)
		ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_VECTORS, i, NR,
					   self->fds, NR));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_VECTORS, 5));
	EXPECT_EQ(1, eventfd_count(self->fds[5 % NR]));
	wire_close(self->wire);
	wire_pump(self->test.server);
	/* Those that were asked for, one of them in vain; the client's sockets are gone. */
	EXPECT_GE(files + 2, count_files());
}

/* With the client its eventfds go, and what was masked is not. */
TEST_F(irqs, client_goes)
{
	int number;

	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_MASKABLE, 0, 4, self->fds, 4));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1, self->fds, 1));
	ASSERT_EQ(0, set(self->wire, NONE | MASK, PROBE_MASKABLE, 0, 4));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 0));
	number = vfioext_user_irq_eventfd(self->device, PROBE_MASKABLE, 0);
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 0));
	EXPECT_EQ(0, eventfd_write(number, 1));
	EXPECT_EQ(0, eventfd_count(self->fds[0]));
	ASSERT_EQ(0, eventfd_write(self->fds[0], 1));
	wire_pump(self->test.server);
	EXPECT_EQ(0, self->probe->unmasked);
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_MASKABLE, 0, 1, self->fds, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_MASKABLE, 0));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
}

/* A pipe nobody reads would be the end of the process, and a full one would hold it up. */
TEST_F(irqs, what_is_no_eventfd)
{
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EINVAL, wire_set_irqs(self->wire, EVENTFD | TRIGGER, 1, 0, 1, &pipes[1], 1));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(-ENOENT, vfioext_user_irq_trigger(self->device, 1, 0));
}

/* What waits when it can count no further is left at that. */
TEST_F(irqs, full_eventfd)
{
	eventfd_t count;
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_EQ(0, eventfd_write(fd, UINT64_MAX - 1));
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, 1, 0, 1, &fd, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, 1, 0));
	ASSERT_EQ(0, eventfd_read(fd, &count));
	EXPECT_LE(UINT64_MAX - 1, count);
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, 1, 0));
	ASSERT_EQ(0, eventfd_read(fd, &count));
	EXPECT_EQ(1, count);
	close(fd);
}

/* A client that runs as somebody else. */
static void attach_stranger(struct wire_test *test)
{
	int fds[2], ret;

	wire_close(&test->wire);
	wire_pump(test->server);
	if (seteuid(65534))
		abort();
	ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
	if (ret || seteuid(0) || vfioext_user_device_attach(test->device, fds[0]))
		abort();
	wire_open(&test->wire, fds[1], test->server);
	if (wire_negotiate(&test->wire, NULL))
		abort();
}

/* Whether to write to it waits is also the client's to say, at any time. */
TEST_F(irqs, eventfd_that_waits_later)
{
	eventfd_t count;
	int i;

	if (getuid())
		SKIP(return, "other users can be had by root alone");
	attach_stranger(&self->test);
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, 1, 0, 1, self->fds, 1));
	for (i = 0; i < 1000; i++)
		ASSERT_EQ(0, vfioext_user_irq_trigger(self->device, 1, 0));
	EXPECT_EQ(1000, eventfd_count(self->fds[0]));
	ASSERT_EQ(0, eventfd_write(self->fds[0], UINT64_MAX - 1));
	ASSERT_EQ(0, fcntl(self->fds[0], F_SETFL, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, 1, 0));
	ASSERT_EQ(0, eventfd_read(self->fds[0], &count));
	EXPECT_LE(UINT64_MAX - 1, count);
}

/* One that it takes the count away from before we look is no reason to wait either. */
TEST_F(irqs, unmask_that_waits)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | UNMASK, PROBE_PIN, 0, 1, &fd, 1));
	EXPECT_EQ(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	ASSERT_EQ(0, wire_set_irqs(self->wire, EVENTFD | TRIGGER, PROBE_PIN, 0, 1, self->fds, 1));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	ASSERT_EQ(0, eventfd_write(fd, 1));
	wire_pump(self->test.server);
	EXPECT_EQ(1, eventfd_count(self->fds[0]));
	close(fd);
}

TEST_HARNESS_MAIN
