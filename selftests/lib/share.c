// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../libvfioext/share_message.h"

#include "ioctl.h"
#include "share.h"

unsigned int mapped, unmapped, unmapped_all;
uint64_t last_unmapped;

/* Type 1, of which nothing but the calls is there. */
int ioctl(int fd, ioctl_request request, ...)
{
	va_list args;
	void *data;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (request == VFIO_IOMMU_MAP_DMA) {
		mapped++;
		return 0;
	}
	if (request == VFIO_IOMMU_UNMAP_DMA) {
		const struct vfio_iommu_type1_dma_unmap *unmap = data;

		unmapped++;
		unmapped_all += !!(unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL);
		last_unmapped = unmap->iova;
		return 0;
	}
	if (request == VFIO_IOMMU_GET_INFO || request == VFIO_GROUP_UNSET_CONTAINER)
		return 0;
	return (int)syscall(SYS_ioctl, fd, request, data);
}

bool same_file(int a, int b)
{
	struct stat one, other;

	return !fstat(a, &one) && !fstat(b, &other) && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

unsigned int open_files(void)
{
	unsigned int fd, nr = 0;

	for (fd = 0; fd < 1024; fd++)
		nr += fcntl((int)fd, F_GETFD) >= 0;
	return nr;
}

bool files_become(unsigned int nr)
{
	uint64_t deadline = share_now_ms() + 5000;

	while (open_files() != nr && share_now_ms() < deadline)
		usleep(1000);
	return open_files() == nr;
}

unsigned int inheritable_files(void)
{
	unsigned int nr = 0;
	int fd, flags;

	for (fd = 3; fd < 1024; fd++) {
		flags = fcntl(fd, F_GETFD);
		nr += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return nr;
}

static void make(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void make(const char *format, ...)
{
	char path[256];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	mkdir(path, 0755);
}

static void make_file(const char *directory, const char *name)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "we");
	if (!file || fputs("0x8086\n", file) < 0 || fclose(file))
		perror(path);
}

static void make_link(const char *target, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void make_link(const char *target, const char *format, ...)
{
	char path[256];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (symlink(target, path))
		perror(path);
}

/* Devices of a group, all with a VFIO driver. */
static void make_group(const char *sysfs, int group, unsigned int nr_devices)
{
	char path[128], device[192], name[16];
	unsigned int i;

	snprintf(path, sizeof(path), "%s/kernel/iommu_groups/%d", sysfs, group);
	make("%s", path);
	make("%s/devices", path);
	for (i = 0; i < nr_devices; i++) {
		snprintf(name, sizeof(name), "0000:%02x:%02x.%d", group & 0xff,
			 i / 8 & 0x1f, i % 8);
		snprintf(device, sizeof(device), "%s/devices/%s", sysfs, name);
		make("%s", device);
		make("%s/vfio-dev", device);
		make_file(device, "vendor");
		make_file(device, "device");
		make_file(device, "class");
		make_link(path, "%s/iommu_group", device);
		make_link(device, "%s/devices/%s", path, name);
		make_link(device, "%s/bus/pci/devices/%s", sysfs, name);
	}
}

void make_sysfs(const char *sysfs)
{
	make("%s", sysfs);
	make("%s/kernel", sysfs);
	make("%s/kernel/iommu_groups", sysfs);
	make("%s/devices", sysfs);
	make("%s/bus", sysfs);
	make("%s/bus/pci", sysfs);
	make("%s/bus/pci/devices", sysfs);
	make_group(sysfs, FIRST, 2);
	make_group(sysfs, SECOND, 70);
	make_group(sysfs, OTHER, 1);
}

static void add_group(struct vfioext_container *container, int id)
{
	struct group *group = calloc(1, sizeof(*group));

	group->container = container;
	group->id = id;
	group->fd = memfd_create("group", MFD_CLOEXEC);
	group->next = container->groups;
	container->groups = group;
}

struct vfioext_container *make_container(struct vfioext *ctx, unsigned int nr_maps)
{
	struct vfioext_container *container = container_alloc(ctx, VFIOEXT_BACKEND_CONTAINER);
	struct mapping mapping = { .size = 4096, .flags = VFIOEXT_DMA_READ };
	unsigned int i;

	container->fd = memfd_create("container", MFD_CLOEXEC);
	container->ready = true;
	container->own_ranges = calloc(2, sizeof(*container->own_ranges));
	container->own_ranges[0] = (struct vfioext_iova_range){ 0, 0xfedfffff };
	container->own_ranges[1] = (struct vfioext_iova_range){ 0xfef00000, (1ULL << 39) - 1 };
	container->ranges = container->own_ranges;
	container->nr_ranges = 2;
	add_group(container, SECOND);
	add_group(container, FIRST);
	for (i = 0; i < nr_maps; i++) {
		mapping.iova = 0x10000 + 0x2000ULL * i;
		mapping.vaddr = 0x7f0000000000ULL + 0x1000ULL * i;
		mappings_add(container->mappings, &mapping);
	}
	return container;
}

int begin_share(struct _test_data_share *self, struct vfioext_share_options options, bool own,
		bool old)
{
	int ret;

	options.path = own ? self->path : NULL;
	options.dpdk_path = old ? self->old : NULL;
	ret = vfioext_share_new(self->ctx, &options, &self->share);
	if (!ret)
		ret = vfioext_share_add(self->share, self->container);
	return ret;
}

static void *serve(void *data)
{
	struct _test_data_share *self = data;
	struct pollfd poller = { .fd = vfioext_share_fd(self->share), .events = POLLIN };

	while (!atomic_load(&self->stop)) {
		poll(&poller, 1, 5);
		vfioext_share_dispatch(self->share);
	}
	return NULL;
}

void start_serving(struct _test_data_share *self)
{
	atomic_store(&self->stop, false);
	self->serving = !pthread_create(&self->thread, NULL, serve, self);
}

void stop_serving(struct _test_data_share *self)
{
	if (!self->serving)
		return;
	atomic_store(&self->stop, true);
	pthread_join(self->thread, NULL);
	self->serving = false;
}

void free_container(struct vfioext_container *container)
{
	while (container->groups) {
		struct group *group = container->groups;

		container->groups = group->next;
		close(group->fd);
		free(group);
	}
	vfioext_container_free(container);
}

int raw_socket(const char *path, bool server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval time = { LONG_MS / 1000, 0 };

	strcpy(address.sun_path, path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	if (server ? !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 50) :
		     !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

ssize_t raw_send(int socket, const void *record, size_t size, const int *fds, size_t nr)
{
	_Alignas(8) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)record, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header = (struct cmsghdr *)control;

	if (nr) {
		*header = (struct cmsghdr){ CMSG_LEN(nr * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(header), fds, nr * sizeof(int));
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(nr * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL);
}

void send_int(int socket, int value)
{
	raw_send(socket, &value, sizeof(value), NULL, 0);
}

ssize_t raw_receive(int socket, void *record, size_t size, int *fd)
{
	_Alignas(8) char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { record, size };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t len = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;

	*fd = -1;
	header = len < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (header)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	if (header && header->cmsg_len != CMSG_LEN(sizeof(*fd)))
		*fd = -2;
	return len;
}

int receive_int(int socket, int *fd)
{
	int value[2], passed;
	ssize_t len = raw_receive(socket, value, sizeof(value), &passed);

	if (len < 0 && errno == ECONNRESET)
		len = raw_receive(socket, value, sizeof(value), &passed);
	if (fd)
		*fd = passed;
	if (len != sizeof(int) || (!fd && passed != -1)) {
		if (passed >= 0)
			close(passed);
		return -1;
	}
	return value[0];
}

bool hung_up(int socket)
{
	char byte;
	ssize_t len = recv(socket, &byte, 1, 0);

	if (len < 0 && errno == ECONNRESET)
		len = recv(socket, &byte, 1, 0);
	return !len;
}

int ask_old(const char *path, int request, int number, int *fd)
{
	int value, socket = raw_socket(path, false);

	*fd = -1;
	send_int(socket, request);
	if (request != CONTAINER)
		send_int(socket, number);
	value = receive_int(socket, request == CONTAINER ? fd : NULL);
	if (request == GROUP && value == OK)
		value = receive_int(socket, fd);
	if (!hung_up(socket))
		value = -2;
	close(socket);
	return value;
}

int receive_error(int socket)
{
	struct share_error record = { 0 };
	int fd;
	ssize_t len = raw_receive(socket, &record, sizeof(record), &fd);

	if (len < 0 && errno == ECONNRESET)
		len = raw_receive(socket, &record, sizeof(record), &fd);
	if (fd >= 0)
		close(fd);
	if (len != sizeof(record) || record.header.type != SHARE_ERROR ||
	    record.header.size != sizeof(record))
		return 1;
	return record.error;
}

unsigned int ms_since(uint64_t begin)
{
	return (unsigned int)(share_now_ms() - begin);
}

static void hear(enum vfioext_attach_what what, const struct vfioext_event *event, void *data)
{
	struct heard *heard = data;

	heard->complete += what == VFIOEXT_ATTACH_COMPLETE;
	heard->events += what == VFIOEXT_ATTACH_EVENT;
	heard->gone += what == VFIOEXT_ATTACH_GONE;
	if (event)
		heard->last = *event;
}

int run_both(struct vfioext_share *share, struct vfioext_attachment *attachment,
	     struct heard *heard)
{
	int i, ret = 0;

	for (i = 0; i < 20 && ret >= 0; i++) {
		vfioext_share_dispatch(share);
		ret = vfioext_attachment_dispatch(attachment, hear, heard);
	}
	return ret;
}
