/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-user byte by byte: a client that says whatever it is told to, and a device that
 * counts what comes of it. Server and client may be in one thread: where the client
 * waits the server is dispatched. What fails here ends the test program.
 */
#ifndef SELFTESTS_WIRE_H
#define SELFTESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/user.h>
#include <vfioext/vfioext.h>

#include "../../libvfioext/user/wire.h"

#define WIRE_DATA_MAX 0x100000u
#define WIRE_MESSAGE_MAX (WIRE_DATA_MAX + 4096)
#define WIRE_FDS 16

/* Flags of memory: how it is used, and what its file is good for. */
#define RW (VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE)
#define MAPPED (RW | VFIO_USER_DMA_FLAG_MMAP)
#define FILE_IO (RW | VFIO_USER_DMA_FLAG_FILE_IO)
#define PAGE 4096ULL

/*
 * @server: is dispatched where the client waits; NULL: another thread does that
 * @header, @body, @size, @fds, @nr_fds: of the last message that came
 */
struct wire {
	int fd;
	uint16_t id;
	struct vfioext_user *server;
	struct vfio_user_header header;
	uint8_t *body;
	size_t size;
	int fds[WIRE_FDS];
	size_t nr_fds;
};

/* A client at a connected socket, which is its own from then on. */
void wire_open(struct wire *wire, int fd, struct vfioext_user *server);
void wire_connect(struct wire *wire, const char *path, struct vfioext_user *server);
void wire_close(struct wire *wire);

/* Dispatch until there is nothing to do. Return: how often there was something. */
unsigned int wire_pump(struct vfioext_user *server);

/* Bytes, and descriptors that go with the first of them. Return: false if nobody reads. */
bool wire_send(struct wire *wire, const void *bytes, size_t size, const int *fds, size_t nr);

/* A message. @flags: of the header. Return: its id. */
uint16_t wire_put(struct wire *wire, unsigned int command, uint32_t flags, const void *body,
		  size_t size, const int *fds, size_t nr);

/* Return: 1 and a message, 0 if none comes, -1 if the other side has gone. */
int wire_get(struct wire *wire);

/*
 * A command and its answer. Return: 0; minus the error it was answered with, which must be
 * a header alone; -ENOTCONN if the other side goes instead, -EAGAIN if it says nothing.
 */
int wire_call(struct wire *wire, unsigned int command, const void *body, size_t size);
int wire_call_fds(struct wire *wire, unsigned int command, const void *body, size_t size,
		  const int *fds, size_t nr);

/* VERSION with this JSON; NULL for none. */
int wire_negotiate(struct wire *wire, const char *json);

int wire_map(struct wire *wire, uint64_t iova, uint64_t size, uint32_t flags, int fd,
	     uint64_t offset);
int wire_unmap(struct wire *wire, uint64_t iova, uint64_t size);
int wire_unmap_all(struct wire *wire);
int wire_read(struct wire *wire, unsigned int region, uint64_t offset, uint32_t count);
int wire_write(struct wire *wire, unsigned int region, uint64_t offset, const void *data,
	       uint32_t count);
int wire_set_irqs(struct wire *wire, uint32_t flags, uint32_t index, uint32_t start,
		  uint32_t count, const int *fds, size_t nr);

/* A file of so many bytes; an eventfd that does not block; its count, 0 for none. */
int make_file(size_t size);
int make_eventfd(void);
uint64_t eventfd_count(int fd);
bool same_file(int a, int b);

/* What a process has open and mapped, and what was allocated. */
unsigned int count_files(void);
/* Files that are none of memory are closed a moment later. Return: whether there are so many. */
bool files_become(unsigned int nr);
unsigned int count_mappings(void);
size_t count_bytes(void);

#define PROBE_BYTES 8192u

/* Regions and kinds of interrupts of the device. */
enum {
	PROBE_CALLED = 0,	/* PROBE_BYTES, callbacks */
	PROBE_MEMORY = 1,	/* 4 KiB, memory */
	PROBE_SPARSE = 2,	/* 16 KiB of a file, of two areas and a type */
	PROBE_READ_ONLY = 3,	/* 4 KiB, callbacks */
	PROBE_WRITE_ONLY = 4,	/* 4 KiB, callbacks */
	PROBE_LARGE = 5,	/* 2 MiB, callbacks */
	PROBE_MAPPED = 6,	/* 8 KiB of a file, from its second page on */
	PROBE_NONE = 7,
	PROBE_REGIONS = 8,

	PROBE_PIN = 0,		/* 1, maskable, masks itself */
	PROBE_MASKABLE = 1,	/* 4, maskable */
	PROBE_VECTORS = 2,	/* 64 */
	PROBE_NO_VECTORS = 3,
	PROBE_IRQS = 4,
};

/*
 * What was called, how often and with what.
 * @error: what read, write, reset and set_irqs return
 * @unmap_error: what dma_unmap returns
 */
struct probe {
	unsigned int attached;
	unsigned int detached;
	unsigned int reads;
	unsigned int writes;
	unsigned int resets;
	unsigned int maps;
	unsigned int unmaps;
	unsigned int masked;
	unsigned int unmasked;
	unsigned int config_written;
	unsigned int config_offset;
	unsigned int config_size;
	unsigned int logs;
	unsigned int dma_done;
	int dma_error;
	int error;
	int unmap_error;
	char log[256];
	struct vfioext_user_memory map;
	struct vfioext_user_memory unmap;
	int file;
	uint8_t bytes[PROBE_BYTES];
	uint8_t memory[4096];
	void (*on_write)(struct vfioext_user_device *device, struct probe *probe);
	void *extra;
};

/* All but set_irqs, feature and migration. */
extern const struct vfioext_user_ops probe_ops;

/* The regions and interrupts of a device that has a probe as its data. */
void probe_setup(struct vfioext_user_device *device);
void probe_log(const char *text, void *data);
void probe_dma_done(struct vfioext_user_device *device, int error, void *data);

/* A context, a server, a device, and a client at it that said nothing yet. */
struct wire_test {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct vfioext_user_device *device;
	struct wire wire;
	struct probe *probe;
	unsigned int files;
	unsigned int mappings;
};

void wire_test_begin(struct wire_test *test, const struct vfioext_user_ops *ops);
/* A client more, at the device that has none. */
void wire_test_attach(struct wire_test *test, struct vfioext_user_device *device,
		      struct wire *wire);
/* The same with another client, who may have no more than that. */
void wire_test_limit(struct wire_test *test, const struct vfioext_user_limits *limits);
/* Return: whether no descriptor was left open. */
bool wire_test_end(struct wire_test *test);

#endif
