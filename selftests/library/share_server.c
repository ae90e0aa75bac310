// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server of both protocols: who is let in, how many, and for how long; where its
 * sockets are, and what it does when something runs out.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../libvfioext/share_message.h"

#include "../lib/share_fixture.h"

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

/* While memory is being mapped a container is in use, for long perhaps: nobody waits but for it. */
TEST_F(share, busy_container)
{
	struct vfioext_attachment *attachment;
	uint64_t begin = share_now_ms();
	struct pollfd fd = { .events = POLLIN };
	int group;

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, true));
	start_serving(self);
	pthread_mutex_lock(&self->container->lock);
	ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &attachment));
	usleep(50000);
	EXPECT_EQ(0, vfioext_share_get_group(self->old, SECOND, LONG_MS, &group));
	close(group);
	EXPECT_LE(0, vfioext_attachment_dispatch(attachment, NULL, NULL));
	EXPECT_EQ(NULL, vfioext_attachment_container(attachment));
	pthread_mutex_unlock(&self->container->lock);
	fd.fd = vfioext_attachment_fd(attachment);
	while (!vfioext_attachment_container(attachment) && ms_since(begin) < LONG_MS &&
	       poll(&fd, 1, LONG_MS) > 0)
		ASSERT_LE(0, vfioext_attachment_dispatch(attachment, NULL, NULL));
	EXPECT_NE(NULL, vfioext_attachment_container(attachment));
	vfioext_detach(attachment);
}

TEST_F(share, timeouts)
{
	struct vfioext_share_options options = { .timeout_ms = 1000 };
	int silent, half, mute, last;
	uint64_t begin;

	ASSERT_EQ(0, begin_share(self, options, true, true));
	start_serving(self);
	begin = share_now_ms();
	silent = raw_socket(self->old, false);
	half = raw_socket(self->old, false);
	send_int(half, GROUP);
	mute = raw_socket(self->path, false);
	usleep(700000);
	/* Its time begins later. */
	last = raw_socket(self->old, false);
	EXPECT_EQ(ERROR, receive_int(silent, NULL));
	EXPECT_TRUE(hung_up(silent));
	EXPECT_EQ(ERROR, receive_int(half, NULL));
	EXPECT_EQ(-ETIMEDOUT, receive_error(mute));
	EXPECT_LE(1000, ms_since(begin));
	EXPECT_GE(1690, ms_since(begin));
	EXPECT_EQ(ERROR, receive_int(last, NULL));
	EXPECT_LE(1700, ms_since(begin));
	close(silent);
	close(half);
	close(mute);
	close(last);
	stop_serving(self);
	EXPECT_EQ(0, vfioext_share_clients(self->share, NULL, 0));
}

/* One who says hello, and reads what it is offered, or not; another thread may serve. */
static void attach_raw(struct _test_data_share *self, int *socket, bool read)
{
	struct share_hello hello = { SHARE_MAGIC, SHARE_VERSION, sizeof(hello) };
	struct share_header header;
	uint8_t record[SHARE_RECORD_MAX];
	int fd;

	*socket = raw_socket(self->path, false);
	raw_send(*socket, &hello, sizeof(hello), NULL, 0);
	if (!self->serving)
		vfioext_share_dispatch(self->share);
	do {
		if (!read || raw_receive(*socket, record, sizeof(record), &fd) < 0)
			return;
		if (fd >= 0)
			close(fd);
		memcpy(&header, record, sizeof(header));
	} while (header.type != SHARE_END);
}

/* The places are taken by those who say nothing, or half of it, or do not read: others get one. */
TEST_F(share, who_takes_his_time_makes_room)
{
	struct vfioext_share_options options = { .timeout_ms = 60000 };
	struct vfioext_attachment *attachment;
	int sockets[60], i, fd;
	uint64_t begin = share_now_ms();

	ASSERT_EQ(0, begin_share(self, options, true, true));
	start_serving(self);
	for (i = 0; i < 60; i++) {
		if (i < 20)
			sockets[i] = raw_socket(i % 2 ? self->old : self->path, false);
		else if (i < 40)
			send_int(sockets[i] = raw_socket(self->old, false), GROUP);
		else
			attach_raw(self, &sockets[i], false);
		if (i % 20 != 19)
			continue;
		usleep(50000);
		EXPECT_EQ(16, vfioext_share_clients(self->share, NULL, 0));
		EXPECT_EQ(0, vfioext_share_get_group(self->old, FIRST, LONG_MS, &fd));
		close(fd);
		EXPECT_EQ(0, vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
		vfioext_detach(attachment);
	}
	EXPECT_GT(LONG_MS, ms_since(begin));
	for (i = 0; i < 60; i++)
		close(sockets[i]);
}

/* The offer fits into the socket, or does not; who has read it stays. */
TEST_F(share, offers_that_nobody_reads)
{
	struct vfioext_share_options options = { .timeout_ms = 50 };
	int sockets[3], more, large;

	for (large = 0; large < 2; large++) {
		if (large) {
			stop_serving(self);
			vfioext_share_free(self->share);
			free_container(self->container);
			self->container = make_container(self->ctx, 20000);
		}
		ASSERT_EQ(0, begin_share(self, options, true, false));
		start_serving(self);
		attach_raw(self, &sockets[0], true);
		attach_raw(self, &sockets[1], false);
		attach_raw(self, &sockets[2], true);
		usleep(200000);
		EXPECT_EQ(3, vfioext_share_clients(self->share, NULL, 0));
		usleep(700000);
		EXPECT_EQ(2, vfioext_share_clients(self->share, NULL, 0));
		for (more = 0; more < 3; more++)
			close(sockets[more]);
	}
}

/* Whatever a client does, it does not fill the log. */
static void count_line(const char *text, void *data)
{
	(void)text;
	++*(unsigned int *)data;
}

TEST_F(share, lines_of_a_loop)
{
	unsigned int lines = 0, i;
	struct vfioext_share_options options = { .log = count_line, .data = &lines };
	int fd;

	ASSERT_EQ(0, begin_share(self, options, false, true));
	start_serving(self);
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, vfioext_share_get_container(self->old, LONG_MS, &fd));
		close(fd);
	}
	stop_serving(self);
	EXPECT_LT(10, lines);
	EXPECT_GE(100, lines);
}

TEST_F(share, limits)
{
	struct vfioext_share_options options = { .clients_max = 5, .clients_per_user_max = 3 };
	struct vfioext_share_client clients[5];
	int sockets[6], i, fd;
	pid_t pid;

	if (getuid())
		SKIP(return, "other users can be had by root alone");
	options.mode = 0666;
	options.uids = (uid_t[]){ 1234 };
	options.nr_uids = 1;
	ASSERT_EQ(0, chmod(self->directory, 0755));
	ASSERT_EQ(0, begin_share(self, options, true, true));
	for (i = 0; i < 3; i++)
		attach_raw(self, &sockets[i], true);
	EXPECT_EQ(3, vfioext_share_clients(self->share, clients, 5));
	EXPECT_TRUE(clients[2].attached);
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
		for (i = 0; i < 2; i++)
			attach_raw(self, &sockets[i], true);
		sockets[2] = raw_socket(self->path, false);
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
	char path[300] = "/tmp/";

	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "";
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "/tmp/";
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	options.path = "/tmp/..";
	EXPECT_EQ(-EINVAL, vfioext_share_new(self->ctx, &options, &self->share));
	memset(path + 5, 'a', 251);
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
	size_t bytes = 0, now = 0;
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
			run_both(self->share, attachment, &heard);
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
