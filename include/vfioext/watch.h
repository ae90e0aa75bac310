/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_WATCH_H
#define VFIOEXT_WATCH_H

#include <stdint.h>
#include <vfioext/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vfioext_removal_fn - the host wants a device back
 * @device: the device
 * @id: number of the removal, 0 if the module is not loaded and the device's
 *	request interrupt told it; vfioext_removal_extend() takes it
 * @data: what was given to vfioext_device_watch()
 *
 * Called from vfioext_device_watch_dispatch(). It may use the device, and other
 * devices, close other devices, and ask for more time; it may not close @device
 * nor touch its files in sysfs, which would wait for the very process that wants
 * it back. If it is to go on with the device for a while, it says so, and calls
 * vfioext_device_let_go() when it is done, or at once.
 *
 * It is called once for each removal. One that was called off, also where the event that said
 * so was lost, may be followed by another, which has another @id. The request
 * interrupt of a vfio-user device is all that its server has: there it is called each time.
 *
 * Where the server of a vfio-user device has gone it is called with the device lost, and @id
 * 0; whatever it returns, the device is let go.
 *
 * Return: 0 to let the device go now, 1 to keep it for the time being.
 */
typedef int (*vfioext_removal_fn)(struct vfioext_device *device, uint32_t id, void *data);

/**
 * vfioext_device_watch() - be told when the host wants the device back
 * @device: the device
 * @fn: called then, or NULL to let it go at once
 * @data: for @fn
 *
 * Of netlink events where the module is loaded, of the device's request interrupt
 * besides; whichever comes first, and one of them alone. Where events are lost the module is
 * asked what is under way, and if it cannot tell, asked again until it does. Of a vfio-user device, of its
 * request interrupt, and when its server has gone: vfioext_message() then says why.
 *
 * Return: 0; -EBUSY if it is watched already; -ENOTSUP if the module is not loaded
 * and the device has no request interrupt; -ENOMEM; or the error of a socket.
 */
int vfioext_device_watch(struct vfioext_device *device, vfioext_removal_fn fn, void *data);

/** vfioext_device_watch_fd() - what to poll for input; stays the device's own. */
int vfioext_device_watch_fd(const struct vfioext_device *device);

/**
 * vfioext_device_watch_dispatch() - call the callback if the device is wanted back
 * @device: a watched device
 *
 * Does not wait for the host or a server.
 *
 * Return: 1 if the device was let go, 0 if not; -EDEADLK if it is called from the callback;
 * -EINVAL if the device is not watched; or the error of a socket.
 */
int vfioext_device_watch_dispatch(struct vfioext_device *device);

/**
 * vfioext_device_let_go() - give the device back, and keep the object
 * @device: the device
 *
 * Everything of the kernel's is unmapped and closed that the host waits for, and the device is
 * lost from then on: where its regions were mapped there is memory that reads as all ones.
 * Its container stays, be it its own, so that what was allocated can be freed.
 * May run while other threads use its regions; not while they do anything else
 * with it. vfioext_device_close() is still to be called. A second call does nothing.
 */
void vfioext_device_let_go(struct vfioext_device *device);

#ifdef __cplusplus
}
#endif

#endif
