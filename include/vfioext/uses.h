/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host uses a device for. */
#ifndef VFIOEXT_USES_H
#define VFIOEXT_USES_H

#include <stdbool.h>
#include <stddef.h>
#include <vfioext/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * enum vfioext_use_kind - in what way the host depends on a device
 * @VFIOEXT_USE_MOUNT: a file system on it, or that comes by it (9p, virtiofs), is mounted
 * @VFIOEXT_USE_SWAP: it is swapped to
 * @VFIOEXT_USE_HOLDER: another block device is on it: md, dm, LVM, bcache, loop; or it is
 *	exported to other hosts
 * @VFIOEXT_USE_OPEN: a process has it open, or the kernel has it open exclusively
 * @VFIOEXT_USE_ADDRESS: a network interface of it has an address
 * @VFIOEXT_USE_ROUTE: a route leads through it
 * @VFIOEXT_USE_MASTER: it is a port of a bridge, bond or team
 * @VFIOEXT_USE_UPPER: a VLAN, a macvlan or another interface is on it, or a PPPoE session
 * @VFIOEXT_USE_NAMESPACE: its network interface is in another network namespace
 * @VFIOEXT_USE_DISPLAY: it is the boot VGA device
 * @VFIOEXT_USE_CONSOLE: the kernel's console is on it
 * @VFIOEXT_USE_INPUT: an input device is on it, other than a jack of a sound card
 * @VFIOEXT_USE_USB: a USB device is on it that a driver has
 * @VFIOEXT_USE_BRIDGE: it is a bridge, or a device behind it has a driver
 * @VFIOEXT_USE_CHILD: a VF or an mdev of it is held or used
 * @VFIOEXT_USE_CHILDREN: it has VFs or mdevs; nobody uses them, but they go with its driver
 * @VFIOEXT_USE_PROGRAM: a network interface of it has a program of XDP, or filters of tc
 */
enum vfioext_use_kind {
	VFIOEXT_USE_MOUNT,
	VFIOEXT_USE_SWAP,
	VFIOEXT_USE_HOLDER,
	VFIOEXT_USE_OPEN,
	VFIOEXT_USE_ADDRESS,
	VFIOEXT_USE_ROUTE,
	VFIOEXT_USE_MASTER,
	VFIOEXT_USE_UPPER,
	VFIOEXT_USE_NAMESPACE,
	VFIOEXT_USE_DISPLAY,
	VFIOEXT_USE_CONSOLE,
	VFIOEXT_USE_INPUT,
	VFIOEXT_USE_USB,
	VFIOEXT_USE_BRIDGE,
	VFIOEXT_USE_CHILD,
	VFIOEXT_USE_CHILDREN,
	VFIOEXT_USE_PROGRAM,
};

/**
 * struct vfioext_use - a use of a device
 * @kind: in what way
 * @harmless: it is to be known, but does not keep anybody from taking the device
 * @text: a sentence without a full stop, such as "/dev/nvme0n1 is mounted at /srv"; it may
 *	have what a process or a file is called in it, of any characters
 */
struct vfioext_use {
	enum vfioext_use_kind kind;
	bool harmless;
	char text[192];
};

/**
 * struct vfioext_uses - the uses of a device
 * @list: the uses
 * @nr: how many
 */
struct vfioext_uses {
	struct vfioext_use *list;
	size_t nr;
};

/**
 * vfioext_uses_get() - what the host uses a device for
 * @ctx: the context
 * @name: the device, as vfioext_find_device() takes it
 * @uses: where they go, to be given to vfioext_uses_release()
 *
 * Block devices below the device are looked for in the mounts of all mount namespaces of
 * which a process can be seen, in the list of swaps, and in what is on top of them, which
 * is followed; so are the disks that the kernel's NVMe target exports. Network interfaces
 * below it are asked for by rtnetlink, in the caller's network namespace. For what is on top
 * of them elsewhere, as the macvlan of a container is, the calling thread enters the other
 * network namespaces for a moment. It takes root to see all of it.
 *
 * Not seen are processes that have a disk open, not exclusively, by a file elsewhere than in a
 * /dev, and those that have closed the file of a disk which they map.
 *
 * Nothing is changed. A disk of which no use is known is opened for reading, exclusively,
 * and closed again; nobody else can mount it in that moment.
 *
 * Return: 0, -ENODEV, -EINVAL, -EIO as vfioext_find_device(), -ENOMEM.
 */
int vfioext_uses_get(struct vfioext *ctx, const char *name, struct vfioext_uses *uses);

/**
 * vfioext_uses_release() - free what the list holds
 * @uses: the list
 */
void vfioext_uses_release(struct vfioext_uses *uses);

#ifdef __cplusplus
}
#endif

#endif
