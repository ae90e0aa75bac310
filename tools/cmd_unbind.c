// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take a device back: ask for it, watch who still holds it, unbind what was
 * released. What blocks in the kernel does so in a child.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vfioext.h"

#define LOOK_INTERVAL_MS 200

struct unbind {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_device_info info;
	struct timespec begun;
	int signals;
	uint32_t id;
	bool json;
	bool tty;
	bool ended;
	bool lost;
	bool released;
	int outcome;
	unsigned int signaled;
	char shown[256];
};

static double elapsed(const struct unbind *unbind)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - unbind->begun.tv_sec) +
	       (double)(now.tv_nsec - unbind->begun.tv_nsec) / 1e9;
}

/* A line of its own, whatever progress is on the terminal. */
__attribute__((format(printf, 2, 3)))
static void say(struct unbind *unbind, const char *format, ...)
{
	va_list args;

	if (unbind->json)
		return;
	if (unbind->tty && unbind->shown[0])
		fputs("\r\033[K", stdout);
	unbind->shown[0] = '\0';
	printf("%7.3f s  ", elapsed(unbind));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* With a handle that is no process's, KVM may be what has it. */
static bool has_device(const struct vfioext_holders *holders, const struct vfioext_holder *holder)
{
	return holder->device_fds || holder->mappings ||
	       (holders->unaccounted && holder->kvm_fds);
}

/* Who holds the device, as much as fits. */
static void describe_holders(struct unbind *unbind, char *buffer, size_t size)
{
	struct vfioext_holders holders;
	struct vfioext_group group;
	size_t at = 0, i;

	buffer[0] = '\0';
	if (!vfioext_device_holders(unbind->ctx, unbind->info.name, &holders)) {
		for (i = 0; i < holders.nr && at < size; i++)
			if (has_device(&holders, &holders.list[i]))
				at += (size_t)snprintf(buffer + at, size - at, "%s%s (%d)",
						       at ? ", " : "",
						       printable(holders.list[i].comm),
						       holders.list[i].pid);
		if (holders.unaccounted && at < size)
			at += (size_t)snprintf(buffer + at, size - at, "%s%u without a process",
					       at ? ", " : "", holders.unaccounted);
		vfioext_holders_release(&holders);
	}
	if (!vfioext_group_get(unbind->ctx, unbind->info.group, &group) && group.external_users &&
	    at < size)
		snprintf(buffer + at, size - at, "%s%u external users", at ? ", " : "",
			 group.external_users);
}

/* Ours that is under way, or the kernel's own for the device. Return: 0, -ENOENT, or an error. */
static int find_removal(struct unbind *unbind, struct vfioext_removal *removal)
{
	struct vfioext_removals removals;
	size_t i;
	int ret;

	ret = vfioext_removals_get(unbind->ctx, &removals);
	if (ret)
		return ret;
	ret = -ENOENT;
	for (i = 0; i < removals.nr; i++) {
		if (strcmp(removals.list[i].device, unbind->info.name) ||
		    (unbind->id && removals.list[i].id != unbind->id))
			continue;
		*removal = removals.list[i];
		ret = 0;
	}
	vfioext_removals_release(&removals);
	return ret;
}

/* On a terminal all the time, elsewhere when the holders change. */
static void show_progress(struct unbind *unbind)
{
	struct vfioext_removal removal;
	char holders[sizeof(unbind->shown)];

	if (unbind->json || find_removal(unbind, &removal))
		return;
	describe_holders(unbind, holders, sizeof(holders));
	if (!holders[0])
		return;
	if (unbind->tty)
		printf("\r\033[K%7.3f s  held by %s, %.1f s left", elapsed(unbind), holders,
		       removal.remaining_ms / 1000.0);
	else if (strcmp(holders, unbind->shown))
		printf("%7.3f s  held by %s, %.1f s left\n", elapsed(unbind), holders,
		       removal.remaining_ms / 1000.0);
	strcpy(unbind->shown, holders);
	fflush(stdout);
}

static void on_event(const struct vfioext_event *event, void *data)
{
	struct unbind *unbind = data;

	if (event->type == VFIOEXT_EVENT_LOST)
		unbind->lost = true;
	if (strcmp(event->removal.device, unbind->info.name) ||
	    (unbind->id && event->removal.id != unbind->id))
		return;
	switch (event->type) {
	case VFIOEXT_EVENT_REMOVAL_EXTENDED:
		say(unbind, "a holder asked for %.1f s more", event->extend_ms / 1000.0);
		break;
	case VFIOEXT_EVENT_REMOVAL_SIGNALED:
		say(unbind, "time is up: SIGBUS to %u processes", event->signaled);
		unbind->signaled += event->signaled;
		break;
	case VFIOEXT_EVENT_REMOVAL_RELEASED:
	case VFIOEXT_EVENT_REMOVAL_DONE:
		unbind->released = true;
		unbind->ended = true;
		unbind->outcome = event->outcome;
		break;
	case VFIOEXT_EVENT_REMOVAL_CANCELLED:
		unbind->ended = true;
		unbind->outcome = event->outcome;
		break;
	default:
		break;
	}
}

/*
 * Ask what became of it, when the event that told may be among the lost. What cannot be known
 * now is asked again at the next look.
 */
static void resync(struct unbind *unbind)
{
	struct vfioext_removal removal;
	uint32_t handles = 0;
	int ret;

	ret = unbind->ended ? 0 : find_removal(unbind, &removal);
	unbind->lost = ret;
	if (!ret)
		return;
	if (ret == -ENOENT)
		ret = vfioext_device_handles(unbind->ctx, unbind->info.name, &handles);
	if (ret && ret != -ENODEV && ret != -EPROTONOSUPPORT)
		return;
	unbind->lost = false;
	unbind->ended = true;
	unbind->released = ret != -EPROTONOSUPPORT && !handles;
	if (unbind->released)
		unbind->outcome = VFIOEXT_OUTCOME_LET_GO;
	else
		unbind->outcome = ret ? VFIOEXT_OUTCOME_UNLOADED : VFIOEXT_OUTCOME_TIMED_OUT;
}

/* Wait a little. Return: the signal to stop on, or 0. */
static int step(struct unbind *unbind)
{
	struct pollfd fds[2] = {
		{ .fd = unbind->signals, .events = POLLIN },
		{ .events = POLLIN },
	};

	if (!unbind->events) {
		poll(fds, 1, LOOK_INTERVAL_MS);
		return signals_take(unbind->signals);
	}
	fds[1].fd = vfioext_events_fd(unbind->events);
	show_progress(unbind);
	poll(fds, 2, LOOK_INTERVAL_MS);
	if (vfioext_events_dispatch(unbind->events, on_event, unbind) < 0)
		unbind->lost = true;
	if (unbind->lost)
		resync(unbind);
	return signals_take(unbind->signals);
}

/* What happened, as the last line or as JSON; returns the exit status. */
static int conclude(struct unbind *unbind, const char *result, int status)
{
	if (unbind->json) {
		putchar('{');
		json_string("device", unbind->info.name, true);
		json_string("result", result, false);
		if (unbind->outcome >= 0)
			json_string("outcome", name_of_outcome(unbind->outcome), false);
		json_number("signaled", unbind->signaled, false);
		json_number("elapsed-ms", (unsigned long long)(elapsed(unbind) * 1000), false);
		puts("}");
	} else {
		say(unbind, "%s: %s", unbind->info.name, result);
	}
	return status;
}

static int call_off(struct unbind *unbind)
{
	int ret = vfioext_removal_cancel(unbind->ctx, unbind->id);

	if (ret && ret != -ENOENT) {
		fail(unbind->ctx, ret, "calling it off");
		return EXIT_FAILED;
	}
	unbind->outcome = VFIOEXT_OUTCOME_CANCELLED;
	if (output_lost())
		error("%s is called off, still bound: what is printed cannot be written",
		      unbind->info.name);
	return conclude(unbind, "called off, still bound", EXIT_INTERRUPTED);
}

/* Ask, and wait for the end of it. Return: EXIT_DONE if the device is released. */
static int ask(struct unbind *unbind, const struct vfioext_policy *how)
{
	int ret;

	ret = vfioext_removal_start(unbind->ctx, unbind->info.name, how, &unbind->id);
	if (ret)
		return fail(unbind->ctx, ret, "asking for %s", unbind->info.name);
	say(unbind, "asking for %s (removal %u)", unbind->info.name, unbind->id);
	while (!unbind->ended)
		if ((output_lost() || step(unbind)) && !unbind->ended)
			return call_off(unbind);
	if (unbind->released)
		return EXIT_DONE;
	if (unbind->outcome == VFIOEXT_OUTCOME_TIMED_OUT)
		return conclude(unbind, "timed out, still bound and working", EXIT_TIMED_OUT);
	if (unbind->outcome == VFIOEXT_OUTCOME_UNLOADED)
		return conclude(unbind, "the module was unloaded, still bound", EXIT_FAILED);
	return conclude(unbind, "called off by somebody else, still bound", EXIT_FAILED);
}

static int unbind_device(struct vfioext *ctx, const void *data)
{
	const struct unbind *unbind = data;
	int ret = vfioext_unbind(ctx, unbind->info.name);

	return ret == -EALREADY ? 0 : ret;
}

static int do_unbind(struct unbind *unbind)
{
	struct child child;
	int ret;

	unbind->id = 0;
	ret = child_start(&child, unbind->ctx, unbind_device, unbind);
	if (ret)
		return fail(unbind->ctx, ret, "starting a child");
	while (!child_ended(&child, &ret))
		if (step(unbind))
			return conclude(unbind, "being unbound by the kernel, which goes on",
					EXIT_INTERRUPTED);
	if (ret) {
		error("%s: %s", unbind->info.name, child.message);
		return EXIT_FAILED;
	}
	return conclude(unbind, "unbound", EXIT_DONE);
}

static int run(struct unbind *unbind, const char *name, const struct vfioext_policy *how,
	       bool force)
{
	int ret;

	ret = vfioext_find_device(unbind->ctx, name, &unbind->info);
	if (ret)
		return fail(unbind->ctx, ret, "%s", name);
	if (!unbind->info.driver[0]) {
		error("%s has no driver", unbind->info.name);
		return EXIT_FAILED;
	}
	if (!unbind->info.vfio) {
		error("%s is bound to %s, which is no VFIO driver", unbind->info.name,
		      unbind->info.driver);
		return EXIT_FAILED;
	}
	ret = -EPROTONOSUPPORT;
	if (need_module(unbind->ctx))
		ret = vfioext_events_open(&unbind->events, VFIOEXT_EVENTS_REMOVAL, -1);
	if (ret == -EPROTONOSUPPORT && force) {
		error("the module is not loaded: who holds the device is not known");
		return do_unbind(unbind);
	}
	if (ret == -EPROTONOSUPPORT) {
		error("the module is not loaded, so nobody can be asked; 'modprobe vfioext' loads it, --force unbinds without asking");
		return EXIT_FAILED;
	}
	if (ret) {
		error("subscribing: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	ret = force ? EXIT_DONE : ask(unbind, how);
	if (!ret)
		ret = do_unbind(unbind);
	vfioext_events_close(unbind->events);
	return ret;
}

static const char options_help[] =
	" -t, --timeout SECONDS  how long to wait, instead of the policy's time\n"
	" -a, --action ACTION    at the deadline: notify (give up) or sigbus (SIGBUS to holders)\n"
	"     --detach           should the tool be killed, the removal goes on without it\n"
	" -f, --force            do not ask, unbind at once; this cannot be called off\n"
	" -J, --json             print the result as JSON\n"
	" -h, --help             print this\n"
	"\nCtrl-C calls the removal off. Exit status 3: time ran out, the device is still\n"
	"bound and works.\n";

int cmd_unbind(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "action", required_argument, NULL, 'a' },
		{ "detach", no_argument, NULL, 'D' },
		{ "force", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct unbind unbind = { .outcome = -1, .tty = isatty(STDOUT_FILENO) };
	struct vfioext_policy how = { 0 };
	bool force = false;
	int option, ret;

	while ((option = getopt_long(argc, argv, "t:a:fJh", long_options, NULL)) >= 0) {
		switch (option) {
		case 't':
			if (!parse_ms(optarg, &how.timeout_ms))
				return usage_error("'%s' is no time in seconds", optarg);
			how.has |= VFIOEXT_POLICY_TIMEOUT;
			break;
		case 'a':
			if (!parse_action(optarg, &how.action))
				return usage_error("'%s' is no action; notify or sigbus", optarg);
			how.has |= VFIOEXT_POLICY_ACTION;
			break;
		case 'D':
			how.has |= VFIOEXT_POLICY_DETACHED;
			break;
		case 'f':
			force = true;
			break;
		case 'J':
			unbind.json = true;
			break;
		case 'h':
			return help(options_help);
		default:
			return usage_error(NULL);
		}
	}
	if (optind + 1 != argc)
		return usage_error("one device is needed");
	if (force && how.has)
		return usage_error("--force does not wait: no --timeout, no --action, no --detach");

	clock_gettime(CLOCK_MONOTONIC, &unbind.begun);
	unbind.signals = signals_catch();
	unbind.ctx = open_context();
	if (!unbind.ctx)
		return EXIT_FAILED;
	ret = run(&unbind, argv[optind], &how, force);
	vfioext_free(unbind.ctx);
	return ret;
}
