// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a vfio-user server answers, byte by byte, over its own sockets: each command, with
 * the callbacks and without; errors; regions and what can be mapped of them. Other subjects are
 * in the other server_*.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

/* QEMU's first message, and all the room it has for the answer to it. */
#define QEMU_JSON "{\"capabilities\": {\"max_msg_fds\": 16, \"max_data_xfer_size\": 1048576, " \
		  "\"max_dma_maps\": 65535, \"pgsizes\": 4096, \"migration\": {\"pgsize\": 4096, " \
		  "\"max_bitmap_size\": 268435456}, \"write_multiple\": true}}"
#define QEMU_SIZE 214

_Static_assert(sizeof(struct vfio_user_header) == 16, "header");
_Static_assert(sizeof(struct vfio_user_dma_map) == 32, "map");
_Static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "unmap");
_Static_assert(sizeof(struct vfio_user_sub_region) == 40, "sub-region");
_Static_assert(sizeof(struct vfio_user_write) == 24, "write of many");

FIXTURE(server) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
};

FIXTURE_SETUP(server)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
}

FIXTURE_TEARDOWN(server)
{
	EXPECT_TRUE(wire_test_end(&self->test));
}

/* A device with other callbacks. */
static void begin_again(struct wire_test *test, const struct vfioext_user_ops *ops)
{
	wire_test_end(test);
	wire_test_begin(test, ops);
}

TEST_F(server, version_of_qemu)
{
	const char *json;

	ASSERT_EQ(0, wire_negotiate(self->wire, QEMU_JSON));
	json = (char *)self->wire->body + 4;
	EXPECT_GE(QEMU_SIZE, self->wire->header.size);
	EXPECT_EQ(0, self->wire->body[0] | self->wire->body[1] | self->wire->body[2] |
		     self->wire->body[3]);
	EXPECT_EQ(0, self->wire->body[self->wire->size - 1]);
	EXPECT_NE(NULL, strstr(json, "\"max_msg_fds\":16"));
	EXPECT_NE(NULL, strstr(json, "\"max_dma_maps\":65535"));
	EXPECT_NE(NULL, strstr(json, "\"pgsizes\":4096"));
	EXPECT_NE(NULL, strstr(json, "\"max_data_xfer_size\":1048576"));
	EXPECT_NE(NULL, strstr(json, "\"write_multiple\":true"));
	/* It would move a device without its state. */
	EXPECT_EQ(NULL, strstr(json, "migration"));
	EXPECT_EQ(NULL, strstr(json, "twin"));
	EXPECT_EQ(1, self->probe->attached);
	/* It came by a descriptor: there is no path to say. */
	EXPECT_STREQ("a client is attached", self->probe->log);
	EXPECT_TRUE(vfioext_user_device_is_attached(self->device));
}

TEST_F(server, version_says_no_more_than_it_is_asked_for)
{
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(NULL, strstr((char *)self->wire->body + 4, "write_multiple"));
}

static int negotiate_anew(struct wire_test *test, const void *body, size_t size)
{
	struct wire wire;
	int ret, after;

	if (vfioext_user_device_has_client(test->device)) {
		wire_close(&test->wire);
		test->wire.fd = -1;
		wire_pump(test->server);
	}
	wire_test_attach(test, test->device, &wire);
	ret = wire_call(&wire, VFIO_USER_VERSION, body, size);
	/* Who does not agree has nothing more to say. */
	after = wire_read(&wire, PROBE_CALLED, 0, 4);
	wire_close(&wire);
	wire_pump(test->server);
	if (ret ? after != -ENOTCONN : after)
		abort();
	return ret;
}

static int negotiate_json(struct wire_test *test, const char *json)
{
	uint8_t body[1024] = { 0 };

	memcpy(body + 4, json, strlen(json) + 1);
	return negotiate_anew(test, body, 4 + strlen(json) + 1);
}

TEST_F(server, version_is_refused)
{
	const uint16_t major[] = { 1, 0 }, newer[] = { 0, 77 };
	const uint16_t old[] = { 0, 0 };

	EXPECT_EQ(-EINVAL, negotiate_anew(&self->test, major, sizeof(major)));
	EXPECT_EQ(-EINVAL, negotiate_anew(&self->test, old, 3));
	EXPECT_EQ(-EINVAL, negotiate_anew(&self->test, NULL, 0));
	EXPECT_EQ(0, self->probe->attached);
	EXPECT_EQ(0, self->probe->detached);
	EXPECT_EQ(0, negotiate_anew(&self->test, newer, sizeof(newer)));
	EXPECT_EQ(0, negotiate_anew(&self->test, old, sizeof(old)));
	EXPECT_EQ(2, self->probe->attached);
	EXPECT_EQ(2, self->probe->detached);
}

/* The minor version that is agreed on is none that only one side knows. */
TEST_F(server, version_minor_is_not_above_either)
{
	const uint16_t newer[] = { 0, 77 };

	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_VERSION, newer, sizeof(newer)));
	EXPECT_EQ(0, memcmp(self->wire->body, "\0\0\0\0", 4));
}

TEST_F(server, version_json)
{
	static const char *const good[] = {
		"{}",
		"{\"capabilities\":{}}",
		"{\"capabilities\":{\"max_msg_fds\":0}}",
		"{\"other\":[1,2,{}],\"capabilities\":{\"other\":null}}",
		"{\"capabilities\":{\"write_multiple\":false}}",
		"{\"capabilities\":{\"max_dma_maps\":9223372036854775807}}",
		/* All page sizes from 4 KiB on, as the kernel has it. */
		"{\"capabilities\":{\"pgsizes\":18446744073709547520}}",
		"{\"capabilities\":{\"max_data_xfer_size\":99999999999999999999}}",
		"{\"capabilities\":{\"max_data_xfer_size\":1048576.0,\"max_msg_fds\":1e30}}",
		"{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}",
		"{\"[[[[[[[[[[[[[[[[\":\"\\\"{{{{{{{{{{{{{{{{\"}",
	};
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"1",
		"\"x\"",
		"{} {}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":null}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_msg_fds\":-1.0}}",
		"{\"capabilities\":{\"max_msg_fds\":0.5}}",
		"{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}",
		"{\"a\":\"\",\"b\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}",
		"{\"capabilities\":{\"max_dma_maps\":true}}",
		"{\"capabilities\":{\"pgsizes\":{}}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"twin_socket\":true}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":1}}}",
		"{\"capabilities\":{\"twin_socket\":{\"fd_index\":\"a\"}}}",
		"\xff\xfe",
	};
	const char unended[] = { 0, 0, 0, 0, '{', '}' };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		EXPECT_EQ(0, negotiate_json(&self->test, good[i]))
			TH_LOG("good %zu", i);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_EQ(-EINVAL, negotiate_json(&self->test, bad[i]))
			TH_LOG("bad %zu", i);
	EXPECT_EQ(-EINVAL, negotiate_anew(&self->test, unended, sizeof(unended)));
}

/* No more than 4 KiB of it. */
TEST_F(server, version_json_that_is_long)
{
	struct vfio_user_header header = { 1, VFIO_USER_VERSION, 16 + 4 + 4097, 0, 0 };
	uint8_t body[4 + 4097] = { 0 };

	memset(body + 4, ' ', 4096);
	memcpy(body + 4, "{}", 2);
	body[4 + 4095] = 0;
	EXPECT_EQ(0, negotiate_anew(&self->test, body, 4 + 4096));
	body[4 + 4095] = ' ';
	EXPECT_EQ(-EINVAL, negotiate_anew(&self->test, body, 4 + 4097));
	/* More is not even waited for. */
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_TRUE(wire_send(self->wire, &header, sizeof(header), NULL, 0));
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(EINVAL, self->wire->header.error);
	EXPECT_EQ(-1, wire_get(self->wire));
}

/* What is mapped of a file is in units of pages of this host. */
TEST_F(server, version_page_sizes)
{
	const char *at;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	at = strstr((char *)self->wire->body + 4, "\"pgsizes\":");
	ASSERT_NE(NULL, at);
	EXPECT_EQ(sysconf(_SC_PAGESIZE), atol(at + strlen("\"pgsizes\":")));
}

/* As deep, and as large, as a message can be. */
TEST_F(server, version_json_without_end)
{
	uint8_t *body = malloc(WIRE_DATA_MAX);

	ASSERT_NE(NULL, body);
	memset(body, '[', WIRE_DATA_MAX);
	memset(body, 0, 4);
	body[WIRE_DATA_MAX - 1] = 0;
	EXPECT_EQ(-EINVAL, negotiate_anew(&self->test, body, WIRE_DATA_MAX));
	free(body);
}

TEST_F(server, version_is_first_and_once)
{
	EXPECT_EQ(-EPROTO, wire_read(self->wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(0, self->probe->reads);
	EXPECT_FALSE(vfioext_user_device_has_client(self->device));
	wire_close(self->wire);
	wire_test_attach(&self->test, self->device, self->wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, "{}"));
	EXPECT_EQ(-EINVAL, wire_negotiate(self->wire, "{}"));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(1, self->probe->attached);
}

TEST_F(server, info)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info) };

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)));
	ASSERT_EQ(sizeof(info), self->wire->size);
	memcpy(&info, self->wire->body, sizeof(info));
	EXPECT_EQ(16, info.argsz);
	EXPECT_EQ(VFIO_DEVICE_FLAGS_RESET, info.flags);
	EXPECT_EQ(PROBE_REGIONS, info.num_regions);
	EXPECT_EQ(PROBE_IRQS, info.num_irqs);
	/* A client of a later version has more room: the answer is no larger. */
	info.argsz = 64;
	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)));
	EXPECT_EQ(sizeof(info), self->wire->size);
	info.argsz = 15;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)));
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

TEST_F(server, region_info)
{
	struct vfio_region_info info;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, region_info(self->wire, PROBE_CALLED, 32, &info));
	EXPECT_EQ(32, self->wire->size);
	EXPECT_EQ(32, info.argsz);
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, info.flags);
	EXPECT_EQ(PROBE_BYTES, info.size);
	EXPECT_EQ(0, info.offset | info.cap_offset);
	EXPECT_EQ(0, self->wire->nr_fds);
	ASSERT_EQ(0, region_info(self->wire, PROBE_READ_ONLY, 32, &info));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ, info.flags);
	ASSERT_EQ(0, region_info(self->wire, PROBE_WRITE_ONLY, 32, &info));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_WRITE, info.flags);
	ASSERT_EQ(0, region_info(self->wire, PROBE_NONE, 32, &info));
	EXPECT_EQ(0, info.flags | info.size);
	EXPECT_EQ(-EINVAL, region_info(self->wire, PROBE_REGIONS, 32, &info));
	EXPECT_EQ(-EINVAL, region_info(self->wire, UINT32_MAX, 32, &info));
	EXPECT_EQ(-EINVAL, region_info(self->wire, PROBE_CALLED, 31, &info));
	EXPECT_EQ(-EINVAL, region_info(self->wire, PROBE_CALLED, 0, &info));
}

/* It comes with its file, which the client maps where the answer says. */
TEST_F(server, region_is_mapped)
{
	struct vfio_region_info info;
	const char *at;

	ASSERT_EQ(4, pwrite(self->probe->file, "abcd", 4, 0x1000));
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, region_info(self->wire, PROBE_MAPPED, 32, &info));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		  VFIO_REGION_INFO_FLAG_MMAP, info.flags);
	EXPECT_EQ(0x1000, info.offset);
	ASSERT_EQ(1, self->wire->nr_fds);
	EXPECT_TRUE(same_file(self->probe->file, self->wire->fds[0]));
	at = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, self->wire->fds[0],
		  (off_t)info.offset);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(0, memcmp(at, "abcd", 4));
	munmap((void *)(uintptr_t)at, info.size);
}

TEST_F(server, region_file_goes_to_nobody_who_takes_none)
{
	struct vfio_region_info info;

	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_msg_fds\":0}}"));
	ASSERT_EQ(0, region_info(self->wire, PROBE_MAPPED, 32, &info));
	EXPECT_EQ(0, self->wire->nr_fds);
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, info.flags);
	EXPECT_EQ(0, info.offset);
	ASSERT_EQ(0, region_info(self->wire, PROBE_SPARSE, 4096, &info));
	EXPECT_EQ(0, self->wire->nr_fds);
	EXPECT_FALSE(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
}

/* The list of capabilities: the type, and behind it the areas. */
TEST_F(server, region_capabilities)
{
	struct vfio_region_info_cap_type type;
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_sparse_mmap_area areas[2];
	size_t all = 32 + sizeof(type) + sizeof(sparse) + sizeof(areas);
	struct vfio_region_info info;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, region_info(self->wire, PROBE_SPARSE, (uint32_t)all, &info));
	ASSERT_EQ(all, self->wire->size);
	EXPECT_EQ(all, info.argsz);
	EXPECT_TRUE(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	ASSERT_EQ(32, info.cap_offset);
	EXPECT_EQ(1, self->wire->nr_fds);
	memcpy(&type, self->wire->body + 32, sizeof(type));
	EXPECT_EQ(VFIO_REGION_INFO_CAP_TYPE, type.header.id);
	EXPECT_EQ(7, type.type);
	EXPECT_EQ(9, type.subtype);
	ASSERT_EQ(32 + sizeof(type), type.header.next);
	memcpy(&sparse, self->wire->body + type.header.next, sizeof(sparse));
	EXPECT_EQ(VFIO_REGION_INFO_CAP_SPARSE_MMAP, sparse.header.id);
	EXPECT_EQ(0, sparse.header.next);
	ASSERT_EQ(2, sparse.nr_areas);
	memcpy(areas, self->wire->body + type.header.next + sizeof(sparse), sizeof(areas));
	EXPECT_EQ(0x1000, areas[0].offset);
	EXPECT_EQ(0x1000, areas[0].size);
	EXPECT_EQ(0x3000, areas[1].offset);
}

/*
 * Without room for all of it there is nothing but its size, never more than was asked for, and it
 * is not said to be there. With the flag that it can be mapped comes the file.
 */
TEST_F(server, region_capabilities_without_room)
{
	struct vfio_region_info info;
	uint32_t argsz, all = 32 + 16 + 16 + 32;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (argsz = 32; argsz < all; argsz++) {
		ASSERT_EQ(0, region_info(self->wire, PROBE_SPARSE, argsz, &info));
		EXPECT_EQ(32, self->wire->size);
		EXPECT_EQ(all, info.argsz);
		EXPECT_EQ(0, info.cap_offset);
		EXPECT_FALSE(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
		EXPECT_TRUE(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
		EXPECT_EQ(1, self->wire->nr_fds);
	}
	ASSERT_EQ(0, region_info(self->wire, PROBE_SPARSE, UINT32_MAX, &info));
	EXPECT_EQ(all, self->wire->size);
}

static int io_fds(struct wire *wire, uint32_t index, uint32_t argsz, struct vfio_user_io_fds *info)
{
	struct vfio_user_io_fds ask = { .argsz = argsz, .index = index };
	int ret = wire_call(wire, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask));

	if (!ret)
		memcpy(info, wire->body, sizeof(*info));
	return ret;
}

TEST_F(server, io_fds)
{
	int fds[2] = { make_eventfd(), make_eventfd() };
	const struct vfioext_user_io_fd list[] = {
		{ .offset = 0x10, .size = 4, .fd = fds[0], .type = VFIOEXT_USER_IOEVENTFD },
		{ .offset = 0x20, .size = 8, .fd = fds[1], .flags = 1, .datamatch = 77 },
		{ .offset = 0x30, .size = 4, .fd = fds[0], .type = VFIOEXT_USER_IOREGIONFD },
	};
	struct vfio_user_sub_region sub[3];
	struct vfio_user_io_fds info;

	ASSERT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, list, 3));
	ASSERT_EQ(0, wire_negotiate(self->wire, QEMU_JSON));
	ASSERT_EQ(0, io_fds(self->wire, PROBE_CALLED, 16, &info));
	EXPECT_EQ(16, self->wire->size);
	EXPECT_EQ(0, self->wire->nr_fds);
	EXPECT_EQ(16 + 3 * 40, info.argsz);
	EXPECT_EQ(3, info.count);
	ASSERT_EQ(0, io_fds(self->wire, PROBE_CALLED, 16 + 3 * 40, &info));
	ASSERT_EQ(16 + sizeof(sub), self->wire->size);
	ASSERT_EQ(2, self->wire->nr_fds);
	memcpy(sub, self->wire->body + 16, sizeof(sub));
	EXPECT_EQ(0, sub[0].fd_index);
	EXPECT_EQ(1, sub[1].fd_index);
	EXPECT_EQ(0, sub[2].fd_index);
	EXPECT_EQ(0x20, sub[1].offset);
	EXPECT_EQ(8, sub[1].size);
	EXPECT_EQ(1, sub[1].flags);
	EXPECT_EQ(77, sub[1].datamatch);
	EXPECT_EQ(VFIOEXT_USER_IOREGIONFD, sub[2].type);
	ASSERT_EQ(0, eventfd_write(self->wire->fds[1], 5));
	EXPECT_EQ(5, eventfd_count(fds[1]));
	ASSERT_EQ(0, io_fds(self->wire, PROBE_MEMORY, 4096, &info));
	EXPECT_EQ(0, info.count);
	EXPECT_EQ(16, self->wire->size);
	EXPECT_EQ(-EINVAL, io_fds(self->wire, PROBE_CALLED, 15, &info));
	EXPECT_EQ(-EINVAL, io_fds(self->wire, PROBE_REGIONS, 16, &info));
	close(fds[0]);
	close(fds[1]);
}

/* More files than a client takes: there is no list that would be of use to it. */
TEST_F(server, io_fds_of_a_client_that_takes_one)
{
	int fds[3] = { make_eventfd(), make_eventfd(), make_eventfd() }, i;
	struct vfioext_user_io_fd list[3] = { 0 };
	struct vfio_user_io_fds info;

	for (i = 0; i < 3; i++)
		list[i] = (struct vfioext_user_io_fd){ .offset = i * 8, .size = 4, .fd = fds[i] };
	ASSERT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, list, 3));
	ASSERT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_MEMORY, list, 1));
	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"max_msg_fds\":1}}"));
	EXPECT_EQ(-EMFILE, io_fds(self->wire, PROBE_CALLED, 4096, &info));
	EXPECT_EQ(-EMFILE, io_fds(self->wire, PROBE_CALLED, 16, &info));
	ASSERT_EQ(0, io_fds(self->wire, PROBE_MEMORY, 4096, &info));
	EXPECT_EQ(16 + 40, self->wire->size);
	EXPECT_EQ(1, self->wire->nr_fds);
	/* Of one file there may be several. */
	for (i = 1; i < 3; i++)
		list[i].fd = fds[0];
	ASSERT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, list, 3));
	ASSERT_EQ(0, io_fds(self->wire, PROBE_CALLED, 4096, &info));
	EXPECT_EQ(16 + 3 * 40, self->wire->size);
	EXPECT_EQ(3, info.count);
	EXPECT_EQ(1, self->wire->nr_fds);
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

/* So many bytes of what comes. */
static void skip(struct wire *wire, size_t size)
{
	ssize_t got;

	for (; size; size -= (size_t)got) {
		wire_pump(wire->server);
		got = recv(wire->fd, wire->body, size < 4096 ? size : 4096, MSG_DONTWAIT);
		if (got <= 0)
			abort();
	}
}

/* An answer may have to wait: what it names is there, whatever is offered since. */
TEST_F(server, io_fds_of_a_waiting_answer)
{
	struct vfio_user_region_access access = { 0, PROBE_LARGE, WIRE_DATA_MAX };
	struct vfio_user_io_fds ask = { .argsz = 4096, .index = PROBE_CALLED };
	int offered = make_eventfd(), kept = fcntl(offered, F_DUPFD_CLOEXEC, 0), other;
	size_t large = 16 + 16 + WIRE_DATA_MAX, part = 850 << 10;
	struct vfioext_user_io_fd list = { .size = 4, .fd = offered };

	ASSERT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, &list, 1));
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	wire_put(self->wire, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, &ask, sizeof(ask), NULL, 0);
	/* Of the rest there is less than makes the second question wait, and more than is sent. */
	skip(self->wire, part);
	wire_pump(self->test.server);
	close(offered);
	other = make_eventfd();
	ASSERT_EQ(offered, other);
	ASSERT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, NULL, 0));
	skip(self->wire, large - part);
	ASSERT_EQ(1, wire_get(self->wire));
	ASSERT_EQ(VFIO_USER_DEVICE_GET_REGION_IO_FDS, self->wire->header.command);
	ASSERT_EQ(1, self->wire->nr_fds);
	ASSERT_EQ(0, eventfd_write(self->wire->fds[0], 3));
	EXPECT_EQ(0, eventfd_count(other));
	EXPECT_EQ(3, eventfd_count(kept));
	close(other);
	close(kept);
}

TEST_F(server, io_fds_that_cannot_be)
{
	const struct vfioext_user_io_fd outside = { .offset = PROBE_BYTES, .size = 4, .fd = 0 };
	const struct vfioext_user_io_fd none = { .size = 4, .fd = -1 };
	const struct vfioext_user_io_fd unknown = { .size = 4, .fd = 0, .type = 2 };

	EXPECT_EQ(-EINVAL, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, &outside, 1));
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, &none, 1));
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, &unknown, 1));
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_io_fds(self->device, PROBE_REGIONS, NULL, 0));
	EXPECT_EQ(0, vfioext_user_device_set_io_fds(self->device, PROBE_CALLED, NULL, 0));
}

TEST_F(server, regions_that_cannot_be)
{
	struct vfioext_area areas[] = { { 0x1000, 0x1000 }, { 0, 0x1000 } };
	struct vfioext_user_region region = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_MMAP,
		.size = 0x4000,
		.fd = self->probe->file,
		.areas = areas,
		.nr_areas = 2,
	};

	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, 0, &region));
	areas[1] = (struct vfioext_area){ 0x3000, 0x1001 };
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, 0, &region));
	areas[1] = (struct vfioext_area){ 0x2001, 0x1000 };
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, 0, &region));
	areas[1] = (struct vfioext_area){ 0x2000, 0x1000 };
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(-EBUSY, vfioext_user_device_set_region(self->device, 0, &region));
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, VFIOEXT_USER_REGIONS_MAX,
							  &region));
	region.fd = -1;
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, 0, &region));
	region.fd = self->probe->file;
	region.flags = VFIOEXT_REGION_READ;
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, 0, &region));
	region.flags |= VFIOEXT_REGION_MMAP;
	EXPECT_EQ(0, vfioext_user_device_set_region(self->device, 0, &region));
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_irq(self->device, VFIOEXT_USER_IRQS_MAX, 1, 0));
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_irq(self->device, 0, 4097, 0));
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_irq(self->device, 0, 1, 0x10));
	region = (struct vfioext_user_region){ .flags = 0x8 };
	EXPECT_EQ(-EINVAL, vfioext_user_device_set_region(self->device, 0, &region));
}

TEST_F(server, read_and_write)
{
	struct wire *wire = self->wire;

	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	ASSERT_EQ(0, wire_write(wire, PROBE_CALLED, 0x10, "hello", 5));
	EXPECT_EQ(0, memcmp(self->probe->bytes + 0x10, "hello", 5));
	ASSERT_EQ(0, wire_read(wire, PROBE_CALLED, 0x0f, 7));
	EXPECT_EQ(0, memcmp(wire->body + 16, "\0hello", 7));
	EXPECT_EQ(0, wire_write(wire, PROBE_MEMORY, 4090, "memory", 6));
	EXPECT_EQ(0, memcmp(self->probe->memory + 4090, "memory", 6));
	EXPECT_EQ(0, wire_read(wire, PROBE_MEMORY, 4090, 6));
	EXPECT_EQ(0, memcmp(wire->body + 16, "memory", 6));
	EXPECT_EQ(1, self->probe->reads);
	EXPECT_EQ(1, self->probe->writes);
	EXPECT_EQ(-EPERM, wire_write(wire, PROBE_READ_ONLY, 0, "x", 1));
	EXPECT_EQ(-EPERM, wire_read(wire, PROBE_WRITE_ONLY, 0, 1));
	EXPECT_EQ(0, wire_read(wire, PROBE_READ_ONLY, 0, 1));
	EXPECT_EQ(0, wire_write(wire, PROBE_WRITE_ONLY, 0, "x", 1));
	EXPECT_EQ(0, wire_read(wire, PROBE_CALLED, PROBE_BYTES, 0));
	EXPECT_EQ(-EINVAL, wire_read(wire, PROBE_CALLED, PROBE_BYTES, 1));
	EXPECT_EQ(-EINVAL, wire_read(wire, PROBE_CALLED, PROBE_BYTES - 3, 4));
	EXPECT_EQ(-EINVAL, wire_read(wire, PROBE_CALLED, UINT64_MAX, 4));
	EXPECT_EQ(-EINVAL, wire_write(wire, PROBE_MEMORY, 4093, "1234", 4));
	EXPECT_EQ(-EINVAL, wire_read(wire, PROBE_REGIONS, 0, 1));
	EXPECT_EQ(-EINVAL, wire_read(wire, PROBE_NONE, 0, 1));
	self->probe->error = -EIO;
	EXPECT_EQ(-EIO, wire_read(wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(-EIO, wire_write(wire, PROBE_CALLED, 0, "1234", 4));
}

/* As much as was agreed on, and not a byte more. */
/* A device need not be prepared for that. */
TEST_F(server, read_and_write_of_nothing)
{
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 0));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, PROBE_BYTES, 0));
	EXPECT_EQ(0, wire_write(self->wire, PROBE_CALLED, 8, NULL, 0));
	EXPECT_EQ(-EINVAL, wire_read(self->wire, PROBE_CALLED, PROBE_BYTES + 1, 0));
	EXPECT_EQ(-EPERM, wire_write(self->wire, PROBE_READ_ONLY, 0, NULL, 0));
	EXPECT_EQ(0, self->probe->reads);
	EXPECT_EQ(0, self->probe->writes);
}

TEST_F(server, read_and_write_at_the_limit)
{
	struct vfio_user_region_access access = { 0, PROBE_LARGE, WIRE_DATA_MAX + 1 };
	uint8_t *data = calloc(1, WIRE_MESSAGE_MAX);

	ASSERT_NE(NULL, data);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(0, wire_write(self->wire, PROBE_LARGE, 4096, data, WIRE_DATA_MAX));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_LARGE, 4096, WIRE_DATA_MAX));
	EXPECT_EQ(-E2BIG, wire_read(self->wire, PROBE_LARGE, 0, WIRE_DATA_MAX + 1));
	EXPECT_EQ(-E2BIG, wire_read(self->wire, PROBE_LARGE, 0, UINT32_MAX));
	EXPECT_EQ(-E2BIG, wire_write(self->wire, PROBE_LARGE, 0, data, WIRE_DATA_MAX + 1));
	EXPECT_EQ(1, self->probe->writes);
	/* One that says another size than it has. */
	access.count = 5;
	memcpy(data, &access, sizeof(access));
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_REGION_WRITE, data, 16 + 4));
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_REGION_WRITE, data, 16 + 6));
	EXPECT_EQ(1, self->probe->writes);
	free(data);
}

static const struct vfioext_user_ops no_ops;

TEST_F(server, without_callbacks)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info) };
	struct vfio_user_feature feature = {
		.argsz = 64,
		.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION,
	};
	struct vfio_user_migration_data data = { .argsz = 64, .size = 8 };
	struct wire *wire = self->wire;

	begin_again(&self->test, &no_ops);
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	ASSERT_EQ(0, wire_call(wire, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)));
	memcpy(&info, wire->body, sizeof(info));
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(-EPERM, wire_read(wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(-EPERM, wire_write(wire, PROBE_CALLED, 0, "1234", 4));
	EXPECT_EQ(0, wire_write(wire, PROBE_MEMORY, 0, "1234", 4));
	EXPECT_EQ(-ENOTSUP, wire_call(wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(-ENOTTY, wire_call(wire, VFIO_USER_DEVICE_FEATURE, &feature, sizeof(feature)));
	EXPECT_EQ(-ENOTSUP, wire_call(wire, VFIO_USER_MIG_DATA_READ, &data, sizeof(data)));
	EXPECT_EQ(-ENOTSUP, wire_call(wire, VFIO_USER_MIG_DATA_WRITE, &data, sizeof(data)));
	EXPECT_EQ(0, wire_map(wire, 0, 4096, 3, -1, 0));
	EXPECT_EQ(0, wire_unmap(wire, 0, 4096));
	EXPECT_EQ(0, wire_set_irqs(wire, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
				   PROBE_PIN, 0, 1, NULL, 0));
}

TEST_F(server, unknown_commands)
{
	static const unsigned int commands[] = { 0, 11, 12, 14, 19, 20, 255, 65535 };
	size_t i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		EXPECT_EQ(-ENOSYS, wire_call(self->wire, commands[i], "0123456789abcdef", 16));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

TEST_F(server, reset)
{
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(0, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
	EXPECT_EQ(0, self->wire->size);
	EXPECT_EQ(1, self->probe->resets);
	self->probe->error = -EBUSY;
	EXPECT_EQ(-EBUSY, wire_call(self->wire, VFIO_USER_DEVICE_RESET, NULL, 0));
}

struct posted {
	uint64_t nr;
	struct vfio_user_write writes[200];
};

/* 200 writes, as QEMU posts them when its queue is long. */
TEST_F(server, write_multi)
{
	struct posted posted = { .nr = 200 };
	uint64_t done;
	size_t i;

	for (i = 0; i < 200; i++) {
		posted.writes[i].offset = i * 8;
		posted.writes[i].region = PROBE_CALLED;
		posted.writes[i].count = 8;
		memset(posted.writes[i].data, (int)i, 8);
	}
	ASSERT_EQ(4808, sizeof(posted));
	ASSERT_EQ(0, wire_negotiate(self->wire, QEMU_JSON));
	wire_put(self->wire, VFIO_USER_REGION_WRITE_MULTI, VFIO_USER_NO_REPLY, &posted,
		 sizeof(posted), NULL, 0);
	ASSERT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 1600));
	for (i = 0; i < 1600; i++)
		ASSERT_EQ(i / 8, self->wire->body[16 + i]);
	EXPECT_EQ(200, self->probe->writes);
	/* The answer tells how many were done. */
	posted.writes[7].count = 9;
	ASSERT_EQ(0, wire_call(self->wire, VFIO_USER_REGION_WRITE_MULTI, &posted, sizeof(posted)));
	ASSERT_EQ(sizeof(done), self->wire->size);
	memcpy(&done, self->wire->body, sizeof(done));
	EXPECT_EQ(7, done);
	posted.writes[0].offset = PROBE_BYTES;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_REGION_WRITE_MULTI, &posted,
				     sizeof(posted)));
}

TEST_F(server, write_multi_that_miscounts)
{
	struct posted posted = { .nr = 2 };
	static const uint64_t wrong[] = { 0, 1, 3, 201, UINT64_MAX, (1ULL << 61) + 2 };
	size_t i;

	ASSERT_EQ(0, wire_negotiate(self->wire, QEMU_JSON));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		posted.nr = wrong[i];
		EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_REGION_WRITE_MULTI, &posted,
					     8 + 2 * 24));
	}
	posted.nr = 0;
	EXPECT_EQ(0, wire_call(self->wire, VFIO_USER_REGION_WRITE_MULTI, &posted, 8));
	posted.nr = 2;
	EXPECT_EQ(-EINVAL, wire_call(self->wire, VFIO_USER_REGION_WRITE_MULTI, &posted, 8 + 49));
	EXPECT_EQ(0, self->probe->writes);
}

TEST_F(server, write_multi_that_was_not_agreed_on)
{
	struct posted posted = { .nr = 1, .writes[0] = { .region = PROBE_CALLED, .count = 8 } };

	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"write_multiple\":false}}"));
	EXPECT_EQ(-ENOSYS, wire_call(self->wire, VFIO_USER_REGION_WRITE_MULTI, &posted, 8 + 24));
	EXPECT_EQ(0, self->probe->writes);
}

/* What the last call of a migration's callbacks was given. */
static uint32_t last_flags;
static size_t last_size, last_room;
static uint8_t last_data[64];
static ssize_t next_return;

static ssize_t take_feature(struct vfioext_user_device *device, uint32_t flags, void *data,
			    size_t size, size_t room)
{
	(void)device;
	if (size > room)
		abort();
	last_flags = flags;
	last_size = size;
	last_room = room;
	memcpy(last_data, data, size < sizeof(last_data) ? size : sizeof(last_data));
	if (next_return > 0 && (size_t)next_return <= room)
		memset(data, 0x5a, (size_t)next_return);
	return next_return;
}

static ssize_t give_state(struct vfioext_user_device *device, void *buffer, size_t size)
{
	(void)device;
	last_size = size;
	memset(buffer, 0xa5, size);
	return next_return;
}

static int take_state(struct vfioext_user_device *device, const void *buffer, size_t size)
{
	(void)device;
	last_size = size;
	memcpy(last_data, buffer, size < sizeof(last_data) ? size : sizeof(last_data));
	return (int)next_return;
}

static const struct vfioext_user_ops migration_ops = {
	.feature = take_feature,
	.migration_read = give_state,
	.migration_write = take_state,
};

static int feature(struct wire *wire, uint32_t argsz, uint32_t flags, size_t size)
{
	struct vfio_user_feature feature = { argsz, flags };
	uint8_t *body = malloc(sizeof(feature) + size);
	int ret;

	if (!body)
		abort();
	memset(body, 0x33, sizeof(feature) + size);
	memcpy(body, &feature, sizeof(feature));
	ret = wire_call(wire, VFIO_USER_DEVICE_FEATURE, body, sizeof(feature) + size);
	free(body);
	return ret;
}

TEST_F(server, feature)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET | 1, set = VFIO_DEVICE_FEATURE_SET | 2;
	struct vfio_user_feature answer;
	struct wire *wire = self->wire;

	begin_again(&self->test, &migration_ops);
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	next_return = 16;
	ASSERT_EQ(0, feature(wire, 8 + 32, get, 0));
	EXPECT_EQ(get, last_flags);
	EXPECT_EQ(0, last_size);
	EXPECT_EQ(32, last_room);
	ASSERT_EQ(8 + 16, wire->size);
	memcpy(&answer, wire->body, sizeof(answer));
	EXPECT_EQ(8 + 16, answer.argsz);
	EXPECT_EQ(get, answer.flags);
	EXPECT_EQ(0x5a, wire->body[8 + 15]);
	next_return = 0;
	ASSERT_EQ(0, feature(wire, 8 + 4, set, 4));
	EXPECT_EQ(4, last_size);
	EXPECT_EQ(0x33, last_data[3]);
	ASSERT_EQ(8 + 4, wire->size);
	EXPECT_EQ(0x33, wire->body[8 + 3]);
	ASSERT_EQ(0, feature(wire, 8, VFIO_DEVICE_FEATURE_PROBE | get, 0));
	EXPECT_EQ(8, wire->size);
	ASSERT_EQ(0, feature(wire, 8, VFIO_DEVICE_FEATURE_PROBE | get | set, 0));
	next_return = -ENOTTY;
	EXPECT_EQ(-ENOTTY, feature(wire, 8 + 32, get, 0));
}

/* Logs of DMA are the device's: what to log goes to it, and the bitmap comes from it. */
TEST_F(server, feature_of_dma_logs)
{
	const uint32_t start = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
	const uint32_t stop = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
	const uint32_t report = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
	struct wire *wire = self->wire;

	begin_again(&self->test, &migration_ops);
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	memset(last_data, 0, sizeof(last_data));
	next_return = 0;
	ASSERT_EQ(0, feature(wire, 8 + 40, start, 40));
	EXPECT_EQ(start, last_flags);
	EXPECT_EQ(40, last_size);
	EXPECT_EQ(0x33, last_data[39]);
	EXPECT_EQ(8 + 40, wire->size);
	/* The bitmap is behind what was asked with. */
	memset(last_data, 0, sizeof(last_data));
	next_return = 24 + 8;
	ASSERT_EQ(0, feature(wire, 8 + 24 + 8, report, 24));
	EXPECT_EQ(report, last_flags);
	EXPECT_EQ(24, last_size);
	EXPECT_EQ(0x33, last_data[23]);
	EXPECT_EQ(24 + 8, last_room);
	ASSERT_EQ(8 + 24 + 8, wire->size);
	EXPECT_EQ(0x5a, wire->body[8 + 24 + 7]);
	next_return = 0;
	ASSERT_EQ(0, feature(wire, 8, stop, 0));
	EXPECT_EQ(stop, last_flags);
	EXPECT_EQ(0, last_size);
	EXPECT_EQ(8, wire->size);
	begin_again(&self->test, &no_ops);
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	EXPECT_EQ(-ENOTTY, feature(wire, 8 + 40, start, 40));
	EXPECT_EQ(-ENOTTY, feature(wire, 8 + 24 + 8, report, 24));
	EXPECT_EQ(-ENOTTY, feature(wire, 8, stop, 0));
}

TEST_F(server, feature_that_cannot_be)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET | 1, set = VFIO_DEVICE_FEATURE_SET | 2;
	struct wire *wire = self->wire;

	begin_again(&self->test, &migration_ops);
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	next_return = 0;
	last_flags = 0;
	EXPECT_EQ(-EINVAL, feature(wire, 7, get, 0));
	EXPECT_EQ(-EINVAL, feature(wire, 8, 1, 0));
	EXPECT_EQ(-EINVAL, feature(wire, 8, get | set, 0));
	EXPECT_EQ(-EINVAL, feature(wire, 8, get | 1u << 20, 0));
	/* What was sent would come back, and is more than there is room for. */
	EXPECT_EQ(-EINVAL, feature(wire, 8, set, 8));
	EXPECT_EQ(-EINVAL, feature(wire, 8 + 7, set, 8));
	EXPECT_EQ(-EINVAL, feature(wire, 8 + 23, get, 24));
	/* More than fits into a message, and more than there is room for. */
	EXPECT_EQ(-E2BIG, feature(wire, 8, set, WIRE_DATA_MAX + 1));
	EXPECT_EQ(-E2BIG, feature(wire, UINT32_MAX, set, WIRE_MESSAGE_MAX - 16 - 8));
	EXPECT_EQ(0, last_flags);
	next_return = 33;
	EXPECT_EQ(-EIO, feature(wire, 8 + 32, get, 0));
	next_return = WIRE_DATA_MAX;
	EXPECT_EQ(0, feature(wire, UINT32_MAX, get, 0));
	EXPECT_EQ(WIRE_DATA_MAX, last_room);
}

static int migration(struct wire *wire, unsigned int command, uint32_t argsz, uint32_t size,
		     size_t data)
{
	struct vfio_user_migration_data head = { argsz, size };
	uint8_t body[64];

	memset(body, 0x44, sizeof(body));
	memcpy(body, &head, sizeof(head));
	return wire_call(wire, command, body, sizeof(head) + data);
}

TEST_F(server, migration_data)
{
	struct wire *wire = self->wire;
	struct vfio_user_migration_data head;

	begin_again(&self->test, &migration_ops);
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(wire, NULL));
	next_return = 5;
	ASSERT_EQ(0, migration(wire, VFIO_USER_MIG_DATA_READ, 8 + 100, 100, 0));
	EXPECT_EQ(100, last_size);
	ASSERT_EQ(8 + 5, wire->size);
	memcpy(&head, wire->body, sizeof(head));
	EXPECT_EQ(5, head.size);
	EXPECT_EQ(13, head.argsz);
	EXPECT_EQ(0xa5, wire->body[12]);
	next_return = 101;
	EXPECT_EQ(-EIO, migration(wire, VFIO_USER_MIG_DATA_READ, 8 + 100, 100, 0));
	next_return = -EBUSY;
	EXPECT_EQ(-EBUSY, migration(wire, VFIO_USER_MIG_DATA_READ, 8 + 100, 100, 0));
	EXPECT_EQ(-EINVAL, migration(wire, VFIO_USER_MIG_DATA_READ, 8 + 99, 100, 0));
	EXPECT_EQ(-EINVAL, migration(wire, VFIO_USER_MIG_DATA_READ, 7, 0, 0));
	EXPECT_EQ(-E2BIG, migration(wire, VFIO_USER_MIG_DATA_READ, UINT32_MAX, WIRE_DATA_MAX + 1,
				    0));
	EXPECT_EQ(-EBUSY, migration(wire, VFIO_USER_MIG_DATA_WRITE, 8 + 9, 9, 9));
	next_return = 0;
	EXPECT_EQ(0, migration(wire, VFIO_USER_MIG_DATA_WRITE, 8 + 9, 9, 9));
	EXPECT_EQ(0, wire->size);
	EXPECT_EQ(9, last_size);
	EXPECT_EQ(0x44, last_data[8]);
	EXPECT_EQ(-EINVAL, migration(wire, VFIO_USER_MIG_DATA_WRITE, 8 + 9, 9, 8));
	EXPECT_EQ(-EINVAL, migration(wire, VFIO_USER_MIG_DATA_WRITE, 8 + 9, 8, 9));
	next_return = -EIO;
	last_size = 77;
	EXPECT_EQ(0, migration(wire, VFIO_USER_MIG_DATA_WRITE, 8, 0, 0));
	EXPECT_EQ(0, migration(wire, VFIO_USER_MIG_DATA_READ, 8, 0, 0));
	EXPECT_EQ(8, wire->size);
	EXPECT_EQ(77, last_size);
}

TEST_HARNESS_MAIN
