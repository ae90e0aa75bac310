/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests share: a device that is bound, processes that hold it, and the
 * events. What fails here ends the test program.
 */
#ifndef SELFTESTS_TEST_H
#define SELFTESTS_TEST_H

#include <linux/vfioext.h>
#include <stdbool.h>
#include <sys/types.h>
#include <vfioext/vfioext.h>

/*
 * Devices of the VM: two edus, each in a group of its own; a pci-testdev that is bound to
 * nothing; two of one group. And what groups of PCI devices map with.
 */
/* edu_user.c and edu_bridge.c have another. */
#ifndef EDU
#define EDU "0000:00:03.0"
#endif
#ifdef __powerpc64__
#define EDU2 "0001:00:03.0"
#define TESTDEV "0002:00:04.0"
#define PAIR "0003:00:01.0"
#define PAIR2 "0003:00:02.0"
#define IOMMU VFIO_SPAPR_TCE_v2_IOMMU
#else
#define EDU2 "0000:00:13.0"
#define TESTDEV "0000:00:04.0"
#ifdef __aarch64__
#define PAIR "0000:00:14.0"
#define PAIR2 "0000:00:14.1"
#else
#define PAIR "0000:01:01.0"
#define PAIR2 "0000:01:02.0"
#endif
#define IOMMU VFIO_TYPE1v2_IOMMU
#endif

/* What a holder does when its device is wanted back. */
enum holder_kind {
	HOLDER_STUBBORN,	/* nothing */
	HOLDER_EVENT,		/* listens for netlink events, and closes */
	HOLDER_REQUEST,		/* listens to the request eventfd alone, and closes */
	HOLDER_EXTENDER,	/* asks for 300 ms more, five times, then nothing */
	HOLDER_MAPPING,		/* has a mapping alone, inherited by fork */
	HOLDER_CATCHER,		/* catches SIGBUS, and goes on at the first */
	HOLDER_THREAD,		/* nothing; a thread with descriptors of its own holds it */
	HOLDER_NAMESPACES,	/* nothing, in namespaces of its own */
};

struct holder_process {
	pid_t pid;
	int ready;
};

void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
int try_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
void write_file(const char *value, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

struct vfioext *test_context(void);

/* A device that is to be opened through its group, where that is what is tested. */
#define BY_GROUP (&(const struct vfioext_open){ .backend = VFIOEXT_BACKEND_CONTAINER })

void bind_device(const char *device);
void set_policy(struct vfioext *ctx, unsigned int timeout_ms, unsigned int grace_ms,
		unsigned int extend_max_ms, unsigned int action);

/*
 * A process that runs @fn, which writes a byte to @ready once it holds what it is
 * to hold; it does not outlive the test.
 */
struct holder_process holder_run(void (*fn)(const void *data, int ready), const void *data);

struct holder_process holder_start(const char *device, enum holder_kind kind);
int holder_wait(struct holder_process *holder, int timeout_ms);
void holder_kill(struct holder_process *holder);

pid_t unbind_start(const char *device);
bool unbind_wait(pid_t pid, int timeout_ms);

/* A device's own file, and iommufd behind it, where the kernel has them; or -1. */
int open_device_file(const char *device);
int bind_iommufd(int device_file);

/*
 * Load KVM, and have a process keep a virtual machine for as long as this VM is: with the
 * first one the kernel patches its scheduler, and with the last one back. QEMU's TCG
 * misses such a patch at times, and all processors then trap at it for ever, or get no
 * more timers.
 */
void load_kvm(void);

/* Have a virtual machine of the calling process keep a group's or device's file. */
int give_to_kvm(int file);

/* The next event of a type for a device; false if none came in time. */
bool wait_event(struct vfioext_events *events, const char *device, enum vfioext_event_type type,
		int timeout_ms, struct vfioext_event *event);

/* Map the whole of a BAR, apart from the library: it outlasts the device's close. */
void *map_bar(struct vfioext_device *device, unsigned int bar, size_t *size);

/*
 * Have an edu copy the first half of a page at an IOVA to the second, by its own
 * buffer. Return: whether it saw this page, and no other.
 */
bool edu_sees(struct vfioext_device *edu, uint8_t *page, uint64_t iova, uint8_t value);

/* Tell QEMU something, and wait until its answer has a word in it. */
bool qmp(const char *command, const char *word);

long now_ms(void);

/*
 * By how much a kernel that checks itself may be slower; the waiting times here
 * are multiplied by it.
 */
int slowness(void);

#endif
