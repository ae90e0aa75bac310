// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers that are not vfio-pci: vfioext_odd's, each of which a module that keeps a device for
 * too long would bring to a halt, or down.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

#define WAITS "vfioext-odd.0"
#define NOTIFIED "vfioext-odd.1"
#define LATE "vfioext-odd.2"
#define SLOW "vfioext-odd.3"
#define DRIVER "/sys/bus/platform/drivers/vfioext-odd"
#define PARAMETERS "/sys/module/vfioext_odd/parameters"

/* A device that is open the way of a program without any library. */
struct handle {
	int container;
	int group;
	int device;
};

FIXTURE(drivers) {
	struct vfioext *ctx;
	struct vfioext_events *events;
	struct vfioext_event event;
	struct handle handle;
};

FIXTURE_SETUP(drivers)
{
	run("modprobe vfioext_odd");
	self->ctx = test_context();
	self->handle = (struct handle){ -1, -1, -1 };
	set_policy(self->ctx, 5000, 500, 1000, VFIOEXT_ACTION_NOTIFY);
	ASSERT_EQ(0, vfioext_events_open(&self->events,
					 VFIOEXT_EVENTS_REMOVAL | VFIOEXT_EVENTS_GROUP, -1));
}

static void let_go(struct handle *handle)
{
	close(handle->device);
	close(handle->group);
	close(handle->container);
	*handle = (struct handle){ -1, -1, -1 };
}

FIXTURE_TEARDOWN(drivers)
{
	let_go(&self->handle);
	vfioext_events_close(self->events);
	vfioext_free(self->ctx);
	run("rmmod vfioext_odd");
}

static int open_group(const char *device)
{
	char path[128], link[256], *number;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/platform/devices/%s/iommu_group", device);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return -1;
	link[length] = '\0';
	number = strrchr(link, '/');
	snprintf(path, sizeof(path), "/dev/vfio/%s", number + 1);
	return open(path, O_RDWR | O_CLOEXEC);
}

static bool hold(const char *device, struct handle *handle)
{
	handle->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	handle->group = open_group(device);
	if (ioctl(handle->group, VFIO_GROUP_SET_CONTAINER, &handle->container) ||
	    ioctl(handle->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return false;
	handle->device = ioctl(handle->group, VFIO_GROUP_GET_DEVICE_FD, device);
	return handle->device >= 0;
}

/* The child has nothing open: it would wait for itself. */
static pid_t write_in_child(const char *value, const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		close_range(STDERR_FILENO + 1, ~0u, 0);
		write_file(value, "%s", path);
		_exit(EXIT_SUCCESS);
	}
	return pid;
}

static pid_t unbind_odd(const char *device)
{
	return write_in_child(device, DRIVER "/unbind");
}

static void set_parameter(const char *name, unsigned int value)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", value);
	write_file(number, PARAMETERS "/%s", name);
}

static unsigned int nr_requests(void)
{
	unsigned int nr = 0;
	FILE *file = fopen(PARAMETERS "/requests", "re");

	if (!file || fscanf(file, "%u", &nr) != 1)
		nr = ~0u;
	if (file)
		fclose(file);
	return nr;
}

static int ask(struct vfioext *ctx, const char *device, unsigned int timeout_ms, unsigned int flags,
	       uint32_t *id)
{
	struct vfioext_policy how = {
		.has = VFIOEXT_POLICY_TIMEOUT | flags,
		.timeout_ms = timeout_ms,
	};

	return vfioext_removal_start(ctx, device, &how, id);
}

#define DATA FIXTURE_DATA(drivers)

/* The driver is done with each at once, whoever had it. */
static void unheld_and_held(struct __test_metadata *const _metadata, DATA *self,
			    const char *device)
{
	pid_t child;

	EXPECT_TRUE(unbind_wait(unbind_odd(device), 5000));
	ASSERT_TRUE(wait_event(self->events, device, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_UNHELD, self->event.outcome);

	write_file(device, DRIVER "/bind");
	ASSERT_TRUE(hold(device, &self->handle));
	child = unbind_odd(device);
	ASSERT_TRUE(wait_event(self->events, device, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	EXPECT_EQ(1, self->event.removal.handles);
	usleep(300000);
	EXPECT_EQ(0, waitpid(child, NULL, WNOHANG));
	let_go(&self->handle);
	EXPECT_TRUE(unbind_wait(child, 5000));
	ASSERT_TRUE(wait_event(self->events, device, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_LET_GO, self->event.outcome);
}

TEST_F(drivers, remove_waits_for_release)
{
	unheld_and_held(_metadata, self, WAITS);
}

TEST_F(drivers, release_unregisters_a_notifier)
{
	unheld_and_held(_metadata, self, NOTIFIED);
}

/* While a device is unplugged its driver is unloaded, and the module as well. */
TEST_F_TIMEOUT(drivers, unloaded_meanwhile, 300)
{
	pid_t child;
	int i;

	for (i = 0; i < 40 / slowness(); i++) {
		child = write_in_child(i % 2 ? NOTIFIED : WAITS, DRIVER "/unbind");
		usleep((unsigned int)(rand() % 3000));
		run("rmmod vfioext_odd");
		EXPECT_TRUE(unbind_wait(child, 5000));
		if (i % 4 == 3)
			run("rmmod vfioext_consumer 2>/dev/null; rmmod vfioext; modprobe vfioext");
		run("modprobe vfioext_odd");
	}
}

#define REGISTERED "/sys/bus/platform/devices/" LATE "/registered"

/* The driver is bound all the time. */
TEST_F(drivers, registered_late)
{
	pid_t child;

	write_file("1", REGISTERED);
	ASSERT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_DEVICE_ADDED, 2000,
			       &self->event));
	write_file("0", REGISTERED);
	ASSERT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_REMOVAL_DONE, 2000,
			       &self->event));
	ASSERT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_DEVICE_REMOVED, 1000,
			       &self->event));

	write_file("1", REGISTERED);
	ASSERT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_DEVICE_ADDED, 2000,
			       &self->event));
	ASSERT_TRUE(hold(LATE, &self->handle));
	child = write_in_child("0", REGISTERED);
	usleep(300000);
	EXPECT_EQ(0, waitpid(child, NULL, WNOHANG));
	let_go(&self->handle);
	EXPECT_TRUE(unbind_wait(child, 5000));
	EXPECT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_DEVICE_REMOVED, 1000,
			       &self->event));
}

/* Unbound while it is registered so. */
TEST_F(drivers, registered_late_and_unbound)
{
	write_file("1", REGISTERED);
	ASSERT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_DEVICE_ADDED, 2000,
			       &self->event));
	ASSERT_TRUE(unbind_wait(unbind_odd(LATE), 5000));
	EXPECT_TRUE(wait_event(self->events, LATE, VFIOEXT_EVENT_REMOVAL_DONE, 1000,
			       &self->event));
}

/* A driver that takes its time to ask its user holds up no deadline. */
TEST_F_TIMEOUT(drivers, slow_request, 120)
{
	uint32_t id;

	set_parameter("request_ms", 8000);
	ASSERT_TRUE(hold(SLOW, &self->handle));
	ASSERT_EQ(0, ask(self->ctx, SLOW, 300, 0, &id));
	ASSERT_TRUE(wait_event(self->events, SLOW, VFIOEXT_EVENT_REMOVAL_CANCELLED, 6000,
			       &self->event));
	EXPECT_EQ(VFIOEXT_OUTCOME_TIMED_OUT, self->event.outcome);
	EXPECT_GT(7000, self->event.removal.elapsed_ms);

	/* Nor does it count for somebody who holds the device. */
	ASSERT_EQ(0, ask(self->ctx, SLOW, 5000, 0, &id));
	usleep(100000);
	let_go(&self->handle);
	ASSERT_TRUE(wait_event(self->events, SLOW, VFIOEXT_EVENT_REMOVAL_RELEASED, 5000,
			       &self->event));
	EXPECT_GT(7000, self->event.removal.elapsed_ms);
}

TEST_F(drivers, quiet)
{
	unsigned int before = nr_requests();
	uint32_t id;

	ASSERT_TRUE(hold(SLOW, &self->handle));
	ASSERT_EQ(0, ask(self->ctx, SLOW, 5000, VFIOEXT_POLICY_QUIET, &id));
	usleep(300000);
	EXPECT_EQ(before, nr_requests());
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
	ASSERT_EQ(0, ask(self->ctx, SLOW, 5000, 0, &id));
	usleep(300000);
	EXPECT_EQ(before + 1, nr_requests());
	EXPECT_EQ(0, vfioext_removal_cancel(self->ctx, id));
}

/* Nobody had it when the driver began to let go, and somebody before it was done. */
TEST_F(drivers, held_at_the_last_moment)
{
	struct vfioext_removals removals;
	struct vfioext_holders holders;
	pid_t child;

	set_parameter("remove_ms", 500);
	child = unbind_odd(SLOW);
	ASSERT_TRUE(wait_event(self->events, SLOW, VFIOEXT_EVENT_REMOVAL_REQUESTED, 1000,
			       &self->event));
	EXPECT_EQ(0, self->event.removal.handles);
	ASSERT_TRUE(hold(SLOW, &self->handle));
	usleep(2000000 * slowness());
	ASSERT_EQ(0, vfioext_removals_get(self->ctx, &removals));
	ASSERT_EQ(1, removals.nr);
	EXPECT_EQ(1, removals.list[0].handles);
	vfioext_removals_release(&removals);
	ASSERT_EQ(0, vfioext_device_holders(self->ctx, SLOW, &holders));
	ASSERT_EQ(1, holders.nr);
	EXPECT_EQ(getpid(), holders.list[0].pid);
	vfioext_holders_release(&holders);
	let_go(&self->handle);
	EXPECT_TRUE(unbind_wait(child, 5000));
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci; modprobe vfio_iommu_type1; modprobe vfioext");
	return test_harness_run(argc, argv);
}
