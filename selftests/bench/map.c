// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping a page for a device and unmapping it, by an in-kernel consumer: beside VFIO's
 * own ioctls, and beside asking the process that has the container to do it.
 *
 *	map [short]		to see that it is measured, not how long it takes
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/series.h"
#include "../lib/test.h"
#include "vfioext_consumer.h"

#define IOVA 0x200000
#define PAGE ((size_t)getpagesize())

static int iterations = 20000;
static int trips = 2000;

struct owner {
	struct vfioext_device *device;
	int container;
	int consumer;
	void *page;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Its first mapping makes a window on POWER, and registers the page there. */
static void open_owner(struct owner *owner, struct vfioext *ctx)
{
	struct vfioext_container *container;
	uint64_t iova;

	bind_device(EDU);
	if (vfioext_device_open(ctx, EDU, BY_GROUP, &owner->device))
		fail(EDU);
	container = vfioext_device_container(owner->device);
	owner->container = vfioext_container_fd(container);
	if (vfioext_dma_alloc(container, PAGE, 0, &owner->page, &iova))
		fail("a page");
	owner->consumer = open("/dev/vfioext_consumer", O_RDWR | O_CLOEXEC);
	if (ioctl(owner->consumer, CONSUMER_ATTACH, vfioext_device_group_fd(owner->device)) < 0)
		fail("CONSUMER_ATTACH");
}

static double in_kernel(const struct owner *owner)
{
	struct consumer_bench_map bench = {
		.map = {
			.vaddr = (uintptr_t)owner->page,
			.iova = IOVA,
			.size = PAGE,
			.flags = CONSUMER_MAP_READ | CONSUMER_MAP_WRITE,
		},
		.iterations = (uint32_t)iterations,
	};

	if (ioctl(owner->consumer, CONSUMER_BENCH_MAP, &bench))
		fail("CONSUMER_BENCH_MAP");
	return (double)bench.ns / 1e3 / iterations;
}

static void map_by_ioctl(const struct owner *owner)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)owner->page,
		.iova = IOVA,
		.size = PAGE,
	};

	if (ioctl(owner->container, VFIO_IOMMU_MAP_DMA, &map))
		fail("VFIO_IOMMU_MAP_DMA");
}

static void unmap_by_ioctl(const struct owner *owner)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = IOVA, .size = PAGE,
	};

	if (ioctl(owner->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		fail("VFIO_IOMMU_UNMAP_DMA");
}

static double by_ioctl(const struct owner *owner)
{
	double begun = now_us();
	int i;

	for (i = 0; i < iterations; i++) {
		map_by_ioctl(owner);
		unmap_by_ioctl(owner);
	}
	return (now_us() - begun) / iterations;
}

/* One asks for a mapping and its end, each with a word, and waits for the answers. */
static void ask(int socket)
{
	char word = 0;
	int i;

	for (i = 0; i < 2 * trips; i++)
		if (write(socket, &word, 1) != 1 || read(socket, &word, 1) != 1)
			_exit(1);
	_exit(0);
}

static double by_round_trip(const struct owner *owner)
{
	int sockets[2], status, i;
	double begun;
	pid_t child;
	char word;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		fail("socketpair");
	begun = now_us();
	child = fork();
	if (!child)
		ask(sockets[1]);
	for (i = 0; i < 2 * trips; i++) {
		if (read(sockets[0], &word, 1) != 1)
			fail("a request");
		if (i % 2)
			unmap_by_ioctl(owner);
		else
			map_by_ioctl(owner);
		if (write(sockets[0], &word, 1) != 1)
			fail("an answer");
	}
	waitpid(child, &status, 0);
	close(sockets[0]);
	close(sockets[1]);
	return (now_us() - begun) / trips;
}

int main(int argc, char **argv)
{
	struct vfioext *ctx = test_context();
	struct series ioctls, asked;
	struct owner owner;
	int i;

	if (argc > 1 && !strcmp(argv[1], "short")) {
		repetitions = 1;
		iterations = 100;
		trips = 20;
	}
	run("modprobe vfio-pci && modprobe vfioext && modprobe vfioext_consumer");
	open_owner(&owner, ctx);
	printf("| what | ours | beside | theirs | ratio, median (spread) |\n|---|---|---|---|---|\n");
	for (i = 0; i < repetitions; i++) {
		ioctls.ours[i] = in_kernel(&owner);
		asked.ours[i] = ioctls.ours[i];
		ioctls.peers[i] = by_ioctl(&owner);
		asked.peers[i] = by_round_trip(&owner);
	}
	print_row("a page mapped and unmapped in the kernel", "VFIO's ioctls", "us", &ioctls);
	print_row("the same", "a process that is asked to", "us", &asked);
	close(owner.consumer);
	vfioext_device_close(owner.device);
	vfioext_free(ctx);
	return 0;
}
