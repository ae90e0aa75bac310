// SPDX-License-Identifier: GPL-2.0-only
/* The netlink family as any program meets it: permissions, bad input, long dumps. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

#define NOBODY 65534
/* Parts of a dump are as long as the library's buffer, 32 KiB. */
#define MANY 900

FIXTURE(netlink) {
	struct vfioext *ctx;
	struct mnl_socket *socket;
	uint16_t family;
	char buffer[8192];
};

/* Return: the error, 0 for none; the kernel's message in @text. */
static int talk(struct mnl_socket *socket, struct nlmsghdr *request, char *text, size_t size)
{
	char answer[16384];
	const struct nlmsghdr *header = (void *)answer;
	const struct nlmsgerr *error;
	const struct nlattr *attr;
	ssize_t len;

	text[0] = '\0';
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(socket, answer, sizeof(answer));
		if (len < (ssize_t)sizeof(*header))
			return -EBADMSG;
	} while (header->nlmsg_type != NLMSG_ERROR && header->nlmsg_type != NLMSG_DONE);
	error = mnl_nlmsg_get_payload(header);
	if (header->nlmsg_type == NLMSG_DONE)
		return *(const int *)error;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_for_each(attr, header, sizeof(*error))
			if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
				snprintf(text, size, "%s", mnl_attr_get_str(attr));
	return error->error;
}

static struct nlmsghdr *begin(char *buffer, uint16_t type, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	header->nlmsg_seq = 1;
	genl = mnl_nlmsg_put_extra_header(header, sizeof(*genl));
	genl->cmd = command;
	genl->version = 1;
	return header;
}

static uint16_t find_family(struct mnl_socket *socket)
{
	char buffer[8192];
	const struct nlmsghdr *answer = (void *)buffer;
	struct nlmsghdr *header = begin(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	const struct nlattr *attr;
	uint16_t family = 0;

	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, VFIOEXT_FAMILY_NAME);
	header->nlmsg_flags &= ~NLM_F_ACK;
	mnl_socket_sendto(socket, header, header->nlmsg_len);
	mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			family = mnl_attr_get_u16(attr);
	return family;
}

FIXTURE_SETUP(netlink)
{
	int on = 1;

	bind_device(EDU);
	self->ctx = test_context();
	self->socket = mnl_socket_open(NETLINK_GENERIC);
	ASSERT_NE(NULL, self->socket);
	ASSERT_EQ(0, mnl_socket_bind(self->socket, 0, MNL_SOCKET_AUTOPID));
	mnl_socket_setsockopt(self->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(self->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	self->family = find_family(self->socket);
	ASSERT_NE(0, self->family);
}

FIXTURE_TEARDOWN(netlink)
{
	mnl_socket_close(self->socket);
	vfioext_free(self->ctx);
}

/* What an unprivileged process is told; the function runs as nobody. */
static int as_nobody(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(99);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int try_policy_set(void)
{
	struct vfioext_policy policy = { .has = VFIOEXT_POLICY_TIMEOUT, .timeout_ms = 1 };

	return -vfioext_policy_set(test_context(), NULL, &policy);
}

static int try_start(void)
{
	uint32_t id;

	return -vfioext_removal_start(test_context(), EDU, NULL, &id);
}

static int try_cancel(void)
{
	return -vfioext_removal_cancel(test_context(), 1);
}

static uint32_t removal_id;

static int try_extend(void)
{
	return -vfioext_removal_extend(test_context(), removal_id, &(uint32_t){ 100 }, NULL);
}

static int count_holders(void)
{
	struct vfioext_holders holders;

	if (vfioext_device_holders(test_context(), EDU, &holders))
		return 98;
	return (int)holders.nr;
}

static int try_reading(void)
{
	struct vfioext_removals removals;
	struct vfioext_policy policy;
	struct vfioext_events *events;
	uint32_t handles;
	struct vfioext *ctx = test_context();

	return -(vfioext_removals_get(ctx, &removals) ?: vfioext_policy_get(ctx, NULL, &policy) ?:
		 vfioext_device_handles(ctx, EDU, &handles) ?:
		 vfioext_events_open(&events, VFIOEXT_EVENTS_REMOVAL, -1));
}

TEST_F(netlink, unprivileged)
{
	struct holder_process holder;
	uint32_t id;

	EXPECT_EQ(EPERM, as_nobody(try_policy_set));
	EXPECT_EQ(EPERM, as_nobody(try_start));
	EXPECT_EQ(EPERM, as_nobody(try_cancel));
	EXPECT_EQ(0, as_nobody(try_reading));

	holder = holder_start(EDU, HOLDER_STUBBORN);
	EXPECT_EQ(1, count_holders());
	EXPECT_EQ(0, as_nobody(count_holders));
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	removal_id = id;
	EXPECT_EQ(EPERM, as_nobody(try_extend));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	holder_kill(&holder);
}

/* An unprivileged process sees itself, and may ask for more time. */
static int hold_as_nobody(void)
{
	struct vfioext_holders holders;
	struct vfioext *ctx = test_context();
	int ret;

	ret = vfioext_device_holders(ctx, EDU, &holders);
	if (ret || holders.nr != 1 || holders.list[0].pid != getpid() ||
	    holders.list[0].uid != NOBODY || holders.list[0].device_fds != 1)
		return 97;
	vfioext_holders_release(&holders);
	return try_extend();
}

TEST_F(netlink, unprivileged_holder)
{
	struct vfioext_device *device;
	uint32_t id;

	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &device));
	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	removal_id = id;
	EXPECT_EQ(0, as_nobody(hold_as_nobody));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	vfioext_device_close(device);
}

#define EXPECT_REFUSED(error, header) do {						\
	char text__[256];								\
											\
	EXPECT_EQ(-(error), talk(self->socket, header, text__, sizeof(text__)));	\
	EXPECT_NE('\0', text__[0]);							\
} while (0)

TEST_F(netlink, malformed)
{
	struct nlmsghdr *header;
	char name[80];

	/* Missing attributes */
	EXPECT_REFUSED(EINVAL, begin(self->buffer, self->family, VFIOEXT_CMD_GROUP_GET, 0));
	EXPECT_REFUSED(EINVAL, begin(self->buffer, self->family, VFIOEXT_CMD_DEVICE_GET, 0));
	EXPECT_REFUSED(EINVAL, begin(self->buffer, self->family, VFIOEXT_CMD_POLICY_SET, 0));
	EXPECT_REFUSED(EINVAL, begin(self->buffer, self->family, VFIOEXT_CMD_REMOVAL_START, 0));
	EXPECT_REFUSED(EINVAL, begin(self->buffer, self->family, VFIOEXT_CMD_REMOVAL_CANCEL, 0));

	/* Of the wrong length */
	header = begin(self->buffer, self->family, VFIOEXT_CMD_GROUP_GET, 0);
	mnl_attr_put_u8(header, VFIOEXT_A_GROUP_ID, 1);
	EXPECT_REFUSED(EINVAL, header);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	header = begin(self->buffer, self->family, VFIOEXT_CMD_DEVICE_GET, 0);
	mnl_attr_put_strz(header, VFIOEXT_A_DEVICE_NAME, name);
	EXPECT_REFUSED(EINVAL, header);
	header = begin(self->buffer, self->family, VFIOEXT_CMD_DEVICE_GET, 0);
	mnl_attr_put(header, VFIOEXT_A_DEVICE_NAME, 3, "abc");
	EXPECT_REFUSED(EINVAL, header);

	/* Of a value that is none, and ones that no request takes */
	header = begin(self->buffer, self->family, VFIOEXT_CMD_POLICY_SET, 0);
	mnl_attr_put_u32(header, VFIOEXT_A_ACTION, 2);
	EXPECT_REFUSED(ERANGE, header);
	header = begin(self->buffer, self->family, VFIOEXT_CMD_POLICY_GET, 0);
	mnl_attr_put_u32(header, VFIOEXT_A_SIGNALED, 2);
	EXPECT_REFUSED(EINVAL, header);
	header = begin(self->buffer, self->family, VFIOEXT_CMD_GROUP_GET, 0);
	mnl_attr_put_u32(header, 999, 2);
	EXPECT_REFUSED(EINVAL, header);
	header = begin(self->buffer, self->family, VFIOEXT_CMD_GROUP_GET, 0);
	mnl_attr_put_u32(header, VFIOEXT_A_GROUP_ID, 0xffffffff);
	EXPECT_REFUSED(ENODEV, header);

	/* What is not there */
	header = begin(self->buffer, self->family, VFIOEXT_CMD_DEVICE_GET, 0);
	mnl_attr_put_strz(header, VFIOEXT_A_DEVICE_NAME, TESTDEV);
	EXPECT_REFUSED(ENODEV, header);
	header = begin(self->buffer, self->family, VFIOEXT_CMD_REMOVAL_CANCEL, 0);
	mnl_attr_put_u32(header, VFIOEXT_A_REMOVAL_ID, 0);
	EXPECT_REFUSED(ENOENT, header);
}

/* One removal, by its number. */
TEST_F(netlink, removal_get)
{
	struct holder_process holder = holder_start(EDU, HOLDER_STUBBORN);
	const struct nlmsghdr *answer = (void *)self->buffer;
	struct nlmsghdr *header;
	const struct nlattr *attr;
	unsigned int told = 0;
	uint32_t id;

	ASSERT_EQ(0, vfioext_removal_start(self->ctx, EDU, NULL, &id));
	header = begin(self->buffer, self->family, VFIOEXT_CMD_REMOVAL_GET, 0);
	header->nlmsg_flags &= ~NLM_F_ACK;
	mnl_attr_put_u32(header, VFIOEXT_A_REMOVAL_ID, id);
	ASSERT_LT(0, mnl_socket_sendto(self->socket, header, header->nlmsg_len));
	ASSERT_LT(0, mnl_socket_recvfrom(self->socket, self->buffer, sizeof(self->buffer)));
	ASSERT_EQ(self->family, answer->nlmsg_type);
	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case VFIOEXT_A_REMOVAL_ID:
			told += mnl_attr_get_u32(attr) == id;
			break;
		case VFIOEXT_A_DEVICE_NAME:
			told += !strcmp(EDU, mnl_attr_get_str(attr));
			break;
		case VFIOEXT_A_ORIGIN:
			told += mnl_attr_get_u32(attr) == VFIOEXT_ORIGIN_ASKED;
			break;
		case VFIOEXT_A_HANDLES:
			told += mnl_attr_get_u32(attr) == 1;
			break;
		}
	}
	EXPECT_EQ(4, told);
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	header = begin(self->buffer, self->family, VFIOEXT_CMD_REMOVAL_GET, 0);
	mnl_attr_put_u32(header, VFIOEXT_A_REMOVAL_ID, id);
	EXPECT_REFUSED(ENOENT, header);
	holder_kill(&holder);
}

TEST_F(netlink, unknown_command)
{
	char text[256];

	EXPECT_EQ(-EOPNOTSUPP, talk(self->socket, begin(self->buffer, self->family, 200, 0), text,
				    sizeof(text)));
	EXPECT_EQ(-EOPNOTSUPP, talk(self->socket,
				    begin(self->buffer, self->family, VFIOEXT_CMD_REMOVAL_DONE, 0),
				    text, sizeof(text)));
}

/* More holders than one part of a dump has room for, each told once. */
TEST_F_TIMEOUT(netlink, long_dump, 300)
{
	struct vfioext_device *device;
	struct vfioext_holders holders;
	pid_t pids[MANY];
	size_t i, j;

	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &device));
	for (i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			pause();
			_exit(0);
		}
	}
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &holders));
	EXPECT_EQ(MANY + 1, holders.nr);
	EXPECT_EQ(0, holders.unaccounted);
	for (i = 1; i < holders.nr; i++)
		EXPECT_LT(holders.list[i - 1].pid, holders.list[i].pid);
	for (j = 0; j < MANY; j++) {
		for (i = 0; i < holders.nr && holders.list[i].pid != pids[j]; i++)
			;
		EXPECT_LT(i, holders.nr);
	}
	vfioext_holders_release(&holders);
	for (i = 0; i < MANY; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	vfioext_device_close(device);
}

/* A handle that is in flight over a socket belongs to no process. */
TEST_F(netlink, unaccounted_handle)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { "", 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	struct vfioext_device *device;
	struct vfioext_holders holders;
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &device));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)CMSG_DATA(cmsg) = vfioext_device_fd(device);
	ASSERT_EQ(1, sendmsg(sockets[0], &message, 0));
	vfioext_device_close(device);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, EDU, &holders));
	EXPECT_EQ(0, holders.nr);
	EXPECT_EQ(1, holders.unaccounted);
	vfioext_holders_release(&holders);
	close(sockets[0]);
	close(sockets[1]);
}

TEST_F(netlink, policies)
{
	struct vfioext_policy policy = { .has = VFIOEXT_POLICY_TIMEOUT, .timeout_ms = 1234 };
	struct vfioext_policy read;

	set_policy(self->ctx, 30000, 5000, 60000, VFIOEXT_ACTION_NOTIFY);
	ASSERT_EQ(0, vfioext_policy_set(self->ctx, EDU, &policy));
	policy.has |= 0x20;
	EXPECT_EQ(-EINVAL, vfioext_policy_set(self->ctx, EDU, &policy));
	policy.has = VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_DETACHED;
	EXPECT_EQ(-EINVAL, vfioext_policy_set(self->ctx, EDU, &policy));
	ASSERT_EQ(0, vfioext_policy_get(self->ctx, EDU, &read));
	EXPECT_EQ(1234, read.timeout_ms);
	EXPECT_EQ(5000 * slowness(), read.grace_ms);
	ASSERT_EQ(0, vfioext_policy_get(self->ctx, NULL, &read));
	EXPECT_EQ(30000, read.timeout_ms);
	/* What was not set for the device follows the host. */
	set_policy(self->ctx, 30000, 77, 60000, VFIOEXT_ACTION_SIGBUS);
	ASSERT_EQ(0, vfioext_policy_get(self->ctx, EDU, &read));
	EXPECT_EQ(1234, read.timeout_ms);
	EXPECT_EQ(77 * slowness(), read.grace_ms);
	EXPECT_EQ(VFIOEXT_ACTION_SIGBUS, read.action);
	/* And it goes with the binding. */
	ASSERT_EQ(0, vfioext_unbind(self->ctx, EDU));
	EXPECT_EQ(-ENODEV, vfioext_policy_get(self->ctx, EDU, &read));
	bind_device(EDU);
	ASSERT_EQ(0, vfioext_policy_get(self->ctx, EDU, &read));
	EXPECT_EQ(30000, read.timeout_ms);
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
