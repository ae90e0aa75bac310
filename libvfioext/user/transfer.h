/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that the client is asked for by messages. */
#ifndef LIBVFIOEXT_USER_TRANSFER_H
#define LIBVFIOEXT_USER_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/user.h>

/* Return: -EINPROGRESS, or an error, and then @done is not called. */
int transfer_start(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
		   size_t nr, uint8_t *buffer, bool write, vfioext_user_dma_fn done, void *data);

/* dma.c: without messages. Return: 0, -EREMOTE if it needs some, an error. */
int dma_access(struct vfioext_user_device *device, const struct vfioext_user_sg *list, size_t nr,
	       uint8_t *buffer, bool write);

#endif
