// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "vfioext.h"

/* Bound is not usable yet: say what else stands in the way. */
static void tell_viability(struct vfioext *ctx, int group)
{
	const struct vfioext_device_info *breaker;
	struct vfioext_device_list members;

	if (vfioext_list_group(ctx, group, &members))
		return;
	breaker = vfioext_group_breaker(&members);
	if (breaker)
		error("group %d is not viable yet: %s is bound to %s; bind it, or unbind it", group,
		      breaker->name, breaker->driver);
	vfioext_device_list_release(&members);
}

static int bind_device(struct vfioext *ctx, const char *name, const char *driver)
{
	struct vfioext_device_info info;
	int ret;

	ret = vfioext_bind(ctx, name, driver);
	if (ret == -EALREADY) {
		printf("%s\n", vfioext_message(ctx));
		return EXIT_DONE;
	}
	if (ret)
		return fail(ctx, ret, "binding %s", name);
	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return fail(ctx, ret, "%s", name);
	printf("%s is bound to %s, group %d\n", info.name, info.driver, info.group);
	tell_viability(ctx, info.group);
	return EXIT_DONE;
}

int cmd_bind(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "driver", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *driver = NULL;
	struct vfioext *ctx;
	int option, ret;

	while ((option = getopt_long(argc, argv, "d:h", long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(" -d, --driver DRIVER   a driver other than vfio-pci\n"
				    " -h, --help            print this\n");
		if (option != 'd')
			return usage_error(NULL);
		driver = optarg;
	}
	if (optind + 1 != argc)
		return usage_error("one device is needed");
	ctx = open_context();
	if (!ctx)
		return EXIT_FAILED;
	ret = bind_device(ctx, argv[optind], driver);
	vfioext_free(ctx);
	return ret;
}
