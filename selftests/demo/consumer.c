// SPDX-License-Identifier: GPL-2.0-only
/*
 * consumer DEVICE: hand the group of a device to the in-kernel consumer, close
 * everything, and leave the consumer alone with it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "vfioext_consumer.h"

int main(int argc, char **argv)
{
	struct vfioext_open by_group = { .backend = VFIOEXT_BACKEND_CONTAINER };
	struct vfioext_device *device;
	struct consumer_status status;
	struct vfioext *ctx;
	int consumer, group;

	if (argc != 2 || vfioext_new(&ctx, NULL))
		return 2;
	if (vfioext_device_open(ctx, argv[1], &by_group, &device)) {
		fprintf(stderr, "%s: %s\n", argv[1], vfioext_message(ctx));
		return 1;
	}
	consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	group = ioctl(consumer, CONSUMER_ATTACH, vfioext_device_group_fd(device));
	if (group < 0) {
		perror("the in-kernel consumer");
		return 1;
	}
	vfioext_device_close(device);
	printf("%s: the in-kernel consumer alone holds group %d\n", argv[1], group);
	fflush(stdout);
	do {
		usleep(10000);
		if (ioctl(consumer, CONSUMER_STATUS, &status))
			return 1;
	} while (status.attached);
	printf("%s: the in-kernel consumer was told of removal %u, and let go\n", status.device,
	       status.last_id);
	return 0;
}
