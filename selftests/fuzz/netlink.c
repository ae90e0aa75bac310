// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink [SECONDS [SEED]]: send the family what its policy allows, and what it
 * does not: structured, random, truncated, nested wrong; as root and as nobody.
 * The kernel is the judge: it must answer, and must not complain.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/test.h"

#define NOBODY 65534

static unsigned int seed;

static unsigned int pick(unsigned int nr)
{
	return (unsigned int)rand_r(&seed) % nr;
}

static uint32_t any_number(void)
{
	static const uint32_t numbers[] = { 0, 1, 2, 3, 50, 200, 0x7fffffff, 0x80000000, 0xffffffff };

	return pick(4) ? numbers[pick(sizeof(numbers) / sizeof(numbers[0]))] : (uint32_t)rand_r(&seed);
}

static void put_name(struct nlmsghdr *header, uint16_t type)
{
	static const char *const names[] = { EDU, "pci", "mdev", PAIR, "", "..", "%s%n" };
	char noise[100];
	unsigned int i, len = pick(sizeof(noise));

	if (pick(4)) {
		mnl_attr_put_strz(header, type, names[pick(sizeof(names) / sizeof(names[0]))]);
		return;
	}
	for (i = 0; i < len; i++)
		noise[i] = (char)rand_r(&seed);
	mnl_attr_put(header, type, len, noise);
}

static void put_noise(struct nlmsghdr *header, uint16_t type)
{
	unsigned char noise[64];
	unsigned int i, len = pick(sizeof(noise));

	for (i = 0; i < len; i++)
		noise[i] = (unsigned char)rand_r(&seed);
	mnl_attr_put(header, type, len, noise);
}

static void put_attribute(struct nlmsghdr *header, unsigned int depth)
{
	uint16_t type = (uint16_t)pick(VFIOEXT_A_MAX + 3);
	struct nlattr *nest;

	switch (pick(8)) {
	case 0:
		put_noise(header, type);
		break;
	case 1:
		if (depth > 3)
			break;
		nest = mnl_attr_nest_start(header, type);
		put_attribute(header, depth + 1);
		mnl_attr_nest_end(header, nest);
		break;
	case 2:
	case 3:
	case 4:
		put_name(header, pick(4) ? VFIOEXT_A_DEVICE_NAME : VFIOEXT_A_BUS);
		break;
	default:
		mnl_attr_put_u32(header, type, any_number());
	}
}

/* Whole as often as not; else cut, or with lengths that are not those. */
static size_t spoil(struct nlmsghdr *header)
{
	size_t len = header->nlmsg_len;
	struct nlattr *attr = mnl_nlmsg_get_payload_offset(header, sizeof(struct genlmsghdr));

	switch (pick(8)) {
	case 0:
		return 1 + pick((unsigned int)len);
	case 1:
		header->nlmsg_len = any_number();
		break;
	case 2:
		if (len > NLMSG_HDRLEN + sizeof(struct genlmsghdr) + sizeof(*attr))
			attr->nla_len = (uint16_t)any_number();
		break;
	case 3:
		if (len > NLMSG_HDRLEN + sizeof(struct genlmsghdr) + sizeof(*attr))
			attr->nla_type ^= (uint16_t)(1 << pick(16));
		break;
	}
	return len;
}

static uint16_t find_family(struct mnl_socket *socket)
{
	char buffer[8192];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(header, sizeof(*genl));
	const struct nlattr *attr;
	uint16_t family = 0;

	header->nlmsg_type = GENL_ID_CTRL;
	header->nlmsg_flags = NLM_F_REQUEST;
	genl->cmd = CTRL_CMD_GETFAMILY;
	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, VFIOEXT_FAMILY_NAME);
	if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0 ||
	    mnl_socket_recvfrom(socket, buffer, sizeof(buffer)) < 0)
		return 0;
	mnl_attr_for_each(attr, header, sizeof(*genl))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			family = mnl_attr_get_u16(attr);
	return family;
}

static void send_one(struct mnl_socket *socket, uint16_t family)
{
	static const uint16_t flags[] = { NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP | NLM_F_ACK, 0 };
	char buffer[4096] = { 0 };
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(header, sizeof(*genl));
	unsigned int i;

	header->nlmsg_type = family;
	header->nlmsg_flags = NLM_F_REQUEST | (pick(8) ? flags[pick(4)] : (uint16_t)rand_r(&seed));
	header->nlmsg_seq = 1;
	genl->cmd = (uint8_t)(pick(8) ? 1 + pick(VFIOEXT_CMD_MAX) : rand_r(&seed));
	genl->version = (uint8_t)(pick(16) ? 1 : rand_r(&seed));
	for (i = pick(6); i; i--)
		put_attribute(header, 0);
	send(mnl_socket_get_fd(socket), buffer, spoil(header), MSG_DONTWAIT);
	/* What is not read of a dump is not made; sometimes it is left so. */
	while (pick(20) && recv(mnl_socket_get_fd(socket), buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

static pid_t start(uid_t uid, long deadline, int count)
{
	struct mnl_socket *socket;
	unsigned long sent = 0;
	uint16_t family;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (uid && (setgid(uid) || setuid(uid)))
		_exit(1);
	seed += uid;
	while (now_ms() < deadline) {
		socket = mnl_socket_open(NETLINK_GENERIC);
		if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID))
			_exit(1);
		family = find_family(socket);
		if (!family)
			_exit(1);
		do {
			send_one(socket, family);
		} while (++sent % 1000);
		mnl_socket_close(socket);
	}
	_exit(write(count, &sent, sizeof(sent)) != sizeof(sent));
}

/* It still does what it is for. */
static bool works(void)
{
	struct vfioext *ctx = test_context();
	struct vfioext_removals removals = { 0 };
	struct vfioext_policy how = { .has = VFIOEXT_POLICY_TIMEOUT, .timeout_ms = 10000 };
	size_t i;
	uint32_t id;
	bool good;

	if (vfioext_removals_get(ctx, &removals))
		return false;
	for (i = 0; i < removals.nr; i++)
		vfioext_removal_cancel(ctx, removals.list[i].id);
	vfioext_removals_release(&removals);
	bind_device(EDU);
	good = !vfioext_removal_start(ctx, EDU, &how, &id);
	usleep(200000);
	good = good && !vfioext_unbind(ctx, EDU);
	vfioext_free(ctx);
	return good;
}

int main(int argc, char **argv)
{
	long deadline = now_ms() + (argc > 1 ? atol(argv[1]) : 60) * 1000;
	unsigned long sent, total = 0;
	int counts[2], status, nr = 2;
	struct holder_process holder;
	bool good = true;

	seed = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : (unsigned int)time(NULL);
	printf("TAP version 13\n1..1\n# seed %u\n", seed);
	fflush(stdout);
	run("modprobe vfio-pci && modprobe vfioext");
	bind_device(EDU);
	bind_device(PAIR);
	/* Somebody to be found, and to be sent signals. */
	holder = holder_start(EDU, HOLDER_CATCHER);
	if (pipe(counts))
		return 1;
	start(0, deadline, counts[1]);
	start(NOBODY, deadline, counts[1]);
	while (nr) {
		pid_t pid = wait(&status);

		if (pid == holder.pid) {
			holder = holder_start(EDU, HOLDER_CATCHER);
			continue;
		}
		nr--;
		good = good && !status && read(counts[0], &sent, sizeof(sent)) == sizeof(sent);
		total += sent;
	}
	holder_kill(&holder);
	good = good && works();
	printf("%s 1 fuzz, %lu messages\n", good ? "ok" : "not ok", total);
	return !good;
}
