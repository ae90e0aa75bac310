/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records with descriptors over unix sockets. None of these raises SIGPIPE. */
#ifndef LIBVFIOEXT_SHARE_MESSAGE_H
#define LIBVFIOEXT_SHARE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* Return: 0, -EINVAL without a path, or -ENAMETOOLONG. */
int share_address(const char *path, struct sockaddr_un *address);

/*
 * Connect to a socket. Waits for room in its queue for so long; for 0 not at all. What
 * comes of it does not block. Return: its descriptor, -EAGAIN if there was no room, or
 * an error.
 */
int share_connect(const char *path, unsigned int timeout_ms);
int share_connect_as(const char *path, int type, unsigned int timeout_ms);

/* Send a record without waiting, with a descriptor or -1. Return: 0, -EAGAIN, an error. */
int share_send(int fd, const void *record, size_t size, int passed);

/* Two in one go: the second has the descriptor. Return: as share_send(). */
int share_send_two(int fd, const void *records[2], size_t size, int passed);

/*
 * Receive a record without waiting, and a descriptor if there is one, else -1. Return:
 * the record's length, 0 at the end, -EAGAIN, -EMSGSIZE if it is longer than that, -EPROTO
 * if it has more than one descriptor, -EMFILE if that could not be taken, or an error.
 */
ssize_t share_receive(int fd, void *record, size_t size, int *passed);

/* As share_receive(), but a record with a descriptor, which is not taken, is -EPROTO. */
ssize_t share_receive_plain(int fd, void *record, size_t size);

/* Milliseconds of the clock that only goes on. */
uint64_t share_now_ms(void);

/* Wait until there is input. Return: 0, -ETIMEDOUT, or an error. */
int share_wait(int fd, uint64_t deadline_ms);

#endif
