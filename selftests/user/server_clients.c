// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients of a vfio-user server that come and go, that are many, and that mean ill. What
 * is random begins with the number that VFIOEXT_SEED has, or the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

FIXTURE(clients) {
	struct wire_test test;
	struct wire *wire;
	struct probe *probe;
	struct vfioext_user_device *device;
	char directory[32];
	char path[64];
};

FIXTURE_SETUP(clients)
{
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	self->device = self->test.device;
	strcpy(self->directory, "/tmp/clients.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->directory));
	snprintf(self->path, sizeof(self->path), "%s/socket", self->directory);
}

FIXTURE_TEARDOWN(clients)
{
	EXPECT_TRUE(wire_test_end(&self->test));
	unlink(self->path);
	/* No socket, no lock, nothing else. */
	EXPECT_EQ(0, rmdir(self->directory));
}

/* Serve at a path, and be the first there. */
static void start(struct wire_test *test, const char *path)
{
	wire_close(&test->wire);
	wire_pump(test->server);
	if (vfioext_user_device_start(test->device, path, 0))
		abort();
	wire_connect(&test->wire, path, test->server);
}

TEST_F(clients, come_and_go)
{
	int file = make_file(PAGE), i;

	start(&self->test, self->path);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
		EXPECT_EQ(i + 1, self->probe->attached);
		EXPECT_EQ(0, strncmp(self->path, self->probe->log, strlen(self->path)));
		EXPECT_STREQ(": a client is attached", self->probe->log + strlen(self->path));
		EXPECT_EQ(0, wire_map(self->wire, 0, PAGE, RW, file, 0));
		/* The state stays. */
		if (i) {
			ASSERT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
			EXPECT_EQ(0, memcmp(self->wire->body + 16, "kept", 4));
		}
		EXPECT_EQ(0, wire_write(self->wire, PROBE_CALLED, 0, "kept", 4));
		wire_close(self->wire);
		wire_pump(self->test.server);
		EXPECT_EQ(i + 1, self->probe->detached);
		EXPECT_EQ(i + 1, self->probe->unmaps);
		EXPECT_FALSE(vfioext_user_device_has_client(self->device));
		EXPECT_EQ(self->test.mappings, count_mappings());
		wire_connect(self->wire, self->path, self->test.server);
	}
	close(file);
}

/* Whatever it left to be done, also in many pieces, the next one finds the place free. */
TEST_F(clients, come_at_once_when_one_has_gone)
{
	struct vfio_user_dma_map map = { sizeof(map), RW, 0, 0, PAGE };
	int file = make_file(PAGE), i;

	start(&self->test, self->path);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 40; i++) {
		map.address = (uint64_t)i * PAGE;
		wire_put(self->wire, VFIO_USER_DMA_MAP, VFIO_USER_NO_REPLY, &map, sizeof(map),
			 &file, 1);
	}
	wire_close(self->wire);
	wire_connect(self->wire, self->path, self->test.server);
	EXPECT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(40, self->probe->maps);
	EXPECT_EQ(40, self->probe->unmaps);
	close(file);
}

TEST_F(clients, second_one_is_refused)
{
	struct wire others[20];
	int i;

	start(&self->test, self->path);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 20; i++) {
		wire_connect(&others[i], self->path, self->test.server);
		EXPECT_EQ(-EBUSY, wire_negotiate(&others[i], NULL));
		EXPECT_EQ(-1, wire_get(&others[i]));
	}
	for (i = 0; i < 20; i++)
		wire_close(&others[i]);
	/* More than it keeps, which say nothing: the first of them make room for the last. */
	for (i = 0; i < 20; i++)
		wire_connect(&others[i], self->path, self->test.server);
	wire_pump(self->test.server);
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(i < 4 ? -1 : 0, wire_get(&others[i]));
		wire_close(&others[i]);
	}
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(1, self->probe->attached);
	wire_close(self->wire);
	wire_connect(self->wire, self->path, self->test.server);
	EXPECT_EQ(0, wire_negotiate(self->wire, NULL));
}

/* Who says nothing at all keeps nobody away. */
TEST_F(clients, says_nothing)
{
	struct pollfd pollfd = { .fd = vfioext_user_fd(self->test.server), .events = POLLIN };
	struct wire other;

	start(&self->test, self->path);
	wire_pump(self->test.server);
	ASSERT_TRUE(vfioext_user_device_has_client(self->device));
	EXPECT_EQ(0, poll(&pollfd, 1, 1000));
	ASSERT_EQ(1, poll(&pollfd, 1, 10000));
	wire_pump(self->test.server);
	EXPECT_FALSE(vfioext_user_device_has_client(self->device));
	EXPECT_EQ(-1, wire_get(self->wire));
	wire_connect(&other, self->path, self->test.server);
	EXPECT_EQ(0, wire_negotiate(&other, NULL));
	wire_close(&other);
}

/* Nor do many, or those that have said a part of it: the next one is served at once. */
TEST_F(clients, say_little)
{
	static const uint8_t half[] = { 1, 0, VFIO_USER_VERSION, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct wire others[40], one;
	int i;

	start(&self->test, self->path);
	for (i = 0; i < 40; i++) {
		wire_connect(&others[i], self->path, self->test.server);
		if (i % 2)
			ASSERT_TRUE(wire_send(&others[i], half, sizeof(half), NULL, 0));
	}
	wire_connect(&one, self->path, self->test.server);
	EXPECT_EQ(0, wire_negotiate(&one, NULL));
	EXPECT_EQ(0, wire_read(&one, PROBE_CALLED, 0, 4));
	EXPECT_EQ(1, self->probe->attached);
	/* Those who are still there come too late. */
	EXPECT_TRUE(wire_send(&others[39], "\0\0\0\0\0\0\0", 7, NULL, 0));
	ASSERT_EQ(1, wire_get(&others[39]));
	EXPECT_EQ(EBUSY, others[39].header.error);
	wire_close(&one);
	wire_connect(&one, self->path, self->test.server);
	EXPECT_EQ(0, wire_negotiate(&one, NULL));
	wire_close(&one);
	for (i = 0; i < 40; i++)
		wire_close(&others[i]);
}

/* A message that has begun has an end, some day; what was said before is answered. */
TEST_F_TIMEOUT(clients, stop_in_the_middle, 120)
{
	struct vfio_user_header header = { 1, VFIO_USER_REGION_READ, 32, 0, 0 };
	struct pollfd pollfd = { .fd = vfioext_user_fd(self->test.server), .events = POLLIN };
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	uint8_t next[32];
	time_t begin;
	int i;

	start(&self->test, self->path);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	/* It has some time for each, also if the next one begins where it ends. */
	memcpy(next, &access, 16);
	memcpy(next + 16, &header, 16);
	ASSERT_TRUE(wire_send(self->wire, &header, sizeof(header), NULL, 0));
	for (i = 0; i < 4; i++) {
		wire_pump(self->test.server);
		usleep(3000000);
		wire_pump(self->test.server);
		ASSERT_TRUE(wire_send(self->wire, next, sizeof(next), NULL, 0));
		ASSERT_EQ(1, wire_get(self->wire));
	}
	begin = time(NULL);
	while (time(NULL) - begin < 30 && vfioext_user_device_has_client(self->device)) {
		poll(&pollfd, 1, 1000);
		wire_pump(self->test.server);
	}
	EXPECT_FALSE(vfioext_user_device_has_client(self->device));
	EXPECT_LE(9, time(NULL) - begin);
	EXPECT_EQ(-1, wire_get(self->wire));
	/* Who says nothing in between is another matter. */
	wire_close(self->wire);
	wire_connect(self->wire, self->path, self->test.server);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (begin = time(NULL); time(NULL) - begin < 12; wire_pump(self->test.server))
		poll(&pollfd, 1, 1000);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* Whatever it does, it does not fill the log. */
TEST_F(clients, come_and_go_in_a_loop)
{
	int i;

	start(&self->test, self->path);
	self->probe->logs = 0;
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
		wire_close(self->wire);
		wire_connect(self->wire, self->path, self->test.server);
	}
	EXPECT_LT(10, self->probe->logs);
	EXPECT_GE(100, self->probe->logs);
}

TEST_F(clients, by_descriptor)
{
	struct wire other;
	int fds[2], pipes[2], datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
	EXPECT_EQ(-EBUSY, vfioext_user_device_attach(self->device, fds[0]));
	wire_close(self->wire);
	wire_pump(self->test.server);
	EXPECT_EQ(-ENOTSOCK, vfioext_user_device_attach(self->device, pipes[0]));
	EXPECT_EQ(-EBADF, vfioext_user_device_attach(self->device, -1));
	EXPECT_EQ(-EPROTOTYPE, vfioext_user_device_attach(self->device, datagram));
	EXPECT_LE(0, fcntl(pipes[0], F_GETFD));
	ASSERT_EQ(0, vfioext_user_device_attach(self->device, fds[0]));
	wire_open(&other, fds[1], self->test.server);
	EXPECT_TRUE(vfioext_user_device_has_client(self->device));
	EXPECT_FALSE(vfioext_user_device_is_attached(self->device));
	EXPECT_EQ(0, wire_negotiate(&other, NULL));
	EXPECT_EQ(NULL, vfioext_user_device_path(self->device));
	wire_close(&other);
	close(pipes[0]);
	close(pipes[1]);
	close(datagram);
}

TEST_F(clients, are_let_go)
{
	start(&self->test, self->path);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_STREQ(self->path, vfioext_user_device_path(self->device));
	vfioext_user_device_detach(self->device);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(1, self->probe->detached);
	wire_close(self->wire);
	wire_connect(self->wire, self->path, self->test.server);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	EXPECT_EQ(-EALREADY, vfioext_user_device_start(self->device, self->path, 0));
	vfioext_user_device_stop(self->device);
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(NULL, vfioext_user_device_path(self->device));
	EXPECT_EQ(-1, access(self->path, F_OK));
	EXPECT_EQ(0, vfioext_user_device_start(self->device, self->path, 0));
}

static void let_go(struct vfioext_user_device *device, struct probe *probe)
{
	(void)probe;
	vfioext_user_device_detach(device);
}

TEST_F(clients, are_let_go_by_a_callback)
{
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	self->probe->on_write = let_go;
	EXPECT_EQ(0, wire_write(self->wire, PROBE_CALLED, 0, "1234", 4));
	EXPECT_EQ(-1, wire_get(self->wire));
	EXPECT_EQ(1, self->probe->detached);
}

TEST_F(clients, sockets)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vfioext_user_device *other;
	int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat status;

	strcpy(address.sun_path, self->path);
	ASSERT_EQ(0, bind(stale, (struct sockaddr *)&address, sizeof(address)));
	close(stale);
	start(&self->test, self->path);
	ASSERT_EQ(0, stat(self->path, &status));
	EXPECT_EQ(0600, status.st_mode & 07777);
	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, self->probe, &other));
	EXPECT_EQ(-EADDRINUSE, vfioext_user_device_start(other, self->path, 0));
	EXPECT_EQ(0, wire_negotiate(self->wire, NULL));
	vfioext_user_device_stop(self->device);
	ASSERT_EQ(0, vfioext_user_device_start(other, self->path, 0660));
	ASSERT_EQ(0, stat(self->path, &status));
	EXPECT_EQ(0660, status.st_mode & 07777);
	vfioext_user_device_stop(other);
	close(open(self->path, O_CREAT | O_CLOEXEC, 0600));
	EXPECT_EQ(-EEXIST, vfioext_user_device_start(other, self->path, 0));
	vfioext_user_device_free(other);
}

#define DEVICES 5

TEST_F(clients, of_many_devices)
{
	struct vfioext_user_device *devices[DEVICES];
	struct probe *probes = calloc(DEVICES, sizeof(*probes));
	struct wire wires[DEVICES];
	char path[80];
	int i;

	for (i = 0; i < DEVICES; i++) {
		probes[i].file = self->probe->file;
		probes[i].bytes[0] = (uint8_t)i;
		ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, &probes[i],
						     &devices[i]));
		probe_setup(devices[i]);
		snprintf(path, sizeof(path), "%s/%d", self->directory, i);
		ASSERT_EQ(0, vfioext_user_device_start(devices[i], path, 0));
		wire_connect(&wires[i], path, self->test.server);
	}
	for (i = 0; i < DEVICES; i++)
		EXPECT_EQ(0, wire_negotiate(&wires[i], NULL));
	for (i = DEVICES; i-- > 0;) {
		ASSERT_EQ(0, wire_read(&wires[i], PROBE_CALLED, 0, 1));
		EXPECT_EQ(i, wires[i].body[16]);
		EXPECT_EQ(1, probes[i].reads);
	}
	vfioext_user_device_free(devices[2]);
	EXPECT_EQ(-1, wire_get(&wires[2]));
	EXPECT_EQ(0, wire_read(&wires[3], PROBE_CALLED, 0, 1));
	for (i = 0; i < DEVICES; i++) {
		if (i != 2)
			vfioext_user_device_free(devices[i]);
		wire_close(&wires[i]);
	}
	free(probes);
}

struct served {
	struct wire_test test;
	pthread_t thread;
	atomic_bool stop;
};

static void *serve(void *data)
{
	struct served *served = data;

	while (!served->stop)
		if (vfioext_user_wait(served->test.server, 100))
			abort();
	return NULL;
}

/* Each in a thread of its own, each with a client of its own. */
TEST_F(clients, of_two_servers)
{
	struct served served[2] = { 0 };
	int file = make_file(PAGE), i, n;

	for (i = 0; i < 2; i++) {
		wire_test_begin(&served[i].test, &probe_ops);
		served[i].test.wire.server = NULL;
		ASSERT_EQ(0, pthread_create(&served[i].thread, NULL, serve, &served[i]));
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, wire_negotiate(&served[i].test.wire, NULL));
	for (n = 0; n < 500; n++) {
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(0, wire_map(&served[i].test.wire, 0, PAGE, RW, file, 0));
			ASSERT_EQ(0, wire_read(&served[i].test.wire, PROBE_CALLED, 0, 4));
			ASSERT_EQ(0, wire_unmap(&served[i].test.wire, 0, PAGE));
		}
	}
	for (i = 0; i < 2; i++) {
		served[i].stop = true;
		pthread_join(served[i].thread, NULL);
	}
	EXPECT_EQ(500, served[1].test.probe->unmaps);
	for (i = 2; i-- > 0;)
		wire_test_end(&served[i].test);
	close(file);
}

/* Without a descriptor for a client it is turned away, and the server does not spin. */
TEST_F(clients, without_descriptors)
{
	struct rlimit limit, none;
	int sockets[2], last;
	struct wire other;

	start(&self->test, self->path);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	wire_close(self->wire);
	wire_pump(self->test.server);
	wire_connect(&other, self->path, self->test.server);
	last = other.fd;
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = (rlim_t)last + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	/* Those below are all in use. */
	while ((sockets[0] = dup(last)) >= 0)
		;
	self->probe->logs = 0;
	EXPECT_EQ(-1, wire_get(&other));
	EXPECT_EQ(1, self->probe->logs);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	wire_close(&other);
	wire_connect(self->wire, self->path, self->test.server);
	EXPECT_EQ(0, wire_negotiate(self->wire, NULL));
}

/* Nor for those that come with a message: it is refused, and the next one is not. */
TEST_F(clients, without_descriptors_for_messages)
{
	struct rlimit limit, none;
	int file;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	file = make_file(PAGE);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = (rlim_t)file + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, wire_map(self->wire, 0, PAGE, RW, file, 0));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(0, wire_map(self->wire, 0, PAGE, RW, file, 0));
	close(file);
}

/* It asks, and reads nothing: it waits for itself, and uses up no memory. */
TEST_F(clients, never_read)
{
	struct vfio_user_region_access access = { 0, PROBE_LARGE, WIRE_DATA_MAX };
	struct vfioext_user_device *other;
	size_t before, most = 0, now;
	struct wire wire;
	int i;

	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, self->probe, &other));
	probe_setup(other);
	wire_test_attach(&self->test, other, &wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, wire_negotiate(&wire, NULL));
	before = count_bytes();
	for (i = 0; i < 150; i++) {
		wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
		ASSERT_EQ(0, wire_read(&wire, PROBE_CALLED, 0, 4));
		now = count_bytes();
		most = now > most ? now : most;
	}
	EXPECT_GE(8u << 20, most - before);
	/* It reads after all, and finds everything. */
	for (i = 0; i < 150; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		ASSERT_EQ(16 + WIRE_DATA_MAX, self->wire->size);
	}
	wire_close(&wire);
	vfioext_user_device_free(other);
}

/* It always has some answers under way, for as long as it likes. */
TEST_F(clients, read_slowly)
{
	struct vfio_user_region_access access = { 0, PROBE_LARGE, 30000 };
	size_t before, now;
	int i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 20; i++)
		wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	wire_pump(self->test.server);
	before = count_bytes();
	for (i = 0; i < 3000; i++) {
		ASSERT_EQ(1, wire_get(self->wire));
		ASSERT_EQ(i + 1, self->wire->header.id);
		wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
		wire_pump(self->test.server);
	}
	now = count_bytes();
	EXPECT_GE(2u << 20, now > before ? now - before : 0);
}

/* Messages that begin anywhere in the buffer do not make it larger than they are. */
TEST_F(clients, make_the_buffer_grow)
{
	struct vfio_user_header header = { 1, 99, 20016, VFIO_USER_NO_REPLY, 0 };
	uint8_t *bytes = calloc(1, WIRE_MESSAGE_MAX);
	size_t before, at, round;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	before = count_bytes();
	for (round = 0; round < 12; round++) {
		/* Up to the end of what may be there now, always with a part of the next. */
		header.size = 20016;
		memcpy(bytes + 20000, &header, 16);
		ASSERT_TRUE(wire_send(self->wire, bytes + 20000, 16, NULL, 0));
		for (at = 0; at < round * WIRE_DATA_MAX; at += 20016) {
			ASSERT_TRUE(wire_send(self->wire, bytes, 20016, NULL, 0));
			wire_pump(self->test.server);
		}
		/* The last of them, and the beginning of one that is large. */
		header.size = WIRE_MESSAGE_MAX;
		memcpy(bytes + 20000, &header, 16);
		ASSERT_TRUE(wire_send(self->wire, bytes, 20016, NULL, 0));
		wire_pump(self->test.server);
		memset(bytes + 20000, 0, 16);
		ASSERT_TRUE(wire_send(self->wire, bytes, WIRE_MESSAGE_MAX - 16, NULL, 0));
		wire_pump(self->test.server);
	}
	EXPECT_GE(3u << 20, count_bytes() - before);
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	free(bytes);
}

/* It floods the server, which still serves another one. */
TEST_F(clients, flood)
{
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	struct vfio_user_header header = { 1, VFIO_USER_REGION_READ, 32, VFIO_USER_NO_REPLY, 0 };
	struct vfioext_user_device *other;
	uint8_t all[4096 * 32];
	struct wire wire;
	int i, rounds;

	for (i = 0; i < 4096; i++) {
		memcpy(all + i * 32, &header, 16);
		memcpy(all + i * 32 + 16, &access, 16);
	}
	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, self->probe, &other));
	probe_setup(other);
	wire_test_attach(&self->test, other, &wire);
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, wire_negotiate(&wire, NULL));
	ASSERT_EQ(sizeof(all), send(self->wire->fd, all, sizeof(all), MSG_DONTWAIT));
	wire_put(&wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	for (rounds = 0; rounds < 3; rounds++)
		vfioext_user_dispatch(self->test.server);
	EXPECT_GE(3 * 256 * 2 + 1, self->probe->reads);
	wire.server = NULL;
	EXPECT_EQ(1, wire_get(&wire));
	wire_pump(self->test.server);
	EXPECT_EQ(4097, self->probe->reads);
	wire_close(&wire);
	vfioext_user_device_free(other);
}

/* It goes in the middle of whatever it was saying. */
TEST_F(clients, go_in_the_middle)
{
	uint8_t bytes[16 + 4 + 16 + 32 + 16 + 20] = { 0 };
	struct vfio_user_header version = { 1, VFIO_USER_VERSION, 20, 0, 0 };
	struct vfio_user_header map = { 2, VFIO_USER_DMA_MAP, 48, 0, 0 };
	struct vfio_user_header set = { 3, VFIO_USER_DEVICE_SET_IRQS, 36, 0, 0 };
	int file = make_file(PAGE);
	size_t size;

	memcpy(bytes, &version, 16);
	memcpy(bytes + 20, &map, 16);
	memcpy(bytes + 36, &(struct vfio_user_dma_map){ 32, RW, 0, 0, PAGE }, 32);
	memcpy(bytes + 68, &set, 16);
	memcpy(bytes + 84, &(struct vfio_irq_set){ 20, 0x24, PROBE_VECTORS, 0, 1 }, 20);
	for (size = 1; size <= sizeof(bytes); size++) {
		wire_close(self->wire);
		wire_pump(self->test.server);
		ASSERT_FALSE(vfioext_user_device_has_client(self->device));
		wire_test_attach(&self->test, self->device, self->wire);
		ASSERT_TRUE(wire_send(self->wire, bytes, size < 20 ? size : 20, NULL, 0));
		if (size > 20)
			ASSERT_TRUE(wire_send(self->wire, bytes + 20, size - 20, &file, 1));
		if (size % 2)
			wire_pump(self->test.server);
	}
	close(file);
}

/* Who has nothing more to say still gets his answers. */
TEST_F(clients, shut_down_one_side)
{
	struct vfio_user_region_access access = { 0, PROBE_LARGE, 4000 };
	int i;

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (i = 0; i < 100; i++)
		wire_put(self->wire, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
	ASSERT_EQ(0, shutdown(self->wire->fd, SHUT_WR));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(-1, wire_get(self->wire));
}

/* Ten thousand of them leave nothing behind. */
TEST_F_TIMEOUT(clients, leave_nothing_behind, 120)
{
	int file = make_file(4 * PAGE), event = make_eventfd(), twin;
	unsigned int files = 0, mappings = 0, i;
	size_t bytes = 0;

	start(&self->test, self->path);
	for (i = 0; i < 10000; i++) {
		ASSERT_EQ(0, wire_negotiate(self->wire, i % 2 ? NULL : "{\"capabilities\":"
					    "{\"twin_socket\":{\"supported\":true}}}"));
		ASSERT_EQ(!(i % 2), self->wire->nr_fds);
		twin = self->wire->nr_fds ? dup(self->wire->fds[0]) : -1;
		ASSERT_EQ(0, wire_map(self->wire, 0, 2 * PAGE, RW, file, 0));
		ASSERT_EQ(0, wire_map(self->wire, 4 * PAGE, 2 * PAGE, RW | 8, file, 0));
		if (!(i % 4))
			ASSERT_EQ(0, wire_set_irqs(self->wire, 0x24, PROBE_VECTORS, 0, 1, &event, 1));
		if (twin >= 0)
			close(twin);
		wire_close(self->wire);
		wire_connect(self->wire, self->path, self->test.server);
		if (i == 10) {
			wire_pump(self->test.server);
			files = count_files();
			mappings = count_mappings();
			bytes = count_bytes();
		}
	}
	wire_pump(self->test.server);
	EXPECT_EQ(files, count_files());
	EXPECT_EQ(mappings, count_mappings());
	EXPECT_EQ(bytes, count_bytes());
	close(file);
	close(event);
}

/* Sizes in the header that none can have. */
TEST_F(clients, with_wrong_sizes)
{
	static const uint32_t sizes[] = { 0, 1, 15, WIRE_MESSAGE_MAX + 1, UINT32_MAX, 1u << 31 };
	struct vfio_user_header header = { 1, VFIO_USER_REGION_READ, 0, 0, 0 };
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 2; i++) {
		if (i % 2)
			ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
		header.size = sizes[i / 2];
		wire_send(self->wire, &header, sizeof(header), NULL, 0);
		EXPECT_EQ(-1, wire_get(self->wire));
		wire_close(self->wire);
		wire_test_attach(&self->test, self->device, self->wire);
	}
}

/* Every command with every length that is too short for it, and what is not there is not read. */
TEST_F(clients, with_short_bodies)
{
	static const struct { unsigned int command; size_t size; } fixed[] = {
		{ VFIO_USER_DMA_MAP, 32 }, { VFIO_USER_DMA_UNMAP, 24 },
		{ VFIO_USER_DEVICE_GET_INFO, 16 }, { VFIO_USER_DEVICE_GET_REGION_INFO, 32 },
		{ VFIO_USER_DEVICE_GET_REGION_IO_FDS, 16 }, { VFIO_USER_DEVICE_GET_IRQ_INFO, 16 },
		{ VFIO_USER_DEVICE_SET_IRQS, 20 }, { VFIO_USER_REGION_READ, 16 },
		{ VFIO_USER_REGION_WRITE, 16 }, { VFIO_USER_REGION_WRITE_MULTI, 8 },
		{ VFIO_USER_DEVICE_FEATURE, 8 }, { VFIO_USER_MIG_DATA_READ, 8 },
		{ VFIO_USER_MIG_DATA_WRITE, 8 },
	};
	uint32_t body[8] = { 64, 3 };
	size_t i, size;

	ASSERT_EQ(0, wire_negotiate(self->wire, "{\"capabilities\":{\"write_multiple\":true}}"));
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		for (size = 0; size < fixed[i].size; size++)
			EXPECT_EQ(-EINVAL, wire_call(self->wire, fixed[i].command, body, size))
				TH_LOG("command %u size %zu", fixed[i].command, size);
}

/* Each word of each command in turn is what it should not be. */
TEST_F(clients, with_wrong_words)
{
	static const uint32_t values[] = {
		0, 1, 7, 8, 15, 16, 0xff, 0x1001, 0xfffff, 0x100001, 0x7fffffff, 0x80000000,
		0xfffff000, 0xfffffff8, 0xffffffff,
	};
	unsigned int command, size, word, value;
	uint32_t body[16];

	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	for (command = 2; command <= 18; command++) {
		for (size = 4; size <= 64; size += 4) {
			for (word = 0; word < size / 4; word++) {
				for (value = 0; value < sizeof(values) / 4; value++) {
					memset(body, 0, sizeof(body));
					body[0] = size;
					body[word] = values[value];
					EXPECT_GE(0, wire_call(self->wire, command, body, size));
				}
			}
		}
	}
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* Descriptors where none belong, of the wrong kind, or too many. */
TEST_F(clients, with_wrong_descriptors)
{
	int fds[WIRE_FDS], pipes[2], i;
	uint32_t body[16] = { 64 };
	unsigned int command, files;

	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC | O_NONBLOCK));
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	files = count_files();
	for (command = 2; command <= 20; command++) {
		for (i = 0; i < WIRE_FDS; i++)
			fds[i] = pipes[i % 2];
		for (i = 1; i <= WIRE_FDS; i += 5)
			EXPECT_GE(0, wire_call_fds(self->wire, command, body, 64, fds, (size_t)i));
	}
	EXPECT_TRUE(files_become(files));
	close(pipes[0]);
	close(pipes[1]);
}

/* Answers that nobody asked for, and what is neither an answer nor a command. */
TEST_F(clients, with_wrong_types)
{
	uint32_t type;

	for (type = 1; type < 16; type++) {
		ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
		wire_put(self->wire, type % 2 ? VFIO_USER_DMA_READ : VFIO_USER_REGION_READ, type, NULL, 0,
			 NULL, 0);
		EXPECT_EQ(-1, wire_get(self->wire));
		wire_close(self->wire);
		wire_test_attach(&self->test, self->device, self->wire);
	}
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	/* A command that says that it is an error. */
	wire_put(self->wire, VFIO_USER_DEVICE_RESET, VFIO_USER_ERROR, NULL, 0, NULL, 0);
	ASSERT_EQ(1, wire_get(self->wire));
	EXPECT_EQ(EINVAL, self->wire->header.error);
	EXPECT_EQ(0, self->probe->resets);
}

static unsigned int seed(void)
{
	const char *given = getenv("VFIOEXT_SEED");
	unsigned int number = given ? (unsigned int)strtoul(given, NULL, 0) : (unsigned int)time(NULL);

	printf("# VFIOEXT_SEED=%u\n", number);
	return number;
}

/* A message that is nearly right: its numbers are small, or near the end of what there is. */
static size_t random_message(uint8_t *bytes, unsigned int *state)
{
	size_t size = (size_t)(rand_r(state) % 12) * 4, i;
	struct vfio_user_header header = {
		.id = (uint16_t)rand_r(state),
		.command = (uint16_t)(rand_r(state) % 20),
		.size = (uint32_t)(sizeof(header) + size),
		.flags = rand_r(state) % 4 ? 0 : VFIO_USER_NO_REPLY,
	};
	uint32_t word;

	memcpy(bytes, &header, sizeof(header));
	for (i = 0; i < size; i += 4) {
		word = (uint32_t)rand_r(state) % 48;
		if (!(rand_r(state) % 6))
			word = (uint32_t)rand_r(state) << (rand_r(state) % 32);
		memcpy(bytes + sizeof(header) + i, &word, 4);
	}
	return header.size;
}

TEST_F_TIMEOUT(clients, with_random_streams, 60)
{
	unsigned int state = seed(), round, n;
	uint8_t bytes[64];
	size_t size;
	int file = make_file(4 * PAGE);

	for (round = 0; round < 400; round++) {
		if (round % 8)
			ASSERT_EQ(0, wire_negotiate(self->wire, round % 3 ? NULL : "{}"));
		for (n = 0; n < 60; n++) {
			size = random_message(bytes, &state);
			if (!(rand_r(&state) % 40))
				size = (size_t)rand_r(&state) % (size + 1);
			if (size && !wire_send(self->wire, bytes, size, &file, !(rand_r(&state) % 4)))
				break;
			while (n % 8 == 0 && wire_get(self->wire) == 1)
				;
		}
		wire_close(self->wire);
		wire_pump(self->test.server);
		ASSERT_FALSE(vfioext_user_device_has_client(self->device));
		wire_test_attach(&self->test, self->device, self->wire);
	}
	close(file);
}

TEST_HARNESS_MAIN
