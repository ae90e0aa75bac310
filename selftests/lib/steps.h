/* SPDX-License-Identifier: GPL-2.0-only */
/* What is done with a device of any server, one after the other. */
#ifndef SELFTESTS_STEPS_H
#define SELFTESTS_STEPS_H

#include <stdbool.h>
#include <stdint.h>
#include <vfioext/vfioext.h>

enum step {
	OPEN,
	REGION,
	MAP_REGION,
	SPARSE_REGION,
	IRQ_INFO,
	IRQ_SET,
	READ,
	WRITE,
	DMA_MAP,
	DMA_UNMAP,
	RESET,
	DONE,
};

struct client {
	struct vfioext *ctx;
	struct vfioext_device *device;
	void *memory;
	uint64_t iova;
	int eventfd;
};

bool client_start(struct client *client);
void client_stop(struct client *client);

/* @path: of the server. Return: 0 or an error. */
int take_step(struct client *client, const char *path, enum step step);

#endif
