// SPDX-License-Identifier: GPL-2.0-only
/* Bind a device; what blocks in the kernel does so in a child. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "vfioext.h"

struct bind {
	struct vfioext *ctx;
	const char *name;
	const char *driver;
	bool json;
};

static int bind_device(struct vfioext *ctx, const void *data)
{
	const struct bind *bind = data;
	int ret = vfioext_bind(ctx, bind->name, bind->driver);

	return ret == -EALREADY ? 0 : ret;
}

/* Return: EXIT_DONE once the driver has the device. */
static int run_child(const struct bind *bind)
{
	int signals = signals_catch(), ret;
	struct pollfd fd = { .fd = signals, .events = POLLIN };
	struct child child;

	ret = child_start(&child, bind->ctx, bind_device, bind);
	if (ret)
		return fail(bind->ctx, ret, "starting a child");
	while (!child_ended(&child, &ret)) {
		poll(&fd, 1, -1);
		if (signals_take(signals)) {
			error("%s: the kernel goes on waiting for its driver to let go",
			      bind->name);
			return EXIT_INTERRUPTED;
		}
	}
	if (ret)
		error("binding %s: %s", bind->name, child.message);
	return ret;
}

/* A device that is held would be waited for without being asked for. */
static bool is_held(struct vfioext *ctx, const struct vfioext_device_info *info)
{
	uint32_t handles;

	return info->vfio && !vfioext_device_handles(ctx, info->name, &handles) && handles;
}

static void print_json(const struct vfioext_device_info *info, bool already, bool viable)
{
	putchar('{');
	json_string("device", info->name, true);
	json_string("driver", info->driver, false);
	json_number("group", (unsigned int)info->group, false);
	json_boolean("already", already, false);
	json_boolean("viable", viable, false);
	puts("}");
}

/* Bound is not usable yet: say what else stands in the way. Return: false if so. */
static bool tell_viability(struct vfioext *ctx, int group)
{
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;

	if (vfioext_list_group(ctx, group, &members))
		return true;
	breaker = vfioext_group_breaker(&members);
	if (breaker)
		error("group %d is not viable yet: %s is bound to %s; bind it, or unbind it", group,
		      breaker->name, breaker->driver);
	vfioext_device_list_release(&members);
	return !breaker;
}

static int run(struct bind *bind)
{
	const char *driver = bind->driver ? bind->driver : "vfio-pci";
	struct vfioext_device_info info;
	bool already, viable;
	int ret;

	ret = vfioext_find_device(bind->ctx, bind->name, &info);
	if (ret)
		return fail(bind->ctx, ret, "%s", bind->name);
	already = !strcmp(info.driver, driver);
	if (!already && is_held(bind->ctx, &info)) {
		error("%s is held; 'vfioext unbind %s' takes it back first", info.name, info.name);
		return EXIT_FAILED;
	}
	ret = run_child(bind);
	if (ret)
		return ret;
	ret = vfioext_find_device(bind->ctx, bind->name, &info);
	if (ret)
		return fail(bind->ctx, ret, "%s", bind->name);
	viable = tell_viability(bind->ctx, info.group);
	if (bind->json)
		print_json(&info, already, viable);
	else
		printf("%s is bound to %s%s, group %d\n", info.name, info.driver,
		       already ? " already" : "", info.group);
	return EXIT_DONE;
}

int cmd_bind(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "driver", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct bind bind = { 0 };
	int option, ret;

	while ((option = getopt_long(argc, argv, "d:Jh", long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(" -d, --driver DRIVER   a driver other than vfio-pci\n"
				    " -J, --json            print the result as JSON\n"
				    " -h, --help            print this\n");
		if (option == 'd')
			bind.driver = optarg;
		else if (option == 'J')
			bind.json = true;
		else
			return usage_error(NULL);
	}
	if (optind + 1 != argc)
		return usage_error("one device is needed");
	bind.name = argv[optind];
	bind.ctx = open_context();
	ret = bind.ctx ? run(&bind) : EXIT_FAILED;
	vfioext_free(bind.ctx);
	return ret;
}
