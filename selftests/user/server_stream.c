// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages of vfio-user on their way: in pieces, many at once, with descriptors, without
 * answers.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

FIXTURE(stream) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
};

FIXTURE_SETUP(stream)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
}

FIXTURE_TEARDOWN(stream)
{
	EXPECT_TRUE(wire_test_end(&self->test));
}

static int region_info(struct wire *wire, uint32_t index, uint32_t argsz,
		       struct vfio_region_info *info)
{
	struct vfio_region_info ask = { .argsz = argsz, .index = index };
	int ret = wire_call(wire, VFIO_USER_DEVICE_GET_REGION_INFO, &ask, sizeof(ask));

	if (!ret && wire->size < sizeof(*info))
		abort();
	if (!ret)
		memcpy(info, wire->body, sizeof(*info));
	return ret;
}

/* Neither an answer nor an error; and what was posted is done before what is asked next. */
TEST_F(stream, no_reply)
{
	struct vfio_user_region_access bad = { UINT64_MAX, PROBE_CALLED, 4 };
	uint8_t write[20] = { 0 };
	unsigned int command;

	memcpy(write, &(struct vfio_user_region_access){ 8, PROBE_CALLED, 4 }, 16);
	memcpy(write + 16, "post", 4);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	wire_put(self->wire, VFIO_USER_REGION_WRITE, VFIO_USER_NO_REPLY, write, 20, NULL, 0);
	wire_put(self->wire, VFIO_USER_REGION_READ, VFIO_USER_NO_REPLY, &bad, 16, NULL, 0);
	for (command = 2; command < 32; command++)
		wire_put(self->wire, command, VFIO_USER_NO_REPLY, write, 7, NULL, 0);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 8, 4));
	EXPECT_EQ(0, memcmp(self->wire->body + 16, "post", 4));
	EXPECT_EQ(0, wire_get(self->wire));
}

/* With a file, too, which then goes with nothing. */
TEST_F(stream, no_reply_to_region_info)
{
	struct vfio_region_info info = { .argsz = 32, .index = PROBE_MAPPED };

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	wire_put(self->wire, VFIO_USER_DEVICE_GET_REGION_INFO, VFIO_USER_NO_REPLY, &info, 32,
		 NULL, 0);
	ASSERT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(0, self->wire->nr_fds);
	ASSERT_EQ(0, region_info(self->wire, PROBE_MAPPED, 32, &info));
	EXPECT_EQ(1, self->wire->nr_fds);
}

/* Hundreds in one piece: all are answered, in their order. */
TEST_F(stream, pipelined)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_region_access access;
	} __attribute__((packed)) all[700];
	uint16_t i;

	for (i = 0; i < 700; i++) {
		all[i].header = (struct vfio_user_header){ i, VFIO_USER_REGION_READ, 32, 0, 0 };
		all[i].access = (struct vfio_user_region_access){ i, PROBE_CALLED, 4 };
		self->probe->bytes[i] = (uint8_t)(i * 7);
	}
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_TRUE(wire_send(self->wire, all, sizeof(all), NULL, 0));
	for (i = 0; i < 700; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		ASSERT_EQ(i, self->wire->header.id);
		ASSERT_EQ((uint8_t)(i * 7), self->wire->body[16]);
	}
	EXPECT_EQ(0, wire_get(self->wire));
}

/* An id is the client's, and may come again. */
TEST_F(stream, same_id)
{
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	self->wire->id = 9;
	ASSERT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	self->wire->id = 9;
	ASSERT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(9, self->wire->header.id);
}

/* With descriptors at the first byte; the server sees each byte by itself. */
static void send_pieces(struct wire *wire, const uint8_t *bytes, size_t size, size_t piece,
			const int *fds, size_t nr)
{
	size_t at;

	for (at = 0; at < size; at += piece) {
		if (!wire_send(wire, bytes + at, piece < size - at ? piece : size - at, fds, nr))
			abort();
		nr = 0;
		wire_pump(wire->server);
	}
}

TEST_F(stream, in_pieces)
{
	uint8_t message[16 + 32], version[] = { 5, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct vfio_user_header header = { 77, VFIO_USER_DMA_MAP, sizeof(message), 0, 0 };
	struct vfio_user_dma_map map = { sizeof(map), 3, 0, 0, 4096 };
	int file = make_file(0x1000000);
	size_t piece;

	send_pieces(self->wire, version, sizeof(version), 1, NULL, 0);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(5, self->wire->header.id);
	for (piece = 1; piece < sizeof(message); piece++) {
		map.address = piece * 4096;
		map.offset = piece * 4096;
		memcpy(message, &header, sizeof(header));
		memcpy(message + sizeof(header), &map, sizeof(map));
		send_pieces(self->wire, message, sizeof(message), piece, &file, 1);
		ASSERT_EQ(1, wire_get(self->wire));
		ASSERT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
		EXPECT_EQ(piece * 4096, self->probe->map.iova);
		EXPECT_NE(NULL, self->probe->map.vaddr);
	}
	close(file);
}

/* Descriptors belong to the message they came with, whatever came before it in one piece. */
TEST_F(stream, descriptors_behind_other_messages)
{
	struct vfio_user_header read = { 1, VFIO_USER_REGION_READ, 32, 0, 0 };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct vfio_user_header header = { 2, VFIO_USER_DMA_MAP, 48, 0, 0 };
	struct vfio_user_dma_map map = { sizeof(map), 3, 0, 0, 4096 };
	int file = make_file(4096);
	uint8_t messages[32 + 48];

	memcpy(messages, &read, 16);
	memcpy(messages + 16, &access, 16);
	memcpy(messages + 32, &header, 16);
	memcpy(messages + 48, &map, 32);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_TRUE(wire_send(self->wire, messages, 32, NULL, 0));
	ASSERT_TRUE(wire_send(self->wire, messages + 32, 48, &file, 1));
	ASSERT_EQ(1, wire_get(self->wire));
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	EXPECT_NE(NULL, self->probe->map.vaddr);
	/* The read is half there when the map comes, and the map is half there, too. */
	ASSERT_EQ(0, wire_unmap(self->wire, 0, 4096));
	ASSERT_TRUE(wire_send(self->wire, messages, 20, NULL, 0));
	wire_pump(self->test.server);
	ASSERT_TRUE(wire_send(self->wire, messages + 20, 12, NULL, 0));
	ASSERT_TRUE(wire_send(self->wire, messages + 32, 17, &file, 1));
	wire_pump(self->test.server);
	ASSERT_TRUE(wire_send(self->wire, messages + 49, 31, NULL, 0));
	ASSERT_EQ(1, wire_get(self->wire));
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	EXPECT_EQ(2, self->probe->maps);
	EXPECT_NE(NULL, self->probe->map.vaddr);
	close(file);
}

/* The message before could have some as well, and has none: they are the last one's. */
TEST_F(stream, descriptors_of_the_second_of_two)
{
	struct vfio_user_header header = { 1, VFIO_USER_DMA_MAP, 48, 0, 0 };
	struct vfio_user_dma_map map = { sizeof(map), VFIO_USER_DMA_FLAG_READ, 0, 0, PAGE };
	int file = make_file(2 * PAGE);
	uint8_t first[48], second[48];

	memcpy(first, &header, 16);
	memcpy(first + 16, &map, 32);
	header.id = 2;
	map.address = PAGE;
	memcpy(second, &header, 16);
	memcpy(second + 16, &map, 32);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_TRUE(wire_send(self->wire, first, sizeof(first), NULL, 0));
	ASSERT_TRUE(wire_send(self->wire, second, sizeof(second), &file, 1));
	ASSERT_EQ(1, wire_get(self->wire));
	ASSERT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	ASSERT_EQ(1, wire_get(self->wire));
	ASSERT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
	/* The last that was mapped has the file. */
	EXPECT_EQ(PAGE, self->probe->map.iova);
	EXPECT_NE(NULL, self->probe->map.vaddr);
	close(file);
}

/* A file that comes with a later piece of its message; when each is received is @pump's. */
static int map_in_pieces(struct wire *wire, uint64_t address, int file, bool pump, bool twice)
{
	struct vfio_user_header header = { 1, VFIO_USER_DMA_MAP, 48, 0, 0 };
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, address, PAGE };

	if (!wire_send(wire, &header, sizeof(header), &file, twice))
		abort();
	if (pump)
		wire_pump(wire->server);
	if (!wire_send(wire, &map, sizeof(map), &file, 1) || wire_get(wire) != 1)
		abort();
	return -(int)wire->header.error;
}

TEST_F(stream, descriptors_of_a_later_piece)
{
	int file = make_file(PAGE), i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, map_in_pieces(self->wire, (uint64_t)i * PAGE, file, i, false));
		EXPECT_EQ(i * PAGE, self->probe->map.iova);
		EXPECT_NE(NULL, self->probe->map.vaddr)
			TH_LOG("pumped %d", i);
	}
	/* With two pieces it is one too many. */
	for (i = 2; i < 4; i++)
		EXPECT_EQ(-EMFILE, map_in_pieces(self->wire, i * PAGE, file, i % 2, true));
	EXPECT_EQ(2, self->probe->maps);
	close(file);
}

/* Behind it a message has begun that may turn out to be theirs. */
TEST_F(stream, descriptors_before_half_a_header)
{
	struct vfio_user_header header = { 1, VFIO_USER_DMA_MAP, 48, 0, 0 };
	struct vfio_user_header read = { 2, VFIO_USER_REGION_READ, 32, 0, 0 };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, 0, PAGE };
	uint8_t messages[48 + 32];
	int file = make_file(PAGE);

	memcpy(messages, &header, 16);
	memcpy(messages + 16, &map, 32);
	memcpy(messages + 48, &read, 16);
	memcpy(messages + 64, &access, 16);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_TRUE(wire_send(self->wire, messages, 48 + 7, &file, 1));
	wire_pump(self->test.server);
	ASSERT_TRUE(wire_send(self->wire, messages + 55, 25, NULL, 0));
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_DMA_MAP, self->wire->header.command);
	EXPECT_EQ(1, self->probe->maps);
	EXPECT_NE(NULL, self->probe->map.vaddr);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(VFIO_USER_REGION_READ, self->wire->header.command);
	/* Of who says nothing more it is what there is. */
	map.address = PAGE;
	memcpy(messages + 16, &map, 32);
	ASSERT_TRUE(wire_send(self->wire, messages, 48 + 7, &file, 1));
	wire_pump(self->test.server);
	EXPECT_EQ(1, self->probe->maps);
	ASSERT_EQ(0, shutdown(self->wire->fd, SHUT_WR));
	wire_pump(self->test.server);
	EXPECT_EQ(2, self->probe->maps);
	EXPECT_NE(NULL, self->probe->map.vaddr);
	close(file);
}

/* CPU time of the server for many short commands, behind which one has a descriptor, or none. */
static double seconds_of(struct wire_test *test, int file, size_t nr_fds)
{
	enum { NR = 12000 };
	struct vfio_user_header *headers = calloc(NR, sizeof(*headers));
	struct timespec begin, end;
	size_t i;

	if (!headers)
		abort();
	for (i = 0; i < NR; i++)
		headers[i] = (struct vfio_user_header){ 1, 99, 16, VFIO_USER_NO_REPLY, 0 };
	if (!wire_send(&test->wire, headers, NR * sizeof(*headers), NULL, 0))
		abort();
	wire_send(&test->wire, headers, sizeof(*headers), &file, nr_fds);
	free(headers);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	wire_pump(test->server);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

/* Each is looked at once more for whom they are, and not each time again. */
TEST_F(stream, descriptors_behind_many_messages)
{
	int file = make_file(PAGE), more = 1 << 20;
	double with = 1e9, without = 1e9, s;
	int i;

	/* All of it at once, if that is allowed: what does not fit is done with before. */
	if (setsockopt(self->wire->fd, SOL_SOCKET, SO_SNDBUFFORCE, &more, sizeof(more)))
		setsockopt(self->wire->fd, SOL_SOCKET, SO_SNDBUF, &more, sizeof(more));
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 5; i++) {
		s = seconds_of(&self->test, file, 0);
		without = s < without ? s : without;
		s = seconds_of(&self->test, file, 1);
		with = s < with ? s : with;
	}
	EXPECT_GT(3 * without + 0.005, with)
		TH_LOG("%.1f ms with one, %.1f ms without", 1e3 * with, 1e3 * without);
	close(file);
}

/* Two files with replies that wait: each goes with its own. */
TEST_F(stream, descriptors_of_pipelined_answers)
{
	struct vfio_region_info info = { .argsz = 32, .index = PROBE_MAPPED };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	int i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 8; i++) {
		wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, 16, NULL, 0);
		wire_put(self->wire, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &info, 32, NULL, 0);
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		EXPECT_EQ(0, self->wire->nr_fds);
		ASSERT_EQ(1, wire_get(self->wire));
		EXPECT_EQ(VFIO_USER_DEVICE_GET_REGION_INFO, self->wire->header.command);
		ASSERT_EQ(1, self->wire->nr_fds);
		EXPECT_TRUE(same_file(self->probe->file, self->wire->fds[0]));
	}
}

/* More than QEMU takes, and than we do. */
TEST_F(stream, too_many_descriptors)
{
	int fds[17], event = make_eventfd(), i;

	for (i = 0; i < 17; i++)
		fds[i] = event;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(-EMFILE, wire_set_irqs(self->wire, VFIO_IRQ_SET_DATA_EVENTFD |
					 VFIO_IRQ_SET_ACTION_TRIGGER, PROBE_VECTORS, 0, 17, fds, 17));
	EXPECT_EQ(0, wire_set_irqs(self->wire, VFIO_IRQ_SET_DATA_EVENTFD |
				   VFIO_IRQ_SET_ACTION_TRIGGER, PROBE_VECTORS, 0, 16, fds, 16));
	/* Those that nobody wants are closed. */
	EXPECT_EQ(0, wire_call_fds(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0, fds, 16));
	close(event);
}

/* The rest of an answer may come in pieces. Return: false if nothing more comes. */
static bool get_rest(struct wire *wire, size_t size)
{
	ssize_t got;

	while (size) {
		got = recv(wire->fd, wire->body, size, MSG_DONTWAIT);
		if (got < 0 && !wire_pump(wire->server))
			return false;
		size -= got > 0 ? (size_t)got : 0;
	}
	return true;
}

/*
 * A header must come in one read, so QEMU: also of the answers that have to wait for room
 * in the socket.
 */
TEST_F(stream, headers_are_not_torn)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_region_access access;
	} read = { { 1, VFIO_USER_REGION_READ, 32, 0, 0 }, { 0, PROBE_CALLED, 0 } };
	struct vfio_user_header header;
	unsigned int round, nr;
	ssize_t got;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (round = 0; round < 10; round++) {
		/* Until the server takes no more, as it has too much to send. */
		read.access.count = 1 + round;
		for (nr = 0; wire_send(self->wire, &read, sizeof(read), NULL, 0); nr++)
			;
		/* It goes on only when all is received that it could send. */
		for (; nr; nr--) {
			do
				got = recv(self->wire->fd, &header, sizeof(header), MSG_DONTWAIT);
			while (got < 0 && wire_pump(self->test.server));
			ASSERT_EQ(sizeof(header), got);
			ASSERT_TRUE(get_rest(self->wire, header.size - sizeof(header)));
		}
	}
}

/*
 * Nor behind one of 1 MiB or nearly, which the socket takes in many pieces: wherever in the
 * small ones behind it the socket is full.
 */
TEST_F(stream, headers_are_not_torn_behind_a_large_answer)
{
	struct read {
		struct vfio_user_header header;
		struct vfio_user_region_access access;
	} reads[1900];
	struct vfio_user_header header;
	unsigned int round, i;
	ssize_t got;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (round = 0; round < 80; round++) {
		for (i = 0; i < 1900; i++)
			reads[i] = (struct read){ { 1, VFIO_USER_REGION_READ, 32, 0, 0 },
						  { 0, PROBE_LARGE, 1 + round % 8 } };
		reads[300].access.count = WIRE_DATA_MAX - round * 3000;
		ASSERT_TRUE(wire_send(self->wire, reads, sizeof(reads), NULL, 0));
		for (i = 0; i < 1900; i++) {
			do
				got = recv(self->wire->fd, &header, sizeof(header), MSG_DONTWAIT);
			while (got < 0 && wire_pump(self->test.server));
			ASSERT_EQ(sizeof(header), got);
			ASSERT_EQ(32 + reads[i].access.count, header.size);
			ASSERT_TRUE(get_rest(self->wire, header.size - sizeof(header)));
		}
	}
}

/* The descriptor of a server stays readable as long as something is left. */
TEST_F(stream, turns)
{
	struct pollfd pollfd = { .fd = vfioext_user_fd(self->test.server), .events = POLLIN };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct vfio_user_header header = {
		1, VFIO_USER_REGION_READ, 32, VFIO_USER_NO_REPLY, 0
	};
	unsigned int rounds = 0;
	uint8_t all[32000];
	int i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 1000; i++) {
		memcpy(all + i * 32, &header, sizeof(header));
		memcpy(all + i * 32 + 16, &access, sizeof(access));
	}
	ASSERT_TRUE(wire_send(self->wire, all, sizeof(all), NULL, 0));
	while (poll(&pollfd, 1, 0) > 0) {
		ASSERT_EQ(0, vfioext_user_dispatch(self->test.server));
		rounds++;
	}
	EXPECT_EQ(1000, self->probe->reads);
	EXPECT_LE(4, rounds);
}

/* With a client that asks for one thing after the other no wait is missed. */
TEST_F(stream, wait_instead_of_dispatch)
{
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	int i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 300; i++) {
		wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, 16, NULL, 0);
		while (self->probe->reads <= (unsigned int)i)
			ASSERT_EQ(0, vfioext_user_wait(self->test.server, -1));
		ASSERT_EQ(1, wire_get(self->wire));
	}
	EXPECT_EQ(0, vfioext_user_wait(self->test.server, 1));
}

TEST_HARNESS_MAIN
