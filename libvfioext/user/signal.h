/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Eventfds of clients. Whether reading and writing them waits is a flag of the file, which
 * the client has, too, and can change at any time.
 */
#ifndef LIBVFIOEXT_USER_SIGNAL_H
#define LIBVFIOEXT_USER_SIGNAL_H

#include <stdbool.h>

/* Before the first is signaled. Return: 0, or an error. */
int signal_init(void);

/*
 * Write 1. One that is full stays as it is. @careful: it is not to wait, whatever the
 * client does; that takes twice as long. Any thread, without a lock. Return: 0, or an error.
 */
int signal_eventfd(int fd, bool careful);

/* Read, and never wait. Return: 0, -EAGAIN if there is nothing, or an error. */
int take_eventfd(int fd);

#endif
