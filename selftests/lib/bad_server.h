/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A server of vfio-user that breaks the rules, byte by byte: one of its answers is spoilt,
 * and it asks whatever it is told to.
 */
#ifndef SELFTESTS_BAD_SERVER_H
#define SELFTESTS_BAD_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../libvfioext/user/wire.h"

#define REGION_SIZE 0x4000
#define BODY_MAX 0x120000
#define FDS_MAX 40

/* A message, as it comes or goes. */
struct letter {
	struct vfio_user_header header;
	size_t size;
	int fds[FDS_MAX];
	size_t nr_fds;
	uint8_t body[BODY_MAX];
};

enum kind {
	HONEST,
	CUT,		/* @value bytes from its end */
	GROW,		/* so many more */
	SET16,		/* at an offset in the body */
	SET32,
	SET64,
	ID,
	COMMAND,
	TYPE,
	ERROR,
	SIZE,		/* of the header, a lie */
	HANG_UP,
	HALF,		/* of it, and then the end */
	SILENT,
	SURPLUS,	/* so many descriptors more */
	NO_FD,
	JSON,
};

/* What is wrong with the answer to a command. */
struct spoil {
	uint16_t command;
	enum kind kind;
	uint64_t value;
	size_t offset;
	const char *json;
};

/*
 * @region: how the answer about a region is spoilt alone, -1 for all
 * @no_reply: writes that wanted none; @writes: all
 * @sets: what came of SET_IRQS
 * @asks: done before a region is read, and once it is known what memory there is
 */
struct server {
	pthread_t thread;
	char path[64];
	int listener;
	int socket;
	int file;
	struct spoil spoil;
	int region;
	bool fails_map;
	bool twin;
	int twin_socket;
	atomic_uint writes;
	atomic_uint no_reply;
	struct { uint32_t start, count; size_t nr_fds; } sets[8];
	atomic_uint nr_sets;
	int dma_fd;
	uint64_t dma_address;
	void (*asks)(struct server *server);
	void (*asks_unasked)(struct server *server);
	int results[32];
	atomic_int done;
	struct letter in;
	struct letter out;
};

/* Return: false if the other side has gone. */
bool letter_receive(int socket, struct letter *letter);
bool letter_send(int socket, const struct letter *letter);

/* A thread serves one client. */
bool server_start(struct server *server);
void server_stop(struct server *server);

#endif
