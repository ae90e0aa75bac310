// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a device may do while it is called: free others, dispatch in vain; and what is left of
 * one that is freed while it has something of its client's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define OTHERS 3

/*
 * Of each device: @victims are freed by its next callback; what it returns to dispatch
 * there, or to attach another client, and what was called in which order.
 */
struct toy {
	struct toy *victims[OTHERS];
	struct vfioext_user *server;
	struct vfioext_user_device *device;
	struct wire wire;
	unsigned int callbacks;
	unsigned int done;
	unsigned int done_before_detached;
	int dispatched;
	int waited;
	int attached;
	int error;
	bool detached;
};

static void called(struct toy *toy)
{
	unsigned int i;

	toy->callbacks++;
	toy->dispatched = vfioext_user_dispatch(toy->server);
	toy->waited = vfioext_user_wait(toy->server, 0);
	for (i = 0; i < OTHERS; i++) {
		if (!toy->victims[i])
			continue;
		vfioext_user_device_free(toy->victims[i]->device);
		toy->victims[i]->device = NULL;
		toy->victims[i] = NULL;
	}
}

static void toy_attached(struct vfioext_user_device *device)
{
	called(vfioext_user_device_data(device));
}

static void toy_detached(struct vfioext_user_device *device)
{
	struct toy *toy = vfioext_user_device_data(device);
	int fds[2];

	toy->detached = true;
	toy->done_before_detached = toy->done;
	called(toy);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return;
	toy->attached = vfioext_user_device_attach(device, fds[0]);
	if (toy->attached)
		close(fds[0]);
	close(fds[1]);
}

static int toy_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		    size_t count, uint64_t offset)
{
	(void)region;
	(void)offset;
	memset(buffer, 0, count);
	called(vfioext_user_device_data(device));
	return 0;
}

static void toy_done(struct vfioext_user_device *device, int error, void *data)
{
	struct toy *toy = data;
	struct vfioext_user_sg sg = { 0, 8 };
	uint8_t buffer[8];

	toy->done++;
	toy->error = error;
	called(toy);
	if (error == -ENOTCONN)
		toy->error = vfioext_user_dma_read(device, &sg, 1, buffer, toy_done, toy);
}

static const struct vfioext_user_ops toy_ops = {
	.attached = toy_attached,
	.detached = toy_detached,
	.read = toy_read,
};

FIXTURE(callbacks) {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct toy toys[OTHERS + 1];
	unsigned int files;
	unsigned int mappings;
	int file;
};

static void add_toy(struct vfioext_user *server, struct toy *toy)
{
	struct vfioext_user_region region = {
		.flags = VFIOEXT_REGION_READ, .size = PAGE, .fd = -1,
	};
	int fds[2];

	toy->server = server;
	if (vfioext_user_device_new(server, &toy_ops, toy, &toy->device) ||
	    vfioext_user_device_set_region(toy->device, 0, &region) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
	    vfioext_user_device_attach(toy->device, fds[0]))
		abort();
	wire_open(&toy->wire, fds[1], server);
	if (wire_negotiate(&toy->wire, NULL))
		abort();
}

FIXTURE_SETUP(callbacks)
{
	unsigned int i;

	self->files = count_files();
	self->mappings = count_mappings();
	memset(self->toys, 0, sizeof(self->toys));
	ASSERT_EQ(0, vfioext_new(&self->ctx, "/nonexistent"));
	ASSERT_EQ(0, vfioext_user_new(self->ctx, NULL, NULL, &self->server));
	for (i = 0; i <= OTHERS; i++)
		add_toy(self->server, &self->toys[i]);
	self->file = make_file(PAGE);
}

FIXTURE_TEARDOWN(callbacks)
{
	unsigned int i;

	vfioext_user_free(self->server);
	for (i = 0; i <= OTHERS; i++)
		wire_close(&self->toys[i].wire);
	vfioext_free(self->ctx);
	close(self->file);
	EXPECT_EQ(self->files, count_files());
	EXPECT_EQ(self->mappings, count_mappings());
}

/* One frees all others: those that are looked at before it, and those that are after. */
static void set_victims(struct toy *toys, unsigned int of)
{
	unsigned int i, at = 0;

	for (i = 0; i <= OTHERS; i++)
		if (i != of)
			toys[of].victims[at++] = &toys[i];
}

static bool are_gone(const struct toy *toys, unsigned int but)
{
	unsigned int i;

	for (i = 0; i <= OTHERS; i++)
		if (i != but && (toys[i].device || !toys[i].detached))
			return false;
	return toys[but].device;
}

/* When all are looked after, as is done when a client is dropped. */
TEST_F(callbacks, free_others_when_all_are_looked_after)
{
	set_victims(self->toys, 1);
	vfioext_user_device_detach(self->toys[1].device);
	wire_pump(self->server);
	EXPECT_TRUE(are_gone(self->toys, 1));
	EXPECT_TRUE(self->toys[1].detached);
}

/* And when each has something to be done. */
TEST_F(callbacks, free_others_whose_events_were_taken)
{
	struct vfio_user_region_access access = { 0, 0, 4 };
	unsigned int i;
	int ret;

	for (i = 0; i <= OTHERS; i++)
		wire_put(&self->toys[i].wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access),
			 NULL, 0);
	set_victims(self->toys, 2);
	wire_pump(self->server);
	EXPECT_TRUE(are_gone(self->toys, 2));
	EXPECT_EQ(1, wire_get(&self->toys[2].wire));
	/* If it was answered before, it is gone all the same. */
	do {
		ret = wire_get(&self->toys[0].wire);
	} while (ret == 1);
	EXPECT_EQ(-1, ret);
}

/* A device that is freed may have others freed, too. */
TEST_F(callbacks, free_others_when_freed)
{
	set_victims(self->toys, 3);
	vfioext_user_device_free(self->toys[3].device);
	self->toys[3].device = NULL;
	EXPECT_TRUE(self->toys[0].detached && self->toys[1].detached && self->toys[2].detached);
	EXPECT_EQ(NULL, self->toys[0].device);
	EXPECT_EQ(0, vfioext_user_dispatch(self->server));
}

/* The last one that was made is the first that goes. */
TEST_F(callbacks, free_others_when_the_server_goes)
{
	set_victims(self->toys, OTHERS);
	vfioext_user_free(self->server);
	self->server = NULL;
	EXPECT_TRUE(self->toys[0].detached && self->toys[1].detached && self->toys[2].detached);
}

/* It is called from there: a message would be dealt with again and again. */
TEST_F(callbacks, dispatch)
{
	struct toy *toy = &self->toys[0];

	EXPECT_EQ(1, toy->callbacks);
	EXPECT_EQ(-EDEADLK, toy->dispatched);
	EXPECT_EQ(-EDEADLK, toy->waited);
	toy->dispatched = 0;
	EXPECT_EQ(0, wire_read(&toy->wire, 0, 0, 4));
	EXPECT_EQ(2, toy->callbacks);
	EXPECT_EQ(-EDEADLK, toy->dispatched);
	/* While it is freed, outside of any dispatch, as well. */
	toy->dispatched = 0;
	vfioext_user_device_free(toy->device);
	toy->device = NULL;
	EXPECT_EQ(3, toy->callbacks);
	EXPECT_EQ(-EDEADLK, toy->dispatched);
	EXPECT_EQ(-EDEADLK, toy->waited);
	EXPECT_EQ(-EBUSY, toy->attached);
	EXPECT_EQ(0, vfioext_user_dispatch(self->server));
	EXPECT_EQ(0, vfioext_user_wait(self->server, 0));
}

/* Some are sent, and some are not yet; each is told once, and before the client is gone. */
TEST_F(callbacks, freed_with_transfers_under_way)
{
	struct toy *toy = &self->toys[0];
	struct vfioext_user_sg sg = { 0, 8 };
	uint8_t buffer[8];
	unsigned int i;

	ASSERT_EQ(0, wire_map(&toy->wire, 0, PAGE, RW, -1, 0));
	for (i = 0; i < 40; i++)
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(toy->device, &sg, 1, buffer,
							      toy_done, toy));
	wire_pump(self->server);
	vfioext_user_device_free(toy->device);
	toy->device = NULL;
	EXPECT_EQ(40, toy->done);
	EXPECT_EQ(40, toy->done_before_detached);
	EXPECT_EQ(-ENOTCONN, toy->error);
	EXPECT_EQ(-EDEADLK, toy->dispatched);
	wire_pump(self->server);
	EXPECT_EQ(40, toy->done);
}

/* An answer brings something about, too. */
TEST_F(callbacks, free_others_when_a_transfer_ends)
{
	struct vfio_user_dma_access access = { 0, 8 };
	struct toy *toy = &self->toys[1];
	struct vfioext_user_sg sg = { 0, 8 };
	uint8_t body[sizeof(access) + 8] = { 0 }, buffer[8];

	ASSERT_EQ(0, wire_map(&toy->wire, 0, PAGE, RW, -1, 0));
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(toy->device, &sg, 1, buffer, toy_done, toy));
	ASSERT_EQ(1, wire_get(&toy->wire));
	memcpy(body, &access, sizeof(access));
	toy->wire.id = toy->wire.header.id;
	set_victims(self->toys, 1);
	wire_put(&toy->wire, VFIO_USER_DMA_READ, VFIO_USER_REPLY, body, sizeof(body), NULL, 0);
	wire_pump(self->server);
	EXPECT_EQ(1, toy->done);
	EXPECT_EQ(0, toy->error);
	EXPECT_TRUE(are_gone(self->toys, 1));
}

static int get(struct vfioext_user_device *device, uint64_t iova, struct iovec *iov,
	       struct vfioext_user_use *uses, size_t nr)
{
	struct vfioext_user_sg sg = { iova, 8 };

	return vfioext_user_sgl_get(device, &sg, 1, VFIOEXT_USER_WRITE, iov, uses, nr);
}

/* It is there until it is put, and with it goes what is left of the device. */
TEST_F(callbacks, freed_with_memory_in_use)
{
	struct toy *toy = &self->toys[0];
	struct vfioext_user_device *device = toy->device;
	struct vfioext_user_use uses[3];
	struct iovec iov[3];
	int eventfds[8];
	unsigned int i;

	ASSERT_EQ(0, wire_map(&toy->wire, 0, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(&toy->wire, PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(device, 0, iov, uses, 3));
	ASSERT_EQ(1, get(device, 8, iov + 1, uses + 1, 2));
	ASSERT_EQ(1, get(device, PAGE, iov + 2, uses + 2, 1));
	vfioext_user_device_free(device);
	toy->device = NULL;
	memset(iov[0].iov_base, 1, 8);
	vfioext_user_sgl_put(device, uses, 2);
	memset(iov[2].iov_base, 2, 8);
	/* Its server may be gone by then as well, and its descriptors be others. */
	vfioext_user_free(self->server);
	self->server = NULL;
	for (i = 0; i < 8; i++)
		eventfds[i] = make_eventfd();
	vfioext_user_sgl_put(device, uses + 2, 1);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(0, eventfd_count(eventfds[i]));
		close(eventfds[i]);
	}
	EXPECT_EQ(self->mappings, count_mappings());
}

struct later {
	struct vfioext_user_device *device;
	struct vfioext_user_use use;
	pthread_barrier_t *begin;
};

static void *put_now(void *data)
{
	struct later *later = data;

	pthread_barrier_wait(later->begin);
	vfioext_user_sgl_put(later->device, &later->use, 1);
	return NULL;
}

#define ROUNDS 200

TEST_F(callbacks, freed_while_memory_is_put)
{
	struct later later[2];
	pthread_barrier_t begin;
	pthread_t threads[2];
	struct iovec iov;
	unsigned int i, n;

	ASSERT_EQ(0, pthread_barrier_init(&begin, NULL, 3));
	for (n = 0; n < ROUNDS; n++) {
		struct toy *toy = &self->toys[0];

		if (n) {
			wire_close(&toy->wire);
			memset(toy, 0, sizeof(*toy));
			add_toy(self->server, toy);
		}
		ASSERT_EQ(0, wire_map(&toy->wire, 0, PAGE, MAPPED, self->file, 0));
		for (i = 0; i < 2; i++) {
			later[i].device = toy->device;
			later[i].begin = &begin;
			ASSERT_EQ(1, get(toy->device, 0, &iov, &later[i].use, 1));
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, put_now, &later[i]));
		}
		pthread_barrier_wait(&begin);
		vfioext_user_device_free(toy->device);
		toy->device = NULL;
		for (i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
	}
	pthread_barrier_destroy(&begin);
}

TEST_HARNESS_MAIN
