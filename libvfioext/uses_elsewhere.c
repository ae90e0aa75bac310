// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Interfaces in other network namespaces that are on top of one of ours, as the macvlan of a
 * container is. In ours neither sysfs nor rtnetlink has a word of them: each namespace is
 * entered and asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "namespaces.h"
#include "processes.h"
#include "rtnetlink.h"
#include "uses.h"
#include "uses_net.h"

/*
 * An interface of ours, which others are looked for on.
 * @ours: our namespace
 * @called: what that is called in the one that is looked at
 * @where: how that is told
 */
struct lower {
	struct survey *survey;
	const char *name;
	uint32_t index;
	struct namespaces met;
	int ours;
	int called;
	char where[64];
};

/* "macvlan" and the like */
static const char *read_kind(const struct nlattr *info)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, info)
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	return "interface";
}

static bool is_u32(const struct nlattr *attr, uint32_t value)
{
	return mnl_attr_validate(attr, MNL_TYPE_U32) >= 0 && mnl_attr_get_u32(attr) == value;
}

static int on_link(const struct nlmsghdr *header, void *data)
{
	const char *name = "?", *kind = "interface";
	bool lower_is = false, namespace_is = false;
	const struct lower *lower = data;
	const struct nlattr *attr;

	if (header->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, header, sizeof(struct ifinfomsg)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_LINK:
			lower_is = is_u32(attr, lower->index);
			break;
		case IFLA_LINK_NETNSID:
			namespace_is = is_u32(attr, (uint32_t)lower->called);
			break;
		case IFLA_IFNAME:
			if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
				name = mnl_attr_get_str(attr);
			break;
		case IFLA_LINKINFO:
			kind = read_kind(attr);
			break;
		}
	}
	if (lower_is && namespace_is)
		uses_add(lower->survey, VFIOEXT_USE_UPPER,
			 "the %.16s %.16s is on %s, in the network namespace %s", kind, name,
			 lower->name, lower->where);
	return MNL_CB_OK;
}

/* The thread is in the other namespace meanwhile. */
static void look_into(struct lower *lower, const char *path)
{
	int fd;

	if (!namespaces_add(&lower->met, lower->survey, path))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!setns(fd, CLONE_NEWNET)) {
		lower->called = rtnetlink_name_namespace(lower->ours);
		/* It has a name where anything refers to it. */
		if (lower->called >= 0)
			rtnetlink_dump(RTM_GETLINK, AF_UNSPEC, on_link, lower);
		if (setns(lower->ours, CLONE_NEWNET))
			lower->survey->error = -errno;
	}
	close(fd);
}

static int look_at_process(void *data, int process, int pid)
{
	struct lower *lower = data;
	char path[400];

	(void)process;
	snprintf(path, sizeof(path), "%s/%d/ns/net", lower->survey->proc, pid);
	snprintf(lower->where, sizeof(lower->where), "of pid %d", pid);
	look_into(lower, path);
	return lower->survey->error;
}

/* Those that no process need be in, as they have a file. */
static void look_at_files(struct lower *lower)
{
	char path[400], *line = NULL, *point;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/self/mountinfo", lower->survey->proc);
	file = fopen(path, "re");
	while (file && !lower->survey->error && getline(&line, &size, file) > 0) {
		if (!strstr(line, " - nsfs ") ||
		    sscanf(line, "%*d %*d %*s net:%*s %ms", &point) != 1)
			continue;
		snprintf(lower->where, sizeof(lower->where), "%.60s", point);
		look_into(lower, point);
		free(point);
	}
	free(line);
	if (file)
		fclose(file);
}

void uses_elsewhere(struct survey *survey, const char *name, uint32_t index)
{
	struct lower lower = { .survey = survey, .name = name, .index = index };
	char path[400];

	snprintf(path, sizeof(path), "%s/thread-self/ns/net", survey->proc);
	lower.ours = open(path, O_RDONLY | O_CLOEXEC);
	if (lower.ours < 0)
		return;
	namespaces_add(&lower.met, survey, path);
	look_at_files(&lower);
	if (!survey->error)
		processes_walk(survey->proc, look_at_process, &lower);
	namespaces_release(&lower.met);
	close(lower.ours);
}
