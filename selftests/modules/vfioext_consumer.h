/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of /dev/vfioext_consumer. Each open file is a consumer of its own,
 * which holds at most one group.
 */
#ifndef VFIOEXT_CONSUMER_H
#define VFIOEXT_CONSUMER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define CONSUMER_MAPS_MAX 64
#define CONSUMER_MAP_PAGES_MAX 512

/* What the device may do. */
#define CONSUMER_MAP_READ 0x1
#define CONSUMER_MAP_WRITE 0x2

/**
 * struct consumer_map - memory of the caller in the group's IOMMU
 * @vaddr: where it begins; a multiple of the page size
 * @iova: where the device is to see it; a multiple of the page size
 * @size: its length in bytes; 1 to CONSUMER_MAP_PAGES_MAX pages
 * @flags: CONSUMER_MAP_READ, CONSUMER_MAP_WRITE, or both
 * @reserved: 0
 */
struct consumer_map {
	__u64 vaddr;
	__u64 iova;
	__u64 size;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct consumer_status - what the consumer was told and did
 * @attached: it holds a group
 * @maps: mappings in place
 * @told: how often it was told to let go
 * @let_go: how often it did
 * @called_off: how often it was told that the device stays, after that
 * @last_id: number of the removal it was told of last
 * @device: the device of that removal
 */
struct consumer_status {
	__u32 attached;
	__u32 maps;
	__u32 told;
	__u32 let_go;
	__u32 called_off;
	__u32 last_id;
	char device[64];
};

/**
 * struct consumer_bench - time of a pair of calls
 * @iterations: how often to call; 1 to 10 million
 * @external_user_ns: get and put of the group as external user, in all
 * @file_ns: fget and fput of the group's file, in all
 * @group_fd: the group
 */
struct consumer_bench {
	__u32 iterations;
	__s32 group_fd;
	__u64 external_user_ns;
	__u64 file_ns;
};

/**
 * struct consumer_bench_map - time of mapping in the kernel
 * @map: memory, which is pinned once, and an IOVA, where nothing is mapped
 * @iterations: how often to map and unmap it; 1 to 10 million
 * @reserved: 0
 * @ns: all of that
 */
struct consumer_bench_map {
	struct consumer_map map;
	__u32 iterations;
	__u32 reserved;
	__u64 ns;
};

/* Hold the group of a group file descriptor (the argument). Returns its IOMMU id. */
#define CONSUMER_ATTACH _IO('v', 0)
/* Hold the group of a PCI device by name. Returns its IOMMU id. */
#define CONSUMER_ATTACH_DEVICE _IOW('v', 1, char[64])
/* Unmap everything and let the group go; ENXIO if there is none. */
#define CONSUMER_DETACH _IO('v', 2)
/* Is the argument a file descriptor of the group held? Returns 1 or 0. */
#define CONSUMER_MATCH _IO('v', 3)
#define CONSUMER_MAP _IOW('v', 4, struct consumer_map)
/* Unmap what was mapped at iova; the other members are not looked at. */
#define CONSUMER_UNMAP _IOW('v', 5, struct consumer_map)
/* When told to let go: 0 do (as it begins), 1 refuse. */
#define CONSUMER_REFUSE _IO('v', 6)
#define CONSUMER_STATUS _IOR('v', 7, struct consumer_status)
#define CONSUMER_BENCH _IOWR('v', 8, struct consumer_bench)
#define CONSUMER_BENCH_MAP _IOWR('v', 9, struct consumer_bench_map)

#endif
