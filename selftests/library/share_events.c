// SPDX-License-Identifier: GPL-2.0-only
/*
 * What those who attached hear of removals: at once, and when events were lost. The kernel's
 * part is in lib/events.c.
 */
#include <errno.h>
#include <poll.h>

#include "../../libvfioext/share_message.h"

#include "../lib/events.h"
#include "../lib/share_fixture.h"

#define NAME "0000:03:00.0"

/* What came to one, by its type. */
struct told {
	struct vfioext_attachment *attachment;
	unsigned int lost;
	unsigned int current;
	uint32_t id;
	int nested_dispatch;
	int nested_detach;
};

static void hear(enum vfioext_attach_what what, const struct vfioext_event *event, void *data)
{
	struct told *told = data;

	if (what != VFIOEXT_ATTACH_EVENT)
		return;
	told->lost += event->type == VFIOEXT_EVENT_LOST;
	told->current += event->type == VFIOEXT_EVENT_CURRENT;
	told->id = event->removal.id;
	told->nested_dispatch = vfioext_attachment_dispatch(told->attachment, NULL, NULL);
	told->nested_detach = vfioext_detach(told->attachment);
}

/* Both sides in turn, as long as there is something to do, and then a little more. */
static void run(struct vfioext_share *share, struct told *told, int ms)
{
	struct pollfd fd = { .fd = vfioext_share_fd(share), .events = POLLIN };
	uint64_t begin = share_now_ms();

	do {
		vfioext_share_dispatch(share);
		vfioext_attachment_dispatch(told->attachment, hear, told);
	} while (poll(&fd, 1, ms) > 0 && ms_since(begin) < LONG_MS);
	vfioext_attachment_dispatch(told->attachment, hear, told);
}

static void be_under_way(uint32_t id)
{
	const struct vfioext_event list[] = {
		events_make(VFIOEXT_EVENT_CURRENT, 1000, "0000:14:00.0", OTHER),
		events_make(VFIOEXT_EVENT_CURRENT, id, NAME, FIRST),
	};

	events_under_way(list, id ? 2 : 1);
}

static void lose(void)
{
	const struct vfioext_event event = { .type = VFIOEXT_EVENT_LOST };

	events_tell(&event);
}

TEST_F(share, begun_before)
{
	struct told told = { 0 };

	events_reset();
	be_under_way(7);
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &told.attachment));
	run(self->share, &told, 0);
	EXPECT_NE(NULL, vfioext_attachment_container(told.attachment));
	EXPECT_EQ(1, told.current);
	EXPECT_EQ(7, told.id);
	EXPECT_EQ(-EDEADLK, told.nested_dispatch);
	EXPECT_EQ(-EBUSY, told.nested_detach);
	EXPECT_EQ(0, vfioext_detach(told.attachment));
}

/* Until the kernel tells. Those who heard it do not again. */
TEST_F(share, begun_before_and_unknown)
{
	struct told told = { 0 }, late = { 0 };
	unsigned int before;

	events_reset();
	be_under_way(7);
	events_resync_error = -EAGAIN;
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &told.attachment));
	run(self->share, &told, 0);
	EXPECT_NE(NULL, vfioext_attachment_container(told.attachment));
	EXPECT_EQ(0, told.current);
	events_resync_error = 0;
	run(self->share, &told, 300);
	EXPECT_EQ(1, told.current);
	EXPECT_EQ(7, told.id);
	before = events_resyncs;
	run(self->share, &told, 300);
	EXPECT_EQ(before, events_resyncs);
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &late.attachment));
	run(self->share, &late, 0);
	run(self->share, &told, 0);
	EXPECT_EQ(1, late.current);
	EXPECT_EQ(1, told.current);
	EXPECT_EQ(0, vfioext_detach(told.attachment));
	EXPECT_EQ(0, vfioext_detach(late.attachment));
}

TEST_F(share, events_are_lost)
{
	struct told told = { 0 };
	unsigned int before;

	events_reset();
	be_under_way(0);
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &told.attachment));
	run(self->share, &told, 0);
	EXPECT_EQ(0, told.current);
	be_under_way(8);
	lose();
	run(self->share, &told, 0);
	EXPECT_EQ(1, told.lost);
	EXPECT_EQ(1, told.current);
	EXPECT_EQ(8, told.id);
	/* The kernel cannot tell, and is not asked in a hurry. */
	events_resync_error = -ENOMEM;
	be_under_way(9);
	before = events_resyncs;
	lose();
	run(self->share, &told, 0);
	run(self->share, &told, 0);
	EXPECT_EQ(2, told.lost);
	EXPECT_EQ(1, told.current);
	EXPECT_EQ(1, events_resyncs - before);
	events_resync_error = 0;
	run(self->share, &told, 300);
	EXPECT_EQ(2, told.current);
	EXPECT_EQ(9, told.id);
	/* Without the module nothing is, and it is not asked again. */
	events_resync_error = -EPROTONOSUPPORT;
	before = events_resyncs;
	lose();
	run(self->share, &told, 300);
	EXPECT_EQ(1, events_resyncs - before);
	EXPECT_EQ(3, told.lost);
	EXPECT_EQ(2, told.current);
	EXPECT_EQ(0, vfioext_detach(told.attachment));
}

static int nested;

static void log_and_dispatch(const char *text, void *data)
{
	struct _test_data_share *self = data;

	(void)text;
	if (self->share)
		nested = vfioext_share_dispatch(self->share);
}

TEST_F(share, dispatched_from_its_log)
{
	struct vfioext_share_options options = { .log = log_and_dispatch, .data = self };
	struct told told = { 0 };

	events_reset();
	nested = 0;
	ASSERT_EQ(0, begin_share(self, options, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &told.attachment));
	run(self->share, &told, 0);
	EXPECT_NE(NULL, vfioext_attachment_container(told.attachment));
	EXPECT_EQ(-EDEADLK, nested);
	EXPECT_EQ(0, vfioext_detach(told.attachment));
}

TEST_HARNESS_MAIN
