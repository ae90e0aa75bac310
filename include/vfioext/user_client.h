/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfio-user: devices that another process serves, QEMU's kind of them and all others. They
 * are opened as any device is, by the path of their socket:
 *
 *	vfioext_device_open(ctx, "user:/run/x.sock", NULL, &device);
 *
 * Link with -lvfioext-user. To serve such a device see user.h.
 *
 * A region that is mapped (vfioext_region_map()) is of a file of the server's, which it can make
 * shorter: the first one installs the handler of SIGBUS that vfioext_user_new() describes, with
 * the same conditions. A regular file that is not of memory alone is not mapped, as it may be of a
 * file system of the server's own; the region is then accessed by messages.
 */
#ifndef VFIOEXT_USER_CLIENT_H
#define VFIOEXT_USER_CLIENT_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vfioext_user_client_init() - let libvfioext open vfio-user devices
 *
 * That the library is loaded is enough, but a linker may leave out one that no function is
 * called of (--as-needed, and all of a static library): this is one. It may be called any
 * number of times, and from any thread.
 *
 * Return: 0, or -EPROTONOSUPPORT if libvfioext is of another version.
 */
int vfioext_user_client_init(void);

#ifdef __cplusplus
}
#endif

#endif
