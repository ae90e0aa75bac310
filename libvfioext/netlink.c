// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests and answers of the generic netlink family.
 *
 * libmnl's own control callbacks drop the error of a dump and the kernel's
 * message; ours are given to mnl_cb_run2() in their place.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "context.h"
#include "netlink.h"

struct exchange {
	struct vfioext *ctx;
	answer_fn fn;
	void *data;
	bool interrupted;
	bool ended;
};

static int take_extack_text(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		*(const char **)data = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

/* The kernel's words lie behind the error, and behind the request if it is sent back. */
static void take_message(struct vfioext *ctx, const struct nlmsghdr *header, size_t offset)
{
	const char *text = NULL;

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (mnl_nlmsg_get_payload_len(header) < offset)
		return;
	mnl_attr_parse(header, offset, take_extack_text, &text);
	if (text && ctx)
		context_fail(ctx, 0, "%s", text);
}

static int on_error(const struct nlmsghdr *header, void *data)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(header);
	struct exchange *exchange = data;
	size_t offset = sizeof(*error);

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*error)) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	if (!(header->nlmsg_flags & NLM_F_CAPPED)) {
		if (error->msg.nlmsg_len < sizeof(error->msg) ||
		    error->msg.nlmsg_len > mnl_nlmsg_get_payload_len(header)) {
			errno = EBADMSG;
			return MNL_CB_ERROR;
		}
		offset += MNL_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	}
	exchange->ended = true;
	take_message(exchange->ctx, header, offset);
	if (!error->error)
		return MNL_CB_STOP;
	errno = -error->error;
	return MNL_CB_ERROR;
}

/* The end of a dump carries its error. */
static int on_done(const struct nlmsghdr *header, void *data)
{
	struct exchange *exchange = data;
	int error = 0;

	if (mnl_nlmsg_get_payload_len(header) >= sizeof(error))
		memcpy(&error, mnl_nlmsg_get_payload(header), sizeof(error));
	exchange->ended = true;
	take_message(exchange->ctx, header, sizeof(error));
	if (error >= 0)
		return MNL_CB_STOP;
	errno = -error;
	return MNL_CB_ERROR;
}

static int on_ignored(const struct nlmsghdr *header, void *data)
{
	(void)header;
	(void)data;
	return MNL_CB_OK;
}

/* Not const, as libmnl of Debian 12 takes it; never written. */
static mnl_cb_t control_callbacks[NLMSG_MIN_TYPE] = {
	[NLMSG_NOOP] = on_ignored,
	[NLMSG_ERROR] = on_error,
	[NLMSG_DONE] = on_done,
	[NLMSG_OVERRUN] = on_ignored,
};

/*
 * libmnl gives up in the middle of a dump that was overtaken by a change. What is left of it
 * would have to be thrown away with the socket, and with the socket goes what was asked for
 * over it: so the mark is taken away. Return: whether there was one.
 */
bool netlink_take_interruption(void *buffer, size_t size)
{
	struct nlmsghdr *header = buffer;
	bool interrupted = false;
	int left = (int)size;

	for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
		if (!(header->nlmsg_flags & NLM_F_DUMP_INTR))
			continue;
		interrupted = true;
		header->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
	}
	return interrupted;
}

/* Send a request and run the callback on its answers until the last. */
static int exchange_run(struct netlink *netlink, struct nlmsghdr *request, mnl_cb_t fn,
			struct exchange *exchange)
{
	unsigned int port = mnl_socket_get_portid(netlink->socket);
	ssize_t len;
	int ret = 0;

	request->nlmsg_seq = ++netlink->sequence;
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(netlink->socket, netlink->buffer,
					  sizeof(netlink->buffer));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -errno;
		if (netlink_take_interruption(netlink->buffer, (size_t)len))
			exchange->interrupted = true;
		ret = mnl_cb_run2(netlink->buffer, len, request->nlmsg_seq, port, fn, exchange,
				  control_callbacks, NLMSG_MIN_TYPE);
	} while (len < 0 || ret > MNL_CB_STOP);
	return ret < 0 ? -errno : 0;
}

static int take_multicast_group(const struct nlattr *nest, struct netlink *netlink)
{
	const struct nlattr *attr, *name = NULL, *id = NULL;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = attr;
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			id = attr;
	}
	if (!name || !id)
		return -EBADMSG;
	if (!strcmp(mnl_attr_get_str(name), VFIOEXT_MCGRP_REMOVAL))
		netlink->removal_group = mnl_attr_get_u32(id);
	else if (!strcmp(mnl_attr_get_str(name), VFIOEXT_MCGRP_GROUP))
		netlink->group_group = mnl_attr_get_u32(id);
	return 0;
}

static bool names_family(const struct nlmsghdr *header)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return !strcmp(mnl_attr_get_str(attr), VFIOEXT_FAMILY_NAME);
	return false;
}

/*
 * Learn the numbers of the family from what the controller says. Return: 0,
 * -ENOENT if it speaks of another family, -EBADMSG.
 */
int netlink_learn_family(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct nlattr *attr, *group;

	if (mnl_nlmsg_get_payload_len(header) < sizeof(struct genlmsghdr))
		return -EBADMSG;
	if (!names_family(header))
		return -ENOENT;
	netlink->family = 0;
	netlink->removal_group = 0;
	netlink->group_group = 0;
	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
			netlink->family = mnl_attr_get_u16(attr);
		if (mnl_attr_get_type(attr) != CTRL_ATTR_MCAST_GROUPS)
			continue;
		mnl_attr_for_each_nested(group, attr)
			if (take_multicast_group(group, netlink))
				return -EBADMSG;
	}
	if (!netlink->family || !netlink->removal_group || !netlink->group_group)
		return -EBADMSG;
	return 0;
}

static int take_family(const struct nlmsghdr *header, void *data)
{
	struct exchange *exchange = data;
	int ret = netlink_learn_family(exchange->data, header);

	if (!ret)
		return MNL_CB_OK;
	errno = -ret;
	return MNL_CB_ERROR;
}

/* Where /sys is not mounted only asking tells. */
bool netlink_may_open(const struct vfioext *ctx)
{
	return !ctx->never_load || !access("/sys/module/vfioext", F_OK) ||
	       access("/sys/module", F_OK);
}

/* Asking for the family has the kernel load the module, whoever asks. */
static int find_family(struct netlink *netlink)
{
	struct exchange exchange = { .data = netlink };
	struct genlmsghdr *genl;
	struct request request;
	int ret;

	request.header = mnl_nlmsg_put_header(request.buffer);
	request.header->nlmsg_type = GENL_ID_CTRL;
	request.header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	genl = mnl_nlmsg_put_extra_header(request.header, sizeof(*genl));
	genl->cmd = CTRL_CMD_GETFAMILY;
	genl->version = 1;
	mnl_attr_put_strz(request.header, CTRL_ATTR_FAMILY_NAME, VFIOEXT_FAMILY_NAME);
	ret = exchange_run(netlink, request.header, take_family, &exchange);
	return ret == -ENOENT ? -EPROTONOSUPPORT : ret;
}

int netlink_open(struct netlink *netlink)
{
	int on = 1, ret;

	netlink->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!netlink->socket)
		return -errno;
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		ret = -errno;
		goto err_close;
	}
	/* Without them an error has no words, which is no reason to fail. */
	mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(netlink->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	ret = find_family(netlink);
	if (ret)
		goto err_close;
	return 0;

err_close:
	netlink_close(netlink);
	return ret;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

/* The family's number is filled in when the request runs. */
void request_begin(struct request *request, uint8_t command, uint16_t flags)
{
	struct genlmsghdr *genl;

	request->header = mnl_nlmsg_put_header(request->buffer);
	request->header->nlmsg_flags = NLM_F_REQUEST | flags;
	genl = mnl_nlmsg_put_extra_header(request->header, sizeof(*genl));
	genl->cmd = command;
	genl->version = VFIOEXT_FAMILY_VERSION;
}

int request_put_string(struct request *request, uint16_t type, const char *value)
{
	if (strlen(value) > VFIOEXT_NAME_MAX)
		return -ENODEV;
	mnl_attr_put_strz(request->header, type, value);
	return 0;
}

void request_put_u32(struct request *request, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(request->header, type, value);
}

void request_put_flag(struct request *request, uint16_t type)
{
	mnl_attr_put(request->header, type, 0, NULL);
}

static bool is_string(int type)
{
	switch (type) {
	case VFIOEXT_A_GROUP_NAME:
	case VFIOEXT_A_DEVICES:
	case VFIOEXT_A_DEVICE_NAME:
	case VFIOEXT_A_BUS:
	case VFIOEXT_A_DRIVER:
	case VFIOEXT_A_COMM:
		return true;
	default:
		return false;
	}
}

static enum mnl_attr_data_type type_of(int type)
{
	if (is_string(type))
		return MNL_TYPE_NUL_STRING;
	if (type == VFIOEXT_A_VIABLE || type == VFIOEXT_A_CONTAINER_SET)
		return MNL_TYPE_U8;
	return MNL_TYPE_U32;
}

/* Attributes of a newer kernel are passed over. */
static int take_attribute(const struct nlattr *attr, void *data)
{
	struct attributes *attributes = data;
	int type = mnl_attr_get_type(attr);

	if (type < 1 || type > VFIOEXT_A_MAX)
		return MNL_CB_OK;
	if (mnl_attr_validate(attr, type_of(type)) < 0)
		return MNL_CB_ERROR;
	attributes->at[type] = attr;
	return MNL_CB_OK;
}

/* Return: 0, or -EBADMSG. */
int attributes_parse(const struct nlmsghdr *header, struct attributes *attributes)
{
	memset(attributes, 0, sizeof(*attributes));
	if (mnl_nlmsg_get_payload_len(header) < sizeof(struct genlmsghdr))
		return -EBADMSG;
	if (mnl_attr_parse(header, sizeof(struct genlmsghdr), take_attribute, attributes) < 0)
		return -EBADMSG;
	return 0;
}

/* 0 if there is none. */
uint32_t attribute_u32(const struct attributes *attributes, int type)
{
	const struct nlattr *attr = attributes->at[type];

	return attr ? mnl_attr_get_u32(attr) : 0;
}

/* Cut to what there is room for; "" if there is none. */
void attribute_string(const struct attributes *attributes, int type, char *value, size_t size)
{
	const struct nlattr *attr = attributes->at[type];

	value[0] = '\0';
	if (attr)
		strncat(value, mnl_attr_get_str(attr), size - 1);
}

static int on_answer(const struct nlmsghdr *header, void *data)
{
	struct exchange *exchange = data;
	struct attributes attributes;
	int ret;

	ret = attributes_parse(header, &attributes);
	if (!ret && exchange->fn)
		ret = exchange->fn(&attributes, exchange->data);
	if (ret) {
		errno = -ret;
		return MNL_CB_ERROR;
	}
	if (header->nlmsg_flags & NLM_F_MULTI)
		return MNL_CB_OK;
	/* The one answer ends the exchange; there is no acknowledgment to come. */
	exchange->ended = true;
	return MNL_CB_STOP;
}

static int run_once(struct vfioext *ctx, struct request *request, struct exchange *exchange)
{
	int ret;

	if (!ctx->netlink.socket) {
		ret = netlink_may_open(ctx) ? netlink_open(&ctx->netlink) : -EPROTONOSUPPORT;
		if (ret == -EPROTONOSUPPORT)
			return context_fail(ctx, ret,
					    "the module is not loaded; 'modprobe vfioext' loads it");
		if (ret)
			return ret;
	}
	request->header->nlmsg_type = ctx->netlink.family;
	exchange->ended = false;
	ret = exchange_run(&ctx->netlink, request->header, on_answer, exchange);
	/* What is left of a broken exchange must not answer the next. */
	if (!exchange->ended)
		netlink_close(&ctx->netlink);
	return ret;
}

/*
 * Run a request, and @fn on each of its answers. A dump that was overtaken by a
 * change gives -EAGAIN, and the caller starts anew.
 */
int request_run(struct vfioext *ctx, struct request *request, answer_fn fn, void *data)
{
	struct exchange exchange = { .ctx = ctx, .fn = fn, .data = data };
	int ret;

	ctx->message[0] = '\0';
	/*
	 * An answer is as good as an acknowledgment, which costs a message and can
	 * be lost for want of memory when the work was done.
	 */
	if (!fn)
		request->header->nlmsg_flags |= NLM_F_ACK;
	ret = run_once(ctx, request, &exchange);
	if (ret == -ENOENT && !ctx->message[0]) {
		/* No words: the family has another number since the module was loaded anew. */
		netlink_close(&ctx->netlink);
		ret = run_once(ctx, request, &exchange);
	}
	return !ret && exchange.interrupted ? -EAGAIN : ret;
}
