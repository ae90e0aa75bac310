// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small NVMe controller over vfio-user, with one namespace in memory, which is gone with
 * the server. Numbers in square brackets are sections of the NVM Express Base
 * Specification 1.4.
 */
#include <endian.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <vfioext/user_pci.h>

#include "example.h"
#include "nvme.h"

#define BAR_SIZE 0x4000
#define DOORBELLS 0x1000
#define TABLE 0x2000
#define PENDING 0x3000

/* [3.1] */
enum {
	REG_CAP = 0x00,
	REG_CAP_HIGH = 0x04,
	REG_VS = 0x08,
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ASQ_HIGH = 0x2c,
	REG_ACQ = 0x30,
	REG_ACQ_HIGH = 0x34,
};

#define CAP ((NVME_ENTRIES - 1) | 1u << 16 | 20u << 24)
#define CAP_HIGH 0x20u
#define VERSION 0x00010300u
#define CC_ENABLE 0x1u
/* Another command set, page size or arbitration. */
#define CC_OTHERS 0x3ff0u
#define CC_SHUTDOWN 0xc000u
#define CSTS_READY 0x1u
#define CSTS_FATAL 0x2u
#define CSTS_SHUT_DOWN 0x8u

enum {
	ADMIN_DELETE_SQ = 0x00,
	ADMIN_CREATE_SQ = 0x01,
	ADMIN_GET_LOG = 0x02,
	ADMIN_DELETE_CQ = 0x04,
	ADMIN_CREATE_CQ = 0x05,
	ADMIN_IDENTIFY = 0x06,
	ADMIN_ABORT = 0x08,
	ADMIN_SET_FEATURES = 0x09,
	ADMIN_GET_FEATURES = 0x0a,
	ADMIN_ASYNC_EVENT = 0x0c,

	IO_FLUSH = 0x00,
	IO_WRITE = 0x01,
	IO_READ = 0x02,
	IO_WRITE_ZEROES = 0x08,
};

enum {
	IDENTIFY_NAMESPACE = 0,
	IDENTIFY_CONTROLLER = 1,
	IDENTIFY_NAMESPACES = 2,
	IDENTIFY_DESCRIPTORS = 3,

	LOG_ERRORS = 1,
	LOG_HEALTH = 2,
	LOG_FIRMWARE = 3,

	FEATURE_TEMPERATURE = 4,
	FEATURE_QUEUES = 7,
	FEATURES = 0x0c,
};

#define FIRMWARE "1"

/* Temperatures in Kelvin: what it has, and what is too much. */
#define TEMPERATURE 300u
#define WARM 343u
#define HOT 363u

/*
 * @is_draining: @queues were given up
 * @events: commands that wait for an event; there is none ever
 * @id: makes it another one than any other
 */
struct nvme {
	struct vfioext_user_device *device;
	struct nvme_queues *queues;
	bool is_draining;
	uint32_t config;
	uint32_t status;
	uint32_t admin_sizes;
	uint64_t admin_submissions;
	uint64_t admin_completions;
	uint32_t features[FEATURES];
	struct nvme_request *events[NVME_EVENTS];
	unsigned int nr_events;
	uint8_t id[16];
	uint8_t *blocks;
};

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static void put_text(uint8_t *at, size_t size, const char *text)
{
	for (; size; size--)
		*at++ = *text ? (uint8_t)*text++ : ' ';
}

/* [5.15.2.2] */
static void identify_controller(const struct nvme *nvme, uint8_t *data)
{
	char serial[21];

	snprintf(serial, sizeof(serial), "%02x%02x%02x%02x%02x%02x%02x%02x", nvme->id[0],
		 nvme->id[1], nvme->id[2], nvme->id[3], nvme->id[4], nvme->id[5], nvme->id[6],
		 nvme->id[7]);
	put32(data, 0x1234 | 0x1234 << 16);
	put_text(data + 4, 20, serial);
	put_text(data + 24, 40, "vfioext nvme-ish");
	put_text(data + 64, 8, FIRMWARE);
	data[77] = NVME_TRANSFER_SHIFT;
	put32(data + 80, VERSION);
	data[258] = 3;
	data[259] = NVME_EVENTS - 1;
	/* One slot of firmware, which cannot be written. */
	data[260] = 0x3;
	put32(data + 266, WARM | HOT << 16);
	data[512] = 0x66;
	data[513] = 0x44;
	put32(data + 516, 1);
	data[520] = 1 << 3;
	snprintf((char *)data + 768, 256, "nqn.2014-08.org.nvmexpress:12341234%s", serial);
}

/* [5.15.2.1] */
static void identify_namespace(uint8_t *data)
{
	put64(data, NVME_BLOCKS);
	put64(data + 8, NVME_BLOCKS);
	put64(data + 16, NVME_BLOCKS);
	data[130] = 9;
}

/* [5.15.2.4]: its one identifier is a GUID. */
static void identify_descriptors(const struct nvme *nvme, uint8_t *data)
{
	data[0] = 2;
	data[1] = sizeof(nvme->id);
	memcpy(data + 4, nvme->id, sizeof(nvme->id));
}

/* Return: what is asked for, zeroed, as the data of the request; NULL without memory. */
static uint8_t *make_answer(struct nvme_request *request, size_t size)
{
	request->data = calloc(1, size);
	request->size = size;
	request->own = true;
	request->to_memory = true;
	return request->data;
}

static int identify(const struct nvme *nvme, struct nvme_request *request)
{
	uint32_t namespace = le32toh(request->command.namespace);
	uint8_t what = (uint8_t)le32toh(request->command.word[0]);
	uint8_t *data;

	if (what > IDENTIFY_DESCRIPTORS)
		return NVME_INVALID_FIELD;
	if ((what == IDENTIFY_NAMESPACE || what == IDENTIFY_DESCRIPTORS) && namespace != 1)
		return NVME_INVALID_NAMESPACE;
	if (what == IDENTIFY_NAMESPACES && namespace >= 0xfffffffe)
		return NVME_INVALID_NAMESPACE;
	data = make_answer(request, NVME_PAGE);
	if (!data)
		return NVME_INTERNAL_ERROR;
	if (what == IDENTIFY_CONTROLLER)
		identify_controller(nvme, data);
	else if (what == IDENTIFY_NAMESPACE)
		identify_namespace(data);
	else if (what == IDENTIFY_DESCRIPTORS)
		identify_descriptors(nvme, data);
	else if (!namespace)
		put32(data, 1);
	nvme_transfer(request);
	return -1;
}

/* [5.14] */
static int get_log(struct nvme_request *request)
{
	uint32_t first = le32toh(request->command.word[0]), second = le32toh(request->command.word[1]);
	uint64_t size = (((uint64_t)(second & 0xffff) << 16 | first >> 16) + 1) * 4;
	uint8_t what = (uint8_t)first, *data;

	if (what < LOG_ERRORS || what > LOG_FIRMWARE)
		return NVME_INVALID_LOG;
	if (size > NVME_TRANSFER_MAX)
		return NVME_INVALID_FIELD;
	data = make_answer(request, size < NVME_PAGE ? NVME_PAGE : size);
	if (!data)
		return NVME_INTERNAL_ERROR;
	request->size = size;
	if (what == LOG_HEALTH) {
		/* And all of the spare blocks are left. */
		put32(data, TEMPERATURE << 8 | 100u << 24);
	} else if (what == LOG_FIRMWARE) {
		data[0] = 1;
		put_text(data + 8, 8, FIRMWARE);
	}
	nvme_transfer(request);
	return -1;
}

/* [5.21]: all that they have is taken, and means nothing. */
static int set_feature(struct nvme *nvme, struct nvme_request *request, uint8_t what)
{
	uint32_t value = le32toh(request->command.word[1]);

	if (le32toh(request->command.word[0]) >> 31)
		return NVME_NOT_SAVEABLE;
	if (what == FEATURE_QUEUES) {
		if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff)
			return NVME_INVALID_FIELD;
		request->completion.result = htole32(nvme->features[what]);
	} else {
		nvme->features[what] = value;
	}
	return NVME_SUCCESS;
}

static int access_feature(struct nvme *nvme, struct nvme_request *request, bool set)
{
	uint8_t what = (uint8_t)le32toh(request->command.word[0]);

	/* Ranges of blocks are of other sets of commands. */
	if (!what || what == 3 || what >= FEATURES)
		return NVME_INVALID_FIELD;
	if (set)
		return set_feature(nvme, request, what);
	request->completion.result = htole32(nvme->features[what]);
	return NVME_SUCCESS;
}

static int create_queue(struct nvme *nvme, const struct nvme_request *request, bool completions)
{
	const struct nvme_command *command = &request->command;
	uint32_t first = le32toh(command->word[0]), second = le32toh(command->word[1]);
	uint64_t iova = le64toh(command->prp[0]);

	/* In one piece; there are no lists of their pages. */
	if (!(second & 1))
		return NVME_INVALID_FIELD;
	if (completions)
		return nvme_create_completions(nvme->queues, first & 0xffff, iova, (first >> 16) + 1,
					       second & 2, second >> 16);
	return nvme_create_submissions(nvme->queues, first & 0xffff, iova, (first >> 16) + 1,
				       second >> 16);
}

static int keep_event(struct nvme *nvme, struct nvme_request *request)
{
	if (nvme->nr_events == NVME_EVENTS)
		return NVME_TOO_MANY_EVENTS;
	nvme->events[nvme->nr_events++] = request;
	return -1;
}

/* Return: -1 if it is completed elsewhere. */
static int do_admin(struct nvme *nvme, struct nvme_request *request)
{
	uint32_t first = le32toh(request->command.word[0]);

	switch (request->command.opcode) {
	case ADMIN_DELETE_SQ:
		return nvme_delete_submissions(nvme->queues, first & 0xffff, request);
	case ADMIN_DELETE_CQ:
		return nvme_delete_completions(nvme->queues, first & 0xffff);
	case ADMIN_CREATE_SQ:
	case ADMIN_CREATE_CQ:
		return create_queue(nvme, request, request->command.opcode == ADMIN_CREATE_CQ);
	case ADMIN_GET_LOG:
		return get_log(request);
	case ADMIN_IDENTIFY:
		return identify(nvme, request);
	case ADMIN_ABORT:
		/* It was too late. */
		request->completion.result = htole32(1);
		return NVME_SUCCESS;
	case ADMIN_SET_FEATURES:
	case ADMIN_GET_FEATURES:
		return access_feature(nvme, request,
				      request->command.opcode == ADMIN_SET_FEATURES);
	case ADMIN_ASYNC_EVENT:
		return keep_event(nvme, request);
	default:
		return NVME_INVALID_OPCODE;
	}
}

static int do_io(struct nvme *nvme, struct nvme_request *request)
{
	const struct nvme_command *command = &request->command;
	uint64_t block = (uint64_t)le32toh(command->word[1]) << 32 | le32toh(command->word[0]);
	uint32_t nr = (le32toh(command->word[2]) & 0xffff) + 1;

	if (le32toh(command->namespace) != 1)
		return NVME_INVALID_NAMESPACE;
	if (command->opcode == IO_FLUSH)
		return NVME_SUCCESS;
	if (command->opcode != IO_WRITE && command->opcode != IO_READ &&
	    command->opcode != IO_WRITE_ZEROES)
		return NVME_INVALID_OPCODE;
	if (block >= NVME_BLOCKS || nr > NVME_BLOCKS - block)
		return NVME_OUT_OF_RANGE;
	request->data = nvme->blocks + block * NVME_BLOCK;
	request->size = (size_t)nr * NVME_BLOCK;
	if (command->opcode == IO_WRITE_ZEROES) {
		memset(request->data, 0, request->size);
		return NVME_SUCCESS;
	}
	request->to_memory = command->opcode == IO_READ;
	nvme_transfer(request);
	return -1;
}

/* Neither fused commands nor lists of scatter-gather are offered. */
static void execute(void *data, struct nvme_request *request)
{
	int status;

	if (request->command.flags)
		status = NVME_INVALID_FIELD;
	else if (nvme_queue_number(request))
		status = do_io(data, request);
	else
		status = do_admin(data, request);
	if (status >= 0)
		nvme_complete(request, status);
}

static void fatal(void *data)
{
	struct nvme *nvme = data;

	nvme->status |= CSTS_FATAL;
}

static const struct nvme_ops nvme_ops;

static void enable(struct nvme *nvme)
{
	unsigned int submissions = (nvme->admin_sizes & 0xfff) + 1;
	unsigned int completions = (nvme->admin_sizes >> 16 & 0xfff) + 1;

	if (!(nvme->config & CC_OTHERS))
		nvme->queues = nvme_queues_new(nvme->device, &nvme_ops, nvme);
	if (!nvme->queues ||
	    nvme_create_completions(nvme->queues, 0, nvme->admin_completions, completions, true, 0) ||
	    nvme_create_submissions(nvme->queues, 0, nvme->admin_submissions, submissions, 0))
		nvme->status |= CSTS_FATAL;
	else
		nvme->status |= CSTS_READY;
}

/* Nothing of what was begun before is under way. */
static void drained(void *data)
{
	struct nvme *nvme = data;

	nvme->queues = NULL;
	nvme->is_draining = false;
	nvme->status &= ~CSTS_READY;
	if (nvme->config & CC_ENABLE)
		enable(nvme);
}

static const struct nvme_ops nvme_ops = { .execute = execute, .fatal = fatal, .drained = drained };

/* It is ready as long as something is under way [3.1.6]. */
static void disable(struct nvme *nvme)
{
	unsigned int nr = nvme->nr_events, i;

	nvme->config &= ~CC_ENABLE;
	nvme->status &= CSTS_READY;
	nvme->nr_events = 0;
	if (nvme->queues && !nvme->is_draining) {
		nvme->is_draining = true;
		nvme_queues_give_up(nvme->queues);
		for (i = 0; i < nr; i++)
			nvme_complete(nvme->events[i], NVME_INTERNAL_ERROR);
	}
}

static void configure(struct nvme *nvme, uint32_t value)
{
	bool was_enabled = nvme->config & CC_ENABLE;

	nvme->config = value;
	if (was_enabled && !(value & CC_ENABLE))
		disable(nvme);
	else if (!was_enabled && value & CC_ENABLE && !nvme->is_draining)
		enable(nvme);
	if (value & CC_SHUTDOWN)
		nvme->status |= CSTS_SHUT_DOWN;
}

static void set_defaults(struct nvme *nvme)
{
	memset(nvme->features, 0, sizeof(nvme->features));
	nvme->features[FEATURE_TEMPERATURE] = WARM;
	nvme->features[FEATURE_QUEUES] = (NVME_QUEUES - 2) << 16 | (NVME_QUEUES - 2);
}

static uint32_t read_register(const struct nvme *nvme, uint64_t offset)
{
	switch (offset) {
	case REG_CAP:
		return CAP;
	case REG_CAP_HIGH:
		return CAP_HIGH;
	case REG_VS:
		return VERSION;
	case REG_CC:
		return nvme->config;
	case REG_CSTS:
		return nvme->status;
	case REG_AQA:
		return nvme->admin_sizes;
	case REG_ASQ:
		return (uint32_t)nvme->admin_submissions;
	case REG_ASQ_HIGH:
		return (uint32_t)(nvme->admin_submissions >> 32);
	case REG_ACQ:
		return (uint32_t)nvme->admin_completions;
	case REG_ACQ_HIGH:
		return (uint32_t)(nvme->admin_completions >> 32);
	default:
		return 0;
	}
}

static void set_half(uint64_t *value, bool high, uint32_t half)
{
	*value = high ? (uint64_t)half << 32 | (uint32_t)*value :
			(*value & ~0xffffffffULL) | (half & ~(NVME_PAGE - 1));
}

static void write_register(struct nvme *nvme, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REG_CC:
		configure(nvme, value);
		break;
	case REG_AQA:
		nvme->admin_sizes = value;
		break;
	case REG_ASQ:
	case REG_ASQ_HIGH:
		set_half(&nvme->admin_submissions, offset == REG_ASQ_HIGH, value);
		break;
	case REG_ACQ:
	case REG_ACQ_HIGH:
		set_half(&nvme->admin_completions, offset == REG_ACQ_HIGH, value);
		break;
	default:
		if (offset >= DOORBELLS && offset < TABLE)
			nvme_ring(nvme->queues, (unsigned int)(offset - DOORBELLS) / 8,
				  offset & 4, value);
		break;
	}
}

/* One register, or the two that make one of 8 bytes. */
static bool is_register(unsigned int region, size_t count, uint64_t offset)
{
	return !region && (count == 4 || count == 8) && !(offset % count);
}

static int nvme_read(struct vfioext_user_device *device, unsigned int region, void *buffer,
		     size_t count, uint64_t offset)
{
	const struct nvme *nvme = vfioext_user_device_data(device);
	uint8_t *bytes = buffer;
	size_t at;

	memset(buffer, 0, count);
	for (at = 0; is_register(region, count, offset) && at < count; at += 4)
		put32(bytes + at, read_register(nvme, offset + at));
	return 0;
}

static int nvme_write(struct vfioext_user_device *device, unsigned int region, const void *buffer,
		      size_t count, uint64_t offset)
{
	struct nvme *nvme = vfioext_user_device_data(device);
	const uint8_t *bytes = buffer;
	uint32_t value;
	size_t at;

	for (at = 0; is_register(region, count, offset) && at < count; at += sizeof(value)) {
		memcpy(&value, bytes + at, sizeof(value));
		write_register(nvme, offset + at, le32toh(value));
	}
	return 0;
}

static int nvme_reset(struct vfioext_user_device *device)
{
	struct nvme *nvme = vfioext_user_device_data(device);

	disable(nvme);
	nvme->config = 0;
	nvme->admin_sizes = 0;
	nvme->admin_submissions = 0;
	nvme->admin_completions = 0;
	set_defaults(nvme);
	return 0;
}

static const struct vfioext_user_ops ops = {
	.read = nvme_read,
	.write = nvme_write,
	.reset = nvme_reset,
};

static int make_pci(struct vfioext_user_device *device)
{
	struct vfioext_user_pci pci = {
		.vendor = 0x1234,
		.device = 0x11ea,
		.class_code = 0x010802,
		.express = true,
	};
	struct vfioext_user_region bar = {
		.flags = VFIOEXT_REGION_READ | VFIOEXT_REGION_WRITE,
		.size = BAR_SIZE,
		.fd = -1,
	};
	struct vfioext_user_msix msix = {
		.vectors = NVME_QUEUES,
		.table_offset = TABLE,
		.pba_offset = PENDING,
	};
	int ret;

	ret = vfioext_user_pci_init(device, &pci);
	if (!ret)
		ret = vfioext_user_pci_set_bar(device, 0, VFIOEXT_USER_BAR_64, &bar);
	if (!ret)
		ret = vfioext_user_pci_add_pm(device);
	if (ret >= 0)
		ret = vfioext_user_pci_add_msix(device, &msix);
	return ret < 0 ? ret : 0;
}

static void nvme_free(void *data)
{
	struct nvme *nvme = data;

	/* The server is gone: nothing is under way. */
	disable(nvme);
	free(nvme->blocks);
	free(nvme);
}

static int nvme_make(struct vfioext_user *server, struct vfioext_user_device **device)
{
	struct nvme *nvme = calloc(1, sizeof(*nvme));
	int ret = -ENOMEM;

	if (!nvme)
		return -ENOMEM;
	nvme->blocks = calloc(NVME_BLOCKS, NVME_BLOCK);
	if (!nvme->blocks)
		goto err_free;
	if (getrandom(nvme->id, sizeof(nvme->id), 0) != sizeof(nvme->id)) {
		ret = -EIO;
		goto err_free;
	}
	set_defaults(nvme);
	ret = vfioext_user_device_new(server, &ops, nvme, &nvme->device);
	if (ret)
		goto err_free;
	ret = make_pci(nvme->device);
	if (ret)
		goto err_device;
	*device = nvme->device;
	return 0;

err_device:
	vfioext_user_device_free(nvme->device);
err_free:
	nvme_free(nvme);
	return ret;
}

const struct example example_nvme = {
	.name = "nvme-ish",
	.make = nvme_make,
	.free = nvme_free,
};
