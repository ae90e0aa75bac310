// SPDX-License-Identifier: GPL-2.0-only
/* An asked removal ends with the socket that asked for it, and with no other. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

#define QUIET_MS 300
#define SOON_MS (2000 * slowness())
/* No program's that binds its socket by its own number. */
#define PORT 0x7fff0000u

FIXTURE(abandoned) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct holder_process holder;
};

FIXTURE_SETUP(abandoned)
{
	bind_device(EDU);
	self->ctx = test_context();
	ASSERT_EQ(0, vfioext_events_open(&self->events, VFIOEXT_EVENTS_REMOVAL, -1));
	self->holder = holder_start(EDU, HOLDER_STUBBORN);
}

FIXTURE_TEARDOWN(abandoned)
{
	holder_kill(&self->holder);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
}

static int start(struct vfioext *ctx, unsigned int has, uint32_t *id)
{
	struct vfioext_policy how = {
		.has = has | VFIOEXT_POLICY_TIMEOUT,
		.timeout_ms = 60000,
	};

	return vfioext_removal_start(ctx, EDU, &how, id);
}

#define EXPECT_ABANDONED(number) do {							\
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED,	\
			       SOON_MS, &self->event));					\
	EXPECT_EQ(VFIOEXT_OUTCOME_ABANDONED, self->event.outcome);			\
	EXPECT_EQ(number, self->event.removal.id);					\
	EXPECT_EQ(-1, holder_wait(&self->holder, 0));					\
} while (0)

#define EXPECT_KEPT() \
	EXPECT_FALSE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED,	\
				QUIET_MS * slowness(), &self->event))

TEST_F(abandoned, closed)
{
	struct vfioext *asker = test_context();
	uint32_t id;

	ASSERT_EQ(0, start(asker, 0, &id));
	EXPECT_KEPT();
	vfioext_free(asker);
	EXPECT_ABANDONED(id);
	/* Another may ask at once. */
	ASSERT_EQ(0, start(self->ctx, 0, &id));
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, SOON_MS,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_CANCELLED, self->event.outcome);
}

TEST_F(abandoned, detached)
{
	struct vfioext *asker = test_context();
	uint32_t id;

	ASSERT_EQ(0, start(asker, VFIOEXT_POLICY_DETACHED, &id));
	vfioext_free(asker);
	EXPECT_KEPT();
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

/* Others read, watch and ask for other devices, and go. */
TEST_F(abandoned, others_close)
{
	struct vfioext *asker = test_context(), *other = test_context();
	struct vfioext_removals removals;
	struct vfioext_events *events;
	uint32_t id;

	ASSERT_EQ(0, vfioext_events_open(&events, VFIOEXT_EVENTS_REMOVAL, -1));
	ASSERT_EQ(0, start(asker, 0, &id));
	ASSERT_EQ(0, vfioext_removals_get(other, &removals));
	EXPECT_EQ(1, removals.nr);
	vfioext_removals_release(&removals);
	vfioext_events_close(events);
	vfioext_free(other);
	EXPECT_KEPT();
	vfioext_free(asker);
	EXPECT_ABANDONED(id);
}

/* Asks, tells the number, and is killed by the test. */
static void ask(const void *data, int ready)
{
	uint32_t id;
	int ret = data && unshare(CLONE_NEWNET) ? -errno : start(test_context(), 0, &id);

	if (ret)
		fprintf(stderr, "# asking: %s\n", strerror(-ret));
	else if (write(ready, "", 1) == 1)
		pause();
}

TEST_F(abandoned, killed)
{
	struct holder_process asker = holder_run(ask, NULL);

	EXPECT_KEPT();
	holder_kill(&asker);
	EXPECT_ABANDONED(self->event.removal.id);
}

/* Its network namespace goes with it. */
TEST_F(abandoned, killed_in_namespace)
{
	struct holder_process asker = holder_run(ask, "namespace");

	EXPECT_KEPT();
	holder_kill(&asker);
	EXPECT_ABANDONED(self->event.removal.id);
}

/* A child that has inherited the socket keeps the removal. */
TEST_F(abandoned, inherited)
{
	struct vfioext *asker = test_context();
	uint32_t id;
	pid_t pid;

	ASSERT_EQ(0, start(asker, 0, &id));
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	vfioext_free(asker);
	EXPECT_KEPT();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_ABANDONED(id);
}

static struct mnl_socket *open_port(void)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_GENERIC);

	if (socket && mnl_socket_bind(socket, 0, PORT)) {
		mnl_socket_close(socket);
		return NULL;
	}
	return socket;
}

static struct nlmsghdr *begin(char *buffer, uint16_t type, uint8_t command, uint16_t attribute,
			      const char *name)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST;
	genl = mnl_nlmsg_put_extra_header(header, sizeof(*genl));
	genl->cmd = command;
	genl->version = 1;
	mnl_attr_put_strz(header, attribute, name);
	return header;
}

/* Ask over a socket of ours. Return: whether there was an answer. */
static bool ask_over(struct mnl_socket *socket)
{
	char buffer[8192];
	struct nlmsghdr *header = begin(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY,
					CTRL_ATTR_FAMILY_NAME, VFIOEXT_FAMILY_NAME);
	const struct nlattr *attr;
	uint16_t family = 0;

	mnl_socket_sendto(socket, header, header->nlmsg_len);
	if (mnl_socket_recvfrom(socket, buffer, sizeof(buffer)) < 0)
		return false;
	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			family = mnl_attr_get_u16(attr);
	header = begin(buffer, family, VFIOEXT_CMD_REMOVAL_START, VFIOEXT_A_DEVICE_NAME, EDU);
	mnl_attr_put_u32(header, VFIOEXT_A_TIMEOUT_MS, 60000);
	mnl_socket_sendto(socket, header, header->nlmsg_len);
	return mnl_socket_recvfrom(socket, buffer, sizeof(buffer)) > 0 &&
	       header->nlmsg_type == family;
}

/* A socket of the same number that is of another namespace, or of another protocol. */
static void close_twins(void)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);

	if (mnl_socket_bind(socket, 0, PORT))
		_exit(2);
	mnl_socket_close(socket);
	if (unshare(CLONE_NEWNET))
		_exit(3);
	socket = open_port();
	if (!socket)
		_exit(4);
	mnl_socket_close(socket);
	_exit(0);
}

TEST_F(abandoned, same_number)
{
	struct mnl_socket *socket = open_port();
	int status = -1;
	pid_t pid;

	ASSERT_NE(NULL, socket);
	ASSERT_TRUE(ask_over(socket));
	pid = fork();
	if (!pid)
		close_twins();
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_KEPT();
	mnl_socket_close(socket);
	EXPECT_ABANDONED(self->event.removal.id);
}

/* The number is in use again at once, by who asks for the same device. */
TEST_F(abandoned, number_taken_again)
{
	struct mnl_socket *first = open_port(), *second;
	uint32_t id;

	ASSERT_TRUE(first && ask_over(first));
	mnl_socket_close(first);
	second = open_port();
	ASSERT_NE(NULL, second);
	EXPECT_ABANDONED(self->event.removal.id);
	id = self->event.removal.id;
	ASSERT_TRUE(ask_over(second));
	EXPECT_KEPT();
	mnl_socket_close(second);
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_CANCELLED, SOON_MS,
			       &self->event));
	EXPECT_NE(id, self->event.removal.id);
}

/* What the kernel has begun meanwhile cannot be called off. */
TEST_F(abandoned, taken_over)
{
	struct holder_process asker = holder_run(ask, NULL);
	uint32_t id;
	pid_t pid;

	pid = unbind_start(EDU);
	do {
		ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, SOON_MS,
				       &self->event));
	} while (self->event.removal.origin != VFIOEXT_ORIGIN_KERNEL);
	id = self->event.removal.id;
	holder_kill(&asker);
	EXPECT_KEPT();
	holder_kill(&self->holder);
	EXPECT_TRUE(unbind_wait(pid, SOON_MS));
	ASSERT_TRUE(wait_event(self->events, EDU, VFIOEXT_EVENT_REMOVAL_DONE, SOON_MS,
			       &self->event));
	EXPECT_EQ(id, self->event.removal.id);
}

/* One after the other asks and is killed at once: nothing of them is left. */
TEST_F_TIMEOUT(abandoned, many_killed, 120)
{
	struct vfioext_removals removals;
	struct holder_process asker;
	size_t left;
	long until;
	int i;

	for (i = 0; i < 20; i++) {
		asker = holder_run(ask, i & 1 ? "namespace" : NULL);
		holder_kill(&asker);
		until = now_ms() + SOON_MS;
		do {
			ASSERT_EQ(0, vfioext_removals_get(self->ctx, &removals));
			left = removals.nr;
			vfioext_removals_release(&removals);
		} while (left && now_ms() < until);
		ASSERT_EQ(0, left);
	}
	EXPECT_EQ(-1, holder_wait(&self->holder, 0));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext");
	return test_harness_run(argc, argv);
}
