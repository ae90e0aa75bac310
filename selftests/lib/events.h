/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events of removals, and the interrupt that asks for a device, in the place of the kernel's,
 * for programs that are linked with --wrap=vfioext_events_open and the like; see
 * selftests/Makefile.
 */
#ifndef SELFTESTS_EVENTS_H
#define SELFTESTS_EVENTS_H

#include <vfioext/events.h>

/* What a dispatch and a resync end with, if it is not 0; how often it was tried. */
extern int events_dispatch_error, events_resync_error;
extern unsigned int events_resyncs;

/* Nothing waits, nothing is under way, and all goes well. */
void events_reset(void);

struct vfioext_event events_make(enum vfioext_event_type type, uint32_t id, const char *device,
				 uint32_t group);

/* It waits to be read. */
void events_tell(const struct vfioext_event *event);

/* The device that is watched is asked for. */
void events_request(void);

/* A resync finds these. */
void events_under_way(const struct vfioext_event *list, unsigned int nr);

#endif
