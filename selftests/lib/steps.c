// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfioext/user_client.h>

#include "steps.h"
#include "wire.h"

static int map_region(struct client *client, unsigned int index)
{
	struct vfioext_region *region;
	size_t i;
	int ret;

	ret = vfioext_region_get(client->device, index, &region);
	if (!ret)
		ret = vfioext_region_map(region);
	/* All that is mapped can be touched, be it there or not. */
	for (i = 0; !ret && i < region->nr_areas; i++)
		vfioext_read32(region, region->areas[i].offset + region->areas[i].size - 4);
	return ret;
}

static int access_region(struct client *client, bool write)
{
	struct vfioext_region *region;
	uint8_t bytes[256] = { 0 };
	int ret;

	ret = vfioext_region_get(client->device, 0, &region);
	if (ret)
		return ret;
	if (write)
		return vfioext_region_write(region, bytes, sizeof(bytes), 0x100);
	ret = vfioext_region_read(region, bytes, sizeof(bytes), 0x100);
	return ret || (bytes[0] == 0x5a && bytes[255] == 0x5a) ? ret : -EILSEQ;
}

int take_step(struct client *client, const char *path, enum step step)
{
	struct vfioext_region *region;
	struct vfioext_irq_info info;
	char name[80];

	switch (step) {
	case OPEN:
		snprintf(name, sizeof(name), "user:%s", path);
		return vfioext_device_open(client->ctx, name, NULL, &client->device);
	case REGION:
		return vfioext_region_get(client->device, 0, &region);
	case MAP_REGION:
		return map_region(client, 1);
	case SPARSE_REGION:
		return map_region(client, 2);
	case IRQ_INFO:
		return vfioext_irq_get_info(client->device, 1, &info);
	case IRQ_SET:
		return vfioext_irq_set(client->device, 1, 0, &client->eventfd, 1);
	case READ:
	case WRITE:
		return access_region(client, step == WRITE);
	case DMA_MAP:
		return vfioext_dma_map(vfioext_device_container(client->device), client->memory, PAGE,
				       0, &client->iova);
	case DMA_UNMAP:
		return vfioext_dma_unmap(vfioext_device_container(client->device), client->iova,
					 PAGE);
	case RESET:
		return vfioext_device_reset(client->device);
	default:
		return 0;
	}
}

bool client_start(struct client *client)
{
	memset(client, 0, sizeof(*client));
	client->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	client->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return !vfioext_new(&client->ctx, NULL);
}

void client_stop(struct client *client)
{
	vfioext_device_close(client->device);
	vfioext_free(client->ctx);
	close(client->eventfd);
	munmap(client->memory, PAGE);
}
