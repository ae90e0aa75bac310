// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our own protocol: what comes to one who attaches, and what he can do with it; events
 * that are passed on; and peers that break the rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../libvfioext/share_message.h"

#include "../lib/share_fixture.h"

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
	ASSERT_EQ(0, run_both(self->share, attachment, &heard));
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
	struct vfioext_iova_range ranges[5];
	struct vfioext_container *got;
	uint64_t iova, fixed = 0x12000;
	unsigned int i;
	void *memory = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_EQ(0, begin_share(self, (struct vfioext_share_options){ 0 }, true, false));
	start_serving(self);
	ASSERT_EQ(0, vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
	got = vfioext_attachment_container(attachment);
	ASSERT_EQ(5, vfioext_dma_get_ranges(got, ranges, 5));
	EXPECT_EQ(0, ranges[0].start);
	EXPECT_EQ(0xffff, ranges[0].last);
	EXPECT_EQ(0x11000, ranges[1].start);
	EXPECT_EQ(0x11fff, ranges[1].last);
	EXPECT_EQ(0x15000, ranges[3].start);
	EXPECT_EQ(0xfedfffff, ranges[3].last);
	EXPECT_EQ(0xfef00000, ranges[4].start);
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
	container_adopt_device(got, device);
	device->fd = memfd_create("device", MFD_CLOEXEC);
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
	/* Until it is closed. */
	EXPECT_EQ(-EBUSY, vfioext_detach(attachment));
	container_unhold(got);
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
	run_both(self->share, attachment, &heard);
	share_relay(self->share, an_event(FIRST, 1));
	share_relay(self->share, an_event(OTHER, 2));
	share_relay(self->share, an_event(SECOND, 3));
	run_both(self->share, attachment, &heard);
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
	run_both(self->share, attachment, &heard);
	EXPECT_EQ(VFIOEXT_EVENT_LOST, heard.last.type);
	EXPECT_EQ(3, heard.last.lost);
	EXPECT_EQ(0, vfioext_share_remove(self->share, self->container));
	EXPECT_EQ(-ENOTCONN, run_both(self->share, attachment, &heard));
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
	run_both(self->share, reads, &heard);
	run_both(self->share, late, &other);
	/* What waits is had later, in order, and the queue goes round. */
	for (round = 0; round < 4; round++) {
		for (i = 1; i <= 400; i++) {
			share_relay(self->share, an_event(FIRST, 400 * round + i));
			run_both(self->share, reads, &heard);
		}
		EXPECT_EQ(2, vfioext_share_clients(self->share, NULL, 0));
		EXPECT_EQ(400 * round + 400, heard.events);
		for (i = 0; i < 20; i++) {
			run_both(self->share, late, &other);
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
		run_both(self->share, reads, &heard);
	}
	EXPECT_GT(10000, i);
	EXPECT_LT(SHARE_QUEUE_MAX, i);
	EXPECT_EQ(files - 1, open_files());
	EXPECT_EQ(1000 + i - 1, heard.last.sequence);
	vfioext_detach(reads);
	vfioext_detach(stalls);
}

static struct share_hello hello = { SHARE_MAGIC, SHARE_VERSION, sizeof(hello) };

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

static void send_records(int socket, const struct told *told)
{
	_Alignas(8) uint8_t record[9000];
	struct share_header header;
	int fds[] = { 0, 0 };
	size_t n;

	for (n = 0; n < told->nr; n++) {
		header.type = told->records[n].type;
		header.size = (uint32_t)told->records[n].size;
		memset(record, 0, sizeof(record));
		memcpy(record + sizeof(header), told->records[n].values, 16);
		memcpy(record, &header, sizeof(header));
		raw_send(socket, record, header.size, fds, told->records[n].nr_fds);
	}
}

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
	int listener = raw_socket(self->path, true), socket, ret;
	struct vfioext_attachment *attachment;
	unsigned int i, files = open_files();

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ASSERT_EQ(0, vfioext_attach_start(self->ctx, self->path, &attachment));
		socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		send_records(socket, &cases[i]);
		ret = vfioext_attachment_dispatch(attachment, NULL, NULL);
		EXPECT_EQ(cases[i].ret, ret) TH_LOG("case %u", i);
		EXPECT_EQ(0, vfioext_detach(attachment));
		close(socket);
		EXPECT_EQ(files, open_files()) TH_LOG("case %u", i);
	}
	close(listener);
	unlink(self->path);
}

/*
 * As for a primary that goes on and on: there is always something to read. And as for one
 * that is faster than we: so long it takes until we look.
 */
static bool always_ready;
static unsigned int late_by_us;

int poll(struct pollfd *fds, nfds_t nr, int timeout_ms)
{
	struct timespec time = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

	usleep(late_by_us);
	return always_ready ? 1 : ppoll(fds, nr, timeout_ms < 0 ? NULL : &time, NULL);
}

TEST_F(share, endless_primary)
{
	int listener = raw_socket(self->path, true);
	struct vfioext_attachment *attachment;
	uint64_t begin = share_now_ms();

	always_ready = true;
	EXPECT_EQ(-ETIMEDOUT, vfioext_attach(self->ctx, self->path, 200, &attachment));
	EXPECT_GT(LONG_MS, ms_since(begin));
	always_ready = false;
	close(listener);
	unlink(self->path);
}

/* An event that is there already when all else has come is for the caller. */
TEST_F(share, event_behind_the_offer)
{
	static const struct told told = {
		0, 3, { A_CONTAINER, THE_END,
			{ SHARE_EVENT, { 2 }, sizeof(struct share_event), 0 } },
	};
	int listener = raw_socket(self->path, true);
	struct vfioext_attachment *attachment;
	pid_t primary = fork();

	if (!primary) {
		send_records(accept4(listener, NULL, NULL, SOCK_CLOEXEC), &told);
		pause();
	}
	late_by_us = 200000;
	ASSERT_EQ(0, vfioext_attach(self->ctx, self->path, LONG_MS, &attachment));
	late_by_us = 0;
	EXPECT_EQ(1, vfioext_attachment_dispatch(attachment, NULL, NULL));
	kill(primary, SIGKILL);
	waitpid(primary, NULL, 0);
	EXPECT_EQ(1, vfioext_attachment_dispatch(attachment, NULL, NULL));
	EXPECT_EQ(-ENOTCONN, vfioext_attachment_dispatch(attachment, NULL, NULL));
	EXPECT_EQ(0, vfioext_detach(attachment));
	close(listener);
	unlink(self->path);
}

TEST_HARNESS_MAIN
