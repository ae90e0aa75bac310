// SPDX-License-Identifier: GPL-2.0-only
/* Take devices back, and leave them without a driver, or to another one. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "take.h"

static struct taken *add(struct take *take, const struct vfioext_device_info *info)
{
	struct taken *taken = &take->list[take->nr++];

	memset(taken, 0, sizeof(*taken));
	taken->info = *info;
	return taken;
}

static struct taken *find(struct take *take, const char *name)
{
	size_t i;

	for (i = 0; i < take->nr; i++)
		if (!strcmp(take->list[i].info.name, name))
			return &take->list[i];
	return NULL;
}

/*
 * The VFs of a PF go with its driver: ask for those that VFIO has, and leave the PF alone if
 * the host uses another.
 */
static int add_vfs(struct take *take, struct taken *pf)
{
	struct vfioext_device_list vfs;
	int ret, status = EXIT_DONE;
	struct taken *vf;
	size_t i;

	ret = vfioext_list_vfs(take->ctx, pf->info.name, &vfs);
	if (ret)
		return fail(take->ctx, ret, "the VFs of %s", pf->info.name);
	for (i = 0; i < vfs.nr && !status; i++) {
		/* One may be named, too. */
		vf = find(take, vfs.list[i].name);
		if (!vf && vfs.list[i].vfio)
			vf = add(take, &vfs.list[i]);
		if (vf)
			vf->pf = pf;
		else if (vfs.list[i].driver[0])
			status = uses_check(take->ctx, &vfs.list[i], false, take->json);
	}
	vfioext_device_list_release(&vfs);
	return status;
}

/* May it be unbound? */
static int check(const struct take *take, const struct vfioext_device_info *info)
{
	if (!info->driver[0]) {
		if (take->restore || take->driver || take->persist)
			return EXIT_DONE;
		error("%s has no driver", info->name);
		return EXIT_FAILED;
	}
	if (!info->vfio) {
		error("%s is bound to %s, which is no VFIO driver", info->name, info->driver);
		return EXIT_FAILED;
	}
	if (take->restore && !strcmp(info->bus, "mdev")) {
		error("%s is an mdev, which the host has no driver for", info->name);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static size_t count_vfs(struct vfioext *ctx, const struct vfioext_device_list *targets)
{
	struct vfioext_device_list vfs;
	size_t nr = 0, i;

	for (i = 0; i < targets->nr; i++) {
		if (vfioext_list_vfs(ctx, targets->list[i].name, &vfs))
			continue;
		nr += vfs.nr;
		vfioext_device_list_release(&vfs);
	}
	return nr;
}

/* Those that are named, then the VFs of them. */
static int prepare(struct take *take, const struct vfioext_device_list *targets)
{
	size_t i, room = targets->nr + count_vfs(take->ctx, targets);
	int ret, status = EXIT_DONE;

	take->list = calloc(room ? room : 1, sizeof(*take->list));
	if (!take->list) {
		error("%s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	for (i = 0; i < targets->nr; i++) {
		ret = check(take, &targets->list[i]);
		if (ret)
			status = ret;
		else
			add(take, &targets->list[i]);
	}
	/* By force the kernel's own removals bound the wait for the VFs. */
	for (i = 0; i < targets->nr && !status && !take->force; i++)
		status = add_vfs(take, &take->list[i]);
	return status;
}

static void rehearse(const struct take *take)
{
	size_t i;

	for (i = 0; i < take->nr; i++) {
		const struct taken *taken = &take->list[i];
		const char *name = taken->info.name;

		if (taken->pf)
			printf("would ask for %s, a VF of %s\n", name, taken->pf->info.name);
		else if (taken->info.driver[0])
			printf("would %sunbind %s from %s\n", take->force ? "" : "ask for and ", name,
			       taken->info.driver);
		if (!taken->pf && take->driver)
			printf("would bind %s to %s\n", name, take->driver);
		else if (!taken->pf && take->restore)
			printf("would give %s to the host's driver\n", name);
	}
}

/* Is there one that somebody may hold? */
static bool has_vfio(const struct take *take)
{
	size_t i;

	for (i = 0; i < take->nr; i++)
		if (take->list[i].info.vfio)
			return true;
	return false;
}

static int subscribe(struct take *take)
{
	int ret;

	if (!has_vfio(take))
		return EXIT_DONE;
	ret = -EPROTONOSUPPORT;
	if (need_module(take->ctx))
		ret = vfioext_events_open(&take->events, VFIOEXT_EVENTS_REMOVAL, -1);
	if (ret == -EPROTONOSUPPORT && take->force) {
		error("the module is not loaded: who holds the device is not known");
		return EXIT_DONE;
	}
	if (ret == -EPROTONOSUPPORT)
		error("the module is not loaded, so nobody can be asked; 'modprobe vfioext' loads it, --force unbinds without asking");
	else if (ret)
		error("subscribing: %s", strerror(-ret));
	return ret ? EXIT_FAILED : EXIT_DONE;
}

/* The driver that devices are to get is loaded before they are asked for. */
static int find_driver(struct take *take, char *found)
{
	int ret;

	if (!take->driver)
		return EXIT_DONE;
	ret = vfioext_find_driver(take->ctx, take->driver, found);
	if (ret == -ENOENT && module_load_driver(take->ctx, take->driver, found)) {
		take_say(take, "loaded the module of the driver %s", found);
		ret = 0;
	}
	if (ret) {
		error("there is no PCI driver %s, and modprobe does not load one", take->driver);
		return EXIT_FAILED;
	}
	take->driver = found;
	return EXIT_DONE;
}

static int run(struct take *take, char **names, int nr, bool dry_run)
{
	struct vfioext_device_list targets;
	char found[VFIOEXT_NAME_SIZE];
	int ret;

	ret = targets_find(take->ctx, names, nr, &targets);
	if (ret)
		return ret;
	ret = prepare(take, &targets);
	if (!ret && dry_run) {
		rehearse(take);
	} else if (!ret) {
		ret = find_driver(take, found);
		if (!ret)
			ret = subscribe(take);
		if (!ret)
			ret = take_run(take);
	}
	vfioext_events_close(take->events);
	free(take->list);
	vfioext_device_list_release(&targets);
	return ret;
}

static const char options_help[] =
	" -t, --timeout SECONDS  how long to wait, instead of the policy's time\n"
	" -a, --action ACTION    at the deadline: notify (give up) or sigbus (SIGBUS to holders)\n"
	"     --detach           should the tool be killed, the removals go on without it\n"
	"     --no-request       do not have the driver itself ask who has the device open\n"
	" -f, --force            do not ask, unbind at once; this cannot be called off\n"
	" -d, --driver DRIVER    bind to this driver afterwards\n"
	" -r, --restore          give to the host's own driver afterwards\n"
	" -p, --persist          undo 'vfioext bind --persist' as well\n"
	" -n, --dry-run          say what would be done, and do nothing\n"
	" -J, --json             print the result as JSON, a line a device\n"
	" -h, --help             print this\n"
	"\nAll devices are asked for at once, and a PF's VFs with it. Ctrl-C calls it off. Exit\n"
	"status 3: time ran out, the device is still bound and works.\n";

static const struct option long_options[] = {
	{ "timeout", required_argument, NULL, 't' },
	{ "action", required_argument, NULL, 'a' },
	{ "detach", no_argument, NULL, 'D' },
	{ "no-request", no_argument, NULL, 'Q' },
	{ "force", no_argument, NULL, 'f' },
	{ "driver", required_argument, NULL, 'd' },
	{ "restore", no_argument, NULL, 'r' },
	{ "persist", no_argument, NULL, 'p' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'J' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

/* Return: -1 to go on, or what to exit with. */
static int take_option(struct take *take, int option, bool *dry_run)
{
	switch (option) {
	case 't':
		if (!parse_ms(optarg, &take->how.timeout_ms))
			return usage_error("'%s' is no time in seconds", optarg);
		take->how.has |= VFIOEXT_POLICY_TIMEOUT;
		return -1;
	case 'a':
		if (!parse_action(optarg, &take->how.action))
			return usage_error("'%s' is no action; notify or sigbus", optarg);
		take->how.has |= VFIOEXT_POLICY_ACTION;
		return -1;
	case 'D':
		take->how.has |= VFIOEXT_POLICY_DETACHED;
		return -1;
	case 'Q':
		take->how.has |= VFIOEXT_POLICY_QUIET;
		return -1;
	case 'f':
		take->force = true;
		return -1;
	case 'd':
		take->driver = optarg;
		return -1;
	case 'r':
		take->restore = true;
		return -1;
	case 'p':
		take->persist = true;
		return -1;
	case 'n':
		*dry_run = true;
		return -1;
	case 'J':
		take->json = true;
		return -1;
	case 'h':
		return help(options_help);
	default:
		return usage_error(NULL);
	}
}

int cmd_unbind(int argc, char **argv)
{
	struct take take = { .tty = isatty(STDOUT_FILENO) };
	bool dry_run = false;
	int option, ret = -1;

	while (ret < 0 &&
	       (option = getopt_long(argc, argv, "t:a:fd:rpnJh", long_options, NULL)) >= 0)
		ret = take_option(&take, option, &dry_run);
	if (ret >= 0)
		return ret;
	if (optind == argc)
		return usage_error("a device is needed");
	if (take.force && take.how.has)
		return usage_error("--force does not ask: no --timeout, no --action, no --detach, no --no-request");
	if (take.driver && take.restore)
		return usage_error("either --driver or --restore");

	clock_gettime(CLOCK_MONOTONIC, &take.begun);
	take.signals = signals_catch();
	take.ctx = open_context();
	if (!take.ctx)
		return EXIT_FAILED;
	ret = run(&take, argv + optind, argc - optind, dry_run);
	vfioext_free(take.ctx);
	return ret;
}
