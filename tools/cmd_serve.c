// SPDX-License-Identifier: GPL-2.0-only
/* Serve a device to a VM, in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <vfioext/user.h>

#include "example.h"
#include "vfioext.h"

static const struct example *const examples[] = { &example_edu, &example_null };

#define NR_EXAMPLES (sizeof(examples) / sizeof(examples[0]))

struct serving {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct vfioext_user_device *device;
	const struct example *example;
	const char *path;
	int fd;
};

static void print_log(const char *text, void *data)
{
	(void)data;
	puts(text);
	fflush(stdout);
}

/* Until a signal comes, or the one client that there is has gone. */
static int serve(struct serving *serving)
{
	struct pollfd fds[2] = {
		{ .fd = vfioext_user_fd(serving->server), .events = POLLIN },
		{ .fd = signals_catch(), .events = POLLIN },
	};
	int ret = EXIT_DONE;

	if (fds[1].fd < 0) {
		error("signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	sd_notify(0, "READY=1");
	while ((poll(fds, 2, -1) > 0 || errno == EINTR) && !fds[1].revents) {
		ret = vfioext_user_dispatch(serving->server);
		if (ret) {
			error("serving: %s", strerror(-ret));
			ret = EXIT_FAILED;
			break;
		}
		if (!serving->path && !vfioext_user_device_has_client(serving->device))
			break;
	}
	sd_notify(0, "STOPPING=1");
	close(fds[1].fd);
	return ret;
}

static int begin(struct serving *serving)
{
	int ret;

	ret = vfioext_user_new(serving->ctx, print_log, NULL, &serving->server);
	if (ret)
		return fail(serving->ctx, ret, "serving");
	ret = serving->example->make(serving->server, &serving->device);
	if (ret)
		return fail(serving->ctx, ret, "%s", serving->example->name);
	if (serving->path)
		ret = vfioext_user_device_start(serving->device, serving->path, 0);
	else
		ret = vfioext_user_device_attach(serving->device, serving->fd);
	if (ret && serving->path)
		return fail(serving->ctx, ret, "%s", serving->path);
	return ret ? fail(serving->ctx, ret, "descriptor %d", serving->fd) : EXIT_DONE;
}

static int run(struct serving *serving)
{
	void *data = NULL;
	int ret;

	serving->ctx = open_context();
	if (!serving->ctx)
		return EXIT_FAILED;
	ret = begin(serving);
	if (!ret)
		ret = serve(serving);
	if (serving->device)
		data = vfioext_user_device_data(serving->device);
	vfioext_user_free(serving->server);
	if (data)
		serving->example->free(data);
	vfioext_free(serving->ctx);
	return ret;
}

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

int cmd_serve(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "socket-path", required_argument, NULL, 's' },
		{ "fd", required_argument, NULL, 'f' },
		{ "example", required_argument, NULL, 'e' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct serving serving = { .fd = -1 };
	int option;

	while ((option = getopt_long(argc, argv, "s:f:e:h", long_options, NULL)) >= 0) {
		switch (option) {
		case 's':
			serving.path = optarg;
			break;
		case 'f':
			if (!parse_fd(optarg, &serving.fd))
				return usage_error("'%s' is no descriptor", optarg);
			break;
		case 'e':
			serving.example = find_example(optarg);
			if (!serving.example)
				return usage_error("there is no example '%s'", optarg);
			break;
		case 'h':
			return help(" -s, --socket PATH     where to serve\n"
				    " -f, --fd N            serve the client at this socket, and end\n"
				    " -e, --example NAME    serve edu or null, which are emulated\n"
				    " -h, --help            print this\n");
		default:
			return usage_error(NULL);
		}
	}
	if (!serving.example)
		return usage_error("a device or an example is needed");
	if (!serving.path == !(serving.fd >= 0))
		return usage_error("either --socket or --fd is needed");
	return run(&serving);
}
