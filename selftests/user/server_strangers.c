// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client whose descriptors are files of a file system of its own, which answers what it takes to
 * open one, and then nothing: no thread of ours may ask it anything. Whatever comes of that, a
 * register can be read at another device.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/vfio.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../../libvfioext/user/peer_file.h"
#include "../lib/wire.h"

/* A test that waits for it has failed, and goes on then. */
#define PATIENCE_S 10

/*
 * @dev: whose other end the kernel is
 * @server: the process that answers
 * @asked: what was not answered
 */
struct fuse {
	int dev;
	pid_t server;
	char path[64];
	atomic_uint *asked;
};

static void answer(const struct fuse *fuse, const struct fuse_in_header *asked, int error,
		   const void *data, size_t size)
{
	struct fuse_out_header header = { (uint32_t)(sizeof(header) + size), error, asked->unique };
	struct iovec iov[2] = { { &header, sizeof(header) }, { (void *)(uintptr_t)data, size } };

	if (writev(fuse->dev, iov, size ? 2 : 1) < 0)
		perror("fuse");
}

static void answer_entry(const struct fuse *fuse, const struct fuse_in_header *asked)
{
	struct fuse_entry_out out = { .nodeid = 2, .entry_valid = 100 };

	/* How it is, is to be asked for each time. */
	out.attr.ino = 2;
	out.attr.mode = S_IFREG | 0666;
	out.attr.nlink = 1;
	out.attr.size = 1 << 20;
	answer(fuse, asked, 0, &out, sizeof(out));
}

static void handle(const struct fuse *fuse, const struct fuse_in_header *asked)
{
	struct fuse_init_out init = { .major = 7, .minor = 31, .max_write = 65536 };
	struct fuse_attr_out root = { .attr_valid = 100, .attr = { .ino = 1, .mode = S_IFDIR | 0755 } };
	struct fuse_open_out open = { 0 };

	if (asked->opcode == FUSE_INIT)
		answer(fuse, asked, 0, &init, sizeof(init));
	else if (asked->opcode == FUSE_LOOKUP)
		answer_entry(fuse, asked);
	else if (asked->opcode == FUSE_OPEN)
		answer(fuse, asked, 0, &open, sizeof(open));
	else if (asked->opcode == FUSE_GETATTR && asked->nodeid == 1)
		answer(fuse, asked, 0, &root, sizeof(root));
	else if (asked->opcode != FUSE_FORGET && asked->opcode != FUSE_RELEASE)
		(*fuse->asked)++;
}

static _Noreturn void serve(const struct fuse *fuse)
{
	static char buffer[1 << 18];

	alarm(PATIENCE_S);
	while (read(fuse->dev, buffer, sizeof(buffer)) > 0)
		handle(fuse, (const struct fuse_in_header *)buffer);
	_exit(0);
}

/* Return: a file of it; -1 if none can be had here. */
static int fuse_open(struct fuse *fuse)
{
	char options[64], path[80];
	int fd;

	fuse->asked = mmap(NULL, sizeof(*fuse->asked), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(fuse->path, sizeof(fuse->path), "/tmp/vfioext-fuse-%d", getpid());
	fuse->dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse->dev);
	if (fuse->dev < 0 || unshare(CLONE_NEWNS) || mkdir(fuse->path, 0700) ||
	    mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) ||
	    mount("test", fuse->path, "fuse", 0, options))
		return -1;
	fuse->server = fork();
	if (!fuse->server)
		serve(fuse);
	close(fuse->dev);
	snprintf(path, sizeof(path), "%s/file", fuse->path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fuse->server < 0 ? -1 : fd;
}

/* Whoever waits for it waits no longer. */
static void fuse_stop(struct fuse *fuse)
{
	kill(fuse->server, SIGKILL);
	waitpid(fuse->server, NULL, 0);
}

static void fuse_close(struct fuse *fuse)
{
	umount2(fuse->path, MNT_DETACH);
	rmdir(fuse->path);
}

FIXTURE(strangers) {
	struct wire_test test;
	struct wire *wire;
	struct wire other;
	struct probe *probe;
	struct fuse fuse;
	int file;
};

FIXTURE_SETUP(strangers)
{
	struct vfioext_user_device *other;

	self->file = fuse_open(&self->fuse);
	if (self->file < 0)
		SKIP(return, "no FUSE file system can be mounted here");
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->probe = self->test.probe;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	ASSERT_EQ(0, vfioext_user_device_new(self->test.server, &probe_ops, self->probe, &other));
	probe_setup(other);
	wire_test_attach(&self->test, other, &self->other);
	ASSERT_EQ(0, wire_negotiate(&self->other, NULL));
}

FIXTURE_TEARDOWN(strangers)
{
	EXPECT_EQ(0, wire_read(&self->other, PROBE_CALLED, 0, 4));
	/* It answers still, and so nobody has waited for it in vain. */
	EXPECT_EQ(0, waitpid(self->fuse.server, NULL, WNOHANG));
	fuse_stop(&self->fuse);
	wire_close(&self->other);
	EXPECT_TRUE(wire_test_end(&self->test));
	close(self->file);
	fuse_close(&self->fuse);
}

TEST_F(strangers, memory)
{
	struct vfioext_user_sg sg = { 0, 4 };
	char buffer[4];

	ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, MAPPED, self->file, 0));
	EXPECT_EQ(NULL, self->probe->map.vaddr);
	ASSERT_EQ(0, wire_map(self->wire, PAGE, PAGE, FILE_IO, self->file, 0));
	EXPECT_EQ(-EREMOTE, vfioext_user_dma_read(self->test.device, &sg, 1, buffer, NULL, NULL));
	sg.iova = PAGE;
	EXPECT_EQ(-EREMOTE, vfioext_user_dma_write(self->test.device, &sg, 1, buffer, NULL, NULL));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

TEST_F(strangers, interrupts)
{
	uint32_t flags[] = { VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK };
	unsigned int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EINVAL, wire_set_irqs(self->wire, VFIO_IRQ_SET_DATA_EVENTFD | flags[i],
						 PROBE_PIN, 0, 1, &self->file, 1));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
}

/* With what nobody has a use for, and more of them than are waited for. */
TEST_F(strangers, more_than_are_closed)
{
	struct vfio_user_region_access access = { 0, PROBE_CALLED, 4 };
	unsigned int before = count_files(), i;
	int good = make_file(PAGE);

	for (i = 0; i < 100; i++)
		wire_call_fds(self->wire, VFIO_USER_REGION_READ, &access, sizeof(access),
			      &self->file, 1);
	EXPECT_GE(before + 66, count_files());
	/* Of this device no descriptor is taken any longer, of the other one they are. */
	EXPECT_EQ(-EMFILE, wire_map(self->wire, 0, PAGE, MAPPED, good, 0));
	EXPECT_EQ(0, wire_read(self->wire, PROBE_CALLED, 0, 4));
	EXPECT_EQ(0, wire_map(&self->other, 0, PAGE, MAPPED, good, 0));
	EXPECT_NE(NULL, self->probe->map.vaddr);
	close(good);
}

/* The client's end. */
TEST_F(strangers, region)
{
	int eventfd = make_eventfd(), device = open("/dev/zero", O_RDWR | O_CLOEXEC);
	int memory = make_file(PAGE);

	EXPECT_FALSE(peer_file_is_region(self->file));
	EXPECT_TRUE(peer_file_is_region(device));
	EXPECT_TRUE(peer_file_is_region(memory));
	EXPECT_FALSE(peer_file_is_eventfd(self->file));
	EXPECT_FALSE(peer_file_is_eventfd(device));
	EXPECT_FALSE(peer_file_is_eventfd(memory));
	EXPECT_FALSE(peer_file_is_eventfd(vfioext_user_fd(self->test.server)));
	EXPECT_TRUE(peer_file_is_eventfd(eventfd));
	EXPECT_EQ(0, *self->fuse.asked);
	close(eventfd);
	close(device);
	close(memory);
}

TEST_HARNESS_MAIN
