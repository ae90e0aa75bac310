// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues of NVMe: commands are fetched, their memory is found and transferred, and their
 * completions are posted. Each of these steps goes on when the memory was read or written,
 * be it at once or when the client has answered. What is to be begun is begun in run()
 * alone, so that nothing goes that somebody is still at.
 */
#include <endian.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/user_pci.h>

#include "nvme.h"

/*
 * @users: submission queues that complete here
 * @done, @last: what is to be posted
 * @posting: the first of it is under way
 */
struct completions {
	struct nvme_queues *queues;
	uint64_t iova;
	unsigned int entries;
	unsigned int head;
	unsigned int tail;
	bool phase;
	bool interrupts;
	unsigned int vector;
	unsigned int users;
	struct nvme_request *done;
	struct nvme_request *last;
	bool posting;
};

/*
 * @fetching: a command is being read; one at a time, as the head is where the next one is
 * @deletion: the command that this queue is deleted by
 * @free: of @requests; @nr are not
 */
struct nvme_submissions {
	struct nvme_queues *queues;
	struct completions *completions;
	unsigned int number;
	uint64_t iova;
	unsigned int entries;
	unsigned int head;
	unsigned int tail;
	bool fetching;
	struct nvme_request *deletion;
	struct nvme_request *free;
	unsigned int nr;
	struct nvme_request requests[];
};

/*
 * @given_up: nothing is begun any more
 * @users: requests that are under way, and who has the queues
 */
struct nvme_queues {
	struct vfioext_user_device *device;
	const struct nvme_ops *ops;
	void *data;
	bool given_up;
	bool running;
	unsigned int users;
	struct nvme_submissions *submissions[NVME_QUEUES];
	struct completions *completions[NVME_QUEUES];
};

struct nvme_queues *nvme_queues_new(struct vfioext_user_device *device,
				    const struct nvme_ops *ops, void *data)
{
	struct nvme_queues *queues = calloc(1, sizeof(*queues));

	if (!queues)
		return NULL;
	queues->device = device;
	queues->ops = ops;
	queues->data = data;
	queues->users = 1;
	return queues;
}

static void put_queues(struct nvme_queues *queues)
{
	const struct nvme_ops *ops = queues->ops;
	void *data = queues->data;
	unsigned int i;

	if (--queues->users)
		return;
	for (i = 0; i < NVME_QUEUES; i++) {
		free(queues->submissions[i]);
		free(queues->completions[i]);
	}
	free(queues);
	ops->drained(data);
}

static void fail(struct nvme_queues *queues)
{
	if (queues->given_up)
		return;
	queues->given_up = true;
	queues->ops->fatal(queues->data);
}

unsigned int nvme_queue_number(const struct nvme_request *request)
{
	return request->queue->number;
}

/* Return: -EINPROGRESS if @next is called later; else its second argument. */
static int access_memory(struct nvme_queues *queues, const struct vfioext_user_sg *list,
			 size_t nr, void *buffer, bool write, vfioext_user_dma_fn next, void *data)
{
	if (queues->given_up)
		return -ECANCELED;
	if (!vfioext_user_pci_is_master(queues->device))
		return -EPERM;
	if (write)
		return vfioext_user_dma_write(queues->device, list, nr, buffer, next, data);
	return vfioext_user_dma_read(queues->device, list, nr, buffer, next, data);
}

/* It was told, or nobody wants to know any more. */
static void release(struct nvme_request *request)
{
	struct nvme_submissions *queue = request->queue;
	struct nvme_queues *queues = queue->queues;

	if (request->own)
		free(request->data);
	request->own = false;
	request->next = queue->free;
	queue->free = request;
	queue->nr--;
	if (queue->deletion && !queue->nr)
		nvme_complete(queue->deletion, NVME_SUCCESS);
	put_queues(queues);
}

static bool is_full(const struct completions *completions)
{
	return (completions->tail + 1) % completions->entries == completions->head;
}

static void delete_submissions(struct nvme_submissions *queue)
{
	queue->queues->submissions[queue->number] = NULL;
	queue->completions->users--;
	free(queue);
}

/* The first one is in the client's memory, or cannot get there. */
static void end_post(struct completions *completions, int error)
{
	struct nvme_request *request = completions->done;
	struct nvme_queues *queues = completions->queues;

	completions->done = request->next;
	completions->posting = false;
	if (error)
		fail(queues);
	completions->tail = (completions->tail + 1) % completions->entries;
	completions->phase ^= !completions->tail;
	if (completions->interrupts && !queues->given_up)
		vfioext_user_irq_trigger(queues->device, VFIO_PCI_MSIX_IRQ_INDEX,
					 completions->vector);
	release(request);
}

static void run(struct nvme_queues *queues);

static void posted(struct vfioext_user_device *device, int error, void *data)
{
	struct completions *completions = data;
	struct nvme_queues *queues = completions->queues;

	(void)device;
	queues->users++;
	end_post(completions, error);
	run(queues);
	put_queues(queues);
}

static void post(struct completions *completions)
{
	struct nvme_request *request = completions->done;
	struct vfioext_user_sg sg = {
		.iova = completions->iova + completions->tail * sizeof(request->completion),
		.size = sizeof(request->completion),
	};
	int ret;

	completions->posting = true;
	request->completion.status |= htole16(completions->phase);
	ret = access_memory(completions->queues, &sg, 1, &request->completion, true, posted,
			    completions);
	if (ret != -EINPROGRESS)
		end_post(completions, ret);
}

void nvme_complete(struct nvme_request *request, int status)
{
	struct completions *completions = request->queue->completions;
	struct nvme_completion *completion = &request->completion;

	if (request->deletes)
		delete_submissions(request->deletes);
	request->deletes = NULL;
	completion->head = htole16((uint16_t)request->queue->head);
	completion->queue = htole16((uint16_t)request->queue->number);
	completion->id = request->command.id;
	completion->status = htole16((uint16_t)(status << 1));
	request->next = NULL;
	if (completions->done)
		completions->last->next = request;
	else
		completions->done = request;
	completions->last = request;
	run(completions->queues);
}

static void moved(struct vfioext_user_device *device, int error, void *data)
{
	(void)device;
	nvme_complete(data, error ? NVME_TRANSFER_ERROR : NVME_SUCCESS);
}

static void move(struct nvme_request *request)
{
	int ret = access_memory(request->queue->queues, request->pieces, request->nr_pieces,
				request->data, request->to_memory, moved, request);

	if (ret != -EINPROGRESS)
		moved(NULL, ret, request);
}

static void add_piece(struct nvme_request *request, uint64_t iova)
{
	size_t size = NVME_PAGE - iova % NVME_PAGE;

	if (size > request->left)
		size = request->left;
	request->pieces[request->nr_pieces].iova = iova;
	request->pieces[request->nr_pieces++].size = size;
	request->left -= size;
}

/* How many entries of the list are in one part of it, and whether there is another one. */
static unsigned int part_of_list(const struct nvme_request *request, bool *more)
{
	unsigned int needed = (unsigned int)((request->left + NVME_PAGE - 1) / NVME_PAGE);
	unsigned int room = (unsigned int)((NVME_PAGE - request->list % NVME_PAGE) / 8);

	*more = needed > room;
	return *more ? room : needed;
}

static void read_list(struct nvme_request *request);

/* The last entry of a part that is not the last one says where the next part is [4.3]. */
static void list_read(struct vfioext_user_device *device, int error, void *data)
{
	struct nvme_request *request = data;
	unsigned int nr, i;
	bool more;

	(void)device;
	if (error) {
		nvme_complete(request, NVME_TRANSFER_ERROR);
		return;
	}
	nr = part_of_list(request, &more);
	for (i = 0; i < nr; i++) {
		uint64_t entry = le64toh(request->entries[i]);

		if (entry % NVME_PAGE) {
			nvme_complete(request, NVME_INVALID_PRP);
			return;
		}
		if (more && i == nr - 1)
			request->list = entry;
		else
			add_piece(request, entry);
	}
	if (more)
		read_list(request);
	else
		move(request);
}

static void read_list(struct nvme_request *request)
{
	bool more;
	struct vfioext_user_sg sg = {
		.iova = request->list,
		.size = part_of_list(request, &more) * sizeof(request->entries[0]),
	};
	int ret = access_memory(request->queue->queues, &sg, 1, request->entries, false, list_read,
				request);

	if (ret != -EINPROGRESS)
		list_read(NULL, ret, request);
}

/* One page, two, or one and a list of the others. */
void nvme_transfer(struct nvme_request *request)
{
	uint64_t second = le64toh(request->command.prp[1]);

	if (request->size > NVME_TRANSFER_MAX) {
		nvme_complete(request, NVME_INVALID_FIELD);
		return;
	}
	request->left = request->size;
	request->nr_pieces = 0;
	add_piece(request, le64toh(request->command.prp[0]));
	if (request->left > NVME_PAGE && !(second % 8)) {
		request->list = second;
		read_list(request);
	} else if (request->left && second % NVME_PAGE) {
		nvme_complete(request, NVME_INVALID_PRP);
	} else {
		if (request->left)
			add_piece(request, second);
		move(request);
	}
}

static void fetched(struct vfioext_user_device *device, int error, void *data)
{
	struct nvme_request *request = data;
	struct nvme_submissions *queue = request->queue;
	struct nvme_queues *queues = queue->queues;

	(void)device;
	queues->users++;
	queue->fetching = false;
	queue->head = (queue->head + 1) % queue->entries;
	if (error)
		fail(queues);
	if (queues->given_up)
		release(request);
	else
		queues->ops->execute(queues->data, request);
	run(queues);
	put_queues(queues);
}

static void fetch(struct nvme_submissions *queue)
{
	struct nvme_request *request = queue->free;
	struct vfioext_user_sg sg = {
		.iova = queue->iova + queue->head * sizeof(request->command),
		.size = sizeof(request->command),
	};
	int ret;

	queue->free = request->next;
	queue->nr++;
	queue->queues->users++;
	queue->fetching = true;
	memset(&request->completion, 0, sizeof(request->completion));
	ret = access_memory(queue->queues, &sg, 1, &request->command, false, fetched, request);
	if (ret != -EINPROGRESS)
		fetched(NULL, ret, request);
}

static bool can_post(const struct completions *completions)
{
	return completions && completions->done && !completions->posting &&
	       (completions->queues->given_up || !is_full(completions));
}

static bool can_fetch(const struct nvme_submissions *queue)
{
	return queue && !queue->queues->given_up && !queue->deletion && !queue->fetching &&
	       queue->free && queue->head != queue->tail;
}

/* Begin one thing. Return: false if there is nothing. */
static bool run_once(struct nvme_queues *queues)
{
	unsigned int i;

	for (i = 0; i < NVME_QUEUES; i++) {
		if (can_post(queues->completions[i])) {
			post(queues->completions[i]);
			return true;
		}
	}
	for (i = 0; i < NVME_QUEUES; i++) {
		if (can_fetch(queues->submissions[i])) {
			fetch(queues->submissions[i]);
			return true;
		}
	}
	return false;
}

static void run(struct nvme_queues *queues)
{
	if (queues->running)
		return;
	queues->users++;
	queues->running = true;
	while (run_once(queues))
		;
	queues->running = false;
	put_queues(queues);
}

void nvme_queues_give_up(struct nvme_queues *queues)
{
	queues->given_up = true;
	run(queues);
	put_queues(queues);
}

/* The limit that registers tell of is that of I/O queues [3.1.8]. */
static bool can_have(unsigned int number, unsigned int entries)
{
	return entries >= 2 && entries <= (number ? NVME_ENTRIES : NVME_ADMIN_ENTRIES);
}

int nvme_create_completions(struct nvme_queues *queues, unsigned int number, uint64_t iova,
			    unsigned int entries, bool interrupts, unsigned int vector)
{
	struct completions *completions;

	if (number >= NVME_QUEUES || queues->completions[number])
		return NVME_INVALID_QUEUE;
	if (!can_have(number, entries))
		return NVME_INVALID_QUEUE_SIZE;
	if (vector >= NVME_QUEUES)
		return NVME_INVALID_VECTOR;
	if (iova % NVME_PAGE)
		return NVME_INVALID_PRP;
	completions = calloc(1, sizeof(*completions));
	if (!completions)
		return NVME_INTERNAL_ERROR;
	completions->queues = queues;
	completions->iova = iova;
	completions->entries = entries;
	completions->interrupts = interrupts;
	completions->vector = vector;
	completions->phase = true;
	queues->completions[number] = completions;
	return NVME_SUCCESS;
}

int nvme_create_submissions(struct nvme_queues *queues, unsigned int number, uint64_t iova,
			    unsigned int entries, unsigned int completions)
{
	struct nvme_submissions *queue;
	unsigned int i, nr;

	if (number >= NVME_QUEUES || queues->submissions[number])
		return NVME_INVALID_QUEUE;
	if (!completions != !number || completions >= NVME_QUEUES ||
	    !queues->completions[completions])
		return NVME_INVALID_COMPLETION_QUEUE;
	if (!can_have(number, entries))
		return NVME_INVALID_QUEUE_SIZE;
	if (iova % NVME_PAGE)
		return NVME_INVALID_PRP;
	/* What waits for events must not keep others from being done. */
	nr = (entries < NVME_ENTRIES ? entries : NVME_ENTRIES) + NVME_EVENTS;
	queue = calloc(1, sizeof(*queue) + nr * sizeof(queue->requests[0]));
	if (!queue)
		return NVME_INTERNAL_ERROR;
	queue->queues = queues;
	queue->completions = queues->completions[completions];
	queue->completions->users++;
	queue->number = number;
	queue->iova = iova;
	queue->entries = entries;
	for (i = 0; i < nr; i++) {
		queue->requests[i].queue = queue;
		queue->requests[i].next = queue->free;
		queue->free = &queue->requests[i];
	}
	queues->submissions[number] = queue;
	return NVME_SUCCESS;
}

int nvme_delete_completions(struct nvme_queues *queues, unsigned int number)
{
	if (!number || number >= NVME_QUEUES || !queues->completions[number])
		return NVME_INVALID_QUEUE;
	if (queues->completions[number]->users)
		return NVME_INVALID_DELETION;
	free(queues->completions[number]);
	queues->completions[number] = NULL;
	return NVME_SUCCESS;
}

int nvme_delete_submissions(struct nvme_queues *queues, unsigned int number,
			    struct nvme_request *request)
{
	struct nvme_submissions *queue;

	queue = number < NVME_QUEUES ? queues->submissions[number] : NULL;
	if (!number || !queue || queue->deletion)
		return NVME_INVALID_QUEUE;
	request->deletes = queue;
	queue->deletion = request;
	return queue->nr ? -1 : NVME_SUCCESS;
}

void nvme_ring(struct nvme_queues *queues, unsigned int number, bool completions, uint32_t value)
{
	if (!queues || queues->given_up || number >= NVME_QUEUES)
		return;
	if (completions && queues->completions[number] &&
	    value < queues->completions[number]->entries) {
		queues->completions[number]->head = value;
	} else if (!completions && queues->submissions[number] &&
		   value < queues->submissions[number]->entries) {
		queues->submissions[number]->tail = value;
	}
	run(queues);
}
