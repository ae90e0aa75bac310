// SPDX-License-Identifier: LGPL-2.1-or-later
/* Taking on clients. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "share.h"
#include "share_message.h"

/* So many at once; there may be others to serve. */
#define ACCEPT_MAX 64
/* What lacks may be there again after a while. */
#define PAUSE_MS 100

static void pause_listener(struct vfioext_share *share, struct listener *listener, int error)
{
	struct epoll_event event = { .data.u64 = listener->source };

	share_log(share, "%s: nobody can be accepted for a while: %s", listener->path,
		  strerror(error));
	if (!epoll_ctl(share->epoll, EPOLL_CTL_MOD, listener->fd, &event))
		listener->paused = true;
	share_set_timer(share, share_now_ms() + PAUSE_MS);
}

void share_resume(struct vfioext_share *share, struct listener *listener)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = listener->source };

	if (listener->paused && !epoll_ctl(share->epoll, EPOLL_CTL_MOD, listener->fd, &event))
		listener->paused = false;
}

static void refuse(struct vfioext_share *share, struct listener *listener, int fd,
		   const struct ucred *peer, int error)
{
	share_log(share, "process %d of user %u is refused: %s", peer->pid, peer->uid,
		  strerror(-error));
	share_tell_error(fd, listener->old, error);
	close(fd);
}

/*
 * No file more can be opened: there is one to close instead. Who comes then is told, and
 * does not keep the queue from being empty.
 */
static bool shed(struct vfioext_share *share, struct listener *listener, int error)
{
	struct ucred peer = { 0 };
	int fd = -1;

	if (share->spare >= 0) {
		close(share->spare);
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	if (fd >= 0)
		refuse(share, listener, fd, &peer, -error);
	share->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && share->spare >= 0;
}

static void take(struct vfioext_share *share, struct listener *listener, int fd)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	struct client *client;
	int ret;

	ret = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? -errno :
	      share_check_peer(share, fd, &peer);
	if (ret == -EUSERS && clients_make_room(share, &peer.uid))
		ret = 0;
	if (ret) {
		refuse(share, listener, fd, &peer, ret);
		return;
	}
	client = client_new(share, fd, listener->old, &peer);
	if (!client && (clients_make_room(share, &peer.uid) || clients_make_room(share, NULL)))
		client = client_new(share, fd, listener->old, &peer);
	if (!client)
		refuse(share, listener, fd, &peer, -EUSERS);
	else
		client_run(share, client);
}

void share_accept(struct vfioext_share *share, struct listener *listener)
{
	int fd, n;

	if (listener->fd < 0 || listener->paused)
		return;
	for (n = 0; n < ACCEPT_MAX; n++) {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			take(share, listener, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			int error = errno;

			if ((error != EMFILE && error != ENFILE) || !shed(share, listener, error)) {
				pause_listener(share, listener, error);
				return;
			}
		}
	}
}
