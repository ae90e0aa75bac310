// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fail each allocation in turn, of every command, exported call and ioctl, of
 * loading and unloading, and of a removal: a clear error, nothing half done, and
 * nothing kept. After iommufd's own test of this kind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"
#include "vfioext_consumer.h"

#define POINTS_MAX 5000

FIXTURE(faults) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_device_info info;
	int consumer;
	int fail_nth;
	void *page;
	uint32_t id;
};

FIXTURE_SETUP(faults)
{
	memset(self, 0, sizeof(*self));
	run("modprobe vfioext_consumer");
	bind_device(EDU);
	self->ctx = test_context();
	set_policy(self->ctx, 20000, 500, 1000000, VFIOEXT_ACTION_NOTIFY);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, EDU, &self->info));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, BY_GROUP, &self->device));
	self->consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->consumer);
	self->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	write_file("N", "/sys/kernel/debug/failslab/ignore-gfp-wait");
	self->fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fail_nth);
}

FIXTURE_TEARDOWN(faults)
{
	close(self->fail_nth);
	close(self->consumer);
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	munmap(self->page, 4096);
}

/* An option of all that can be made to fail. */
static void set_faults(const char *option, const char *value)
{
	write_file(value, "/sys/kernel/debug/failslab/%s", option);
	write_file(value, "/sys/kernel/debug/fail_page_alloc/%s", option);
	write_file(value, "/sys/kernel/debug/fail_usercopy/%s", option);
}

#define DATA struct _test_data_faults

static void arm(DATA *self, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	/* The point may lie in this very write. */
	while (pwrite(self->fail_nth, text, (size_t)len, 0) != len)
		;
}

/* Return: false if the chain had no such point; it may lie in this very read. */
static bool disarm(DATA *self)
{
	char text[16] = "";
	bool read = pread(self->fail_nth, text, sizeof(text) - 1, 0) > 0;

	arm(self, 0);
	return read && atoi(text) == 0;
}

static bool is_clear(int error)
{
	switch (error) {
	case 0:
	case -ENOMEM:
	case -ENOBUFS:
	case -EMSGSIZE:
	case -ENOSPC:
	case -EAGAIN:
	case -EFAULT:
	case -ENFILE:
		return true;
	default:
		return false;
	}
}

/* Nobody holds the device but the test, and nothing is under way. */
static bool is_clean(DATA *self)
{
	struct vfioext_removals removals = { 0 };
	struct vfioext_group group;
	uint32_t handles;
	bool clean;

	clean = !vfioext_removals_get(self->ctx, &removals) && !removals.nr &&
		!vfioext_group_get(self->ctx, self->info.group, &group) &&
		!group.external_users &&
		!vfioext_device_handles(self->ctx, EDU, &handles) && handles <= 1;
	vfioext_removals_release(&removals);
	return clean;
}

/* A chain does its work and leaves nothing when it fails; the undo goes unharmed. */
static unsigned int sweep(struct __test_metadata *_metadata, DATA *self,
			  int (*chain)(DATA *self), void (*undo)(DATA *self))
{
	unsigned int n;
	bool failed;
	int ret;

	/* What is allocated once is not to be counted. */
	EXPECT_EQ(0, chain(self));
	if (undo)
		undo(self);
	for (n = 1; n < POINTS_MAX; n++) {
		arm(self, n);
		ret = chain(self);
		failed = disarm(self);
		EXPECT_TRUE(is_clear(ret)) {
			TH_LOG("point %u: error %d", n, ret);
		}
		if (undo && !ret)
			undo(self);
		EXPECT_TRUE(is_clean(self)) {
			TH_LOG("after point %u, error %d", n, ret);
		}
		if (!failed) {
			EXPECT_EQ(0, ret);
			break;
		}
	}
	EXPECT_GT(POINTS_MAX, n);
	TH_LOG("%u points", n - 1);
	return n - 1;
}

static int get_group(DATA *self)
{
	struct vfioext_group group;

	return vfioext_group_get(self->ctx, self->info.group, &group);
}

static int get_device(DATA *self)
{
	uint32_t handles;

	return vfioext_device_handles(self->ctx, EDU, &handles);
}

static int get_holders(DATA *self)
{
	struct vfioext_holders holders;
	int ret = vfioext_device_holders(self->ctx, EDU, &holders);

	if (!ret)
		vfioext_holders_release(&holders);
	return ret;
}

static int get_removals(DATA *self)
{
	struct vfioext_removals removals;
	int ret = vfioext_removals_get(self->ctx, &removals);

	if (!ret)
		vfioext_removals_release(&removals);
	return ret;
}

static int policies(DATA *self)
{
	struct vfioext_policy policy;
	int ret = vfioext_policy_get(self->ctx, EDU, &policy);

	return ret ? ret : vfioext_policy_set(self->ctx, EDU, &policy);
}

/*
 * Begun but not told of, a removal could not be called off. If the answer came, and
 * it was our memory that could not take it, the removal is there to be found.
 */
static int start_removal(DATA *self)
{
	struct vfioext_removals removals;
	int ret = vfioext_removal_start(self->ctx, EDU, NULL, &self->id);

	if (ret == -EFAULT && !vfioext_removals_get(self->ctx, &removals)) {
		if (removals.nr)
			vfioext_removal_cancel(self->ctx, removals.list[0].id);
		vfioext_removals_release(&removals);
	}
	return ret;
}

static void cancel_removal(DATA *self)
{
	vfioext_removal_cancel(self->ctx, self->id);
}

static int extend_removal(DATA *self)
{
	uint32_t extend_ms = 1;
	int ret, cancelled;

	ret = start_removal(self);
	if (ret)
		return ret;
	ret = vfioext_removal_extend(self->ctx, self->id, &extend_ms, NULL);
	cancelled = vfioext_removal_cancel(self->ctx, self->id);
	if (cancelled)
		cancelled = vfioext_removal_cancel(self->ctx, self->id);
	/* Done at the first try, though the word of it was lost. */
	return ret ? ret : cancelled == -ENOENT ? 0 : cancelled;
}

static int subscribe(DATA *self)
{
	struct vfioext_events *events;
	int ret = vfioext_events_open(&events, VFIOEXT_EVENTS_REMOVAL, -1);

	(void)self;
	if (!ret)
		vfioext_events_close(events);
	return ret;
}

static int attach(DATA *self)
{
	return ioctl(self->consumer, CONSUMER_ATTACH, vfioext_device_group_fd(self->device)) < 0 ?
	       -errno : 0;
}

static int attach_device(DATA *self)
{
	char name[64] = EDU;

	return ioctl(self->consumer, CONSUMER_ATTACH_DEVICE, name) < 0 ? -errno : 0;
}

static void detach(DATA *self)
{
	ioctl(self->consumer, CONSUMER_DETACH);
}

static int attach_and_map(DATA *self)
{
	struct consumer_map map = {
		.vaddr = (uintptr_t)self->page, .iova = 0x100000, .size = 4096,
		.flags = CONSUMER_MAP_READ | CONSUMER_MAP_WRITE,
	};
	int ret = attach(self);

	if (!ret && ioctl(self->consumer, CONSUMER_MAP, &map)) {
		ret = -errno;
		detach(self);
	}
	return ret;
}

TEST_F_TIMEOUT(faults, group_get, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, get_group, NULL));
}

TEST_F_TIMEOUT(faults, device_get, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, get_device, NULL));
}

TEST_F_TIMEOUT(faults, holder_get, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, get_holders, NULL));
}

TEST_F_TIMEOUT(faults, removal_get, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, get_removals, NULL));
}

TEST_F_TIMEOUT(faults, policy, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, policies, NULL));
}

TEST_F_TIMEOUT(faults, removal_start, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, start_removal, cancel_removal));
}

TEST_F_TIMEOUT(faults, removal_extend, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, extend_removal, NULL));
}

TEST_F_TIMEOUT(faults, events, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, subscribe, NULL));
}

/* A hot path: it allocates nothing. */
TEST_F_TIMEOUT(faults, external_user, 600)
{
	EXPECT_EQ(0, sweep(_metadata, self, attach, detach));
}

TEST_F_TIMEOUT(faults, external_user_from_dev, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, attach_device, detach));
}

TEST_F_TIMEOUT(faults, consumer_map, 600)
{
	EXPECT_LT(0, sweep(_metadata, self, attach_and_map, detach));
}


/* The removal path: whatever fails of ours, the driver is unbound. */
static int unbind(DATA *self)
{
	int fd = open("/sys/bus/pci/drivers/vfio-pci/unbind", O_WRONLY | O_CLOEXEC), ret;

	(void)self;
	if (fd < 0)
		return -errno;
	ret = write(fd, EDU, strlen(EDU)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static void rebind(DATA *self)
{
	(void)self;
	bind_device(EDU);
}

TEST_F_TIMEOUT(faults, unbind, 600)
{
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_LT(0, sweep(_metadata, self, unbind, rebind));
}

static int module_file(void)
{
	struct utsname name;
	char path[300];

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/updates/vfioext.ko", name.release);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Where a function of the kernel begins, and where the next one does. */
static bool find_function(const char *function, char *start, char *end)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[256], name[200];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%16s %*c %199s", start + 2, name) == 2 &&
			!strcmp(name, function);
	found = found && fgets(line, sizeof(line), file) && sscanf(line, "%16s", end + 2) == 1;
	if (file)
		fclose(file);
	return found;
}

/*
 * Only what a module asks for is to fail: the loader's own is not ours to test, and
 * no module lies below this address. Nor the buffers of a file's read, of which
 * there are a thousand alike.
 */
static void fail_modules_only(bool only)
{
	char start[32] = "0x", end[32] = "0x";

	if (only && !find_function("__kernel_read", start, end))
		run("false");
	set_faults("require-start", only ? "0xffffffffa0000000" : "0");
	set_faults("reject-start", only ? start : "0");
	set_faults("reject-end", only ? end : "0");
}

/* Loading, with a device there to be found, and unloading. */
TEST_F_TIMEOUT(faults, load_and_unload, 600)
{
	int file = module_file(), ret;
	unsigned int n;
	bool failed = true;

	close(self->consumer);
	self->consumer = -1;
	ASSERT_LE(0, file);
	fail_modules_only(true);
	run("rmmod vfioext_consumer && rmmod vfioext");
	for (n = 1; n < POINTS_MAX && failed; n++) {
		arm(self, n);
		ret = syscall(SYS_finit_module, file, "", 0) ? -errno : 0;
		if (!ret)
			ret = syscall(SYS_delete_module, "vfioext", O_NONBLOCK) ? -errno : 0;
		failed = disarm(self);
		/* The driver core's word for no memory, when it links a module. */
		EXPECT_TRUE(is_clear(ret) || ret == -EINVAL) {
			TH_LOG("point %u: error %d", n, ret);
		}
		EXPECT_NE(0, access("/sys/module/vfioext", F_OK)) {
			run("rmmod vfioext");
		}
	}
	EXPECT_EQ(0, ret);
	EXPECT_LT(10, n);
	TH_LOG("%u points", n - 2);
	fail_modules_only(false);
	close(file);
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfioext && modprobe vfioext_consumer");
	/* Each failure with its stack would hide what the kernel has to complain of. */
	set_faults("verbose", "0");
	return test_harness_run(argc, argv);
}
