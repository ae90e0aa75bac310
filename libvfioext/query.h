/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_QUERY_H
#define LIBVFIOEXT_QUERY_H

#include "netlink.h"

struct vfioext_removal;

int dump_run(struct vfioext *ctx, struct request *request, answer_fn fn, void *data,
	     void (*forget)(void *data));
void take_removal(const struct attributes *attributes, struct vfioext_removal *removal);

#endif
