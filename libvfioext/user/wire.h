/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes over the socket, as docs/interop/vfio-user.rst of QEMU has it. All in the
 * byte order of the host; nothing of it need be aligned where it is received.
 */
#ifndef LIBVFIOEXT_USER_WIRE_H
#define LIBVFIOEXT_USER_WIRE_H

#include <stdint.h>

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
};

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 0

#define VFIO_USER_TYPE 0xfu
#define VFIO_USER_COMMAND 0x0u
#define VFIO_USER_REPLY 0x1u
#define VFIO_USER_NO_REPLY 0x10u
#define VFIO_USER_ERROR 0x20u

struct vfio_user_header {
	uint16_t id;
	uint16_t command;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
};

#define VFIO_USER_DMA_FLAG_READ 0x1u
#define VFIO_USER_DMA_FLAG_WRITE 0x2u
#define VFIO_USER_DMA_FLAG_MMAP 0x4u
#define VFIO_USER_DMA_FLAG_FILE_IO 0x8u

struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

#define VFIO_USER_UNMAP_FLAG_DIRTY 0x1u
#define VFIO_USER_UNMAP_FLAG_ALL 0x2u

struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
};

/* vfio_device_info, vfio_irq_info as they were at first. */
struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

struct vfio_user_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

struct vfio_user_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

struct vfio_user_sub_region {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	uint64_t datamatch;
};

struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

struct vfio_user_write {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[8];
};

struct vfio_user_dma_access {
	uint64_t address;
	uint64_t count;
};

struct vfio_user_feature {
	uint32_t argsz;
	uint32_t flags;
};

struct vfio_user_migration_data {
	uint32_t argsz;
	uint32_t size;
};

#endif
