// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bad_server.h"

static bool receive_all(int socket, void *to, size_t size, struct letter *letter)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	uint8_t *at = to;
	ssize_t got;

	while (size) {
		struct iovec iov = { at, size };
		struct msghdr msg = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof(control),
		};
		struct cmsghdr *cmsg;

		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
		if (got <= 0)
			return false;
		cmsg = CMSG_FIRSTHDR(&msg);
		if (cmsg) {
			letter->nr_fds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(letter->fds, CMSG_DATA(cmsg), letter->nr_fds * sizeof(int));
		}
		at += got;
		size -= (size_t)got;
	}
	return true;
}

bool letter_receive(int socket, struct letter *letter)
{
	letter->nr_fds = 0;
	if (!receive_all(socket, &letter->header, sizeof(letter->header), letter) ||
	    letter->header.size < sizeof(letter->header) ||
	    letter->header.size > sizeof(letter->header) + BODY_MAX)
		return false;
	letter->size = letter->header.size - sizeof(letter->header);
	return receive_all(socket, letter->body, letter->size, letter);
}

bool letter_send(int socket, const struct letter *letter)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))] = { 0 };
	struct iovec iov[2] = {
		{ (void *)&letter->header, sizeof(letter->header) },
		{ (void *)letter->body, letter->size },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t left = sizeof(letter->header) + letter->size;
	struct cmsghdr *cmsg;
	ssize_t sent;

	if (letter->nr_fds) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(letter->nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(letter->nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), letter->fds, letter->nr_fds * sizeof(int));
	}
	sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (sent > 0 && (size_t)sent < left) {
		left -= (size_t)sent;
		sent = send(socket, letter->body + letter->size - left, left, MSG_NOSIGNAL);
	}
	return sent > 0;
}

static void put_json(struct letter *out, const char *json)
{
	struct vfio_user_version version = { 0, 0 };

	memcpy(out->body, &version, sizeof(version));
	strcpy((char *)out->body + sizeof(version), json);
	out->size = sizeof(version) + strlen(json) + 1;
}

static void answer_version(struct server *server)
{
	struct letter *out = &server->out;
	int pair[2];

	put_json(out, "{\"capabilities\":{\"max_msg_fds\":8}}");
	if (!server->twin)
		return;
	put_json(out, "{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":"
		 "{\"supported\":true,\"fd_index\":0}}}");
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	server->twin_socket = pair[0];
	out->fds[0] = pair[1];
	out->nr_fds = 1;
}

static void answer_info(struct server *server)
{
	struct vfio_user_device_info info = { sizeof(info), VFIO_DEVICE_FLAGS_RESET, 3, 2 };

	memcpy(server->out.body, &info, sizeof(info));
	server->out.size = sizeof(info);
}

/* The first is by messages, the second is mapped, the third in part. */
static void answer_region(struct server *server)
{
	struct {
		struct vfio_region_info info;
		struct vfio_region_info_cap_sparse_mmap sparse;
		struct vfio_region_sparse_mmap_area areas[2];
	} answer = {
		.sparse.header = { VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0 },
		.sparse.nr_areas = 2,
		.areas = { { 0x1000, 0x1000 }, { 0x3000, 0x1000 } },
	};
	struct vfio_region_info asked;
	size_t size = sizeof(answer.info);

	memcpy(&asked, server->in.body, sizeof(asked));
	answer.info = asked;
	answer.info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	answer.info.size = REGION_SIZE;
	answer.info.argsz = sizeof(answer.info);
	if (asked.index)
		answer.info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (asked.index == 2) {
		answer.info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		answer.info.argsz = sizeof(answer);
		answer.info.cap_offset = sizeof(answer.info);
		if (asked.argsz >= sizeof(answer))
			size = sizeof(answer);
	}
	memcpy(server->out.body, &answer, size);
	server->out.size = size;
	if (asked.index) {
		server->out.fds[0] = dup(server->file);
		server->out.nr_fds = 1;
	}
}

static void answer_irq(struct server *server)
{
	struct vfio_user_irq_info info;

	memcpy(&info, server->in.body, sizeof(info));
	info.flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE;
	info.count = 4;
	memcpy(server->out.body, &info, sizeof(info));
	server->out.size = sizeof(info);
}

static void answer_access(struct server *server)
{
	struct vfio_user_region_access access;

	memcpy(&access, server->in.body, sizeof(access));
	memcpy(server->out.body, &access, sizeof(access));
	server->out.size = sizeof(access);
	if (server->in.header.command == VFIO_USER_REGION_WRITE) {
		server->writes++;
		server->no_reply += !!(server->in.header.flags & VFIO_USER_NO_REPLY);
		return;
	}
	if (server->asks)
		server->asks(server);
	/* What was asked may have used the room. */
	memcpy(server->out.body, &access, sizeof(access));
	server->out.nr_fds = 0;
	memset(server->out.body + sizeof(access), 0x5a, access.count);
	server->out.size = sizeof(access) + access.count;
}

static void take_memory(struct server *server)
{
	struct vfio_user_dma_map map;

	memcpy(&map, server->in.body, sizeof(map));
	server->dma_address = map.address;
	if (!server->in.nr_fds)
		return;
	close(server->dma_fd);
	server->dma_fd = server->in.fds[0];
	server->in.nr_fds = 0;
}

/* Each vector is signaled as often as its number says. */
static void take_set(struct server *server)
{
	const struct letter *in = &server->in;
	struct vfio_irq_set set;
	size_t i;

	memcpy(&set, in->body, sizeof(set));
	for (i = 0; i < in->nr_fds; i++)
		eventfd_write(in->fds[i], set.start + i + 1);
	i = server->nr_sets++ % 8;
	server->sets[i].start = set.start;
	server->sets[i].count = set.count;
	server->sets[i].nr_fds = in->nr_fds;
}

static void answer(struct server *server)
{
	struct letter *in = &server->in, *out = &server->out;

	out->size = 0;
	out->nr_fds = 0;
	switch (in->header.command) {
	case VFIO_USER_VERSION:
		answer_version(server);
		break;
	case VFIO_USER_DEVICE_GET_INFO:
		answer_info(server);
		break;
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		answer_region(server);
		break;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		answer_irq(server);
		break;
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		answer_access(server);
		break;
	case VFIO_USER_DEVICE_SET_IRQS:
		take_set(server);
		break;
	case VFIO_USER_DMA_MAP:
		take_memory(server);
		break;
	case VFIO_USER_DMA_UNMAP:
		memcpy(out->body, in->body, in->size);
		out->size = in->size;
		break;
	}
	out->header = in->header;
	out->header.flags = VFIO_USER_REPLY;
	out->header.error = 0;
	out->header.size = (uint32_t)(sizeof(out->header) + out->size);
}

static void put(struct letter *out, size_t offset, uint64_t value, size_t width)
{
	memcpy(out->body + offset, &value, width);
}

static void spoil_body(const struct spoil *spoil, struct letter *out)
{
	switch (spoil->kind) {
	case CUT:
		out->size -= spoil->value;
		break;
	case GROW:
		out->size += spoil->value;
		break;
	case SET16:
		put(out, spoil->offset, spoil->value, 2);
		break;
	case SET32:
		put(out, spoil->offset, spoil->value, 4);
		break;
	case SET64:
		put(out, spoil->offset, spoil->value, 8);
		break;
	case JSON:
		put_json(out, spoil->json);
		break;
	case SURPLUS:
		while (out->nr_fds < spoil->value)
			out->fds[out->nr_fds++] = eventfd(0, EFD_CLOEXEC);
		break;
	case NO_FD:
		while (out->nr_fds)
			close(out->fds[--out->nr_fds]);
		break;
	default:
		break;
	}
	out->header.size = (uint32_t)(sizeof(out->header) + out->size);
}

static void spoil_header(const struct spoil *spoil, struct letter *out)
{
	switch (spoil->kind) {
	case ID:
		out->header.id += spoil->value;
		break;
	case COMMAND:
		out->header.command = (uint16_t)spoil->value;
		break;
	case TYPE:
		out->header.flags = (uint32_t)spoil->value;
		break;
	case ERROR:
		out->header.flags |= VFIO_USER_ERROR;
		out->header.error = (uint32_t)spoil->value;
		out->header.size = sizeof(out->header);
		out->size = 0;
		break;
	case SIZE:
		out->header.size = (uint32_t)spoil->value;
		break;
	default:
		break;
	}
}

static bool is_spoilt(const struct server *server)
{
	struct vfio_region_info asked;

	if (server->spoil.command != server->in.header.command)
		return false;
	memcpy(&asked, server->in.body, sizeof(asked));
	return server->spoil.command != VFIO_USER_DEVICE_GET_REGION_INFO ||
	       (int)asked.index == server->region;
}

/* Return: false if that is the end. */
static bool reply(struct server *server)
{
	struct letter *out = &server->out;

	if (is_spoilt(server)) {
		spoil_body(&server->spoil, out);
		spoil_header(&server->spoil, out);
		if (server->spoil.kind == HANG_UP)
			return false;
		if (server->spoil.kind == SILENT)
			return true;
		if (server->spoil.kind == HALF) {
			send(server->socket, out, sizeof(out->header) + out->size / 2, MSG_NOSIGNAL);
			return false;
		}
	}
	return letter_send(server->socket, out);
}

static void close_fds(struct letter *letter)
{
	while (letter->nr_fds)
		close(letter->fds[--letter->nr_fds]);
}

static void *serve(void *data)
{
	struct server *server = data;
	bool goes_on = true;

	server->socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
	while (goes_on && letter_receive(server->socket, &server->in)) {
		answer(server);
		close_fds(&server->in);
		if (!(server->in.header.flags & VFIO_USER_NO_REPLY))
			goes_on = reply(server);
		close_fds(&server->out);
		if (server->asks_unasked && server->in.header.command == VFIO_USER_DMA_MAP)
			server->asks_unasked(server);
	}
	close(server->socket);
	return NULL;
}

bool server_start(struct server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(server->path, sizeof(server->path), "/tmp/vfioext-distrust-%d.sock", getpid());
	strcpy(address.sun_path, server->path);
	unlink(server->path);
	server->dma_fd = -1;
	server->twin_socket = -1;
	server->file = memfd_create("region", MFD_CLOEXEC);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return !ftruncate(server->file, REGION_SIZE) &&
	       !bind(server->listener, (struct sockaddr *)&address, sizeof(address)) &&
	       !listen(server->listener, 1) &&
	       !pthread_create(&server->thread, NULL, serve, server);
}

void server_stop(struct server *server)
{
	pthread_join(server->thread, NULL);
	close(server->listener);
	close(server->file);
	if (server->dma_fd >= 0)
		close(server->dma_fd);
	if (server->twin_socket >= 0)
		close(server->twin_socket);
	unlink(server->path);
}
