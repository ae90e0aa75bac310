// SPDX-License-Identifier: GPL-2.0-only
/* Devices are opened, and served where they are to be. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "serve.h"

/*
 * Those of one group are opened in one container: the kernel gives a group to one alone. The
 * first of them makes it, and frees it.
 */
static int choose_container(struct serving *serving, size_t nr)
{
	struct served *served = &serving->list[nr];
	bool several = false;
	size_t i;

	for (i = 0; i < serving->nr && served->group >= 0; i++) {
		if (i == nr || serving->list[i].group != served->group)
			continue;
		several = true;
		if (i < nr) {
			served->container = serving->list[i].container;
			return 0;
		}
	}
	return several ? vfioext_container_new(serving->ctx, VFIOEXT_BACKEND_ANY,
					       &served->container) : 0;
}

static void find_groups(struct serving *serving)
{
	struct vfioext_device_info info;
	size_t i;

	for (i = 0; i < serving->nr; i++)
		serving->list[i].group = vfioext_find_device(serving->ctx, serving->list[i].name,
							     &info) ? -1 : info.group;
}

static int make_bridge(struct serving *serving, size_t nr)
{
	struct served *served = &serving->list[nr];
	int ret;

	ret = choose_container(serving, nr);
	if (!ret)
		ret = open_device(serving->ctx, served->name, serving->access.vf_token,
				  served->container, &served->device);
	if (!ret)
		ret = vfioext_user_bridge_new(serving->server, served->device,
					      serving->no_map ? VFIOEXT_USER_BRIDGE_NO_MAP : 0,
					      &served->bridge);
	if (!ret)
		served->served = vfioext_user_bridge_device(served->bridge);
	return ret;
}

static int listen_at(struct serving *serving, struct served *served)
{
	const struct vfioext_user_socket how = {
		.mode = access_mode(&serving->access, serving->nr_uids),
		.has_group = serving->access.has_group,
		.group = serving->access.group,
		.trust_directory = serving->access.trust_directory,
		.uids = serving->uids,
		.nr_uids = serving->nr_uids,
	};
	int ret;

	ret = vfioext_user_device_listen(served->served, served->path, &how);
	if (!ret)
		return EXIT_DONE;
	fail(serving->ctx, ret, "serving %s", served->name);
	access_hint(&serving->access, ret);
	return EXIT_FAILED;
}

/* Somebody who looks at a terminal wants to know what is next. */
static void announce(const struct served *served)
{
	if (!isatty(STDOUT_FILENO))
		return;
	printf("%s is served at %s until Ctrl-C; for QEMU:\n"
	       "  -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"%s\"}}'\n",
	       served->name, served->path, served->path);
	fflush(stdout);
}

static int begin_one(struct serving *serving, size_t nr)
{
	struct served *served = &serving->list[nr];
	int ret;

	ret = serving->example ? serving->example->make(serving->server, &served->served) :
				 make_bridge(serving, nr);
	if (ret)
		return fail(serving->ctx, ret, "%s", served->name);
	vfioext_user_device_set_limits(served->served, &serving->limits);
	if (!served->path) {
		ret = vfioext_user_device_attach(served->served, serving->fd);
		return ret ? fail(serving->ctx, ret, "descriptor %d", serving->fd) : EXIT_DONE;
	}
	return EXIT_DONE;
}

/* Clients are let in once all devices are there. */
int serve_begin(struct serving *serving)
{
	size_t i;
	int ret;

	ret = vfioext_user_new(serving->ctx, print_log, NULL, &serving->server);
	if (ret)
		return fail(serving->ctx, ret, "serving");
	if (!serving->example)
		find_groups(serving);
	for (i = 0; i < serving->nr && !ret; i++)
		ret = begin_one(serving, i);
	for (i = 0; i < serving->nr_paths && !ret; i++)
		ret = listen_at(serving, &serving->list[i]);
	for (i = 0; i < serving->nr_paths && !ret; i++)
		announce(&serving->list[i]);
	return ret;
}

static bool is_first_of_container(const struct serving *serving, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (serving->list[i].container == serving->list[nr].container)
			return false;
	return true;
}

void serve_end(struct serving *serving)
{
	void *data = NULL;
	size_t i;

	if (serving->example && serving->list[0].served)
		data = vfioext_user_device_data(serving->list[0].served);
	for (i = 0; i < serving->nr; i++)
		vfioext_user_bridge_free(serving->list[i].bridge);
	vfioext_user_free(serving->server);
	for (i = 0; i < serving->nr; i++)
		vfioext_device_close(serving->list[i].device);
	for (i = 0; i < serving->nr; i++)
		if (is_first_of_container(serving, i))
			vfioext_container_free(serving->list[i].container);
	if (data)
		serving->example->free(data);
}
