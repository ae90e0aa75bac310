// SPDX-License-Identifier: GPL-2.0-only
/*
 * DPDK's protocol, record by record, with sockets of the test's own: our server, our
 * client, and peers of theirs that break the rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../libvfioext/share_message.h"

#include "../lib/share_fixture.h"

/* A client that is slow to say what it wants. */
static unsigned int send_delay_us;

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (send_delay_us)
		usleep(send_delay_us);
	return syscall(SYS_sendmsg, fd, message, flags);
}

/* ---- Our server. ---- */

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

/* The groups of devices that are named, each once, in a container that devices open in. */
TEST_F(share, old_attach)
{
	static const char *const names[] = { "0000:03:00.0", "0000:03:00.1", "0000:0b:00.0" };
	static const char *const other[] = { "0000:03:00.0", "0000:14:00.0" };
	static const char *const missing[] = { "0000:77:00.0" };
	struct vfioext_attachment *attachment;
	struct vfioext_container *container;
	unsigned int files;
	pid_t pid;

	EXPECT_EQ(-ENOENT, vfioext_attach_dpdk(self->ctx, self->old, names, 3, LONG_MS, &attachment));
	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, false, true));
	start_serving(self);
	files = open_files();
	EXPECT_EQ(-EINVAL, vfioext_attach_dpdk(self->ctx, self->old, names, 0, LONG_MS, &attachment));
	EXPECT_EQ(-ENODEV, vfioext_attach_dpdk(self->ctx, self->old, other, 2, LONG_MS, &attachment));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "has not opened it"));
	EXPECT_EQ(-ENODEV, vfioext_attach_dpdk(self->ctx, self->old, missing, 1, LONG_MS, &attachment));
	EXPECT_TRUE(files_become(files));
	ASSERT_EQ(0, vfioext_attach_dpdk(self->ctx, self->old, names, 3, LONG_MS, &attachment));
	container = vfioext_attachment_container(attachment);
	ASSERT_NE(NULL, container);
	EXPECT_TRUE(same_file(self->container->fd, container->fd));
	EXPECT_TRUE(files_become(files + 3));
	ASSERT_NE(NULL, container_find_group(container, FIRST));
	EXPECT_TRUE(same_file(container_find_group(self->container, FIRST)->fd,
			      container_find_group(container, FIRST)->fd));
	EXPECT_NE(NULL, container_find_group(container, SECOND));
	EXPECT_EQ(-1, vfioext_attachment_fd(attachment));
	vfioext_attachment_primary(attachment, &pid, NULL);
	EXPECT_EQ(-1, pid);
	EXPECT_EQ(-ENOTCONN, vfioext_attachment_dispatch(attachment, NULL, NULL));
	EXPECT_EQ(0, vfioext_detach(attachment));
	EXPECT_TRUE(files_become(files));
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

TEST_HARNESS_MAIN
