// SPDX-License-Identifier: LGPL-2.1-or-later
/* A device that is served: what it is, and where it listens. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../context.h"
#include "server.h"

int vfioext_user_device_new(struct vfioext_user *server, const struct vfioext_user_ops *ops,
			    void *data, struct vfioext_user_device **device)
{
	struct vfioext_user_device *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->server = server;
	new->ops = ops;
	new->data = data;
	new->dma_ms = DMA_MS;
	listener_init(&new->listener);
	user_regions_init(new);
	new->closer = closer_new();
	if (!new->closer || memory_init(&new->memory, server->wake)) {
		closer_free(new->closer);
		free(new);
		return -ENOMEM;
	}
	new->next = server->devices;
	server->devices = new;
	*device = new;
	return 0;
}

int vfioext_user_device_set_limits(struct vfioext_user_device *device,
				   const struct vfioext_user_limits *limits)
{
	if (device->session)
		return -EBUSY;
	memory_set_limits(&device->memory, limits);
	return 0;
}

void vfioext_user_device_free(struct vfioext_user_device *device)
{
	struct vfioext_user *server;
	struct vfioext_user_device **at;

	if (!device)
		return;
	server = device->server;
	device->freed = true;
	vfioext_user_device_stop(device);
	for (at = &server->devices; *at != device;)
		at = &(*at)->next;
	*at = device->next;
	if (server->next == device)
		server->next = device->next;
	user_regions_free(device);
	user_irqs_free(device);
	pci_free(device);
	closer_free(device->closer);
	free(device->uids);
	if (memory_close(&device->memory))
		device_end(device);
}

void device_end(struct vfioext_user_device *device)
{
	memory_destroy(&device->memory);
	free(device);
}

void *vfioext_user_device_data(const struct vfioext_user_device *device)
{
	return device->data;
}

void vfioext_user_device_set_pci(struct vfioext_user_device *device, bool pci)
{
	device->is_pci = pci;
}

/* One that has hung up is done with when all is read that it left. */
void device_look_after(struct vfioext_user_device *device)
{
	struct pollfd pollfd = { .fd = device->session->channel.fd };
	unsigned int turn;

	for (turn = 0; turn < TURN_MAX && device->session; turn++) {
		if (poll(&pollfd, 1, 0) <= 0 || !(pollfd.revents & POLLHUP))
			return;
		device->session->source.ready(&device->session->source, EPOLLIN);
	}
	if (device->session)
		session_free(device->session);
}

/* The one that has said nothing for the longest time goes, unless it has by now. */
static void make_room(struct vfioext_user_device *device)
{
	struct session *oldest = device->waiting;

	oldest->source.ready(&oldest->source, EPOLLIN);
	if (device->nr_waiting < WAITING_MAX)
		return;
	device_log(device, "a client that said nothing makes room for another");
	session_free(device->waiting);
}

static void take_client(struct vfioext_user_device *device, int fd)
{
	int ret;

	if (device->nr_waiting == WAITING_MAX)
		make_room(device);
	ret = session_new(device, fd);
	if (!ret)
		return;
	device_log(device, "a client cannot be served: %s", strerror(-ret));
	close(fd);
}

/* Without a descriptor for him a client is turned away, rather than left waiting. */
static void turn_away(struct vfioext_user_device *device, int error)
{
	struct vfioext_user *server = device->server;
	int fd;

	if (server->spare >= 0)
		close(server->spare);
	fd = accept4(device->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	server->spare = fcntl(server->wake, F_DUPFD_CLOEXEC, 0);
	device_log(device, "a client cannot be served: %s", strerror(error));
}

/* Is it one of those who are to be served, where the mode lets more connect? */
static bool is_allowed(struct vfioext_user_device *device, int fd)
{
	socklen_t size = sizeof(struct ucred);
	struct ucred peer;
	size_t i;

	if (!device->nr_uids)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	if (!peer.uid || peer.uid == geteuid())
		return true;
	for (i = 0; i < device->nr_uids; i++)
		if (device->uids[i] == peer.uid)
			return true;
	device_log(device, "process %d of user %u is refused: it is not allowed", peer.pid,
		   peer.uid);
	return false;
}

static void on_listener(struct source *source, uint32_t events)
{
	struct vfioext_user_device *device = (struct vfioext_user_device *)source;
	int fd;

	(void)events;
	fd = accept4(device->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && !is_allowed(device, fd))
		close(fd);
	else if (fd >= 0)
		take_client(device, fd);
	else if (errno == EMFILE || errno == ENFILE)
		turn_away(device, errno);
}

static int copy_uids(struct vfioext_user_device *device, const struct vfioext_user_socket *how)
{
	uid_t *uids = NULL;

	if (how->nr_uids) {
		uids = malloc(how->nr_uids * sizeof(*uids));
		if (!uids)
			return -ENOMEM;
		memcpy(uids, how->uids, how->nr_uids * sizeof(*uids));
	}
	free(device->uids);
	device->uids = uids;
	device->nr_uids = how->nr_uids;
	return 0;
}

int vfioext_user_device_start(struct vfioext_user_device *device, const char *path, mode_t mode)
{
	const struct vfioext_user_socket how = { .mode = mode };

	return vfioext_user_device_listen(device, path, &how);
}

int vfioext_user_device_listen(struct vfioext_user_device *device, const char *path,
			       const struct vfioext_user_socket *how)
{
	const struct listener_how listen = {
		.mode = how->mode ? how->mode : 0600,
		.has_group = how->has_group,
		.group = how->group,
		.trust_directory = how->trust_directory,
	};
	struct vfioext_user *server = device->server;
	int ret;

	server->ctx->message[0] = '\0';
	if (device->listener.fd >= 0)
		return -EALREADY;
	ret = copy_uids(device, how);
	if (!ret)
		ret = listener_open(server->ctx, &device->listener, path, SOCK_STREAM, &listen);
	if (ret)
		return ret;
	device->source.ready = on_listener;
	ret = server_watch(server, device->listener.fd, EPOLLIN, &device->source);
	if (ret)
		listener_close(&device->listener);
	return ret;
}

int vfioext_user_device_attach(struct vfioext_user_device *device, int fd)
{
	socklen_t size = sizeof(int);
	int type;

	if (device->freed || vfioext_user_device_has_client(device))
		return -EBUSY;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
		return -errno;
	if (type != SOCK_STREAM)
		return -EPROTOTYPE;
	return session_new(device, fd);
}

void vfioext_user_device_detach(struct vfioext_user_device *device)
{
	struct session *session;

	for (session = device->waiting; session; session = session->next)
		session->doomed = true;
	if (device->session)
		device->session->doomed = true;
	server_wake(device->server);
}

void vfioext_user_device_set_dma_timeout(struct vfioext_user_device *device, unsigned int ms)
{
	device->dma_ms = ms;
}

void vfioext_user_device_stop(struct vfioext_user_device *device)
{
	/* What is called for its client is not to take the next one. */
	device->server->inside++;
	while (device->waiting)
		session_free(device->waiting);
	if (device->session)
		session_free(device->session);
	device->server->inside--;
	server_forget(device->server, device->listener.fd, &device->source);
	listener_close(&device->listener);
	listener_init(&device->listener);
}

bool vfioext_user_device_has_client(const struct vfioext_user_device *device)
{
	return device->session || device->waiting;
}

bool vfioext_user_device_is_attached(const struct vfioext_user_device *device)
{
	return device->session;
}

const char *vfioext_user_device_path(const struct vfioext_user_device *device)
{
	return device->listener.fd >= 0 ? device->listener.path : NULL;
}

int vfioext_user_device_memory(struct vfioext_user_device *device,
			       struct vfioext_user_memory **list, size_t *nr)
{
	return memory_copy(&device->memory, list, nr);
}
