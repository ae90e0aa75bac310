// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress [SECONDS [SEED]]: everything at once, at random, in rounds; after each
 * round nothing may be left of it. The seed is printed; what a worker does
 * follows from it, how the workers interleave does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/test.h"
#include "vfioext_consumer.h"

#define ROUND_MS 5000
#define DRAIN_MS 30000
#define LEAK_KB (32 << 10)
#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa300"
#define MDEV_TYPE "/sys/class/mdev_bus/vfioext_mdev/mdev_supported_types/vfioext_mdev-sparse"

static const char *const pci_devices[] = { EDU, PAIR, PAIR2, "0000:02:00.0" };
static const char *const mdevs[] = { UUID "1", UUID "2", UUID "3" };

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static __thread unsigned int seed;
static bool failed;

__attribute__((format(printf, 1, 2)))
static void complain(const char *format, ...)
{
	va_list args;

	failed = true;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static unsigned int pick(unsigned int nr)
{
	return (unsigned int)rand_r(&seed) % nr;
}

static const char *any_device(void)
{
	unsigned int i = pick(NR(pci_devices) + NR(mdevs));

	return i < NR(pci_devices) ? pci_devices[i] : mdevs[i - NR(pci_devices)];
}

static void a_while(void)
{
	usleep(pick(50000));
}

/* A file descriptor that is in flight, and is never received. */
static void send_away(int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { "", 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)CMSG_DATA(cmsg) = fd;
	sendmsg(sockets[0], &message, 0);
	a_while();
	close(sockets[0]);
	close(sockets[1]);
}

static void work_open(struct vfioext *ctx)
{
	struct vfioext_device *device;
	size_t size;
	void *bar;

	if (vfioext_device_open(ctx, any_device(), pick(2) ? BY_GROUP : NULL, &device))
		return;
	switch (pick(6)) {
	case 0:
		bar = map_bar(device, pick(6), &size);
		if (bar && pick(2))
			munmap(bar, size);
		break;
	case 1:
		if (!fork()) {
			a_while();
			_exit(0);
		}
		break;
	case 2:
		send_away(vfioext_device_fd(device));
		break;
	case 3:
		give_to_kvm(vfioext_device_group_fd(device));
		vfioext_device_close(device);
		a_while();
		_exit(0);
	case 4:
		_exit(0);
	}
	a_while();
	vfioext_device_close(device);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void *open_in_thread(void *data)
{
	struct vfioext *ctx = test_context();

	seed = *(unsigned int *)data;
	work_open(ctx);
	vfioext_free(ctx);
	return NULL;
}

/* Several at once in one process, whose descriptors they share. */
static void work_threads(struct vfioext *ctx)
{
	unsigned int seeds[4];
	pthread_t threads[NR(seeds)];
	size_t i, nr = 0;

	(void)ctx;
	for (i = 0; i < NR(seeds); i++) {
		seeds[i] = pick(1 << 30);
		nr += !pthread_create(&threads[nr], NULL, open_in_thread, &seeds[i]);
	}
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
}

static void work_bind(struct vfioext *ctx)
{
	const char *device = pci_devices[pick(NR(pci_devices))];

	if (pick(2))
		vfioext_unbind(ctx, device);
	else
		vfioext_bind(ctx, device, NULL);
}

static void work_mdev(struct vfioext *ctx)
{
	const char *uuid = mdevs[pick(NR(mdevs))];

	(void)ctx;
	if (pick(2))
		try_run("echo %s 2>/dev/null > " MDEV_TYPE "/create", uuid);
	else
		try_run("echo 1 2>/dev/null > /sys/bus/mdev/devices/%s/remove", uuid);
}

static void work_consumer(struct vfioext *ctx)
{
	struct consumer_map map = {
		.iova = 0x100000 * (1 + pick(4)), .size = 4096,
		.flags = CONSUMER_MAP_READ | CONSUMER_MAP_WRITE,
	};
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	struct vfioext_device *device = NULL;
	char name[64] = "";

	map.vaddr = (uintptr_t)page;
	strncat(name, any_device(), sizeof(name) - 1);
	if (!vfioext_device_open(ctx, any_device(), BY_GROUP, &device) && pick(2))
		ioctl(consumer, CONSUMER_ATTACH, vfioext_device_group_fd(device));
	else
		ioctl(consumer, CONSUMER_ATTACH_DEVICE, name);
	ioctl(consumer, CONSUMER_REFUSE, pick(2));
	ioctl(consumer, CONSUMER_MAP, &map);
	if (pick(2))
		vfioext_device_close(device);
	else if (device)
		send_away(vfioext_device_group_fd(device));
	a_while();
	if (pick(2))
		ioctl(consumer, CONSUMER_UNMAP, &map);
	if (pick(2))
		ioctl(consumer, CONSUMER_DETACH);
	close(consumer);
	munmap(page, 4096);
	/* What is left open goes with the process. */
	_exit(0);
}

static void work_ask(struct vfioext *ctx)
{
	struct vfioext_policy how = {
		.has = VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_ACTION,
		.timeout_ms = pick(300),
		.action = pick(2),
	};
	uint32_t id, extend_ms = pick(100);

	if (vfioext_removal_start(ctx, any_device(), &how, &id))
		return;
	if (pick(2))
		vfioext_removal_extend(ctx, id, &extend_ms, NULL);
	a_while();
	if (pick(2))
		vfioext_removal_cancel(ctx, id);
}

static void work_policy(struct vfioext *ctx)
{
	struct vfioext_policy policy = {
		.has = pick(16),
		.timeout_ms = pick(300),
		.grace_ms = pick(100),
		.extend_max_ms = pick(200),
		.action = pick(2),
	};

	vfioext_policy_set(ctx, pick(2) ? any_device() : NULL, &policy);
	a_while();
}

static void ignore_event(const struct vfioext_event *event, void *data)
{
	(void)event;
	(void)data;
}

static void work_subscribe(struct vfioext *ctx)
{
	struct vfioext_events *events;
	unsigned int i;

	if (vfioext_events_open(&events, 1 + pick(3), -1))
		return;
	if (pick(2))
		vfioext_events_set_buffer(events, 4096);
	for (i = pick(10); i; i--) {
		a_while();
		vfioext_events_dispatch(events, ignore_event, NULL);
		vfioext_events_resync(events, ctx, ignore_event, NULL);
	}
	vfioext_events_close(events);
}

static void work_look(struct vfioext *ctx)
{
	struct vfioext_holders holders;
	struct vfioext_group group;

	if (!vfioext_device_holders(ctx, any_device(), &holders))
		vfioext_holders_release(&holders);
	if (!vfioext_group_holders(ctx, pick(20), &holders))
		vfioext_holders_release(&holders);
	vfioext_group_get(ctx, pick(20), &group);
}

static void work_module(struct vfioext *ctx)
{
	(void)ctx;
	sleep(1);
	try_run("rmmod vfioext_consumer 2>/dev/null");
	try_run("rmmod vfioext 2>/dev/null");
	try_run("modprobe vfioext_consumer 2>/dev/null");
}

static void (*const works[])(struct vfioext *ctx) = {
	work_open, work_open, work_open, work_threads, work_threads, work_bind, work_bind, work_mdev,
	work_consumer, work_consumer, work_ask, work_ask, work_policy, work_subscribe,
	work_look, work_module,
};

static pid_t start_worker(size_t nr, unsigned int round)
{
	pid_t pid = fork();
	struct vfioext *ctx;

	/* In both, so that the group is there whoever comes first. */
	setpgid(pid, pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed += 1000 * round + nr;
	ctx = test_context();
	for (;;)
		works[nr](ctx);
}

/* Workers die all the time, by SIGBUS and on purpose. */
static void run_round(unsigned int round)
{
	long deadline = now_ms() + ROUND_MS;
	pid_t pids[NR(works)], pid;
	unsigned int restarts = 0;
	size_t i;

	for (i = 0; i < NR(works); i++)
		pids[i] = start_worker(i, round);
	while (now_ms() < deadline) {
		pid = waitpid(-1, NULL, WNOHANG);
		for (i = 0; i < NR(works); i++)
			if (pid > 0 && pids[i] == pid)
				pids[i] = start_worker(i, round + 100 * ++restarts);
		if (pid <= 0)
			usleep(2000);
	}
	for (i = 0; i < NR(works); i++)
		kill(-pids[i], SIGKILL);
	deadline = now_ms() + DRAIN_MS * slowness();
	for (i = 0; i < NR(works); i++) {
		while (!(pid = waitpid(pids[i], NULL, WNOHANG)) && now_ms() < deadline)
			usleep(2000);
		if (!pid)
			complain("worker %zu does not end", i);
	}
}

static int module_references(const char *module)
{
	char path[128];
	FILE *file;
	int nr = -1;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module);
	file = fopen(path, "r");
	if (file && fscanf(file, "%d", &nr) != 1)
		nr = -1;
	if (file)
		fclose(file);
	return nr;
}

static void check_device(struct vfioext *ctx, const char *device)
{
	struct vfioext_device_info info;
	struct vfioext_holders holders;
	struct vfioext_group group;

	if (vfioext_find_device(ctx, device, &info) || !info.vfio)
		return;
	if (vfioext_device_holders(ctx, device, &holders)) {
		complain("%s: %s", device, vfioext_message(ctx));
		return;
	}
	if (holders.nr || holders.unaccounted)
		complain("%s has %zu holders, %u handles unaccounted for", device, holders.nr,
			 holders.unaccounted);
	vfioext_holders_release(&holders);
	if (vfioext_group_get(ctx, info.group, &group) || group.external_users)
		complain("group %d has %u external users", info.group, group.external_users);
}

/* Files are closed a little later than their processes are reaped. */
static void wait_until_quiet(struct vfioext *ctx)
{
	long deadline = now_ms() + 5000 * slowness();
	struct vfioext_removals removals = { 0 };
	size_t nr = 1;

	while (nr && now_ms() < deadline) {
		usleep(100000);
		if (vfioext_removals_get(ctx, &removals))
			continue;
		nr = removals.nr;
		vfioext_removals_release(&removals);
	}
	if (nr)
		complain("%zu removals do not end", nr);
}

static void check(void)
{
	struct vfioext *ctx;
	size_t i;

	run("modprobe vfioext_consumer");
	ctx = test_context();
	wait_until_quiet(ctx);
	for (i = 0; i < NR(pci_devices); i++)
		check_device(ctx, pci_devices[i]);
	for (i = 0; i < NR(mdevs); i++)
		check_device(ctx, mdevs[i]);
	vfioext_free(ctx);

	if (try_run("rmmod vfioext_consumer"))
		complain("the consumer stays");
	if (module_references("vfioext"))
		complain("vfioext has %d references", module_references("vfioext"));
	if (module_references("vfio_pci"))
		complain("vfio_pci has %d references", module_references("vfio_pci"));
	if (try_run("rmmod vfioext"))
		complain("vfioext stays");
	for (i = 0; i < NR(pci_devices); i++)
		bind_device(pci_devices[i]);
	run("modprobe vfioext_consumer");
}

static long unreclaimable_kb(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kb = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

/* A round, or what comes after it, that takes so long does not end. */
#define STUCK_MS 120000

/*
 * Where all tasks sleep is told when the main process does not go on, which would tell
 * nobody anything. Return: the count that it is to raise.
 */
static atomic_uint *watch_over(void)
{
	atomic_uint *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t watched = getpid();
	unsigned int last = 0;
	long since = now_ms();

	if (progress == MAP_FAILED)
		abort();
	if (fork())
		return progress;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (now_ms() - since < STUCK_MS * slowness()) {
		sleep(1);
		if (*progress != last)
			since = now_ms();
		last = *progress;
	}
	complain("nothing goes on; where tasks sleep:");
	run("for t in /proc/[0-9]*/task/*; do c=$(tr '\\0' ' ' < $t/cmdline); [ -z \"$c\" ] || { echo \"# $t $c\"; sed 's/^/#   /' $t/stack; }; done");
	printf("not ok 1 stress\n");
	kill(watched, SIGKILL);
	_exit(1);
}

int main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 120;
	long deadline = now_ms() + seconds * 1000, memory = 0;
	unsigned int rounds = 0;
	atomic_uint *progress;

	setlinebuf(stdout);
	seed = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : (unsigned int)time(NULL);
	printf("TAP version 13\n1..1\n# seed %u\n", seed);
	load_kvm();
	run("modprobe vfio-pci && modprobe vfio_iommu_type1 && modprobe vfioext_mdev && modprobe vfioext_consumer");
	progress = watch_over();
	while (now_ms() < deadline && !failed) {
		run_round(rounds++);
		++*progress;
		check();
		++*progress;
		/* What is allocated once is by now. */
		if (rounds == 2)
			memory = unreclaimable_kb();
	}
	if (memory && unreclaimable_kb() - memory > LEAK_KB)
		complain("%ld KiB of kernel memory more than after the second round",
			 unreclaimable_kb() - memory);
	printf("%s 1 stress, %u rounds\n", failed ? "not ok" : "ok", rounds);
	return failed;
}
