// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that the host serves to this VM: `null` behind a root port, and `edu`, which is
 * plugged and unplugged, and the server of which is killed.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"

#define ID_NULL "0x1234:0x11e9"
#define ID_EDU "0x1234:0x11e8"
#define HOT_BUS "0000:04"
#define MAPPABLE 0xf000
#define VECTORS 16
#define EDU_ID 0x010000ed
#define RANDOM_MS 60000

/* Where QEMU put the device is the bus's number, which firmware gave. */
static bool find_pci(const char *id, const char *bus, char *name, size_t size)
{
	char command[256], *end;
	FILE *pipe;
	bool found;

	snprintf(command, sizeof(command), "for d in /sys/bus/pci/devices/%s*; do [ \"$(cat $d/vendor 2>/dev/null):$(cat $d/device 2>/dev/null)\" = %s ] && basename $d; done | head -n 1",
		 bus, id);
	pipe = popen(command, "r");
	if (!pipe)
		return false;
	found = fgets(name, (int)size, pipe);
	pclose(pipe);
	end = found ? strchr(name, '\n') : NULL;
	if (end)
		*end = '\0';
	return found;
}

static bool wait_pci(const char *id, const char *bus, bool there, char *name, size_t size)
{
	long deadline = now_ms() + 20000 * slowness();

	while (find_pci(id, bus, name, size) != there) {
		if (now_ms() > deadline)
			return false;
		usleep(100000);
	}
	return true;
}

/* The directory of results, as the host has it. */
static void host_directory(char *path, size_t size)
{
	char here[256];
	FILE *file;

	snprintf(here, sizeof(here), "%s/ready", getenv("VFIOEXT_OUT"));
	file = fopen(here, "r");
	if (!file || !fgets(path, (int)size, file))
		abort();
	fclose(file);
	path[strcspn(path, "\n")] = '\0';
}

FIXTURE(served) {
	int unused;
};

FIXTURE_SETUP(served)
{
	(void)self;
}

FIXTURE_TEARDOWN(served)
{
	(void)self;
}

FIXTURE(null) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_region *memory;
	struct vfioext_region *ports;
};

FIXTURE_SETUP(null)
{
	char name[64];

	self->ctx = test_context();
	ASSERT_TRUE(find_pci(ID_NULL, "0000:", name, sizeof(name)));
	bind_device(name);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, name, NULL, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &self->memory));
	ASSERT_EQ(0, vfioext_region_get(self->device, 2, &self->ports));
	ASSERT_EQ(0, vfioext_region_map(self->memory));
	ASSERT_EQ(0, vfioext_config_write(self->device, PCI_COMMAND, 2,
					  PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
					  PCI_COMMAND_MASTER));
}

FIXTURE_TEARDOWN(null)
{
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
}

TEST_F(null, express)
{
	struct vfioext_region *config;
	int at;

	ASSERT_EQ(0, vfioext_region_get(self->device, 7, &config));
	EXPECT_EQ(4096, config->size);
	at = vfioext_config_capability(self->device, PCI_CAP_ID_EXP);
	ASSERT_LT(0, at);
	EXPECT_EQ(PCI_EXP_TYPE_ENDPOINT, vfioext_config_read(self->device, at + PCI_EXP_FLAGS, 2) >> 4 & 0xf);
	EXPECT_LT(0, vfioext_config_capability(self->device, PCI_CAP_ID_PM));
	EXPECT_EQ(PCI_BASE_ADDRESS_MEM_TYPE_64,
		  vfioext_config_read(self->device, PCI_BASE_ADDRESS_0, 4) & 0xf);
}

/* What is mapped here is the server's memory: QEMU and the kernel are out of the way. */
TEST_F(null, memory)
{
	uint8_t *at = vfioext_region_pointer(self->memory, 0, MAPPABLE), out[64], in[64];
	unsigned int i;

	ASSERT_NE(NULL, at);
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	ASSERT_EQ(0, vfioext_region_write(self->memory, out, sizeof(out), 0x1238));
	EXPECT_EQ(0, memcmp(out, at + 0x1238, sizeof(out)));
	at[0x1239] = 99;
	ASSERT_EQ(0, vfioext_region_read(self->memory, in, sizeof(in), 0x1238));
	EXPECT_EQ(99, in[1]);
}

TEST_F(null, reset)
{
	vfioext_write32(self->memory, 0x100, 77);
	EXPECT_EQ(77, vfioext_read32(self->memory, 0x100));
	ASSERT_EQ(0, vfioext_device_reset(self->device));
	EXPECT_EQ(0, vfioext_read32(self->memory, 0x100));
}

TEST_F(null, ports)
{
	uint32_t value = 0x12345678, back = 0;

	EXPECT_EQ(32, self->ports->size);
	ASSERT_EQ(0, vfioext_region_write(self->ports, &value, sizeof(value), 8));
	ASSERT_EQ(0, vfioext_region_read(self->ports, &back, sizeof(back), 8));
	EXPECT_EQ(value, back);
}

TEST_F(null, every_vector)
{
	int fds[VECTORS];
	uint8_t vector;
	eventfd_t count;

	for (vector = 0; vector < VECTORS; vector++)
		fds[vector] = eventfd(0, EFD_CLOEXEC);
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 0, fds, VECTORS));
	for (vector = 0; vector < VECTORS; vector++) {
		struct pollfd fd = { .fd = fds[vector], .events = POLLIN };

		ASSERT_EQ(0, vfioext_region_write(self->ports, &vector, 1, 0));
		ASSERT_EQ(1, poll(&fd, 1, 2000 * slowness()));
		eventfd_read(fds[vector], &count);
		EXPECT_EQ(1, count);
	}
}

/* One access at random; @shadow is what is in the memory. Return: whether it was right. */
static bool access_at_random(struct vfioext_device *device, struct vfioext_region *memory,
			     struct vfioext_region *ports, uint8_t *shadow)
{
	unsigned int width = 1u << (unsigned int)(rand() % 4), offset;
	uint64_t value = (uint64_t)rand() << 32 | (unsigned int)rand(), back = 0;

	offset = (unsigned int)rand() % (MAPPABLE / width) * width;
	switch (rand() % 6) {
	case 0:
		memcpy(shadow + offset, &value, width);
		return !vfioext_region_write(memory, &value, width, offset);
	case 1:
		return !vfioext_region_read(memory, &back, width, offset) &&
		       !memcmp(shadow + offset, &back, width);
	case 2:
		memcpy(shadow + offset, &value, width);
		memcpy(memory->base + offset, &value, width);
		return true;
	case 3:
		offset = 4 + offset % 24 / width * width;
		if (width == 8)
			return true;
		return !vfioext_region_write(ports, &value, width, offset) &&
		       !vfioext_region_read(ports, &back, width, offset) &&
		       !memcmp(&value, &back, width);
	case 4:
		vfioext_config_read(device, offset % 4096 / width * width, width > 4 ? 4 : width);
		return true;
	default:
		return !vfioext_region_read(memory, &back, width, MAPPABLE + offset % 0x1000);
	}
}

TEST_F_TIMEOUT(null, at_random, 600)
{
	unsigned int seed = (unsigned int)time(NULL);
	long deadline = now_ms() + RANDOM_MS;
	static uint8_t shadow[MAPPABLE];
	unsigned long nr = 0;

	TH_LOG("seed %u", seed);
	srand(seed);
	ASSERT_EQ(0, vfioext_device_reset(self->device));
	while (now_ms() < deadline) {
		ASSERT_TRUE(access_at_random(self->device, self->memory, self->ports, shadow)) {
			TH_LOG("access %lu", nr);
		}
		nr++;
	}
	EXPECT_EQ(0, memcmp(shadow, self->memory->base, MAPPABLE));
	TH_LOG("%lu accesses", nr);
}

static void plug(void)
{
	char command[512], directory[256];

	host_directory(directory, sizeof(directory));
	snprintf(command, sizeof(command), "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"vfio-user-pci\",\"bus\":\"port3\",\"id\":\"served\",\"socket\":{\"path\":\"%s/hot.sock\",\"type\":\"unix\"}}}\n",
		 directory);
	qmp("{\"execute\":\"qmp_capabilities\"}\n", "return");
	if (!qmp(command, "return"))
		abort();
}

static void unplug(void)
{
	qmp("{\"execute\":\"qmp_capabilities\"}\n", "return");
	if (!qmp("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"served\"}}\n", "DEVICE_DELETED"))
		abort();
}

static uint32_t identify(struct vfioext *ctx, const char *name)
{
	struct vfioext_device *device;
	struct vfioext_region *bar;
	uint32_t id = 0;

	bind_device(name);
	if (vfioext_device_open(ctx, name, NULL, &device))
		return 0;
	if (!vfioext_region_get(device, 0, &bar))
		id = vfioext_read32(bar, 0);
	vfioext_device_close(device);
	return id;
}

TEST_F_TIMEOUT(served, plugged_and_unplugged, 300)
{
	struct vfioext *ctx = test_context();
	char name[64];
	int i;

	for (i = 0; i < 2; i++) {
		plug();
		ASSERT_TRUE(wait_pci(ID_EDU, HOT_BUS, true, name, sizeof(name)));
		EXPECT_EQ(EDU_ID, identify(ctx, name));
		unplug();
		ASSERT_TRUE(wait_pci(ID_EDU, HOT_BUS, false, name, sizeof(name)));
	}
	vfioext_free(ctx);
}

/* QEMU does not connect again: the device is dead, until another is plugged in. */
TEST_F_TIMEOUT(served, server_killed, 300)
{
	struct vfioext *ctx = test_context();
	struct vfioext_device *device;
	struct vfioext_region *bar;
	char name[64], path[256];
	int i, fd;

	plug();
	ASSERT_TRUE(wait_pci(ID_EDU, HOT_BUS, true, name, sizeof(name)));
	bind_device(name);
	ASSERT_EQ(0, vfioext_device_open(ctx, name, NULL, &device));
	ASSERT_EQ(0, vfioext_region_get(device, 0, &bar));
	EXPECT_EQ(EDU_ID, vfioext_read32(bar, 0));

	snprintf(path, sizeof(path), "%s/kill-hot", getenv("VFIOEXT_OUT"));
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ASSERT_LE(0, fd);
	close(fd);
	for (i = 0; i < 100 && !access(path, F_OK); i++)
		usleep(100000);
	ASSERT_NE(0, access(path, F_OK));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(bar, 0));
	vfioext_device_close(device);

	unplug();
	ASSERT_TRUE(wait_pci(ID_EDU, HOT_BUS, false, name, sizeof(name)));
	plug();
	ASSERT_TRUE(wait_pci(ID_EDU, HOT_BUS, true, name, sizeof(name)));
	EXPECT_EQ(EDU_ID, identify(ctx, name));
	unplug();
	vfioext_free(ctx);
}

TEST_HARNESS_MAIN
