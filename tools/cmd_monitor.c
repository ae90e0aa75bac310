// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vfioext.h"

struct monitor {
	struct vfioext *ctx;
	struct vfioext_events *events;
	bool json;
	bool resync;
	bool warned;
};

/* What is under way is read again so much later if it could not be. */
#define RETRY_MS 200

static const char *const type_names[] = {
	[VFIOEXT_EVENT_LOST] = "lost",
	[VFIOEXT_EVENT_CURRENT] = "removal-current",
	[VFIOEXT_EVENT_REMOVAL_REQUESTED] = "removal-requested",
	[VFIOEXT_EVENT_REMOVAL_EXTENDED] = "removal-extended",
	[VFIOEXT_EVENT_REMOVAL_SIGNALED] = "removal-signaled",
	[VFIOEXT_EVENT_REMOVAL_RELEASED] = "removal-released",
	[VFIOEXT_EVENT_REMOVAL_CANCELLED] = "removal-cancelled",
	[VFIOEXT_EVENT_REMOVAL_DONE] = "removal-done",
	[VFIOEXT_EVENT_REMOVAL_UNWATCHED] = "removal-unwatched",
	[VFIOEXT_EVENT_GROUP_ADDED] = "group-added",
	[VFIOEXT_EVENT_GROUP_REMOVED] = "group-removed",
	[VFIOEXT_EVENT_DEVICE_ADDED] = "device-added",
	[VFIOEXT_EVENT_DEVICE_REMOVED] = "device-removed",
};

static bool is_removal(const struct vfioext_event *event)
{
	return event->type >= VFIOEXT_EVENT_CURRENT &&
	       event->type <= VFIOEXT_EVENT_REMOVAL_UNWATCHED;
}

static void time_of_day(char *buffer, size_t size)
{
	struct timespec now;
	struct tm local;
	size_t at;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	at = strftime(buffer, size, "%FT%T", &local);
	at += (size_t)snprintf(buffer + at, size - at, ".%03ld", now.tv_nsec / 1000000);
	strftime(buffer + at, size - at, "%z", &local);
}

static void print_json(const struct vfioext_event *event)
{
	const struct vfioext_removal *removal = &event->removal;
	char when[64];

	time_of_day(when, sizeof(when));
	putchar('{');
	json_string("time", when, true);
	json_string("event", type_names[event->type], false);
	if (event->type == VFIOEXT_EVENT_LOST)
		json_number("lost", event->lost, false);
	else
		json_number("group", removal->group, false);
	if (event->sequence)
		json_number("sequence", event->sequence, false);
	if (removal->device[0]) {
		json_string("device", removal->device, false);
		json_string("bus", removal->bus, false);
	}
	if (event->driver[0])
		json_string("driver", event->driver, false);
	if (is_removal(event)) {
		json_number("removal", removal->id, false);
		json_string("origin", name_of_origin(removal->origin), false);
		json_string("state", name_of_state(removal->state), false);
		json_string("action", name_of_action(removal->action), false);
		json_number("remaining-ms", removal->remaining_ms, false);
		json_number("elapsed-ms", removal->elapsed_ms, false);
		json_number("external-users", removal->external_users, false);
		json_number("handles", removal->handles, false);
	}
	if (event->extend_ms)
		json_number("extend-ms", event->extend_ms, false);
	if (event->signaled)
		json_number("signaled", event->signaled, false);
	if (event->outcome >= 0)
		json_string("outcome", name_of_outcome(event->outcome), false);
	puts("}");
}

static void print_removal(const struct vfioext_event *event)
{
	const struct vfioext_removal *removal = &event->removal;

	printf(" removal %u (%s), %u handles, %u external users", removal->id,
	       name_of_origin(removal->origin), removal->handles, removal->external_users);
	if (event->extend_ms)
		printf(", by %.1f s", event->extend_ms / 1000.0);
	if (event->signaled)
		printf(", SIGBUS to %u processes", event->signaled);
	if (event->outcome >= 0)
		printf(", %s after %.3f s", name_of_outcome(event->outcome),
		       removal->elapsed_ms / 1000.0);
	else
		printf(", %.1f s left", removal->remaining_ms / 1000.0);
}

static void print_line(const struct vfioext_event *event)
{
	char when[64];

	time_of_day(when, sizeof(when));
	printf("%s %-17s", when, type_names[event->type]);
	if (event->type == VFIOEXT_EVENT_LOST) {
		if (event->lost)
			printf(" %u events", event->lost);
		puts(" lost; removals under way are read anew");
		return;
	}
	if (event->removal.device[0])
		printf(" %s", event->removal.device);
	printf(" group %u", event->removal.group);
	if (event->driver[0])
		printf(" %s", event->driver);
	if (is_removal(event))
		print_removal(event);
	putchar('\n');
}

static void on_event(const struct vfioext_event *event, void *data)
{
	struct monitor *monitor = data;

	if (event->type == VFIOEXT_EVENT_LOST)
		monitor->resync = true;
	if (monitor->json)
		print_json(event);
	else
		print_line(event);
}

/* Without the module none are under way; of any other error the next try may know nothing. */
static bool resync(struct monitor *monitor)
{
	int ret = vfioext_events_resync(monitor->events, monitor->ctx, on_event, monitor);

	monitor->resync = ret < 0 && ret != -EPROTONOSUPPORT;
	if (monitor->resync && !monitor->warned)
		fail(monitor->ctx, ret, "reading removals, which is tried again");
	monitor->warned = monitor->resync;
	return !monitor->resync;
}

/* What is there, then what was lost, until nothing is. */
static int dispatch(struct monitor *monitor)
{
	bool failed;
	int ret;

	do {
		failed = monitor->resync && !resync(monitor);
		ret = vfioext_events_dispatch(monitor->events, on_event, monitor);
		if (ret < 0) {
			error("reading events: %s", strerror(-ret));
			return EXIT_FAILED;
		}
	} while (monitor->resync && !failed);
	return EXIT_DONE;
}

static int watch(struct monitor *monitor)
{
	/* A pipe that nobody reads any more says so without being asked. */
	struct pollfd fds[3] = {
		{ .fd = vfioext_events_fd(monitor->events), .events = POLLIN },
		{ .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};
	int ret = EXIT_DONE;

	fds[1].fd = signals_catch();
	if (fds[1].fd < 0) {
		error("signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	do {
		ret = dispatch(monitor);
		if (!ret && (fflush(stdout) || output_lost()))
			ret = EXIT_FAILED;
	} while (!ret && (poll(fds, 3, monitor->resync ? RETRY_MS : -1) >= 0 || errno == EINTR) &&
		 !fds[1].revents);
	close(fds[1].fd);
	return ret;
}

static int monitor_events(struct monitor *monitor)
{
	int ret;

	monitor->ctx = open_context();
	if (!monitor->ctx)
		return EXIT_FAILED;
	ret = -EPROTONOSUPPORT;
	if (need_module(monitor->ctx))
		ret = vfioext_events_open(&monitor->events,
					  VFIOEXT_EVENTS_REMOVAL | VFIOEXT_EVENTS_GROUP, -1);
	if (ret == -EPROTONOSUPPORT)
		error("the module is not loaded, so there are no events; 'modprobe vfioext' loads it");
	else if (ret)
		error("subscribing: %s", strerror(-ret));
	if (ret) {
		vfioext_free(monitor->ctx);
		return EXIT_FAILED;
	}
	ret = watch(monitor);
	vfioext_events_close(monitor->events);
	vfioext_free(monitor->ctx);
	return ret;
}

int cmd_monitor(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, 'J' }, { "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct monitor monitor = { .resync = true };
	int option;

	while ((option = getopt_long(argc, argv, "Jh", long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(" -J, --json            print a JSON object for each event\n"
				    " -h, --help            print this\n");
		if (option != 'J')
			return usage_error(NULL);
		monitor.json = true;
	}
	if (optind < argc)
		return usage_error("'%s' is too much", argv[optind]);
	return monitor_events(&monitor);
}
