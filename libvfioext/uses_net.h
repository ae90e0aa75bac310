/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_USES_NET_H
#define LIBVFIOEXT_USES_NET_H

#include <stdint.h>

struct survey;

/* uses_elsewhere.c: what is on top of an interface in other network namespaces. */
void uses_elsewhere(struct survey *survey, const char *name, uint32_t index);
/* uses_programs.c */
void uses_of_programs(struct survey *survey, const char *name, uint32_t index);

#endif
