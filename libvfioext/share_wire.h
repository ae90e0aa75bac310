/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes over the sockets of a share, in the host's byte order. Both are of
 * SOCK_SEQPACKET: each record is a packet, and nothing is in two of them.
 *
 * The own protocol. The client sends one struct share_hello. The server answers with
 *
 *	CONTAINER	with the container's descriptor
 *	for each group, in ascending order:
 *		GROUP	with the group's descriptor
 *		DEVICES	of the group, none or more
 *	RANGES		none or more
 *	MAPS		none or more, in ascending order
 *	END
 *
 * and then with EVENT whenever there is one, for as long as both stay; or, instead of
 * any of these, with ERROR, and hangs up. No record but CONTAINER and GROUP has a
 * descriptor, and these have one. A client skips types that it does not know, and closes
 * what came with them.
 *
 * A record that is longer than its struct is that of a later version, and what follows
 * is skipped, but in those that end in an array.
 *
 * The old protocol, of DPDK 1.7 to 18.02, is one request a connection. Each record is
 * one int. The client sends
 *
 *	{DPDK_CONTAINER}	answer: {DPDK_OK} with the descriptor
 *	{DPDK_GROUP}, {number}	answer: {DPDK_OK}, and {DPDK_OK} with the descriptor
 *	{DPDK_CLEAR}, {number}	answer: {DPDK_OK}
 *
 * or the answer is one {DPDK_NO_FD} (the group exists, and is not the server's) or
 * {DPDK_ERROR}. The server then hangs up.
 */
#ifndef LIBVFIOEXT_SHARE_WIRE_H
#define LIBVFIOEXT_SHARE_WIRE_H

#include <stdint.h>
#include <vfioext/context.h>

#define SHARE_MAGIC 0x31534656u
#define SHARE_VERSION 1

/* In one record. */
#define SHARE_DEVICES_MAX 64
#define SHARE_RANGES_MAX 128
#define SHARE_MAPS_MAX 128
/* A client may take longer records for malformed. */
#define SHARE_RECORD_MAX 8192

enum share_type {
	SHARE_CONTAINER = 1,
	SHARE_GROUP,
	SHARE_DEVICES,
	SHARE_RANGES,
	SHARE_MAPS,
	SHARE_END,
	SHARE_EVENT,
	SHARE_ERROR,
};

/* @size: of this record; a later version may have more in it. */
struct share_hello {
	uint32_t magic;
	uint16_t version;
	uint16_t size;
};

/* What every record of the server begins with; @size is that of the whole. */
struct share_header {
	uint32_t type;
	uint32_t size;
};

/* @backend: enum vfioext_backend, a container's or one without an IOMMU */
struct share_container {
	struct share_header header;
	uint32_t magic;
	uint32_t version;
	uint32_t backend;
	uint32_t reserved;
};

struct share_group {
	struct share_header header;
	uint32_t group;
	uint32_t reserved;
};

struct share_devices {
	struct share_header header;
	uint32_t group;
	uint32_t nr;
	char names[SHARE_DEVICES_MAX][VFIOEXT_NAME_SIZE];
};

struct share_range {
	uint64_t start;
	uint64_t last;
};

struct share_ranges {
	struct share_header header;
	uint32_t nr;
	uint32_t reserved;
	struct share_range ranges[SHARE_RANGES_MAX];
};

/* @flags: VFIOEXT_DMA_READ, VFIOEXT_DMA_WRITE */
struct share_map {
	uint64_t iova;
	uint64_t size;
	uint64_t vaddr;
	uint32_t flags;
	uint32_t reserved;
};

struct share_maps {
	struct share_header header;
	uint32_t nr;
	uint32_t reserved;
	struct share_map maps[SHARE_MAPS_MAX];
};

struct share_end {
	struct share_header header;
};

/* As struct vfioext_event has them; @event is its type. */
struct share_event {
	struct share_header header;
	uint32_t event;
	uint32_t sequence;
	uint32_t lost;
	uint32_t id;
	uint32_t group;
	uint32_t origin;
	uint32_t state;
	uint32_t action;
	uint32_t remaining_ms;
	uint32_t elapsed_ms;
	uint32_t external_users;
	uint32_t handles;
	uint32_t extend_ms;
	uint32_t signaled;
	int32_t outcome;
	uint32_t reserved;
	char device[VFIOEXT_NAME_SIZE];
	char bus[16];
};

/* @error: negative errno */
struct share_error {
	struct share_header header;
	int32_t error;
	uint32_t reserved;
};

enum dpdk_request {
	DPDK_CONTAINER = 0x100,
	DPDK_GROUP = 0x200,
	DPDK_CLEAR = 0x300,
};

enum dpdk_answer {
	DPDK_OK = 0x0,
	DPDK_NO_FD = 0x1,
	DPDK_ERROR = 0xff,
};

#endif
