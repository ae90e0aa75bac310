// SPDX-License-Identifier: GPL-2.0-only
/* Serve a device of the host, or an emulated one, to a VM, in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include <vfioext/user_bridge.h>

#include "example.h"
#include "vfioext.h"

static const struct example *const examples[] = { &example_edu, &example_null,
						&example_nvme };

#define NR_EXAMPLES (sizeof(examples) / sizeof(examples[0]))

#define GRACE_S 10

/* Of look_at_device(), besides how long to wait. */
#define NOTHING_TO_DO (-1)
#define DEVICE_GONE (-2)
#define DEVICE_FAILED (-3)

/*
 * @served: what clients see of an example or a device
 * @device, @bridge: a device of the host's
 * @grace_ms: how long a client may take to let go when the host wants the device back
 */
struct serving {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct vfioext_user_device *served;
	const struct example *example;
	const char *name;
	struct vfioext_device *device;
	struct vfioext_user_bridge *bridge;
	const char *path;
	int fd;
	uint32_t grace_ms;
};

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * What the host wants of the device, and when the client has had its time.
 * Return: how long to wait at most, NOTHING_TO_DO, DEVICE_GONE or DEVICE_FAILED.
 */
static int look_at_device(struct serving *serving, long *deadline)
{
	int state = vfioext_user_bridge_dispatch(serving->bridge);
	long left;

	if (state < 0) {
		error("%s: %s", serving->name, strerror(-state));
		return DEVICE_FAILED;
	}
	if (state == VFIOEXT_USER_BRIDGE_WANTED && !*deadline) {
		*deadline = now_ms() + serving->grace_ms;
		printf("%s: the host wants it back; its client is asked to let go\n", serving->name);
		fflush(stdout);
	}
	if (state == VFIOEXT_USER_BRIDGE_WANTED) {
		left = *deadline - now_ms();
		if (left > 0)
			return (int)left;
		printf("%s: the client does not let go, and is dropped\n", serving->name);
		vfioext_user_bridge_let_go(serving->bridge);
		state = VFIOEXT_USER_BRIDGE_GONE;
	}
	if (state != VFIOEXT_USER_BRIDGE_GONE)
		return NOTHING_TO_DO;
	printf("%s goes back to the host\n", serving->name);
	fflush(stdout);
	return DEVICE_GONE;
}

/* Until a signal comes, the device has gone, or the one client that there is. */
static int serve_until(struct serving *serving, struct pollfd *fds)
{
	long deadline = 0;
	int ret, timeout = NOTHING_TO_DO;

	while ((poll(fds, 3, timeout) >= 0 || errno == EINTR) && !fds[1].revents) {
		ret = vfioext_user_dispatch(serving->server);
		if (ret) {
			error("serving: %s", strerror(-ret));
			return EXIT_FAILED;
		}
		if (!serving->path && !vfioext_user_device_has_client(serving->served))
			break;
		if (serving->bridge)
			timeout = look_at_device(serving, &deadline);
		if (timeout == DEVICE_GONE)
			break;
		if (timeout == DEVICE_FAILED)
			return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int serve(struct serving *serving)
{
	struct pollfd fds[3] = {
		{ .fd = vfioext_user_fd(serving->server), .events = POLLIN },
		{ .fd = signals_catch(), .events = POLLIN },
		{ .fd = serving->bridge ? vfioext_user_bridge_fd(serving->bridge) : -1,
		  .events = POLLIN },
	};
	int ret;

	if (fds[1].fd < 0) {
		error("signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	sd_notify(0, "READY=1");
	ret = serve_until(serving, fds);
	sd_notify(0, "STOPPING=1");
	close(fds[1].fd);
	return ret;
}

static int make_bridge(struct serving *serving)
{
	int ret;

	ret = vfioext_device_open(serving->ctx, serving->name, NULL, &serving->device);
	if (!ret)
		ret = vfioext_user_bridge_new(serving->server, serving->device, &serving->bridge);
	if (!ret)
		serving->served = vfioext_user_bridge_device(serving->bridge);
	return ret;
}

static int begin(struct serving *serving)
{
	int ret;

	ret = vfioext_user_new(serving->ctx, print_log, NULL, &serving->server);
	if (ret)
		return fail(serving->ctx, ret, "serving");
	ret = serving->example ? serving->example->make(serving->server, &serving->served) :
				 make_bridge(serving);
	if (ret)
		return fail(serving->ctx, ret, "%s", serving->name);
	if (serving->path)
		ret = vfioext_user_device_start(serving->served, serving->path, 0);
	else
		ret = vfioext_user_device_attach(serving->served, serving->fd);
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
	if (serving->example && serving->served)
		data = vfioext_user_device_data(serving->served);
	vfioext_user_bridge_free(serving->bridge);
	vfioext_user_free(serving->server);
	vfioext_device_close(serving->device);
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
		{ "grace", required_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct serving serving = { .fd = -1, .grace_ms = GRACE_S * 1000 };
	int option;

	while ((option = getopt_long(argc, argv, "s:f:e:g:h", long_options, NULL)) >= 0) {
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
		case 'g':
			if (!parse_ms(optarg, &serving.grace_ms))
				return usage_error("'%s' is no number of seconds", optarg);
			break;
		case 'h':
			return help(" -s, --socket PATH     where to serve\n"
				    " -f, --fd N            serve the client at this socket, and end\n"
				    " -e, --example NAME    serve edu, null or nvme-ish, which are emulated\n"
				    " -g, --grace S         when the host wants the device back, give its\n"
				    "                       client so many seconds to let go (10)\n"
				    " -h, --help            print this\n");
		default:
			return usage_error(NULL);
		}
	}
	if (!serving.example == !(argc - optind))
		return usage_error("a device or an example is needed");
	if (argc - optind > 1)
		return usage_error("one device is served");
	serving.name = serving.example ? serving.example->name : argv[optind];
	if (!serving.path == !(serving.fd >= 0))
		return usage_error("either --socket or --fd is needed");
	return run(&serving);
}
