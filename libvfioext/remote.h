/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that another process serves. How they are spoken with is the business of
 * libvfioext-user, which makes itself known here; private to the two libraries.
 */
#ifndef LIBVFIOEXT_REMOTE_H
#define LIBVFIOEXT_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Changed with whatever follows: both libraries must be of the same version. */
#define REMOTE_VERSION 1

struct remote;
struct mapping;
struct vfioext;
struct vfioext_container;
struct vfioext_device;
struct vfioext_region;

/*
 * Memory that a device is to see.
 * @flags: VFIOEXT_DMA_READ, VFIOEXT_DMA_WRITE
 * @fd: the file that it is in, at @offset; -1 if there is none
 */
struct remote_memory {
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
	void *vaddr;
	int fd;
	uint64_t offset;
};

struct remote_limits {
	uint64_t page_sizes;
	uint64_t mappings;
};

/*
 * All may be called from several threads at once, but for @open, @shut and @close. They
 * return 0 or a negative errno, -ENODEV once the device is lost.
 * @open: @lost is called once, with @data, from any thread and with any lock held, when
 *	nothing more is to be had from the server; not after @shut. An error has its message.
 * @shut: be done with the server; others may be about to use it, and get -ENODEV
 * @close: free it
 * @command: an ioctl of a device, of linux/vfio.h
 * @read: any number of bytes of a region
 * @write: write them. If it is @posted, nobody hears of an error; what comes later on is
 *	done later.
 * @region_fd: the file that a region is in; -1 if it cannot be mapped. Stays its own.
 * @guard: a region was mapped there: to touch what its file does not have is no fault
 * @unguard: it will be unmapped, or something else takes its place
 * @poll_fd: has EPOLLRDHUP when it is lost
 * @is_lost: find out whether it is
 * @reason: why, in words
 */
struct remote_ops {
	unsigned int version;
	int (*open)(struct vfioext *ctx, const char *path, void (*lost)(void *data), void *data,
		    struct remote **remote);
	void (*shut)(struct remote *remote);
	void (*close)(struct remote *remote);
	int (*command)(struct remote *remote, unsigned long request, void *argument);
	int (*read)(struct remote *remote, unsigned int region, void *buffer, size_t size,
		    uint64_t offset);
	int (*write)(struct remote *remote, unsigned int region, const void *buffer, size_t size,
		     uint64_t offset, bool posted);
	int (*region_fd)(struct remote *remote, unsigned int region);
	int (*guard)(struct remote *remote, unsigned int region, void *start, size_t size);
	void (*unguard)(struct remote *remote, unsigned int region);
	int (*dma_map)(struct remote *remote, const struct remote_memory *memory);
	int (*dma_unmap)(struct remote *remote, uint64_t iova, uint64_t size);
	void (*limits)(struct remote *remote, struct remote_limits *limits);
	int (*poll_fd)(struct remote *remote);
	bool (*is_lost)(struct remote *remote);
	const char *(*reason)(struct remote *remote);
};

/* The first member of what a backend has. */
struct remote {
	const struct remote_ops *ops;
};

/* Exported, for libvfioext-user. Return: 0, or -EPROTONOSUPPORT. */
int vfioext_remote_register(const struct remote_ops *ops);

/* The rest is libvfioext's own. */

/* Is it a name of a remote device? Return: what its server is called, or NULL. */
const char *remote_path(const char *name);

/* Connect, and tell who it is; after opening, what it is. */
int remote_open(struct vfioext_device *device, const char *name);
void remote_identify(struct vfioext_device *device);
void remote_close(struct vfioext_device *device);

/* Leave the reason as the message if an error is that it is lost. Return: the error. */
int remote_explain(struct vfioext_device *device, int error);

/* As ioctl(). */
int remote_ioctl(const struct vfioext_device *device, unsigned long request, void *argument);

/* Parts of a region. Return: 0, or an error. */
int remote_read(const struct vfioext_region *region, uint64_t offset, void *buffer, size_t size);
int remote_write(const struct vfioext_region *region, uint64_t offset, const void *buffer,
		 size_t size, bool posted);

/* To another container. Return: 0, or an error, and the device is where it was, or lost. */
int remote_move(struct vfioext_device *device, struct vfioext_container *to);

/* Its container's lock is held in all of these. */
int remote_join(struct vfioext_container *container, struct vfioext_device *device);
void remote_leave(struct vfioext_device *device);
int remote_map(struct vfioext_container *container, const struct mapping *mapping);
int remote_unmap(struct vfioext_container *container, uint64_t iova, uint64_t size);
void remote_read_limits(struct vfioext_container *container);

/*
 * allocation.c: the file that memory is in, as which or as part of which it was allocated; it
 * stays as it is where there is none.
 */
void allocation_find_file(const struct vfioext_container *container,
			  struct remote_memory *memory);

#endif
