/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The example of an NVMe controller: an admin queue, some I/O queues, and one namespace in
 * memory. Numbers in square brackets are sections of the NVM Express Base Specification 1.4.
 */
#ifndef TOOLS_NVME_H
#define TOOLS_NVME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/user.h>

#define NVME_PAGE 4096u
#define NVME_BLOCK 512u
#define NVME_BLOCKS 32768u

/* Queues of either kind, the admin queue's among them, and entries of each. */
#define NVME_QUEUES 5u
#define NVME_ENTRIES 256u
#define NVME_ADMIN_ENTRIES 4096u

/* Commands that wait for an event. */
#define NVME_EVENTS 4u

/* What one command transfers, as a power of two of pages, and in how many pieces. */
#define NVME_TRANSFER_SHIFT 5
#define NVME_TRANSFER_MAX (NVME_PAGE << NVME_TRANSFER_SHIFT)
#define NVME_PIECES ((1u << NVME_TRANSFER_SHIFT) + 1)

/* All in little endian. */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t id;
	uint32_t namespace;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp[2];
	uint32_t word[6];
};

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t head;
	uint16_t queue;
	uint16_t id;
	uint16_t status;
};

/* [4.6.1], and that it is of no use to try again. */
enum nvme_status {
	NVME_SUCCESS = 0,
	NVME_INVALID_OPCODE = 0x4001,
	NVME_INVALID_FIELD = 0x4002,
	NVME_TRANSFER_ERROR = 0x4004,
	NVME_INTERNAL_ERROR = 0x4006,
	NVME_INVALID_NAMESPACE = 0x400b,
	NVME_INVALID_PRP = 0x4013,
	NVME_OUT_OF_RANGE = 0x4080,
	NVME_INVALID_COMPLETION_QUEUE = 0x4100,
	NVME_INVALID_QUEUE = 0x4101,
	NVME_INVALID_QUEUE_SIZE = 0x4102,
	NVME_TOO_MANY_EVENTS = 0x4105,
	NVME_INVALID_VECTOR = 0x4108,
	NVME_INVALID_LOG = 0x4109,
	NVME_INVALID_DELETION = 0x410c,
	NVME_NOT_SAVEABLE = 0x410d,
};

struct nvme_queues;
struct nvme_submissions;

/*
 * A command under way.
 * @next: in the list of free ones, or of those that are done and not told yet
 * @data, @size: what it transfers; @own: it is given to free() then
 * @to_memory: the direction
 * @pieces: where in the client's memory, as far as that was found out
 * @left: of how many bytes it was not, and @list is where the next part of the list is
 * @deletes: the queue that is gone when it is done
 */
struct nvme_request {
	struct nvme_request *next;
	struct nvme_submissions *queue;
	struct nvme_command command;
	struct nvme_completion completion;
	uint8_t *data;
	size_t size;
	bool own;
	bool to_memory;
	size_t left;
	uint64_t list;
	struct nvme_submissions *deletes;
	size_t nr_pieces;
	struct vfioext_user_sg pieces[NVME_PIECES];
	uint64_t entries[NVME_PIECES];
};

/* What the queues are of. */
struct nvme_ops {
	/* Do a command; nvme_transfer() or nvme_complete() is called, now or later. */
	void (*execute)(void *data, struct nvme_request *request);
	/* The client's memory cannot be had: nothing more is done. */
	void (*fatal)(void *data);
	/* They were given up, and are gone. */
	void (*drained)(void *data);
};

/*
 * nvme_queue.c: all queues of a controller that is enabled. What is under way when they are
 * given up comes to its end by itself, and nobody is told.
 */
struct nvme_queues *nvme_queues_new(struct vfioext_user_device *device,
				    const struct nvme_ops *ops, void *data);
void nvme_queues_give_up(struct nvme_queues *queues);

/* Return: 0, or an enum nvme_status. */
int nvme_create_completions(struct nvme_queues *queues, unsigned int number, uint64_t iova,
			    unsigned int entries, bool interrupts, unsigned int vector);
int nvme_create_submissions(struct nvme_queues *queues, unsigned int number, uint64_t iova,
			    unsigned int entries, unsigned int completions);
int nvme_delete_completions(struct nvme_queues *queues, unsigned int number);
/* Return: -1 if @request is completed later: when all that came from that queue is. */
int nvme_delete_submissions(struct nvme_queues *queues, unsigned int number,
			    struct nvme_request *request);

/* A doorbell: @completions, or submissions. What makes no sense is ignored. */
void nvme_ring(struct nvme_queues *queues, unsigned int number, bool completions, uint32_t value);

/* Which queue a command is from. */
unsigned int nvme_queue_number(const struct nvme_request *request);

/* Transfer what a request has as its data, and complete it. */
void nvme_transfer(struct nvme_request *request);
void nvme_complete(struct nvme_request *request, int status);

#endif
