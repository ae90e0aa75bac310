// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer (selftests/fuzz/run): servers of vfio-user that tell anything. Each thing
 * that is sent is a byte of flags, two of length, and content. Mostly it answers what came
 * last, with the header put right: what is past that check is of interest.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/device.h>
#include <vfioext/dma.h>
#include <vfioext/interrupt.h>
#include <vfioext/region.h>
#include <vfioext/reset.h>
#include <vfioext/user_client.h>

#include "../../libvfioext/user/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Flags of what is sent. */
#define AS_IT_IS 0x1
#define WITH_FD 0x2
#define UNASKED 0x4
#define WITH_ERROR 0x8

#define MESSAGE_MAX 8192

static char directory[] = "/tmp/user_client_fuzzer.XXXXXX", path[64], name[80];
static const uint8_t *input;
static size_t input_size;
static int listener = -1, memory = -1;

static void send_bytes(int fd, const void *bytes, size_t size, bool with_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (with_fd) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), &memory, sizeof(memory));
	}
	sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Return: false if there is nothing more to be said. */
static bool send_next(int fd, const struct vfio_user_header *asked)
{
	uint8_t bytes[sizeof(*asked) + MESSAGE_MAX];
	struct vfio_user_header header = *asked;
	uint8_t flags;
	size_t size;

	if (input_size < 3)
		return false;
	flags = input[0];
	size = (input[1] | (size_t)input[2] << 8) % MESSAGE_MAX;
	input += 3;
	input_size -= 3;
	size = size < input_size ? size : input_size;
	if (flags & AS_IT_IS) {
		send_bytes(fd, input, size, flags & WITH_FD);
	} else {
		header.flags = flags & WITH_ERROR ? VFIO_USER_REPLY | VFIO_USER_ERROR : VFIO_USER_REPLY;
		if (flags & UNASKED) {
			header.flags = 0;
			header.command = flags >> 4;
		}
		header.size = (uint32_t)(sizeof(header) + size);
		memcpy(bytes, &header, sizeof(header));
		memcpy(bytes + sizeof(header), input, size);
		send_bytes(fd, bytes, header.size, flags & WITH_FD);
	}
	input += size;
	input_size -= size;
	return true;
}

/* All that is there of a client; its last header is of interest alone. */
static bool receive(int fd, struct vfio_user_header *header)
{
	static uint8_t bytes[1 << 16];
	ssize_t size = recv(fd, bytes, sizeof(bytes), 0);

	if (size >= (ssize_t)sizeof(*header))
		memcpy(header, bytes, sizeof(*header));
	return size > 0;
}

/* A client that still waits for something is told the next thing. */
static void *serve(void *data)
{
	struct vfio_user_header header = { 0 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct pollfd in = { .fd = fd, .events = POLLIN };

	(void)data;
	while (poll(&in, 1, 1) >= 0 && (!in.revents || receive(fd, &header)) &&
	       send_next(fd, &header))
		;
	close(fd);
	return NULL;
}

static void use(struct vfioext_device *device)
{
	struct vfioext_irq_info info;
	struct vfioext_region *region;
	int event = eventfd(0, EFD_CLOEXEC);
	uint64_t iova = 0x100000;
	void *address;
	uint8_t bytes[64];
	unsigned int i;

	for (i = 0; i < vfioext_device_nr_regions(device) && i < 9; i++) {
		if (vfioext_region_get(device, i, &region))
			continue;
		vfioext_region_map(region);
		vfioext_region_read(region, bytes, sizeof(bytes), 0);
		vfioext_write32(region, 4, 1);
		vfioext_read32(region, 4);
	}
	for (i = 0; i < vfioext_device_nr_irqs(device) && i < 5; i++) {
		vfioext_irq_get_info(device, i, &info);
		vfioext_irq_set(device, i, 0, &event, 1);
	}
	vfioext_config_capability(device, 5);
	vfioext_dma_alloc(vfioext_device_container(device), 4096, VFIOEXT_DMA_FIXED, &address, &iova);
	vfioext_device_reset(device);
	close(event);
}

static void begin(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (!mkdtemp(directory))
		abort();
	snprintf(path, sizeof(path), "%s/s", directory);
	snprintf(name, sizeof(name), "user:%s", path);
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memory = memfd_create("fuzzer", MFD_CLOEXEC);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8) ||
	    ftruncate(memory, 8192))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfioext_device *device;
	struct vfioext *ctx;
	pthread_t thread;

	if (listener < 0)
		begin();
	input = data;
	input_size = size;
	if (vfioext_new(&ctx, NULL) || pthread_create(&thread, NULL, serve, NULL))
		abort();
	if (!vfioext_device_open(ctx, name, NULL, &device)) {
		use(device);
		vfioext_device_close(device);
	}
	pthread_join(thread, NULL);
	vfioext_free(ctx);
	return 0;
}
