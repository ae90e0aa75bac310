// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is watched: removals that come, are called off, come again, and events of
 * them that are lost. The kernel's part is in lib/events.c.
 */
#include <errno.h>
#include <linux/vfioext.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../../libvfioext/context.h"
#include "../../libvfioext/device.h"

#include "kselftest_harness.h"

#include "../lib/events.h"

#define NAME "0000:00:03.0"

static void tell(enum vfioext_event_type type, uint32_t id)
{
	const struct vfioext_event event = events_make(type, id, id ? NAME : "", 3);

	events_tell(&event);
}

/* That is what a resync finds: of another device something, too. 0: of ours nothing. */
static void be_under_way(uint32_t id)
{
	const struct vfioext_event list[] = {
		events_make(VFIOEXT_EVENT_CURRENT, 1000, "0000:00:04.0", 4),
		events_make(VFIOEXT_EVENT_CURRENT, id, NAME, 3),
	};

	events_under_way(list, id ? 2 : 1);
}

FIXTURE(watch) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	unsigned int calls;
	uint32_t id;
	int answer;
	int nested;
	bool let_go;
};

static int on_removal(struct vfioext_device *device, uint32_t id, void *data)
{
	struct _test_data_watch *self = data;

	self->calls++;
	self->id = id;
	self->nested = vfioext_device_watch_dispatch(device);
	if (self->let_go)
		vfioext_device_let_go(device);
	return self->answer;
}

FIXTURE_SETUP(watch)
{
	events_reset();
	be_under_way(0);
	ASSERT_EQ(0, vfioext_new(&self->ctx, NULL));
	self->device = calloc(1, sizeof(*self->device));
	self->device->ctx = self->ctx;
	self->device->fd = -1;
	self->device->pci = true;
	strcpy(self->device->info.name, NAME);
	strcpy(self->device->info.bus, "pci");
	pthread_mutex_init(&self->device->lock, NULL);
	self->calls = 0;
	self->answer = 1;
	self->nested = 0;
	self->let_go = false;
	ASSERT_EQ(0, vfioext_device_watch(self->device, on_removal, self));
}

FIXTURE_TEARDOWN(watch)
{
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
}

static bool is_readable(const struct vfioext_device *device, int timeout_ms)
{
	struct pollfd fd = { .fd = vfioext_device_watch_fd(device), .events = POLLIN };

	return poll(&fd, 1, timeout_ms) == 1;
}

#define expect_told(nr, number) \
do { \
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device)); \
	EXPECT_EQ(nr, self->calls); \
	EXPECT_EQ(number, self->id); \
	EXPECT_FALSE(is_readable(self->device, 0)); \
} while (0)

/* However often it is told, and by whatever. */
TEST_F(watch, once_for_a_removal)
{
	EXPECT_FALSE(is_readable(self->device, 0));
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	EXPECT_TRUE(is_readable(self->device, 0));
	expect_told(1, 1);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	tell(VFIOEXT_EVENT_REMOVAL_EXTENDED, 1);
	expect_told(1, 1);
	be_under_way(1);
	tell(VFIOEXT_EVENT_LOST, 0);
	expect_told(1, 1);
}

TEST_F(watch, another_number_is_another_removal)
{
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(1, 1);
	tell(VFIOEXT_EVENT_REMOVAL_CANCELLED, 1);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 2);
	expect_told(2, 2);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 3);
	expect_told(3, 3);
	/* That of an earlier one changes nothing. */
	tell(VFIOEXT_EVENT_REMOVAL_CANCELLED, 2);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 3);
	expect_told(3, 3);
}

/* It is called off before anybody heard of it. */
TEST_F(watch, never_told)
{
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	tell(VFIOEXT_EVENT_REMOVAL_CANCELLED, 1);
	expect_told(0, 0);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 2);
	tell(VFIOEXT_EVENT_LOST, 0);
	expect_told(0, 0);
}

/* By the interrupt as well, which comes after the event. */
TEST_F(watch, asked_twice)
{
	events_request();
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(1, 1);
	events_request();
	expect_told(1, 1);
	tell(VFIOEXT_EVENT_REMOVAL_CANCELLED, 1);
	events_request();
	expect_told(1, 1);
	/* It was called off before anybody looked. */
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 2);
	tell(VFIOEXT_EVENT_REMOVAL_CANCELLED, 2);
	events_request();
	expect_told(1, 1);
}

/* Without the module the interrupt is all there is. */
TEST_F(watch, asked_by_the_interrupt)
{
	struct vfioext_event unloaded;

	events_request();
	expect_told(1, 0);
	events_request();
	expect_told(1, 0);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 3);
	expect_told(2, 3);
	unloaded = events_make(VFIOEXT_EVENT_REMOVAL_CANCELLED, 3, NAME, 3);
	unloaded.outcome = VFIOEXT_OUTCOME_UNLOADED;
	events_tell(&unloaded);
	events_request();
	expect_told(3, 0);
}

TEST_F(watch, end_is_lost)
{
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(1, 1);
	tell(VFIOEXT_EVENT_LOST, 0);
	expect_told(1, 1);
	/* The numbers of a module that was loaded anew begin anew. */
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(2, 1);
	/* So is the beginning of the next. */
	be_under_way(2);
	tell(VFIOEXT_EVENT_LOST, 0);
	expect_told(3, 2);
}

/* The queue has what is told by the resync already. */
TEST_F(watch, told_twice)
{
	tell(VFIOEXT_EVENT_LOST, 0);
	be_under_way(7);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 6);
	tell(VFIOEXT_EVENT_REMOVAL_CANCELLED, 6);
	expect_told(1, 7);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 7);
	expect_told(1, 7);
}

/* Until it succeeds, and not in a hurry. */
TEST_F(watch, resync_fails)
{
	unsigned int before;

	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(1, 1);
	events_resync_error = -ENOMEM;
	before = events_resyncs;
	tell(VFIOEXT_EVENT_LOST, 0);
	expect_told(1, 1);
	EXPECT_EQ(1, events_resyncs - before);
	be_under_way(2);
	EXPECT_TRUE(is_readable(self->device, 5000));
	expect_told(1, 1);
	EXPECT_EQ(2, events_resyncs - before);
	events_resync_error = 0;
	EXPECT_TRUE(is_readable(self->device, 5000));
	expect_told(2, 2);
	EXPECT_EQ(3, events_resyncs - before);
	EXPECT_FALSE(is_readable(self->device, 300));
}

/* Nothing that the module was asked for is under way when it is gone. */
TEST_F(watch, module_is_gone)
{
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(1, 1);
	events_resync_error = -EPROTONOSUPPORT;
	tell(VFIOEXT_EVENT_LOST, 0);
	expect_told(1, 1);
	EXPECT_FALSE(is_readable(self->device, 300));
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(2, 1);
}

TEST_F(watch, begun_before)
{
	static const int errors[] = { 0, -EAGAIN };
	struct vfioext_device other = *self->device;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		vfioext_device_close(self->device);
		self->device = malloc(sizeof(other));
		*self->device = other;
		self->device->watch = NULL;
		pthread_mutex_init(&self->device->lock, NULL);
		be_under_way(4);
		events_resync_error = errors[i];
		ASSERT_EQ(0, vfioext_device_watch(self->device, on_removal, self));
		events_resync_error = 0;
		EXPECT_TRUE(is_readable(self->device, 5000));
		expect_told(i + 1, 4);
	}
}

/* A socket that is of no use any longer says nothing of what was told before. */
TEST_F(watch, broken_events)
{
	events_dispatch_error = -EBADF;
	EXPECT_EQ(-EBADF, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(0, self->calls);
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(1, self->calls);
}

TEST_F(watch, dispatched_from_the_callback)
{
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	expect_told(1, 1);
	EXPECT_EQ(-EDEADLK, self->nested);
}

TEST_F(watch, let_go_in_the_callback)
{
	self->let_go = true;
	tell(VFIOEXT_EVENT_REMOVAL_REQUESTED, 1);
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_TRUE(vfioext_device_lost(self->device));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->device));
	EXPECT_EQ(1, self->calls);
}

TEST_HARNESS_MAIN
