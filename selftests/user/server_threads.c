// SPDX-License-Identifier: GPL-2.0-only
/*
 * What any thread of a server may do, while a client of it sets interrupts and takes them
 * away, maps memory and unmaps it, goes and comes back: no signal is lost, and memory in use
 * stays. The client and the server's own thread are the test itself.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/wire.h"

#define NONE VFIO_IRQ_SET_DATA_NONE
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK VFIO_IRQ_SET_ACTION_MASK
#define UNMASK VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

#define WORKERS_MAX 2
#define LONG_MS 5000

/* Threads that take turns are slow where the processors are others': it ends all the same. */
#define ROUNDS_S 12

/*
 * Threads that go on with what they do until they are told to stop.
 * @irq: what they signal
 * @asked: how often something was asked for, and @done how often it was done
 * @signals: that somebody listened to
 * @workers: how many have begun to use memory
 * @holding: how many hold some
 * @wrong: what must not have been
 */
struct crew {
	struct vfioext_user_device *device;
	pthread_t threads[WORKERS_MAX];
	unsigned int nr;
	unsigned int irq;
	atomic_bool stop;
	atomic_uint asked;
	atomic_uint done;
	atomic_uint signals;
	atomic_uint workers;
	atomic_uint holding;
	atomic_uint wrong;
};

FIXTURE(threads) {
	time_t end;
	struct wire_test test;
	struct wire *wire;
	struct vfioext_user_device *device;
	struct crew crew;
	int fds[2];
	int files[2];
};

FIXTURE_SETUP(threads)
{
	int i;

	for (i = 0; i < 2; i++) {
		self->fds[i] = make_eventfd();
		self->files[i] = make_file(PAGE);
	}
	wire_test_begin(&self->test, &probe_ops);
	self->wire = &self->test.wire;
	self->device = self->test.device;
	memset(&self->crew, 0, sizeof(self->crew));
	self->crew.device = self->device;
	self->end = time(NULL) + ROUNDS_S;
	ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
}

static void crew_begin(struct crew *crew, void *(*work)(void *crew))
{
	if (pthread_create(&crew->threads[crew->nr++], NULL, work, crew))
		abort();
}

static void crew_end(struct crew *crew)
{
	crew->stop = true;
	while (crew->nr)
		pthread_join(crew->threads[--crew->nr], NULL);
}

FIXTURE_TEARDOWN(threads)
{
	int i;

	crew_end(&self->crew);
	EXPECT_EQ(0, self->crew.wrong);
	EXPECT_TRUE(wire_test_end(&self->test));
	for (i = 0; i < 2; i++) {
		close(self->fds[i]);
		close(self->files[i]);
	}
}

static int set_eventfd(struct wire *wire, unsigned int irq, int fd)
{
	return wire_set_irqs(wire, EVENTFD | TRIGGER, irq, 0, 1, &fd, 1);
}

static int disable(struct wire *wire, unsigned int irq)
{
	return wire_set_irqs(wire, NONE | TRIGGER, irq, 0, 0, NULL, 0);
}

static bool is_signaled(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, LONG_MS) == 1 && eventfd_count(fd);
}

/* Through the library, and by the number that stands for the client's eventfd. */
static void *signal_on_and_on(void *data)
{
	struct crew *crew = data;
	int number;

	while (!crew->stop) {
		if (vfioext_user_irq_trigger(crew->device, crew->irq, 0))
			crew->wrong++;
		number = vfioext_user_irq_eventfd(crew->device, crew->irq, 0);
		if (number < 0 || eventfd_write(number, 1))
			crew->wrong++;
		crew->signals += 2;
		sched_yield();
	}
	return NULL;
}

/* Whichever it was, each of them got to one of the two. */
TEST_F(threads, eventfds_are_replaced)
{
	int i;

	self->crew.irq = PROBE_VECTORS;
	ASSERT_EQ(0, set_eventfd(self->wire, PROBE_VECTORS, self->fds[1]));
	crew_begin(&self->crew, signal_on_and_on);
	crew_begin(&self->crew, signal_on_and_on);
	for (i = 0; i < 20000 && time(NULL) < self->end; i++) {
		ASSERT_EQ(0, set_eventfd(self->wire, PROBE_VECTORS, self->fds[i % 2]));
		sched_yield();
	}
	crew_end(&self->crew);
	EXPECT_LT(0, self->crew.signals);
	EXPECT_EQ(self->crew.signals, eventfd_count(self->fds[0]) + eventfd_count(self->fds[1]));
}

/* Each time a while later, so that it meets all that is done meanwhile. */
static void *signal_when_asked(void *data)
{
	struct crew *crew = data;
	volatile unsigned int wait;

	while (!crew->stop) {
		if (crew->done == crew->asked) {
			sched_yield();
			continue;
		}
		for (wait = crew->done % 1024 * 8; wait; wait--)
			;
		if (vfioext_user_irq_trigger(crew->device, crew->irq, 0))
			crew->wrong++;
		crew->done++;
	}
	return NULL;
}

static void wait_done(struct crew *crew)
{
	while (crew->done != crew->asked)
		sched_yield();
}

/* What nobody waits for is done in one go, and fast. */
static void post(struct wire *wire, uint32_t flags, uint32_t index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set), .flags = flags, .index = index, .count = 1,
	};

	wire_put(wire, VFIO_USER_DEVICE_SET_IRQS, VFIO_USER_NO_REPLY, &set, sizeof(set), NULL, 0);
}

/* Before, while or after it is masked: it is signaled once when it is unmasked. */
TEST_F(threads, masks)
{
	int i;

	self->crew.irq = PROBE_MASKABLE;
	ASSERT_EQ(0, set_eventfd(self->wire, PROBE_MASKABLE, self->fds[0]));
	crew_begin(&self->crew, signal_when_asked);
	for (i = 0; i < 10000 && time(NULL) < self->end; i++) {
		self->crew.asked++;
		post(self->wire, NONE | MASK, PROBE_MASKABLE);
		post(self->wire, NONE | UNMASK, PROBE_MASKABLE);
		wire_pump(self->test.server);
		wait_done(&self->crew);
		ASSERT_EQ(1, eventfd_count(self->fds[0]));
	}
}

/* A guest has seen to the one before when the next one comes, or just does. */
TEST_F(threads, automask)
{
	int i;

	self->crew.irq = PROBE_PIN;
	ASSERT_EQ(0, set_eventfd(self->wire, PROBE_PIN, self->fds[0]));
	ASSERT_EQ(0, vfioext_user_irq_trigger(self->device, PROBE_PIN, 0));
	ASSERT_EQ(1, eventfd_count(self->fds[0]));
	crew_begin(&self->crew, signal_when_asked);
	for (i = 0; i < 10000 && time(NULL) < self->end; i++) {
		self->crew.asked++;
		post(self->wire, NONE | UNMASK, PROBE_PIN);
		wire_pump(self->test.server);
		wait_done(&self->crew);
		ASSERT_EQ(1, eventfd_count(self->fds[0]));
	}
}

static void *signal_who_listens(void *data)
{
	struct crew *crew = data;
	int ret;

	while (!crew->stop) {
		ret = vfioext_user_irq_trigger(crew->device, crew->irq, 0);
		crew->wrong += ret && ret != -ENOENT;
		if (ret)
			usleep(1);
	}
	return NULL;
}

/* Whatever a thread was at when it was taken away: when it is given anew it is signaled. */
TEST_F(threads, eventfds_are_taken_away)
{
	int i;

	self->crew.irq = PROBE_MASKABLE;
	crew_begin(&self->crew, signal_who_listens);
	crew_begin(&self->crew, signal_who_listens);
	for (i = 0; i < 2000 && time(NULL) < self->end; i++) {
		ASSERT_EQ(0, set_eventfd(self->wire, PROBE_MASKABLE, self->fds[0]));
		ASSERT_TRUE(is_signaled(self->fds[0]));
		if (i % 2)
			post(self->wire, NONE | MASK, PROBE_MASKABLE);
		ASSERT_EQ(0, disable(self->wire, PROBE_MASKABLE));
		eventfd_count(self->fds[0]);
	}
}

/* Its number is another's as soon as it is closed, and nobody signals that one. */
TEST_F(threads, numbers_are_of_use_to_others)
{
	unsigned int files = count_files();
	int i, j, others[4];

	self->crew.irq = PROBE_VECTORS;
	crew_begin(&self->crew, signal_who_listens);
	crew_begin(&self->crew, signal_who_listens);
	for (i = 0; i < 5000 && time(NULL) < self->end; i++) {
		ASSERT_EQ(0, set_eventfd(self->wire, PROBE_VECTORS, self->fds[0]));
		ASSERT_TRUE(is_signaled(self->fds[0]));
		ASSERT_EQ(0, disable(self->wire, PROBE_VECTORS));
		for (j = 0; j < 4; j++)
			others[j] = make_eventfd();
		sched_yield();
		for (j = 0; j < 4; j++) {
			EXPECT_EQ(0, eventfd_count(others[j]));
			close(others[j]);
		}
	}
	crew_end(&self->crew);
	ASSERT_EQ(0, set_eventfd(self->wire, PROBE_VECTORS, self->fds[0]));
	ASSERT_EQ(0, disable(self->wire, PROBE_VECTORS));
	EXPECT_EQ(files, count_files());
}

/* The page that the client maps, or none. */
/* Likewise, of what masks itself. */
TEST_F(threads, pin_is_taken_away)
{
	int i;

	self->crew.irq = PROBE_PIN;
	crew_begin(&self->crew, signal_who_listens);
	crew_begin(&self->crew, signal_who_listens);
	for (i = 0; i < 10000 && time(NULL) < self->end; i++) {
		ASSERT_EQ(0, set_eventfd(self->wire, PROBE_PIN, self->fds[0]));
		ASSERT_TRUE(is_signaled(self->fds[0])) {
			TH_LOG("round %d", i);
		}
		ASSERT_EQ(0, disable(self->wire, PROBE_PIN));
		eventfd_count(self->fds[0]);
	}
}

static void list_memory(struct crew *crew)
{
	struct vfioext_user_memory *list;
	size_t nr;

	if (vfioext_user_device_memory(crew->device, &list, &nr))
		abort();
	crew->wrong += nr > 1 || (nr && (list->iova || list->size != PAGE || !list->vaddr));
	free(list);
}

/*
 * What is found stays until it is put, and is the same by whatever way: eight bytes that are
 * this thread's own.
 */
static void *use_memory(void *data)
{
	struct crew *crew = data;
	struct vfioext_user_sg sg = { crew->workers++ * 8, 8 };
	struct vfioext_user_use use;
	volatile uint64_t *at;
	uint64_t value = 0, back;
	struct iovec iov;
	int ret, i;

	while (!crew->stop) {
		list_memory(crew);
		ret = vfioext_user_sgl_get(crew->device, &sg, 1, VFIOEXT_USER_WRITE, &iov, &use, 1);
		if (ret != 1) {
			crew->wrong += ret != -ENOENT;
			usleep(1);
			continue;
		}
		crew->holding++;
		at = iov.iov_base;
		*at = ++value;
		/* It may not be found any longer. */
		for (i = 0; i < 20; i++) {
			ret = vfioext_user_dma_read(crew->device, &sg, 1, &back, NULL, NULL);
			crew->wrong += ret ? ret != -ENOENT : back != value;
		}
		value++;
		ret = vfioext_user_dma_write(crew->device, &sg, 1, &value, NULL, NULL);
		crew->wrong += ret ? ret != -ENOENT : *at != value;
		*at = ++value;
		/* Time for the client to unmap it. */
		usleep(1);
		crew->wrong += *at != value;
		crew->holding--;
		vfioext_user_sgl_put(crew->device, &use, 1);
	}
	return NULL;
}

static void wait_holding(struct crew *crew)
{
	while (!crew->holding)
		sched_yield();
}

/* The client hears of it when nobody holds what it unmapped. */
TEST_F(threads, memory_is_unmapped)
{
	struct vfio_user_dma_unmap unmap = { sizeof(unmap), 0, 0, PAGE };
	int i;

	crew_begin(&self->crew, use_memory);
	crew_begin(&self->crew, use_memory);
	for (i = 0; i < 1000 && time(NULL) < self->end; i++) {
		ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, RW, self->files[i % 2], 0));
		wait_holding(&self->crew);
		wire_put(self->wire, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
		while (!wire_get(self->wire))
			ASSERT_EQ(0, vfioext_user_wait(self->test.server, LONG_MS));
		ASSERT_EQ(VFIO_USER_REPLY, self->wire->header.flags);
		ASSERT_EQ(0, self->crew.holding);
		if (i % 100 == 0)
			ASSERT_EQ(self->test.mappings, count_mappings());
	}
	EXPECT_EQ(1000, self->test.probe->unmaps);
}

/* Its memory is in use when it goes, and its eventfd about to be signaled. */
TEST_F(threads, client_goes)
{
	int i;

	self->crew.irq = PROBE_VECTORS;
	crew_begin(&self->crew, signal_who_listens);
	crew_begin(&self->crew, use_memory);
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, wire_map(self->wire, 0, PAGE, RW, self->files[0], 0));
		ASSERT_EQ(0, set_eventfd(self->wire, PROBE_VECTORS, self->fds[i % 2]));
		ASSERT_TRUE(is_signaled(self->fds[i % 2]));
		wait_holding(&self->crew);
		wire_close(self->wire);
		wire_pump(self->test.server);
		ASSERT_FALSE(vfioext_user_device_has_client(self->device));
		wire_test_attach(&self->test, self->device, self->wire);
		ASSERT_EQ(0, wire_negotiate(self->wire, NULL));
	}
	EXPECT_EQ(300, self->test.probe->unmaps);
}

TEST_HARNESS_MAIN
