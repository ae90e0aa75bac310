// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "version.h"

#define DATA_DEFAULT 0x100000
#define MAPS_DEFAULT 65535
#define PAGE_DEFAULT 4096

/* The parser calls itself for each level, and the caller's stack may be small. */
#define LEVELS_MAX 16

void capabilities_init(struct capabilities *capabilities)
{
	*capabilities = (struct capabilities){
		.max_msg_fds = 1,
		.max_data_xfer_size = DATA_DEFAULT,
		.max_dma_maps = MAPS_DEFAULT,
		.pgsizes = PAGE_DEFAULT,
		.twin_index = -1,
	};
}

/*
 * What is not there stays as it is. All numbers were read as reals, which hold each that counts
 * something here, and masks of page sizes, too: 53 bits reach from 2^63 down to 2^11. What is
 * larger than 64 bits is as good as the largest.
 */
static int take_number(const json_t *object, const char *name, uint64_t *value)
{
	const json_t *number = json_object_get(object, name);
	double real = json_real_value(number);

	if (!number)
		return 0;
	if (!json_is_real(number) || real < 0)
		return -EINVAL;
	if (real >= 0x1p64) {
		*value = UINT64_MAX;
		return 0;
	}
	/* There is no half a descriptor. */
	if ((double)(uint64_t)real != real)
		return -EINVAL;
	*value = (uint64_t)real;
	return 0;
}

static int take_bool(const json_t *object, const char *name, bool *value)
{
	const json_t *truth = json_object_get(object, name);

	if (!truth)
		return 0;
	if (!json_is_boolean(truth))
		return -EINVAL;
	*value = json_is_true(truth);
	return 0;
}

static int take_twin(const json_t *twin, struct capabilities *capabilities)
{
	uint64_t index = UINT64_MAX;

	if (!twin)
		return 0;
	if (!json_is_object(twin) || take_bool(twin, "supported", &capabilities->twin_socket) ||
	    take_number(twin, "fd_index", &index))
		return -EINVAL;
	capabilities->twin_index = index <= INT_MAX ? (int)index : -1;
	return 0;
}

static int take_capabilities(const json_t *object, struct capabilities *capabilities)
{
	if (!object)
		return 0;
	if (!json_is_object(object) ||
	    take_number(object, "max_msg_fds", &capabilities->max_msg_fds) ||
	    take_number(object, "max_data_xfer_size", &capabilities->max_data_xfer_size) ||
	    take_number(object, "max_dma_maps", &capabilities->max_dma_maps) ||
	    take_number(object, "pgsizes", &capabilities->pgsizes) ||
	    take_bool(object, "write_multiple", &capabilities->write_multiple))
		return -EINVAL;
	return take_twin(json_object_get(object, "twin_socket"), capabilities);
}

/* Brackets within strings are none. */
static bool is_too_deep(const char *json, size_t length)
{
	bool string = false;
	size_t i, levels = 0;

	for (i = 0; i < length; i++) {
		if (string && json[i] == '\\')
			i++;
		else if (json[i] == '"')
			string = !string;
		else if (!string && (json[i] == '{' || json[i] == '['))
			levels++;
		else if (!string && levels && (json[i] == '}' || json[i] == ']'))
			levels--;
		if (levels > LEVELS_MAX)
			return true;
	}
	return false;
}

int capabilities_parse(struct capabilities *capabilities, const void *json, size_t size)
{
	size_t length = strnlen(json, size);
	json_t *root;
	int ret;

	if (!size)
		return 0;
	/* The end of it is told by a NUL, and so there must be one. */
	if (length == size || size > VERSION_JSON_MAX || is_too_deep(json, length))
		return -EINVAL;
	root = json_loadb(json, length, JSON_DECODE_INT_AS_REAL, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return -EINVAL;
	}
	ret = take_capabilities(json_object_get(root, "capabilities"), capabilities);
	json_decref(root);
	return ret;
}

char *capabilities_format(const struct capabilities *capabilities)
{
	json_t *object, *root;
	char *text = NULL;

	object = json_pack("{s:I, s:I, s:I, s:I}",
			   "max_msg_fds", (json_int_t)capabilities->max_msg_fds,
			   "max_data_xfer_size", (json_int_t)capabilities->max_data_xfer_size,
			   "max_dma_maps", (json_int_t)capabilities->max_dma_maps,
			   "pgsizes", (json_int_t)capabilities->pgsizes);
	if (!object)
		return NULL;
	if (capabilities->write_multiple)
		json_object_set_new(object, "write_multiple", json_true());
	if (capabilities->twin_socket && capabilities->twin_index >= 0)
		json_object_set_new(object, "twin_socket",
				    json_pack("{s:b, s:i}", "supported", 1, "fd_index",
					      capabilities->twin_index));
	else if (capabilities->twin_socket)
		json_object_set_new(object, "twin_socket", json_pack("{s:b}", "supported", 1));
	root = json_pack("{s:o}", "capabilities", object);
	if (root)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}
