// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <string.h>

#include "vfioext.h"

enum { OF, TIMEOUT, GRACE, EXTEND_MAX, ACTION, NR };

static const struct column columns[NR] = {
	[OF] = { "OF", 0, SCOLS_JSON_STRING },
	[TIMEOUT] = { "TIMEOUT", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[GRACE] = { "GRACE", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[EXTEND_MAX] = { "EXTEND-MAX", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER },
	[ACTION] = { "ACTION", 0, SCOLS_JSON_STRING },
};

static const char options_help[] =
	" -t, --timeout SECONDS     from the start of a removal to its deadline\n"
	" -g, --grace SECONDS       between the two SIGBUS, and after the second\n"
	" -e, --extend-max SECONDS  by how much holders may put the deadline off\n"
	" -a, --action ACTION       notify: tell, no more; sigbus: SIGBUS at the deadline\n"
	TABLE_HELP
	"\nWithout a device the policy is the host's. Times are in seconds.\n";

/* Change the policy if there is a change, and read it. */
static int show_policy(struct vfioext *ctx, struct table *table, const char *device,
		       const struct vfioext_policy *change)
{
	const char *name = NULL;
	struct vfioext_device_info info;
	struct vfioext_policy policy;
	struct libscols_line *line;
	int ret = 0;

	if (device) {
		ret = vfioext_find_device(ctx, device, &info);
		name = info.name;
	}
	if (!ret && change->has)
		ret = vfioext_policy_set(ctx, name, change);
	if (!ret)
		ret = vfioext_policy_get(ctx, name, &policy);
	if (ret)
		return fail(ctx, ret, "policy of %s", device ? device : "the host");

	line = table_line(table, NULL);
	table_put(table, line, OF, "%s", name ? name : "host");
	table_put(table, line, TIMEOUT, "%.3f", policy.timeout_ms / 1000.0);
	table_put(table, line, GRACE, "%.3f", policy.grace_ms / 1000.0);
	table_put(table, line, EXTEND_MAX, "%.3f", policy.extend_max_ms / 1000.0);
	table_put(table, line, ACTION, "%s", name_of_action(policy.action));
	return EXIT_DONE;
}

/* Return: false if the option is none of a policy's, or its value no good. */
static bool policy_option(struct vfioext_policy *policy, int option, const char *argument)
{
	switch (option) {
	case 't':
		policy->has |= VFIOEXT_POLICY_TIMEOUT;
		return parse_ms(argument, &policy->timeout_ms);
	case 'g':
		policy->has |= VFIOEXT_POLICY_GRACE;
		return parse_ms(argument, &policy->grace_ms);
	case 'e':
		policy->has |= VFIOEXT_POLICY_EXTEND_MAX;
		return parse_ms(argument, &policy->extend_max_ms);
	case 'a':
		policy->has |= VFIOEXT_POLICY_ACTION;
		return parse_action(argument, &policy->action);
	default:
		return false;
	}
}

static int run(const char *device, const struct vfioext_policy *change,
	       const struct table_options *options)
{
	struct vfioext *ctx;
	struct table table;
	int ret;

	ret = table_begin(&table, "policy", options, columns, NR,
			  "OF,TIMEOUT,GRACE,EXTEND-MAX,ACTION");
	if (ret)
		return ret;
	ctx = open_context();
	if (ctx && change->has)
		need_module(ctx);
	ret = ctx ? show_policy(ctx, &table, device, change) : EXIT_FAILED;
	vfioext_free(ctx);
	return table_end(&table, ret);
}

int cmd_policy(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "grace", required_argument, NULL, 'g' },
		{ "extend-max", required_argument, NULL, 'e' },
		{ "action", required_argument, NULL, 'a' },
		TABLE_LONG, { 0 }
	};
	struct table_options options = { 0 };
	struct vfioext_policy policy = { 0 };
	const char *verb = "get";
	int option;

	while ((option = getopt_long(argc, argv, "t:g:e:a:" TABLE_SHORT, long_options,
				     NULL)) >= 0) {
		if (option == 'h')
			return help(options_help);
		if (option == '?')
			return usage_error(NULL);
		if (!table_option(&options, option, optarg) &&
		    !policy_option(&policy, option, optarg))
			return usage_error("'%s' is no value for this", optarg);
	}
	if (optind < argc && (!strcmp(argv[optind], "get") || !strcmp(argv[optind], "set")))
		verb = argv[optind++];
	if (optind + 1 < argc)
		return usage_error("'%s' is too much", argv[optind + 1]);
	if (!strcmp(verb, "get") && policy.has)
		return usage_error("that takes 'policy set'");
	if (!strcmp(verb, "set") && !policy.has)
		return usage_error("there is nothing to set");
	return run(optind < argc ? argv[optind] : NULL, &policy, &options);
}
