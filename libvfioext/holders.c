// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who holds devices and groups, as the module tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/discovery.h>
#include <vfioext/holders.h>

#include "context.h"
#include "netlink.h"
#include "query.h"

static int take_holder(const struct attributes *attributes, void *data)
{
	struct vfioext_holders *holders = data;
	struct vfioext_holder *more, *holder;

	if (!attributes->at[VFIOEXT_A_PID]) {
		holders->unaccounted = attribute_u32(attributes, VFIOEXT_A_UNACCOUNTED);
		return 0;
	}
	more = realloc(holders->list, (holders->nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	holders->list = more;
	holder = &more[holders->nr++];
	holder->pid = (int)attribute_u32(attributes, VFIOEXT_A_PID);
	holder->uid = attribute_u32(attributes, VFIOEXT_A_UID);
	attribute_string(attributes, VFIOEXT_A_COMM, holder->comm, sizeof(holder->comm));
	holder->group_fds = attribute_u32(attributes, VFIOEXT_A_GROUP_FDS);
	holder->device_fds = attribute_u32(attributes, VFIOEXT_A_DEVICE_FDS);
	holder->mappings = attribute_u32(attributes, VFIOEXT_A_MAPPINGS);
	holder->kvm_fds = attribute_u32(attributes, VFIOEXT_A_KVM_FDS);
	return 0;
}

void vfioext_holders_release(struct vfioext_holders *holders)
{
	free(holders->list);
	memset(holders, 0, sizeof(*holders));
}

static void forget_holders(void *data)
{
	vfioext_holders_release(data);
}

/* Of how many handles they can be at most, each of which is open or mapped somewhere. */
static uint32_t accounted_for(const struct vfioext_holders *holders)
{
	uint32_t nr = holders->unaccounted;
	size_t i;

	for (i = 0; i < holders->nr; i++)
		nr += holders->list[i].device_fds + holders->list[i].mappings +
		      holders->list[i].kvm_fds;
	return nr;
}

/* Handles of a device, or of all in a group. What is not known is none. */
static uint32_t count_handles(struct vfioext *ctx, const char *device, int group)
{
	struct vfioext_device_list members;
	uint32_t handles = 0, sum = 0;
	size_t i;

	if (device)
		return vfioext_device_handles(ctx, device, &handles) ? 0 : handles;
	if (vfioext_list_group(ctx, group, &members))
		return 0;
	for (i = 0; i < members.nr; i++)
		if (members.list[i].vfio &&
		    !vfioext_device_handles(ctx, members.list[i].name, &handles))
			sum += handles;
	vfioext_device_list_release(&members);
	return sum;
}

/*
 * Who is told of his own processes alone is told how many handles there are: those that are
 * open before and after, and that nobody accounts for, are others'.
 */
static int find(struct vfioext *ctx, struct request *request, const char *device, int group,
		struct vfioext_holders *holders)
{
	uint32_t before = count_handles(ctx, device, group), after, shown;
	int ret = dump_run(ctx, request, take_holder, holders, forget_holders);

	shown = ret ? before : accounted_for(holders);
	if (before > shown) {
		after = count_handles(ctx, device, group);
		after = after < before ? after : before;
		holders->hidden = after > shown ? after - shown : 0;
	}
	return ret;
}

int vfioext_device_holders(struct vfioext *ctx, const char *device,
			   struct vfioext_holders *holders)
{
	struct request request;
	int ret;

	memset(holders, 0, sizeof(*holders));
	request_begin(&request, VFIOEXT_CMD_HOLDER_GET, NLM_F_DUMP);
	ret = request_put_string(&request, VFIOEXT_A_DEVICE_NAME, device);
	return ret ? ret : find(ctx, &request, device, -1, holders);
}

int vfioext_group_holders(struct vfioext *ctx, int group, struct vfioext_holders *holders)
{
	struct request request;

	memset(holders, 0, sizeof(*holders));
	request_begin(&request, VFIOEXT_CMD_HOLDER_GET, NLM_F_DUMP);
	request_put_u32(&request, VFIOEXT_A_GROUP_ID, (uint32_t)group);
	return find(ctx, &request, NULL, group, holders);
}
