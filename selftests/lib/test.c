// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../libvfioext/kernel_abi.h"
#include "edu.h"
#include "test.h"

#define DIE(...) error_at_line(EXIT_FAILURE, errno, __FILE__, __LINE__, __VA_ARGS__)

static int vrun(const char *format, va_list args)
{
	char command[1024];

	vsnprintf(command, sizeof(command), format, args);
	return system(command);
}

int try_run(const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = vrun(format, args);
	va_end(args);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void run(const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = vrun(format, args);
	va_end(args);
	if (status)
		DIE("'%s' ended with %#x", format, status);
}

void write_file(const char *value, const char *format, ...)
{
	char path[256];
	va_list args;
	int fd;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		DIE("%s", path);
	close(fd);
}

int slowness(void)
{
	struct utsname name;

	return !uname(&name) && strstr(name.release, "-vfioext-") ? 5 : 1;
}

long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct vfioext *test_context(void)
{
	struct vfioext *ctx;

	if (vfioext_new(&ctx, NULL))
		DIE("vfioext_new");
	return ctx;
}

/* Whatever an earlier test left. */
void bind_device(const char *device)
{
	struct vfioext *ctx = test_context();
	int ret = vfioext_bind(ctx, device, NULL);

	if (ret && ret != -EALREADY)
		DIE("binding %s: %s", device, vfioext_message(ctx));
	vfioext_free(ctx);
}

void set_policy(struct vfioext *ctx, unsigned int timeout_ms, unsigned int grace_ms,
		unsigned int extend_max_ms, unsigned int action)
{
	struct vfioext_policy policy = {
		.has = VFIOEXT_POLICY_TIMEOUT | VFIOEXT_POLICY_GRACE | VFIOEXT_POLICY_EXTEND_MAX |
		       VFIOEXT_POLICY_ACTION,
		.timeout_ms = timeout_ms,
		/* A process takes its time to end, too. */
		.grace_ms = grace_ms * slowness(),
		.extend_max_ms = extend_max_ms,
		.action = action,
	};

	if (vfioext_policy_set(ctx, NULL, &policy))
		DIE("policy: %s", vfioext_message(ctx));
}

static void tell_ready(int ready)
{
	if (write(ready, "", 1) != 1)
		DIE("telling that it is ready");
}

static void pause_forever(void)
{
	for (;;)
		pause();
}

static void hold_until_event(struct vfioext_device *device, const char *name, int ready,
			     bool extend)
{
	struct vfioext *ctx = test_context();
	struct vfioext_events *events;
	struct vfioext_event event;
	uint32_t extend_ms;
	int i;

	if (vfioext_events_open(&events, VFIOEXT_EVENTS_REMOVAL, -1))
		DIE("subscribing");
	tell_ready(ready);
	wait_event(events, name, VFIOEXT_EVENT_REMOVAL_REQUESTED, 60000, &event);
	for (i = 0; extend && i < 5; i++) {
		extend_ms = 300;
		vfioext_removal_extend(ctx, event.removal.id, &extend_ms, NULL);
	}
	if (extend)
		pause_forever();
	vfioext_device_close(device);
	vfioext_events_close(events);
	vfioext_free(ctx);
}

static void hold_until_requested(struct vfioext_device *device, int ready)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t count;

	if (fd < 0 || vfioext_irq_set(device, VFIOEXT_IRQ_REQUEST, 0, &fd, 1))
		DIE("request eventfd");
	tell_ready(ready);
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		DIE("reading the request eventfd");
	vfioext_device_close(device);
}

void *map_bar(struct vfioext_device *device, unsigned int bar, size_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };
	void *mapped;

	if (ioctl(vfioext_device_fd(device), VFIO_DEVICE_GET_REGION_INFO, &info) || !info.size ||
	    !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return NULL;
	mapped = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      vfioext_device_fd(device), (off_t)info.offset);
	*size = info.size;
	return mapped == MAP_FAILED ? NULL : mapped;
}

/* The parent maps and goes; the child has the mapping, and no descriptor. */
static void hold_by_mapping(struct vfioext_device *device, int ready)
{
	size_t size;
	void *bar = map_bar(device, 0, &size);

	if (!bar)
		DIE("mapping BAR 0");
	if (fork()) {
		vfioext_device_close(device);
		munmap(bar, size);
		pause_forever();
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vfioext_device_close(device);
	tell_ready(ready);
	pause_forever();
}

struct thread_data {
	const char *name;
	int ready;
};

static void *hold_in_thread(void *data)
{
	const struct thread_data *thread = data;
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;

	if (unshare(CLONE_FILES) || vfioext_device_open(ctx, thread->name, NULL, &device))
		DIE("in a thread: %s", vfioext_message(ctx));
	tell_ready(thread->ready);
	pause_forever();
	return NULL;
}

/* The first thread ends; the process lives on in the other. */
static void hold_by_thread(const char *name, int ready)
{
	static struct thread_data data;
	pthread_t thread;

	data = (struct thread_data){ .name = name, .ready = ready };
	if (pthread_create(&thread, NULL, hold_in_thread, &data))
		DIE("a thread");
	pthread_exit(NULL);
}

static void on_sigbus(int signal)
{
	(void)signal;
}

struct hold_data {
	const char *name;
	enum holder_kind kind;
};

static void hold(const void *data, int ready)
{
	const struct hold_data *hold = data;
	enum holder_kind kind = hold->kind;
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;
	const char *name = hold->name;

	if (kind == HOLDER_NAMESPACES && unshare(CLONE_NEWNET | CLONE_NEWPID))
		DIE("unshare");
	/* Not the namespace's first process: the kernel spares that one SIGBUS. */
	if (kind == HOLDER_NAMESPACES && (fork() || fork()))
		pause_forever();
	if (kind == HOLDER_THREAD)
		hold_by_thread(name, ready);
	if (vfioext_device_open(ctx, name, NULL, &device))
		DIE("%s: %s", name, vfioext_message(ctx));

	switch (kind) {
	case HOLDER_CATCHER:
		signal(SIGBUS, on_sigbus);
		tell_ready(ready);
		pause();
		signal(SIGBUS, SIG_DFL);
		pause_forever();
		break;
	case HOLDER_EVENT:
	case HOLDER_EXTENDER:
		hold_until_event(device, name, ready, kind == HOLDER_EXTENDER);
		break;
	case HOLDER_REQUEST:
		hold_until_requested(device, ready);
		break;
	case HOLDER_MAPPING:
		hold_by_mapping(device, ready);
		break;
	default:
		tell_ready(ready);
		pause_forever();
	}
	/* It let go; what it does from here on is its own affair. */
	pause_forever();
}

struct holder_process holder_run(void (*fn)(const void *data, int ready), const void *data)
{
	struct holder_process holder;
	struct pollfd ready;
	int pipes[2];
	char byte;

	if (pipe2(pipes, O_CLOEXEC))
		DIE("pipe");
	holder.pid = fork();
	if (!holder.pid) {
		close(pipes[0]);
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(data, pipes[1]);
		_exit(EXIT_FAILURE);
	}
	close(pipes[1]);
	ready = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	if (poll(&ready, 1, 10000 * slowness()) != 1 || read(pipes[0], &byte, 1) != 1)
		DIE("the holder is not ready");
	close(pipes[0]);
	return holder;
}

struct holder_process holder_start(const char *device, enum holder_kind kind)
{
	struct hold_data data = { .name = device, .kind = kind };

	return holder_run(hold, &data);
}

int open_device_file(const char *device)
{
	char path[300];
	struct dirent *entry;
	int fd = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", device);
	dir = opendir(path);
	while (dir && fd < 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
		if (entry->d_name[0] != '.')
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

int bind_iommufd(int device_file)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	return ioctl(device_file, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

void load_kvm(void)
{
	int kvm, machine;

#if defined(__powerpc64__)
	run("modprobe kvm-hv");
#elif defined(__x86_64__)
	run("modprobe kvm-amd");
#endif
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	machine = ioctl(kvm, KVM_CREATE_VM, 0);
	if (machine < 0)
		DIE("KVM makes no virtual machine");
	if (!fork())
		for (;;)
			pause();
	close(machine);
	close(kvm);
}

/* KVM_DEV_VFIO_FILE_ADD, by the names that 6.1 has for it. */
int give_to_kvm(int file)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr add = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = KVM_DEV_VFIO_GROUP_ADD,
		.addr = (uintptr_t)&file,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int machine = ioctl(kvm, KVM_CREATE_VM, 0);

	if (machine < 0 || ioctl(machine, KVM_CREATE_DEVICE, &device))
		return -1;
	return ioctl((int)device.fd, KVM_SET_DEVICE_ATTR, &add);
}

/* edu's registers */
#define PAGE 4096
#define REG_DMA_SOURCE 0x80
#define REG_DMA_TARGET 0x88
#define REG_DMA_COUNT 0x90
#define REG_DMA_COMMAND 0x98
#define DEVICE_BUFFER 0x40000

/* Move half a page. Return: it is done. */
static bool edu_copy(struct vfioext_device *device, uint64_t from, uint64_t to)
{
	struct vfioext_region *bar;
	int i;

	if (vfioext_region_get(device, 0, &bar) || vfioext_region_map(bar) ||
	    vfioext_device_set_master(device, true))
		return false;
	edu_write64(bar, REG_DMA_SOURCE, from);
	edu_write64(bar, REG_DMA_TARGET, to);
	edu_write64(bar, REG_DMA_COUNT, PAGE / 2);
	edu_write64(bar, REG_DMA_COMMAND, 1 | (from == DEVICE_BUFFER ? 2 : 0));
	for (i = 0; i < 3000 * slowness() && edu_read64(bar, REG_DMA_COMMAND) & 1; i++)
		usleep(1000);
	return !(edu_read64(bar, REG_DMA_COMMAND) & 1);
}

bool edu_sees(struct vfioext_device *edu, uint8_t *page, uint64_t iova, uint8_t value)
{
	memset(page, value, PAGE / 2);
	memset(page + PAGE / 2, 0, PAGE / 2);
	return edu_copy(edu, iova, DEVICE_BUFFER) &&
	       edu_copy(edu, DEVICE_BUFFER, iova + PAGE / 2) &&
	       page[PAGE / 2] == value && page[PAGE - 1] == value;
}

/* Return: the signal that ended the process, 0 if it exited, -1 if it lives on. */
int holder_wait(struct holder_process *holder, int timeout_ms)
{
	long deadline = now_ms() + timeout_ms * slowness();
	int status;

	do {
		if (waitpid(holder->pid, &status, WNOHANG) == holder->pid) {
			holder->pid = 0;
			return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		}
		usleep(2000);
	} while (now_ms() < deadline);
	return -1;
}

void holder_kill(struct holder_process *holder)
{
	if (!holder->pid)
		return;
	kill(-holder->pid, SIGKILL);
	waitpid(holder->pid, NULL, 0);
	holder->pid = 0;
	/* Its descriptors close on its way out, some a little later. */
	usleep(50000);
}

pid_t unbind_start(const char *device)
{
	struct vfioext *ctx;
	pid_t pid = fork();

	if (pid)
		return pid;
	ctx = test_context();
	_exit(vfioext_unbind(ctx, device) ? EXIT_FAILURE : EXIT_SUCCESS);
}

bool unbind_wait(pid_t pid, int timeout_ms)
{
	long deadline = now_ms() + timeout_ms * slowness();
	int status;

	do {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) && !WEXITSTATUS(status);
		usleep(2000);
	} while (now_ms() < deadline);
	return false;
}

#define QMP "/dev/virtio-ports/vfioext.qmp"

bool qmp(const char *command, const char *word)
{
	char answer[4096] = "";
	struct pollfd fd = { .fd = open(QMP, O_RDWR), .events = POLLIN };
	long deadline = now_ms() + 5000;
	size_t at = 0;
	ssize_t len;

	if (fd.fd < 0)
		return false;
	if (write(fd.fd, command, strlen(command)) < 0)
		return false;
	while (!strstr(answer, word) && now_ms() < deadline && at < sizeof(answer) - 1) {
		if (poll(&fd, 1, 100) <= 0)
			continue;
		len = read(fd.fd, answer + at, sizeof(answer) - 1 - at);
		if (len > 0)
			at += (size_t)len;
		answer[at] = '\0';
	}
	close(fd.fd);
	return strstr(answer, word);
}

/* Events that came while another was waited for. */
static struct vfioext_event queue[512];
static size_t queued;

static void enqueue(const struct vfioext_event *event, void *data)
{
	(void)data;
	if (queued == sizeof(queue) / sizeof(queue[0]))
		DIE("nobody waits for these events");
	queue[queued++] = *event;
}

/* The first that fits, without what lies before it. */
static bool dequeue(const char *device, enum vfioext_event_type type, struct vfioext_event *event)
{
	size_t i;

	for (i = 0; i < queued; i++) {
		if (queue[i].type != type ||
		    (device && strcmp(queue[i].removal.device, device)))
			continue;
		*event = queue[i];
		queued -= i + 1;
		memmove(queue, queue + i + 1, queued * sizeof(queue[0]));
		return true;
	}
	return false;
}

bool wait_event(struct vfioext_events *events, const char *device, enum vfioext_event_type type,
		int timeout_ms, struct vfioext_event *event)
{
	struct pollfd fd = { .fd = vfioext_events_fd(events), .events = POLLIN };
	long deadline = now_ms() + timeout_ms * slowness();

	while (!dequeue(device, type, event)) {
		if (now_ms() >= deadline)
			return false;
		if (poll(&fd, 1, 20) > 0 && vfioext_events_dispatch(events, enqueue, NULL) < 0)
			DIE("events");
	}
	return true;
}
