// SPDX-License-Identifier: GPL-2.0-only
/* Is this host ready for VFIO, and what is missing? Looks, and changes nothing. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "host.h"
#include "vfioext.h"

static const struct column columns[] = {
	{ "PROPERTY" },
	{ "VALUE", SCOLS_FL_WRAP },
};

/*
 * A line of text for people, or members of an object for programs.
 * @missing: the first thing that keeps a device from being opened
 */
struct report {
	struct table table;
	bool json;
	bool begun;
	const char *missing;
};

static bool is_first(struct report *report)
{
	bool first = !report->begun;

	report->begun = true;
	return first;
}

__attribute__((format(printf, 3, 4)))
static void say(struct report *report, const char *property, const char *format, ...)
{
	char text[512];
	va_list args;

	if (report->json)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	table_put_property(&report->table, property, "%s", text);
}

static void put_string(struct report *report, const char *name, const char *value)
{
	if (report->json)
		json_string(name, value, is_first(report));
}

static void put_number(struct report *report, const char *name, unsigned long long value)
{
	if (report->json)
		json_number(name, value, is_first(report));
}

static void put_known(struct report *report, const char *name, enum known value)
{
	if (report->json && value != KNOWN_NOT)
		json_boolean(name, value, is_first(report));
}

static void tell_iommu(struct report *report)
{
	unsigned int groups = host_groups();
	enum known remapped = host_remaps_interrupts();

	put_known(report, "iommu", groups > 0);
	put_number(report, "iommu-groups", groups);
	put_known(report, "interrupt-remapping", remapped);
	if (groups) {
		say(report, "IOMMU", "on, %u groups", groups);
	} else {
		put_string(report, "iommu-hint", host_iommu_hint());
		say(report, "IOMMU", "off, no groups: %s", host_iommu_hint());
		report->missing = "the IOMMU is off";
	}
	if (remapped == KNOWN_NOT)
		return;
	say(report, "interrupt remapping", "%s", remapped ? "on" : "off: devices cannot be opened "
	    "unless vfio_iommu_type1 or iommufd has allow_unsafe_interrupts=1, with which a "
	    "guest can send the host any interrupt");
	if (!remapped && !report->missing)
		report->missing = "interrupt remapping is off";
}

static void tell_module(struct report *report, const char *name)
{
	const char *state = host_module(name);
	char property[64];
	size_t i;

	say(report, name, "%s", state);
	snprintf(property, sizeof(property), "module-%s", name);
	for (i = 0; property[i]; i++)
		if (property[i] == '_')
			property[i] = '-';
	put_string(report, property, state);
	if (!strcmp(state, "missing") && !report->missing)
		report->missing = "the kernel was built without vfio-pci or what it needs";
}

/* Either will do. */
static void tell_backends(struct report *report)
{
	const char *container = host_access("/dev/vfio/vfio"), *iommufd = host_access("/dev/iommu");

	put_string(report, "container", container);
	put_string(report, "iommufd", iommufd);
	say(report, "/dev/vfio/vfio", "%s", container);
	say(report, "/dev/iommu", "%s", iommufd);
}

static void tell_locks(struct report *report)
{
	enum known secure_boot = host_secure_boot(), unsigned_too = host_takes_unsigned();
	static const char *const words[] = { "not known", "off", "on" };
	char lockdown[32] = "";

	put_known(report, "secure-boot", secure_boot);
	say(report, "Secure Boot", "%s", words[secure_boot + 1]);
	if (host_lockdown(lockdown, sizeof(lockdown))) {
		put_string(report, "lockdown", lockdown);
		say(report, "lockdown", "%s", lockdown);
	}
	put_known(report, "unsigned-modules", unsigned_too);
	say(report, "unsigned modules", "%s", unsigned_too == KNOWN_NO ?
	    "refused: vfioext has to be signed with a key that this host trusts" :
	    unsigned_too == KNOWN_YES ? "taken" : "not known");
}

static void tell_policy(struct report *report, struct vfioext *ctx)
{
	struct vfioext_policy policy;

	if (vfioext_policy_get(ctx, NULL, &policy))
		return;
	put_number(report, "policy-timeout-ms", policy.timeout_ms);
	put_number(report, "policy-grace-ms", policy.grace_ms);
	put_number(report, "policy-extend-max-ms", policy.extend_max_ms);
	put_string(report, "policy-action", name_of_action(policy.action));
	say(report, "policy", "%.1f s, then %s; grace %.1f s, at most %.1f s more",
	    policy.timeout_ms / 1000.0, name_of_action(policy.action), policy.grace_ms / 1000.0,
	    policy.extend_max_ms / 1000.0);
}

static void tell_vfioext(struct report *report, struct vfioext *ctx)
{
	struct vfioext_removals removals = { 0 };
	struct vfioext_status status;

	vfioext_status(ctx, &status);
	put_known(report, "loaded", status.loaded);
	if (!status.loaded) {
		say(report, "module", "not loaded: no holders, removals or events; "
		    "'modprobe vfioext' loads it");
		return;
	}
	put_string(report, "version", status.version);
	put_string(report, "external-users", status.external_users);
	say(report, "module", "%s", status.version);
	say(report, "external users", "%s", status.external_users);
	tell_policy(report, ctx);
	if (vfioext_removals_get(ctx, &removals))
		return;
	put_number(report, "removals", removals.nr);
	say(report, "removals", "%zu", removals.nr);
	vfioext_removals_release(&removals);
}

static void tell_all(struct report *report, struct vfioext *ctx)
{
	struct utsname system;

	if (!uname(&system)) {
		put_string(report, "kernel", system.release);
		say(report, "kernel", "%s", system.release);
	}
	tell_vfioext(report, ctx);
	tell_iommu(report);
	tell_module(report, "vfio");
	tell_module(report, "vfio_pci");
	tell_module(report, "vfio_iommu_type1");
	tell_backends(report);
	tell_locks(report);
	put_known(report, "ready", !report->missing);
	if (report->missing)
		put_string(report, "missing", report->missing);
	say(report, "ready", "%s%s", report->missing ? "no: " : "yes",
	    report->missing ? report->missing : "");
}

static int print_json(struct vfioext *ctx)
{
	struct report report = { .json = true };

	fputs("{\"status\": {", stdout);
	tell_all(&report, ctx);
	puts("}}");
	return EXIT_DONE;
}

static int print_table(struct vfioext *ctx, const struct table_options *options)
{
	struct report report = { 0 };
	int ret;

	ret = table_begin(&report.table, "status", options, columns, 2, "PROPERTY,VALUE");
	if (ret)
		return ret;
	tell_all(&report, ctx);
	return table_end(&report.table, EXIT_DONE);
}

int cmd_status(int argc, char **argv)
{
	struct table_options options = { 0 };
	struct vfioext *ctx;
	int ret;

	ret = table_options_only(&options, argc, argv, TABLE_HELP);
	if (ret >= 0)
		return ret;
	if (optind < argc)
		return usage_error("'%s' is too much", argv[optind]);
	ctx = open_context();
	if (!ctx)
		return EXIT_FAILED;
	ret = options.json ? print_json(ctx) : print_table(ctx, &options);
	vfioext_free(ctx);
	return ret;
}
