// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our client and servers that break the rules, each in its own way: it must not crash, hang
 * or leak, and tells what is wrong where there is somebody to be told. What they ask of it,
 * and how long they can hold it up, is in distrust_asks.c.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "../lib/distrust_fixture.h"
#include "../lib/wire.h"

#define ARGSZ 0
#define INFO VFIO_USER_DEVICE_GET_INFO
#define REGION_INFO VFIO_USER_DEVICE_GET_REGION_INFO
#define CAPS sizeof(struct vfio_region_info)

static const struct {
	const char *what;
	struct spoil spoil;
	int region;
	enum step step;
	int error;
	bool lost;
} cases[] = {
	{ "nothing", { 0, HONEST }, 0, DONE },
	{ "no capabilities", { VFIO_USER_VERSION, CUT, 35 }, 0, DONE },
	{ "empty capabilities", { VFIO_USER_VERSION, JSON, .json = "{}" }, 0, DONE },
	{ "half a version", { VFIO_USER_VERSION, CUT, 37 }, 0, OPEN, -EPROTO },
	{ "another major version", { VFIO_USER_VERSION, SET16, 1, 0 }, 0, OPEN, -EPROTONOSUPPORT },
	{ "a later minor version", { VFIO_USER_VERSION, SET16, 1, 2 }, 0, OPEN, -EPROTONOSUPPORT },
	{ "no end of the text", { VFIO_USER_VERSION, CUT, 1 }, 0, OPEN, -EPROTO },
	{ "no JSON", { VFIO_USER_VERSION, JSON, .json = "[[[" }, 0, OPEN, -EPROTO },
	{ "an array", { VFIO_USER_VERSION, JSON, .json = "[]" }, 0, OPEN, -EPROTO },
	{ "a negative number", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_msg_fds\":-1}}" }, 0, OPEN, -EPROTO },
	{ "no data at all", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":0}}" }, 0, OPEN, -EPROTO },
	{ "no pages at all", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"pgsizes\":0}}" }, 0, OPEN, -EPROTO },
	{ "small messages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":100}}" }, 0, DONE },
	{ "large messages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":9223372036854775807}}" }, 0, DONE },
	{ "more data than a number holds", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":1e20}}" }, 0, DONE },
	{ "all sizes of pages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"pgsizes\":18446744073709547520}}" }, 0, DONE },
	{ "a number as a real", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":1048576.0}}" }, 0, DONE },
	{ "half a descriptor", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_msg_fds\":0.5}}" }, 0, OPEN, -EPROTO },
	{ "JSON in JSON in JSON", { VFIO_USER_VERSION, JSON,
	  .json = "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}" }, 0, OPEN, -EPROTO },
	{ "no mappings", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_dma_maps\":0}}" }, 0, DMA_MAP, -ENOSPC },
	{ "large pages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"pgsizes\":2097152}}" }, 0, DMA_MAP, -EINVAL },
	{ "no descriptors", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_msg_fds\":0}}" }, 0, IRQ_SET, -EOPNOTSUPP },
	{ "a second socket that is not there", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}" },
	  0, OPEN, -EPROTO },
	{ "a second socket without a number", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}" }, 0, OPEN, -EPROTO },
	{ "descriptors with the version", { VFIO_USER_VERSION, SURPLUS, 16 }, 0, DONE },
	{ "more of them than can be", { VFIO_USER_VERSION, SURPLUS, 40 }, 0, DONE },
	{ "an error", { VFIO_USER_VERSION, ERROR, EPERM }, 0, OPEN, -EPERM },
	{ "an error without a number", { VFIO_USER_VERSION, ERROR, 0 }, 0, OPEN, -EIO },
	{ "an error that is none", { VFIO_USER_VERSION, ERROR, 0x80000000 }, 0, OPEN, -EIO },
	{ "another id", { VFIO_USER_VERSION, ID, 1 }, 0, OPEN, -EPROTO },
	{ "another command", { VFIO_USER_VERSION, COMMAND, 5 }, 0, OPEN, -EPROTO },
	{ "another type", { VFIO_USER_VERSION, TYPE, 2 }, 0, OPEN, -EPROTO },
	{ "a size below the header's", { VFIO_USER_VERSION, SIZE, 15 }, 0, OPEN, -EPROTO },
	{ "a size of nothing", { VFIO_USER_VERSION, SIZE, 0 }, 0, OPEN, -EPROTO },
	{ "a size of all", { VFIO_USER_VERSION, SIZE, UINT32_MAX }, 0, OPEN, -EPROTO },
	{ "the end", { VFIO_USER_VERSION, HANG_UP }, 0, OPEN, -ECONNRESET },
	{ "the end, half way", { VFIO_USER_VERSION, HALF }, 0, OPEN, -ECONNRESET },
	{ "a long version", { VFIO_USER_VERSION, GROW, 5000 }, 0, OPEN, -EPROTO },

	{ "a short device", { INFO, CUT, 1 }, 0, OPEN, -EPROTO },
	{ "no device", { INFO, CUT, 16 }, 0, OPEN, -EPROTO },
	{ "a long device", { INFO, GROW, 1 }, 0, OPEN, -EPROTO },
	{ "a device that says it is short", { INFO, SET32, 15, ARGSZ }, 0, OPEN, -EPROTO },
	{ "too many regions", { INFO, SET32, 257, 8 }, 0, OPEN, -EPROTO },
	{ "all regions there can be", { INFO, SET32, UINT32_MAX, 8 }, 0, OPEN, -EPROTO },
	{ "too many kinds of interrupts", { INFO, SET32, UINT32_MAX, 12 }, 0, OPEN, -EPROTO },
	{ "no regions", { INFO, SET32, 0, 8 }, 0, REGION, -EINVAL },
	{ "a PCI device without its regions", { INFO, SET32, 3, 4 }, 0, OPEN, -EINVAL },
	{ "an error of the device", { INFO, ERROR, EIO }, 0, OPEN, -EIO },
	{ "the end of the device", { INFO, HANG_UP }, 0, OPEN, -ENODEV },

	{ "a short region", { REGION_INFO, CUT, 1 }, 0, REGION, -EPROTO },
	{ "an empty region", { REGION_INFO, CUT, 32 }, 0, REGION, -EPROTO },
	{ "a long region", { REGION_INFO, GROW, 8 }, 0, REGION, -EPROTO },
	{ "another region", { REGION_INFO, SET32, 1, 8 }, 0, REGION, -EPROTO },
	{ "a region of no size", { REGION_INFO, SET32, 31, ARGSZ }, 0, REGION, -EPROTO },
	{ "a region that grows", { REGION_INFO, SET32, 0x10000, ARGSZ }, 0, REGION, -EPROTO },
	{ "a region of all sizes", { REGION_INFO, SET32, UINT32_MAX, ARGSZ }, 0, REGION, -EPROTO },
	{ "a region of the largest size", { REGION_INFO, SET64, UINT64_MAX, 16 }, 0, REGION, -EPROTO },
	{ "capabilities that are not there", { REGION_INFO, SET32, 11, 4 }, 0, REGION, -EPROTO },
	{ "no such region", { REGION_INFO, ERROR, EINVAL }, 1, MAP_REGION, -ENOTSUP },
	{ "a region without its file", { REGION_INFO, NO_FD }, 1, MAP_REGION, -ENOTSUP },
	{ "a region of many files", { REGION_INFO, SURPLUS, 16 }, 1, DONE },
	{ "a region of too many files", { REGION_INFO, SURPLUS, 40 }, 1, DONE },
	{ "a file for a region by messages", { REGION_INFO, SURPLUS, 2 }, 0, DONE },
	{ "a region larger than its file", { REGION_INFO, SET64, 0x100000, 16 }, 1, DONE },
	{ "a region behind its file", { REGION_INFO, SET64, 0x100000, 24 }, 1, DONE },
	{ "a region behind all files", { REGION_INFO, SET64, INT64_MAX & ~0xfffULL, 24 }, 1,
	  MAP_REGION, -EPROTO },
	{ "a region in the middle of a page", { REGION_INFO, SET64, 1, 24 }, 1, MAP_REGION, -ENOTSUP },
	{ "capabilities nowhere", { REGION_INFO, SET32, UINT32_MAX, 12 }, 2, SPARSE_REGION, -EPROTO },
	{ "capabilities in the head", { REGION_INFO, SET32, 4, 12 }, 2, SPARSE_REGION, -EPROTO },
	{ "capabilities in a circle", { REGION_INFO, SET32, CAPS, CAPS + 4 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "too many areas", { REGION_INFO, SET32, 3, CAPS + 8 }, 2, SPARSE_REGION, -EPROTO },
	{ "all areas", { REGION_INFO, SET32, UINT32_MAX, CAPS + 8 }, 2, SPARSE_REGION, -EPROTO },
	{ "an area out of order", { REGION_INFO, SET64, 0x3000, CAPS + 16 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "an area behind the end", { REGION_INFO, SET64, 0x2000, CAPS + 40 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "an area off its page", { REGION_INFO, SET64, 0x1001, CAPS + 16 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "areas that are not there", { REGION_INFO, CUT, 16 }, 2, SPARSE_REGION, -EPROTO },

	{ "short interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, CUT, 4 }, 0, IRQ_INFO, -EPROTO },
	{ "other interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, SET32, 0, 8 }, 0, IRQ_INFO, -EPROTO },
	{ "all interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, SET32, UINT32_MAX, 12 }, 0, IRQ_INFO,
	  -EPROTO },
	{ "no interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, SET32, 0, 12 }, 0, IRQ_SET, -EINVAL },
	{ "interrupts with more", { VFIO_USER_DEVICE_SET_IRQS, GROW, 1 }, 0, IRQ_SET, -EPROTO },
	{ "interrupts with descriptors", { VFIO_USER_DEVICE_SET_IRQS, SURPLUS, 3 }, 0, DONE },
	{ "interrupts refused", { VFIO_USER_DEVICE_SET_IRQS, ERROR, ENOSPC }, 0, IRQ_SET, -ENOSPC },
	{ "interrupts of another", { VFIO_USER_DEVICE_SET_IRQS, ID, 3 }, 0, IRQ_SET, -ENODEV, true },

	{ "fewer bytes", { VFIO_USER_REGION_READ, CUT, 1 }, 0, READ, -EPROTO },
	{ "no bytes", { VFIO_USER_REGION_READ, CUT, 256 }, 0, READ, -EPROTO },
	{ "not even their number", { VFIO_USER_REGION_READ, CUT, 260 }, 0, READ, -EPROTO },
	{ "more bytes", { VFIO_USER_REGION_READ, GROW, 1 }, 0, READ, -EPROTO },
	{ "many more bytes", { VFIO_USER_REGION_READ, GROW, 0x100000 }, 0, READ, -EPROTO },
	{ "another number of bytes", { VFIO_USER_REGION_READ, SET32, 255, 12 }, 0, READ, -EPROTO },
	{ "bytes from elsewhere", { VFIO_USER_REGION_READ, SET64, 0x101, 0 }, 0, READ, -EPROTO },
	{ "bytes of another region", { VFIO_USER_REGION_READ, SET32, 1, 8 }, 0, READ, -EPROTO },
	{ "bytes of another answer", { VFIO_USER_REGION_READ, ID, 0x8000 }, 0, READ, -ENODEV, true },
	{ "bytes of another command", { VFIO_USER_REGION_READ, COMMAND, 10 }, 0, READ, -ENODEV, true },
	{ "bytes with descriptors", { VFIO_USER_REGION_READ, SURPLUS, 2 }, 0, DONE },
	{ "an end", { VFIO_USER_REGION_READ, HANG_UP }, 0, READ, -ENODEV, true },
	{ "half an answer", { VFIO_USER_REGION_READ, HALF }, 0, READ, -ENODEV, true },
	{ "an answer too large", { VFIO_USER_REGION_READ, SIZE, 0x200000 }, 0, READ, -ENODEV, true },
	{ "written elsewhere", { VFIO_USER_REGION_WRITE, SET64, 7, 0 }, 0, WRITE, -EPROTO },
	{ "written in part", { VFIO_USER_REGION_WRITE, SET32, 255, 12 }, 0, WRITE, -EPROTO },
	{ "written, and more", { VFIO_USER_REGION_WRITE, GROW, 4 }, 0, WRITE, -EPROTO },
	{ "not written", { VFIO_USER_REGION_WRITE, ERROR, EROFS }, 0, WRITE, -EROFS },

	{ "memory that is refused", { VFIO_USER_DMA_MAP, ERROR, EEXIST }, 0, DMA_MAP, -EEXIST },
	{ "memory with more", { VFIO_USER_DMA_MAP, GROW, 8 }, 0, DMA_MAP, -EPROTO },
	{ "memory, and the end", { VFIO_USER_DMA_MAP, HANG_UP }, 0, DMA_MAP, -ENODEV, true },
	{ "memory that is kept", { VFIO_USER_DMA_UNMAP, ERROR, EBUSY }, 0, DMA_UNMAP, -EBUSY },
	{ "memory that is not known", { VFIO_USER_DMA_UNMAP, ERROR, ENOENT }, 0, DONE },
	{ "memory that goes with the server", { VFIO_USER_DMA_UNMAP, HANG_UP }, 0, RESET, -ENODEV,
	  true },
	{ "a reset that fails", { VFIO_USER_DEVICE_RESET, ERROR, EIO }, 0, RESET, -EIO },
	{ "a reset, and the end", { VFIO_USER_DEVICE_RESET, HANG_UP }, 0, RESET, -ENODEV, true },
	{ "a reset with more", { VFIO_USER_DEVICE_RESET, GROW, 1 }, 0, RESET, -EPROTO },
};

#define NR_CASES (sizeof(cases) / sizeof(cases[0]))

TEST_F(distrust, each_in_turn)
{
	unsigned int before, i;
	enum step step;
	int ret;

	for (i = 0; i < NR_CASES; i++) {
		before = count_files();
		memset(&self->server, 0, offsetof(struct server, in));
		self->server.spoil = cases[i].spoil;
		self->server.region = cases[i].region;
		ASSERT_TRUE(begin(&self->server, &self->client));
		for (step = OPEN, ret = 0; step < DONE && !ret;) {
			ret = take_step(&self->client, self->server.path, step);
			if (!ret)
				step++;
		}
		EXPECT_EQ(cases[i].step, step)
			TH_LOG("%s: %d", cases[i].what, ret);
		EXPECT_EQ(cases[i].error, ret)
			TH_LOG("%s: %s", cases[i].what, vfioext_message(self->client.ctx));
		if (ret && (step == OPEN || (step == RESET && cases[i].lost)))
			EXPECT_STRNE("", vfioext_message(self->client.ctx));
		if (ret == -ENODEV && (step == OPEN || step == RESET))
			EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "has gone"))
				TH_LOG("%s", cases[i].what);
		if (self->client.device)
			EXPECT_EQ(cases[i].lost, vfioext_device_lost(self->client.device))
				TH_LOG("%s", cases[i].what);
		end(&self->server, &self->client);
		EXPECT_EQ(before, count_files())
			TH_LOG("%s", cases[i].what);
	}
}

TEST_F(distrust, writes_that_nobody_waits_for)
{
	struct vfioext_region *region;
	unsigned int i;

	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, vfioext_region_get(self->client.device, 0, &region));
	for (i = 0; i < 100; i++)
		vfioext_write32(region, i * 4, i);
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(100, self->server.writes);
	EXPECT_EQ(100, self->server.no_reply);
	EXPECT_EQ(0, take_step(&self->client, self->server.path, WRITE));
	EXPECT_EQ(101, self->server.writes);
	EXPECT_EQ(100, self->server.no_reply);
	/* What is mapped must not overtake them. */
	EXPECT_EQ(0, take_step(&self->client, self->server.path, MAP_REGION));
	vfioext_write32(region, 0, 1);
	EXPECT_EQ(102, self->server.writes);
	EXPECT_EQ(100, self->server.no_reply);
	end(&self->server, &self->client);
}

/* A server that says nothing of itself takes one descriptor with a message. */
TEST_F(distrust, one_descriptor_with_a_message)
{
	eventfd_t count;
	int fds[3], i;

	self->server.spoil = (struct spoil){ VFIO_USER_VERSION, JSON, .json = "{}" };
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	for (i = 0; i < 3; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_EQ(0, vfioext_irq_set(self->client.device, 1, 0, fds, 3));
	ASSERT_EQ(3, self->server.nr_sets);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(i, self->server.sets[i].start);
		EXPECT_EQ(1, self->server.sets[i].count);
		EXPECT_EQ(1, self->server.sets[i].nr_fds);
		EXPECT_EQ(0, eventfd_read(fds[i], &count));
		EXPECT_EQ(i + 1, count);
		close(fds[i]);
	}
	end(&self->server, &self->client);
}

TEST_HARNESS_MAIN
