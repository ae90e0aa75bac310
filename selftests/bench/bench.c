// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measure, each beside what it is compared with in the same run, and print a
 * table of medians and ratios in Markdown. Runs in the VM.
 *
 *	bench [short]		to see that it is measured, not how long it takes
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/series.h"
#include "../lib/test.h"
#include "vfioext_consumer.h"

#define UNBINDS 150
#define PROCESSES 1000
#define FDS 100
#define GROUPS 64
#define MDEV_CREATE \
	"/sys/class/mdev_bus/vfioext_mdev/mdev_supported_types/vfioext_mdev-sparse/create"

static struct {
	bool is_short;
	int unbinds;
	int processes;
	int mdevs;
	int iterations;
} sizes = { false, UNBINDS, PROCESSES, 1000, 200000 };

static void bench_external_user(struct vfioext *ctx, const char *what, bool held)
{
	struct consumer_bench bench = { .iterations = (uint32_t)sizes.iterations };
	struct vfioext_device *device;
	struct series series;
	int consumer, holder, i;

	bind_device(EDU);
	consumer = open("/dev/vfioext_consumer", O_RDWR);
	holder = open("/dev/vfioext_consumer", O_RDWR);
	if (vfioext_device_open(ctx, EDU, BY_GROUP, &device))
		exit(1);
	bench.group_fd = vfioext_device_group_fd(device);
	if (held && ioctl(holder, CONSUMER_ATTACH, bench.group_fd) < 0)
		exit(1);
	for (i = 0; i < repetitions; i++) {
		if (ioctl(consumer, CONSUMER_BENCH, &bench))
			exit(1);
		series.ours[i] = (double)bench.external_user_ns / sizes.iterations;
		series.peers[i] = (double)bench.file_ns / sizes.iterations;
	}
	close(holder);
	close(consumer);
	vfioext_device_close(device);
	print_row(what, "fget + fput of the same file", "ns", &series);
}

static void make_groups(int nr)
{
	char uuid[64];
	int i;

	for (i = 0; i < nr; i++) {
		snprintf(uuid, sizeof(uuid), "83b8f4f2-509f-382f-3c1e-e6bfe0fa%04x", i + 0x2000);
		write_file(uuid, MDEV_CREATE);
	}
}

static double unbind_once(struct vfioext *ctx)
{
	double begun, took;

	bind_device(EDU);
	begun = now_us();
	if (vfioext_unbind(ctx, EDU))
		exit(1);
	took = now_us() - begun;
	return took;
}

static double unbind_many(struct vfioext *ctx)
{
	double times[UNBINDS];
	int i;

	for (i = 0; i < sizes.unbinds; i++)
		times[i] = unbind_once(ctx);
	qsort(times, (size_t)sizes.unbinds, sizeof(*times), compare);
	return times[sizes.unbinds / 2];
}

static void bench_unbind(struct vfioext *ctx)
{
	struct series series;
	int i;

	for (i = 0; i < repetitions; i++) {
		run("modprobe vfioext");
		series.ours[i] = unbind_many(ctx);
		run("rmmod vfioext");
		series.peers[i] = unbind_many(ctx);
	}
	run("modprobe vfioext && modprobe vfioext_consumer");
	print_row("unbind of an unheld device", "the same without the module", "us", &series);
}

struct listener {
	struct vfioext_device *device;
	struct vfioext_events *events;
	int eventfd;
	double event_at;
	double eventfd_at;
};

static void *wait_eventfd(void *data)
{
	struct listener *listener = data;
	uint64_t count;

	if (read(listener->eventfd, &count, sizeof(count)) != sizeof(count))
		exit(1);
	listener->eventfd_at = now_us();
	return NULL;
}

static void *wait_netlink(void *data)
{
	struct listener *listener = data;
	struct vfioext_event event;

	if (!wait_event(listener->events, EDU, VFIOEXT_EVENT_REMOVAL_REQUESTED, 5000, &event))
		exit(1);
	listener->event_at = now_us();
	return NULL;
}

/* From the write to sysfs to the two of them, at one and the same removal. */
static void notify_once(struct vfioext *ctx, double *event, double *eventfd_time)
{
	struct listener listener = { .eventfd = eventfd(0, 0) };
	pthread_t first, second;
	int start[2];
	double begun;
	pid_t child;

	bind_device(EDU);
	/* Before anything is opened: it would have it open as well, and wait for itself. */
	if (pipe(start))
		exit(1);
	child = fork();
	if (!child) {
		if (read(start[0], &begun, sizeof(begun)) != sizeof(begun) ||
		    vfioext_unbind(ctx, EDU))
			_exit(1);
		_exit(0);
	}
	if (vfioext_device_open(ctx, EDU, NULL, &listener.device) ||
	    vfioext_irq_set(listener.device, VFIOEXT_IRQ_REQUEST, 0, &listener.eventfd, 1) ||
	    vfioext_events_open(&listener.events, VFIOEXT_EVENTS_REMOVAL, -1))
		exit(1);
	pthread_create(&first, NULL, wait_eventfd, &listener);
	pthread_create(&second, NULL, wait_netlink, &listener);
	usleep(50000);
	begun = now_us();
	if (write(start[1], &begun, sizeof(begun)) != sizeof(begun))
		exit(1);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	vfioext_device_close(listener.device);
	vfioext_events_close(listener.events);
	close(listener.eventfd);
	waitpid(child, NULL, 0);
	close(start[0]);
	close(start[1]);
	*event = listener.event_at - begun;
	*eventfd_time = listener.eventfd_at - begun;
}

static void bench_notify(struct vfioext *ctx)
{
	struct series series;
	int i;

	for (i = 0; i < repetitions; i++)
		notify_once(ctx, &series.ours[i], &series.peers[i]);
	print_row("unbind until the event is read", "until the request eventfd is read", "us",
		  &series);
}

static void make_crowd(pid_t *pids)
{
	int i, j;

	for (i = 0; i < sizes.processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			exit(1);
		if (pids[i])
			continue;
		for (j = 0; j < FDS; j++)
			if (open("/dev/null", O_RDONLY) < 0)
				_exit(1);
		pause();
		_exit(0);
	}
	sleep(3);
}

/* All that it prints, and that what is looked for is in it. */
static double time_command(const char *command, const char *printed)
{
	double begun = now_us();

	/* What a host of tests need not have is no reason to measure nothing. */
	if (sizes.is_short && try_run("command -v %.*s > /dev/null", (int)strcspn(command, " "), command))
		return 1;
	if (try_run("%s 2>/dev/null | grep -w %s > /dev/null", command, printed)) {
		fprintf(stderr, "%s did not print %s\n", command, printed);
		exit(1);
	}
	return now_us() - begun;
}

static void bench_holders(struct vfioext *ctx)
{
	struct series fuser, lsof, tool_fuser;
	struct vfioext_device_info info;
	struct vfioext_holders holders;
	struct holder_process holder;
	static pid_t pids[PROCESSES];
	char command[64], pid[16];
	double begun;
	int i;

	bind_device(EDU);
	if (vfioext_find_device(ctx, EDU, &info))
		exit(1);
	make_crowd(pids);
	holder = holder_start(EDU, HOLDER_STUBBORN);
	snprintf(pid, sizeof(pid), "%d", holder.pid);
	for (i = 0; i < repetitions; i++) {
		begun = now_us();
		if (vfioext_device_holders(ctx, EDU, &holders) || holders.nr != 1 ||
		    holders.list[0].pid != holder.pid)
			exit(1);
		fuser.ours[i] = now_us() - begun;
		lsof.ours[i] = fuser.ours[i];
		vfioext_holders_release(&holders);
		tool_fuser.ours[i] = time_command("vfioext who " EDU, pid);
		snprintf(command, sizeof(command), "fuser /dev/vfio/%d", info.group);
		fuser.peers[i] = time_command(command, pid);
		tool_fuser.peers[i] = fuser.peers[i];
		snprintf(command, sizeof(command), "lsof -n /dev/vfio/%d", info.group);
		lsof.peers[i] = time_command(command, pid);
	}
	holder_kill(&holder);
	for (i = 0; i < sizes.processes; i++)
		kill(pids[i], SIGKILL);
	print_row("holders, 1,000 processes of 100 descriptors", "fuser", "us", &fuser);
	print_row("the same", "lsof", "us", &lsof);
	print_row("`vfioext who`, started anew", "fuser", "us", &tool_fuser);
}

static double time_scan(struct vfioext *ctx, size_t least)
{
	struct vfioext_device_list devices;
	double begun = now_us();

	if (vfioext_list_devices(ctx, &devices) || devices.nr < least)
		exit(1);
	vfioext_device_list_release(&devices);
	return now_us() - begun;
}

static void bench_scan(struct vfioext *ctx)
{
	struct series lspci, driverctl, mdevctl, tool;
	int i;

	run("modprobe vfio-pci");
	for (i = 0; i < repetitions; i++) {
		lspci.ours[i] = time_scan(ctx, 1);
		driverctl.ours[i] = lspci.ours[i];
		lspci.peers[i] = time_command("lspci -Dk", EDU);
		driverctl.peers[i] = time_command("driverctl list-devices", EDU);
	}
	print_row("devices of the VM", "`lspci -k`", "us", &lspci);
	print_row("the same", "`driverctl list-devices`", "us", &driverctl);
	run("modprobe vfioext_mdev instances=%d", sizes.mdevs);
	make_groups(sizes.mdevs);
	for (i = 0; i < repetitions; i++) {
		mdevctl.ours[i] = time_scan(ctx, (size_t)sizes.mdevs);
		tool.ours[i] = time_command("vfioext list", "83b8f4f2-509f-382f-3c1e-e6bfe0fa2001");
		mdevctl.peers[i] = time_command("mdevctl list", "83b8f4f2-509f-382f-3c1e-e6bfe0fa2001");
		tool.peers[i] = mdevctl.peers[i];
	}
	print_row("1,000 mdevs", "`mdevctl list`", "us", &mdevctl);
	print_row("`vfioext list`, started anew", "`mdevctl list`", "us", &tool);
	run("rmmod vfioext_mdev");
}

int main(int argc, char **argv)
{
	struct vfioext *ctx = test_context();

	if (argc > 1 && !strcmp(argv[1], "short")) {
		repetitions = 1;
		sizes = (typeof(sizes)){ true, 3, 20, 10, 1000 };
	}
	run("modprobe vfio-pci && modprobe vfioext && modprobe vfioext_consumer && modprobe vfioext_mdev instances=%d",
	    GROUPS);
	printf("| what | ours | beside | theirs | ratio, median (spread) |\n|---|---|---|---|---|\n");
	bench_external_user(ctx, "get + put of the first external user, 1 group", false);
	bench_external_user(ctx, "get + put of a further external user, 1 group", true);
	make_groups(GROUPS - 1);
	bench_external_user(ctx, "get + put of the first external user, 64 groups", false);
	bench_external_user(ctx, "get + put of a further external user, 64 groups", true);
	run("rmmod vfioext_mdev; rmmod vfioext_consumer");
	bench_scan(ctx);
	bench_unbind(ctx);
	bench_notify(ctx);
	bench_holders(ctx);
	vfioext_free(ctx);
	return 0;
}
