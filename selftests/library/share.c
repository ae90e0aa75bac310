// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sharing between processes: the wire of DPDK's protocol record by record, with sockets
 * of the test's own; the own protocol; and peers that break the rules. The containers
 * are made here, and what stands for the kernel's files are memory files, which can be
 * told from each other wherever they are handed to. The kernel's mappings are counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../../libvfioext/container.h"
#include "../../libvfioext/device.h"
#include "../../libvfioext/share.h"
#include "../../libvfioext/share_message.h"

#define OK 0
#define NO_FD 1
#define ERROR 0xff
#define CONTAINER 0x100
#define GROUP 0x200
#define CLEAR 0x300

/* Groups that are shared; one that is there and is not; one that is not there. */
#define FIRST 3
#define SECOND 11
#define OTHER 20
#define MISSING 21

/* No test waits longer for anything. */
#define LONG_MS 5000

static unsigned int mapped, unmapped, unmapped_all;
static uint64_t last_unmapped;

/* Type 1, of which nothing but the calls is there. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *data;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (request == VFIO_IOMMU_MAP_DMA) {
		mapped++;
		return 0;
	}
	if (request == VFIO_IOMMU_UNMAP_DMA) {
		const struct vfio_iommu_type1_dma_unmap *unmap = data;

		unmapped++;
		unmapped_all += !!(unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL);
		last_unmapped = unmap->iova;
		return 0;
	}
	if (request == VFIO_IOMMU_GET_INFO || request == VFIO_GROUP_UNSET_CONTAINER)
		return 0;
	return (int)syscall(SYS_ioctl, fd, request, data);
}

/* A client that is slow to say what it wants. */
static unsigned int send_delay_us;

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (send_delay_us)
		usleep(send_delay_us);
	return syscall(SYS_sendmsg, fd, message, flags);
}

static bool same_file(int a, int b)
{
	struct stat one, other;

	return !fstat(a, &one) && !fstat(b, &other) && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

static unsigned int open_files(void)
{
	unsigned int fd, nr = 0;

	for (fd = 0; fd < 1024; fd++)
		nr += fcntl((int)fd, F_GETFD) >= 0;
	return nr;
}

/* Files that an exec would pass on. */
static unsigned int inheritable_files(void)
{
	unsigned int nr = 0;
	int fd, flags;

	for (fd = 3; fd < 1024; fd++) {
		flags = fcntl(fd, F_GETFD);
		nr += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return nr;
}

FIXTURE(share) {
	struct vfioext *ctx;
	struct vfioext_share *share;
	struct vfioext_container *container;
	char directory[32];
	char sysfs[64];
	char path[64];
	char old[64];
	unsigned int files;
	unsigned int inheritable;
	pthread_t thread;
	bool serving;
	_Atomic bool stop;
};

static void make(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void make(const char *format, ...)
{
	char path[256];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	mkdir(path, 0755);
}

static void make_file(const char *directory, const char *name)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "we");
	if (!file || fputs("0x8086\n", file) < 0 || fclose(file))
		perror(path);
}

static void make_link(const char *target, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void make_link(const char *target, const char *format, ...)
{
	char path[256];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (symlink(target, path))
		perror(path);
}

/* Devices of a group, all with a VFIO driver. */
static void make_group(const char *sysfs, int group, unsigned int nr_devices)
{
	char path[128], device[192], name[16];
	unsigned int i;

	snprintf(path, sizeof(path), "%s/kernel/iommu_groups/%d", sysfs, group);
	make("%s", path);
	make("%s/devices", path);
	for (i = 0; i < nr_devices; i++) {
		snprintf(name, sizeof(name), "0000:%02x:%02x.%d", group, i / 8, i % 8);
		snprintf(device, sizeof(device), "%s/devices/%s", sysfs, name);
		make("%s", device);
		make("%s/vfio-dev", device);
		make_file(device, "vendor");
		make_file(device, "device");
		make_file(device, "class");
		make_link(path, "%s/iommu_group", device);
		make_link(device, "%s/devices/%s", path, name);
		make_link(device, "%s/bus/pci/devices/%s", sysfs, name);
	}
}

static void make_sysfs(const char *sysfs)
{
	make("%s", sysfs);
	make("%s/kernel", sysfs);
	make("%s/kernel/iommu_groups", sysfs);
	make("%s/devices", sysfs);
	make("%s/bus", sysfs);
	make("%s/bus/pci", sysfs);
	make("%s/bus/pci/devices", sysfs);
	make_group(sysfs, FIRST, 2);
	make_group(sysfs, SECOND, 70);
	make_group(sysfs, OTHER, 1);
}

static void add_group(struct vfioext_container *container, int id)
{
	struct group *group = calloc(1, sizeof(*group));

	group->container = container;
	group->id = id;
	group->fd = memfd_create("group", MFD_CLOEXEC);
	group->next = container->groups;
	container->groups = group;
}

/* With groups, a hole in its addresses, and maps. */
static struct vfioext_container *make_container(struct vfioext *ctx, unsigned int nr_maps)
{
	struct vfioext_container *container = container_alloc(ctx, VFIOEXT_BACKEND_CONTAINER);
	struct mapping mapping = { .size = 4096, .flags = VFIOEXT_DMA_READ };
	unsigned int i;

	container->fd = memfd_create("container", MFD_CLOEXEC);
	container->ready = true;
	container->ranges = calloc(2, sizeof(*container->ranges));
	container->ranges[0] = (struct vfioext_iova_range){ 0, 0xfedfffff };
	container->ranges[1] = (struct vfioext_iova_range){ 0xfef00000, (1ULL << 39) - 1 };
	container->limits.ranges = container->ranges;
	container->limits.nr_ranges = 2;
	add_group(container, SECOND);
	add_group(container, FIRST);
	for (i = 0; i < nr_maps; i++) {
		mapping.iova = 0x10000 + 0x2000ULL * i;
		mapping.vaddr = 0x7f0000000000ULL + 0x1000ULL * i;
		mappings_add(container->mappings, &mapping);
	}
	return container;
}

static int begin_share(struct _test_data_share *self, struct vfioext_share_options options,
		       bool own, bool old)
{
	int ret;

	options.path = own ? self->path : NULL;
	options.dpdk_path = old ? self->old : NULL;
	ret = vfioext_share_new(self->ctx, &options, &self->share);
	if (!ret)
		ret = vfioext_share_add(self->share, self->container);
	return ret;
}

FIXTURE_SETUP(share)
{
	/* What is opened once, and stays. */
	open_files();
	strcpy(self->directory, "/tmp/vfioext.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->directory));
	snprintf(self->sysfs, sizeof(self->sysfs), "%s/sys", self->directory);
	snprintf(self->path, sizeof(self->path), "%s/share", self->directory);
	snprintf(self->old, sizeof(self->old), "%s/.rte_mp_socket", self->directory);
	make_sysfs(self->sysfs);
	umask(022);
	self->files = open_files();
	self->inheritable = inheritable_files();
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->sysfs));
	self->container = make_container(self->ctx, 3);
}

static void *serve(void *data)
{
	struct _test_data_share *self = data;
	struct pollfd poller = { .fd = vfioext_share_fd(self->share), .events = POLLIN };

	while (!atomic_load(&self->stop)) {
		poll(&poller, 1, 5);
		vfioext_share_dispatch(self->share);
	}
	return NULL;
}

static void start_serving(struct _test_data_share *self)
{
	atomic_store(&self->stop, false);
	self->serving = !pthread_create(&self->thread, NULL, serve, self);
}

static void stop_serving(struct _test_data_share *self)
{
	if (!self->serving)
		return;
	atomic_store(&self->stop, true);
	pthread_join(self->thread, NULL);
	self->serving = false;
}

static void free_container(struct vfioext_container *container)
{
	while (container->groups) {
		struct group *group = container->groups;

		container->groups = group->next;
		close(group->fd);
		free(group);
	}
	vfioext_container_free(container);
}

/* Nothing is left: neither a file open, nor one in the directory. */
FIXTURE_TEARDOWN(share)
{
	char command[128];

	stop_serving(self);
	vfioext_share_free(self->share);
	EXPECT_NE(0, access(self->path, F_OK));
	EXPECT_NE(0, access(self->old, F_OK));
	if (self->container)
		free_container(self->container);
	vfioext_free(self->ctx);
	EXPECT_EQ(self->files, open_files());
	snprintf(command, sizeof(command), "rm -rf %s/sys && rmdir %s", self->directory,
		 self->directory);
	EXPECT_EQ(0, system(command));
}

/* ---- A peer that has nothing of the library's. ---- */

static int raw_socket(const char *path, bool server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval time = { LONG_MS / 1000, 0 };

	strcpy(address.sun_path, path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	if (server ? !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 50) :
		     !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static ssize_t raw_send(int socket, const void *record, size_t size, const int *fds, size_t nr)
{
	_Alignas(8) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)record, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header = (struct cmsghdr *)control;

	if (nr) {
		*header = (struct cmsghdr){ CMSG_LEN(nr * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(header), fds, nr * sizeof(int));
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(nr * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL);
}

static void send_int(int socket, int value)
{
	raw_send(socket, &value, sizeof(value), NULL, 0);
}

/* Return: the record's length, -1 on error; *fd is -1 without one, -2 with several. */
static ssize_t raw_receive(int socket, void *record, size_t size, int *fd)
{
	_Alignas(8) char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { record, size };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t len = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;

	*fd = -1;
	header = len < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (header)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	if (header && header->cmsg_len != CMSG_LEN(sizeof(*fd)))
		*fd = -2;
	return len;
}

/* The value of a record of one int, which has an fd or has none; -1 if it is another. */
static int receive_int(int socket, int *fd)
{
	int value[2], passed;
	ssize_t len = raw_receive(socket, value, sizeof(value), &passed);

	if (len < 0 && errno == ECONNRESET)
		len = raw_receive(socket, value, sizeof(value), &passed);
	if (fd)
		*fd = passed;
	if (len != sizeof(int) || (!fd && passed != -1)) {
		if (passed >= 0)
			close(passed);
		return -1;
	}
	return value[0];
}

static bool hung_up(int socket)
{
	char byte;
	ssize_t len = recv(socket, &byte, 1, 0);

	if (len < 0 && errno == ECONNRESET)
		len = recv(socket, &byte, 1, 0);
	return !len;
}

/* ---- DPDK's protocol. ---- */

TEST_F(share, old_container)
{
	int fd, socket;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	socket = raw_socket(self->old, false);
	send_int(socket, CONTAINER);
	EXPECT_EQ(OK, receive_int(socket, &fd));
	ASSERT_LE(0, fd);
	EXPECT_TRUE(same_file(fd, self->container->fd));
	EXPECT_TRUE(hung_up(socket));
	close(fd);
	close(socket);
}

static int ask_old(const char *path, int request, int number, int *fd)
{
	int value, socket = raw_socket(path, false);

	*fd = -1;
	send_int(socket, request);
	if (request != CONTAINER)
		send_int(socket, number);
	value = receive_int(socket, request == CONTAINER ? fd : NULL);
	if (request == GROUP && value == OK)
		value = receive_int(socket, fd);
	if (!hung_up(socket))
		value = -2;
	close(socket);
	return value;
}

TEST_F(share, old_group)
{
	int fd;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	EXPECT_EQ(OK, ask_old(self->old, GROUP, SECOND, &fd));
	ASSERT_LE(0, fd);
	EXPECT_TRUE(same_file(fd, self->container->groups->next->fd));
	close(fd);
	EXPECT_EQ(OK, ask_old(self->old, GROUP, FIRST, &fd));
	EXPECT_TRUE(same_file(fd, self->container->groups->fd));
	close(fd);
	EXPECT_EQ(NO_FD, ask_old(self->old, GROUP, OTHER, &fd));
	EXPECT_EQ(ERROR, ask_old(self->old, GROUP, MISSING, &fd));
	EXPECT_EQ(ERROR, ask_old(self->old, GROUP, -1, &fd));
	EXPECT_EQ(ERROR, ask_old(self->old, GROUP, INT32_MIN, &fd));
}

/* What a client clears is his own. */
TEST_F(share, old_clear)
{
	int fd;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	EXPECT_EQ(OK, ask_old(self->old, CLEAR, self->container->groups->fd, &fd));
	EXPECT_EQ(OK, ask_old(self->old, CLEAR, self->container->groups->fd, &fd));
	EXPECT_EQ(OK, ask_old(self->old, GROUP, FIRST, &fd));
	close(fd);
	stop_serving(self);
	EXPECT_EQ(0, vfioext_share_remove(self->share, self->container));
	start_serving(self);
	EXPECT_EQ(NO_FD, ask_old(self->old, CLEAR, 5, &fd));
	EXPECT_EQ(ERROR, ask_old(self->old, CONTAINER, 0, &fd));
	EXPECT_EQ(NO_FD, ask_old(self->old, GROUP, FIRST, &fd));
}

TEST_F(share, old_malformed)
{
	static const struct {
		int values[3];
		size_t sizes[2];
		size_t nr_fds;
	} cases[] = {
		{ { 0x101 }, { 4 } },
		{ { -1 }, { 4 } },
		{ { CONTAINER }, { 3 } },
		{ { CONTAINER }, { 1 } },
		{ { CONTAINER }, { 5 } },
		{ { CONTAINER, 0 }, { 8 } },
		{ { CONTAINER }, { 4 }, 1 },
		{ { CONTAINER }, { 4 }, 3 },
		{ { GROUP, FIRST }, { 4, 3 } },
		{ { GROUP, FIRST, 0 }, { 4, 8 } },
		{ { GROUP, FIRST }, { 8 } },
		{ { CLEAR, 0 }, { 4, 2 } },
	};
	int fds[] = { 0, 1, 2 }, socket;
	unsigned int i;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		socket = raw_socket(self->old, false);
		raw_send(socket, &cases[i].values[0], cases[i].sizes[0], fds, cases[i].nr_fds);
		if (cases[i].sizes[1])
			raw_send(socket, &cases[i].values[1], cases[i].sizes[1], NULL, 0);
		EXPECT_EQ(ERROR, receive_int(socket, NULL)) TH_LOG("case %u", i);
		EXPECT_TRUE(hung_up(socket)) TH_LOG("case %u", i);
		close(socket);
	}
}

/* The two records of a request come apart. */
TEST_F(share, old_slowly)
{
	int fd, socket;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	socket = raw_socket(self->old, false);
	usleep(20000);
	send_int(socket, GROUP);
	usleep(20000);
	send_int(socket, FIRST);
	EXPECT_EQ(OK, receive_int(socket, NULL));
	EXPECT_EQ(OK, receive_int(socket, &fd));
	EXPECT_TRUE(same_file(fd, self->container->groups->fd));
	close(fd);
	close(socket);
}

/* Our own client, and our own server. */
TEST_F(share, old_client)
{
	int fd = -1;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	ASSERT_EQ(0, vfioext_share_get_container(self->old, LONG_MS, &fd));
	EXPECT_TRUE(same_file(fd, self->container->fd));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	close(fd);
	ASSERT_EQ(0, vfioext_share_get_group(self->old, SECOND, LONG_MS, &fd));
	EXPECT_TRUE(same_file(fd, self->container->groups->next->fd));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(self->inheritable, inheritable_files());
	close(fd);
	EXPECT_EQ(-ENODEV, vfioext_share_get_group(self->old, OTHER, LONG_MS, &fd));
	EXPECT_EQ(-ENOENT, vfioext_share_get_group(self->old, MISSING, LONG_MS, &fd));
	EXPECT_EQ(-EINVAL, vfioext_share_get_group(self->old, -1, LONG_MS, &fd));
	EXPECT_EQ(-ENOENT, vfioext_share_get_group(self->path, FIRST, LONG_MS, &fd));
}

/* ---- Our client against one that answers anything. ---- */

struct answer {
	size_t size;
	unsigned int nr_fds;
	int values[2];
};

/* Answers one connection with records, then hangs up, or says nothing for a while. */
static pid_t hostile(int listener, const struct answer *answers, size_t nr, unsigned int silence_ms)
{
	int fds[] = { 0, 0, 0, 0 }, socket, request[2];
	pid_t pid = fork();
	size_t i;

	if (pid)
		return pid;
	socket = accept(listener, NULL, NULL);
	if (nr || silence_ms)
		read(socket, request, sizeof(request));
	for (i = 0; i < nr; i++)
		raw_send(socket, answers[i].values, answers[i].size, fds, answers[i].nr_fds);
	if (silence_ms)
		usleep(silence_ms * 1000);
	_exit(0);
}

TEST_F(share, hostile_server)
{
	static const struct {
		bool group;
		int ret;
		size_t nr;
		struct answer answers[3];
	} cases[] = {
		{ false, -ECONNRESET, 0 },
		{ false, -EPROTO, 1, { { 4, 0, { OK } } } },
		{ false, -EPROTO, 1, { { 4, 2, { OK } } } },
		{ false, -EPROTO, 1, { { 4, 4, { OK } } } },
		{ false, -EPROTO, 1, { { 3, 1, { OK } } } },
		{ false, -EPROTO, 1, { { 8, 1, { OK } } } },
		{ false, -EPROTO, 1, { { 4, 1, { ERROR } } } },
		{ false, -EPROTO, 1, { { 4, 0, { 17 } } } },
		{ false, -ENOENT, 1, { { 4, 0, { ERROR } } } },
		{ true, -ECONNRESET, 0 },
		{ true, -ECONNRESET, 1, { { 4, 0, { OK } } } },
		{ true, -EPROTO, 1, { { 4, 1, { OK } } } },
		{ true, -EPROTO, 2, { { 4, 0, { OK } }, { 4, 0, { OK } } } },
		{ true, -EPROTO, 2, { { 4, 0, { OK } }, { 4, 2, { OK } } } },
		{ true, -EPROTO, 2, { { 4, 0, { OK } }, { 2, 1, { OK } } } },
		{ true, -ENODEV, 2, { { 4, 0, { OK } }, { 4, 0, { NO_FD } } } },
		{ true, -ENODEV, 1, { { 4, 0, { NO_FD } } } },
		{ true, -ENOENT, 1, { { 4, 0, { ERROR } } } },
		{ true, -EPROTO, 1, { { 4, 1, { NO_FD } } } },
	};
	int listener = raw_socket(self->old, true), fd = -1, ret;
	unsigned int i, files = open_files();
	pid_t pid;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid = hostile(listener, cases[i].answers, cases[i].nr, 0);
		if (cases[i].group)
			ret = vfioext_share_get_group(self->old, FIRST, LONG_MS, &fd);
		else
			ret = vfioext_share_get_container(self->old, LONG_MS, &fd);
		EXPECT_EQ(cases[i].ret, ret) TH_LOG("case %u", i);
		EXPECT_EQ(-1, fd);
		EXPECT_EQ(files, open_files()) TH_LOG("case %u", i);
		waitpid(pid, NULL, 0);
	}
	close(listener);
	EXPECT_EQ(-ECONNREFUSED, vfioext_share_get_group(self->old, FIRST, LONG_MS, &fd));
	unlink(self->old);
}

static unsigned int ms_since(uint64_t begin)
{
	return (unsigned int)(share_now_ms() - begin);
}

TEST_F(share, silent_server)
{
	static const struct answer ok = { 4, 0, { OK } };
	int listener = raw_socket(self->old, true), fd = -1, i, waiting[100];
	struct vfioext_attachment *attachment;
	uint64_t begin = share_now_ms();
	pid_t pid = hostile(listener, NULL, 0, 400);

	EXPECT_EQ(-ETIMEDOUT, vfioext_share_get_container(self->old, 100, &fd));
	EXPECT_LE(100, ms_since(begin));
	waitpid(pid, NULL, 0);
	pid = hostile(listener, &ok, 1, 400);
	begin = share_now_ms();
	EXPECT_EQ(-ETIMEDOUT, vfioext_share_get_group(self->old, FIRST, 100, &fd));
	EXPECT_EQ(-ETIMEDOUT, vfioext_attach(self->ctx, self->old, 100, &attachment));
	EXPECT_LE(200, ms_since(begin));
	EXPECT_GE(390, ms_since(begin));
	waitpid(pid, NULL, 0);
	/* Its queue is full: it does not even accept. */
	for (i = 0; i < 100; i++) {
		waiting[i] = share_connect(self->old, 0);
		if (waiting[i] == -EAGAIN)
			break;
	}
	begin = share_now_ms();
	EXPECT_EQ(-ETIMEDOUT, vfioext_share_get_container(self->old, 100, &fd));
	EXPECT_EQ(-EAGAIN, vfioext_attach_start(self->ctx, self->old, &attachment));
	EXPECT_EQ(-ETIMEDOUT, vfioext_attach(self->ctx, self->old, 100, &attachment));
	EXPECT_LE(180, ms_since(begin));
	while (i--)
		close(waiting[i]);
	close(listener);
	unlink(self->old);
}

/* Who is refused may hear so before he has said all he wanted to. */
TEST_F(share, early_answer)
{
	int listener = raw_socket(self->old, true), socket, fd = -1, i;
	pid_t pid = fork();

	while (!pid) {
		socket = accept(listener, NULL, NULL);
		send_int(socket, ERROR);
		usleep(6000);
		close(socket);
	}
	/* Each time, he is interrupted somewhere else. */
	for (i = 0; i < 40; i++) {
		send_delay_us = i * 200;
		EXPECT_EQ(-ENOENT, vfioext_share_get_group(self->old, FIRST, LONG_MS, &fd));
	}
	send_delay_us = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(listener);
	unlink(self->old);
}

/* ---- The own protocol. ---- */

/* What came to one who attached. */
struct heard {
	unsigned int complete;
	unsigned int events;
	unsigned int gone;
	struct vfioext_event last;
};

static void hear(enum vfioext_attach_what what, const struct vfioext_event *event, void *data)
{
	struct heard *heard = data;

	heard->complete += what == VFIOEXT_ATTACH_COMPLETE;
	heard->events += what == VFIOEXT_ATTACH_EVENT;
	heard->gone += what == VFIOEXT_ATTACH_GONE;
	if (event)
		heard->last = *event;
}

/* Dispatch on both sides, in this thread, until nothing moves. */
static int run(struct vfioext_share *share, struct vfioext_attachment *attachment,
	       struct heard *heard)
{
	int i, ret = 0;

	for (i = 0; i < 20 && ret >= 0; i++) {
		vfioext_share_dispatch(share);
		ret = vfioext_attachment_dispatch(attachment, hear, heard);
	}
	return ret;
}

static struct group *group_of(struct vfioext_container *container, int id)
{
	struct group *group = container->groups;

	while (group && group->id != id)
		group = group->next;
	return group;
}

TEST_F(share, complete)
{
	struct vfioext_attachment *attachment;
	const struct vfioext_shared_device *devices;
	const struct vfioext_shared_map *maps;
	struct vfioext_share_client client;
	struct vfioext_container *got;
	struct heard heard = { 0 };
	pid_t pid;
	uid_t uid;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &attachment));
	EXPECT_EQ(NULL, vfioext_attachment_container(attachment));
	EXPECT_EQ(0, vfioext_attachment_devices(attachment, &devices));
	ASSERT_EQ(0, run(self->share, attachment, &heard));
	EXPECT_EQ(1, heard.complete);
	EXPECT_EQ(0, heard.events + heard.gone);
	got = vfioext_attachment_container(attachment);
	ASSERT_NE(NULL, got);
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER, vfioext_container_backend(got));
	EXPECT_TRUE(same_file(self->container->fd, vfioext_container_fd(got)));
	ASSERT_NE(NULL, group_of(got, FIRST));
	ASSERT_NE(NULL, group_of(got, SECOND));
	EXPECT_TRUE(same_file(group_of(self->container, FIRST)->fd, group_of(got, FIRST)->fd));
	EXPECT_TRUE(same_file(group_of(self->container, SECOND)->fd, group_of(got, SECOND)->fd));
	/* More than there is room for in one record. */
	ASSERT_EQ(72, vfioext_attachment_devices(attachment, &devices));
	EXPECT_STREQ("0000:03:00.0", devices[0].name);
	EXPECT_EQ(FIRST, devices[1].group);
	EXPECT_EQ(SECOND, devices[71].group);
	EXPECT_STREQ("0000:0b:08.5", devices[71].name);
	ASSERT_EQ(3, vfioext_attachment_maps(attachment, &maps));
	EXPECT_EQ(0x12000, maps[1].iova);
	EXPECT_EQ(4096, maps[1].size);
	EXPECT_EQ(0x7f0000001000ULL, maps[1].vaddr);
	EXPECT_EQ(VFIOEXT_DMA_READ, maps[1].flags);
	vfioext_attachment_primary(attachment, &pid, &uid);
	EXPECT_EQ(getpid(), pid);
	EXPECT_EQ(getuid(), uid);
	ASSERT_EQ(1, vfioext_share_clients(self->share, &client, 1));
	EXPECT_EQ(getpid(), client.pid);
	EXPECT_TRUE(client.attached);
	EXPECT_EQ(self->inheritable, inheritable_files());
	EXPECT_EQ(-EBUSY, vfioext_container_free(got));
	EXPECT_EQ(-EBUSY, vfioext_container_free(self->container));
	EXPECT_EQ(0, vfioext_detach(attachment));
	vfioext_share_dispatch(self->share);
	EXPECT_EQ(0, vfioext_share_clients(self->share, NULL, 0));
}

/* More maps than a record has room for, and than a socket has. */
TEST_F(share, many_maps)
{
	struct vfioext_attachment *attachment;
	const struct vfioext_shared_map *maps;
	size_t i, nr = 20000;

	free_container(self->container);
	self->container = make_container(self->ctx, (unsigned int)nr);
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	start_serving(self);
	ASSERT_EQ(0, vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
	ASSERT_EQ(nr, vfioext_attachment_maps(attachment, &maps));
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0x10000 + 0x2000ULL * i, maps[i].iova);
	vfioext_detach(attachment);
}

/* What the other maps is at addresses of its own, and that alone is unmapped. */
TEST_F(share, mapping)
{
	struct vfioext_attachment *attachment;
	struct vfioext_dma_limits limits;
	struct vfioext_container *got;
	uint64_t iova, fixed = 0x12000;
	unsigned int i;
	void *memory = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	start_serving(self);
	ASSERT_EQ(0, vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
	got = vfioext_attachment_container(attachment);
	ASSERT_EQ(0, vfioext_dma_get_limits(got, &limits));
	ASSERT_EQ(5, limits.nr_ranges);
	EXPECT_EQ(0, limits.ranges[0].start);
	EXPECT_EQ(0xffff, limits.ranges[0].last);
	EXPECT_EQ(0x11000, limits.ranges[1].start);
	EXPECT_EQ(0x11fff, limits.ranges[1].last);
	EXPECT_EQ(0x15000, limits.ranges[3].start);
	EXPECT_EQ(0xfedfffff, limits.ranges[3].last);
	EXPECT_EQ(0xfef00000, limits.ranges[4].start);
	mapped = 0;
	unmapped = 0;
	for (i = 0; i < 64; i++) {
		ASSERT_EQ(0, vfioext_dma_map(got, memory, 4096 + 4096 * (i % 3), 0, &iova));
		EXPECT_FALSE(iova < 0x15000 && iova + 4096 + 4096 * (i % 3) > 0x10000 &&
			     iova != 0x11000 && iova != 0x13000) TH_LOG("%#lx", (long)iova);
	}
	EXPECT_EQ(64, mapped);
	EXPECT_EQ(-ERANGE, vfioext_dma_map(got, memory, 4096, VFIOEXT_DMA_FIXED, &fixed));
	EXPECT_EQ(0, vfioext_dma_unmap_all(got));
	EXPECT_EQ(64, unmapped);
	ASSERT_EQ(0, vfioext_dma_map(got, memory, 4096, 0, &iova));
	EXPECT_EQ(0, vfioext_detach(attachment));
	EXPECT_EQ(65, unmapped);
	EXPECT_EQ(iova, last_unmapped);
	/* The primary leaves others' mappings alone, too. */
	stop_serving(self);
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	EXPECT_EQ(68, unmapped);
	EXPECT_EQ(0, unmapped_all);
	munmap(memory, 65536);
}

/* A device of a received group, in the container that came along. */
TEST_F(share, groups_stay)
{
	struct vfioext_attachment *attachment;
	struct vfioext_device *device;
	struct vfioext_container *got;
	struct vfioext_open how = { 0 };
	int fd;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	start_serving(self);
	ASSERT_EQ(0, vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
	got = vfioext_attachment_container(attachment);
	device = calloc(1, sizeof(*device));
	device->ctx = self->ctx;
	device->info.group = SECOND;
	/* A memory file has no devices, but the group is found. */
	EXPECT_EQ(-ENOTTY, container_add_device(got, device));
	EXPECT_EQ(NULL, device->group);
	/* As if it had. */
	device->group = group_of(got, SECOND);
	device->group->devices++;
	device->container = got;
	device->fd = memfd_create("device", MFD_CLOEXEC);
	got->devices++;
	EXPECT_EQ(-EBUSY, vfioext_detach(attachment));
	EXPECT_EQ(-EOPNOTSUPP, vfioext_device_move(device, self->container));
	fd = device->group->fd;
	container_remove_device(device);
	EXPECT_LE(0, fcntl(fd, F_GETFD));
	EXPECT_NE(NULL, group_of(got, SECOND));
	EXPECT_TRUE(got->ready);
	/* One that did not come along is not opened from here. */
	device->info.group = OTHER;
	EXPECT_EQ(-ENXIO, container_add_device(got, device));
	free(device);
	how.container = got;
	EXPECT_EQ(-ENXIO, vfioext_device_open(self->ctx, "0000:14:00.0", &how, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "not shared"));
	EXPECT_EQ(0, vfioext_detach(attachment));
}

static const struct vfioext_event *an_event(int group, uint32_t sequence)
{
	static struct vfioext_event event;

	event = (struct vfioext_event){
		.type = VFIOEXT_EVENT_REMOVAL_REQUESTED,
		.sequence = sequence,
		.removal = {
			.id = 5, .device = "0000:03:00.0", .bus = "pci", .group = (uint32_t)group,
			.remaining_ms = 700, .handles = 2,
		},
		.outcome = -1,
	};
	return &event;
}

TEST_F(share, events)
{
	struct vfioext_event lost = { .type = VFIOEXT_EVENT_LOST, .lost = 3, .outcome = -1 };
	struct vfioext_attachment *attachment;
	struct heard heard = { 0 };

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &attachment));
	run(self->share, attachment, &heard);
	share_relay(self->share, an_event(FIRST, 1));
	share_relay(self->share, an_event(OTHER, 2));
	share_relay(self->share, an_event(SECOND, 3));
	run(self->share, attachment, &heard);
	EXPECT_EQ(2, heard.events);
	EXPECT_EQ(VFIOEXT_EVENT_REMOVAL_REQUESTED, heard.last.type);
	EXPECT_EQ(3, heard.last.sequence);
	EXPECT_EQ(SECOND, heard.last.removal.group);
	EXPECT_STREQ("0000:03:00.0", heard.last.removal.device);
	EXPECT_STREQ("pci", heard.last.removal.bus);
	EXPECT_EQ(5, heard.last.removal.id);
	EXPECT_EQ(700, heard.last.removal.remaining_ms);
	EXPECT_EQ(2, heard.last.removal.handles);
	EXPECT_EQ(-1, heard.last.outcome);
	share_relay(self->share, &lost);
	run(self->share, attachment, &heard);
	EXPECT_EQ(VFIOEXT_EVENT_LOST, heard.last.type);
	EXPECT_EQ(3, heard.last.lost);
	EXPECT_EQ(0, vfioext_share_remove(self->share, self->container));
	EXPECT_EQ(-ENOTCONN, run(self->share, attachment, &heard));
	EXPECT_EQ(1, heard.gone);
	EXPECT_NE(NULL, vfioext_attachment_container(attachment));
	vfioext_detach(attachment);
}

/* Who does not read gets what fits, then waits in the queue, then is dropped; who does gets all. */
TEST_F(share, stalled_reader)
{
	struct vfioext_attachment *reads, *stalls, *late;
	struct heard heard = { 0 }, other = { 0 };
	unsigned int i, round, files;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &reads));
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &late));
	run(self->share, reads, &heard);
	run(self->share, late, &other);
	/* What waits is had later, in order, and the queue goes round. */
	for (round = 0; round < 4; round++) {
		for (i = 1; i <= 400; i++) {
			share_relay(self->share, an_event(FIRST, 400 * round + i));
			run(self->share, reads, &heard);
		}
		EXPECT_EQ(2, vfioext_share_clients(self->share, NULL, 0));
		EXPECT_EQ(400 * round + 400, heard.events);
		for (i = 0; i < 20; i++) {
			run(self->share, late, &other);
			EXPECT_EQ(other.events, other.last.sequence);
		}
		EXPECT_EQ(400 * round + 400, other.events);
	}
	vfioext_detach(late);
	vfioext_share_dispatch(self->share);
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &stalls));
	vfioext_share_dispatch(self->share);
	files = open_files();
	for (i = 1; vfioext_share_clients(self->share, NULL, 0) == 2 && i < 10000; i++) {
		share_relay(self->share, an_event(FIRST, 1000 + i));
		run(self->share, reads, &heard);
	}
	EXPECT_GT(10000, i);
	EXPECT_LT(SHARE_QUEUE_MAX, i);
	EXPECT_EQ(files - 1, open_files());
	EXPECT_EQ(1000 + i - 1, heard.last.sequence);
	vfioext_detach(reads);
	vfioext_detach(stalls);
}

static struct share_hello hello = { SHARE_MAGIC, SHARE_VERSION, sizeof(hello) };

/* The error that the own protocol answers with; 1 if it is no error. */
static int receive_error(int socket)
{
	struct share_error record = { 0 };
	int fd;
	ssize_t len = raw_receive(socket, &record, sizeof(record), &fd);

	if (len < 0 && errno == ECONNRESET)
		len = raw_receive(socket, &record, sizeof(record), &fd);
	if (fd >= 0)
		close(fd);
	if (len != sizeof(record) || record.header.type != SHARE_ERROR ||
	    record.header.size != sizeof(record))
		return 1;
	return record.error;
}

TEST_F(share, own_malformed)
{
	struct {
		struct share_hello hello;
		uint32_t more;
	} longer = { { SHARE_MAGIC, SHARE_VERSION, sizeof(longer) } };
	struct share_hello other;
	char large[100] = { 0 };
	int socket, fd = 0;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	start_serving(self);
#define EXPECT_ANSWER(error, record, size, nr_fds) do {			\
	socket = raw_socket(self->path, false);				\
	raw_send(socket, record, size, &fd, nr_fds);			\
	EXPECT_EQ(error, receive_error(socket));			\
	if ((error) < 0)						\
		EXPECT_TRUE(hung_up(socket));				\
	close(socket);							\
} while (0)
	EXPECT_ANSWER(1, &hello, sizeof(hello), 0);
	EXPECT_ANSWER(1, &longer, sizeof(longer), 0);
	EXPECT_ANSWER(-EPROTO, &hello, sizeof(hello), 1);
	EXPECT_ANSWER(-EPROTO, &hello, sizeof(hello) - 1, 0);
	EXPECT_ANSWER(-EPROTO, &longer, sizeof(hello), 0);
	EXPECT_ANSWER(-EPROTO, large, sizeof(large), 0);
	other = hello;
	other.version++;
	EXPECT_ANSWER(-EPROTONOSUPPORT, &other, sizeof(other), 0);
	other = hello;
	other.magic++;
	EXPECT_ANSWER(-EPROTO, &other, sizeof(other), 0);
	/* Once is enough. */
	socket = raw_socket(self->path, false);
	raw_send(socket, &hello, sizeof(hello), NULL, 0);
	raw_send(socket, &hello, sizeof(hello), NULL, 0);
	while (receive_error(socket) != -EPROTO && !hung_up(socket))
		;
	close(socket);
	stop_serving(self);
	vfioext_share_dispatch(self->share);
	EXPECT_EQ(0, vfioext_share_clients(self->share, NULL, 0));
	vfioext_share_remove(self->share, self->container);
	start_serving(self);
	EXPECT_ANSWER(-ENODEV, &hello, sizeof(hello), 0);
}

/* Records to an attachment, by a primary that is made here. */
struct told {
	int ret;
	size_t nr;
	struct {
		unsigned int type;
		uint32_t values[4];
		size_t size;
		unsigned int nr_fds;
	} records[4];
};

#define A_CONTAINER { SHARE_CONTAINER, { SHARE_MAGIC, SHARE_VERSION, VFIOEXT_BACKEND_CONTAINER }, \
		      sizeof(struct share_container), 1 }
#define A_GROUP { SHARE_GROUP, { FIRST }, sizeof(struct share_group), 1 }
#define THE_END { SHARE_END, { 0 }, sizeof(struct share_end), 0 }

TEST_F(share, hostile_primary)
{
	static const struct told cases[] = {
		{ 1, 2, { A_CONTAINER, THE_END } },
		{ 1, 3, { A_CONTAINER, A_GROUP, THE_END } },
		{ 1, 3, { A_CONTAINER, { 99, { 1 }, 64, 1 }, THE_END } },
		{ -EPROTO, 1, { THE_END } },
		{ -EPROTO, 1, { A_GROUP } },
		{ -EPROTO, 2, { A_CONTAINER, A_CONTAINER } },
		{ -EPROTO, 3, { A_CONTAINER, A_GROUP, A_GROUP } },
		{ -EPROTO, 3, { A_CONTAINER, THE_END, A_GROUP } },
		{ -EPROTO, 3, { A_CONTAINER, THE_END, THE_END } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_GROUP, { FIRST }, 16, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_GROUP, { FIRST }, 16, 2 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_GROUP, { FIRST }, 12, 1 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_GROUP, { 0x80000000 }, 16, 1 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_END, { 0 }, 8, 1 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_END, { 0 }, 4, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_RANGES, { 1 }, 16, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_RANGES, { 1 }, 33, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_RANGES, { 0x10000000 }, 16, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_MAPS, { 129 }, 16 + 129 * 32, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_MAPS, { 1 }, 48, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_DEVICES, { FIRST, 1 }, 80, 0 } } },
		{ -EPROTO, 3, { A_CONTAINER, A_GROUP, { SHARE_DEVICES, { FIRST, 1 }, 80, 0 } } },
		{ -EPROTO, 2, { A_CONTAINER, { SHARE_EVENT, { 2 }, sizeof(struct share_event), 0 } } },
		{ -EPROTO, 3, { A_CONTAINER, THE_END,
				{ SHARE_EVENT, { 99 }, sizeof(struct share_event), 0 } } },
		{ 2, 3, { A_CONTAINER, THE_END,
			  { SHARE_EVENT, { 2 }, sizeof(struct share_event), 0 } } },
		{ -EPROTO, 1, { { SHARE_CONTAINER, { 1, SHARE_VERSION, 1 }, 24, 1 } } },
		{ -EPROTONOSUPPORT, 1, { { SHARE_CONTAINER, { SHARE_MAGIC, 2, 1 }, 24, 1 } } },
		{ -EPROTO, 1, { { SHARE_CONTAINER, { SHARE_MAGIC, 1, 2 }, 24, 1 } } },
		{ -EPROTO, 1, { { SHARE_CONTAINER, { SHARE_MAGIC, 1, 1 }, 24, 0 } } },
		{ -EPROTO, 1, { { SHARE_CONTAINER, { SHARE_MAGIC, 1, 1 }, 24, 2 } } },
		{ -EPROTO, 1, { { SHARE_CONTAINER, { SHARE_MAGIC, 1, 1 }, 9000, 1 } } },
		{ -EPROTO, 1, { { 0, { 0 }, 8, 0 } } },
		{ -EACCES, 1, { { SHARE_ERROR, { (uint32_t)-EACCES }, 16, 0 } } },
		{ -EPROTO, 1, { { SHARE_ERROR, { 5 }, 16, 0 } } },
		{ -EPROTO, 1, { { SHARE_ERROR, { (uint32_t)-EACCES }, 16, 1 } } },
	};
	int listener = raw_socket(self->path, true), socket, ret, fds[] = { 0, 0 };
	struct vfioext_attachment *attachment;
	_Alignas(8) uint8_t record[9000];
	struct share_header header;
	unsigned int i, files = open_files();
	size_t n;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &attachment));
		socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		for (n = 0; n < cases[i].nr; n++) {
			header.type = cases[i].records[n].type;
			header.size = (uint32_t)cases[i].records[n].size;
			memset(record, 0, sizeof(record));
			memcpy(record + sizeof(header), cases[i].records[n].values, 16);
			memcpy(record, &header, sizeof(header));
			raw_send(socket, record, header.size, fds, cases[i].records[n].nr_fds);
		}
		ret = vfioext_attachment_dispatch(attachment, NULL, NULL);
		EXPECT_EQ(cases[i].ret, ret) TH_LOG("case %u", i);
		EXPECT_EQ(0, vfioext_detach(attachment));
		close(socket);
		EXPECT_EQ(files, open_files()) TH_LOG("case %u", i);
	}
	close(listener);
	unlink(self->path);
}

/* ---- Who takes more than is his. ---- */

/* In a process, as many are: ask again and again. Its status tells how often it failed. */
static pid_t ask_in_child(const char *path, unsigned int times)
{
	unsigned int i, failed = 0;
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	for (i = 0; i < times; i++) {
		failed += !!vfioext_share_get_group(path, i % 2 ? FIRST : SECOND, LONG_MS, &fd);
		close(fd);
	}
	_exit(failed > 255 ? 255 : (int)failed);
}

static int status_of(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Connects, and: 0 says nothing, 1 floods, 2 vanishes at once, until it is killed. */
static pid_t misbehave(const char *path, int how)
{
	pid_t pid = fork();
	int i, socket = -1;

	if (pid)
		return pid;
	for (;;) {
		socket = raw_socket(path, false);
		if (!how)
			pause();
		for (i = 0; how == 1 && i < 1000; i++)
			send_int(socket, i % 2 ? GROUP : CONTAINER);
		close(socket);
		usleep(100);
	}
}

TEST_F(share, others_are_served)
{
	struct vfioext_share_options options = { .timeout_ms = 60000, .clients_per_user_max = 60 };
	pid_t bad[6], good[8];
	uint64_t begin;
	unsigned int i;

	ASSERT_EQ(0, begin_share(self, options, true, true));
	start_serving(self);
	for (i = 0; i < 6; i++)
		bad[i] = misbehave(i % 2 ? self->old : self->path, (int)i / 2);
	usleep(50000);
	begin = share_now_ms();
	for (i = 0; i < 8; i++)
		good[i] = ask_in_child(self->old, 25);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, status_of(good[i]));
	EXPECT_GT(2 * LONG_MS, ms_since(begin));
	for (i = 0; i < 6; i++) {
		kill(bad[i], SIGKILL);
		waitpid(bad[i], NULL, 0);
	}
}

TEST_F(share, timeouts)
{
	struct vfioext_share_options options = { .timeout_ms = 150 };
	int silent, half, mute, last;
	uint64_t begin;

	ASSERT_EQ(0, begin_share(self, options, true, true));
	start_serving(self);
	begin = share_now_ms();
	silent = raw_socket(self->old, false);
	half = raw_socket(self->old, false);
	send_int(half, GROUP);
	mute = raw_socket(self->path, false);
	usleep(100000);
	/* Its time begins later. */
	last = raw_socket(self->old, false);
	EXPECT_EQ(ERROR, receive_int(silent, NULL));
	EXPECT_TRUE(hung_up(silent));
	EXPECT_EQ(ERROR, receive_int(half, NULL));
	EXPECT_EQ(-ETIMEDOUT, receive_error(mute));
	EXPECT_LE(150, ms_since(begin));
	EXPECT_GE(245, ms_since(begin));
	EXPECT_EQ(ERROR, receive_int(last, NULL));
	EXPECT_LE(250, ms_since(begin));
	close(silent);
	close(half);
	close(mute);
	close(last);
	stop_serving(self);
	EXPECT_EQ(0, vfioext_share_clients(self->share, NULL, 0));
}

TEST_F(share, limits)
{
	struct vfioext_share_options options = { .clients_max = 5, .clients_per_user_max = 3 };
	struct vfioext_share_client clients[5];
	int sockets[6], i, fd;
	pid_t pid;

	options.mode = 0666;
	options.uids = (uid_t[]){ 1234 };
	options.nr_uids = 1;
	ASSERT_EQ(0, chmod(self->directory, 0755));
	ASSERT_EQ(0, begin_share(self, options, true, true));
	for (i = 0; i < 3; i++)
		sockets[i] = raw_socket(self->old, false);
	vfioext_share_dispatch(self->share);
	EXPECT_EQ(3, vfioext_share_clients(self->share, clients, 5));
	EXPECT_FALSE(clients[2].attached);
	sockets[3] = raw_socket(self->path, false);
	sockets[4] = raw_socket(self->old, false);
	vfioext_share_dispatch(self->share);
	EXPECT_EQ(-EUSERS, receive_error(sockets[3]));
	EXPECT_EQ(ERROR, receive_int(sockets[4], NULL));
	EXPECT_EQ(3, vfioext_share_clients(self->share, NULL, 0));
	close(sockets[3]);
	close(sockets[4]);
	/* Another user has places left, but not more than there are in all. */
	start_serving(self);
	pid = fork();
	if (!pid) {
		if (setgid(1234) || setuid(1234))
			_exit(10);
		for (i = 0; i < 3; i++)
			sockets[i] = raw_socket(self->path, false);
		_exit(receive_error(sockets[2]) == -EUSERS ? 0 : 1);
	}
	EXPECT_EQ(0, status_of(pid));
	close(sockets[0]);
	usleep(20000);
	EXPECT_EQ(0, vfioext_share_get_container(self->old, LONG_MS, &fd));
	close(fd);
	close(sockets[1]);
	close(sockets[2]);
}

/* As another user: the error of getting the container. */
static int get_as(const char *path, uid_t uid, gid_t gid, gid_t supplementary)
{
	pid_t pid = fork();
	int ret, fd;

	if (pid)
		return -status_of(pid);
	if (syscall(SYS_setgroups, supplementary ? 1 : 0, &supplementary) || setgid(gid) || setuid(uid))
		_exit(200);
	ret = vfioext_share_get_container(path, LONG_MS, &fd);
	_exit(-ret);
}

TEST_F(share, credentials)
{
	struct vfioext_share_options options = { .mode = 0666 };

	if (getuid())
		SKIP(return, "other users can be had by root alone");
	ASSERT_EQ(0, chmod(self->directory, 0755));
	options.uids = (uid_t[]){ 1234, 1235 };
	options.nr_uids = 2;
	options.gids = (gid_t[]){ 77 };
	options.nr_gids = 1;
	ASSERT_EQ(0, begin_share(self, options, true, true));
	start_serving(self);
	EXPECT_EQ(0, get_as(self->old, 0, 0, 0));
	EXPECT_EQ(0, get_as(self->old, 1235, 5, 0));
	EXPECT_EQ(-ENOENT, get_as(self->old, 1236, 5, 0));
	EXPECT_EQ(0, get_as(self->old, 1236, 77, 0));
	EXPECT_EQ(0, get_as(self->old, 1236, 5, 77));
	EXPECT_EQ(-ENOENT, get_as(self->old, 1236, 5, 78));
	EXPECT_EQ(-ENOENT, get_as(self->old, 77, 1234, 1234));
}

/* The mode keeps out who is not let in otherwise, and the other way round. */
TEST_F(share, own_refused)
{
	struct vfioext_share_options options = { .mode = 0622 };
	struct vfioext_attachment *attachment;
	pid_t pid;

	if (getuid())
		SKIP(return, "other users can be had by root alone");
	ASSERT_EQ(0, chmod(self->directory, 0755));
	ASSERT_EQ(0, begin_share(self, options, true, false));
	start_serving(self);
	pid = fork();
	if (!pid) {
		if (setgid(5) || setuid(1236))
			_exit(200);
		_exit(-vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
	}
	EXPECT_EQ(EACCES, status_of(pid));
}

TEST_F(share, mode)
{
	struct vfioext_share_options options = { .mode = 0664 };
	struct stat stat;

	umask(0777);
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, true));
	EXPECT_EQ(0, lstat(self->path, &stat));
	EXPECT_EQ(S_IFSOCK | 0600, stat.st_mode);
	EXPECT_EQ(0, lstat(self->old, &stat));
	EXPECT_EQ(S_IFSOCK | 0600, stat.st_mode);
	vfioext_share_free(self->share);
	umask(0);
	ASSERT_EQ(0, begin_share(self, options, true, true));
	EXPECT_EQ(0, lstat(self->path, &stat));
	EXPECT_EQ(S_IFSOCK | 0664, stat.st_mode);
	if (!getuid())
		EXPECT_EQ(-EACCES, -get_as(self->path, 1236, 5, 0) ? -EACCES : 0);
}

TEST_F(share, options)
{
	struct vfioext_share_options options = { 0 };
	char path[200] = "/tmp/";

	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "";
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "/tmp/";
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "/tmp/..";
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	memset(path + 5, 'a', 150);
	options.path = path;
	EXPECT_EQ(-ENAMETOOLONG, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "/nonexistent/share";
	EXPECT_EQ(-ENOENT, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = self->path;
	options.mode = 04600;
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.mode = 0;
	options.clients_max = 65537;
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.clients_max = 0;
	options.nr_uids = 1;
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	/* One path is good, the other is not: neither is there after. */
	options.nr_uids = 0;
	options.dpdk_path = "/nonexistent/old";
	EXPECT_EQ(-ENOENT, vfioext_share_new(self->ctx, &options, &self->share));
	EXPECT_NE(0, access(self->path, F_OK));
}

TEST_F(share, containers)
{
	struct vfioext_container *iommufd = container_alloc(self->ctx, VFIOEXT_BACKEND_IOMMUFD);
	struct vfioext_container *second = make_container(self->ctx, 0);
	int fd;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	EXPECT_EQ(-EOPNOTSUPP, vfioext_share_add(self->share, iommufd));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "iommufd"));
	EXPECT_EQ(0, vfioext_container_free(iommufd));
	EXPECT_EQ(-EEXIST, vfioext_share_add(self->share, self->container));
	second->groups->id = OTHER;
	second->groups->next->id = OTHER + 100;
	ASSERT_EQ(0, vfioext_share_add(self->share, second));
	start_serving(self);
	EXPECT_EQ(OK, ask_old(self->old, CONTAINER, 0, &fd));
	EXPECT_TRUE(same_file(self->container->fd, fd));
	close(fd);
	EXPECT_EQ(OK, ask_old(self->old, GROUP, OTHER, &fd));
	EXPECT_TRUE(same_file(second->groups->fd, fd));
	close(fd);
	stop_serving(self);
	EXPECT_EQ(0, vfioext_share_remove(self->share, self->container));
	EXPECT_EQ(-ENOENT, vfioext_share_remove(self->share, self->container));
	start_serving(self);
	EXPECT_EQ(OK, ask_old(self->old, CONTAINER, 0, &fd));
	EXPECT_TRUE(same_file(second->fd, fd));
	close(fd);
	stop_serving(self);
	/* One whose device is closed lives until it is shared no longer. */
	container_release(second);
	EXPECT_EQ(-EBUSY, vfioext_container_free(second));
	EXPECT_EQ(0, vfioext_share_remove(self->share, second));
}

TEST_F(share, dpdk_path)
{
	char path[108], small[10];

	EXPECT_EQ(0, vfioext_share_dpdk_path(NULL, path, sizeof(path)));
	if (!getuid())
		EXPECT_STREQ("/var/run/.rte_mp_socket", path);
	EXPECT_EQ(0, vfioext_share_dpdk_path("a", path, sizeof(path)));
	EXPECT_NE(NULL, strstr(path, "/.a_mp_socket"));
	EXPECT_EQ(-EINVAL, vfioext_share_dpdk_path("../a", path, sizeof(path)));
	EXPECT_EQ(-EINVAL, vfioext_share_dpdk_path("", path, sizeof(path)));
	EXPECT_EQ(-ENAMETOOLONG, vfioext_share_dpdk_path(NULL, small, sizeof(small)));
}

/* ---- Sockets and their places. ---- */

TEST_F(share, directory)
{
	struct vfioext_share_options options = { .path = self->path };
	char lock[80];
	int fd;

	ASSERT_EQ(0, chmod(self->directory, 0722));
	EXPECT_EQ(-EPERM, vfioext_share_new(self->ctx, &options, &self->share));
	ASSERT_EQ(0, chmod(self->directory, 0702));
	EXPECT_EQ(-EPERM, vfioext_share_new(self->ctx, &options, &self->share));
	ASSERT_EQ(0, chmod(self->directory, 0720));
	EXPECT_EQ(-EPERM, vfioext_share_new(self->ctx, &options, &self->share));
	ASSERT_EQ(0, chmod(self->directory, 01777));
	EXPECT_EQ(0, vfioext_share_new(self->ctx, &options, &self->share));
	vfioext_share_free(self->share);
	self->share = NULL;
	if (!getuid()) {
		/* In a sticky one a lock may be anybody's. */
		snprintf(lock, sizeof(lock), "%s.lock", self->path);
		fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		ASSERT_EQ(0, fchown(fd, 1234, 1234));
		EXPECT_NE(0, vfioext_share_new(self->ctx, &options, &self->share));
		close(fd);
		ASSERT_EQ(0, unlink(lock));
		ASSERT_EQ(0, chmod(self->directory, 0755));
		ASSERT_EQ(0, chown(self->directory, 1234, 1234));
		EXPECT_EQ(-EPERM, vfioext_share_new(self->ctx, &options, &self->share));
		ASSERT_EQ(0, chown(self->directory, 0, 0));
	}
	EXPECT_NE(0, access(self->path, F_OK));
}

TEST_F(share, not_stolen)
{
	struct vfioext_share_options options = { .dpdk_path = self->old };
	struct vfioext_share *other;
	int listener, fd, waiting[100], nr = 0;
	struct stat before, after;

	/* By the lock, though nobody answers. */
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	EXPECT_EQ(-EADDRINUSE, vfioext_share_new(self->ctx, &options, &other));
	start_serving(self);
	EXPECT_EQ(0, vfioext_share_get_container(self->old, LONG_MS, &fd));
	close(fd);
	stop_serving(self);
	/* Without its socket, too. */
	ASSERT_EQ(0, unlink(self->old));
	EXPECT_EQ(-EADDRINUSE, vfioext_share_new(self->ctx, &options, &other));
	vfioext_share_free(self->share);
	self->share = NULL;
	/* A primary of DPDK's: it listens, and locks nothing. */
	listener = raw_socket(self->old, true);
	ASSERT_EQ(0, lstat(self->old, &before));
	EXPECT_EQ(-EADDRINUSE, vfioext_share_new(self->ctx, &options, &other));
	EXPECT_EQ(0, lstat(self->old, &after));
	EXPECT_EQ(before.st_ino, after.st_ino);
	/* Its queue is full. */
	while (nr < 100 && (waiting[nr] = share_connect(self->old, 0)) >= 0)
		nr++;
	EXPECT_GT(100, nr);
	EXPECT_EQ(-EADDRINUSE, vfioext_share_new(self->ctx, &options, &other));
	while (nr)
		close(waiting[--nr]);
	close(listener);
	/* It is gone, and its socket is there. */
	ASSERT_EQ(0, vfioext_share_new(self->ctx, &options, &self->share));
	ASSERT_EQ(0, lstat(self->old, &after));
	EXPECT_NE(before.st_ino, after.st_ino);
	/* It comes back, and takes what it never asked for: that is left to it. */
	unlink(self->old);
	listener = raw_socket(self->old, true);
	vfioext_share_free(self->share);
	self->share = NULL;
	EXPECT_EQ(0, access(self->old, F_OK));
	close(listener);
	unlink(self->old);
	/* Something else is there. */
	ASSERT_EQ(0, mkdir(self->old, 0700));
	EXPECT_EQ(-EEXIST, vfioext_share_new(self->ctx, &options, &other));
	rmdir(self->old);
}

TEST_F(share, stale)
{
	struct vfioext_share_options options = { .path = self->path };
	struct vfioext_share *share;
	pid_t pid;

	/* One that was killed leaves socket and lock behind. */
	pid = fork();
	if (!pid) {
		if (!vfioext_share_new(self->ctx, &options, &share))
			_exit(0);
		_exit(1);
	}
	EXPECT_EQ(0, status_of(pid));
	EXPECT_EQ(0, access(self->path, F_OK));
	EXPECT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
}

/* ---- What runs out. ---- */

TEST_F(share, no_files)
{
	struct rlimit limit, before;
	int sockets[4], i, fd, copies[1024], nr = 0;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	for (i = 0; i < 4; i++)
		sockets[i] = raw_socket(self->old, false);
	limit = before;
	limit.rlim_cur = 100;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = dup(0)) >= 0)
		copies[nr++] = fd;
	/* They are told, and the next dispatch has nothing to do. */
	vfioext_share_dispatch(self->share);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(ERROR, receive_int(sockets[i], NULL));
		EXPECT_TRUE(hung_up(sockets[i]));
	}
	EXPECT_EQ(0, poll(&(struct pollfd){ vfioext_share_fd(self->share), POLLIN }, 1, 0));
	for (i = 0; i < 4; i++)
		close(sockets[i]);
	while (nr)
		close(copies[--nr]);
	start_serving(self);
	EXPECT_EQ(0, vfioext_share_get_container(self->old, LONG_MS, &fd));
	close(fd);
	stop_serving(self);
	/* Without the spare one they wait, and the listener is not asked all the time. */
	sockets[0] = raw_socket(self->old, false);
	close(self->share->spare);
	self->share->spare = -1;
	while ((fd = dup(0)) >= 0)
		copies[nr++] = fd;
	vfioext_share_dispatch(self->share);
	EXPECT_EQ(0, poll(&(struct pollfd){ vfioext_share_fd(self->share), POLLIN }, 1, 20));
	while (nr)
		close(copies[--nr]);
	start_serving(self);
	send_int(sockets[0], CONTAINER);
	EXPECT_EQ(OK, receive_int(sockets[0], &fd));
	close(fd);
	close(sockets[0]);
	EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
}

/* There is room for the client's socket, and not for what comes over it. */
TEST_F(share, no_files_client)
{
	static const struct answer ok = { 4, 1, { OK } };
	int listener = raw_socket(self->old, true), fd = -1, copies[1024], nr = 0;
	struct rlimit limit, before;
	pid_t pid = hostile(listener, &ok, 1, 0);

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	limit = before;
	limit.rlim_cur = 100;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while ((copies[nr] = dup(0)) >= 0)
		nr++;
	close(copies[--nr]);
	EXPECT_EQ(-EMFILE, vfioext_share_get_container(self->old, LONG_MS, &fd));
	EXPECT_EQ(-1, fd);
	while (nr)
		close(copies[--nr]);
	EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
	waitpid(pid, NULL, 0);
	close(listener);
	unlink(self->old);
}

/* Of the sanitizer, where it is; its header is not everywhere. */
size_t __sanitizer_get_current_allocated_bytes(void);

static size_t allocated_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __sanitizer_get_current_allocated_bytes();
#else
	return mallinfo2().uordblks;
#endif
}

/* Requests of every kind, each answered in this thread: no file and no byte is left over. */
TEST_F(share, nothing_leaks)
{
	struct vfioext_attachment *attachment;
	struct heard heard = { 0 };
	unsigned int i, files = 0;
	size_t bytes = 0, now;
	int socket, fd;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, true));
	for (i = 0; i < 100000; i++) {
		socket = raw_socket(self->old, false);
		send_int(socket, i % 3 == 2 ? CLEAR : i % 3 ? GROUP : CONTAINER);
		if (i % 3)
			send_int(socket, FIRST);
		if (i % 7 == 5)
			close(socket);
		vfioext_share_dispatch(self->share);
		if (i % 7 == 5)
			continue;
		EXPECT_EQ(OK, receive_int(socket, i % 3 ? NULL : &fd));
		if (i % 3 == 1)
			EXPECT_EQ(OK, receive_int(socket, &fd));
		if (i % 3 != 2)
			close(fd);
		close(socket);
		if (i % 1000 == 1) {
			ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &attachment));
			run(self->share, attachment, &heard);
			vfioext_detach(attachment);
			vfioext_share_dispatch(self->share);
		}
		now = allocated_bytes();
		if (i == 2001) {
			files = open_files();
			bytes = now;
		}
	}
	EXPECT_LT(80, heard.complete);
	EXPECT_EQ(files, open_files());
	EXPECT_EQ(bytes, now);
	EXPECT_EQ(0, vfioext_share_clients(self->share, NULL, 0));
}

TEST_HARNESS_MAIN
