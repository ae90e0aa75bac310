/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that libvfioext has open, served over vfio-user: to a VM in another process,
 * which needs no right to VFIO then.
 */
#ifndef VFIOEXT_USER_BRIDGE_H
#define VFIOEXT_USER_BRIDGE_H

#include <vfioext/device.h>
#include <vfioext/user.h>

#ifdef __cplusplus
extern "C" {
#endif

/** struct vfioext_user_bridge - a device, and what is served of it; opaque. */
struct vfioext_user_bridge;

/** Offer the client nothing of the device for mapping: see vfioext_user_bridge_new(). */
#define VFIOEXT_USER_BRIDGE_NO_MAP 0x1u

/**
 * vfioext_user_bridge_new() - serve an open device
 * @server: the server
 * @device: the device, open for as long as the bridge is there. It is not to be used
 *	otherwise, nor watched, and nothing else may be in its container but devices of other
 *	bridges of the same server.
 * @flags: VFIOEXT_USER_BRIDGE_*, or-ed
 * @bridge: where it goes
 *
 * Configuration space, BARs and all other regions are the device's own, mapped by the
 * client where the device allows it; its interrupts signal the client's eventfds without
 * this process; DMA goes through the IOMMU to the client's memory, at the addresses that
 * the client says. Memory that the client shares no file of the device cannot reach.
 *
 * Functions of one group are served in one container: all bridges of it are made before the
 * first client comes. They see each other's memory, so they are for one VM; memory that
 * another function's client has at the same address must be the same part of the same file.
 *
 * Memory is pinned, which may take long. The client is answered after some seconds at most;
 * the rest is pinned while the server goes on, and until then the device cannot master the
 * bus. A client whose memory turns out to be impossible to pin is dropped.
 *
 * A client that maps a region has the device's file: for the host it holds the device, as
 * this process does, and can do with it what this process can. The pages of MSI-X tables and
 * pending bits are not offered, which keeps a client from writing to them by mistake. With
 * VFIOEXT_USER_BRIDGE_NO_MAP nothing is, and it has the file of nothing: that is for clients
 * that are not trusted, and each access is a message then.
 *
 * Return: 0, -EINVAL if there is no such flag, -ENOMEM, -EBUSY if the device is watched already, -ENODEV, or the error of a
 * system call.
 */
int vfioext_user_bridge_new(struct vfioext_user *server, struct vfioext_device *device,
			    unsigned int flags, struct vfioext_user_bridge **bridge);

/**
 * vfioext_user_bridge_free() - stop serving it
 * @bridge: the bridge, or NULL
 *
 * The device stays open, and is then only to be closed.
 */
void vfioext_user_bridge_free(struct vfioext_user_bridge *bridge);

/** vfioext_user_bridge_device() - what is served: for vfioext_user_device_start() and so on. */
struct vfioext_user_device *vfioext_user_bridge_device(const struct vfioext_user_bridge *bridge);

/** vfioext_user_bridge_fd() - what to poll for input besides the server; its own. */
int vfioext_user_bridge_fd(const struct vfioext_user_bridge *bridge);

/**
 * enum vfioext_user_bridge_state - what the host wants
 * @VFIOEXT_USER_BRIDGE_SERVED: nothing
 * @VFIOEXT_USER_BRIDGE_WANTED: it wants the device back. The client got the request
 *	interrupt; when it goes, the device is let go.
 * @VFIOEXT_USER_BRIDGE_GONE: the device was let go, and is lost
 */
enum vfioext_user_bridge_state {
	VFIOEXT_USER_BRIDGE_SERVED,
	VFIOEXT_USER_BRIDGE_WANTED,
	VFIOEXT_USER_BRIDGE_GONE,
};

/**
 * vfioext_user_bridge_dispatch() - see whether the host wants the device back
 * @bridge: the bridge
 *
 * To be called after vfioext_user_dispatch(), and when vfioext_user_bridge_fd() is
 * readable. Does not wait. Without a client the device is let go at once.
 *
 * Return: an enum vfioext_user_bridge_state, or the error of a socket.
 */
int vfioext_user_bridge_dispatch(struct vfioext_user_bridge *bridge);

/** vfioext_user_bridge_let_go() - drop the client, and give the device back now. */
void vfioext_user_bridge_let_go(struct vfioext_user_bridge *bridge);

#ifdef __cplusplus
}
#endif

#endif
