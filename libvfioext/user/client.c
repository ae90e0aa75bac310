// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Devices that are served elsewhere, behind the same calls as those of the kernel. What a
 * server says is believed only as far as it does no harm.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vfioext/dma.h>
#include <vfioext/user_client.h>

#include "../context.h"
#include "../remote.h"
#include "../share_message.h"
#include "connection.h"
#include "guard.h"

/* More than any device has. */
#define REGIONS_MAX 256
#define IRQS_MAX 256
#define VECTORS_MAX 65536
#define INFO_MAX 65536

/* What a server says of itself. */
#define VERSION_MAX (sizeof(struct vfio_user_version) + VERSION_JSON_MAX)

/*
 * @fds: of regions that can be mapped, else -1
 * @guards: of those that are
 */
struct client {
	struct remote remote;
	struct connection connection;
	int fds[REGIONS_MAX];
	struct guarded guards[REGIONS_MAX];
};

static struct client *client_of(struct remote *remote)
{
	return (struct client *)remote;
}

/* The server is asked for no more than it can take, nor we for more than is usual. */
static int check_peer(struct capabilities *peer)
{
	if (!peer->max_data_xfer_size || !peer->pgsizes)
		return -EPROTO;
	if (peer->max_data_xfer_size > CHANNEL_DATA_MAX)
		peer->max_data_xfer_size = CHANNEL_DATA_MAX;
	if (peer->max_msg_fds > CHANNEL_FDS)
		peer->max_msg_fds = CHANNEL_FDS;
	return 0;
}

/* A second socket that was promised, and is none, would be one that we do not listen to. */
static int take_twin(struct connection *connection, int fd)
{
	struct capabilities *peer = &connection->peer;
	int ret;

	if (!peer->twin_socket)
		return 0;
	/* Of several descriptors the first alone was taken. */
	if (fd < 0 || peer->twin_index)
		return -EPROTO;
	ret = channel_open(&connection->twin, fd, connection->closer);
	return ret ? ret : 1;
}

static int take_version(struct connection *connection, const uint8_t *answer, size_t size, int fd)
{
	struct vfio_user_version version;

	if (size < sizeof(version))
		return -EPROTO;
	memcpy(&version, answer, sizeof(version));
	if (version.major != VFIO_USER_MAJOR || version.minor > VFIO_USER_MINOR)
		return -EPROTONOSUPPORT;
	if (capabilities_parse(&connection->peer, answer + sizeof(version), size - sizeof(version)) ||
	    check_peer(&connection->peer))
		return -EPROTO;
	return take_twin(connection, fd);
}

/* Return: a request for the version, to be freed. */
static uint8_t *format_request(size_t *size)
{
	struct vfio_user_version version = { VFIO_USER_MAJOR, VFIO_USER_MINOR };
	struct capabilities ours = {
		.max_msg_fds = CHANNEL_FDS,
		.max_data_xfer_size = CHANNEL_DATA_MAX,
		.max_dma_maps = USER_MAPS_MAX,
		.pgsizes = (uint64_t)sysconf(_SC_PAGESIZE),
		.twin_socket = true,
		.twin_index = -1,
	};
	char *json = capabilities_format(&ours);
	uint8_t *request;

	if (!json)
		return NULL;
	*size = sizeof(version) + strlen(json) + 1;
	request = malloc(*size);
	if (request) {
		memcpy(request, &version, sizeof(version));
		memcpy(request + sizeof(version), json, *size - sizeof(version));
	}
	free(json);
	return request;
}

static int agree(struct connection *connection)
{
	struct call call = { .command = VFIO_USER_VERSION, .timeout_ms = ANSWER_MS };
	uint8_t *request = format_request(&call.size), answer[VERSION_MAX];
	int fd = -1, ret;

	if (!request)
		return -ENOMEM;
	call.body = request;
	call.answer = answer;
	call.room = sizeof(answer);
	call.fd = &fd;
	ret = connection_call(connection, &call);
	free(request);
	if (!ret)
		ret = take_version(connection, answer, call.answered, fd);
	if (ret <= 0 && fd >= 0)
		closer_close(connection->closer, fd);
	return ret < 0 ? ret : 0;
}

static int fail_open(struct vfioext *ctx, const struct connection *connection, const char *path,
		     int ret)
{
	if (connection->is_dead)
		return context_fail(ctx, connection->error, "%s: %s", path, connection->reason);
	if (ret == -EBUSY)
		return context_fail(ctx, ret, "%s: another client has the device", path);
	return context_fail(ctx, ret, "%s: its server and we agree on no version: %s", path,
			    strerror(-ret));
}

/* The files of regions may be the device's own, which somebody waits for. */
static void client_shut(struct remote *remote)
{
	struct client *client = client_of(remote);
	unsigned int i;

	connection_shut(&client->connection);
	for (i = 0; i < REGIONS_MAX; i++) {
		if (client->fds[i] >= 0)
			close(client->fds[i]);
		client->fds[i] = -1;
	}
}

static void client_close(struct remote *remote)
{
	struct client *client = client_of(remote);

	client_shut(remote);
	connection_close(&client->connection);
	free(client);
}

static const struct remote_ops client_ops;

static int client_open(struct vfioext *ctx, const char *path, void (*lost)(void *data), void *data,
		       struct remote **remote)
{
	struct client *client;
	int fd, ret;

	fd = share_connect_as(path, SOCK_STREAM, ANSWER_MS);
	if (fd == -ECONNREFUSED)
		return context_fail(ctx, fd, "nobody listens at %s", path);
	if (fd < 0)
		return context_fail(ctx, fd, "%s: %s", path, strerror(-fd));
	client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	memset(client->fds, 0xff, sizeof(client->fds));
	client->remote.ops = &client_ops;
	ret = connection_open(&client->connection, fd);
	if (!ret)
		ret = agree(&client->connection);
	if (ret) {
		ret = fail_open(ctx, &client->connection, path, ret);
		client_close(&client->remote);
		/* cppcheck-suppress memleak ; client_close() frees it */
		return ret;
	}
	client->connection.lost = lost;
	client->connection.data = data;
	*remote = &client->remote;
	return 0;
}

/* A question whose answer has the same form. Return: 0, -EPROTO, or an error. */
static int ask(struct client *client, uint16_t command, const void *asked, void *told,
	       size_t size)
{
	struct call call = {
		.command = command,
		.body = asked,
		.size = size,
		.answer = told,
		.room = size,
		.timeout_ms = ANSWER_MS,
	};
	int ret = connection_call(&client->connection, &call);

	if (!ret && call.answered < size)
		ret = -EPROTO;
	return ret;
}

static int get_info(struct client *client, struct vfio_device_info *info)
{
	struct vfio_user_device_info asked = { .argsz = sizeof(asked) }, told;
	int ret = ask(client, VFIO_USER_DEVICE_GET_INFO, &asked, &told, sizeof(told));

	if (ret)
		return ret;
	if (told.argsz < sizeof(told) ||
	    told.num_regions > REGIONS_MAX || told.num_irqs > IRQS_MAX)
		return -EPROTO;
	info->flags = told.flags;
	info->num_regions = told.num_regions;
	info->num_irqs = told.num_irqs;
	return 0;
}

/* The answer is as long as it says, or has its fixed part alone. */
static bool is_region(const struct vfio_region_info *asked, const struct vfio_region_info *told,
		      size_t size)
{
	if (size < sizeof(*told) || told->index != asked->index || told->argsz < sizeof(*told) ||
	    told->argsz > INFO_MAX)
		return false;
	return told->argsz > asked->argsz || size == told->argsz;
}

/* To touch a file of the server's own file system would be to wait for the server. */
static void take_fd(struct client *client, unsigned int region, int fd)
{
	if (fd < 0)
		return;
	if (!peer_file_is_region(fd)) {
		closer_close(client->connection.closer, fd);
		return;
	}
	if (client->fds[region] >= 0)
		close(client->fds[region]);
	client->fds[region] = fd;
}

static int get_region_info(struct client *client, struct vfio_region_info *info)
{
	struct vfio_region_info asked = { .argsz = info->argsz, .index = info->index };
	int fd = -1, ret;
	struct call call = {
		.command = VFIO_USER_DEVICE_GET_REGION_INFO,
		.body = &asked,
		.size = sizeof(asked),
		.answer = info,
		.room = info->argsz,
		.fd = &fd,
		.timeout_ms = ANSWER_MS,
	};

	if (info->index >= REGIONS_MAX)
		return -EINVAL;
	ret = connection_call(&client->connection, &call);
	if (ret)
		return ret;
	take_fd(client, asked.index, fd);
	if (!is_region(&asked, info, call.answered))
		return -EPROTO;
	if (client->fds[asked.index] < 0)
		info->flags &= ~VFIO_REGION_INFO_FLAG_MMAP;
	/* It is of no use but to map it. */
	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		info->offset = 0;
	return 0;
}

static int get_irq_info(struct client *client, struct vfio_irq_info *info)
{
	struct vfio_user_irq_info asked = { .argsz = sizeof(asked), .index = info->index };
	struct vfio_user_irq_info told;
	int ret = ask(client, VFIO_USER_DEVICE_GET_IRQ_INFO, &asked, &told, sizeof(told));

	if (ret)
		return ret;
	if (told.argsz < sizeof(told) || told.index != asked.index || told.count > VECTORS_MAX)
		return -EPROTO;
	info->flags = told.flags;
	info->count = told.count;
	return 0;
}

static int send_set(struct client *client, const struct vfio_irq_set *set, const void *data,
		    size_t size, const int *fds, size_t nr_fds)
{
	struct call call = {
		.command = VFIO_USER_DEVICE_SET_IRQS,
		.body = set,
		.size = sizeof(*set),
		.data = data,
		.data_size = size,
		.fds = fds,
		.nr_fds = nr_fds,
		.timeout_ms = ANSWER_MS,
	};

	return connection_call(&client->connection, &call);
}

/* Vectors that follow each other and have an eventfd each, or none of them has one. */
static uint32_t run_length(const int32_t *fds, uint32_t count, uint32_t max)
{
	uint32_t nr = 1;

	while (nr < count && (fds[nr] < 0) == (fds[0] < 0) && (fds[0] < 0 || nr < max))
		nr++;
	return nr;
}

/* A message without descriptors takes those away that were there. */
static int set_run(struct client *client, const struct vfio_irq_set *all, uint32_t first,
		   uint32_t count, const int *fds)
{
	struct vfio_irq_set set = *all;

	set.argsz = sizeof(set);
	set.start = first;
	set.count = count;
	return send_set(client, &set, NULL, 0, fds, fds ? count : 0);
}

/* As the kernel does: if it fails, these vectors have nothing. */
static int set_eventfds(struct client *client, const struct vfio_irq_set *set)
{
	uint32_t max = (uint32_t)client->connection.peer.max_msg_fds, done, nr = 0;
	const int32_t *fds = (const int32_t *)set->data;
	int ret = 0;

	for (done = 0; done < set->count && !ret; done += nr) {
		nr = run_length(fds + done, set->count - done, max);
		if (fds[done] < 0)
			ret = set_run(client, set, set->start + done, nr, NULL);
		else if (!max)
			ret = -EOPNOTSUPP;
		else
			ret = set_run(client, set, set->start + done, nr, fds + done);
	}
	if (ret && done > nr)
		set_run(client, set, set->start, done - nr, NULL);
	return ret;
}

/* Servers have EINVAL for all that cannot be; the kernel has another error for this. */
static int explain(struct client *client, const struct vfio_irq_set *set, int error)
{
	struct vfio_irq_info info = { .index = set->index };

	if (error != -EINVAL || set->flags & VFIO_IRQ_SET_ACTION_TRIGGER ||
	    get_irq_info(client, &info) || info.flags & VFIO_IRQ_INFO_MASKABLE)
		return error;
	return -ENOTTY;
}

static int set_irqs(struct client *client, const struct vfio_irq_set *set)
{
	size_t data = set->flags & VFIO_IRQ_SET_DATA_BOOL ? set->count : 0;
	struct vfio_irq_set fixed = *set;
	int ret;

	fixed.argsz = (uint32_t)(sizeof(fixed) + data);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		ret = set_eventfds(client, set);
	else
		ret = send_set(client, &fixed, set->data, data, NULL, 0);
	return ret ? explain(client, set, ret) : 0;
}

static int reset(struct client *client)
{
	struct call call = { .command = VFIO_USER_DEVICE_RESET, .timeout_ms = RESET_MS };

	return connection_call(&client->connection, &call);
}

static int client_command(struct remote *remote, unsigned long request, void *argument)
{
	struct client *client = client_of(remote);

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(client, argument);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(client, argument);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(client, argument);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(client, argument);
	case VFIO_DEVICE_RESET:
		return reset(client);
	default:
		return -ENOTTY;
	}
}

/* All of it was done, and what was asked for. */
static int check_access(const struct call *call, const struct vfio_user_region_access *asked,
			const struct vfio_user_region_access *told)
{
	if (call->answered != sizeof(*told) + call->rest_room || told->offset != asked->offset ||
	    told->region != asked->region || told->count != asked->count)
		return -EPROTO;
	return 0;
}

static int access_part(struct client *client, const struct vfio_user_region_access *asked,
		       void *buffer, const void *data)
{
	struct vfio_user_region_access told = { 0 };
	struct call call = {
		.command = data ? VFIO_USER_REGION_WRITE : VFIO_USER_REGION_READ,
		.body = asked,
		.size = sizeof(*asked),
		.data = data,
		.data_size = data ? asked->count : 0,
		.answer = &told,
		.room = sizeof(told),
		.rest = buffer,
		.rest_room = buffer ? asked->count : 0,
		.timeout_ms = ANSWER_MS,
	};
	int ret = connection_call(&client->connection, &call);

	return ret ? ret : check_access(&call, asked, &told);
}

static uint32_t part_of(const struct client *client, size_t size)
{
	uint64_t max = client->connection.peer.max_data_xfer_size;

	return (uint32_t)(size < max ? size : max);
}

static int client_read(struct remote *remote, unsigned int region, void *buffer, size_t size,
		       uint64_t offset)
{
	struct vfio_user_region_access part = { .offset = offset, .region = region };
	struct client *client = client_of(remote);
	uint8_t *at = buffer;
	int ret = 0;

	for (; size && !ret; size -= part.count) {
		part.count = part_of(client, size);
		ret = access_part(client, &part, at, NULL);
		at += part.count;
		part.offset += part.count;
	}
	return ret;
}

static int post(struct client *client, const struct vfio_user_region_access *part,
		const void *data)
{
	struct call call = {
		.command = VFIO_USER_REGION_WRITE,
		.body = part,
		.size = sizeof(*part),
		.data = data,
		.data_size = part->count,
	};

	return connection_post(&client->connection, &call);
}

static int client_write(struct remote *remote, unsigned int region, const void *buffer,
			size_t size, uint64_t offset, bool posted)
{
	struct vfio_user_region_access part = { .offset = offset, .region = region };
	struct client *client = client_of(remote);
	const uint8_t *at = buffer;
	int ret = 0;

	for (; size && !ret; size -= part.count) {
		part.count = part_of(client, size);
		ret = posted ? post(client, &part, at) : access_part(client, &part, NULL, at);
		at += part.count;
		part.offset += part.count;
	}
	return ret;
}

static int client_region_fd(struct remote *remote, unsigned int region)
{
	return region < REGIONS_MAX ? client_of(remote)->fds[region] : -1;
}

static int client_guard(struct remote *remote, unsigned int region, void *start, size_t size)
{
	int ret = guard_install();

	return ret ? ret : guard_add(&client_of(remote)->guards[region], start, size);
}

static void client_unguard(struct remote *remote, unsigned int region)
{
	guard_remove(&client_of(remote)->guards[region]);
}

static int send_map(struct client *client, const struct remote_memory *memory, bool file)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		/* Both are the same numbers. */
		.flags = memory->flags & (VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE),
		.offset = file ? memory->offset : 0,
		.address = memory->iova,
		.size = memory->size,
	};
	struct call call = {
		.command = VFIO_USER_DMA_MAP,
		.body = &map,
		.size = sizeof(map),
		.fds = &memory->fd,
		.nr_fds = file ? 1 : 0,
		.timeout_ms = ANSWER_MS,
	};

	return connection_call(&client->connection, &call);
}

/* The server may want it the moment that it hears of it. A file it may ask for, too. */
static int client_dma_map(struct remote *remote, const struct remote_memory *memory)
{
	struct client *client = client_of(remote);
	struct connection *connection = &client->connection;
	bool file = memory->fd >= 0 && connection->peer.max_msg_fds;
	int ret;

	ret = file ? 0 : service_check(memory->vaddr, memory->size, memory->flags);
	if (!ret)
		ret = service_add(connection, memory->iova, memory->size, memory->flags,
				  memory->vaddr);
	if (ret)
		return ret;
	if (!file || connection->twin.fd >= 0)
		ret = service_start(connection);
	if (!ret)
		ret = send_map(client, memory, file);
	if (ret)
		service_remove(connection, memory->iova);
	return ret;
}

/* As long as the server may use it, it is served. */
static int client_dma_unmap(struct remote *remote, uint64_t iova, uint64_t size)
{
	struct client *client = client_of(remote);
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.address = iova,
		.size = size,
	}, told;
	struct call call = {
		.command = VFIO_USER_DMA_UNMAP,
		.body = &unmap,
		.size = sizeof(unmap),
		.answer = &told,
		.room = sizeof(told),
		.timeout_ms = ANSWER_MS,
	};
	int ret = connection_call(&client->connection, &call);

	if (!ret || ret == -ENODEV || ret == -ENOENT)
		service_remove(&client->connection, iova);
	return ret;
}

static void client_limits(struct remote *remote, struct remote_limits *limits)
{
	const struct capabilities *peer = &client_of(remote)->connection.peer;

	limits->page_sizes = peer->pgsizes;
	limits->mappings = peer->max_dma_maps;
}

static int client_poll_fd(struct remote *remote)
{
	return client_of(remote)->connection.channel.fd;
}

static bool client_is_lost(struct remote *remote)
{
	return connection_is_lost(&client_of(remote)->connection);
}

static const char *client_reason(struct remote *remote)
{
	return client_of(remote)->connection.reason;
}

static const struct remote_ops client_ops = {
	.version = REMOTE_VERSION,
	.open = client_open,
	.shut = client_shut,
	.close = client_close,
	.command = client_command,
	.read = client_read,
	.write = client_write,
	.region_fd = client_region_fd,
	.guard = client_guard,
	.unguard = client_unguard,
	.dma_map = client_dma_map,
	.dma_unmap = client_dma_unmap,
	.limits = client_limits,
	.poll_fd = client_poll_fd,
	.is_lost = client_is_lost,
	.reason = client_reason,
};

int vfioext_user_client_init(void)
{
	return vfioext_remote_register(&client_ops);
}

/* Without it the first device that is opened says what is missing. */
__attribute__((constructor)) static void init(void)
{
	vfioext_user_client_init();
}
