// SPDX-License-Identifier: GPL-2.0-only
/* Bind devices; what blocks in the kernel does so in a child. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "host.h"
#include "vfioext.h"

/* Then it is said what is waited for. */
#define PATIENCE_MS 2000

/*
 * @driver: as it was asked for, NULL for vfio-pci; @found: as the kernel spells it
 * @load: it is not there
 */
struct bind {
	struct vfioext *ctx;
	struct vfioext_device_list targets;
	const char *driver;
	char found[VFIOEXT_NAME_SIZE];
	int signals;
	bool load;
	bool force;
	bool dry_run;
	bool persist;
	bool json;
};

/* What a child is given. */
struct order {
	const char *name;
	const char *driver;
};

static bool is_pci(const struct vfioext_device_info *info)
{
	return !strcmp(info->bus, "pci");
}

/* The driver that the device is to have. */
static const char *driver_for(const struct bind *bind, const struct vfioext_device_info *info)
{
	return is_pci(info) ? bind->found : bind->driver;
}

static bool is_done(const struct bind *bind, const struct vfioext_device_info *info)
{
	const char *driver = driver_for(bind, info);

	return info->driver[0] && (!driver || !strcmp(info->driver, driver));
}

static int bind_device(struct vfioext *ctx, const void *data)
{
	const struct order *order = data;
	int ret = vfioext_bind(ctx, order->name, order->driver);

	return ret == -EALREADY ? 0 : ret;
}

static void tell_waiting(const struct bind *bind, const struct vfioext_device_info *before)
{
	struct vfioext_device_info info;

	if (bind->json || vfioext_find_device(bind->ctx, before->name, &info))
		return;
	if (!strcmp(info.driver, before->driver))
		printf("%s: waiting for %s to let go of it\n", info.name, info.driver);
	else if (info.driver[0])
		printf("%s: waiting for %s to get it ready\n", info.name, info.driver);
	fflush(stdout);
}

/* Return: EXIT_DONE once the driver has the device. */
static int run_child(const struct bind *bind, const struct vfioext_device_info *info)
{
	struct order order = { .name = info->name, .driver = driver_for(bind, info) };
	struct pollfd fd = { .fd = bind->signals, .events = POLLIN };
	int ret, timeout = PATIENCE_MS;
	struct child child;

	ret = child_start(&child, bind->ctx, bind_device, &order);
	if (ret)
		return fail(bind->ctx, ret, "starting a child");
	while (!child_ended(&child, &ret)) {
		if (!poll(&fd, 1, timeout)) {
			tell_waiting(bind, info);
			timeout = -1;
		}
		if (signals_take(bind->signals)) {
			error("%s: the kernel goes on with it", info->name);
			return EXIT_INTERRUPTED;
		}
	}
	if (ret)
		error("binding %s: %s", info->name, child.message);
	return ret;
}

/* Without the module: the group's file leads to the device, or to one of its siblings. */
static bool is_group_open(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	struct vfioext_holders holders;
	bool open = false;
	size_t i;

	if (vfioext_group_holders_by_proc(ctx, info->group, &holders))
		return false;
	for (i = 0; i < holders.nr; i++)
		open |= holders.list[i].group_fds > 0;
	vfioext_holders_release(&holders);
	return open;
}

/* A device that is held would be waited for without being asked for. */
static bool is_held(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	uint32_t handles;

	if (!info->vfio)
		return false;
	if (vfioext_device_handles(ctx, info->name, &handles))
		return is_group_open(ctx, info);
	return handles;
}

static void print_result(const struct bind *bind, const struct vfioext_device_info *info,
			 const char *result)
{
	if (!bind->json)
		return;
	putchar('{');
	json_string("device", info->name, true);
	json_string("result", result, false);
	puts("}");
}

static int check_one(const struct bind *bind, const struct vfioext_device_info *info)
{
	if (bind->persist && !is_pci(info)) {
		error("%s is an mdev; mdevctl has mdevs made at every boot", info->name);
		return EXIT_FAILED;
	}
	if (is_done(bind, info))
		return EXIT_DONE;
	/* By force, too: the kernel would wait for the holder. */
	if (is_held(bind->ctx, info)) {
		error("%s is held; 'vfioext unbind %s' takes it back first", info->name, info->name);
		print_result(bind, info, "held");
		return EXIT_FAILED;
	}
	return uses_check(bind->ctx, info, bind->force, bind->json);
}

/* All are looked at before the first is touched. */
static int check(const struct bind *bind)
{
	int ret, status = EXIT_DONE;
	size_t i;

	for (i = 0; i < bind->targets.nr; i++) {
		ret = check_one(bind, &bind->targets.list[i]);
		if (ret)
			status = ret;
	}
	if (status && bind->targets.nr > 1)
		error("nothing was changed");
	return status;
}

static bool has_pci(const struct vfioext_device_list *targets)
{
	size_t i;

	for (i = 0; i < targets->nr; i++)
		if (is_pci(&targets->list[i]))
			return true;
	return false;
}

static const char *wanted(const struct bind *bind)
{
	return bind->driver ? bind->driver : "vfio-pci";
}

/* How the kernel spells the driver, if it is there. */
static int look_driver_up(struct bind *bind)
{
	int ret;

	if (!has_pci(&bind->targets))
		return EXIT_DONE;
	ret = vfioext_find_driver(bind->ctx, wanted(bind), bind->found);
	bind->load = ret == -ENOENT;
	return ret && !bind->load ? fail(bind->ctx, ret, "%s", wanted(bind)) : EXIT_DONE;
}

static int load_driver(struct bind *bind)
{
	if (!module_load_driver(bind->ctx, wanted(bind), bind->found)) {
		error("there is no PCI driver %s, and modprobe does not load one", wanted(bind));
		return EXIT_FAILED;
	}
	if (!bind->json)
		printf("loaded the module of the driver %s\n", bind->found);
	return EXIT_DONE;
}

/* Is @at the first of its group that is bound? */
static bool is_first(const struct vfioext_device_list *targets, const bool *bound, size_t at)
{
	size_t i;

	for (i = 0; i < at; i++)
		if (bound[i] && targets->list[i].group == targets->list[at].group)
			return false;
	return true;
}

/* Bound is not usable yet: say what else stands in the way. Return: false if so. */
static bool tell_viability(struct vfioext *ctx, const struct vfioext_device_info *info, bool tell)
{
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;

	/* A driver of the host needs no viable group. */
	if (!info->vfio || vfioext_list_group(ctx, info->group, &members))
		return true;
	breaker = vfioext_group_breaker(&members);
	if (breaker && tell)
		error("group %d is not viable yet: %s is bound to %s; bind it, or unbind it",
		      info->group, breaker->name, breaker->driver);
	vfioext_device_list_release(&members);
	return !breaker;
}

static void print_json(const struct vfioext_device_info *info, bool already, bool viable)
{
	putchar('{');
	json_string("device", info->name, true);
	json_string("driver", info->driver, false);
	if (info->group >= 0)
		json_number("group", (unsigned int)info->group, false);
	json_boolean("already", already, false);
	json_boolean("viable", viable, false);
	puts("}");
}

static void print_bound(const struct vfioext_device_info *info, bool already)
{
	printf("%s is bound to %s%s", info->name, info->driver, already ? " already" : "");
	if (info->group >= 0)
		printf(", group %d", info->group);
	putchar('\n');
	fflush(stdout);
}

/* Say what would be done, and do nothing. */
static int rehearse(const struct bind *bind)
{
	const struct vfioext_device_info *info;
	const char *driver;
	size_t i;

	if (bind->load && !bind->json)
		printf("would load the module of the driver %s\n", wanted(bind));
	for (i = 0; i < bind->targets.nr; i++) {
		info = &bind->targets.list[i];
		driver = is_pci(info) ? (bind->load ? wanted(bind) : bind->found) :
					"its parent's driver";
		if (bind->json) {
			putchar('{');
			json_string("device", info->name, true);
			json_string("driver", info->driver, false);
			json_string("would-bind-to", is_done(bind, info) ? info->driver : driver,
				    false);
			puts("}");
		} else if (is_done(bind, info)) {
			print_bound(info, true);
		} else {
			printf("would bind %s to %s%s%s%s\n", info->name, driver,
			       info->driver[0] ? ", and unbind it from " : "", info->driver,
			       bind->persist ? ", at every boot, too" : "");
		}
	}
	return EXIT_DONE;
}

/* @info is read anew, as it is afterwards. */
static int bind_one(const struct bind *bind, struct vfioext_device_info *info, bool *already)
{
	int ret;

	*already = is_done(bind, info);
	ret = *already ? EXIT_DONE : run_child(bind, info);
	if (ret)
		return ret;
	ret = vfioext_find_device(bind->ctx, info->name, info);
	if (ret)
		return fail(bind->ctx, ret, "%s", info->name);
	if (!bind->json)
		print_bound(info, *already);
	return bind->persist ? persist_keep(info, bind->json) : EXIT_DONE;
}

/* One that fails does not stop the others; Ctrl-C does. */
static int bind_all(struct bind *bind)
{
	struct vfioext_device_list *targets = &bind->targets;
	bool already[targets->nr], bound[targets->nr], viable;
	int ret, status = EXIT_DONE;
	size_t i;

	memset(bound, 0, sizeof(bound));
	memset(already, 0, sizeof(already));
	for (i = 0; i < targets->nr && status != EXIT_INTERRUPTED; i++) {
		ret = bind_one(bind, &targets->list[i], &already[i]);
		bound[i] = !ret;
		if (ret)
			status = ret;
	}
	for (i = 0; i < targets->nr; i++) {
		if (!bound[i]) {
			print_result(bind, &targets->list[i], "failed");
			continue;
		}
		viable = tell_viability(bind->ctx, &targets->list[i], is_first(targets, bound, i));
		if (bind->json)
			print_json(&targets->list[i], already[i], viable);
	}
	return status;
}

static int run(struct bind *bind, char **names, int nr)
{
	int ret;

	ret = targets_find(bind->ctx, names, nr, &bind->targets);
	if (ret)
		return ret;
	ret = look_driver_up(bind);
	if (!ret)
		ret = check(bind);
	/* Nothing is loaded for what is refused. */
	if (!ret && bind->load && !bind->dry_run)
		ret = load_driver(bind);
	if (!ret)
		ret = bind->dry_run ? rehearse(bind) : bind_all(bind);
	vfioext_device_list_release(&bind->targets);
	return ret;
}

static const char options_help[] =
	" -d, --driver DRIVER   a driver other than vfio-pci\n"
	" -f, --force           take devices that the host uses, too\n"
	" -p, --persist         so at every boot, too\n"
	" -n, --dry-run         say what would be done, and do nothing\n"
	" -J, --json            print the result as JSON, a line a device\n"
	" -h, --help            print this\n"
	"\ngroup:N stands for all devices of a group but its bridges.\n";

int cmd_bind(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "driver", required_argument, NULL, 'd' },
		{ "force", no_argument, NULL, 'f' },
		{ "persist", no_argument, NULL, 'p' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct bind bind = { 0 };
	int option, ret;

	while ((option = getopt_long(argc, argv, "d:fpnJh", long_options, NULL)) >= 0) {
		switch (option) {
		case 'd':
			bind.driver = optarg;
			break;
		case 'f':
			bind.force = true;
			break;
		case 'p':
			bind.persist = true;
			break;
		case 'n':
			bind.dry_run = true;
			break;
		case 'J':
			bind.json = true;
			break;
		case 'h':
			return help(options_help);
		default:
			return usage_error(NULL);
		}
	}
	if (optind == argc)
		return usage_error("a device is needed");
	bind.signals = signals_catch();
	bind.ctx = open_context();
	ret = bind.ctx ? run(&bind, argv + optind, argc - optind) : EXIT_FAILED;
	vfioext_free(bind.ctx);
	return ret;
}
