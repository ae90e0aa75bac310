// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To close a file may wait: for a file system in another process to hear of it, for a socket's
 * last bytes to be sent. That is left to a thread, one for each file, as one that waits must
 * not hold up another.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "peer_file.h"

/* That wait at a time, for one peer. */
#define CLOSING_MAX 64

#define STACK_SIZE 65536

/* @users: its owner, and each close that is under way */
struct closer {
	atomic_uint users;
};

struct closing {
	struct closer *closer;
	int fd;
};

struct closer *closer_new(void)
{
	struct closer *closer = malloc(sizeof(*closer));

	if (closer)
		atomic_init(&closer->users, 1);
	return closer;
}

void closer_free(struct closer *closer)
{
	if (closer && atomic_fetch_sub(&closer->users, 1) == 1)
		free(closer);
}

bool closer_is_full(const struct closer *closer)
{
	return closer->users > CLOSING_MAX;
}

static void *run(void *data)
{
	struct closing *closing = data;

	close(closing->fd);
	closer_free(closing->closer);
	free(closing);
	return NULL;
}

static int start(struct closing *closing)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	ret = pthread_attr_init(&attr);
	if (ret)
		return -ret;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	ret = -pthread_create(&thread, &attr, run, closing);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

/* Without a thread it is done here: what cannot be closed at all is lost for good. */
void closer_close(struct closer *closer, int fd)
{
	struct closing *closing;

	if (peer_file_closes_at_once(fd)) {
		close(fd);
		return;
	}
	atomic_fetch_add(&closer->users, 1);
	closing = malloc(sizeof(*closing));
	if (closing)
		*closing = (struct closing){ closer, fd };
	/* The thread frees it. */
	if (closing && !start(closing))
		return; /* NOLINT(clang-analyzer-unix.Malloc) */
	free(closing);
	close(fd);
	closer_free(closer);
}
