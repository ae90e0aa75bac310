// SPDX-License-Identifier: LGPL-2.1-or-later
/* Handing containers and groups to other processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "container.h"
#include "context.h"
#include "share.h"

#define CLIENTS_MAX 65536u
#define EVENTS_MAX 64

void share_log(struct vfioext_share *share, const char *format, ...)
{
	char text[256];
	va_list args;

	if (!share->options.log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (log_limit_pass(&share->limit, text, sizeof(text)))
		share->options.log(text, share->options.data);
}

int share_poll(struct vfioext_share *share, int fd, uint32_t events, uint64_t source)
{
	struct epoll_event event = { .events = events, .data.u64 = source };

	return epoll_ctl(share->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int check_options(struct vfioext *ctx, const struct vfioext_share_options *options)
{
	if (!options->path && !options->dpdk_path)
		return context_fail(ctx, -EINVAL, "there is no path to share at");
	if (options->mode & ~(mode_t)0777)
		return context_fail(ctx, -EINVAL, "%#o is no socket's mode", options->mode);
	if (options->clients_max > CLIENTS_MAX)
		return context_fail(ctx, -EINVAL, "at most %u clients can be served", CLIENTS_MAX);
	if ((options->nr_uids && !options->uids) || (options->nr_gids && !options->gids))
		return context_fail(ctx, -EINVAL, "users or groups are missing");
	return 0;
}

static void *copy(const void *from, size_t nr, size_t size)
{
	void *to = calloc(nr ? nr : 1, size);

	if (to && nr)
		memcpy(to, from, nr * size);
	return to;
}

static int take_options(struct vfioext_share *share, const struct vfioext_share_options *options)
{
	share->options = *options;
	share->options.path = NULL;
	share->options.dpdk_path = NULL;
	if (!share->options.mode)
		share->options.mode = 0600;
	if (!share->options.clients_max)
		share->options.clients_max = 64;
	if (!share->options.clients_per_user_max)
		share->options.clients_per_user_max = 16;
	if (!share->options.timeout_ms)
		share->options.timeout_ms = 1000;
	share->uids = copy(options->uids, options->nr_uids, sizeof(*share->uids));
	share->gids = copy(options->gids, options->nr_gids, sizeof(*share->gids));
	share->owner = geteuid();
	return share->uids && share->gids ? share_clients_init(share) : -ENOMEM;
}

static int open_files(struct vfioext_share *share)
{
	share->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (share->epoll >= 0)
		share->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (share->timer >= 0)
		share->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (share->spare < 0)
		return -errno;
	return share_poll(share, share->timer, EPOLLIN, (uint64_t)SHARE_FROM_TIMER);
}

/* Without the module nobody tells of removals, and there is nothing to pass on. */
static int open_events(struct vfioext_share *share)
{
	int ret = netlink_may_open(share->ctx) ?
		  vfioext_events_open(&share->events, VFIOEXT_EVENTS_REMOVAL, -1) :
		  -EPROTONOSUPPORT;

	if (ret) {
		share->events = NULL;
		share_log(share, "there are no events of removals: %s", strerror(-ret));
		return ret == -ENOMEM ? ret : 0;
	}
	return share_poll(share, vfioext_events_fd(share->events), EPOLLIN,
			  (uint64_t)SHARE_FROM_EVENTS);
}

static int open_listener(struct vfioext_share *share, struct listener *listener, const char *path)
{
	const struct listener_how how = {
		.mode = share->options.mode,
		.has_group = share->options.has_socket_group,
		.group = share->options.socket_group,
		.trust_directory = share->options.trust_directory,
	};
	int ret = listener_open(share->ctx, listener, path, SOCK_SEQPACKET, &how);

	listener->old = listener == &share->old;
	listener->source = (uint64_t)(listener->old ? SHARE_FROM_OLD : SHARE_FROM_OWN);
	return ret ? ret : share_poll(share, listener->fd, EPOLLIN, listener->source);
}

static int begin(struct vfioext_share *share, const struct vfioext_share_options *options)
{
	int ret;

	ret = take_options(share, options);
	if (!ret)
		ret = open_files(share);
	if (!ret && options->path)
		ret = open_events(share);
	if (!ret && options->path)
		ret = open_listener(share, &share->own, options->path);
	if (!ret && options->dpdk_path)
		ret = open_listener(share, &share->old, options->dpdk_path);
	return ret;
}

int vfioext_share_new(struct vfioext *ctx, const struct vfioext_share_options *options,
		      struct vfioext_share **share)
{
	struct vfioext_share *new;
	int ret;

	ctx->message[0] = '\0';
	ret = check_options(ctx, options);
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->ctx = ctx;
	new->epoll = -1;
	new->timer = -1;
	new->spare = -1;
	listener_init(&new->own);
	listener_init(&new->old);
	ret = begin(new, options);
	if (ret) {
		vfioext_share_free(new);
		return ret;
	}
	*share = new;
	return 0;
}

void vfioext_share_free(struct vfioext_share *share)
{
	if (!share)
		return;
	listener_close(&share->own);
	listener_close(&share->old);
	while (share->nr_containers)
		vfioext_share_remove(share, share->containers[share->nr_containers - 1]);
	share_clients_free(share);
	vfioext_events_close(share->events);
	if (share->spare >= 0)
		close(share->spare);
	if (share->timer >= 0)
		close(share->timer);
	if (share->epoll >= 0)
		close(share->epoll);
	free(share->containers);
	free(share->peer_gids);
	free(share->uids);
	free(share->gids);
	free(share);
}

static size_t find_container(const struct vfioext_share *share,
			     const struct vfioext_container *container)
{
	size_t i = 0;

	while (i < share->nr_containers && share->containers[i] != container)
		i++;
	return i;
}

int vfioext_share_add(struct vfioext_share *share, struct vfioext_container *container)
{
	struct vfioext_container **more;

	if (container->backend == VFIOEXT_BACKEND_IOMMUFD)
		return context_fail(share->ctx, -EOPNOTSUPP, "an address space of iommufd cannot be "
				    "shared; set VFIOEXT_BACKEND=container");
	if (container->backend == VFIOEXT_BACKEND_USER)
		return context_fail(share->ctx, -EOPNOTSUPP, "a container of vfio-user devices is no "
				    "file, and cannot be shared");
	if (container->shared)
		return context_fail(share->ctx, -EOPNOTSUPP,
				    "a container is shared by the process that made it");
	if (find_container(share, container) < share->nr_containers)
		return -EEXIST;
	more = reallocarray(share->containers, share->nr_containers + 1, sizeof(void *));
	if (!more)
		return -ENOMEM;
	share->containers = more;
	container_hold(container);
	/* Others may be mapping in it. */
	pthread_mutex_lock(&container->lock);
	container->lent = true;
	pthread_mutex_unlock(&container->lock);
	share->containers[share->nr_containers++] = container;
	return 0;
}

int vfioext_share_remove(struct vfioext_share *share, struct vfioext_container *container)
{
	size_t at = find_container(share, container);
	unsigned int i;

	if (at == share->nr_containers)
		return -ENOENT;
	for (i = 0; i < share->options.clients_max; i++)
		if (share->clients[i].fd >= 0 && share->clients[i].container == container)
			client_drop(share, &share->clients[i]);
	share->nr_containers--;
	memmove(&share->containers[at], &share->containers[at + 1],
		(share->nr_containers - at) * sizeof(void *));
	container_unhold(container);
	return 0;
}

int vfioext_share_fd(const struct vfioext_share *share)
{
	return share->epoll;
}

static void on_timer(struct vfioext_share *share)
{
	uint64_t times;

	if (read(share->timer, &times, sizeof(times)) != sizeof(times))
		return;
	share->timed = false;
	share_resume(share, &share->own);
	share_resume(share, &share->old);
	clients_try_again(share);
	clients_on_timer(share);
}

static void relay(const struct vfioext_event *event, void *data)
{
	share_relay(data, event);
}

static void on_event(struct vfioext_share *share, uint64_t source)
{
	if (source == (uint64_t)SHARE_FROM_OWN)
		share_accept(share, &share->own);
	else if (source == (uint64_t)SHARE_FROM_OLD)
		share_accept(share, &share->old);
	else if (source == (uint64_t)SHARE_FROM_TIMER)
		on_timer(share);
	else if (source == (uint64_t)SHARE_FROM_EVENTS)
		vfioext_events_dispatch(share->events, relay, share);
	else
		clients_on_event(share, source);
}

/* Mostly nobody is waited for: then there is no need to ask what there is. */
static int dispatch(struct vfioext_share *share)
{
	struct epoll_event events[EVENTS_MAX];
	int i, nr;

	if (!share->nr_clients && !share->timed && !share->events) {
		share_accept(share, &share->own);
		share_accept(share, &share->old);
		clients_keep(share);
		return 0;
	}
	nr = epoll_wait(share->epoll, events, EVENTS_MAX, 0);
	if (nr < 0)
		return errno == EINTR ? 0 : -errno;
	for (i = 0; i < nr; i++)
		on_event(share, events[i].data.u64);
	clients_keep(share);
	if (share->resync)
		share_resync(share);
	return 0;
}

int vfioext_share_dispatch(struct vfioext_share *share)
{
	int ret;

	if (share->busy)
		return -EDEADLK;
	share->busy = true;
	ret = dispatch(share);
	share->busy = false;
	return ret;
}

size_t vfioext_share_clients(const struct vfioext_share *share,
			     struct vfioext_share_client *clients, size_t max)
{
	const struct client *client;
	size_t nr = 0;
	unsigned int i;

	for (i = 0; i < share->options.clients_max; i++) {
		client = &share->clients[i];
		if (client->fd < 0)
			continue;
		if (nr < max)
			clients[nr] = (struct vfioext_share_client){
				.pid = client->peer.pid,
				.uid = client->peer.uid,
				.gid = client->peer.gid,
				.attached = client->phase == SHARE_PHASE_ATTACHED,
			};
		nr++;
	}
	return nr;
}
