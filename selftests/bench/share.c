// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests a second of DPDK's protocol, beside a loop that does nothing but accept,
 * receive, send and close, and so checks, limits and waits for nothing. Both in turn,
 * medians of several. Prints rows of a table.
 *
 *	share [SECONDS [REPETITIONS]]		of each of the measurements
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vfioext/share.h>

#include "../../libvfioext/container.h"

#define CLIENTS_MAX 8
#define REPETITIONS_MAX 5
#define GROUP 7
#define OURS 0
#define BARE 1

static char paths[2][64];
static int null;
static int repetitions = REPETITIONS_MAX;

/* What the clients count together. */
struct counts {
	_Atomic int stop;
	_Atomic unsigned long done[CLIENTS_MAX];
};

static struct counts *counts;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int open_socket(const char *path, bool server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (fd < 0)
		err(1, "socket");
	if (server) {
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 128))
			err(1, "%s", path);
		return fd;
	}
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		if (errno != EAGAIN && errno != EINTR)
			err(1, "%s", path);
	return fd;
}

static void send_value(int socket, int value, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(fd))];
	} control = { .header = { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &value, sizeof(value) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != sizeof(value))
		err(1, "send");
}

static bool receive_value(int socket, int *value, int *fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(*fd))];
	} control;
	struct iovec iov = { value, sizeof(*value) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof(*value))
		return false;
	if (fd && CMSG_FIRSTHDR(&message))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(*fd));
	return true;
}

static void serve_bare(int listener)
{
	int fd, request, group;

	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			err(1, "accept");
		if (receive_value(fd, &request, NULL)) {
			if (request == 0x200 && receive_value(fd, &group, NULL))
				send_value(fd, 0, -1);
			send_value(fd, 0, null);
		}
		close(fd);
	}
}

static void serve_ours(struct vfioext_share *share)
{
	struct pollfd poller = { .fd = vfioext_share_fd(share), .events = POLLIN };

	for (;;)
		if (poll(&poller, 1, -1) < 0 || vfioext_share_dispatch(share))
			err(1, "dispatch");
}

/* A container that has a group, without the kernel's. */
static void begin_share(struct vfioext_share **share)
{
	static struct group group = { .id = GROUP };
	static struct vfioext_container container = { .backend = VFIOEXT_BACKEND_CONTAINER };
	struct vfioext_share_options options = { .dpdk_path = paths[OURS], .timeout_ms = 60000 };
	struct vfioext *ctx;
	int ret;

	group.fd = null;
	container.fd = null;
	container.groups = &group;
	pthread_mutex_init(&container.lock, NULL);
	if (vfioext_new(&ctx, NULL))
		errx(1, "context");
	ret = vfioext_share_new(ctx, &options, share);
	if (!ret)
		ret = vfioext_share_add(*share, &container);
	if (ret)
		errx(1, "share: %s", vfioext_message(ctx));
}

static void ask(const char *path, bool group)
{
	int socket = open_socket(path, false), value = -1, fd = -1;

	send_value(socket, group ? 0x200 : 0x100, -1);
	if (group) {
		send_value(socket, GROUP, -1);
		if (!receive_value(socket, &value, NULL) || value)
			errx(1, "no answer");
	}
	if (!receive_value(socket, &value, &fd) || value || fd < 0)
		errx(1, "no descriptor");
	close(fd);
	close(socket);
}

static void run_client(unsigned int n, const char *path, bool group)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!counts->stop) {
		ask(path, group);
		counts->done[n]++;
	}
	_exit(0);
}

/* Requests a second of some clients at once. */
static double measure(int which, bool group, unsigned int nr, double seconds)
{
	unsigned long done = 0;
	unsigned int i;
	double begin;
	int status;

	memset(counts, 0, sizeof(*counts));
	begin = now();
	for (i = 0; i < nr; i++)
		if (!fork())
			run_client(i, paths[which], group);
	usleep((useconds_t)(seconds * 1e6));
	counts->stop = 1;
	begin = now() - begin;
	for (i = 0; i < nr; i++)
		done += counts->done[i];
	/* Clients end when they are told to, and servers not at all. */
	for (i = 0; i < nr; i++)
		if (wait(&status) < 0 || status)
			errx(1, "what is measured has failed");
	return (double)done / begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, (size_t)repetitions, sizeof(*values), compare);
	return values[repetitions / 2];
}

static void row(const char *name, bool group, unsigned int nr, double seconds, bool silent)
{
	double ours[REPETITIONS_MAX], bare[REPETITIONS_MAX], ratios[REPETITIONS_MAX];
	int i, fd = silent ? open_socket(paths[OURS], false) : -1;

	for (i = 0; i < repetitions; i++) {
		ours[i] = measure(OURS, group, nr, seconds);
		bare[i] = measure(BARE, group, nr, seconds);
		ratios[i] = ours[i] / bare[i];
	}
	printf("| %s | %.0f | %.0f | %.2f |\n", name, median(ours), median(bare), median(ratios));
	fflush(stdout);
	if (fd >= 0)
		close(fd);
}

static pid_t start_ours(void)
{
	struct vfioext_share *share;
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		begin_share(&share);
		if (write(ready[1], "", 1) == 1)
			serve_ours(share);
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "the server does not start");
	close(ready[0]);
	return pid;
}

static pid_t start_bare(void)
{
	int listener = open_socket(paths[BARE], true);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_bare(listener);
	}
	close(listener);
	return pid;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 0.5;
	int asked = argc > 2 ? atoi(argv[2]) : 0;
	char directory[] = "/tmp/share.XXXXXX";
	pid_t pids[2];

	if (asked > 0 && asked < repetitions)
		repetitions = asked;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!mkdtemp(directory) || null < 0 || counts == MAP_FAILED)
		err(1, "%s", directory);
	snprintf(paths[OURS], sizeof(paths[OURS]), "%s/ours", directory);
	snprintf(paths[BARE], sizeof(paths[BARE]), "%s/bare", directory);
	pids[OURS] = start_ours();
	pids[BARE] = start_bare();
	puts("| requests a second | vfioext | bare loop | ratio |\n|---|---:|---:|---:|");
	row("container, 1 client", false, 1, seconds, false);
	row("container, 8 clients", false, 8, seconds, false);
	row("group, 1 client", true, 1, seconds, false);
	row("group, 8 clients", true, 8, seconds, false);
	row("group, 1 client, beside a silent one", true, 1, seconds, true);
	kill(pids[OURS], SIGKILL);
	kill(pids[BARE], SIGKILL);
	while (wait(NULL) > 0)
		;
	unlink(paths[OURS]);
	unlink(paths[BARE]);
	strcat(paths[OURS], ".lock");
	unlink(paths[OURS]);
	rmdir(directory);
	return 0;
}
