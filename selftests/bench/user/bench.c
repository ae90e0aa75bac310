// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench SECONDS DIRECTORY: a client that measures the server it is linked with, which is a
 * process of its own on the same processor: across processors only wake-ups would be measured.
 * Lines of server, what, how many a second; but "wait", a tab and what is of microseconds.
 */
#include <err.h>
#include <linux/vfio.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../libvfioext/user/wire.h"
#include "bench.h"

#define DEPTH 64
#define DEVICES 100

/* How often the first of two clients reads, and how often its second in each second. */
#define POLL_US 500
#define SECOND_A_SECOND 200
#define READS_MAX 1000

/* Of DMA: how many at once, and of how much memory. */
#define PAIRS 32
#define MEMORY 0x10000

static double seconds;
static const char *directory;
static char path[64];

static int connect_to(int nr)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), tries = 1000;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s.%d", path, nr);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) && --tries)
		usleep(2000);
	if (!tries)
		err(1, "%s", address.sun_path);
	return fd;
}

static void send_all(int fd, const void *bytes, size_t size, int passed)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (passed >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &passed, sizeof(passed));
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) != (ssize_t)size)
		err(1, "send");
}

static void receive_all(int fd, void *bytes, size_t size)
{
	if (size && recv(fd, bytes, size, MSG_WAITALL) != (ssize_t)size)
		err(1, "receive");
}

struct access_message {
	struct vfio_user_header header;
	struct vfio_user_region_access access;
	uint32_t data;
};

static struct access_message access_message(uint16_t command, uint32_t flags)
{
	return (struct access_message){
		.header = {
			.command = command,
			.size = command == VFIO_USER_REGION_READ ? 32 : 36,
			.flags = flags,
		},
		.access = { .offset = 64, .count = 4 },
	};
}

/* So many messages in one send; the answer of each, or of the last alone. */
static void access_many(int fd, uint16_t command, int nr, bool posted)
{
	static uint8_t out[DEPTH * sizeof(struct access_message)];
	static uint8_t in[DEPTH * sizeof(struct access_message)];
	size_t size = 0, expected = 0;
	int i;

	for (i = 0; i < nr; i++) {
		bool silent = posted && i < nr - 1;
		struct access_message message =
			access_message(command, silent ? VFIO_USER_NO_REPLY : 0);

		memcpy(out + size, &message, message.header.size);
		size += message.header.size;
		expected += silent ? 0 : command == VFIO_USER_REGION_READ ? 36 : 32;
	}
	send_all(fd, out, size, -1);
	receive_all(fd, in, expected);
}

static void version(int fd)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8}}";
	struct {
		struct vfio_user_header header;
		struct vfio_user_version version;
		char json[sizeof(json)];
	} __attribute__((packed)) message = {
		.header = { .command = VFIO_USER_VERSION, .size = sizeof(message) },
	};
	struct vfio_user_header answer;
	char rest[1024];

	memcpy(message.json, json, sizeof(json));
	/* Minor versions differ; 0.1 is understood by all. */
	message.version.minor = 1;
	send_all(fd, &message, sizeof(message), -1);
	receive_all(fd, &answer, sizeof(answer));
	if (answer.size - sizeof(answer) > sizeof(rest) || answer.flags & VFIO_USER_ERROR)
		errx(1, "%s does not agree on a version", server_name);
	receive_all(fd, rest, answer.size - sizeof(answer));
}

static void check_answer(const struct vfio_user_header *answer, size_t size)
{
	if (answer->flags & VFIO_USER_ERROR || answer->size != sizeof(*answer) + size)
		errx(1, "%s: command %u: %s", server_name, answer->command,
		     strerror((int)answer->error));
}

static void plain_answer(int fd, size_t size)
{
	struct vfio_user_header answer;
	uint8_t rest[64];

	receive_all(fd, &answer, sizeof(answer));
	check_answer(&answer, size);
	receive_all(fd, rest, size);
}

static int memory;

struct map_message {
	struct vfio_user_header header;
	struct vfio_user_dma_map map;
};

struct unmap_message {
	struct vfio_user_header header;
	struct vfio_user_dma_unmap unmap;
};

static struct map_message map_message(uint64_t nr)
{
	return (struct map_message){
		.header = { .command = VFIO_USER_DMA_MAP, .size = sizeof(struct map_message) },
		.map = {
			.argsz = sizeof(struct vfio_user_dma_map),
			.flags = 3,
			.address = (nr + 1) * MEMORY,
			.size = MEMORY,
		},
	};
}

static struct unmap_message unmap_message(uint64_t nr)
{
	return (struct unmap_message){
		.header = { .command = VFIO_USER_DMA_UNMAP, .size = sizeof(struct unmap_message) },
		.unmap = {
			.argsz = sizeof(struct vfio_user_dma_unmap),
			.address = (nr + 1) * MEMORY,
			.size = MEMORY,
		},
	};
}

static void map(int fd, uint64_t nr)
{
	struct map_message message = map_message(nr);

	send_all(fd, &message, sizeof(message), memory);
	plain_answer(fd, 0);
}

static void map_and_unmap(int fd)
{
	struct unmap_message unmap = unmap_message(0);

	map(fd, 0);
	send_all(fd, &unmap, sizeof(unmap), -1);
	plain_answer(fd, sizeof(unmap.unmap));
}

/* As QEMU does what belongs together: a send for each message, and then all the answers. */
static void map_and_unmap_many(int fd)
{
	struct {
		struct vfio_user_header mapped;
		struct unmap_message unmapped;
	} answers[PAIRS];
	struct unmap_message unmap;
	struct map_message map;
	int i;

	for (i = 0; i < PAIRS; i++) {
		map = map_message((uint64_t)i);
		send_all(fd, &map, sizeof(map), memory);
		unmap = unmap_message((uint64_t)i);
		send_all(fd, &unmap, sizeof(unmap), -1);
	}
	receive_all(fd, answers, sizeof(answers));
	for (i = 0; i < PAIRS; i++) {
		check_answer(&answers[i].mapped, 0);
		check_answer(&answers[i].unmapped.header, sizeof(unmap.unmap));
	}
}

static void set_irqs(int fd, int event)
{
	struct {
		struct vfio_user_header header;
		struct vfio_irq_set set;
	} message = {
		.header = { .command = VFIO_USER_DEVICE_SET_IRQS, .size = sizeof(message) },
		.set = {
			.argsz = sizeof(message.set),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSIX_IRQ_INDEX,
			.count = 1,
		},
	};

	send_all(fd, &message, sizeof(message), event);
	plain_answer(fd, 0);
}

static double trigger(int fd)
{
	struct access_message write = access_message(VFIO_USER_REGION_WRITE, 0);
	struct access_message read = access_message(VFIO_USER_REGION_READ, 0);
	uint8_t answer[48];
	double rate;

	write.access.offset = REGISTER_SIGNAL;
	send_all(fd, &write, write.header.size, -1);
	receive_all(fd, answer, 32);
	read.access.offset = REGISTER_SIGNAL;
	read.access.count = sizeof(rate);
	send_all(fd, &read, read.header.size, -1);
	receive_all(fd, answer, 40);
	memcpy(&rate, answer + 32, sizeof(rate));
	return rate;
}

#define MEASURE(what, factor, action) do { \
	double begin_ = now(), end_ = begin_; \
	long nr_ = 0; \
	while (end_ - begin_ < seconds) { \
		for (int i_ = 0; i_ < 16; i_++) { \
			action; \
			nr_++; \
		} \
		end_ = now(); \
	} \
	printf("%s\t%s\t%f\n", server_name, what, (double)nr_ * (factor) / (end_ - begin_)); \
	fflush(stdout); \
} while (0)

static pid_t start(int nr)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(path, nr);
		_exit(1);
	}
	return pid;
}

static void measure_one(void)
{
	int event = eventfd(0, EFD_NONBLOCK), blocking = eventfd(0, 0), fd;
	pid_t pid = start(1);

	fd = connect_to(0);
	version(fd);
	MEASURE("read, one at a time", 1, access_many(fd, VFIO_USER_REGION_READ, 1, false));
	MEASURE("write, one at a time", 1, access_many(fd, VFIO_USER_REGION_WRITE, 1, false));
	MEASURE("posted writes", DEPTH, access_many(fd, VFIO_USER_REGION_WRITE, DEPTH, true));
	MEASURE("64 reads in flight", DEPTH, access_many(fd, VFIO_USER_REGION_READ, DEPTH, false));
	MEASURE("DMA map and unmap", 1, map_and_unmap(fd));
	/* A driver's rings, say. */
	map(fd, PAIRS);
	MEASURE("beside one that stays", 1, map_and_unmap(fd));
	MEASURE("and 32 pairs in flight", PAIRS, map_and_unmap_many(fd));
	MEASURE("SET_IRQS with an eventfd", 1, set_irqs(fd, event));
	printf("%s\tinterrupts signaled\t%f\n", server_name, trigger(fd));
	/* One that would wait is treated as one of a client of another user. */
	if (!strcmp(server_name, "vfioext")) {
		set_irqs(fd, blocking);
		printf("%s\tto a client that is not trusted\t%f\n", server_name, trigger(fd));
	}
	close(fd);
	kill(pid, SIGKILL);
}

/* By a loop for several devices, which the tool has, too. */
static void measure_in_loop(int fd, const char *what)
{
	MEASURE(what, 1, access_many(fd, VFIO_USER_REGION_READ, 1, false));
}

static void measure_tool(void)
{
	pid_t pid = start(1);
	int fd = connect_to(0);

	version(fd);
	measure_in_loop(fd, "the same by `vfioext serve`");
	close(fd);
	kill(pid, SIGKILL);
}

/* A driver that looks at a register again and again. */
static pid_t start_polling(int fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		access_many(fd, VFIO_USER_REGION_READ, 1, false);
		usleep(POLL_US);
	}
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void measure_second(int first, int second)
{
	int nr = (int)(seconds * SECOND_A_SECOND) + 1, i;
	pid_t pid = start_polling(first);
	double waits[READS_MAX], begin;

	nr = nr < READS_MAX ? nr : READS_MAX;
	for (i = 0; i < nr; i++) {
		usleep(1000000 / SECOND_A_SECOND + i * 797 % 1000);
		begin = now();
		access_many(second, VFIO_USER_REGION_READ, 1, false);
		waits[i] = (now() - begin) * 1e6;
	}
	kill(pid, SIGKILL);
	qsort(waits, (size_t)nr, sizeof(waits[0]), compare);
	printf("%s\twait\tin the middle\t%f\n", server_name, waits[nr / 2]);
	printf("%s\twait\tat most\t%f\n", server_name, waits[nr - 1]);
	fflush(stdout);
}

static void measure_two(void)
{
	int fds[2], i;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/two", directory);
	pid = start(2);
	for (i = 0; i < 2; i++)
		fds[i] = connect_to(i);
	for (i = 0; i < 2; i++)
		version(fds[i]);
	measure_in_loop(fds[0], "read, a server of two devices");
	measure_second(fds[0], fds[1]);
	kill(pid, SIGKILL);
}

static void measure_many(void)
{
	static int fds[DEVICES];
	pid_t pid;
	int i;

	snprintf(path, sizeof(path), "%s/many", directory);
	pid = start(DEVICES);
	for (i = 0; i < DEVICES; i++)
		fds[i] = connect_to(i);
	for (i = 0; i < DEVICES; i++)
		version(fds[i]);
	i = 0;
	MEASURE("read of 100 devices in turn", 1,
		access_many(fds[i++ % DEVICES], VFIO_USER_REGION_READ, 1, false));
	kill(pid, SIGKILL);
}

int main(int argc, char **argv)
{
	cpu_set_t cpus;

	if (argc != 3)
		errx(1, "usage: %s SECONDS DIRECTORY", argv[0]);
	seconds = atof(argv[1]);
	directory = argv[2];
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "setting up");
	memory = memfd_create("bench", MFD_CLOEXEC);
	if (memory < 0 || ftruncate(memory, MEMORY))
		err(1, "memory");
	snprintf(path, sizeof(path), "%s/one", directory);
	if (!strcmp(server_name, "vfioext serve")) {
		measure_tool();
		return 0;
	}
	measure_one();
	if (!strcmp(server_name, "bare"))
		return 0;
	measure_two();
	measure_many();
	return 0;
}
