// SPDX-License-Identifier: LGPL-2.1-or-later
/* Device features, and the state of a device that moves to another host. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "server.h"

/* Which of get, set and probe; get and set exclude each other, but for a probe. */
static bool is_action(uint32_t flags)
{
	uint32_t both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	uint32_t known = VFIO_DEVICE_FEATURE_MASK | both | VFIO_DEVICE_FEATURE_PROBE;

	if (flags & ~known)
		return false;
	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return true;
	return flags & both && (flags & both) != both;
}

int command_feature(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	struct vfio_user_feature feature;
	size_t data, room;
	ssize_t size;
	uint8_t *body;

	if (message->size < sizeof(feature))
		return -EINVAL;
	memcpy(&feature, message->body, sizeof(feature));
	data = message->size - sizeof(feature);
	if (feature.argsz < sizeof(feature) || !is_action(feature.flags))
		return -EINVAL;
	if (!device->ops->feature)
		return -ENOTTY;
	if (data > CHANNEL_DATA_MAX)
		return -E2BIG;
	/* What was sent comes back, and there must be room for it. */
	room = feature.argsz - sizeof(feature);
	if (room < data)
		return -EINVAL;
	room = room < CHANNEL_DATA_MAX ? room : CHANNEL_DATA_MAX;
	body = session_reply(session, message, sizeof(feature) + room);
	if (!body)
		return -ENOMEM;
	memset(body, 0, sizeof(feature) + room);
	memcpy(body + sizeof(feature), message->body + sizeof(feature), data);
	size = device->ops->feature(device, feature.flags, body + sizeof(feature), data, room);
	if (size < 0)
		return (int)size;
	/* What is set or probed is answered as it was asked. */
	if (!(feature.flags & VFIO_DEVICE_FEATURE_GET) ||
	    feature.flags & VFIO_DEVICE_FEATURE_PROBE)
		size = (ssize_t)data;
	if ((size_t)size > room)
		return -EIO;
	feature.argsz = (uint32_t)(sizeof(feature) + (size_t)size);
	memcpy(body, &feature, sizeof(feature));
	channel_cut(&session->channel, room - (size_t)size);
	return 0;
}

int command_migration_read(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	struct vfio_user_migration_data head;
	uint32_t asked;
	ssize_t size;
	uint8_t *body;

	if (message->size < sizeof(head))
		return -EINVAL;
	memcpy(&head, message->body, sizeof(head));
	if (!device->ops->migration_read)
		return -ENOTSUP;
	if (head.size > CHANNEL_DATA_MAX)
		return -E2BIG;
	if (head.argsz < sizeof(head) || head.argsz - sizeof(head) < head.size)
		return -EINVAL;
	asked = head.size;
	body = session_reply(session, message, sizeof(head) + asked);
	if (!body)
		return -ENOMEM;
	size = asked ? device->ops->migration_read(device, body + sizeof(head), asked) : 0;
	if (size < 0)
		return (int)size;
	if ((size_t)size > asked)
		return -EIO;
	head.size = (uint32_t)size;
	head.argsz = (uint32_t)(sizeof(head) + (size_t)size);
	memcpy(body, &head, sizeof(head));
	channel_cut(&session->channel, asked - (size_t)size);
	return 0;
}

int command_migration_write(struct session *session, struct message *message)
{
	struct vfioext_user_device *device = session->device;
	struct vfio_user_migration_data head;
	int ret;

	if (message->size < sizeof(head))
		return -EINVAL;
	memcpy(&head, message->body, sizeof(head));
	if (!device->ops->migration_write)
		return -ENOTSUP;
	if (message->size - sizeof(head) != head.size)
		return -EINVAL;
	ret = head.size ? device->ops->migration_write(device, message->body + sizeof(head),
						       head.size) : 0;
	if (ret)
		return ret;
	return session_answer(session, message, NULL, 0);
}
