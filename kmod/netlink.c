// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family; Documentation/netlink/specs/vfioext.yaml says what
 * each command and event means.
 */
#include <linux/cred.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/sizes.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "compat.h"
#include "group.h"
#include "holders.h"
#include "netlink.h"
#include "policy.h"
#include "private_layout.h"
#include "removal.h"

/* The generator leaves the table of multicast groups static. */
#include "netlink_gen.c"

#define REPLY_MAX SZ_64K

static u32 sequences[ARRAY_SIZE(vfioext_nl_mcgrps)];

static struct genl_family vfioext_family __ro_after_init = {
	.name = VFIOEXT_FAMILY_NAME,
	.version = VFIOEXT_FAMILY_VERSION,
	.maxattr = ARRAY_SIZE(vfioext_main_nl_policy) - 1,
	.policy = vfioext_main_nl_policy,
	.netnsok = true,
	.module = THIS_MODULE,
	.small_ops = vfioext_nl_ops,
	.n_small_ops = ARRAY_SIZE(vfioext_nl_ops),
	.parallel_ops = true,
	.resv_start_op = __VFIOEXT_CMD_MAX,
	.mcgrps = vfioext_nl_mcgrps,
	.n_mcgrps = ARRAY_SIZE(vfioext_nl_mcgrps),
};

/* In the initial user namespace: a container's root is not the host's. */
static bool is_administrator(struct sk_buff *skb)
{
	return netlink_capable(skb, CAP_SYS_ADMIN);
}

static int refuse_others(struct sk_buff *skb, struct genl_info *info)
{
	if (is_administrator(skb))
		return 0;
	NL_SET_ERR_MSG(info->extack, "this takes CAP_SYS_ADMIN in the initial user namespace");
	return -EPERM;
}

/* What identifies a device, in requests and in answers. */
static int put_device_name(struct sk_buff *skb, const struct device *dev)
{
	return nla_put_string(skb, VFIOEXT_A_DEVICE_NAME, dev_name(dev)) ?:
	       nla_put_string(skb, VFIOEXT_A_BUS, dev->bus->name);
}

static int put_group_name(struct sk_buff *skb, const struct tracked_group *tg)
{
	char name[GROUP_NAME_SIZE];

	scnprintf(name, sizeof(name), GROUP_NAME_FORMAT, GROUP_NAME_ARGS(tg));
	return nla_put_u32(skb, VFIOEXT_A_GROUP_ID, tg->id) ?:
	       nla_put_string(skb, VFIOEXT_A_GROUP_NAME, name) ?:
	       nla_put_u32(skb, VFIOEXT_A_GROUP_TYPE, tg->type);
}

/*
 * @tg: the group
 * @claimed: something owns its DMA: user space, or a driver of the kernel
 */
struct group_answer {
	struct tracked_group *tg;
	bool claimed;
};

/*
 * A group in a container is viable, and user space owns its DMA; one that is not
 * must not be owned by a kernel driver. The group is held.
 */
static int put_group_status(struct sk_buff *skb, const struct group_answer *answer)
{
	struct tracked_group *tg = answer->tg;
	bool container_set, viable;
	int ret;

	if (!tracked_group_proved(tg))
		return answer->claimed ? 0 : nla_put_u8(skb, VFIOEXT_A_VIABLE, true);

	container_set = private_has_container(tg->group);
	viable = !answer->claimed || container_set || private_has_iommufd(tg->group);
	ret = nla_put_u8(skb, VFIOEXT_A_VIABLE, viable);
	return ret ?: nla_put_u8(skb, VFIOEXT_A_CONTAINER_SET, container_set);
}

/* Of a group that is going there is no status. */
static int put_group_status_if_any(struct sk_buff *skb, const struct group_answer *answer)
{
	struct vfio_device *vdev = tracked_group_hold(answer->tg);
	int ret;

	if (!vdev)
		return 0;
	ret = put_group_status(skb, answer);
	vfio_registration_put(vdev);
	return ret;
}

static int put_group(struct sk_buff *skb, const void *object)
{
	const struct group_answer *answer = object;
	struct tracked_group *tg = answer->tg;
	struct tracked_device *td;
	int ret;

	ret = put_group_name(skb, tg) ?: put_group_status_if_any(skb, answer) ?:
	      nla_put_u32(skb, VFIOEXT_A_EXTERNAL_USERS, tracked_group_users(tg));
	list_for_each_entry(td, &tg->devices, group_node)
		ret = ret ?: nla_put_string(skb, VFIOEXT_A_DEVICES, dev_name(td->dev));
	return ret;
}

static int put_device_status(struct sk_buff *skb, const void *object)
{
	struct tracked_device *td = (struct tracked_device *)object;
	int ret;

	ret = put_device_name(skb, td->dev) ?:
	      nla_put_string(skb, VFIOEXT_A_DRIVER, td->driver) ?:
	      nla_put_u32(skb, VFIOEXT_A_GROUP_ID, td->tg->id) ?:
	      nla_put_u32(skb, VFIOEXT_A_HANDLES, tracked_device_handles(td));
	if (!ret && td->removal)
		ret = nla_put_u32(skb, VFIOEXT_A_REMOVAL_ID, td->removal->id);
	return ret;
}

static int put_removal(struct sk_buff *skb, const void *object)
{
	const struct removal *removal = object;

	return nla_put_u32(skb, VFIOEXT_A_REMOVAL_ID, removal->id) ?:
	       put_device_name(skb, removal->dev) ?:
	       nla_put_u32(skb, VFIOEXT_A_GROUP_ID, removal->tg->id) ?:
	       nla_put_u32(skb, VFIOEXT_A_ORIGIN, removal->origin) ?:
	       nla_put_u32(skb, VFIOEXT_A_STATE, removal->state) ?:
	       nla_put_u32(skb, VFIOEXT_A_ACTION, removal->policy.action) ?:
	       nla_put_u32(skb, VFIOEXT_A_REMAINING_MS, removal_remaining_ms(removal)) ?:
	       nla_put_u32(skb, VFIOEXT_A_ELAPSED_MS, removal_elapsed_ms(removal)) ?:
	       nla_put_u32(skb, VFIOEXT_A_EXTERNAL_USERS, tracked_group_users(removal->tg)) ?:
	       nla_put_u32(skb, VFIOEXT_A_HANDLES, tracked_device_handles(removal->td));
}

typedef int (*put_fn)(struct sk_buff *skb, const void *object);

static int try_reply(struct genl_info *info, put_fn put, const void *object, size_t size)
{
	struct sk_buff *skb = genlmsg_new(size, GFP_NOIO);
	int ret = -EMSGSIZE;
	void *header;

	if (!skb)
		return -ENOMEM;
	header = genlmsg_put_reply(skb, info, &vfioext_family, 0, info->genlhdr->cmd);
	if (header)
		ret = put(skb, object);
	if (ret) {
		nlmsg_free(skb);
		return ret;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

/* One answer to a do command; a group may have many devices. */
static int reply(struct genl_info *info, put_fn put, const void *object)
{
	size_t size = GENLMSG_DEFAULT_SIZE;
	int ret;

	do {
		ret = try_reply(info, put, object, size);
		size *= 2;
	} while (ret == -EMSGSIZE && size <= REPLY_MAX);
	return ret;
}

/* One message of a dump. */
static int dump_one(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd, put_fn put,
		    const void *object)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   &vfioext_family, NLM_F_MULTI, cmd);

	if (!header)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, header);
	if (put(skb, object)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* Nothing was put into a part of a dump: there is no more, or an object is too large for one. */
static int dump_result(const struct sk_buff *skb, bool full)
{
	return skb->len || !full ? skb->len : -EMSGSIZE;
}

/*
 * Every object of a list, from where the last part of the dump ended. A reader
 * is told if the list has changed in between.
 */
static int dump_list(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd, put_fn put,
		     struct list_head *list, size_t node_offset)
{
	struct list_head *node;
	bool full = false;
	long index = 0;

	mutex_lock(&tracking_lock);
	cb->seq = tracking_generation + 1;
	list_for_each(node, list) {
		if (index >= cb->args[0])
			full = dump_one(skb, cb, cmd, put, (void *)node - node_offset);
		if (full)
			break;
		index++;
	}
	mutex_unlock(&tracking_lock);
	cb->args[0] = index;
	return dump_result(skb, full);
}

/*
 * What the IOMMU core says of a group takes a lock of its own, which it holds while hardware
 * answers; so it is asked with the tracking_lock dropped. The caller has a reference.
 */
static void ask_iommu(struct group_answer *answer)
{
	lockdep_assert_held(&tracking_lock);
	mutex_unlock(&tracking_lock);
	answer->claimed = iommu_group_dma_owner_claimed(answer->tg->iommu_group);
	mutex_lock(&tracking_lock);
}

static struct tracked_group *group_at(long index)
{
	struct tracked_group *tg;

	list_for_each_entry(tg, &tracked_groups, list)
		if (!index--)
			return tg;
	return NULL;
}

/* Return: false if the group has no room in this part of the dump. */
static bool dump_group(struct sk_buff *skb, struct netlink_callback *cb, struct tracked_group *tg)
{
	struct group_answer answer = { .tg = tg };
	bool fits;

	kref_get(&tg->ref);
	ask_iommu(&answer);
	fits = !dump_one(skb, cb, VFIOEXT_CMD_GROUP_GET, put_group, &answer);
	tracked_group_put(tg);
	return fits;
}

int vfioext_nl_group_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct tracked_group *tg;
	bool full = false;

	mutex_lock(&tracking_lock);
	cb->seq = tracking_generation + 1;
	while (!full && (tg = group_at(cb->args[0]))) {
		full = !dump_group(skb, cb, tg);
		cb->args[0] += !full;
	}
	mutex_unlock(&tracking_lock);
	return dump_result(skb, full);
}

int vfioext_nl_device_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_list(skb, cb, VFIOEXT_CMD_DEVICE_GET, put_device_status, &tracked_devices,
			 offsetof(struct tracked_device, list));
}

int vfioext_nl_removal_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_list(skb, cb, VFIOEXT_CMD_REMOVAL_GET, put_removal, &removals,
			 offsetof(struct removal, node));
}

/* The device that a request names; tracking_lock is held. */
static struct tracked_device *requested_device(struct nlattr **attrs,
					       struct netlink_ext_ack *extack)
{
	const struct nlattr *name = attrs[VFIOEXT_A_DEVICE_NAME];
	const struct nlattr *bus = attrs[VFIOEXT_A_BUS];
	struct tracked_device *td;

	if (!name) {
		NL_SET_ERR_MSG(extack, "device-name is missing");
		return ERR_PTR(-EINVAL);
	}
	td = tracked_device_by_name(nla_data(name), bus ? nla_data(bus) : NULL);
	if (td == ERR_PTR(-ENODEV))
		NL_SET_ERR_MSG_ATTR(extack, name, "no such device is bound to a VFIO driver");
	else if (td == ERR_PTR(-ENOTUNIQ))
		NL_SET_ERR_MSG_ATTR(extack, name, "several buses have such a device, name one");
	return td;
}

static struct tracked_group *requested_group(struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	const struct nlattr *id = attrs[VFIOEXT_A_GROUP_ID];
	struct tracked_group *tg;

	if (!id) {
		NL_SET_ERR_MSG(extack, "group-id is missing");
		return ERR_PTR(-EINVAL);
	}
	tg = nla_get_u32(id) <= INT_MAX ? tracked_group_by_id(nla_get_u32(id)) : NULL;
	if (tg)
		return tg;
	NL_SET_ERR_MSG_ATTR(extack, id, "no such group has a VFIO device");
	return ERR_PTR(-ENODEV);
}

static struct removal *requested_removal(struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	const struct nlattr *id = attrs[VFIOEXT_A_REMOVAL_ID];
	struct removal *removal;

	if (!id) {
		NL_SET_ERR_MSG(extack, "removal-id is missing");
		return ERR_PTR(-EINVAL);
	}
	removal = removal_by_id(nla_get_u32(id));
	if (removal)
		return removal;
	NL_SET_ERR_MSG_ATTR(extack, id, "no such removal is under way");
	return ERR_PTR(-ENOENT);
}

int vfioext_nl_group_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct group_answer answer = {};
	int ret;

	mutex_lock(&tracking_lock);
	answer.tg = requested_group(info->attrs, info->extack);
	ret = PTR_ERR_OR_ZERO(answer.tg);
	if (!ret) {
		kref_get(&answer.tg->ref);
		ask_iommu(&answer);
		ret = reply(info, put_group, &answer);
		tracked_group_put(answer.tg);
	}
	mutex_unlock(&tracking_lock);
	return ret;
}

int vfioext_nl_device_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tracked_device *td;
	int ret;

	mutex_lock(&tracking_lock);
	td = requested_device(info->attrs, info->extack);
	ret = IS_ERR(td) ? PTR_ERR(td) : reply(info, put_device_status, td);
	mutex_unlock(&tracking_lock);
	return ret;
}

int vfioext_nl_removal_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct removal *removal;
	int ret;

	mutex_lock(&tracking_lock);
	removal = requested_removal(info->attrs, info->extack);
	ret = IS_ERR(removal) ? PTR_ERR(removal) : reply(info, put_removal, removal);
	mutex_unlock(&tracking_lock);
	return ret;
}

static int put_holder(struct sk_buff *skb, const void *object)
{
	const struct holder *holder = object;
	pid_t pid = pid_nr_ns(holder->pid, task_active_pid_ns(current));

	return nla_put_u32(skb, VFIOEXT_A_PID, pid) ?:
	       nla_put_string(skb, VFIOEXT_A_COMM, holder->comm) ?:
	       nla_put_u32(skb, VFIOEXT_A_UID, from_kuid_munged(current_user_ns(), holder->uid)) ?:
	       nla_put_u32(skb, VFIOEXT_A_GROUP_FDS, holder->group_fds) ?:
	       nla_put_u32(skb, VFIOEXT_A_DEVICE_FDS, holder->device_fds) ?:
	       nla_put_u32(skb, VFIOEXT_A_MAPPINGS, holder->mappings) ?:
	       nla_put_u32(skb, VFIOEXT_A_KVM_FDS, holder->kvm_fds);
}

static int put_unaccounted(struct sk_buff *skb, const void *object)
{
	const struct holders *holders = object;

	return nla_put_u32(skb, VFIOEXT_A_UNACCOUNTED, holders->unaccounted);
}

/*
 * The holders are found anew for each part of a dump, which goes on behind the
 * last process told: args[0] is its number, args[1] says that all was told.
 */
static int dump_holders(struct sk_buff *skb, struct netlink_callback *cb,
			const struct holders *holders, bool all)
{
	const struct holder *holder;

	list_for_each_entry(holder, &holders->list, node) {
		if (pid_nr(holder->pid) <= cb->args[0])
			continue;
		if (dump_one(skb, cb, VFIOEXT_CMD_HOLDER_GET, put_holder, holder))
			return dump_result(skb, true);
		cb->args[0] = pid_nr(holder->pid);
	}
	if (all && holders->unaccounted &&
	    dump_one(skb, cb, VFIOEXT_CMD_HOLDER_GET, put_unaccounted, holders))
		return dump_result(skb, true);
	cb->args[1] = true;
	return skb->len;
}

static int requested_target(struct nlattr **attrs, struct netlink_ext_ack *extack,
			    struct holder_target *target)
{
	struct tracked_device *td;
	struct tracked_group *tg;

	if (attrs[VFIOEXT_A_GROUP_ID]) {
		tg = requested_group(attrs, extack);
		return IS_ERR(tg) ? PTR_ERR(tg) : holder_target_group(target, tg);
	}
	td = requested_device(attrs, extack);
	return IS_ERR(td) ? PTR_ERR(td) : holder_target_device(target, td);
}

int vfioext_nl_holder_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	bool all = is_administrator(cb->skb);
	struct holder_target target;
	struct holders holders;
	int ret;

	if (cb->args[1])
		return 0;

	mutex_lock(&tracking_lock);
	ret = requested_target(compat_dump_attrs(cb), cb->extack, &target);
	mutex_unlock(&tracking_lock);
	if (ret)
		return ret;
	ret = holders_find(&target, all ? HOLDERS_ALL : HOLDERS_OWN, &holders);
	holder_target_release(&target);
	if (ret)
		return ret;

	ret = dump_holders(skb, cb, &holders, all);
	holders_release(&holders);
	return ret;
}

struct policy_answer {
	const struct tracked_device *td;
	struct removal_policy policy;
};

static int put_policy(struct sk_buff *skb, const void *object)
{
	const struct policy_answer *answer = object;
	int ret = answer->td ? put_device_name(skb, answer->td->dev) : 0;

	return ret ?: nla_put_u32(skb, VFIOEXT_A_TIMEOUT_MS, answer->policy.timeout_ms) ?:
	       nla_put_u32(skb, VFIOEXT_A_GRACE_MS, answer->policy.grace_ms) ?:
	       nla_put_u32(skb, VFIOEXT_A_EXTEND_MAX_MS, answer->policy.extend_max_ms) ?:
	       nla_put_u32(skb, VFIOEXT_A_ACTION, answer->policy.action);
}

/* The device whose policy is meant, NULL for the host's. */
static struct tracked_device *policy_device(struct genl_info *info)
{
	if (!info->attrs[VFIOEXT_A_DEVICE_NAME] && !info->attrs[VFIOEXT_A_BUS])
		return NULL;
	return requested_device(info->attrs, info->extack);
}

int vfioext_nl_policy_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct policy_answer answer = {};
	struct tracked_device *td;
	int ret;

	mutex_lock(&tracking_lock);
	td = policy_device(info);
	ret = PTR_ERR_OR_ZERO(td);
	if (!ret) {
		answer.td = td;
		answer.policy = removal_policy_of(td);
		ret = reply(info, put_policy, &answer);
	}
	mutex_unlock(&tracking_lock);
	return ret;
}

/* Take a value if the request has it. */
static bool take_u32(const struct genl_info *info, int type, u32 *value)
{
	const struct nlattr *attr = info->attrs[type];

	if (attr)
		*value = nla_get_u32(attr);
	return attr;
}

/* A time, likewise. The kernel's own check of a range is another one in each version. */
static int take_ms(const struct genl_info *info, int type, u32 *value, bool *has)
{
	const struct nlattr *attr = info->attrs[type];

	if (attr && nla_get_u32(attr) > VFIOEXT_TIME_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "longer than a day");
		return -ERANGE;
	}
	*has = take_u32(info, type, value);
	return 0;
}

static int take_policy(const struct genl_info *info, struct removal_policy_change *change)
{
	change->has_action = take_u32(info, VFIOEXT_A_ACTION, &change->values.action);
	return take_ms(info, VFIOEXT_A_TIMEOUT_MS, &change->values.timeout_ms,
		       &change->has_timeout) ?:
	       take_ms(info, VFIOEXT_A_GRACE_MS, &change->values.grace_ms, &change->has_grace) ?:
	       take_ms(info, VFIOEXT_A_EXTEND_MAX_MS, &change->values.extend_max_ms,
		       &change->has_extend_max);
}

int vfioext_nl_policy_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct removal_policy_change change = {};
	struct tracked_device *td;
	int ret;

	ret = refuse_others(skb, info) ?: take_policy(info, &change);
	if (ret)
		return ret;
	if (!change.has_timeout && !change.has_grace && !change.has_extend_max &&
	    !change.has_action) {
		NL_SET_ERR_MSG(info->extack, "there is nothing to set");
		return -EINVAL;
	}

	mutex_lock(&tracking_lock);
	td = policy_device(info);
	ret = PTR_ERR_OR_ZERO(td);
	if (!ret)
		removal_policy_set(td, &change);
	mutex_unlock(&tracking_lock);
	return ret;
}

static int put_started(struct sk_buff *skb, const void *object)
{
	const struct removal *removal = object;

	return nla_put_u32(skb, VFIOEXT_A_REMOVAL_ID, removal->id) ?:
	       nla_put_u32(skb, VFIOEXT_A_REMAINING_MS, removal_remaining_ms(removal));
}

static int start_removal(struct genl_info *info, struct tracked_device *td)
{
	struct removal_request request = {
		.policy = removal_policy_of(td),
		.quiet = info->attrs[VFIOEXT_A_QUIET],
	};
	struct removal *removal;
	bool has;
	int ret;

	ret = take_ms(info, VFIOEXT_A_TIMEOUT_MS, &request.policy.timeout_ms, &has);
	if (ret)
		return ret;
	take_u32(info, VFIOEXT_A_ACTION, &request.policy.action);
	removal = removal_ask(td, &request, info->extack);
	if (IS_ERR(removal))
		return PTR_ERR(removal);
	if (!info->attrs[VFIOEXT_A_DETACHED])
		asker_watch(&removal->asker, genl_info_net(info), info->snd_portid);
	ret = reply(info, put_started, removal);
	if (ret)
		removal_cancel(removal, info->extack);
	return ret;
}

int vfioext_nl_removal_start_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tracked_device *td;
	int ret;

	ret = refuse_others(skb, info);
	if (ret)
		return ret;
	mutex_lock(&tracking_lock);
	td = requested_device(info->attrs, info->extack);
	ret = IS_ERR(td) ? PTR_ERR(td) : start_removal(info, td);
	mutex_unlock(&tracking_lock);
	return ret;
}

int vfioext_nl_removal_cancel_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct removal *removal;
	int ret;

	ret = refuse_others(skb, info);
	if (ret)
		return ret;
	mutex_lock(&tracking_lock);
	removal = requested_removal(info->attrs, info->extack);
	ret = IS_ERR(removal) ? PTR_ERR(removal) : removal_cancel(removal, info->extack);
	mutex_unlock(&tracking_lock);
	return ret;
}

struct extend_answer {
	struct removal *removal;
	u32 extend_ms;
};

static int put_extended(struct sk_buff *skb, const void *object)
{
	const struct extend_answer *answer = object;

	return nla_put_u32(skb, VFIOEXT_A_EXTEND_MS, answer->extend_ms) ?:
	       put_started(skb, answer->removal);
}

static int extend_removal(struct genl_info *info)
{
	struct extend_answer answer;
	int ret;

	answer.removal = requested_removal(info->attrs, info->extack);
	if (IS_ERR(answer.removal))
		return PTR_ERR(answer.removal);
	if (!take_u32(info, VFIOEXT_A_EXTEND_MS, &answer.extend_ms)) {
		NL_SET_ERR_MSG(info->extack, "extend-ms is missing");
		return -EINVAL;
	}
	ret = removal_extend(answer.removal, &answer.extend_ms, info->extack);
	return ret ?: reply(info, put_extended, &answer);
}

/* Who is no administrator must hold the device. The lock is dropped meanwhile. */
static int may_extend(struct sk_buff *skb, struct genl_info *info)
{
	struct holder_target target;
	struct removal *removal;
	bool holds;
	int ret;

	if (is_administrator(skb))
		return 0;

	removal = requested_removal(info->attrs, info->extack);
	if (IS_ERR(removal))
		return PTR_ERR(removal);
	ret = holder_target_device(&target, removal->td);
	if (ret)
		return ret;
	mutex_unlock(&tracking_lock);
	holds = holder_is_current(&target);
	holder_target_release(&target);
	mutex_lock(&tracking_lock);

	if (holds)
		return 0;
	NL_SET_ERR_MSG(info->extack, "only who holds the device may ask for more time");
	return -EPERM;
}

int vfioext_nl_removal_extend_doit(struct sk_buff *skb, struct genl_info *info)
{
	int ret;

	mutex_lock(&tracking_lock);
	ret = may_extend(skb, info) ?: extend_removal(info);
	mutex_unlock(&tracking_lock);
	return ret;
}

/* Who begins to listen meanwhile has missed nothing that it could know of. */
static bool is_heard(unsigned int group)
{
	bool heard = false;
	struct net *net;

	rcu_read_lock();
	for_each_net_rcu(net)
		heard = heard || genl_has_listeners(&vfioext_family, net, group);
	rcu_read_unlock();
	return heard;
}

/*
 * Send an event to every namespace. A number is used up even if there was no
 * memory for the event: its readers shall know that they missed one.
 */
static void send_event(unsigned int group, u8 cmd, put_fn put, const void *object)
{
	u32 sequence = ++sequences[group];
	struct sk_buff *skb;
	void *header;

	lockdep_assert_held(&tracking_lock);

	if (!is_heard(group))
		return;
	skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_NOIO);
	if (!skb)
		return;
	header = genlmsg_put(skb, 0, 0, &vfioext_family, 0, cmd);
	if (!header || nla_put_u32(skb, VFIOEXT_A_SEQUENCE, sequence) || put(skb, object)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, header);
	compat_multicast_allns(&vfioext_family, skb, group);
}

static int put_group_event(struct sk_buff *skb, const void *object)
{
	return put_group_name(skb, object);
}

void netlink_group_event(u8 cmd, struct tracked_group *tg)
{
	send_event(VFIOEXT_NLGRP_GROUP, cmd, put_group_event, tg);
}

static int put_device_event(struct sk_buff *skb, const void *object)
{
	const struct tracked_device *td = object;

	return put_device_name(skb, td->dev) ?:
	       nla_put_string(skb, VFIOEXT_A_DRIVER, td->driver) ?:
	       nla_put_u32(skb, VFIOEXT_A_GROUP_ID, td->tg->id);
}

void netlink_device_event(u8 cmd, struct tracked_device *td)
{
	send_event(VFIOEXT_NLGRP_GROUP, cmd, put_device_event, td);
}

struct removal_event {
	struct removal *removal;
	const struct removal_event_extra *extra;
};

static int put_removal_event(struct sk_buff *skb, const void *object)
{
	const struct removal_event *event = object;
	const struct removal_event_extra *extra = event->extra;
	int ret = put_removal(skb, event->removal);

	if (!ret && extra->extend_ms)
		ret = nla_put_u32(skb, VFIOEXT_A_EXTEND_MS, extra->extend_ms);
	if (!ret && extra->signaled)
		ret = nla_put_u32(skb, VFIOEXT_A_SIGNALED, extra->signaled);
	if (!ret && extra->has_outcome)
		ret = nla_put_u32(skb, VFIOEXT_A_OUTCOME, event->removal->outcome);
	return ret;
}

void netlink_removal_event(u8 cmd, struct removal *removal,
			   const struct removal_event_extra *extra)
{
	struct removal_event event = { .removal = removal, .extra = extra };

	send_event(VFIOEXT_NLGRP_REMOVAL, cmd, put_removal_event, &event);
}

int netlink_init(void)
{
	return genl_register_family(&vfioext_family);
}

void netlink_exit(void)
{
	genl_unregister_family(&vfioext_family);
}

MODULE_ALIAS_GENL_FAMILY(VFIOEXT_FAMILY_NAME);
