/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_ATTACH_H
#define VFIOEXT_ATTACH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <vfioext/container.h>
#include <vfioext/context.h>
#include <vfioext/events.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_attachment - a connection to a process that shares; opaque.
 *
 * It is used by one thread at a time, as its context is.
 */
struct vfioext_attachment;

/**
 * enum vfioext_attach_what - what happened to an attachment
 * @VFIOEXT_ATTACH_COMPLETE: all is there: container, devices and maps
 * @VFIOEXT_ATTACH_EVENT: the primary passed an event on, of a removal of a shared device
 * @VFIOEXT_ATTACH_GONE: the primary has ended, or shares no longer. What was got stays
 *	good; the descriptor need not be polled any longer.
 */
enum vfioext_attach_what {
	VFIOEXT_ATTACH_COMPLETE,
	VFIOEXT_ATTACH_EVENT,
	VFIOEXT_ATTACH_GONE,
};

/**
 * vfioext_attach_fn - hears of what happened
 * @what: what it was
 * @event: the event, NULL if it is none; good for the length of the call
 * @data: what was given to the call that dispatches
 *
 * Where it is an event of the type VFIOEXT_EVENT_LOST, what was told of removals is void:
 * VFIOEXT_EVENT_CURRENT follows for each that is under way, as soon as the primary knows them.
 *
 * It cannot detach, nor dispatch.
 */
typedef void (*vfioext_attach_fn)(enum vfioext_attach_what what,
				  const struct vfioext_event *event, void *data);

/**
 * vfioext_attach_start() - begin to ask a primary for its container
 * @ctx: the context, which must outlive it
 * @path: the socket that the primary gave to vfioext_share_new()
 * @attachment: where it goes
 *
 * Does not wait: vfioext_attachment_dispatch() goes on when there is something to be
 * read from vfioext_attachment_fd(). For how long a primary may be in the middle of what it offers
 * is for the caller to say, and to end by vfioext_detach(): of that nothing is to be read.
 *
 * Return: 0; -ENOENT if there is no such socket, -ECONNREFUSED if nobody listens,
 * -EAGAIN if too many others wait; -EACCES, -ENAMETOOLONG, -ENOMEM; or the error of the
 * socket.
 */
int vfioext_attach_start(struct vfioext *ctx, const char *path,
			 struct vfioext_attachment **attachment);

/**
 * vfioext_attach() - the same, until it is complete
 * @ctx: the context, which must outlive it
 * @path: the socket that the primary gave to vfioext_share_new()
 * @timeout_ms: how long to wait at most
 * @attachment: where it goes
 *
 * Return: as vfioext_attach_start(), or as vfioext_attachment_dispatch(); -ETIMEDOUT.
 */
int vfioext_attach(struct vfioext *ctx, const char *path, unsigned int timeout_ms,
		   struct vfioext_attachment **attachment);

/**
 * vfioext_attach_dpdk() - attach to a primary of DPDK's protocol
 * @ctx: the context, which must outlive it
 * @path: its socket, as of vfioext_share_dpdk_path()
 * @devices: names of devices, whose groups are asked for; others cannot be opened
 * @nr_devices: how many, at least 1
 * @timeout_ms: how long to wait at most, for all of it
 * @attachment: where it goes; complete
 *
 * For primaries of DPDK 1.7 to 18.02, and for vfioext_share_new(). The protocol knows neither
 * devices nor maps nor events: vfioext_attachment_fd() is -1, and none are listed. What the
 * primary has mapped only the kernel knows, which refuses to map over it: where an address is
 * to be chosen, another one is tried.
 *
 * Return: 0; -ENODEV if there is no such device, or the primary has not opened its group;
 * -ENXIO if a device has no group; -EINVAL; -ETIMEDOUT for the whole; or as
 * vfioext_share_get_container(). vfioext_message() says what of it failed.
 */
int vfioext_attach_dpdk(struct vfioext *ctx, const char *path, const char *const *devices,
			size_t nr_devices, unsigned int timeout_ms,
			struct vfioext_attachment **attachment);

/**
 * vfioext_detach() - give back all that was got
 * @attachment: the attachment, or NULL
 *
 * What this process mapped in the container is unmapped; what others did stays.
 *
 * Return: 0; -EBUSY if a device of its container is not closed, be it lost, or from the
 * callback of vfioext_attachment_dispatch(), which changes nothing.
 */
int vfioext_detach(struct vfioext_attachment *attachment);

/**
 * vfioext_attachment_fd() - what to poll for input
 * @attachment: the attachment
 *
 * Return: a file descriptor that stays the attachment's own; -1 of one of DPDK's protocol.
 */
int vfioext_attachment_fd(const struct vfioext_attachment *attachment);

/**
 * vfioext_attachment_dispatch() - take what the primary has sent
 * @attachment: the attachment
 * @fn: hears of what happened, or NULL
 * @data: for @fn
 *
 * Does not wait for the primary, but for the kernel: it asks it about the container, and that is
 * answered when memory that is being mapped there, by whatever process, has been pinned.
 *
 * After an error the attachment is good for nothing but vfioext_detach() if it was not complete; if
 * it was, for all but this.
 *
 * Return: how often something happened; -EACCES if the primary does not serve this user;
 * -EUSERS if it has too many clients; -ENODEV if it shares nothing; -EPROTONOSUPPORT if it
 * speaks another version; -EPROTO if what it said makes no sense; -ECONNRESET if it
 * hung up before all was there; -ENOTCONN if it is gone; -EDEADLK if it is called from @fn;
 * -EMFILE if this process may have
 * no more files open; -ENOMEM; or the error of the socket.
 */
int vfioext_attachment_dispatch(struct vfioext_attachment *attachment, vfioext_attach_fn fn,
				void *data);

/**
 * vfioext_attachment_container() - the primary's container
 * @attachment: the attachment
 *
 * Devices of the groups that came with it are opened in it, as in any other; they are
 * not moved out of it. Memory that is mapped in it is seen by the devices of all who
 * share it, at addresses apart from those that were mapped before it was got.
 *
 * Return: the container, which stays the attachment's own; NULL if it is not complete.
 */
struct vfioext_container *
vfioext_attachment_container(const struct vfioext_attachment *attachment);

/**
 * struct vfioext_shared_device - a device that can be opened
 * @name: its name
 * @group: number of its IOMMU group
 */
struct vfioext_shared_device {
	char name[VFIOEXT_NAME_SIZE];
	int group;
};

/**
 * vfioext_attachment_devices() - the devices that were bound to VFIO drivers
 * @attachment: the attachment
 * @devices: where they go; good until vfioext_detach() once it is complete
 *
 * Return: how many; 0 if it is not complete.
 */
size_t vfioext_attachment_devices(const struct vfioext_attachment *attachment,
				  const struct vfioext_shared_device **devices);

/**
 * struct vfioext_shared_map - memory that the primary had mapped
 * @iova: where devices see it
 * @size: bytes
 * @vaddr: its address in the primary
 * @flags: VFIOEXT_DMA_READ and VFIOEXT_DMA_WRITE
 */
struct vfioext_shared_map {
	uint64_t iova;
	uint64_t size;
	uint64_t vaddr;
	uint32_t flags;
};

/**
 * vfioext_attachment_maps() - what the primary had mapped when it answered, by IOVA
 * @attachment: the attachment
 * @maps: where they go; good until vfioext_detach() once it is complete
 *
 * Return: how many; 0 if it is not complete.
 */
size_t vfioext_attachment_maps(const struct vfioext_attachment *attachment,
			       const struct vfioext_shared_map **maps);

/**
 * vfioext_attachment_primary() - who shares
 * @attachment: the attachment
 * @pid: where the process goes that made the socket, or NULL
 * @uid: where its user goes, or NULL
 *
 * Both are -1 of a primary of DPDK's protocol: each answer may be of another.
 *
 * For those who trust only some: a socket may be anybody's.
 */
void vfioext_attachment_primary(const struct vfioext_attachment *attachment, pid_t *pid,
				uid_t *uid);

#ifdef __cplusplus
}
#endif

#endif
