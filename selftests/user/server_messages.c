// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a client of vfio-user that comes and goes by messages: those of the server to
 * the client, in between the client's own, or over a socket of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define TWIN "{\"capabilities\":{\"max_msg_fds\":16,\"twin_socket\":{\"supported\":true}}}"

FIXTURE(messages) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
	int file;
};

FIXTURE_SETUP(messages)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
	self->file = make_file(16 * PAGE);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
}

FIXTURE_TEARDOWN(messages)
{
	close(self->file);
	EXPECT_TRUE(wire_test_end(&self->test));
}

static int get(struct vfioext_user_device *device, uint64_t iova, uint64_t size, uint32_t flags,
	       struct iovec *iov, struct vfioext_user_use *uses, size_t nr)
{
	struct vfioext_user_sg sg = { iova, size };

	return vfioext_user_sgl_get(device, &sg, 1, flags, iov, uses, nr);
}

/* A server's command that the client gets. */
static bool is_asked(struct wire *wire, unsigned int command, uint64_t address, uint64_t count)
{
	struct vfio_user_dma_access access;

	if (wire_get(wire) != 1 || wire->size < sizeof(access))
		return false;
	memcpy(&access, wire->body, sizeof(access));
	return wire->header.command == command && wire->header.flags == VFIO_USER_COMMAND &&
	       wire->size == sizeof(access) + (command == VFIO_USER_DMA_WRITE ? count : 0) &&
	       access.address == address && access.count == count;
}

/* Answer the last one of them. */
static void answer(struct wire *wire, uint64_t address, uint64_t count, const void *data,
		   size_t size)
{
	struct vfio_user_dma_access access = { address, count };
	uint16_t id = wire->id;
	uint8_t body[16 + 64];

	memcpy(body, &access, sizeof(access));
	if (size)
		memcpy(body + 16, data, size);
	wire->id = wire->header.id;
	wire_put(wire, wire->header.command, VFIO_USER_REPLY, body, 16 + size, NULL, 0);
	wire->id = id;
	if (wire->server)
		wire_pump(wire->server);
}

static void answer_error(struct wire *wire, uint32_t error)
{
	struct vfio_user_header header = {
		wire->header.id, wire->header.command, 16, VFIO_USER_REPLY | VFIO_USER_ERROR, error
	};

	wire_send(wire, &header, sizeof(header), NULL, 0);
	wire_pump(wire->server);
}

/* Memory without a file, of two maps. */
static void map_remote(struct wire *wire)
{
	if (wire_map(wire, 0, PAGE, RW, -1, 0) || wire_map(wire, PAGE, PAGE, RW, -1, 0))
		abort();
}

TEST_F(messages, read_and_write)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	char buffer[9] = "";

	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	EXPECT_EQ(0, self->probe->dma_done);
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	EXPECT_STREQ("12345678", buffer);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, "abcdefgh",
						       probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x10, 8));
	EXPECT_EQ(0, memcmp(self->wire->body + 16, "abcdefgh", 8));
	answer(self->wire, 0x10, 8, NULL, 0);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

/* A short answer is followed by a question for the rest. */
TEST_F(messages, answered_in_part)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	char buffer[9] = "";

	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	answer(self->wire, 0x10, 3, "123", 3);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x13, 5));
	answer(self->wire, 0x13, 5, "45678", 5);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_STREQ("12345678", buffer);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, buffer, probe_dma_done,
						       self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x10, 8));
	answer(self->wire, 0x10, 7, NULL, 0);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x17, 1));
	EXPECT_EQ('8', self->wire->body[16]);
	answer(self->wire, 0x17, 1, NULL, 0);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

/* The count of what was written has 4 bytes in one place of the specification. */
TEST_F(messages, with_a_short_count)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	uint16_t id;

	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, "abcdefgh",
						       probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0x10, 8));
	id = self->wire->id;
	self->wire->id = self->wire->header.id;
	wire_put(self->wire, VFIO_USER_DMA_WRITE, VFIO_USER_REPLY, self->wire->body, 12, NULL, 0);
	self->wire->id = id;
	wire_pump(self->test.server);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

TEST_F(messages, with_errors)
{
	static const struct { uint32_t error; int seen; } errors[] = {
		{ ENODEV, -ENODEV }, { E2BIG, -E2BIG }, { 0, -EIO }, { 4096, -EIO },
		{ UINT32_MAX, -EIO },
	};
	struct vfioext_user_sg sg = { 0x10, 8 };
	char buffer[8];
	size_t i;

	map_remote(self->wire);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer,
							      probe_dma_done, self->probe));
		ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
		answer_error(self->wire, errors[i].error);
		EXPECT_EQ(i + 1, self->probe->dma_done);
		EXPECT_EQ(errors[i].seen, self->probe->dma_error);
	}
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* More than was asked for, nothing at all, fewer bytes than it says. */
TEST_F(messages, with_wrong_counts)
{
	static const struct { uint64_t count; size_t size; } wrong[] = {
		{ 0, 0 }, { 0, 8 }, { 9, 9 }, { 8, 7 }, { UINT64_MAX, 8 }, { 1ULL << 32, 8 },
	};
	struct vfioext_user_sg sg = { 0x10, 8 };
	char *buffer = malloc(8);
	size_t i;

	map_remote(self->wire);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, buffer,
							      probe_dma_done, self->probe));
		ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
		answer(self->wire, 0x10, wrong[i].count, "0123456789", wrong[i].size);
		EXPECT_EQ(i + 1, self->probe->dma_done);
		EXPECT_EQ(-EPROTO, self->probe->dma_error);
	}
	free(buffer);
}

/* Several pieces, those of files without a message. */
TEST_F(messages, for_some_pieces)
{
	struct vfioext_user_sg list[] = { { 0x10, 4 }, { 2 * PAGE, 4 }, { 0, 0 }, { PAGE, 4 },
					  { 3 * PAGE, 4 } };
	char buffer[17] = "";

	map_remote(self->wire);
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(0, wire_map(self->wire, 3 * PAGE, PAGE, FILE_IO, self->file, 0));
	ASSERT_EQ(4, pwrite(self->file, "file", 4, 0));
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, list, 5, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 4));
	answer(self->wire, 0x10, 4, "1234", 4);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, PAGE, 4));
	answer(self->wire, PAGE, 4, "5678", 4);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	EXPECT_STREQ("1234file5678file", buffer);
	list[4].iova = 9 * PAGE;
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, list, 5, buffer, probe_dma_done,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 4));
	answer(self->wire, 0x10, 4, "1234", 4);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, PAGE, 4));
	answer(self->wire, PAGE, 4, "5678", 4);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(-ENOENT, self->probe->dma_error);
}

/* No more in one message than the client takes, or than is agreed on. */
TEST_F(messages, as_large_as_agreed)
{
	struct vfioext_user_sg sg = { 0, 2500 };
	char buffer[2500];

	wire_close(self->wire);
	wire_pump(self->test.server);
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_data_xfer_size\":1024}}"));
	map_remote(self->wire);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_write(self->device, &sg, 1, buffer, probe_dma_done,
						       self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 0, 1024));
	answer(self->wire, 0, 1024, NULL, 0);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 1024, 1024));
	answer(self->wire, 1024, 1024, NULL, 0);
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_WRITE, 2048, 452));
	answer(self->wire, 2048, 452, NULL, 0);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

TEST_F(messages, no_messages_to_who_takes_none)
{
	struct vfioext_user_sg sg = { 0, 8 };
	char buffer[8];

	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(-ENOENT, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						 self->probe));
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_data_xfer_size\":0}}"));
	map_remote(self->wire);
	EXPECT_EQ(-EREMOTE, vfioext_user_dma_read(self->device, &sg, 1, buffer, probe_dma_done,
						  self->probe));
}

/* A hundred at once: some are on their way, the others wait; answers in any order. */
TEST_F(messages, many_messages)
{
	uint16_t ids[100];
	struct vfioext_user_sg sg = { 0, 4 };
	uint32_t buffers[100], i, nr = 0, next = 0;

	map_remote(self->wire);
	for (i = 0; i < 100; i++) {
		sg.iova = i * 4;
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, &buffers[i],
							      probe_dma_done, self->probe));
	}
	while (next < 100) {
		while (wire_get(self->wire) == 1)
			ids[nr++] = self->wire->header.id;
		ASSERT_LT(next, nr);
		/* The last that was asked for is answered first. */
		for (i = nr; i-- > next;) {
			self->wire->header.id = ids[i];
			answer(self->wire, i * 4, 4, &i, 4);
		}
		next = nr;
	}
	EXPECT_EQ(100, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	for (i = 0; i < 100; i++)
		EXPECT_EQ(i, buffers[i]);
}

static char dma_buffer[8];

static void read_memory(struct vfioext_user_device *device, struct probe *probe)
{
	struct vfioext_user_sg sg = { 0x10, 8 };

	if (vfioext_user_dma_read(device, &sg, 1, dma_buffer, probe_dma_done, probe) != -EINPROGRESS)
		abort();
}

/* A client that waits for its answer does nothing else: it comes before our question. */
TEST_F(messages, answer_first_message_after)
{
	map_remote(self->wire);
	self->probe->on_write = read_memory;
	EXPECT_EQ(0, wire_write(self->wire, PROBE_CALLED, 0, "1234", 4));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	/* Its next command comes in between. */
	EXPECT_EQ(0, self->probe->dma_done);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	self->wire->header.command = VFIO_USER_DMA_READ;
	self->wire->header.id = 0;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
}

/* Its ids and ours are nothing to each other. */
TEST_F(messages, same_ids_both_ways)
{
	struct vfioext_user_sg sg = { 0x10, 8 };

	map_remote(self->wire);
	self->wire->id = 0;
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	EXPECT_EQ(0, self->wire->header.id);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	self->wire->header.command = VFIO_USER_DMA_READ;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
}

TEST_F(messages, client_goes_with_messages_open)
{
	struct vfioext_user_sg sg = { 0, 8 };
	int i;

	map_remote(self->wire);
	for (i = 0; i < 20; i++)
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
							      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0, 8));
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(20, self->probe->dma_done);
	EXPECT_EQ(-ENOTCONN, self->probe->dma_error);
}

/* Memory in use for as long as a message is open, whose answer is behind the unmap. */
static struct vfioext_user_use held;

static void put_held(struct vfioext_user_device *device, int error, void *data)
{
	struct probe *probe = data;

	probe->dma_error = error;
	probe->dma_done++;
	vfioext_user_sgl_put(device, &held, 1);
}

/* Return: false if the client was not asked for it. */
static bool use_for_a_message(struct wire_test *test, int file)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct iovec iov;

	map_remote(&test->wire);
	return !wire_map(&test->wire, 2 * PAGE, PAGE, MAPPED, file, 0) &&
	       get(test->device, 2 * PAGE, 8, VFIOEXT_USER_WRITE, &iov, &held, 1) == 1 &&
	       vfioext_user_dma_read(test->device, &sg, 1, iov.iov_base, put_held,
				     test->probe) == -EINPROGRESS &&
	       is_asked(&test->wire, VFIO_USER_DMA_READ, 0x10, 8);
}

TEST_F(messages, unmap_waits_for_a_message)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };

	ASSERT_TRUE(use_for_a_message(&self->test, self->file));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	wire_pump(self->test.server);
	/* What another thread of the client asks must not be in the way, either. */
	wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REGION_READ, self->wire->header.command);
}

/* And with maps behind it, each with its file, as a client moves its memory about. */
TEST_F(messages, unmap_waits_and_maps_wait_behind_it)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfio_user_dma_map map = { sizeof(map), MAPPED, 0, 0, PAGE };
	struct vfioext_user_sg sg = { 0x10, 8 };
	int other = make_file(PAGE), i;

	ASSERT_TRUE(use_for_a_message(&self->test, self->file));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	for (i = 0; i < 12; i++) {
		map.address = (uint64_t)(2 + i) * PAGE;
		wire_put(self->wire, VFIO_USER_DMA_MAP, 0, &map, sizeof(map),
			 i % 2 ? &other : &self->file, 1);
	}
	ASSERT_EQ(1, pwrite(other, "o", 1, 0));
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	for (i = 0; i < 13; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	}
	/* Each has got its own. */
	for (i = 0; i < 12; i++) {
		char first;

		sg = (struct vfioext_user_sg){ (uint64_t)(2 + i) * PAGE, 1 };
		ASSERT_EQ(0, vfioext_user_dma_read(self->device, &sg, 1, &first, NULL, NULL));
		EXPECT_EQ(i % 2 ? 'o' : '1', first);
	}
	close(other);
}

/* Transfers that are to be asked for do not wait for it, either. */
TEST_F(messages, message_while_unmap_waits)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct iovec iov;

	map_remote(self->wire);
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 2 * PAGE, 8, VFIOEXT_USER_WRITE, &iov, &held, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, iov.iov_base, put_held,
						      self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
}

/* Return: false if nothing came for some seconds, in which the server's clock goes on. */
static bool wait_message(struct wire *wire)
{
	int i;

	for (i = 0; i < 500; i++) {
		if (wire_get(wire) == 1)
			return true;
		usleep(10000);
	}
	return false;
}

/*
 * QEMU answers nothing before its unmap is answered, and gives up after 5 s: the transfer is
 * given up before. Its answer, when it comes, changes nothing.
 */
TEST_F(messages, unmap_waits_for_who_does_not_answer)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct vfio_user_header asked;

	ASSERT_TRUE(use_for_a_message(&self->test, self->file));
	asked = self->wire->header;
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	ASSERT_TRUE(wait_message(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(-ETIMEDOUT, self->probe->dma_error);
	self->wire->header = asked;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	/* Of what was not answered to the end nothing is told twice. */
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	answer(self->wire, 0x10, 8, "abcdefgh", 8);
	EXPECT_EQ(2, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	EXPECT_EQ(0, memcmp(dma_buffer, "abcdefgh", 8));
}

/* The unmap that was waited for is done when its timer rings: nothing else is given up for it. */
TEST_F(messages, unmap_done_when_its_time_is_over)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfioext_user_sg sg = { 0x10, 8 };
	unsigned int logs;
	struct iovec iov;
	int i;

	map_remote(self->wire);
	ASSERT_EQ(0, wire_map(self->wire, 2 * PAGE, PAGE, MAPPED, self->file, 0));
	ASSERT_EQ(1, get(self->device, 2 * PAGE, 8, VFIOEXT_USER_WRITE, &iov, &held, 1));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	EXPECT_EQ(0, wire_get(self->wire));
	logs = self->probe->logs;
	/* Both are told at once. */
	usleep(2100000);
	vfioext_user_sgl_put(self->device, &held, 1);
	ASSERT_EQ(1, wire_get(self->wire));
	ASSERT_EQ(VFIO_USER_DMA_UNMAP, self->wire->header.command);
	logs = self->probe->logs;
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	for (i = 0; i < 5; i++) {
		usleep(500000);
		wire_pump(self->test.server);
	}
	EXPECT_EQ(0, self->probe->dma_done);
	EXPECT_EQ(logs, self->probe->logs);
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

static void wait_done(struct wire_test *test, unsigned int nr)
{
	int i;

	for (i = 0; i < 500 && test->probe->dma_done < nr; i++) {
		usleep(10000);
		wire_pump(test->server);
	}
}

/* A client that never answers: each is told so, those that wait for their turn as well. */
TEST_F(messages, who_does_not_answer)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct vfio_user_header first;
	int i;

	map_remote(self->wire);
	vfioext_user_device_set_dma_timeout(self->device, 300);
	for (i = 0; i < 40; i++)
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
							      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	first = self->wire->header;
	EXPECT_EQ(0, self->probe->dma_done);
	wait_done(&self->test, 40);
	EXPECT_EQ(40, self->probe->dma_done);
	EXPECT_EQ(-ETIMEDOUT, self->probe->dma_error);
	/* It answers after all, and the next one has its turn. */
	memset(dma_buffer, 'x', 8);
	self->wire->header = first;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(40, self->probe->dma_done);
	EXPECT_EQ('x', dma_buffer[0]);
	for (i = 1; i < 16; i++)
		ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	vfioext_user_device_set_dma_timeout(self->device, 0);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, 0x10, 8));
	usleep(500000);
	wire_pump(self->test.server);
	EXPECT_EQ(40, self->probe->dma_done);
	answer(self->wire, 0x10, 8, "abcdefgh", 8);
	EXPECT_EQ(41, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
	EXPECT_EQ(0, memcmp(dma_buffer, "abcdefgh", 8));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* With each message the time begins anew: one that is answered slowly is answered. */
TEST_F(messages, who_answers_slowly)
{
	struct vfioext_user_sg sg[] = { { 0x10, 8 }, { 0x20, 8 }, { 0x30, 8 }, { 0x40, 8 } };
	uint8_t buffer[32];
	int i;

	map_remote(self->wire);
	vfioext_user_device_set_dma_timeout(self->device, 400);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, sg, 4, buffer,
						      probe_dma_done, self->probe));
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(is_asked(self->wire, VFIO_USER_DMA_READ, sg[i].iova, 8));
		usleep(200000);
		wire_pump(self->test.server);
		answer(self->wire, sg[i].iova, 8, "12345678", 8);
	}
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, self->probe->dma_error);
}

/* One whose device goes before it answers: what was given up is no more than freed. */
TEST_F(messages, given_up_and_never_answered)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 2 * PAGE, PAGE };
	struct vfioext_user_sg sg = { 0x10, 8 };
	int i;

	ASSERT_TRUE(use_for_a_message(&self->test, self->file));
	/* More than are asked for at once. */
	for (i = 0; i < 40; i++)
		ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
							      probe_dma_done, self->probe));
	wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	do {
		ASSERT_TRUE(wait_message(self->wire));
	} while (self->wire->header.command != VFIO_USER_DMA_UNMAP);
	EXPECT_EQ(41, self->probe->dma_done);
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(41, self->probe->dma_done);
}

static void open_twin(struct wire_test *test, struct wire *twin)
{
	wire_close(&test->wire);
	wire_pump(test->server);
	wire_test_attach(test, test->device, &test->wire);
	if (wire_negotiate(&test->wire, TWIN) || test->wire.nr_fds != 1 ||
	    !strstr((char *)test->wire.body + 4, "\"fd_index\":0"))
		abort();
	wire_open(twin, fcntl(test->wire.fds[0], F_DUPFD_CLOEXEC, 0), test->server);
	map_remote(&test->wire);
}

/* Our commands, and the answers to them, have a socket of their own. */
TEST_F(messages, twin)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct wire twin;

	open_twin(&self->test, &twin);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	EXPECT_EQ(0, wire_get(self->wire));
	ASSERT_TRUE(is_asked(&twin, VFIO_USER_DMA_READ, 0x10, 8));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	answer(&twin, 0x10, 8, "12345678", 8);
	EXPECT_EQ(1, self->probe->dma_done);
	EXPECT_EQ(0, memcmp(dma_buffer, "12345678", 8));
	/* Without it there is no client. */
	wire_close(&twin);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(2, self->probe->detached);
}

/* What is no answer has no place there, and an answer none at the first socket. */
TEST_F(messages, twin_misused)
{
	struct vfioext_user_sg sg = { 0x10, 8 };
	struct wire twin;

	open_twin(&self->test, &twin);
	EXPECT_EQ(-ENOTCONN, wire_read(&twin, PROBE_CALLED, 0, 4));
	EXPECT_EQ(-1, wire_get(self->wire));
	wire_close(&twin);
	open_twin(&self->test, &twin);
	ASSERT_EQ(-EINPROGRESS, vfioext_user_dma_read(self->device, &sg, 1, dma_buffer,
						      probe_dma_done, self->probe));
	ASSERT_TRUE(is_asked(&twin, VFIO_USER_DMA_READ, 0x10, 8));
	self->wire->header = twin.header;
	answer(self->wire, 0x10, 8, "12345678", 8);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(-ENOTCONN, self->probe->dma_error);
	wire_close(&twin);
}

TEST_F(messages, twin_goes_to_nobody_who_takes_none)
{
	wire_close(self->wire);
	wire_pump(self->test.server);
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_msg_fds\":0,"
				    "\"twin_socket\":{\"supported\":true}}}"));
	EXPECT_EQ(0, self->wire->nr_fds);
	EXPECT_EQ(NULL, strstr((char *)self->wire->body + 4, "twin"));
}

TEST_HARNESS_MAIN
