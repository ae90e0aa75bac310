// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The devices of the kernel that this process has open, whatever the context. What the kernel
 * counts by process or by group, as a group's one opening and the groups of a hot reset, is found here.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "container.h"
#include "device.h"
#include "opened.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vfioext_device *first;

void opened_add(struct vfioext_device *device)
{
	pthread_mutex_lock(&lock);
	device->next_opened = first;
	first = device;
	pthread_mutex_unlock(&lock);
}

void opened_remove(struct vfioext_device *device)
{
	struct vfioext_device **at = &first;

	pthread_mutex_lock(&lock);
	while (*at && *at != device)
		at = &(*at)->next_opened;
	if (*at)
		*at = device->next_opened;
	pthread_mutex_unlock(&lock);
}

static bool is_beside(const struct vfioext_device *other, const struct vfioext_device *device)
{
	return other->ctx == device->ctx && other->info.group == device->info.group;
}

struct vfioext_device *opened_beside(const struct vfioext_device *device)
{
	struct vfioext_device *other, *found = NULL;

	pthread_mutex_lock(&lock);
	for (other = device->info.group < 0 ? NULL : first; other; other = other->next_opened) {
		if (!is_beside(other, device))
			continue;
		found = other;
		if (strcmp(other->info.name, device->info.name))
			continue;
		found = NULL;
		break;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

unsigned int opened_count(const struct vfioext_device *device)
{
	const struct vfioext_device *other;
	unsigned int nr = 0;

	pthread_mutex_lock(&lock);
	for (other = first; other; other = other->next_opened)
		nr += is_beside(other, device);
	pthread_mutex_unlock(&lock);
	return nr;
}

int opened_group_file(int group)
{
	const struct vfioext_device *device;
	int fd = -1;

	pthread_mutex_lock(&lock);
	for (device = first; device && fd < 0; device = device->next_opened)
		if (device->group && device->group->id == group)
			fd = fcntl(device->group->fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&lock);
	return fd;
}
