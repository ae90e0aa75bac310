// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel sends, taken apart: broken messages, and random ones. */
#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../../libvfioext/netlink.h"
#include "../../libvfioext/query.h"

#define ROUNDS 200000

FIXTURE(answers) {
	/* Of the message's own size, so that a read past its end is seen. */
	struct nlmsghdr *header;
	struct attributes attributes;
};

FIXTURE_SETUP(answers)
{
	struct genlmsghdr *genl;

	self->header = mnl_nlmsg_put_header(calloc(1, 4096));
	genl = mnl_nlmsg_put_extra_header(self->header, sizeof(*genl));
	genl->cmd = VFIOEXT_CMD_REMOVAL_REQUESTED;
}

FIXTURE_TEARDOWN(answers)
{
	free(self->header);
}

static struct nlattr *first(struct nlmsghdr *header)
{
	return mnl_nlmsg_get_payload_offset(header, sizeof(struct genlmsghdr));
}

TEST_F(answers, well_formed)
{
	struct vfioext_removal removal;

	mnl_attr_put_u32(self->header, VFIOEXT_A_REMOVAL_ID, 7);
	mnl_attr_put_strz(self->header, VFIOEXT_A_DEVICE_NAME, "0000:00:03.0");
	mnl_attr_put_u32(self->header, 4000, 1);
	ASSERT_EQ(0, attributes_parse(self->header, &self->attributes));
	take_removal(&self->attributes, &removal);
	EXPECT_EQ(7, removal.id);
	EXPECT_STREQ("0000:00:03.0", removal.device);
	/* What is missing is nothing. */
	EXPECT_STREQ("", removal.bus);
	EXPECT_EQ(0, removal.handles);
}

TEST_F(answers, long_name_is_cut)
{
	char name[300], cut[8];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	mnl_attr_put_strz(self->header, VFIOEXT_A_DEVICE_NAME, name);
	ASSERT_EQ(0, attributes_parse(self->header, &self->attributes));
	attribute_string(&self->attributes, VFIOEXT_A_DEVICE_NAME, cut, sizeof(cut));
	EXPECT_STREQ("xxxxxxx", cut);
}

TEST_F(answers, too_short)
{
	self->header->nlmsg_len = NLMSG_HDRLEN + 2;
	EXPECT_EQ(-EBADMSG, attributes_parse(self->header, &self->attributes));
	self->header->nlmsg_len = NLMSG_HDRLEN;
	EXPECT_EQ(-EBADMSG, attributes_parse(self->header, &self->attributes));
}

/* libmnl would stop at the mark, and leave the rest unread. */
TEST_F(answers, interrupted_dump)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO))) = { 0 };
	struct nlmsghdr *one = mnl_nlmsg_put_header(buffer);
	struct nlmsghdr *two = mnl_nlmsg_put_header(buffer + NLMSG_HDRLEN);

	one->nlmsg_flags = NLM_F_MULTI;
	two->nlmsg_flags = NLM_F_MULTI;
	EXPECT_FALSE(netlink_take_interruption(buffer, 2 * NLMSG_HDRLEN));
	two->nlmsg_flags |= NLM_F_DUMP_INTR;
	/* One that is cut is libmnl's to refuse. */
	EXPECT_FALSE(netlink_take_interruption(buffer, 2 * NLMSG_HDRLEN - 1));
	EXPECT_TRUE(netlink_take_interruption(buffer, 2 * NLMSG_HDRLEN));
	EXPECT_EQ(NLM_F_MULTI, two->nlmsg_flags);
	EXPECT_EQ(NLM_F_MULTI, one->nlmsg_flags);
	EXPECT_FALSE(netlink_take_interruption(buffer, 2 * NLMSG_HDRLEN));
}

TEST_F(answers, wrong_width)
{
	mnl_attr_put_u8(self->header, VFIOEXT_A_REMOVAL_ID, 7);
	EXPECT_EQ(-EBADMSG, attributes_parse(self->header, &self->attributes));
}

TEST_F(answers, string_without_end)
{
	mnl_attr_put(self->header, VFIOEXT_A_COMM, 4, "abcd");
	EXPECT_EQ(-EBADMSG, attributes_parse(self->header, &self->attributes));
}

TEST_F(answers, attribute_past_the_end)
{
	mnl_attr_put_u32(self->header, VFIOEXT_A_REMOVAL_ID, 7);
	first(self->header)->nla_len = 200;
	/* It is not there, then; what lies behind the message is not read. */
	attributes_parse(self->header, &self->attributes);
	EXPECT_EQ(NULL, self->attributes.at[VFIOEXT_A_REMOVAL_ID]);
}

TEST_F(answers, other_family)
{
	struct netlink netlink = { 0 };

	EXPECT_EQ(-ENOENT, netlink_learn_family(&netlink, self->header));
	mnl_attr_put_strz(self->header, CTRL_ATTR_FAMILY_NAME, "nlctrl");
	mnl_attr_put_u16(self->header, CTRL_ATTR_FAMILY_ID, 16);
	EXPECT_EQ(-ENOENT, netlink_learn_family(&netlink, self->header));
	EXPECT_EQ(0, netlink.family);
}

TEST_F(answers, family)
{
	static const char *const names[] = { VFIOEXT_MCGRP_REMOVAL, VFIOEXT_MCGRP_GROUP };
	struct netlink netlink = { 0 };
	struct nlattr *groups, *group;
	unsigned int i;

	mnl_attr_put_strz(self->header, CTRL_ATTR_FAMILY_NAME, VFIOEXT_FAMILY_NAME);
	mnl_attr_put_u16(self->header, CTRL_ATTR_FAMILY_ID, 33);
	/* Without its groups it is no family of ours. */
	EXPECT_EQ(-EBADMSG, netlink_learn_family(&netlink, self->header));
	groups = mnl_attr_nest_start(self->header, CTRL_ATTR_MCAST_GROUPS);
	for (i = 0; i < 2; i++) {
		group = mnl_attr_nest_start(self->header, i + 1);
		mnl_attr_put_strz(self->header, CTRL_ATTR_MCAST_GRP_NAME, names[i]);
		mnl_attr_put_u32(self->header, CTRL_ATTR_MCAST_GRP_ID, 40 + i);
		mnl_attr_nest_end(self->header, group);
	}
	mnl_attr_nest_end(self->header, groups);
	EXPECT_EQ(0, netlink_learn_family(&netlink, self->header));
	EXPECT_EQ(33, netlink.family);
	EXPECT_EQ(40, netlink.removal_group);
	EXPECT_EQ(41, netlink.group_group);
}

/*
 * Random attributes, of lengths that are mostly possible. The message is a
 * multiple of 4 long, as libmnl takes it for, and the kernel makes them.
 */
static struct nlmsghdr *random_message(unsigned int *seed)
{
	size_t payload = MNL_ALIGN(rand_r(seed) % 200), i;
	struct nlmsghdr *header = malloc(NLMSG_HDRLEN + payload);
	unsigned char *at = (unsigned char *)header + NLMSG_HDRLEN;
	struct nlattr attr;

	memset(header, 0, NLMSG_HDRLEN);
	header->nlmsg_len = NLMSG_HDRLEN + payload;
	for (i = 0; i < payload; i++)
		at[i] = rand_r(seed);
	for (i = sizeof(struct genlmsghdr); i + sizeof(attr) <= payload;
	     i += MNL_ALIGN(attr.nla_len)) {
		attr.nla_len = sizeof(attr) + rand_r(seed) % 12;
		attr.nla_type = rand_r(seed) % (VFIOEXT_A_MAX + 3);
		memcpy(at + i, &attr, sizeof(attr));
	}
	return header;
}

TEST(random_messages)
{
	unsigned int seed = 1, i, good = 0;
	struct attributes attributes;
	struct vfioext_removal removal;
	struct netlink netlink;

	for (i = 0; i < ROUNDS; i++) {
		struct nlmsghdr *header = random_message(&seed);

		if (!attributes_parse(header, &attributes)) {
			take_removal(&attributes, &removal);
			good++;
		}
		netlink_learn_family(&netlink, header);
		free(header);
	}
	/* Some of both, or the test tests nothing. */
	EXPECT_LT(ROUNDS / 100, good);
	EXPECT_GT(ROUNDS, good);
}

TEST_HARNESS_MAIN
