// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire.h"

/* No client waits longer for a server in another thread. */
#define LONG_MS 5000

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	abort();
}

void wire_open(struct wire *wire, int fd, struct vfioext_user *server)
{
	memset(wire, 0, sizeof(*wire));
	wire->fd = fd;
	wire->server = server;
	wire->body = malloc(WIRE_MESSAGE_MAX);
	if (!wire->body)
		die("memory");
}

void wire_connect(struct wire *wire, const char *path, struct vfioext_user *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die(path);
	wire_open(wire, fd, server);
}

static void drop_fds(struct wire *wire)
{
	while (wire->nr_fds)
		close(wire->fds[--wire->nr_fds]);
}

void wire_close(struct wire *wire)
{
	drop_fds(wire);
	free(wire->body);
	wire->body = NULL;
	if (wire->fd >= 0)
		close(wire->fd);
	wire->fd = -1;
}

unsigned int wire_pump(struct vfioext_user *server)
{
	struct pollfd pollfd = { .fd = vfioext_user_fd(server), .events = POLLIN };
	unsigned int nr = 0;

	while (poll(&pollfd, 1, 0) > 0) {
		if (vfioext_user_dispatch(server))
			die("dispatch");
		if (++nr == 100000)
			die("the server does not come to rest");
	}
	return nr;
}

/* Return: false if the server has nothing to do, or does nothing for long. */
static bool wait_for(struct wire *wire, short events)
{
	struct pollfd pollfd = { .fd = wire->fd, .events = events };

	if (wire->server)
		wire_pump(wire->server);
	return poll(&pollfd, 1, wire->server ? 0 : LONG_MS) > 0;
}

static ssize_t send_some(int socket, const void *bytes, size_t size, const int *fds, size_t nr)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (nr) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr * sizeof(int));
	}
	return sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool wire_send(struct wire *wire, const void *bytes, size_t size, const int *fds, size_t nr)
{
	const uint8_t *at = bytes;
	ssize_t sent;

	while (size) {
		sent = send_some(wire->fd, at, size, fds, nr);
		if (sent < 0 && errno == EAGAIN && wait_for(wire, POLLOUT))
			continue;
		if (sent < 0)
			return false;
		nr = 0;
		at += sent;
		size -= (size_t)sent;
	}
	return true;
}

uint16_t wire_put(struct wire *wire, unsigned int command, uint32_t flags, const void *body,
		  size_t size, const int *fds, size_t nr)
{
	struct vfio_user_header header = {
		.id = wire->id++,
		.command = (uint16_t)command,
		.size = (uint32_t)(sizeof(header) + size),
		.flags = flags,
	};
	uint8_t *message = malloc(sizeof(header) + size);

	if (!message)
		die("memory");
	memcpy(message, &header, sizeof(header));
	if (size)
		memcpy(message + sizeof(header), body, size);
	wire_send(wire, message, header.size, fds, nr);
	free(message);
	return header.id;
}

static void take_fds(struct wire *wire, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t nr;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (nr + wire->nr_fds > WIRE_FDS)
			die("too many descriptors");
		memcpy(wire->fds + wire->nr_fds, CMSG_DATA(cmsg), nr * sizeof(int));
		wire->nr_fds += nr;
	}
}

static ssize_t receive_some(struct wire *wire, void *bytes, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(WIRE_FDS * sizeof(int))];
	} control;
	struct iovec iov = { bytes, size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got = recvmsg(wire->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got > 0)
		take_fds(wire, &msg);
	return got;
}

/* Return: as wire_get(). */
static int receive(struct wire *wire, void *bytes, size_t size)
{
	uint8_t *at = bytes;
	ssize_t got;

	while (size) {
		got = receive_some(wire, at, size);
		if (!got || (got < 0 && errno != EAGAIN))
			return -1;
		if (got < 0 && !wait_for(wire, POLLIN))
			return 0;
		if (got < 0)
			continue;
		at += got;
		size -= (size_t)got;
	}
	return 1;
}

int wire_get(struct wire *wire)
{
	int ret;

	drop_fds(wire);
	ret = receive(wire, &wire->header, sizeof(wire->header));
	if (ret <= 0)
		return ret;
	if (wire->header.size < sizeof(wire->header) || wire->header.size > WIRE_MESSAGE_MAX)
		die("a message of no size there is");
	wire->size = wire->header.size - sizeof(wire->header);
	return receive(wire, wire->body, wire->size);
}

int wire_call_fds(struct wire *wire, unsigned int command, const void *body, size_t size,
		  const int *fds, size_t nr)
{
	uint16_t id = wire_put(wire, command, VFIO_USER_COMMAND, body, size, fds, nr);
	int ret = wire_get(wire);

	if (ret <= 0)
		return ret ? -ENOTCONN : -EAGAIN;
	if (wire->header.id != id || wire->header.command != command ||
	    (wire->header.flags & ~VFIO_USER_ERROR) != VFIO_USER_REPLY)
		die("no answer to what was asked");
	if (!(wire->header.flags & VFIO_USER_ERROR)) {
		if (wire->header.error)
			die("an error that is none");
		return 0;
	}
	if (wire->size || wire->nr_fds || !wire->header.error)
		die("an error is a header alone");
	return -(int)wire->header.error;
}

int wire_call(struct wire *wire, unsigned int command, const void *body, size_t size)
{
	return wire_call_fds(wire, command, body, size, NULL, 0);
}

int wire_negotiate(struct wire *wire, const char *json)
{
	struct vfio_user_version version = { VFIO_USER_MAJOR, VFIO_USER_MINOR };
	size_t size = json ? strlen(json) + 1 : 0;
	uint8_t body[1024];

	memcpy(body, &version, sizeof(version));
	if (size)
		memcpy(body + sizeof(version), json, size);
	return wire_call(wire, VFIO_USER_VERSION, body, sizeof(version) + size);
}

int wire_map(struct wire *wire, uint64_t iova, uint64_t size, uint32_t flags, int fd,
	     uint64_t offset)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.offset = offset,
		.address = iova,
		.size = size,
	};

	return wire_call_fds(wire, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, fd >= 0);
}

static int unmap(struct wire *wire, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.address = iova,
		.size = size,
	};
	int ret = wire_call(wire, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap));

	if (!ret && (wire->size != sizeof(unmap) || memcmp(wire->body, &unmap, sizeof(unmap))))
		die("what is unmapped is answered as it was asked");
	return ret;
}

int wire_unmap(struct wire *wire, uint64_t iova, uint64_t size)
{
	return unmap(wire, iova, size, 0);
}

int wire_unmap_all(struct wire *wire)
{
	return unmap(wire, 0, 0, VFIO_USER_UNMAP_FLAG_ALL);
}

int wire_read(struct wire *wire, unsigned int region, uint64_t offset, uint32_t count)
{
	struct vfio_user_region_access access = { offset, region, count };
	int ret = wire_call(wire, VFIO_USER_REGION_READ, &access, sizeof(access));

	if (!ret && (wire->size != sizeof(access) + count ||
		     memcmp(wire->body, &access, sizeof(access))))
		die("what is read is answered as it was asked");
	return ret;
}

int wire_write(struct wire *wire, unsigned int region, uint64_t offset, const void *data,
	       uint32_t count)
{
	struct vfio_user_region_access access = { offset, region, count };
	uint8_t *body = malloc(sizeof(access) + count);
	int ret;

	if (!body)
		die("memory");
	memcpy(body, &access, sizeof(access));
	if (count)
		memcpy(body + sizeof(access), data, count);
	ret = wire_call(wire, VFIO_USER_REGION_WRITE, body, sizeof(access) + count);
	free(body);
	if (!ret && (wire->size != sizeof(access) || memcmp(wire->body, &access, sizeof(access))))
		die("what is written is answered as it was asked");
	return ret;
}

int wire_set_irqs(struct wire *wire, uint32_t flags, uint32_t index, uint32_t start,
		  uint32_t count, const int *fds, size_t nr)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};

	return wire_call_fds(wire, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set), fds, nr);
}

int make_file(size_t size)
{
	int fd = memfd_create("wire", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		die("file");
	return fd;
}

int make_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		die("eventfd");
	return fd;
}

uint64_t eventfd_count(int fd)
{
	eventfd_t count = 0;

	return eventfd_read(fd, &count) ? 0 : count;
}

bool same_file(int a, int b)
{
	struct stat one, other;

	return !fstat(a, &one) && !fstat(b, &other) && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

unsigned int count_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int nr = 0;

	if (!directory)
		die("/proc/self/fd");
	while (readdir(directory))
		nr++;
	closedir(directory);
	return nr;
}

bool files_become(unsigned int nr)
{
	int i;

	for (i = 0; i < LONG_MS && count_files() != nr; i++)
		usleep(1000);
	return i < LONG_MS;
}

/* Those of files: the sanitizer's own come and go. */
unsigned int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned int nr = 0;
	char line[512];

	if (!file)
		die("/proc/self/maps");
	while (fgets(line, sizeof(line), file))
		nr += !!strstr(line, "/memfd:wire");
	fclose(file);
	return nr;
}

/* Of the sanitizer, where it is; its header is not everywhere. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

size_t count_bytes(void)
{
	if (!__sanitizer_get_current_allocated_bytes)
		die("nobody counts what is allocated");
	return __sanitizer_get_current_allocated_bytes();
}

static void probe_attached(struct vfioext_user_device *device)
{
	struct probe *probe = vfioext_user_device_data(device);

	probe->attached++;
}

static void probe_detached(struct vfioext_user_device *device)
{
	struct probe *probe = vfioext_user_device_data(device);

	probe->detached++;
}

static int probe_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		      size_t count, uint64_t offset)
{
	struct probe *probe = vfioext_user_device_data(device);
	uint8_t *at = buffer;
	size_t i;

	(void)region;
	probe->reads++;
	for (i = 0; i < count; i++)
		at[i] = probe->bytes[(offset + i) % PROBE_BYTES];
	return probe->error;
}

static int probe_write(struct vfioext_user_device *device, unsigned int region,
		       const void *buffer, size_t count, uint64_t offset)
{
	struct probe *probe = vfioext_user_device_data(device);
	const uint8_t *at = buffer;
	size_t i;

	(void)region;
	probe->writes++;
	if (probe->error)
		return probe->error;
	for (i = 0; i < count; i++)
		probe->bytes[(offset + i) % PROBE_BYTES] = at[i];
	if (probe->on_write)
		probe->on_write(device, probe);
	return 0;
}

static void probe_config_written(struct vfioext_user_device *device, unsigned int offset,
				 unsigned int size)
{
	struct probe *probe = vfioext_user_device_data(device);

	probe->config_written++;
	probe->config_offset = offset;
	probe->config_size = size;
}

static int probe_reset(struct vfioext_user_device *device)
{
	struct probe *probe = vfioext_user_device_data(device);

	probe->resets++;
	return probe->error;
}

static int probe_map(struct vfioext_user_device *device, const struct vfioext_user_memory *memory)
{
	struct probe *probe = vfioext_user_device_data(device);

	probe->maps++;
	probe->map = *memory;
	return 0;
}

static int probe_unmap(struct vfioext_user_device *device,
		       const struct vfioext_user_memory *memory)
{
	struct probe *probe = vfioext_user_device_data(device);

	probe->unmaps++;
	probe->unmap = *memory;
	return probe->unmap_error;
}

static void probe_irq_masked(struct vfioext_user_device *device, unsigned int irq,
			     unsigned int vector, bool masked)
{
	struct probe *probe = vfioext_user_device_data(device);

	(void)irq;
	(void)vector;
	probe->masked += masked;
	probe->unmasked += !masked;
}

const struct vfioext_user_ops probe_ops = {
	.attached = probe_attached,
	.detached = probe_detached,
	.read = probe_read,
	.write = probe_write,
	.config_written = probe_config_written,
	.reset = probe_reset,
	.dma_map = probe_map,
	.dma_unmap = probe_unmap,
	.irq_masked = probe_irq_masked,
};

void probe_log(const char *text, void *data)
{
	struct probe *probe = data;

	probe->logs++;
	snprintf(probe->log, sizeof(probe->log), "%s", text);
}

void probe_dma_done(struct vfioext_user_device *device, int error, void *data)
{
	struct probe *probe = data;

	(void)device;
	probe->dma_done++;
	probe->dma_error = error;
}

static void set_region(struct vfioext_user_device *device, unsigned int index,
		       const struct vfioext_user_region *region)
{
	if (vfioext_user_device_set_region(device, index, region))
		die("region");
}

static void set_regions(struct vfioext_user_device *device, struct probe *probe)
{
	const struct vfioext_area areas[] = { { 0x1000, 0x1000 }, { 0x3000, 0x1000 } };
	struct vfioext_user_region region = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE,
		.size = PROBE_BYTES,
		.fd = -1,
	};

	set_region(device, PROBE_CALLED, &region);
	region.size = WIRE_DATA_MAX * 2;
	set_region(device, PROBE_LARGE, &region);
	region.size = 4096;
	region.memory = probe->memory;
	set_region(device, PROBE_MEMORY, &region);
	region.memory = NULL;
	region.flags = VFIOEXT_REGION_READ;
	set_region(device, PROBE_READ_ONLY, &region);
	region.flags = VFIOEXT_REGION_WRITE;
	set_region(device, PROBE_WRITE_ONLY, &region);
	region.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE | VFIOEXT_REGION_MMAP;
	region.fd = probe->file;
	region.size = 0x2000;
	region.offset = 0x1000;
	set_region(device, PROBE_MAPPED, &region);
	region.size = 0x4000;
	region.offset = 0;
	region.areas = areas;
	region.nr_areas = 2;
	region.type = 7;
	region.subtype = 9;
	set_region(device, PROBE_SPARSE, &region);
	set_region(device, PROBE_NONE, &(struct vfioext_user_region){ .fd = -1 });
}

void probe_setup(struct vfioext_user_device *device)
{
	uint32_t maskable = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE;

	set_regions(device, vfioext_user_device_data(device));
	if (vfioext_user_device_set_irq(device, PROBE_PIN, 1,
					maskable | VFIO_IRQ_INFO_AUTOMASKED) ||
	    vfioext_user_device_set_irq(device, PROBE_MASKABLE, 4, maskable) ||
	    vfioext_user_device_set_irq(device, PROBE_VECTORS, 64,
					VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE) ||
	    vfioext_user_device_set_irq(device, PROBE_NO_VECTORS, 0, 0))
		die("interrupts");
}

void wire_test_attach(struct wire_test *test, struct vfioext_user_device *device,
		      struct wire *wire)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
	    vfioext_user_device_attach(device, fds[0]))
		die("attach");
	wire_open(wire, fds[1], test->server);
}

void wire_test_begin(struct wire_test *test, const struct vfioext_user_ops *ops)
{
	memset(test, 0, sizeof(*test));
	test->files = count_files();
	test->mappings = count_mappings();
	test->probe = calloc(1, sizeof(*test->probe));
	if (!test->probe || vfioext_new(&test->ctx, "/nonexistent") ||
	    vfioext_user_new(test->ctx, probe_log, test->probe, &test->server) ||
	    vfioext_user_device_new(test->server, ops, test->probe, &test->device))
		die("server");
	test->probe->file = make_file(0x4000);
	probe_setup(test->device);
	wire_test_attach(test, test->device, &test->wire);
}

void wire_test_limit(struct wire_test *test, const struct vfioext_user_limits *limits)
{
	wire_close(&test->wire);
	wire_pump(test->server);
	if (vfioext_user_device_set_limits(test->device, limits))
		die("limits");
	wire_test_attach(test, test->device, &test->wire);
	if (wire_negotiate(&test->wire, NULL))
		die("version");
}

bool wire_test_end(struct wire_test *test)
{
	wire_close(&test->wire);
	vfioext_user_free(test->server);
	vfioext_free(test->ctx);
	close(test->probe->file);
	free(test->probe);
	return files_become(test->files) && count_mappings() == test->mappings;
}
