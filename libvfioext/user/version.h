/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What both sides agree on at first. */
#ifndef LIBVFIOEXT_USER_VERSION_H
#define LIBVFIOEXT_USER_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What we keep for a client at most, and in units of what. */
#define USER_MAPS_MAX 65535
#define USER_PAGE 4096

/* Of the JSON of a message, with its end. */
#define VERSION_JSON_MAX 4096

/*
 * What a side says of itself, or the other is taken to have said if it did not.
 * @twin_index: which of the descriptors is the second socket, -1 if none is named
 */
struct capabilities {
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
	bool twin_socket;
	int twin_index;
};

/* As the specification has it for a side that says nothing. */
void capabilities_init(struct capabilities *capabilities);

/*
 * Take what a message says, the bytes behind the version's numbers; none are fine. Return: 0, or
 * -EINVAL, also for what is longer than VERSION_JSON_MAX or has too many levels.
 */
int capabilities_parse(struct capabilities *capabilities, const void *json, size_t size);

/* Return: JSON, to be given to free(), or NULL without memory. */
char *capabilities_format(const struct capabilities *capabilities);

#endif
