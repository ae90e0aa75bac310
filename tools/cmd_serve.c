// SPDX-License-Identifier: GPL-2.0-only
/* Serve devices of the host, or an emulated one, to a VM, in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "serve.h"

static const struct example *const examples[] = { &example_edu, &example_null,
						&example_nvme };

#define NR_EXAMPLES (sizeof(examples) / sizeof(examples[0]))

#define GRACE_S 10

/* Beyond all characters, and what access_option() knows. */
enum { NO_MAP = 0x200, MAX_MAPS, MAX_MEMORY, ANY_FILE };

#define GIB_MAX 0x40000u

static const char options_help[] =
	" -s, --socket PATH     where to serve; one for each device, in their order\n"
	" -f, --fd N            serve the client at this socket, and end\n"
	" -e, --example NAME    serve edu, null or nvme-ish, which are emulated\n"
	" -g, --grace S         when the host wants a device back, give its\n"
	"                       client so many seconds to let go (10)\n"
	"     --no-map          let clients map nothing of a device of the host\n"
	" -u, --allow-user U    serve this user, too; may be repeated\n"
	"     --max-maps N      pieces of memory that a client may map (65535)\n"
	"     --max-memory GIB  address space for the memory of a client (2048)\n"
	"     --any-file        map a client's files of any kind: clients are trusted\n"
	ACCESS_HELP
	" -h, --help            print this\n";

static const struct example *find_example(const char *name)
{
	size_t i;

	for (i = 0; i < NR_EXAMPLES; i++)
		if (!strcmp(examples[i]->name, name))
			return examples[i];
	return NULL;
}

static bool parse_fd(const char *text, int *fd)
{
	uint64_t number;

	if (!parse_number(text, &number) || number > INT32_MAX)
		return false;
	*fd = (int)number;
	return true;
}

static int take_maps(struct serving *serving, const char *text)
{
	uint64_t number;

	if (!parse_number(text, &number) || !number || number > UINT16_MAX)
		return usage_error("'%s' is no number of maps, of which there can be 65535", text);
	serving->limits.max_maps = (unsigned int)number;
	return EXIT_DONE;
}

static int take_memory(struct serving *serving, const char *text)
{
	uint64_t number;

	if (!parse_number(text, &number) || !number || number > GIB_MAX)
		return usage_error("'%s' is no number of GiB up to %u", text, GIB_MAX);
	serving->limits.max_bytes = number << 30;
	return EXIT_DONE;
}

static int add_user(struct serving *serving, const char *name)
{
	if (serving->nr_uids == SERVE_MAX ||
	    !parse_user(name, &serving->uids[serving->nr_uids]))
		return usage_error("there is no user '%s', or more than %d are named", name,
				   SERVE_MAX);
	serving->nr_uids++;
	return EXIT_DONE;
}

static int add_device(struct serving *serving, const char *name)
{
	if (serving->nr == SERVE_MAX)
		return usage_error("at most %d devices are served", SERVE_MAX);
	serving->list[serving->nr++].name = name;
	return EXIT_DONE;
}

static int add_socket(struct serving *serving, const char *path)
{
	if (serving->nr_paths == SERVE_MAX)
		return usage_error("at most %d devices are served", SERVE_MAX);
	serving->list[serving->nr_paths++].path = path;
	return EXIT_DONE;
}

/* Return: 0, or what to exit with. */
static int take_option(struct serving *serving, int option)
{
	int ret;

	switch (option) {
	case 1:
		return add_device(serving, optarg);
	case 's':
		return add_socket(serving, optarg);
	case 'f':
		return parse_fd(optarg, &serving->fd) ? EXIT_DONE :
		       usage_error("'%s' is no descriptor", optarg);
	case 'e':
		serving->example = find_example(optarg);
		return serving->example ? EXIT_DONE :
		       usage_error("there is no example '%s'", optarg);
	case 'g':
		return parse_ms(optarg, &serving->grace_ms) ? EXIT_DONE :
		       usage_error("'%s' is no number of seconds", optarg);
	case NO_MAP:
		serving->no_map = true;
		return EXIT_DONE;
	case 'u':
		return add_user(serving, optarg);
	case MAX_MAPS:
		return take_maps(serving, optarg);
	case MAX_MEMORY:
		return take_memory(serving, optarg);
	case ANY_FILE:
		serving->limits.any_file = true;
		return EXIT_DONE;
	default:
		ret = access_option(&serving->access, option, optarg);
		return ret < 0 ? usage_error(NULL) : ret;
	}
}

static int finish_options(struct serving *serving)
{
	if (!serving->example == !serving->nr)
		return usage_error("a device or an example is needed");
	if (serving->example)
		serving->list[serving->nr++].name = serving->example->name;
	if (!serving->nr_paths == !(serving->fd >= 0))
		return usage_error("either --socket or --fd is needed");
	if (serving->fd >= 0 && serving->nr > 1)
		return usage_error("one device is served at a descriptor");
	if (serving->nr_paths && serving->nr_paths != serving->nr)
		return usage_error("each device needs a --socket: there are %zu devices and %zu sockets",
				   serving->nr, serving->nr_paths);
	return EXIT_DONE;
}

int cmd_serve(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "socket-path", required_argument, NULL, 's' },
		{ "fd", required_argument, NULL, 'f' },
		{ "example", required_argument, NULL, 'e' },
		{ "grace", required_argument, NULL, 'g' },
		{ "no-map", no_argument, NULL, NO_MAP },
		{ "allow-user", required_argument, NULL, 'u' },
		{ "max-maps", required_argument, NULL, MAX_MAPS },
		{ "max-memory", required_argument, NULL, MAX_MEMORY },
		{ "any-file", no_argument, NULL, ANY_FILE },
		ACCESS_LONG,
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct serving serving = { .fd = -1, .grace_ms = GRACE_S * 1000 };
	int option, ret;

	/* What is no option comes in its place, too. */
	while ((option = getopt_long(argc, argv, "-s:f:e:g:u:h", long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(options_help);
		ret = take_option(&serving, option);
		if (ret)
			return ret;
	}
	for (; optind < argc; optind++) {
		ret = add_device(&serving, argv[optind]);
		if (ret)
			return ret;
	}
	ret = finish_options(&serving);
	return ret ? ret : serve_run(&serving);
}
