// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the module knows: groups, devices, removals, policies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/holders.h>
#include <vfioext/policy.h>
#include <vfioext/removal.h>

#include "context.h"
#include "netlink.h"
#include "query.h"

#define DUMP_TRIES 16

/* Run a dump, and run it again if it was overtaken by a change. */
int dump_run(struct vfioext *ctx, struct request *request, answer_fn fn, void *data,
	     void (*forget)(void *data))
{
	int tries, ret = -EAGAIN;

	for (tries = 0; tries < DUMP_TRIES && ret == -EAGAIN; tries++) {
		forget(data);
		ret = request_run(ctx, request, fn, data);
	}
	if (ret)
		forget(data);
	return ret;
}

static int take_group(const struct attributes *attributes, void *data)
{
	struct vfioext_group *group = data;
	const struct nlattr *viable = attributes->at[VFIOEXT_A_VIABLE];
	const struct nlattr *container_set = attributes->at[VFIOEXT_A_CONTAINER_SET];

	group->id = (int)attribute_u32(attributes, VFIOEXT_A_GROUP_ID);
	attribute_string(attributes, VFIOEXT_A_GROUP_NAME, group->name, sizeof(group->name));
	group->type = attribute_u32(attributes, VFIOEXT_A_GROUP_TYPE);
	group->viable = viable ? mnl_attr_get_u8(viable) : -1;
	group->container_set = container_set ? mnl_attr_get_u8(container_set) : -1;
	group->external_users = attribute_u32(attributes, VFIOEXT_A_EXTERNAL_USERS);
	return 0;
}

int vfioext_group_get(struct vfioext *ctx, int id, struct vfioext_group *group)
{
	struct request request;

	memset(group, 0, sizeof(*group));
	request_begin(&request, VFIOEXT_CMD_GROUP_GET, 0);
	request_put_u32(&request, VFIOEXT_A_GROUP_ID, (uint32_t)id);
	return request_run(ctx, &request, take_group, group);
}

static int take_handles(const struct attributes *attributes, void *data)
{
	*(uint32_t *)data = attribute_u32(attributes, VFIOEXT_A_HANDLES);
	return 0;
}

int vfioext_device_handles(struct vfioext *ctx, const char *device, uint32_t *handles)
{
	struct request request;
	int ret;

	request_begin(&request, VFIOEXT_CMD_DEVICE_GET, 0);
	ret = request_put_string(&request, VFIOEXT_A_DEVICE_NAME, device);
	return ret ? ret : request_run(ctx, &request, take_handles, handles);
}

static int take_policy(const struct attributes *attributes, void *data)
{
	struct vfioext_policy *policy = data;

	policy->has = VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_GRACE | VFIOEXT_POLICY_EXTEND_MAX |
		      VFIOEXT_POLICY_ACTION;
	policy->timeout_ms = attribute_u32(attributes, VFIOEXT_A_TIMEOUT_MS);
	policy->grace_ms = attribute_u32(attributes, VFIOEXT_A_GRACE_MS);
	policy->extend_max_ms = attribute_u32(attributes, VFIOEXT_A_EXTEND_MAX_MS);
	policy->action = attribute_u32(attributes, VFIOEXT_A_ACTION);
	return 0;
}

int vfioext_policy_get(struct vfioext *ctx, const char *device, struct vfioext_policy *policy)
{
	struct request request;
	int ret = 0;

	memset(policy, 0, sizeof(*policy));
	request_begin(&request, VFIOEXT_CMD_POLICY_GET, 0);
	if (device)
		ret = request_put_string(&request, VFIOEXT_A_DEVICE_NAME, device);
	return ret ? ret : request_run(ctx, &request, take_policy, policy);
}

/* What is not known here may come to mean something. */
static bool policy_is_known(const struct vfioext_policy *policy, unsigned int more)
{
	return !(policy->has & ~(VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_GRACE |
				 VFIOEXT_POLICY_EXTEND_MAX | VFIOEXT_POLICY_ACTION | more));
}

static void put_policy(struct request *request, const struct vfioext_policy *policy)
{
	if (policy->has & VFIOEXT_POLICY_TIMEOUT)
		request_put_u32(request, VFIOEXT_A_TIMEOUT_MS, policy->timeout_ms);
	if (policy->has & VFIOEXT_POLICY_GRACE)
		request_put_u32(request, VFIOEXT_A_GRACE_MS, policy->grace_ms);
	if (policy->has & VFIOEXT_POLICY_EXTEND_MAX)
		request_put_u32(request, VFIOEXT_A_EXTEND_MAX_MS, policy->extend_max_ms);
	if (policy->has & VFIOEXT_POLICY_ACTION)
		request_put_u32(request, VFIOEXT_A_ACTION, policy->action);
}

int vfioext_policy_set(struct vfioext *ctx, const char *device,
		       const struct vfioext_policy *policy)
{
	struct request request;
	int ret = 0;

	if (!policy_is_known(policy, 0))
		return context_fail(ctx, -EINVAL, "a policy has something unknown, %#x", policy->has);
	request_begin(&request, VFIOEXT_CMD_POLICY_SET, 0);
	if (device)
		ret = request_put_string(&request, VFIOEXT_A_DEVICE_NAME, device);
	put_policy(&request, policy);
	return ret ? ret : request_run(ctx, &request, NULL, NULL);
}

void take_removal(const struct attributes *attributes, struct vfioext_removal *removal)
{
	removal->id = attribute_u32(attributes, VFIOEXT_A_REMOVAL_ID);
	attribute_string(attributes, VFIOEXT_A_DEVICE_NAME, removal->device,
			 sizeof(removal->device));
	attribute_string(attributes, VFIOEXT_A_BUS, removal->bus, sizeof(removal->bus));
	removal->group = attribute_u32(attributes, VFIOEXT_A_GROUP_ID);
	removal->origin = attribute_u32(attributes, VFIOEXT_A_ORIGIN);
	removal->state = attribute_u32(attributes, VFIOEXT_A_STATE);
	removal->action = attribute_u32(attributes, VFIOEXT_A_ACTION);
	removal->remaining_ms = attribute_u32(attributes, VFIOEXT_A_REMAINING_MS);
	removal->elapsed_ms = attribute_u32(attributes, VFIOEXT_A_ELAPSED_MS);
	removal->external_users = attribute_u32(attributes, VFIOEXT_A_EXTERNAL_USERS);
	removal->handles = attribute_u32(attributes, VFIOEXT_A_HANDLES);
}

static int take_removal_of_list(const struct attributes *attributes, void *data)
{
	struct vfioext_removals *removals = data;
	struct vfioext_removal *more;

	more = realloc(removals->list, (removals->nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	removals->list = more;
	take_removal(attributes, &more[removals->nr++]);
	return 0;
}

void vfioext_removals_release(struct vfioext_removals *removals)
{
	free(removals->list);
	memset(removals, 0, sizeof(*removals));
}

static void forget_removals(void *data)
{
	vfioext_removals_release(data);
}

int vfioext_removals_get(struct vfioext *ctx, struct vfioext_removals *removals)
{
	struct request request;

	memset(removals, 0, sizeof(*removals));
	request_begin(&request, VFIOEXT_CMD_REMOVAL_GET, NLM_F_DUMP);
	return dump_run(ctx, &request, take_removal_of_list, removals, forget_removals);
}

static int take_id(const struct attributes *attributes, void *data)
{
	*(uint32_t *)data = attribute_u32(attributes, VFIOEXT_A_REMOVAL_ID);
	return 0;
}

int vfioext_removal_start(struct vfioext *ctx, const char *device,
			  const struct vfioext_policy *how, uint32_t *id)
{
	struct vfioext_policy policy = { 0 };
	struct request request;
	int ret;

	if (how && !policy_is_known(how, VFIOEXT_POLICY_DETACHED | VFIOEXT_POLICY_QUIET))
		return context_fail(ctx, -EINVAL, "a policy has something unknown, %#x", how->has);
	request_begin(&request, VFIOEXT_CMD_REMOVAL_START, 0);
	ret = request_put_string(&request, VFIOEXT_A_DEVICE_NAME, device);
	if (how)
		policy = *how;
	policy.has &= VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_ACTION;
	put_policy(&request, &policy);
	if (how && how->has & VFIOEXT_POLICY_DETACHED)
		request_put_flag(&request, VFIOEXT_A_DETACHED);
	if (how && how->has & VFIOEXT_POLICY_QUIET)
		request_put_flag(&request, VFIOEXT_A_QUIET);
	return ret ? ret : request_run(ctx, &request, take_id, id);
}

int vfioext_removal_cancel(struct vfioext *ctx, uint32_t id)
{
	struct request request;

	request_begin(&request, VFIOEXT_CMD_REMOVAL_CANCEL, 0);
	request_put_u32(&request, VFIOEXT_A_REMOVAL_ID, id);
	return request_run(ctx, &request, NULL, NULL);
}

struct extension {
	uint32_t extend_ms;
	uint32_t remaining_ms;
};

static int take_extension(const struct attributes *attributes, void *data)
{
	struct extension *extension = data;

	extension->extend_ms = attribute_u32(attributes, VFIOEXT_A_EXTEND_MS);
	extension->remaining_ms = attribute_u32(attributes, VFIOEXT_A_REMAINING_MS);
	return 0;
}

int vfioext_removal_extend(struct vfioext *ctx, uint32_t id, uint32_t *extend_ms,
			   uint32_t *remaining_ms)
{
	struct extension extension = { 0 };
	struct request request;
	int ret;

	request_begin(&request, VFIOEXT_CMD_REMOVAL_EXTEND, 0);
	request_put_u32(&request, VFIOEXT_A_REMOVAL_ID, id);
	request_put_u32(&request, VFIOEXT_A_EXTEND_MS, *extend_ms);
	ret = request_run(ctx, &request, take_extension, &extension);
	if (ret)
		return ret;
	*extend_ms = extension.extend_ms;
	if (remaining_ms)
		*remaining_ms = extension.remaining_ms;
	return 0;
}
