/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfio-user: devices that are served over unix sockets, to QEMU's vfio-user-pci or any
 * other client. Link with -lvfioext-user. To open such a device see user_client.h.
 */
#ifndef VFIOEXT_USER_H
#define VFIOEXT_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <vfioext/context.h>
#include <vfioext/region.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfio_irq_set;

/**
 * struct vfioext_user - serves devices; opaque.
 *
 * One thread at a time uses it and its devices, but for the calls that say otherwise.
 * Threads that each have their own need nothing of each other.
 */
struct vfioext_user;

/** struct vfioext_user_device - a device that is served; opaque. */
struct vfioext_user_device;

/**
 * vfioext_user_log_fn - gets a line on what happened
 * @text: the line, without its end; good for the length of the call
 * @data: what was given with it
 *
 * It must not use the server, nor its devices.
 */
typedef void (*vfioext_user_log_fn)(const char *text, void *data);

/**
 * vfioext_user_new() - make a server without devices
 * @ctx: the context, which must outlive it
 * @log: gets a line for each client that comes, goes or breaks the protocol, or NULL; no more than
 *	100 for a device in a minute, and then one that tells how many were left out
 * @data: for @log
 * @server: where it goes
 *
 * The first one of a process installs a handler of SIGBUS: a client can make the file shorter
 * that its memory is in. Where the device touches what is gone, that and what is behind it
 * becomes zeros. A SIGBUS that is sent, or is not of the client's memory, is handled as if ours
 * were not there: by the handler installed before, by ending the process, or by ignoring it.
 *
 * vfioext_user_dma_read() and vfioext_user_dma_write() need no handler, and give -EFAULT. Nor
 * does memory whose file is sealed against it (F_SEAL_SHRINK, as QEMU's memory-backend-memfd).
 * For pointers into other memory of clients the handler is needed: a thread that uses them must
 * not block SIGBUS, and a handler that is installed later must call the one before it. Else the
 * client can end the process.
 *
 * Return: 0, -ENOMEM, or the error of a system call.
 */
int vfioext_user_new(struct vfioext *ctx, vfioext_user_log_fn log, void *data,
		     struct vfioext_user **server);

/**
 * vfioext_user_free() - free the server, and the devices that are left as
 *	vfioext_user_device_free(); not from a callback. NULL is fine.
 */
void vfioext_user_free(struct vfioext_user *server);

/** vfioext_user_fd() - what to poll for input; stays the server's own. */
int vfioext_user_fd(const struct vfioext_user *server);

/**
 * vfioext_user_dispatch() - do what clients ask for
 * @server: the server
 *
 * Does not wait for anybody. No client gets more than its turn: where there is more to do
 * the descriptor stays readable.
 *
 * Return: 0; -EDEADLK if it is called from a callback of the server or of one of its devices;
 * or the error of waiting for events.
 */
int vfioext_user_dispatch(struct vfioext_user *server);

/**
 * vfioext_user_wait() - wait, and do what clients ask for
 * @server: the server
 * @timeout_ms: how long to wait at most; negative: until something happened
 *
 * For a thread that does nothing else: it saves the poll() before vfioext_user_dispatch().
 *
 * Return: 0, also if nothing happened; -EDEADLK as vfioext_user_dispatch(); or the error of
 * waiting for events.
 */
int vfioext_user_wait(struct vfioext_user *server, int timeout_ms);

/** How memory for DMA can be reached; values are or-ed. See struct vfioext_user_memory. */
#define VFIOEXT_USER_READ 0x1u
#define VFIOEXT_USER_WRITE 0x2u

/**
 * struct vfioext_user_memory - memory that a client lets the device see
 * @iova: where the device sees it
 * @size: its bytes
 * @flags: VFIOEXT_USER_READ, VFIOEXT_USER_WRITE
 * @vaddr: where it is in this process, or NULL if the client gave no file, or one that
 *	is not mapped: see struct vfioext_user_limits. What is around it may be other parts of the same
 *	file, which are not for the device; so may be what is here when this memory has gone.
 */
struct vfioext_user_memory {
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
	void *vaddr;
};

/**
 * struct vfioext_user_ops - what a device does; each may be NULL
 * @attached: a client is there, and has agreed with us on a version
 * @detached: it has gone, and the device is to leave its memory alone: @dma_unmap comes
 *	for all of it. The state of the device stays.
 * @read: read @count bytes at @offset of a region. Return: 0, or an error, which the
 *	client gets.
 * @write: write them. Return: as @read. In the PCI configuration space vfioext_user_pci_*()
 *	set up, @read and @write are not called; see @config_written. Nor are they, or
 *	@migration_read and @migration_write, for no bytes at all: clients may ask for that.
 * @config_written: the client changed something there, which is in place already
 * @reset: as at power on. Return: 0, or an error. NULL: the device cannot be reset.
 * @dma_map: memory is there now. Return: 0, or an error, which the client gets, and the
 *	memory is not there.
 * @dma_unmap: memory goes, when the call returns, or later, when the last
 *	vfioext_user_sgl_put() of what is in it was called: the client is answered then.
 *	QEMU gives the device up if that takes 5 s. Return: 0, or an error, which the client
 *	gets, and the memory stays, unless the client has gone.
 * @set_irqs: called in the place of all that is done with interrupts here. @set is as
 *	the kernel has it, its data checked; but for VFIO_IRQ_SET_DATA_EVENTFD the eventfds
 *	are @fds, which belong to the caller. Return: 0, an error, or 1: it is to be done as
 *	if there were no @set_irqs.
 * @irq_masked: the client masked or unmasked a vector
 * @feature: VFIO_DEVICE_FEATURE of migration and of logs of DMA: @flags as the kernel's,
 *	@data holds @size bytes and has room for @room; the client gets what is then in it,
 *	in size the return value. Return: that, or an error; -ENOTTY: there is no such one.
 * @migration_read: get up to @size bytes of the state. Return: how many, or an error.
 * @migration_write: take @size bytes of the state. Return: 0, or an error.
 *
 * Called from vfioext_user_dispatch() alone, and @detached and @dma_unmap also from where
 * the client is dropped. None of them may free or stop the device, but drop its client by
 * vfioext_user_device_detach(); devices of which no callback is under way may be made,
 * stopped and freed. To dispatch is -EDEADLK. Buffers of bytes need not be aligned; @set is.
 */
struct vfioext_user_ops {
	void (*attached)(struct vfioext_user_device *device);
	void (*detached)(struct vfioext_user_device *device);
	int (*read)(struct vfioext_user_device *device, unsigned int region, void *buffer,
		    size_t count, uint64_t offset);
	int (*write)(struct vfioext_user_device *device, unsigned int region,
		     const void *buffer, size_t count, uint64_t offset);
	void (*config_written)(struct vfioext_user_device *device, unsigned int offset,
			       unsigned int size);
	int (*reset)(struct vfioext_user_device *device);
	int (*dma_map)(struct vfioext_user_device *device,
		       const struct vfioext_user_memory *memory);
	int (*dma_unmap)(struct vfioext_user_device *device,
			 const struct vfioext_user_memory *memory);
	int (*set_irqs)(struct vfioext_user_device *device, const struct vfio_irq_set *set,
			const int *fds, size_t nr_fds);
	void (*irq_masked)(struct vfioext_user_device *device, unsigned int irq,
			   unsigned int vector, bool masked);
	ssize_t (*feature)(struct vfioext_user_device *device, uint32_t flags, void *data,
			   size_t size, size_t room);
	ssize_t (*migration_read)(struct vfioext_user_device *device, void *buffer, size_t size);
	int (*migration_write)(struct vfioext_user_device *device, const void *buffer,
			       size_t size);
};

/**
 * vfioext_user_device_new() - add a device, which is served nowhere yet
 * @server: the server
 * @ops: what it does; must stay
 * @data: for vfioext_user_device_data()
 * @device: where it goes
 *
 * Return: 0, or -ENOMEM.
 */
int vfioext_user_device_new(struct vfioext_user *server, const struct vfioext_user_ops *ops,
			    void *data, struct vfioext_user_device **device);

/**
 * vfioext_user_device_free() - stop serving it, and free it
 * @device: the device, or NULL
 *
 * Its client is dropped as by vfioext_user_device_stop(). Memory that is in use of
 * vfioext_user_sgl_get() stays until it is put, which is all that is still to be called with
 * the device. No other thread may be in a call with it.
 */
void vfioext_user_device_free(struct vfioext_user_device *device);

/** vfioext_user_device_data() - what was given to vfioext_user_device_new(). Any thread. */
void *vfioext_user_device_data(const struct vfioext_user_device *device);

/**
 * struct vfioext_user_limits - what a client may cost; 0 stands for the default
 * @max_maps: pieces of memory at a time (65535, and no more). The client is told.
 * @max_mappings: entries of the process's address space for its files (1024), of which the
 *	kernel allows a process 65530 (vm.max_map_count)
 * @max_bytes: bytes of the address space for them (2 TiB)
 * @max_open: descriptors for those of its files that are read and written (64)
 * @any_file: map, read and write any file, as of DAX, a disk or a block device. Where clients
 *	can have a file system of their own (FUSE), they can stop the server's thread with it.
 *	Else only memfd, tmpfs and hugetlbfs are.
 *
 * Memory beyond @max_mappings, @max_bytes and @max_open, or of another file, is there as if it
 * had no file: it is read and written by messages. More than @max_maps are refused. The log
 * tells of each.
 */
struct vfioext_user_limits {
	unsigned int max_maps;
	unsigned int max_mappings;
	uint64_t max_bytes;
	unsigned int max_open;
	bool any_file;
};

/**
 * vfioext_user_device_set_limits() - limit what a client of the device may cost
 * @device: a device that no client is attached to
 * @limits: the limits
 *
 * Return: 0, or -EBUSY if a client is attached.
 */
int vfioext_user_device_set_limits(struct vfioext_user_device *device,
				   const struct vfioext_user_limits *limits);

/**
 * struct vfioext_user_region - a region
 * @flags: VFIOEXT_REGION_*; with VFIOEXT_REGION_MMAP the client may map it
 * @size: its bytes
 * @memory: where it is in this process, if reading and writing it is no more than that;
 *	else NULL, and the device's callbacks are called
 * @fd: the file that clients map, -1 for none. Stays the caller's, and open. Clients get it:
 *	see vfioext_user_region_alloc().
 * @offset: where the region begins in the file
 * @areas: parts that can be mapped, in ascending order, on pages' boundaries; NULL: all
 * @nr_areas: how many
 * @type: kind of a region behind the fixed ones (VFIO_REGION_TYPE_*), else 0
 * @subtype: its kind within @type
 */
struct vfioext_user_region {
	uint32_t flags;
	uint64_t size;
	void *memory;
	int fd;
	uint64_t offset;
	const struct vfioext_area *areas;
	size_t nr_areas;
	uint32_t type;
	uint32_t subtype;
};

/**
 * vfioext_user_region_alloc() - make memory for a region that clients may map
 * @region: its @flags and @size are set; @memory, @fd and @offset will be, and
 *	VFIOEXT_REGION_MMAP be added to @flags
 *
 * Clients cannot change the size of the file, nor write to it without VFIOEXT_REGION_WRITE in
 * @flags. A client that could make a file shorter would end the process when the device touches
 * what is gone. Of any other file vfioext_user_device_set_region() does what it can: it seals it
 * (F_SEAL_SHRINK), else access by messages gives -EFAULT then, and pointers to @memory are
 * guarded as vfioext_user_new() says; and it gives clients a descriptor for reading alone where
 * they may not write.
 *
 * Return: 0; -EINVAL if there can be no such region; -ENOMEM, -EMFILE, or another error of
 * making a file.
 */
int vfioext_user_region_alloc(struct vfioext_user_region *region);

/** vfioext_user_region_free() - free that memory, once no device has the region. */
void vfioext_user_region_free(struct vfioext_user_region *region);

/** How many regions and kinds of interrupts a device can have. */
#define VFIOEXT_USER_REGIONS_MAX 64
#define VFIOEXT_USER_IRQS_MAX 16

/**
 * vfioext_user_device_set_region() - give the device a region
 * @device: a device that no client is attached to
 * @index: its number, below VFIOEXT_USER_REGIONS_MAX
 * @region: what it is; size 0: there is none
 *
 * Return: 0; -EINVAL if there can be no such region: areas out of order or behind its
 * end, a file to be mapped without VFIOEXT_REGION_MMAP or the reverse; -EBUSY if a
 * client is attached; -ENOMEM; or the error of opening the file for reading alone.
 */
int vfioext_user_device_set_region(struct vfioext_user_device *device, unsigned int index,
				   const struct vfioext_user_region *region);

/** How a client gets to know of a write without a message; see the kernel's KVM_IOEVENTFD. */
struct vfioext_user_io_fd {
	uint64_t offset;
	uint64_t size;
	int fd;
	uint32_t type;
	uint32_t flags;
	uint64_t datamatch;
};

#define VFIOEXT_USER_IOEVENTFD 0u
#define VFIOEXT_USER_IOREGIONFD 1u

/**
 * vfioext_user_device_set_io_fds() - offer ioeventfds for parts of a region
 * @device: the device
 * @index: the region
 * @list: what is offered, each with its descriptor, which stays the caller's, and open until
 *	others are offered
 * @nr: how many, 16 at most
 *
 * A client may be attached. One that takes fewer descriptors than there are gets EMFILE.
 *
 * Return: 0, -EINVAL if there is no such region or a part is not in it, -ENOMEM.
 */
int vfioext_user_device_set_io_fds(struct vfioext_user_device *device, unsigned int index,
				   const struct vfioext_user_io_fd *list, size_t nr);

/**
 * vfioext_user_device_set_irq() - give the device a kind of interrupts
 * @device: a device that no client is attached to
 * @irq: number of the kind, below VFIOEXT_USER_IRQS_MAX
 * @count: how many vectors, 4096 at most
 * @flags: VFIO_IRQ_INFO_*
 *
 * Return: 0, -EINVAL, -EBUSY if a client is attached, -ENOMEM.
 */
int vfioext_user_device_set_irq(struct vfioext_user_device *device, unsigned int irq,
				unsigned int count, uint32_t flags);

/**
 * vfioext_user_device_set_pci() - say that it is a PCI device, or that it is none
 * @device: a device that no client is attached to
 * @pci: it has the regions and interrupts of a vfio-pci device
 */
void vfioext_user_device_set_pci(struct vfioext_user_device *device, bool pci);

/**
 * vfioext_user_device_start() - serve the device at a socket
 * @device: the device
 * @path: where the socket is to be; one that nobody listens on any longer is replaced
 * @mode: of the socket, 0 for 0600
 *
 * One client is served at a time, the first that says which version it speaks; others that do so
 * meanwhile get EBUSY. When it has gone the next one can come, and finds the device as it was
 * left. Who is connected and says nothing is dropped after 5 s, and keeps nobody away until then.
 *
 * Return: 0; -EALREADY if it is served; -EINVAL, -ENAMETOOLONG, -EADDRINUSE, -EEXIST,
 * -EPERM as vfioext_share_new(); or the error of the step that vfioext_message() names.
 */
int vfioext_user_device_start(struct vfioext_user_device *device, const char *path, mode_t mode);

/**
 * struct vfioext_user_socket - who may connect to a device's socket
 * @mode: of the socket, 0 for 0600
 * @has_group: it is to belong to @group, and not to the caller's
 * @group: the group; the caller must be a member of it, or root
 * @trust_directory: make it in a directory that others may write to as well, who could
 *	replace it with one of their own and serve the clients in our place
 * @uids: the only users, besides root and the caller's, who are served; NULL for all that
 *	the mode lets connect
 * @nr_uids: how many
 */
struct vfioext_user_socket {
	mode_t mode;
	bool has_group;
	gid_t group;
	bool trust_directory;
	const uid_t *uids;
	size_t nr_uids;
};

/**
 * vfioext_user_device_listen() - vfioext_user_device_start() for certain users
 * @device: the device
 * @path: where the socket is to be
 * @how: who may connect; nothing of it is needed after the call
 *
 * Return: as vfioext_user_device_start(), or -ENOMEM.
 */
int vfioext_user_device_listen(struct vfioext_user_device *device, const char *path,
			       const struct vfioext_user_socket *how);

/**
 * vfioext_user_device_attach() - serve the device to a client that is connected already
 * @device: the device
 * @fd: the connected socket, which is the device's from then on
 *
 * Return: 0; -EBUSY if a client is there, or the device is being freed; -EBADF or -ENOTSOCK if @fd is no socket,
 * -EPROTOTYPE if it is none of type SOCK_STREAM; -ENOMEM. On an error @fd is left open.
 */
int vfioext_user_device_attach(struct vfioext_user_device *device, int fd);

/** vfioext_user_device_detach() - drop the client; the next one can come. */
void vfioext_user_device_detach(struct vfioext_user_device *device);

/**
 * vfioext_user_device_stop() - drop the client, and remove the socket
 * @device: the device
 *
 * Before it returns, transfers by messages end with -ENOTCONN, and then @detached is called,
 * and @dma_unmap for all memory.
 */
void vfioext_user_device_stop(struct vfioext_user_device *device);

/**
 * vfioext_user_device_set_dma_timeout() - how long the client may take to answer
 * @device: the device
 * @ms: how long it may take with each message of vfioext_user_dma_read() and _write(), and how
 *	long one of them may wait for its turn; 0: for ever. 30000 unless it is set
 *
 * It is for what is asked for from then on. The buffer is the caller's again when @done was called
 * with -ETIMEDOUT; what the client answers later goes nowhere.
 */
void vfioext_user_device_set_dma_timeout(struct vfioext_user_device *device, unsigned int ms);

/** vfioext_user_device_has_client() - is one connected, even one that said nothing yet? */
bool vfioext_user_device_has_client(const struct vfioext_user_device *device);

/** vfioext_user_device_is_attached() - is there a client, which agreed on a version? */
bool vfioext_user_device_is_attached(const struct vfioext_user_device *device);

/** vfioext_user_device_path() - where it is served; NULL if nowhere, or at no path. */
const char *vfioext_user_device_path(const struct vfioext_user_device *device);

/**
 * vfioext_user_device_memory() - all memory that the client lets the device see
 * @device: the device
 * @list: where it goes, in ascending order of @iova; to be given to free()
 * @nr: how many
 *
 * Any thread. What is in it is good until dma_unmap() of it was called.
 *
 * Return: 0, or -ENOMEM.
 */
int vfioext_user_device_memory(struct vfioext_user_device *device,
			       struct vfioext_user_memory **list, size_t *nr);

/**
 * vfioext_user_irq_trigger() - signal a vector
 * @device: the device
 * @irq: number of the kind
 * @vector: the vector
 *
 * Any thread. One that the client masked is signaled when it is unmasked.
 *
 * Return: 0, -EINVAL if there is no such vector, -ENOENT if the client does not listen.
 */
int vfioext_user_irq_trigger(struct vfioext_user_device *device, unsigned int irq,
			     unsigned int vector);

/**
 * vfioext_user_irq_eventfd() - what a vector signals, for those who write to it themselves
 * @device: the device
 * @irq: number of the kind
 * @vector: the vector
 *
 * Any thread. Masks are none of its business. Once it was asked for, the number stays the same,
 * and the device's, until the device is freed: while the client does not listen, what is written
 * to it goes nowhere.
 *
 * Return: a file descriptor; -EINVAL if there is no such vector; -ENOENT if the client does not
 * listen to it, and never did since this was called first.
 */
int vfioext_user_irq_eventfd(struct vfioext_user_device *device, unsigned int irq,
			     unsigned int vector);

/**
 * struct vfioext_user_sg - a piece of the client's memory
 * @iova: where the device sees it
 * @size: its bytes
 */
struct vfioext_user_sg {
	uint64_t iova;
	uint64_t size;
};

/** struct vfioext_user_use - memory that is in use; opaque. */
struct vfioext_user_use {
	void *map;
};

/**
 * vfioext_user_sgl_get() - find memory of the client in this process
 * @device: the device
 * @list: which pieces
 * @nr_list: how many
 * @flags: VFIOEXT_USER_READ, VFIOEXT_USER_WRITE: what is to be done with it
 * @iov: where they are; what was mapped piece by piece comes in as many
 * @uses: for vfioext_user_sgl_put(), as many as @iov
 * @nr: for how many there is room
 *
 * Any thread. The memory is good until it is put, also if the client goes, or the device is
 * freed before. It may be of a file that the client
 * makes shorter: see vfioext_user_new().
 *
 * Return: how many there are in @iov; -ENOENT if not all of it is there; -EACCES if the
 * client does not allow that; -EREMOTE if it has to be asked for it by messages, or if its
 * file is not mapped: see vfioext_user_dma_read(); -ENOSPC if there are more.
 */
int vfioext_user_sgl_get(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
			 size_t nr_list, uint32_t flags, struct iovec *iov,
			 struct vfioext_user_use *uses, size_t nr);

/**
 * vfioext_user_sgl_put() - the memory is not used any longer
 * @device: the device
 * @uses: what vfioext_user_sgl_get() gave
 * @nr: what it returned
 *
 * Any thread. The device may have been freed, and its server as well.
 */
void vfioext_user_sgl_put(struct vfioext_user_device *device, struct vfioext_user_use *uses,
			  size_t nr);

/**
 * vfioext_user_dma_fn - what was asked for by messages has come to its end
 * @device: the device
 * @error: 0, or an error: -ENOTCONN if the client has gone, or the device is stopped or freed;
 *	-ETIMEDOUT if the client does not answer in time, see
 *	vfioext_user_device_set_dma_timeout(), or while it waits for memory to be unmapped
 * @data: what was given with it
 *
 * Called once, and by the rules of the callbacks of struct vfioext_user_ops.
 */
typedef void (*vfioext_user_dma_fn)(struct vfioext_user_device *device, int error, void *data);

/**
 * vfioext_user_dma_read() - read the client's memory
 * @device: the device
 * @list: which pieces
 * @nr: how many, at least 1
 * @buffer: where their bytes go, one piece after the other; must stay until @done
 * @done: called from vfioext_user_dispatch() if it takes messages; NULL: then it is
 *	not done
 * @data: for @done
 *
 * If @done is NULL any thread may call it, else the server's own alone.
 *
 * Return: 0 if it is done, and @done will not be called; -EINPROGRESS if it will; -ENOENT
 * if not all of it is there; -EACCES; -EREMOTE without @done; -EFAULT if the file behind it
 * has become too short; -ENOTCONN; -ENOMEM.
 */
int vfioext_user_dma_read(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
			  size_t nr, void *buffer, vfioext_user_dma_fn done, void *data);

/** vfioext_user_dma_write() - write it; @buffer must stay as it is until @done. */
int vfioext_user_dma_write(struct vfioext_user_device *device, const struct vfioext_user_sg *list,
			   size_t nr, const void *buffer, vfioext_user_dma_fn done, void *data);

#ifdef __cplusplus
}
#endif

#endif
