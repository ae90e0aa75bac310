// SPDX-License-Identifier: GPL-2.0-only
/*
 * For libFuzzer (selftests/fuzz/run): clients that send a share anything. The first byte
 * chooses the protocol and whether the client reads; then each record is a byte of length,
 * one of what comes with it, and its content.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../libvfioext/container.h"
#include "../../libvfioext/share.h"
#include "../../libvfioext/share_message.h"

#define GROUP 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/share_fuzzer.XXXXXX", paths[2][64];
static struct vfioext_container *container;
static struct vfioext_share *share;
static struct vfioext *ctx;
static int null;

static void end(void)
{
	vfioext_share_free(share);
	vfioext_container_free(container);
	vfioext_free(ctx);
	rmdir(directory);
}

static void begin(void)
{
	struct vfioext_share_options options = { .path = paths[0], .dpdk_path = paths[1] };

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!mkdtemp(directory) || vfioext_new(&ctx, "/nonexistent"))
		abort();
	snprintf(paths[0], sizeof(paths[0]), "%s/own", directory);
	snprintf(paths[1], sizeof(paths[1]), "%s/old", directory);
	container = container_alloc(ctx, VFIOEXT_BACKEND_CONTAINER);
	if (!container || !container_add_group(container, GROUP, dup(null)))
		abort();
	container->fd = dup(null);
	if (vfioext_share_new(ctx, &options, &share) || vfioext_share_add(share, container))
		abort();
	atexit(end);
}

/* Whatever comes back is taken and closed. */
static void drain(int socket)
{
	uint8_t record[SHARE_RECORD_MAX];
	ssize_t len;
	int fd;

	do {
		len = share_receive(socket, record, sizeof(record), &fd);
		if (fd >= 0)
			close(fd);
	} while (len > 0);
}

/* Which number a file would get tells whether one was left open. */
static int lowest_free(void)
{
	int fd = dup(null);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfioext_event event = { .removal.group = GROUP };
	size_t len;
	int socket, before;

	if (!share)
		begin();
	if (!size)
		return 0;
	before = lowest_free();
	socket = share_connect(paths[*data & 1], 0);
	if (socket < 0)
		abort();
	if (*data & 4)
		vfioext_share_dispatch(share);
	while (size > 3) {
		len = data[1] < size - 3 ? data[1] : size - 3;
		share_send(socket, data + 3, len, data[2] & 1 ? null : -1);
		if (data[2] & 2)
			vfioext_share_dispatch(share);
		if (data[2] & 4)
			share_relay(share, &event);
		if (data[2] & 8)
			drain(socket);
		data += len + 2;
		size -= len + 2;
	}
	vfioext_share_dispatch(share);
	drain(socket);
	close(socket);
	vfioext_share_dispatch(share);
	vfioext_share_dispatch(share);
	if (vfioext_share_clients(share, NULL, 0) || lowest_free() != before)
		abort();
	return 0;
}
