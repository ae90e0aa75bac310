/* SPDX-License-Identifier: GPL-2.0-only */
/* A board that is served, and a client that opened it, for each test of our client. */
#ifndef SELFTESTS_BOARD_FIXTURE_H
#define SELFTESTS_BOARD_FIXTURE_H

#include "kselftest_harness.h"

#include "board.h"

FIXTURE(client) {
	struct board *board;
	struct board *second;
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_container *container;
	struct vfioext_region *bar;
};

FIXTURE_SETUP(client)
{
	self->board = board_new("client");
	ASSERT_NE(NULL, self->board);
	self->second = NULL;
	ASSERT_EQ(0, vfioext_new(&self->ctx, NULL));
	ASSERT_EQ(0, open_board(self->ctx, self->board, NULL, &self->device));
	self->container = vfioext_device_container(self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, REGISTERS, &self->bar));
}

FIXTURE_TEARDOWN(client)
{
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	board_free(self->board);
	if (self->second)
		board_free(self->second);
}

#endif
