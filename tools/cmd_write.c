// SPDX-License-Identifier: GPL-2.0-only
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "vfioext.h"

struct writing {
	const char *vf_token;
	const char *name;
	struct place place;
	unsigned int width;
	uint64_t value;
	bool force;
};

static int write_open(struct vfioext *ctx, struct vfioext_device *device,
		      const struct writing *writing)
{
	uint64_t raw = htole64(writing->value);
	struct vfioext_region *region;
	int ret;

	ret = find_place(ctx, device, &writing->place, writing->width, &region);
	if (ret)
		return ret;
	ret = vfioext_region_write(region, &raw, writing->width, writing->place.offset);
	return ret ? fail(ctx, ret, "%s", name_of_region(device, region->index)) : EXIT_DONE;
}

/* What its holder does not expect may take the host down. */
static int write_held(struct vfioext *ctx, const struct writing *writing)
{
	if (!writing->force)
		return fail(ctx, -EBUSY, "%s", writing->name);
	if (held_write(writing->name, &writing->place, writing->width, writing->value))
		return EXIT_DONE;
	error("%s is held by somebody else; of such a device the configuration space alone can be written",
	      writing->name);
	return EXIT_FAILED;
}

static int write_device(struct vfioext *ctx, const struct writing *writing)
{
	struct vfioext_device *device;
	int ret;

	ret = open_device(ctx, writing->name, writing->vf_token, NULL, &device);
	if (ret == -EBUSY)
		return write_held(ctx, writing);
	if (ret)
		return fail(ctx, ret, "%s", writing->name);
	ret = write_open(ctx, device, writing);
	vfioext_device_close(device);
	return ret;
}

static int parse_arguments(struct writing *writing, char **argv)
{
	writing->name = argv[0];
	if (!parse_place(argv[1], &writing->place))
		return usage_error("'%s' is no place, such as bar0+0x10", argv[1]);
	if (writing->place.offset % writing->width)
		return usage_error("%s is not on a multiple of %u bytes", argv[1], writing->width);
	if (!parse_number(argv[2], &writing->value) ||
	    (writing->width < 8 && writing->value >> 8 * writing->width))
		return usage_error("'%s' is no value of %u bits", argv[2], 8 * writing->width);
	return EXIT_DONE;
}

int cmd_write(int argc, char **argv)
{
	static const struct option options[] = {
		{ "width", required_argument, NULL, 'w' },
		{ "force", no_argument, NULL, 'f' },
		{ "vf-token", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct writing writing = { .width = 4 };
	struct vfioext *ctx;
	int option, ret;

	while ((option = getopt_long(argc, argv, "w:fh", options, NULL)) >= 0) {
		if (option == 'h')
			return help(" -w, --width BITS      8, 16, 32 (the default) or 64\n"
				    " -f, --force           also if somebody else holds the device\n"
				    TOKEN_HELP
				    " -h, --help            print this\n"
				    PLACE_HELP);
		if (option == 'f')
			writing.force = true;
		else if (option == 't' && !take_token(optarg, &writing.vf_token))
			return usage_error("'%s' is no VF token, which is a UUID", optarg);
		else if (option == 'w' && !parse_width(optarg, &writing.width))
			return usage_error("'%s' is no width: 8, 16, 32 or 64", optarg);
		else if (option == '?')
			return usage_error(NULL);
	}
	if (optind + 3 != argc)
		return usage_error("a device, a place and a value are needed");
	ret = parse_arguments(&writing, argv + optind);
	if (ret)
		return ret;
	ctx = open_context();
	ret = ctx ? write_device(ctx, &writing) : EXIT_FAILED;
	vfioext_free(ctx);
	return ret;
}
