/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client's connection to the server of a device. One call at a time is under way; who
 * waits for its answer answers what the server asks for meanwhile.
 */
#ifndef LIBVFIOEXT_USER_CONNECTION_H
#define LIBVFIOEXT_USER_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "version.h"

/* A server that is silent for so long is given up; a reset may take its time. */
#define ANSWER_MS 5000
#define RESET_MS 30000

struct mappings;

/*
 * @lock: one call at a time; protects @channel
 * @channel: what is left to be sent is sent before the lock is given up
 * @closer: for descriptors of the server's
 * @twin: what the server asks for comes there, if it has a socket; the thread's alone
 * @peer: what the server said of itself
 * @is_dying: somebody is about to say that, and why, that nothing more is to be had
 * @is_dead: it was said: @error and @reason are set
 * @lost: is told then, unless it is us who end it
 * @memory_lock: protects @memory; it is not given back while something is copied
 * @memory: what is served to the server, by IOVA
 * @stop: eventfd that ends the thread
 */
struct connection {
	pthread_mutex_t lock;
	struct channel channel;
	struct closer *closer;
	struct channel twin;
	struct capabilities peer;
	uint16_t next_id;
	atomic_bool is_dying;
	atomic_bool is_dead;
	int error;
	char reason[128];
	void (*lost)(void *data);
	void *data;
	pthread_mutex_t memory_lock;
	struct mappings *memory;
	pthread_mutex_t thread_lock;
	pthread_t thread;
	bool has_thread;
	int stop;
};

/*
 * A command, and room for what answers it.
 * @body, @size: its fixed part; @data, @data_size: what is behind that
 * @answer, @room: where the fixed part of the answer goes; @rest, @rest_room: what is
 *	behind that
 * @answered: how many bytes there are
 * @fd: where a descriptor goes that comes with the answer, NULL if there can be none
 * @timeout_ms: how long to wait for it
 */
struct call {
	uint16_t command;
	const void *body;
	size_t size;
	const void *data;
	size_t data_size;
	const int *fds;
	size_t nr_fds;
	void *answer;
	size_t room;
	void *rest;
	size_t rest_room;
	size_t answered;
	int *fd;
	unsigned int timeout_ms;
};

/* The socket is the connection's from then on, also if it fails. Return: 0, or an error. */
int connection_open(struct connection *connection, int fd);

/* All that others may still use stays until connection_close(). */
void connection_shut(struct connection *connection);
void connection_close(struct connection *connection);

/*
 * Return: 0; the error that the server has; -EPROTO if its answer is longer than there is
 * room; -ENODEV if the connection is dead by then; -ENOMEM.
 */
int connection_call(struct connection *connection, struct call *call);

/* Without an answer. Return: 0, -ENODEV, -ENOMEM. */
int connection_post(struct connection *connection, const struct call *call);

/* Give it up, for an error and with a reason. */
void connection_die(struct connection *connection, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Give it up for the error of a system call. */
void connection_fail(struct connection *connection, int error, const char *what);

/* Has the server gone, be it that nobody noticed? */
bool connection_is_lost(struct connection *connection);

/* service.c: can memory be had as @flags say? Return: 0, or an error. */
int service_check(void *vaddr, uint64_t size, uint32_t flags);

/* Let the server have memory by messages. Return: 0, or an error. */
int service_add(struct connection *connection, uint64_t iova, uint64_t size, uint32_t flags,
		void *vaddr);
void service_remove(struct connection *connection, uint64_t iova);

/* See that it is served while nobody calls. Return: 0, or an error. */
int service_start(struct connection *connection);
void service_stop(struct connection *connection);

/* Answer a command of the server on the channel that it came from. Return: 0, or -ENOMEM. */
int service_answer(struct connection *connection, struct channel *channel,
		   const struct message *message);

/* connection.c, for the thread: answer what there is, unless a call is under way. */
bool connection_try_serve(struct connection *connection);

#endif
