// SPDX-License-Identifier: GPL-2.0-only
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "vfioext.h"

#define COUNT_MAX 65536

struct reading {
	const char *vf_token;
	const char *name;
	struct place place;
	unsigned int width;
	uint64_t count;
	bool json;
};

static void print_value(const struct reading *reading, uint64_t offset, uint64_t value)
{
	int digits = (int)reading->width * 2;

	if (reading->json)
		printf("%s\n      {\"offset\": %" PRIu64 ", \"value\": %" PRIu64 "}",
		       offset == reading->place.offset ? "" : ",", offset, value);
	else if (reading->count == 1)
		printf("0x%0*" PRIx64 "\n", digits, value);
	else
		printf("%06" PRIx64 ": 0x%0*" PRIx64 "\n", offset, digits, value);
}

static int read_held(struct reading *reading)
{
	struct place at = reading->place;
	uint64_t i, value;

	for (i = 0; i < reading->count; i++, at.offset += reading->width) {
		if (!held_read(reading->name, &at, reading->width, &value))
			return EXIT_FAILED;
		print_value(reading, at.offset, value);
	}
	return EXIT_DONE;
}

static int read_open(struct vfioext *ctx, struct vfioext_device *device,
		     const struct reading *reading)
{
	struct vfioext_region *region;
	uint64_t i, offset, raw;
	int ret;

	ret = find_place(ctx, device, &reading->place, reading->count * reading->width, &region);
	for (i = 0; !ret && i < reading->count; i++) {
		offset = reading->place.offset + i * reading->width;
		raw = 0;
		ret = vfioext_region_read(region, &raw, reading->width, offset);
		if (ret)
			return fail(ctx, ret, "%s", name_of_region(device, region->index));
		print_value(reading, offset, le64toh(raw));
	}
	return ret;
}

static int read_device(struct vfioext *ctx, struct reading *reading)
{
	struct vfioext_device *device;
	int ret;

	ret = open_device(ctx, reading->name, reading->vf_token, NULL, &device);
	if (ret == -EBUSY && read_held(reading) == EXIT_DONE)
		return EXIT_DONE;
	if (ret)
		return fail(ctx, ret, "%s", reading->name);
	ret = read_open(ctx, device, reading);
	vfioext_device_close(device);
	return ret;
}

static int run(struct reading *reading)
{
	struct vfioext *ctx = open_context();
	int ret;

	if (!ctx)
		return EXIT_FAILED;
	if (reading->json)
		printf("{\n   \"read\": [");
	ret = read_device(ctx, reading);
	if (reading->json)
		printf("\n   ]\n}\n");
	vfioext_free(ctx);
	return ret;
}

int cmd_read(int argc, char **argv)
{
	static const struct option options[] = {
		{ "width", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'J' },
		{ "vf-token", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct reading reading = { .width = 4, .count = 1 };
	int option;

	while ((option = getopt_long(argc, argv, "w:c:Jh", options, NULL)) >= 0) {
		if (option == 'h')
			return help(" -w, --width BITS      8, 16, 32 (the default) or 64\n"
				    " -c, --count N         read so many, one after the other\n"
				    " -J, --json            print JSON\n"
				    TOKEN_HELP
				    " -h, --help            print this\n"
				    PLACE_HELP);
		if (option == 'J')
			reading.json = true;
		else if (option == 't' && !take_token(optarg, &reading.vf_token))
			return usage_error("'%s' is no VF token, which is a UUID", optarg);
		else if (option == 'w' && !parse_width(optarg, &reading.width))
			return usage_error("'%s' is no width: 8, 16, 32 or 64", optarg);
		else if (option == 'c' && (!parse_number(optarg, &reading.count) ||
					   !reading.count || reading.count > COUNT_MAX))
			return usage_error("'%s' is no count from 1 to %d", optarg, COUNT_MAX);
		else if (option == '?')
			return usage_error(NULL);
	}
	if (optind + 2 != argc)
		return usage_error("a device and a place are needed");
	reading.name = argv[optind];
	if (!parse_place(argv[optind + 1], &reading.place))
		return usage_error("'%s' is no place, such as bar0+0x10", argv[optind + 1]);
	if (reading.place.offset % reading.width)
		return usage_error("%s is not on a multiple of %u bytes", argv[optind + 1],
				   reading.width);
	return run(&reading);
}
