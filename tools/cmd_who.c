// SPDX-License-Identifier: GPL-2.0-only
#include <pwd.h>
#include <string.h>

#include "vfioext.h"

enum { PID, USER, COMMAND, GROUP_FDS, DEVICE_FDS, MAPPINGS, KVM_FDS, NR };

static const struct column columns[NR] = {
	[PID] = { "PID", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[USER] = { "USER", 0, SCOLS_JSON_STRING },
	[COMMAND] = { "COMMAND", 0, SCOLS_JSON_STRING },
	[GROUP_FDS] = { "GROUP-FDS", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[DEVICE_FDS] = { "DEVICE-FDS", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[MAPPINGS] = { "MAPPINGS", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[KVM_FDS] = { "KVM-FDS", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
};

static void put_holder(struct table *table, struct vfioext_holder *holder)
{
	struct libscols_line *line = table_line(table, NULL);
	const struct passwd *user = getpwuid(holder->uid);

	if (holder->pid)
		table_put(table, line, PID, "%d", holder->pid);
	if (user)
		table_put(table, line, USER, "%s", user->pw_name);
	else
		table_put(table, line, USER, "%u", holder->uid);
	table_put(table, line, COMMAND, "%s", printable(holder->comm));
	table_put(table, line, GROUP_FDS, "%u", holder->group_fds);
	table_put(table, line, DEVICE_FDS, "%u", holder->device_fds);
	table_put(table, line, MAPPINGS, "%u", holder->mappings);
	table_put(table, line, KVM_FDS, "%u", holder->kvm_fds);
}

/* Handles without a process, and the kernel's own users, are lines without a pid. */
static void put_kernel(struct table *table, const char *what, unsigned int groups,
		       unsigned int handles)
{
	struct libscols_line *line = table_line(table, NULL);

	table_put(table, line, COMMAND, "%s", what);
	table_put(table, line, GROUP_FDS, "%u", groups);
	table_put(table, line, DEVICE_FDS, "%u", handles);
	table_put(table, line, MAPPINGS, "0");
	table_put(table, line, KVM_FDS, "0");
}

/* By the module, or by what /proc tells without it. */
static int find_holders(struct vfioext *ctx, const char *what, bool by_proc, int *group,
			struct vfioext_holders *holders)
{
	struct vfioext_device_info info;
	int ret;

	if (vfioext_parse_group(what, group))
		return by_proc ? vfioext_group_holders_by_proc(ctx, *group, holders) :
				 vfioext_group_holders(ctx, *group, holders);
	ret = vfioext_find_device(ctx, what, &info);
	if (ret)
		return ret;
	*group = info.group;
	return by_proc ? vfioext_device_holders_by_proc(ctx, info.name, holders) :
			 vfioext_device_holders(ctx, info.name, holders);
}

/* Who is not told all must not take it for all. */
static void tell_missing(const struct vfioext_holders *holders, bool by_proc)
{
	if (by_proc)
		error("the module is not loaded, so this is what /proc tells: not the kernel's own users, and not "
		      "which device is behind a descriptor or a mapping of one; 'modprobe vfioext' loads it");
	if (!holders->hidden)
		return;
	if (by_proc)
		error("%u processes are other users', and only root may look at them",
		      holders->hidden);
	else
		error("%u open handle%s %s other users', and who has them is told to root alone",
		      holders->hidden, holders->hidden == 1 ? "" : "s",
		      holders->hidden == 1 ? "is" : "are");
}

static int who(struct vfioext *ctx, struct table *table, const char *what)
{
	struct vfioext_holders holders;
	struct vfioext_status status;
	struct vfioext_group group;
	int ret, id = -1;
	size_t i;

	vfioext_status(ctx, &status);
	ret = find_holders(ctx, what, !status.loaded, &id, &holders);
	if (ret)
		return fail(ctx, ret, "%s", what);
	for (i = 0; i < holders.nr; i++)
		put_holder(table, &holders.list[i]);
	if (holders.unaccounted)
		put_kernel(table, "[no process]", 0, holders.unaccounted);
	if (holders.hidden && status.loaded)
		put_kernel(table, "[other users]", 0, holders.hidden);
	if (status.loaded && !vfioext_group_get(ctx, id, &group) && group.external_users)
		put_kernel(table, "[external user]", group.external_users, 0);
	tell_missing(&holders, !status.loaded);
	table->partial = holders.hidden;
	vfioext_holders_release(&holders);
	return EXIT_DONE;
}

int cmd_who(int argc, char **argv)
{
	static const struct table_command command = {
		.name = "holders",
		.help = TABLE_HELP "\nColumns: PID USER COMMAND GROUP-FDS DEVICE-FDS MAPPINGS KVM-FDS\n",
		.wants = "one device or group",
		.columns = columns,
		.nr_columns = NR,
		.defaults = "PID,USER,COMMAND,GROUP-FDS,DEVICE-FDS,MAPPINGS,KVM-FDS",
		.fill = who,
	};

	return table_run(&command, argc, argv);
}
