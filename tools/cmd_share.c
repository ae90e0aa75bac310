// SPDX-License-Identifier: GPL-2.0-only
/* Hand devices to other processes, in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <vfioext/share.h>

#include "access.h"
#include "vfioext.h"

#define SOCKET_PATH "/run/vfioext.sock"
#define NAMES_MAX 64

struct shared {
	struct vfioext_device *device;
};

struct sharing {
	struct vfioext *ctx;
	struct vfioext_share *share;
	struct vfioext_container *container;
	struct shared *devices;
	struct pollfd *fds;
	size_t nr;
	struct vfioext_share_options options;
	uid_t uids[NAMES_MAX];
	gid_t gids[NAMES_MAX];
	struct socket_access access;
	char dpdk_path[108];
	const char *attach;
};

static bool add_user(struct sharing *sharing, const char *name)
{
	if (sharing->options.nr_uids == NAMES_MAX ||
	    !parse_user(name, &sharing->uids[sharing->options.nr_uids]))
		return false;
	sharing->options.nr_uids++;
	return true;
}

static bool add_group(struct sharing *sharing, const char *name)
{
	if (sharing->options.nr_gids == NAMES_MAX ||
	    !parse_gid(name, &sharing->gids[sharing->options.nr_gids]))
		return false;
	sharing->options.nr_gids++;
	return true;
}

/* All of them in one container. */
static int open_devices(struct sharing *sharing, char **names)
{
	size_t i;
	int ret;

	ret = vfioext_container_new(sharing->ctx, VFIOEXT_BACKEND_CONTAINER, &sharing->container);
	if (ret)
		return fail(sharing->ctx, ret, "sharing");
	for (i = 0; names[i]; i++) {
		ret = open_device(sharing->ctx, names[i], sharing->access.vf_token, sharing->container,
				  &sharing->devices[i].device);
		if (ret)
			return fail(sharing->ctx, ret, "%s", names[i]);
		sharing->nr++;
		ret = vfioext_device_watch(sharing->devices[i].device, NULL, NULL);
		if (ret)
			return fail(sharing->ctx, ret, "%s", names[i]);
		sharing->fds[i].fd = vfioext_device_watch_fd(sharing->devices[i].device);
		sharing->fds[i].events = POLLIN;
	}
	return EXIT_DONE;
}

/* The host wants one back: those who are attached are told as well. */
static void look_at_devices(struct sharing *sharing, size_t *left)
{
	char line[VFIOEXT_NAME_SIZE + 32];
	size_t i;

	for (i = 0; i < sharing->nr; i++) {
		if (!sharing->fds[i].revents ||
		    vfioext_device_watch_dispatch(sharing->devices[i].device) != 1)
			continue;
		snprintf(line, sizeof(line), "%s goes back to the host",
			 vfioext_device_info(sharing->devices[i].device)->name);
		print_log(line, NULL);
		sharing->fds[i].fd = -1;
		--*left;
	}
}

/* Until a signal comes, or the last device has gone. */
static int serve(struct sharing *sharing, int signals_fd)
{
	struct pollfd *share = &sharing->fds[sharing->nr], *signals = share + 1;
	size_t left = sharing->nr;
	int ret = EXIT_DONE;

	*share = (struct pollfd){ .fd = vfioext_share_fd(sharing->share), .events = POLLIN };
	*signals = (struct pollfd){ .fd = signals_fd, .events = POLLIN };
	sd_notify(0, "READY=1");
	while (left && (poll(sharing->fds, sharing->nr + 2, -1) > 0 || errno == EINTR) &&
	       !signals->revents) {
		/* First those who are attached: what the host says reaches them, too. */
		ret = vfioext_share_dispatch(sharing->share);
		if (ret) {
			error("serving: %s", strerror(-ret));
			ret = EXIT_FAILED;
			break;
		}
		look_at_devices(sharing, &left);
	}
	/* Why the last device went those who are attached are to hear before the end. */
	if (!left)
		vfioext_share_dispatch(sharing->share);
	sd_notify(0, "STOPPING=1");
	return ret;
}

static int begin(struct sharing *sharing)
{
	int ret = vfioext_share_new(sharing->ctx, &sharing->options, &sharing->share);

	if (!ret)
		ret = vfioext_share_add(sharing->share, sharing->container);
	if (!ret)
		return EXIT_DONE;
	fail(sharing->ctx, ret, "sharing");
	access_hint(&sharing->access, ret);
	return EXIT_FAILED;
}

/* A signal from then on leaves no socket behind. */
static int share(struct sharing *sharing, char **names)
{
	int ret = open_devices(sharing, names), signals_fd;

	if (ret)
		return ret;
	signals_fd = signals_catch();
	if (signals_fd < 0) {
		error("signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	ret = begin(sharing);
	if (!ret)
		ret = serve(sharing, signals_fd);
	close(signals_fd);
	return ret;
}

static int run(struct sharing *sharing, int nr, char **names)
{
	int ret = EXIT_FAILED;
	size_t i;

	raise_file_limit();
	sharing->ctx = open_context();
	if (!sharing->ctx)
		return EXIT_FAILED;
	sharing->devices = calloc((size_t)nr, sizeof(*sharing->devices));
	sharing->fds = calloc((size_t)nr + 2, sizeof(*sharing->fds));
	if (sharing->devices && sharing->fds)
		ret = share(sharing, names);
	vfioext_share_free(sharing->share);
	for (i = 0; sharing->devices && i < sharing->nr; i++)
		vfioext_device_close(sharing->devices[i].device);
	vfioext_container_free(sharing->container);
	free(sharing->fds);
	free(sharing->devices);
	vfioext_free(sharing->ctx);
	return ret;
}

static int set_dpdk_path(struct sharing *sharing, const char *prefix)
{
	if (vfioext_share_dpdk_path(prefix, sharing->dpdk_path, sizeof(sharing->dpdk_path)))
		return usage_error("'%s' is no prefix of files", prefix);
	sharing->options.dpdk_path = sharing->dpdk_path;
	return EXIT_DONE;
}

/* Return: 0, or what to exit with. */
static int take_option(struct sharing *sharing, struct table_options *table, int option)
{
	int ret;

	switch (option) {
	case 's':
		sharing->options.path = optarg;
		return EXIT_DONE;
	case 'p':
		return set_dpdk_path(sharing, optarg);
	case 'u':
		return add_user(sharing, optarg) ? EXIT_DONE :
		       usage_error("there is no user '%s', or more than %d are named", optarg,
				   NAMES_MAX);
	case 'g':
		return add_group(sharing, optarg) ? EXIT_DONE :
		       usage_error("there is no group '%s', or more than %d are named", optarg,
				   NAMES_MAX);
	case 'A':
		sharing->attach = optarg;
		return EXIT_DONE;
	default:
		ret = access_option(&sharing->access, option, optarg);
		if (ret >= 0)
			return ret;
		return table_option(table, option, optarg) ? EXIT_DONE : usage_error(NULL);
	}
}

static int finish_options(struct sharing *sharing, int nr)
{
	struct vfioext_share_options *options = &sharing->options;

	if (sharing->attach && (nr || options->path || options->dpdk_path))
		return usage_error("--attach stands alone");
	if (!sharing->attach && !nr)
		return usage_error("a device is needed");
	if (!options->path && !options->dpdk_path)
		options->path = SOCKET_PATH;
	/* Who may connect by the socket's group is served, too. */
	if (sharing->access.has_group && options->nr_gids < NAMES_MAX)
		sharing->gids[options->nr_gids++] = sharing->access.group;
	options->uids = sharing->uids;
	options->gids = sharing->gids;
	options->log = print_log;
	options->mode = access_mode(&sharing->access, options->nr_uids || options->nr_gids);
	options->has_socket_group = sharing->access.has_group;
	options->socket_group = sharing->access.group;
	options->trust_directory = sharing->access.trust_directory;
	return EXIT_DONE;
}

int cmd_share(int argc, char **argv)
{
	static const struct option long_options[] = {
		TABLE_LONG,
		{ "socket", required_argument, NULL, 's' },
		{ "dpdk-prefix", required_argument, NULL, 'p' },
		{ "allow-user", required_argument, NULL, 'u' },
		{ "allow-group", required_argument, NULL, 'g' },
		{ "attach", required_argument, NULL, 'A' },
		ACCESS_LONG,
		{ 0 }
	};
	struct table_options table = { 0 };
	struct sharing sharing = { 0 };
	int option, ret;

	while ((option = getopt_long(argc, argv, TABLE_SHORT "s:p:u:g:A:", long_options,
				     NULL)) >= 0) {
		if (option == 'h')
			return help(" -s, --socket PATH     where to serve (" SOCKET_PATH ")\n"
				    " -p, --dpdk-prefix P   serve secondaries of DPDK 1.7 to 18.02\n"
				    " -u, --allow-user U    serve this user, too; may be repeated\n"
				    " -g, --allow-group G   serve members of this group, too\n"
				    ACCESS_HELP
				    " -A, --attach PATH     show and try what is shared there\n"
				    "\nOf what --attach shows:\n" TABLE_HELP);
		ret = take_option(&sharing, &table, option);
		if (ret)
			return ret;
	}
	ret = finish_options(&sharing, argc - optind);
	if (ret)
		return ret;
	if (sharing.attach)
		return show_offer(sharing.attach, &table);
	return run(&sharing, argc - optind, argv + optind);
}
