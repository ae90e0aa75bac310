// SPDX-License-Identifier: GPL-2.0-only
/*
 * What servers that break the rules ask of our client: memory that is not theirs, more than
 * they take, on and on; and those that say nothing when it is their turn.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "../lib/distrust_fixture.h"
#include "../lib/wire.h"

/* A question of the server's, and what is to come of it. */
static int ask_on(struct server *server, int socket, uint16_t command, uint64_t address,
		  uint64_t count, size_t data)
{
	struct vfio_user_dma_access access = { address, count };
	struct letter *out = &server->out;

	memcpy(out->body, &access, sizeof(access));
	memset(out->body + sizeof(access), 0x77, data);
	out->nr_fds = 0;
	out->size = sizeof(access) + data;
	out->header = (struct vfio_user_header){
		.id = 0xabcd, .command = command, .size = (uint32_t)(sizeof(out->header) + out->size),
	};
	if (!letter_send(socket, out) || !letter_receive(socket, out) || out->header.id != 0xabcd ||
	    out->header.command != command || (out->header.flags & 0xf) != VFIO_USER_REPLY)
		return -1000;
	if (out->header.flags & VFIO_USER_ERROR)
		return out->size ? -1001 : -(int)out->header.error;
	memcpy(&access, out->body, sizeof(access));
	if (out->size != sizeof(access) + (command == VFIO_USER_DMA_READ ? count : 0) ||
	    access.address != address || access.count != count)
		return -1002;
	return 0;
}

static const struct {
	uint16_t command;
	int64_t offset;
	uint64_t count;
	size_t data;
	int error;
} questions[] = {
	{ VFIO_USER_DMA_READ, 0, PAGE, 0, 0 },
	{ VFIO_USER_DMA_READ, PAGE - 1, 1, 0, 0 },
	{ VFIO_USER_DMA_WRITE, 0x10, 0x20, 0x20, 0 },
	{ VFIO_USER_DMA_READ, 0, PAGE + 1, 0, -EFAULT },
	{ VFIO_USER_DMA_READ, -1, 2, 0, -EFAULT },
	{ VFIO_USER_DMA_READ, PAGE, 1, 0, -EFAULT },
	{ VFIO_USER_DMA_WRITE, PAGE - 8, 16, 16, -EFAULT },
	{ VFIO_USER_DMA_READ, 0, UINT64_MAX, 0, -E2BIG },
	{ VFIO_USER_DMA_READ, 0, 1ULL << 32, 0, -E2BIG },
	{ VFIO_USER_DMA_READ, INT64_MIN, 0x100000, 0, -EFAULT },
	{ VFIO_USER_DMA_READ, 0, 16, 8, -EINVAL },
	{ VFIO_USER_DMA_WRITE, 0, 16, 8, -EINVAL },
	{ VFIO_USER_DMA_WRITE, 0, 8, 16, -EINVAL },
	{ VFIO_USER_DMA_WRITE, 0, UINT64_MAX, 16, -E2BIG },
	{ VFIO_USER_REGION_READ, 0, 16, 0, -ENOSYS },
	{ VFIO_USER_VERSION, 0, 16, 0, -ENOSYS },
	{ 0xffff, 0, 16, 0, -ENOSYS },
};

#define NR_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void ask_all(struct server *server, int socket)
{
	unsigned int i;

	for (i = 0; i < NR_QUESTIONS; i++)
		server->results[i] = ask_on(server, socket, questions[i].command,
					    server->dma_address + (uint64_t)questions[i].offset,
					    questions[i].count, questions[i].data);
	server->done = 1;
}

static void ask_within(struct server *server)
{
	ask_all(server, server->socket);
}

static void ask_twin(struct server *server)
{
	ask_all(server, server->twin_socket);
}

static bool wait_done(const struct server *server)
{
	int i;

	for (i = 0; i < 5000 && !server->done; i++)
		usleep(1000);
	return server->done;
}

static void check_answers(struct __test_metadata *_metadata, struct server *server,
			  const uint8_t *memory)
{
	unsigned int i;

	EXPECT_TRUE(wait_done(server));
	for (i = 0; i < NR_QUESTIONS; i++)
		EXPECT_EQ(questions[i].error, server->results[i])
			TH_LOG("question %u", i);
	EXPECT_EQ(0, memory[0x0f]);
	EXPECT_EQ(0x77, memory[0x10]);
	EXPECT_EQ(0x77, memory[0x2f]);
	EXPECT_EQ(0, memory[0x30]);
	EXPECT_EQ(0, memory[PAGE - 8]);
}

/* Asked by who waits for an answer himself. */
TEST_F(distrust, asks_within_a_call)
{
	self->server.asks = ask_within;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	check_answers(_metadata, &self->server, self->client.memory);
	end(&self->server, &self->client);
}

/* While nobody calls. */
TEST_F(distrust, asks_unasked)
{
	self->server.asks_unasked = ask_within;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	check_answers(_metadata, &self->server, self->client.memory);
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	end(&self->server, &self->client);
}

/* On the second socket, while somebody waits on the first. */
TEST_F(distrust, asks_on_the_second_socket)
{
	self->server.asks = ask_twin;
	self->server.twin = true;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	check_answers(_metadata, &self->server, self->client.memory);
	end(&self->server, &self->client);
}

static void ask_what_was(struct server *server)
{
	server->results[0] = ask_on(server, server->socket, VFIO_USER_DMA_READ, server->dma_address,
				    16, 0);
	server->results[1] = ask_on(server, server->socket, VFIO_USER_DMA_WRITE,
				    server->dma_address, 16, 16);
	server->done = 1;
}

TEST_F(distrust, memory_that_is_unmapped)
{
	self->server.asks = ask_what_was;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(0, self->server.results[0]);
	EXPECT_EQ(0, self->server.results[1]);
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_UNMAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(-EFAULT, self->server.results[0]);
	EXPECT_EQ(-EFAULT, self->server.results[1]);
	end(&self->server, &self->client);
}

TEST_F(distrust, what_devices_may_not)
{
	struct vfioext_container *container;

	self->server.asks = ask_what_was;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	container = vfioext_device_container(self->client.device);
	ASSERT_EQ(0, vfioext_dma_map(container, self->client.memory, PAGE, VFIOEXT_DMA_READ,
				     &self->client.iova));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(0, self->server.results[0]);
	EXPECT_EQ(-EFAULT, self->server.results[1]);
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_UNMAP));
	ASSERT_EQ(0, vfioext_dma_map(container, self->client.memory, PAGE, VFIOEXT_DMA_WRITE,
				     &self->client.iova));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(-EFAULT, self->server.results[0]);
	EXPECT_EQ(0, self->server.results[1]);
	end(&self->server, &self->client);
}

/* The file of our memory is the server's as well: it must stay as long as it is. */
TEST_F(distrust, file_is_not_made_shorter)
{
	uint64_t iova;
	uint8_t *memory;

	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->client.device), 4 * PAGE, 0,
				       (void **)&memory, &iova));
	ASSERT_LE(0, self->server.dma_fd);
	EXPECT_EQ(-1, ftruncate(self->server.dma_fd, 0));
	EXPECT_EQ(-1, ftruncate(self->server.dma_fd, 8 * PAGE));
	memory[3 * PAGE] = 1;
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	end(&self->server, &self->client);
	munmap(memory, 4 * PAGE);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static long count_waits(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

TEST_F(distrust, says_nothing)
{
	long begun, waits;

	self->server.spoil = (struct spoil){ VFIO_USER_REGION_READ, SILENT };
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, vfioext_device_watch(self->client.device, NULL, NULL));
	begun = now_ms();
	waits = count_waits();
	EXPECT_EQ(-ENODEV, take_step(&self->client, self->server.path, READ));
	/* It sleeps meanwhile, and does not look again and again. */
	EXPECT_GT(200, count_waits() - waits);
	EXPECT_LE(4900, now_ms() - begun);
	EXPECT_GT(9000, now_ms() - begun);
	EXPECT_TRUE(vfioext_device_lost(self->client.device));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->client.device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "silent for 5 s"));
	end(&self->server, &self->client);
}

TEST_F(distrust, says_nothing_at_first)
{
	self->server.spoil = (struct spoil){ VFIO_USER_VERSION, SILENT };
	ASSERT_TRUE(begin(&self->server, &self->client));
	EXPECT_EQ(-ETIMEDOUT, take_step(&self->client, self->server.path, OPEN));
	EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "silent for 5 s"));
	end(&self->server, &self->client);
}

/* It asks and asks, and never answers. */
static void ask_on_and_on(struct server *server)
{
	while (!ask_on(server, server->socket, VFIO_USER_DMA_READ, server->dma_address, 16, 0))
		server->done++;
}

TEST_F(distrust, never_stops_asking)
{
	long begun;

	self->server.asks = ask_on_and_on;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	begun = now_ms();
	EXPECT_EQ(-ENODEV, take_step(&self->client, self->server.path, READ));
	EXPECT_GT(9000, now_ms() - begun);
	EXPECT_LT(100, self->server.done);
	end(&self->server, &self->client);
}

/* It asks for much, and takes nothing of it. */
static void ask_without_end(struct server *server)
{
	struct vfio_user_dma_access access = { server->dma_address, PAGE };
	struct letter *out = &server->out;

	memcpy(out->body, &access, sizeof(access));
	out->nr_fds = 0;
	out->size = sizeof(access);
	out->header = (struct vfio_user_header){
		.command = VFIO_USER_DMA_READ, .size = (uint32_t)(sizeof(out->header) + out->size),
	};
	while (letter_send(server->socket, out))
		server->done++;
}

TEST_F(distrust, takes_no_answers)
{
	self->server.asks = ask_without_end;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	ASSERT_EQ(0, vfioext_device_watch(self->client.device, NULL, NULL));
	EXPECT_EQ(-ENODEV, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->client.device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "does not take"));
	EXPECT_LT(0x2000000 / PAGE, self->server.done);
	end(&self->server, &self->client);
}

TEST_HARNESS_MAIN
