/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_ATTACH_H
#define LIBVFIOEXT_ATTACH_H

#include <stdbool.h>
#include <sys/socket.h>
#include <vfioext/attach.h>
#include <vfioext/dma.h>

/* More than a host has; a primary that tells of more is none. */
#define ATTACH_GROUPS_MAX 4096
#define ATTACH_DEVICES_MAX 65536
#define ATTACH_RANGES_MAX 65536
#define ATTACH_MAPS_MAX 1048576

/* What grows as records come in: @nr of @room elements are in use. */
struct array {
	void *list;
	size_t nr;
	size_t room;
};

/*
 * @container: what came, from the first record on
 * @complete: all is there
 * @busy: what came is being told
 * @gone: the primary is not there any longer; or nothing more is taken from it
 * @ranges: of struct vfioext_iova_range, as told; ascending
 * @maps: of struct vfioext_shared_map; ascending
 */
struct vfioext_attachment {
	struct vfioext *ctx;
	int fd;
	struct ucred primary;
	struct vfioext_container *container;
	bool complete;
	bool busy;
	bool gone;
	size_t nr_groups;
	struct array devices;
	struct array ranges;
	struct array maps;
};

/*
 * attach_records.c: take a record and the descriptor that came with it, or -1, which is
 * its own from then on. Return: 0, 1 if it is an event, which goes to @event, or why it
 * cannot be.
 */
int attach_take(struct vfioext_attachment *attachment, const void *record, size_t size, int fd,
		struct vfioext_event *event);

/*
 * attach_container.c: all is there: addresses that the primary uses are none for this
 * process. Return: 0, or -ENOMEM.
 */
int attach_finish(struct vfioext_attachment *attachment);

#endif
