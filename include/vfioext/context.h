/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VFIOEXT_CONTEXT_H
#define VFIOEXT_CONTEXT_H

#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ < 8
#error "libvfioext is for 64-bit programs: what devices address, and regions have, is more than a pointer can be"
#endif

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest name of a device, a bus or a driver here, with its end. */
#define VFIOEXT_NAME_SIZE 64

/** struct vfioext - what the other calls work with; opaque. */
struct vfioext;

/**
 * vfioext_new() - begin to use the library
 * @ctx: where the context goes
 * @sysfs: directory to read instead of /sys, or NULL
 *
 * Works without the module: what comes from sysfs needs no more. The netlink
 * socket is opened by the first call that needs it.
 *
 * Return: 0, -ENOMEM, or -ENAMETOOLONG if @sysfs is too long.
 */
int vfioext_new(struct vfioext **ctx, const char *sysfs);

/**
 * vfioext_free() - the reverse of vfioext_new()
 * @ctx: the context, or NULL
 */
void vfioext_free(struct vfioext *ctx);

/**
 * vfioext_never_load() - do without the module where it is not loaded
 * @ctx: the context
 *
 * The kernel loads the module for whoever first asks for it, which a program that only looks
 * does not want: from then on calls with @ctx and its devices give -EPROTONOSUPPORT instead,
 * until somebody else has loaded it. vfioext_events_open() has no context, and loads.
 */
void vfioext_never_load(struct vfioext *ctx);

/**
 * vfioext_message() - what the last failed call has to say
 * @ctx: the context
 *
 * The kernel's own words where it had any, else what the library knows beyond
 * the error number.
 *
 * Return: a text that is good until the next call with @ctx; "" if there is none.
 */
const char *vfioext_message(const struct vfioext *ctx);

/**
 * struct vfioext_status - the module
 * @loaded: it is loaded; the rest is empty if not
 * @version: its version
 * @external_users: external users are served: "ok", or why not
 */
struct vfioext_status {
	bool loaded;
	char version[32];
	char external_users[128];
};

/**
 * vfioext_status() - read the module's state from sysfs
 * @ctx: the context
 * @status: where it goes
 */
void vfioext_status(struct vfioext *ctx, struct vfioext_status *status);

#ifdef __cplusplus
}
#endif

#endif
