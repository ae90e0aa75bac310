// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our client and servers that break the rules, each in its own way: it must not crash, hang
 * or leak, and tells what is wrong where there is somebody to be told.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <vfioext/user_client.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../../libvfioext/user/wire.h"

#define PAGE 4096
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

static bool receive(int socket, struct letter *letter)
{
	letter->nr_fds = 0;
	if (!receive_all(socket, &letter->header, sizeof(letter->header), letter) ||
	    letter->header.size < sizeof(letter->header) ||
	    letter->header.size > sizeof(letter->header) + BODY_MAX)
		return false;
	letter->size = letter->header.size - sizeof(letter->header);
	return receive_all(socket, letter->body, letter->size, letter);
}

static bool send_letter(int socket, const struct letter *letter)
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
			out->fds[out->nr_fds++] = open("/dev/null", O_RDWR | O_CLOEXEC);
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
	return send_letter(server->socket, out);
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
	while (goes_on && receive(server->socket, &server->in)) {
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

static bool server_start(struct server *server)
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

static void server_stop(struct server *server)
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

/* What is done with a device, one after the other. */
enum step {
	OPEN,
	REGION,
	MAP_REGION,
	SPARSE_REGION,
	IRQ_INFO,
	IRQ_SET,
	READ,
	WRITE,
	DMA_MAP,
	DMA_UNMAP,
	RESET,
	DONE,
};

struct client {
	struct vfioext *ctx;
	struct vfioext_device *device;
	void *memory;
	uint64_t iova;
	int eventfd;
};

static int map_region(struct client *client, unsigned int index)
{
	struct vfioext_region *region;
	size_t i;
	int ret;

	ret = vfioext_region_get(client->device, index, &region);
	if (!ret)
		ret = vfioext_region_map(region);
	/* All that is mapped can be touched, be it there or not. */
	for (i = 0; !ret && i < region->nr_areas; i++)
		vfioext_read32(region, region->areas[i].offset + region->areas[i].size - 4);
	return ret;
}

static int access_region(struct client *client, bool write)
{
	struct vfioext_region *region;
	uint8_t bytes[256] = { 0 };
	int ret;

	ret = vfioext_region_get(client->device, 0, &region);
	if (ret)
		return ret;
	if (write)
		return vfioext_region_write(region, bytes, sizeof(bytes), 0x100);
	ret = vfioext_region_read(region, bytes, sizeof(bytes), 0x100);
	return ret || (bytes[0] == 0x5a && bytes[255] == 0x5a) ? ret : -EILSEQ;
}

static int take_step(struct client *client, const char *path, enum step step)
{
	struct vfioext_region *region;
	struct vfioext_irq_info info;
	char name[80];

	switch (step) {
	case OPEN:
		snprintf(name, sizeof(name), "user:%s", path);
		return vfioext_device_open(client->ctx, name, NULL, &client->device);
	case REGION:
		return vfioext_region_get(client->device, 0, &region);
	case MAP_REGION:
		return map_region(client, 1);
	case SPARSE_REGION:
		return map_region(client, 2);
	case IRQ_INFO:
		return vfioext_irq_get_info(client->device, 1, &info);
	case IRQ_SET:
		return vfioext_irq_set(client->device, 1, 0, &client->eventfd, 1);
	case READ:
	case WRITE:
		return access_region(client, step == WRITE);
	case DMA_MAP:
		return vfioext_dma_map(vfioext_device_container(client->device), client->memory, PAGE,
				       0, &client->iova);
	case DMA_UNMAP:
		return vfioext_dma_unmap(vfioext_device_container(client->device), client->iova,
					 PAGE);
	case RESET:
		return vfioext_device_reset(client->device);
	default:
		return 0;
	}
}

static bool client_start(struct client *client)
{
	memset(client, 0, sizeof(*client));
	client->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	client->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return !vfioext_new(&client->ctx, NULL);
}

static void client_stop(struct client *client)
{
	vfioext_device_close(client->device);
	vfioext_free(client->ctx);
	close(client->eventfd);
	munmap(client->memory, PAGE);
}

static unsigned int count_fds(void)
{
	unsigned int nr = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

#define ARGSZ 0
#define INFO VFIO_USER_DEVICE_GET_INFO
#define REGION_INFO VFIO_USER_DEVICE_GET_REGION_INFO
#define CAPS sizeof(struct vfio_region_info)

static const struct {
	const char *what;
	struct spoil spoil;
	int region;
	enum step step;
	int error;
	bool lost;
} cases[] = {
	{ "nothing", { 0, HONEST }, 0, DONE },
	{ "no capabilities", { VFIO_USER_VERSION, CUT, 35 }, 0, DONE },
	{ "empty capabilities", { VFIO_USER_VERSION, JSON, .json = "{}" }, 0, DONE },
	{ "half a version", { VFIO_USER_VERSION, CUT, 37 }, 0, OPEN, -EPROTO },
	{ "another major version", { VFIO_USER_VERSION, SET16, 1, 0 }, 0, OPEN, -EPROTONOSUPPORT },
	{ "a later minor version", { VFIO_USER_VERSION, SET16, 1, 2 }, 0, OPEN, -EPROTONOSUPPORT },
	{ "no end of the text", { VFIO_USER_VERSION, CUT, 1 }, 0, OPEN, -EPROTO },
	{ "no JSON", { VFIO_USER_VERSION, JSON, .json = "[[[" }, 0, OPEN, -EPROTO },
	{ "an array", { VFIO_USER_VERSION, JSON, .json = "[]" }, 0, OPEN, -EPROTO },
	{ "a negative number", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_msg_fds\":-1}}" }, 0, OPEN, -EPROTO },
	{ "no data at all", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":0}}" }, 0, OPEN, -EPROTO },
	{ "no pages at all", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"pgsizes\":0}}" }, 0, OPEN, -EPROTO },
	{ "small messages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":100}}" }, 0, DONE },
	{ "large messages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_data_xfer_size\":9223372036854775807}}" }, 0, DONE },
	{ "no mappings", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_dma_maps\":0}}" }, 0, DMA_MAP, -ENOSPC },
	{ "large pages", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"pgsizes\":2097152}}" }, 0, DMA_MAP, -EINVAL },
	{ "no descriptors", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"max_msg_fds\":0}}" }, 0, IRQ_SET, -EOPNOTSUPP },
	{ "a second socket that is not there", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}" },
	  0, OPEN, -EPROTO },
	{ "a second socket without a number", { VFIO_USER_VERSION, JSON,
	  .json = "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}" }, 0, OPEN, -EPROTO },
	{ "descriptors with the version", { VFIO_USER_VERSION, SURPLUS, 16 }, 0, DONE },
	{ "more of them than can be", { VFIO_USER_VERSION, SURPLUS, 40 }, 0, DONE },
	{ "an error", { VFIO_USER_VERSION, ERROR, EPERM }, 0, OPEN, -EPERM },
	{ "an error without a number", { VFIO_USER_VERSION, ERROR, 0 }, 0, OPEN, -EIO },
	{ "an error that is none", { VFIO_USER_VERSION, ERROR, 0x80000000 }, 0, OPEN, -EIO },
	{ "another id", { VFIO_USER_VERSION, ID, 1 }, 0, OPEN, -EPROTO },
	{ "another command", { VFIO_USER_VERSION, COMMAND, 5 }, 0, OPEN, -EPROTO },
	{ "another type", { VFIO_USER_VERSION, TYPE, 2 }, 0, OPEN, -EPROTO },
	{ "a size below the header's", { VFIO_USER_VERSION, SIZE, 15 }, 0, OPEN, -EPROTO },
	{ "a size of nothing", { VFIO_USER_VERSION, SIZE, 0 }, 0, OPEN, -EPROTO },
	{ "a size of all", { VFIO_USER_VERSION, SIZE, UINT32_MAX }, 0, OPEN, -EPROTO },
	{ "the end", { VFIO_USER_VERSION, HANG_UP }, 0, OPEN, -ECONNRESET },
	{ "the end, half way", { VFIO_USER_VERSION, HALF }, 0, OPEN, -ECONNRESET },
	{ "a long version", { VFIO_USER_VERSION, GROW, 5000 }, 0, OPEN, -EPROTO },

	{ "a short device", { INFO, CUT, 1 }, 0, OPEN, -EPROTO },
	{ "no device", { INFO, CUT, 16 }, 0, OPEN, -EPROTO },
	{ "a long device", { INFO, GROW, 1 }, 0, OPEN, -EPROTO },
	{ "a device that says it is short", { INFO, SET32, 15, ARGSZ }, 0, OPEN, -EPROTO },
	{ "too many regions", { INFO, SET32, 257, 8 }, 0, OPEN, -EPROTO },
	{ "all regions there can be", { INFO, SET32, UINT32_MAX, 8 }, 0, OPEN, -EPROTO },
	{ "too many kinds of interrupts", { INFO, SET32, UINT32_MAX, 12 }, 0, OPEN, -EPROTO },
	{ "no regions", { INFO, SET32, 0, 8 }, 0, REGION, -EINVAL },
	{ "a PCI device without its regions", { INFO, SET32, 3, 4 }, 0, OPEN, -EINVAL },
	{ "an error of the device", { INFO, ERROR, EIO }, 0, OPEN, -EIO },
	{ "the end of the device", { INFO, HANG_UP }, 0, OPEN, -ENODEV },

	{ "a short region", { REGION_INFO, CUT, 1 }, 0, REGION, -EPROTO },
	{ "an empty region", { REGION_INFO, CUT, 32 }, 0, REGION, -EPROTO },
	{ "a long region", { REGION_INFO, GROW, 8 }, 0, REGION, -EPROTO },
	{ "another region", { REGION_INFO, SET32, 1, 8 }, 0, REGION, -EPROTO },
	{ "a region of no size", { REGION_INFO, SET32, 31, ARGSZ }, 0, REGION, -EPROTO },
	{ "a region that grows", { REGION_INFO, SET32, 0x10000, ARGSZ }, 0, REGION, -EPROTO },
	{ "a region of all sizes", { REGION_INFO, SET32, UINT32_MAX, ARGSZ }, 0, REGION, -EPROTO },
	{ "a region of the largest size", { REGION_INFO, SET64, UINT64_MAX, 16 }, 0, REGION, -EPROTO },
	{ "capabilities that are not there", { REGION_INFO, SET32, 11, 4 }, 0, REGION, -EPROTO },
	{ "no such region", { REGION_INFO, ERROR, EINVAL }, 1, MAP_REGION, -ENOTSUP },
	{ "a region without its file", { REGION_INFO, NO_FD }, 1, MAP_REGION, -ENOTSUP },
	{ "a region of many files", { REGION_INFO, SURPLUS, 16 }, 1, DONE },
	{ "a region of too many files", { REGION_INFO, SURPLUS, 40 }, 1, DONE },
	{ "a file for a region by messages", { REGION_INFO, SURPLUS, 2 }, 0, DONE },
	{ "a region larger than its file", { REGION_INFO, SET64, 0x100000, 16 }, 1, DONE },
	{ "a region behind its file", { REGION_INFO, SET64, 0x100000, 24 }, 1, DONE },
	{ "a region behind all files", { REGION_INFO, SET64, INT64_MAX & ~0xfffULL, 24 }, 1,
	  MAP_REGION, -EPROTO },
	{ "a region in the middle of a page", { REGION_INFO, SET64, 1, 24 }, 1, MAP_REGION, -ENOTSUP },
	{ "capabilities nowhere", { REGION_INFO, SET32, UINT32_MAX, 12 }, 2, SPARSE_REGION, -EPROTO },
	{ "capabilities in the head", { REGION_INFO, SET32, 4, 12 }, 2, SPARSE_REGION, -EPROTO },
	{ "capabilities in a circle", { REGION_INFO, SET32, CAPS, CAPS + 4 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "too many areas", { REGION_INFO, SET32, 3, CAPS + 8 }, 2, SPARSE_REGION, -EPROTO },
	{ "all areas", { REGION_INFO, SET32, UINT32_MAX, CAPS + 8 }, 2, SPARSE_REGION, -EPROTO },
	{ "an area out of order", { REGION_INFO, SET64, 0x3000, CAPS + 16 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "an area behind the end", { REGION_INFO, SET64, 0x2000, CAPS + 40 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "an area off its page", { REGION_INFO, SET64, 0x1001, CAPS + 16 }, 2, SPARSE_REGION,
	  -EPROTO },
	{ "areas that are not there", { REGION_INFO, CUT, 16 }, 2, SPARSE_REGION, -EPROTO },

	{ "short interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, CUT, 4 }, 0, IRQ_INFO, -EPROTO },
	{ "other interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, SET32, 0, 8 }, 0, IRQ_INFO, -EPROTO },
	{ "all interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, SET32, UINT32_MAX, 12 }, 0, IRQ_INFO,
	  -EPROTO },
	{ "no interrupts", { VFIO_USER_DEVICE_GET_IRQ_INFO, SET32, 0, 12 }, 0, IRQ_SET, -EINVAL },
	{ "interrupts with more", { VFIO_USER_DEVICE_SET_IRQS, GROW, 1 }, 0, IRQ_SET, -EPROTO },
	{ "interrupts with descriptors", { VFIO_USER_DEVICE_SET_IRQS, SURPLUS, 3 }, 0, DONE },
	{ "interrupts refused", { VFIO_USER_DEVICE_SET_IRQS, ERROR, ENOSPC }, 0, IRQ_SET, -ENOSPC },
	{ "interrupts of another", { VFIO_USER_DEVICE_SET_IRQS, ID, 3 }, 0, IRQ_SET, -ENODEV, true },

	{ "fewer bytes", { VFIO_USER_REGION_READ, CUT, 1 }, 0, READ, -EPROTO },
	{ "no bytes", { VFIO_USER_REGION_READ, CUT, 256 }, 0, READ, -EPROTO },
	{ "not even their number", { VFIO_USER_REGION_READ, CUT, 260 }, 0, READ, -EPROTO },
	{ "more bytes", { VFIO_USER_REGION_READ, GROW, 1 }, 0, READ, -EPROTO },
	{ "many more bytes", { VFIO_USER_REGION_READ, GROW, 0x100000 }, 0, READ, -EPROTO },
	{ "another number of bytes", { VFIO_USER_REGION_READ, SET32, 255, 12 }, 0, READ, -EPROTO },
	{ "bytes from elsewhere", { VFIO_USER_REGION_READ, SET64, 0x101, 0 }, 0, READ, -EPROTO },
	{ "bytes of another region", { VFIO_USER_REGION_READ, SET32, 1, 8 }, 0, READ, -EPROTO },
	{ "bytes of another answer", { VFIO_USER_REGION_READ, ID, 0x8000 }, 0, READ, -ENODEV, true },
	{ "bytes of another command", { VFIO_USER_REGION_READ, COMMAND, 10 }, 0, READ, -ENODEV, true },
	{ "bytes with descriptors", { VFIO_USER_REGION_READ, SURPLUS, 2 }, 0, DONE },
	{ "an end", { VFIO_USER_REGION_READ, HANG_UP }, 0, READ, -ENODEV, true },
	{ "half an answer", { VFIO_USER_REGION_READ, HALF }, 0, READ, -ENODEV, true },
	{ "an answer too large", { VFIO_USER_REGION_READ, SIZE, 0x200000 }, 0, READ, -ENODEV, true },
	{ "written elsewhere", { VFIO_USER_REGION_WRITE, SET64, 7, 0 }, 0, WRITE, -EPROTO },
	{ "written in part", { VFIO_USER_REGION_WRITE, SET32, 255, 12 }, 0, WRITE, -EPROTO },
	{ "written, and more", { VFIO_USER_REGION_WRITE, GROW, 4 }, 0, WRITE, -EPROTO },
	{ "not written", { VFIO_USER_REGION_WRITE, ERROR, EROFS }, 0, WRITE, -EROFS },

	{ "memory that is refused", { VFIO_USER_DMA_MAP, ERROR, EEXIST }, 0, DMA_MAP, -EEXIST },
	{ "memory with more", { VFIO_USER_DMA_MAP, GROW, 8 }, 0, DMA_MAP, -EPROTO },
	{ "memory, and the end", { VFIO_USER_DMA_MAP, HANG_UP }, 0, DMA_MAP, -ENODEV, true },
	{ "memory that is kept", { VFIO_USER_DMA_UNMAP, ERROR, EBUSY }, 0, DMA_UNMAP, -EBUSY },
	{ "memory that is not known", { VFIO_USER_DMA_UNMAP, ERROR, ENOENT }, 0, DONE },
	{ "memory that goes with the server", { VFIO_USER_DMA_UNMAP, HANG_UP }, 0, RESET, -ENODEV,
	  true },
	{ "a reset that fails", { VFIO_USER_DEVICE_RESET, ERROR, EIO }, 0, RESET, -EIO },
	{ "a reset, and the end", { VFIO_USER_DEVICE_RESET, HANG_UP }, 0, RESET, -ENODEV, true },
	{ "a reset with more", { VFIO_USER_DEVICE_RESET, GROW, 1 }, 0, RESET, -EPROTO },
};

#define NR_CASES (sizeof(cases) / sizeof(cases[0]))

FIXTURE(distrust) {
	struct server server;
	struct client client;
};

FIXTURE_SETUP(distrust)
{
	memset(&self->server, 0, sizeof(self->server));
}

FIXTURE_TEARDOWN(distrust)
{
	(void)self;
}

static bool begin(struct server *server, struct client *client)
{
	return server_start(server) && client_start(client);
}

static void end(struct server *server, struct client *client)
{
	client_stop(client);
	server_stop(server);
}

TEST_F(distrust, each_in_turn)
{
	unsigned int before, i;
	enum step step;
	int ret;

	for (i = 0; i < NR_CASES; i++) {
		before = count_fds();
		memset(&self->server, 0, offsetof(struct server, in));
		self->server.spoil = cases[i].spoil;
		self->server.region = cases[i].region;
		ASSERT_TRUE(begin(&self->server, &self->client));
		for (step = OPEN, ret = 0; step < DONE && !ret;) {
			ret = take_step(&self->client, self->server.path, step);
			if (!ret)
				step++;
		}
		EXPECT_EQ(cases[i].step, step)
			TH_LOG("%s: %d", cases[i].what, ret);
		EXPECT_EQ(cases[i].error, ret)
			TH_LOG("%s: %s", cases[i].what, vfioext_message(self->client.ctx));
		if (ret && (step == OPEN || (step == RESET && cases[i].lost)))
			EXPECT_STRNE("", vfioext_message(self->client.ctx));
		if (ret == -ENODEV && (step == OPEN || step == RESET))
			EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "has gone"))
				TH_LOG("%s", cases[i].what);
		if (self->client.device)
			EXPECT_EQ(cases[i].lost, vfioext_device_lost(self->client.device))
				TH_LOG("%s", cases[i].what);
		end(&self->server, &self->client);
		EXPECT_EQ(before, count_fds())
			TH_LOG("%s", cases[i].what);
	}
}

/* A question of the server's, and what is to come of it. */
static int ask_on(struct server *server, int socket, uint16_t command, uint64_t address,
		  uint64_t count, size_t data)
{
	struct vfio_user_dma_access access = { address, count };
	struct letter *out = &server->out;

	memcpy(out->body, &access, sizeof(access));
	memset(out->body + sizeof(access), 0x77, data);
	out->nr_fds = 0;
	out->size = sizeof(access) + data;
	out->header = (struct vfio_user_header){
		.id = 0xabcd, .command = command, .size = (uint32_t)(sizeof(out->header) + out->size),
	};
	if (!send_letter(socket, out) || !receive(socket, out) || out->header.id != 0xabcd ||
	    out->header.command != command || (out->header.flags & 0xf) != VFIO_USER_REPLY)
		return -1000;
	if (out->header.flags & VFIO_USER_ERROR)
		return out->size ? -1001 : -(int)out->header.error;
	memcpy(&access, out->body, sizeof(access));
	if (out->size != sizeof(access) + (command == VFIO_USER_DMA_READ ? count : 0) ||
	    access.address != address || access.count != count)
		return -1002;
	return 0;
}

static const struct {
	uint16_t command;
	int64_t offset;
	uint64_t count;
	size_t data;
	int error;
} questions[] = {
	{ VFIO_USER_DMA_READ, 0, PAGE, 0, 0 },
	{ VFIO_USER_DMA_READ, PAGE - 1, 1, 0, 0 },
	{ VFIO_USER_DMA_WRITE, 0x10, 0x20, 0x20, 0 },
	{ VFIO_USER_DMA_READ, 0, PAGE + 1, 0, -EFAULT },
	{ VFIO_USER_DMA_READ, -1, 2, 0, -EFAULT },
	{ VFIO_USER_DMA_READ, PAGE, 1, 0, -EFAULT },
	{ VFIO_USER_DMA_WRITE, PAGE - 8, 16, 16, -EFAULT },
	{ VFIO_USER_DMA_READ, 0, UINT64_MAX, 0, -E2BIG },
	{ VFIO_USER_DMA_READ, 0, 1ULL << 32, 0, -E2BIG },
	{ VFIO_USER_DMA_READ, INT64_MIN, 0x100000, 0, -EFAULT },
	{ VFIO_USER_DMA_READ, 0, 16, 8, -EINVAL },
	{ VFIO_USER_DMA_WRITE, 0, 16, 8, -EINVAL },
	{ VFIO_USER_DMA_WRITE, 0, 8, 16, -EINVAL },
	{ VFIO_USER_DMA_WRITE, 0, UINT64_MAX, 16, -E2BIG },
	{ VFIO_USER_REGION_READ, 0, 16, 0, -ENOSYS },
	{ VFIO_USER_VERSION, 0, 16, 0, -ENOSYS },
	{ 0xffff, 0, 16, 0, -ENOSYS },
};

#define NR_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void ask_all(struct server *server, int socket)
{
	unsigned int i;

	for (i = 0; i < NR_QUESTIONS; i++)
		server->results[i] = ask_on(server, socket, questions[i].command,
					    server->dma_address + (uint64_t)questions[i].offset,
					    questions[i].count, questions[i].data);
	server->done = 1;
}

static void ask_within(struct server *server)
{
	ask_all(server, server->socket);
}

static void ask_twin(struct server *server)
{
	ask_all(server, server->twin_socket);
}

static bool wait_done(const struct server *server)
{
	int i;

	for (i = 0; i < 5000 && !server->done; i++)
		usleep(1000);
	return server->done;
}

static void check_answers(struct __test_metadata *_metadata, struct server *server,
			  const uint8_t *memory)
{
	unsigned int i;

	EXPECT_TRUE(wait_done(server));
	for (i = 0; i < NR_QUESTIONS; i++)
		EXPECT_EQ(questions[i].error, server->results[i])
			TH_LOG("question %u", i);
	EXPECT_EQ(0, memory[0x0f]);
	EXPECT_EQ(0x77, memory[0x10]);
	EXPECT_EQ(0x77, memory[0x2f]);
	EXPECT_EQ(0, memory[0x30]);
	EXPECT_EQ(0, memory[PAGE - 8]);
}

/* Asked by who waits for an answer himself. */
TEST_F(distrust, asks_within_a_call)
{
	self->server.asks = ask_within;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	check_answers(_metadata, &self->server, self->client.memory);
	end(&self->server, &self->client);
}

/* While nobody calls. */
TEST_F(distrust, asks_unasked)
{
	self->server.asks_unasked = ask_within;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	check_answers(_metadata, &self->server, self->client.memory);
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	end(&self->server, &self->client);
}

/* On the second socket, while somebody waits on the first. */
TEST_F(distrust, asks_on_the_second_socket)
{
	self->server.asks = ask_twin;
	self->server.twin = true;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	check_answers(_metadata, &self->server, self->client.memory);
	end(&self->server, &self->client);
}

static void ask_what_was(struct server *server)
{
	server->results[0] = ask_on(server, server->socket, VFIO_USER_DMA_READ, server->dma_address,
				    16, 0);
	server->results[1] = ask_on(server, server->socket, VFIO_USER_DMA_WRITE,
				    server->dma_address, 16, 16);
	server->done = 1;
}

TEST_F(distrust, memory_that_is_unmapped)
{
	self->server.asks = ask_what_was;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(0, self->server.results[0]);
	EXPECT_EQ(0, self->server.results[1]);
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_UNMAP));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(-EFAULT, self->server.results[0]);
	EXPECT_EQ(-EFAULT, self->server.results[1]);
	end(&self->server, &self->client);
}

TEST_F(distrust, what_devices_may_not)
{
	struct vfioext_container *container;

	self->server.asks = ask_what_was;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	container = vfioext_device_container(self->client.device);
	ASSERT_EQ(0, vfioext_dma_map(container, self->client.memory, PAGE, VFIOEXT_DMA_READ,
				     &self->client.iova));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(0, self->server.results[0]);
	EXPECT_EQ(-EFAULT, self->server.results[1]);
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_UNMAP));
	ASSERT_EQ(0, vfioext_dma_map(container, self->client.memory, PAGE, VFIOEXT_DMA_WRITE,
				     &self->client.iova));
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(-EFAULT, self->server.results[0]);
	EXPECT_EQ(0, self->server.results[1]);
	end(&self->server, &self->client);
}

/* The file of our memory is the server's as well: it must stay as long as it is. */
TEST_F(distrust, file_is_not_made_shorter)
{
	uint64_t iova;
	uint8_t *memory;

	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->client.device), 4 * PAGE, 0,
				       (void **)&memory, &iova));
	ASSERT_LE(0, self->server.dma_fd);
	EXPECT_EQ(-1, ftruncate(self->server.dma_fd, 0));
	EXPECT_EQ(-1, ftruncate(self->server.dma_fd, 8 * PAGE));
	memory[3 * PAGE] = 1;
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	end(&self->server, &self->client);
	munmap(memory, 4 * PAGE);
}

TEST_F(distrust, writes_that_nobody_waits_for)
{
	struct vfioext_region *region;
	unsigned int i;

	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, vfioext_region_get(self->client.device, 0, &region));
	for (i = 0; i < 100; i++)
		vfioext_write32(region, i * 4, i);
	EXPECT_EQ(0, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(100, self->server.writes);
	EXPECT_EQ(100, self->server.no_reply);
	EXPECT_EQ(0, take_step(&self->client, self->server.path, WRITE));
	EXPECT_EQ(101, self->server.writes);
	EXPECT_EQ(100, self->server.no_reply);
	/* What is mapped must not overtake them. */
	EXPECT_EQ(0, take_step(&self->client, self->server.path, MAP_REGION));
	vfioext_write32(region, 0, 1);
	EXPECT_EQ(102, self->server.writes);
	EXPECT_EQ(100, self->server.no_reply);
	end(&self->server, &self->client);
}

/* A server that says nothing of itself takes one descriptor with a message. */
TEST_F(distrust, one_descriptor_with_a_message)
{
	eventfd_t count;
	int fds[3], i;

	self->server.spoil = (struct spoil){ VFIO_USER_VERSION, JSON, .json = "{}" };
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	for (i = 0; i < 3; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_EQ(0, vfioext_irq_set(self->client.device, 1, 0, fds, 3));
	ASSERT_EQ(3, self->server.nr_sets);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(i, self->server.sets[i].start);
		EXPECT_EQ(1, self->server.sets[i].count);
		EXPECT_EQ(1, self->server.sets[i].nr_fds);
		EXPECT_EQ(0, eventfd_read(fds[i], &count));
		EXPECT_EQ(i + 1, count);
		close(fds[i]);
	}
	end(&self->server, &self->client);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

TEST_F(distrust, says_nothing)
{
	long begun;

	self->server.spoil = (struct spoil){ VFIO_USER_REGION_READ, SILENT };
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, vfioext_device_watch(self->client.device, NULL, NULL));
	begun = now_ms();
	EXPECT_EQ(-ENODEV, take_step(&self->client, self->server.path, READ));
	EXPECT_LE(4900, now_ms() - begun);
	EXPECT_GT(9000, now_ms() - begun);
	EXPECT_TRUE(vfioext_device_lost(self->client.device));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->client.device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "silent for 5 s"));
	end(&self->server, &self->client);
}

TEST_F(distrust, says_nothing_at_first)
{
	self->server.spoil = (struct spoil){ VFIO_USER_VERSION, SILENT };
	ASSERT_TRUE(begin(&self->server, &self->client));
	EXPECT_EQ(-ETIMEDOUT, take_step(&self->client, self->server.path, OPEN));
	EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "silent for 5 s"));
	end(&self->server, &self->client);
}

/* It asks and asks, and never answers. */
static void ask_on_and_on(struct server *server)
{
	while (!ask_on(server, server->socket, VFIO_USER_DMA_READ, server->dma_address, 16, 0))
		server->done++;
}

TEST_F(distrust, never_stops_asking)
{
	long begun;

	self->server.asks = ask_on_and_on;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	begun = now_ms();
	EXPECT_EQ(-ENODEV, take_step(&self->client, self->server.path, READ));
	EXPECT_GT(9000, now_ms() - begun);
	EXPECT_LT(100, self->server.done);
	end(&self->server, &self->client);
}

/* It asks for much, and takes nothing of it. */
static void ask_without_end(struct server *server)
{
	struct vfio_user_dma_access access = { server->dma_address, PAGE };
	struct letter *out = &server->out;

	memcpy(out->body, &access, sizeof(access));
	out->nr_fds = 0;
	out->size = sizeof(access);
	out->header = (struct vfio_user_header){
		.command = VFIO_USER_DMA_READ, .size = (uint32_t)(sizeof(out->header) + out->size),
	};
	while (send_letter(server->socket, out))
		server->done++;
}

TEST_F(distrust, takes_no_answers)
{
	self->server.asks = ask_without_end;
	ASSERT_TRUE(begin(&self->server, &self->client));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, OPEN));
	ASSERT_EQ(0, take_step(&self->client, self->server.path, DMA_MAP));
	ASSERT_EQ(0, vfioext_device_watch(self->client.device, NULL, NULL));
	EXPECT_EQ(-ENODEV, take_step(&self->client, self->server.path, READ));
	EXPECT_EQ(1, vfioext_device_watch_dispatch(self->client.device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->client.ctx), "does not take"));
	EXPECT_LT(0x2000000 / PAGE, self->server.done);
	end(&self->server, &self->client);
}

TEST_HARNESS_MAIN
