// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer (selftests/fuzz/run): clients that send a server of vfio-user anything. The
 * first byte says whether the client agrees on a version at once, and what with. Then each
 * record is a byte of how it is sent, one of what descriptors come with it, two of length,
 * and its content.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vfioext/user_pci.h>
#include <vfioext/vfioext.h>

#include "../../libvfioext/user/wire.h"

#define FILE_SIZE 0x10000

enum how {
	HOW_WITH_HEADER = 0x01,	/* its length goes into a header made for it */
	HOW_DISPATCH = 0x02,
	HOW_DRAIN = 0x04,
	HOW_DMA = 0x08,		/* the device moves data by itself */
	HOW_HOLD = 0x10,	/* or holds memory of the client, and lets go of it */
	HOW_TRIGGER = 0x20,
	HOW_SHRINK = 0x40,	/* the client makes its file shorter, or long again */
	HOW_DETACH = 0x80,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vfioext *ctx;
static struct vfioext_user *server;
static struct vfioext_user_device *device;
static int memory, event, pipe_end, null;
static uint8_t plain[4096], buffer[8192];
static unsigned int transfers;
static struct vfioext_user_use use;
static bool holds, shrunk;

static void transfer_done(struct vfioext_user_device *dev, int error, void *data)
{
	(void)dev;
	(void)error;
	(void)data;
	transfers--;
}

static void start_transfer(bool write)
{
	struct vfioext_user_sg list[] = { { 0, 64 }, { 0x1ff0, 0x20 }, { 0x5000, 8 } };
	int ret;

	if (transfers > 64)
		return;
	transfers++;
	ret = write ? vfioext_user_dma_write(device, list, 3, buffer, transfer_done, NULL) :
		      vfioext_user_dma_read(device, list, 3, buffer, transfer_done, NULL);
	if (ret != -EINPROGRESS)
		transfers--;
}

static int on_read(struct vfioext_user_device *dev, unsigned int region, void *to, size_t count,
		   uint64_t offset)
{
	(void)dev;
	(void)offset;
	memset(to, (int)region, count);
	return 0;
}

static int on_write(struct vfioext_user_device *dev, unsigned int region, const void *from,
		    size_t count, uint64_t offset)
{
	const uint8_t *bytes = from;
	size_t i;

	(void)dev;
	for (i = 0; i < count; i++)
		plain[(offset + i) % sizeof(plain)] ^= bytes[i];
	if (offset < 8)
		start_transfer(region & 1);
	return 0;
}

static int on_reset(struct vfioext_user_device *dev)
{
	(void)dev;
	return plain[0] & 1 ? -EBUSY : 0;
}

static ssize_t on_feature(struct vfioext_user_device *dev, uint32_t flags, void *data, size_t size,
			  size_t room)
{
	(void)dev;
	if (size > room)
		abort();
	memset(data, (int)flags, room);
	return (ssize_t)(room / 2);
}

static ssize_t on_state(struct vfioext_user_device *dev, void *to, size_t size)
{
	(void)dev;
	memset(to, 1, size);
	return (ssize_t)(size / 2);
}

static int on_new_state(struct vfioext_user_device *dev, const void *from, size_t size)
{
	return on_write(dev, 0, from, size, 4096);
}

static const struct vfioext_user_ops ops = {
	.read = on_read,
	.write = on_write,
	.reset = on_reset,
	.feature = on_feature,
	.migration_read = on_state,
	.migration_write = on_new_state,
};

static void end(void)
{
	vfioext_user_free(server);
	vfioext_free(ctx);
}

static int make_device(void)
{
	const struct vfioext_area areas[] = { { 0x1000, 0x1000 } };
	struct vfioext_user_pci pci = { .vendor = 0x1234, .interrupt_pin = 1, .express = true };
	struct vfioext_user_msix msix = { .vectors = 8 };
	struct vfioext_user_region bar = { .flags = 3, .size = 4096, .fd = -1 };
	struct vfioext_user_io_fd io = { .size = 4, .fd = event };

	if (vfioext_user_pci_init(device, &pci) || vfioext_user_pci_set_bar(device, 0, 0, &bar))
		return -1;
	bar.memory = plain;
	if (vfioext_user_pci_set_bar(device, 1, 0, &bar))
		return -1;
	bar = (struct vfioext_user_region){ .flags = 7, .size = 0x4000, .fd = memory,
					    .areas = areas, .nr_areas = 1 };
	if (vfioext_user_pci_set_bar(device, 2, VFIOEXT_USER_BAR_64, &bar) ||
	    vfioext_user_device_set_io_fds(device, 0, &io, 1))
		return -1;
	msix.pba_offset = 2048;
	return vfioext_user_pci_add_msi(device, 4) < 0 ||
	       vfioext_user_pci_add_msix(device, &msix) < 0 || vfioext_user_pci_add_pm(device) < 0;
}

static void begin(void)
{
	/* Few, so that they are met. */
	const struct vfioext_user_limits limits = {
		.max_maps = 6, .max_mappings = 2, .max_bytes = 3 * FILE_SIZE, .max_open = 1,
	};
	int pipes[2];

	memory = memfd_create("memory", MFD_CLOEXEC);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (memory < 0 || event < 0 || pipe2(pipes, O_CLOEXEC | O_NONBLOCK) ||
	    ftruncate(memory, FILE_SIZE))
		abort();
	pipe_end = pipes[1];
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (vfioext_new(&ctx, "/nonexistent") || vfioext_user_new(ctx, NULL, NULL, &server) ||
	    vfioext_user_device_new(server, &ops, NULL, &device) || make_device() ||
	    vfioext_user_device_set_limits(device, &limits))
		abort();
	atexit(end);
}

static void pump(void)
{
	struct pollfd pollfd = { .fd = vfioext_user_fd(server), .events = POLLIN };
	unsigned int nr = 0;

	while (poll(&pollfd, 1, 0) > 0)
		if (vfioext_user_dispatch(server) || ++nr > 100000)
			abort();
}

/* Whatever comes back is taken and closed. */
static void drain(int socket)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control;
	static uint8_t bytes[0x40000];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg;
	struct cmsghdr *cmsg;
	size_t i;

	do {
		msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1,
				       .msg_control = control.bytes,
				       .msg_controllen = sizeof(control.bytes) };
		if (recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg))
			for (i = 0; i < (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
				close(((int *)CMSG_DATA(cmsg))[i]);
	} while (true);
}

/* @which: two bits of what kind, and how many. */
static void send_bytes(int socket, const uint8_t *bytes, size_t size, uint8_t which)
{
	const int kinds[] = { memory, event, pipe_end, null };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(31 * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t nr = which >> 2 & 31, i;
	struct cmsghdr *cmsg;

	if (nr) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr * sizeof(int));
		for (i = 0; i < nr; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &kinds[which & 3], sizeof(int));
	}
	sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void let_go(void)
{
	if (holds)
		vfioext_user_sgl_put(device, &use, 1);
	holds = false;
}

static void hold(void)
{
	struct vfioext_user_sg sg = { 0x10, 16 };
	struct iovec iov;

	if (holds) {
		let_go();
		return;
	}
	holds = vfioext_user_sgl_get(device, &sg, 1, VFIOEXT_USER_WRITE, &iov, &use, 1) == 1;
	if (holds)
		memset(iov.iov_base, 1, iov.iov_len);
}

static void trigger_all(void)
{
	unsigned int irq, vector;

	for (irq = 0; irq < 5; irq++)
		for (vector = 0; vector < 4; vector++)
			vfioext_user_irq_trigger(device, irq, vector);
}

static void shrink(void)
{
	shrunk = !shrunk;
	if (ftruncate(memory, shrunk ? 4096 : FILE_SIZE))
		abort();
}

static void act(int socket, uint8_t how)
{
	if (how & HOW_SHRINK)
		shrink();
	if (how & HOW_DISPATCH)
		pump();
	if (how & HOW_DMA)
		start_transfer(how & HOW_DRAIN);
	if (how & HOW_HOLD)
		hold();
	if (how & HOW_TRIGGER)
		trigger_all();
	if (how & HOW_DRAIN)
		drain(socket);
	if (how & HOW_DETACH)
		vfioext_user_device_detach(device);
}

/* Return: how much of the input it was. */
static size_t send_record(int socket, const uint8_t *data, size_t size)
{
	struct vfio_user_header header = { .command = data[3], .flags = data[2] >> 4 << 4 };
	size_t length;
	uint8_t message[16 + 64];

	if (!(data[0] & HOW_WITH_HEADER)) {
		length = (size_t)data[2] | (size_t)data[3] << 8;
		length = length < size - 4 ? length : size - 4;
		send_bytes(socket, data + 4, length, data[1]);
		return 4 + length;
	}
	/* The sizes that commands have most. */
	length = (data[2] & 15) * 4;
	length = length < size - 4 ? length : size - 4;
	header.flags |= data[1] & 0x80 ? VFIO_USER_REPLY : VFIO_USER_COMMAND;
	header.size = (uint32_t)(sizeof(header) + length);
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), data + 4, length);
	send_bytes(socket, message, header.size, data[1] & 0x7f);
	return 4 + length;
}

static void agree(int socket, bool twin)
{
	struct vfio_user_version version = { 0, 0 };
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":16,"
				   "\"twin_socket\":{\"supported\":true}}}";
	size_t size = sizeof(version) + (twin ? sizeof(json) : 0);
	struct vfio_user_header header = { 1, VFIO_USER_VERSION, (uint32_t)(16 + size), 0, 0 };
	uint8_t message[16 + sizeof(version) + sizeof(json)];

	memcpy(message, &header, sizeof(header));
	memcpy(message + 16, &version, sizeof(version));
	memcpy(message + 16 + sizeof(version), json, sizeof(json));
	send_bytes(socket, message, header.size, 0);
	pump();
}

/* Which number a file would get tells whether one was left open. */
static int lowest_free(void)
{
	int fd = dup(event);

	close(fd);
	return fd;
}

/* What is not closed at once is a moment later. */
static bool is_closed(int before)
{
	int i;

	for (i = 0; i < 5000 && lowest_free() != before; i++)
		usleep(1000);
	return i < 5000;
}

/* Vectors keep the numbers of their files: each of them is used once before. */
static void use_vectors(void)
{
	uint8_t message[16 + 20];
	struct vfio_user_header header = { 1, VFIO_USER_DEVICE_SET_IRQS, sizeof(message), 0, 0 };
	struct vfio_irq_set set = { .argsz = 20, .count = 1, .flags = VFIO_IRQ_SET_DATA_EVENTFD |
				    VFIO_IRQ_SET_ACTION_TRIGGER };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
	    vfioext_user_device_attach(device, fds[0]))
		abort();
	agree(fds[1], false);
	for (set.index = 0; set.index < 5; set.index++)
		for (set.start = 0; set.start < 8; set.start++) {
			memcpy(message, &header, sizeof(header));
			memcpy(message + 16, &set, sizeof(set));
			send_bytes(fds[1], message, sizeof(message), 1 | 1 << 2);
			pump();
		}
	close(fds[1]);
	pump();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2], before;
	size_t used;
	uint8_t how;

	if (!server) {
		begin();
		use_vectors();
	}
	if (!size)
		return 0;
	before = lowest_free();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
	    vfioext_user_device_attach(device, fds[0]))
		abort();
	if (*data & 1)
		agree(fds[1], *data & 2);
	for (data++, size--; size >= 4; data += used, size -= used) {
		how = *data;
		used = send_record(fds[1], data, size);
		act(fds[1], how);
	}
	pump();
	let_go();
	pump();
	drain(fds[1]);
	close(fds[1]);
	pump();
	if (shrunk)
		shrink();
	if (vfioext_user_device_has_client(device) || transfers || !is_closed(before))
		abort();
	return 0;
}
