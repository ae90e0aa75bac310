// SPDX-License-Identifier: GPL-2.0-only
/* The device library against the VM's devices: opening, address spaces, regions, DMA. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "../lib/test.h"
#include "vfioext_mdev.h"

#define NIC "0000:00:05.0"
#define HOT "0000:03:00.0"
#define NVME "0000:02:00.0"
#define MDEV "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define MDEV_CREATE "/sys/class/mdev_bus/vfioext_mdev/mdev_supported_types/vfioext_mdev-sparse/create"
#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define PAGE 4096


FIXTURE(device) {
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_device *other;
	struct vfioext_container *container;
};

FIXTURE_SETUP(device)
{
	memset(self, 0, sizeof(*self));
	self->ctx = test_context();
	set_policy(self->ctx, 30000, 5000, 1000, VFIOEXT_ACTION_NOTIFY);
	bind_device(EDU);
	bind_device(PAIR);
	bind_device(PAIR2);
	bind_device(TESTDEV);
}

FIXTURE_TEARDOWN(device)
{
	vfioext_device_close(self->device);
	vfioext_device_close(self->other);
	vfioext_container_free(self->container);
	vfioext_free(self->ctx);
}

#define open_it(name, where, device) do { \
	struct vfioext_open how_ = { .container = where }; \
	ASSERT_EQ(0, vfioext_device_open(self->ctx, name, &how_, device)) { \
		TH_LOG("%s", vfioext_message(self->ctx)); \
	} \
} while (0)

static bool says(struct vfioext *ctx, const char *word)
{
	return strstr(vfioext_message(ctx), word);
}

TEST_F(device, what_cannot_be_opened)
{
	struct vfioext_open unknown = { .backend = 17 };
	struct vfioext_open noiommu = { .backend = VFIOEXT_BACKEND_NOIOMMU };

	EXPECT_EQ(-ENODEV, vfioext_device_open(self->ctx, "0000:77:00.0", NULL, &self->device));
	EXPECT_EQ(-EINVAL, vfioext_device_open(self->ctx, "../x", NULL, &self->device));
	EXPECT_EQ(-EINVAL, vfioext_device_open(self->ctx, EDU, &unknown, &self->device));
	EXPECT_EQ(-ENOENT, vfioext_device_open(self->ctx, EDU, &noiommu, &self->device));
	EXPECT_TRUE(says(self->ctx, "enable_unsafe_noiommu_mode"));
	EXPECT_EQ(-ENXIO, vfioext_device_open(self->ctx, NIC, NULL, &self->device));
	EXPECT_TRUE(says(self->ctx, "vfioext bind"));
	setenv("VFIOEXT_BACKEND", "none", 1);
	EXPECT_EQ(-EINVAL, vfioext_device_open(self->ctx, EDU, NULL, &self->device));
	unsetenv("VFIOEXT_BACKEND");
	/* A function of the group belongs to a driver of the kernel. */
	run("vfioext bind " PAIR " --driver uio_pci_generic");
	EXPECT_EQ(-EBUSY, vfioext_device_open(self->ctx, PAIR2, NULL, &self->device));
	EXPECT_TRUE(says(self->ctx, PAIR " is bound to uio_pci_generic"));
	run("vfioext bind " PAIR);
	EXPECT_EQ(NULL, self->device);
}

TEST_F(device, opened_again)
{
	int i;

	for (i = 0; i < 5; i++) {
		open_it(EDU, NULL, &self->device);
		EXPECT_EQ(-EBUSY, vfioext_device_open(self->ctx, EDU, NULL, &self->other));
		EXPECT_TRUE(says(self->ctx, "open already: it is held by device, pid "));
		vfioext_device_close(self->device);
		self->device = NULL;
	}
}

/* Without a word of containers: what one has mapped the other sees. */
TEST_F(device, several_of_one_group_by_default)
{
	uint64_t iova = 0x100000;
	void *memory;

	open_it(PAIR, NULL, &self->device);
	open_it(PAIR2, NULL, &self->other);
	EXPECT_EQ(vfioext_device_container(self->device), vfioext_device_container(self->other));
	vfioext_device_close(self->device);
	self->device = NULL;
	ASSERT_EQ(0, vfioext_dma_alloc(vfioext_device_container(self->other), PAGE,
				       VFIOEXT_DMA_FIXED, &memory, &iova));
	ASSERT_EQ(0, vfioext_device_set_master(self->other, true));
	EXPECT_TRUE(edu_sees(self->other, memory, iova, 0x5a));
	open_it(PAIR, NULL, &self->device);
	EXPECT_EQ(vfioext_device_container(self->device), vfioext_device_container(self->other));
}

/* The group is a user's, and iommufd and the device's own file are root's. */
TEST_F(device, by_a_user_whose_group_it_is)
{
	const struct vfioext_device_info *info;

	open_it(EDU, NULL, &self->device);
	info = vfioext_device_info(self->device);
	run("chown 65534 /dev/vfio/%d; [ ! -e /dev/iommu ] || chmod 600 /dev/iommu", info->group);
	vfioext_device_close(self->device);
	self->device = NULL;
	ASSERT_EQ(0, setresuid(65534, 65534, 0));
	EXPECT_EQ(0, vfioext_device_open(self->ctx, EDU, NULL, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	ASSERT_EQ(0, setresuid(0, 0, 0));
	ASSERT_NE(NULL, self->device);
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER,
		  vfioext_container_backend(vfioext_device_container(self->device)));
}

TEST_F(device, several_of_one_group)
{
	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_CONTAINER, &self->container));
	open_it(PAIR, self->container, &self->device);
	open_it(PAIR2, self->container, &self->other);
	EXPECT_EQ(vfioext_device_group_fd(self->device), vfioext_device_group_fd(self->other));
	EXPECT_EQ(-EBUSY, vfioext_container_free(self->container));
	vfioext_device_close(self->device);
	self->device = NULL;
	open_it(PAIR, self->container, &self->device);
}

TEST_F(device, config_space)
{
	unsigned int id, offset = 0, found = 0;
	int next;

	open_it(EDU, NULL, &self->device);
	EXPECT_EQ(0x1234, vfioext_config_read(self->device, PCI_VENDOR_ID, 2));
	EXPECT_EQ(0x11e81234, vfioext_config_read(self->device, PCI_VENDOR_ID, 4));
	EXPECT_LT(0, vfioext_config_capability(self->device, PCI_CAP_ID_MSI));
	EXPECT_EQ(0, vfioext_config_capability(self->device, PCI_CAP_ID_MSIX));
	while ((next = vfioext_config_next_capability(self->device, offset, false, &id)) > 0) {
		offset = (unsigned int)next;
		found++;
	}
	EXPECT_EQ(0, next);
	EXPECT_LT(0, found);
	EXPECT_EQ(UINT32_MAX, vfioext_config_read(self->device, 4096, 4));
	EXPECT_EQ(-EINVAL, vfioext_config_write(self->device, 3, 2, 0));
	EXPECT_EQ(0, vfioext_config_read(self->device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	ASSERT_EQ(0, vfioext_device_set_master(self->device, true));
	EXPECT_NE(0, vfioext_config_read(self->device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	ASSERT_EQ(0, vfioext_device_set_master(self->device, false));
	EXPECT_EQ(0, vfioext_config_read(self->device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
}

/* Several BARs, and an MSI-X table in one of them. */
TEST_F(device, network_card)
{
	int eventfds[3] = { eventfd(0, EFD_NONBLOCK), -1, eventfd(0, EFD_NONBLOCK) };
	struct vfioext_irq_info info;
	struct vfioext_region *region;
	eventfd_t count;

	bind_device(NIC);
	open_it(NIC, NULL, &self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &region));
	EXPECT_EQ(0x20000, region->size);
	ASSERT_EQ(0, vfioext_region_map(region));
	/* The status register says that the device is not in reset. */
	EXPECT_NE(UINT32_MAX, vfioext_read32(region, 8));
	ASSERT_EQ(0, vfioext_region_get(self->device, 3, &region));
	EXPECT_LT(0, region->size);
	EXPECT_EQ(0, vfioext_region_map(region));
	ASSERT_EQ(0, vfioext_region_get(self->device, 2, &region));
	EXPECT_EQ(-ENOTSUP, vfioext_region_map(region));
	EXPECT_EQ(-EINVAL, vfioext_region_get(self->device, 1000, &region));

	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_MSIX, &info));
	EXPECT_EQ(5, info.count);
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 0, eventfds, 3));
	ASSERT_EQ(0, vfioext_irq_trigger(self->device, VFIOEXT_IRQ_MSIX, 2));
	EXPECT_EQ(0, eventfd_read(eventfds[2], &count));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 3, eventfds, 3));
	EXPECT_EQ(-EBUSY, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, eventfds, 1));
	/* More vectors than were set up at first: those that are there are told once more. */
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 4, eventfds, 1));
	ASSERT_EQ(0, vfioext_irq_trigger(self->device, VFIOEXT_IRQ_MSIX, 2));
	EXPECT_EQ(0, eventfd_read(eventfds[2], &count));
	ASSERT_EQ(0, vfioext_irq_disable(self->device, VFIOEXT_IRQ_MSIX));
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, eventfds, 1));
	vfioext_device_close(self->device);
	self->device = NULL;
	run("vfioext unbind " NIC " > /dev/null");
}

TEST_F(device, mediated)
{
	struct vfioext_device_id id = {
		.vendor = MDEV_VENDOR, .device = MDEV_DEVICE,
		.subsystem_vendor = VFIOEXT_ANY_ID, .subsystem_device = VFIOEXT_ANY_ID,
	};
	int vector = eventfd(0, EFD_NONBLOCK);
	struct vfioext_device_info info;
	struct vfioext_region *bar;
	eventfd_t count;

	run("[ -e /sys/bus/mdev/devices/" MDEV " ] || echo " MDEV " > " MDEV_CREATE);
	ASSERT_EQ(0, vfioext_find_device(self->ctx, MDEV, &info));
	EXPECT_EQ(1, vfioext_match(self->ctx, &info, &id));
	id.device++;
	EXPECT_EQ(0, vfioext_match(self->ctx, &info, &id));

	open_it(MDEV, NULL, &self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &bar));
	ASSERT_EQ(2, bar->nr_areas);
	ASSERT_EQ(0, vfioext_region_map(bar));
	EXPECT_EQ(NULL, vfioext_region_pointer(bar, 0, bar->size));
	ASSERT_NE(NULL, vfioext_region_pointer(bar, MDEV_AREA1_START, MDEV_AREA1_SIZE));
	vfioext_write32(bar, MDEV_AREA0_START, 0x01020304);
	vfioext_write64(bar, MDEV_AREA1_START, 0x1122334455667788);
	EXPECT_EQ(0x04, vfioext_read8(bar, MDEV_AREA0_START));
	EXPECT_EQ(0x5566, vfioext_read16(bar, MDEV_AREA1_START + 2));

	/* The registers lie in the hole. */
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 1, &vector, 1));
	vfioext_write32(bar, MDEV_DOORBELL, 1);
	EXPECT_EQ(1, vfioext_read32(bar, MDEV_DOORBELL));
	EXPECT_EQ(0, eventfd_read(vector, &count));
	vfioext_device_close(self->device);
	self->device = NULL;
	run("echo 1 > /sys/bus/mdev/devices/" MDEV "/remove");
}

TEST_F(device, limit_of_mappings)
{
	struct vfioext_dma_limits limits;
	uint64_t iova;
	void *memory;
	int i;

	write_file("4", ENTRY_LIMIT);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, BY_GROUP, &self->device));
	write_file("65535", ENTRY_LIMIT);
	self->container = vfioext_device_container(self->device);
	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &limits));
	EXPECT_EQ(4, limits.mappings_left);
	EXPECT_EQ(0, limits.mapped);
	EXPECT_LT(0, vfioext_dma_get_ranges(self->container, NULL, 0));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	EXPECT_EQ(-ENOSPC, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	EXPECT_TRUE(says(self->ctx, "dma_entry_limit"));
	ASSERT_EQ(0, vfioext_dma_get_limits(self->container, &limits));
	EXPECT_EQ(0, limits.mappings_left);
	EXPECT_EQ(4, limits.mapped);
	EXPECT_EQ(0, vfioext_dma_unmap_all(self->container));
	EXPECT_EQ(0, vfioext_dma_alloc(self->container, PAGE, 0, &memory, &iova));
	self->container = NULL;
}

TEST_F(device, wrong_mappings)
{
	uint64_t iova = 0x300000, again;
	void *memory, *found;

	open_it(EDU, NULL, &self->device);
	struct vfioext_container *container = vfioext_device_container(self->device);

	ASSERT_EQ(0, vfioext_dma_alloc(container, 4 * PAGE, VFIOEXT_DMA_FIXED, &memory, &iova));
	EXPECT_EQ(0, vfioext_dma_map(container, memory, 4 * PAGE, VFIOEXT_DMA_FIXED, &iova));
	again = iova + PAGE;
	EXPECT_EQ(-EEXIST, vfioext_dma_map(container, memory, PAGE, VFIOEXT_DMA_FIXED, &again));
	EXPECT_EQ(-EINVAL, vfioext_dma_map(container, (char *)memory + 1, PAGE, 0, &again));
	EXPECT_EQ(-EINVAL, vfioext_dma_map(container, memory, 0, 0, &again));
	again = 0xfee00000;
	EXPECT_EQ(-ERANGE, vfioext_dma_map(container, memory, PAGE, VFIOEXT_DMA_FIXED, &again)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	EXPECT_EQ(-EINVAL, vfioext_dma_unmap(container, iova, PAGE));
	EXPECT_EQ(-EINVAL, vfioext_dma_unmap(container, iova + PAGE, 4 * PAGE));
	EXPECT_EQ(-ENOENT, vfioext_dma_unmap(container, iova + 4 * PAGE, PAGE));
	EXPECT_EQ(0, vfioext_dma_iova(container, (char *)memory + 5000, &again));
	EXPECT_EQ(iova + 5000, again);
	EXPECT_EQ(0, vfioext_dma_vaddr(container, iova + 5000, &found));
	EXPECT_EQ((char *)memory + 5000, found);
	EXPECT_EQ(-ENOENT, vfioext_dma_vaddr(container, iova + 4 * PAGE, &found));
	EXPECT_EQ(0, vfioext_dma_free(container, memory, 4 * PAGE));
	EXPECT_EQ(-ENOENT, vfioext_dma_iova(container, memory, &again));
	EXPECT_EQ(-ENOTSUP, vfioext_dma_dirty(container, iova, PAGE, &again));
}

/* With an IOMMU that does not tell, all that is mapped may have been written to. */
TEST_F(device, dirty_pages)
{
	struct vfioext_container *container;
	uint64_t iova, dirty = 0;
	void *memory;

	/* That of iommufd is done otherwise. */
	ASSERT_EQ(0, vfioext_device_open(self->ctx, EDU, BY_GROUP, &self->device));
	container = vfioext_device_container(self->device);
	ASSERT_EQ(0, vfioext_dma_alloc(container, 4 * PAGE, 0, &memory, &iova));
	ASSERT_EQ(0, vfioext_dma_track(container, true));
	EXPECT_EQ(0, vfioext_dma_track(container, true));
	EXPECT_EQ(0, vfioext_dma_dirty(container, iova, 4 * PAGE, &dirty));
	EXPECT_EQ(0xf, dirty);
	EXPECT_EQ(-EINVAL, vfioext_dma_dirty(container, iova, 3 * PAGE, &dirty));
	ASSERT_EQ(0, vfioext_dma_track(container, false));
	EXPECT_EQ(-ENOTSUP, vfioext_dma_dirty(container, iova, 4 * PAGE, &dirty));
}

/* Who has the physical function sets a token, and who has it not gets no virtual one. */
TEST_F(device, vf_token)
{
	struct vfioext_open right = { .vf_token = "8b631a5c-7a1e-4a4b-8c6d-111111111111" };
	struct vfioext_open wrong = { .vf_token = "8b631a5c-7a1e-4a4b-8c6d-222222222222" };
	char link[256] = "", *function;

	run("echo 1 > /sys/module/vfio_pci/parameters/enable_sriov");
	bind_device(NVME);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, NVME, &right, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	write_file("1", "/sys/bus/pci/devices/" NVME "/sriov_numvfs");
	ASSERT_LT(0, readlink("/sys/bus/pci/devices/" NVME "/virtfn0", link, sizeof(link) - 1));
	function = strrchr(link, '/') + 1;
	/* Through a file of its own Linux asks for one from 6.17 on. */
	EXPECT_EQ(-EACCES, vfioext_device_open(self->ctx, function, BY_GROUP, &self->other));
	EXPECT_TRUE(says(self->ctx, "token"));
	EXPECT_EQ(-EACCES, vfioext_device_open(self->ctx, function, &wrong, &self->other));
	wrong.vf_token = "8b631a5c";
	EXPECT_GT(0, vfioext_device_open(self->ctx, function, &wrong, &self->other));
	ASSERT_EQ(0, vfioext_device_open(self->ctx, function, &right, &self->other)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	EXPECT_EQ(0x1b36, vfioext_config_read(self->other, PCI_VENDOR_ID, 2));
	vfioext_device_close(self->other);
	self->other = NULL;
	write_file("0", "/sys/bus/pci/devices/" NVME "/sriov_numvfs");
	vfioext_device_close(self->device);
	self->device = NULL;
	run("vfioext unbind " NVME " > /dev/null; echo 0 > /sys/module/vfio_pci/parameters/enable_sriov");
}

/* It is set by who has the device open, too. */
TEST_F(device, vf_token_that_is_set)
{
	struct vfioext_open right = { .backend = VFIOEXT_BACKEND_CONTAINER,
				      .vf_token = "8b631a5c-7a1e-4a4b-8c6d-333333333333" };
	struct vfioext_open wrong = { .backend = VFIOEXT_BACKEND_CONTAINER,
				      .vf_token = "8b631a5c-7a1e-4a4b-8c6d-222222222222" };
	char link[256] = "", *function;

	run("echo 1 > /sys/module/vfio_pci/parameters/enable_sriov");
	bind_device(NVME);
	ASSERT_EQ(0, vfioext_device_open(self->ctx, NVME, NULL, &self->device));
	write_file("1", "/sys/bus/pci/devices/" NVME "/sriov_numvfs");
	ASSERT_LT(0, readlink("/sys/bus/pci/devices/" NVME "/virtfn0", link, sizeof(link) - 1));
	function = strrchr(link, '/') + 1;
	EXPECT_EQ(-EACCES, vfioext_device_open(self->ctx, function, &right, &self->other));
	EXPECT_EQ(0, vfioext_device_set_vf_token(self->device, right.vf_token)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	EXPECT_EQ(-EACCES, vfioext_device_open(self->ctx, function, &wrong, &self->other));
	EXPECT_EQ(0, vfioext_device_open(self->ctx, function, &right, &self->other));
	EXPECT_EQ(-ENOTSUP, vfioext_device_set_vf_token(self->other, right.vf_token));
	vfioext_device_close(self->other);
	/* One that has none is opened with any. */
	EXPECT_EQ(0, vfioext_device_open(self->ctx, EDU, &right, &self->other));
	vfioext_device_close(self->other);
	self->other = NULL;
	write_file("0", "/sys/bus/pci/devices/" NVME "/sriov_numvfs");
	vfioext_device_close(self->device);
	self->device = NULL;
	run("vfioext unbind " NVME " > /dev/null; echo 0 > /sys/module/vfio_pci/parameters/enable_sriov");
}

/* Whatever is mapped and unmapped, what is known and what the device sees agree. */
TEST_F_TIMEOUT(device, many_mappings, 300)
{
	enum { SLOTS = 64, ROUNDS = 10000 };
	uint8_t *memory = mmap(NULL, SLOTS * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t iovas[SLOTS] = { 0 }, iova;
	struct vfioext_container *container;
	unsigned int seed = 1;
	int i, slot;
	void *vaddr;

	open_it(EDU, NULL, &self->device);
	container = vfioext_device_container(self->device);
	for (i = 0; i < ROUNDS; i++) {
		slot = rand_r(&seed) % SLOTS;
		if (!iovas[slot]) {
			ASSERT_EQ(0, vfioext_dma_map(container, memory + slot * PAGE, PAGE, 0,
						     &iovas[slot]));
		} else {
			ASSERT_EQ(0, vfioext_dma_unmap(container, iovas[slot], PAGE));
			iovas[slot] = 0;
		}
		slot = rand_r(&seed) % SLOTS;
		ASSERT_EQ(iovas[slot] ? 0 : -ENOENT,
			  vfioext_dma_iova(container, memory + slot * PAGE + 7, &iova));
		if (!iovas[slot])
			continue;
		ASSERT_EQ(iovas[slot] + 7, iova);
		ASSERT_EQ(0, vfioext_dma_vaddr(container, iova, &vaddr));
		ASSERT_EQ(memory + slot * PAGE + 7, vaddr);
		if (i % 500 == 0 && iovas[slot] < 1 << 28)
			ASSERT_TRUE(edu_sees(self->device, memory + slot * PAGE, iovas[slot], (uint8_t)i));
	}
}

TEST_F(device, reset)
{
	struct vfioext_device *third = NULL;
	struct vfioext_hot_reset reset;
	struct vfioext_region *bar;
	size_t i, named = 0;

	open_it(PAIR2, NULL, &self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &bar));
	vfioext_write32(bar, 4, 77);
	EXPECT_EQ(~77u, vfioext_read32(bar, 4));
	if (!vfioext_device_get_hot_reset(self->device, &reset)) {
		for (i = 0; i < reset.nr; i++)
			named += !strcmp(reset.list[i].name, PAIR) ||
				 !strcmp(reset.list[i].name, PAIR2);
		EXPECT_EQ(2, named);
		EXPECT_TRUE(reset.possible);
		vfioext_hot_reset_release(&reset);
		EXPECT_EQ(0, vfioext_device_hot_reset(self->device));
		/* Groups of the container that the reset has nothing to do with. */
		open_it(EDU, vfioext_device_container(self->device), &self->other);
		open_it(TESTDEV, vfioext_device_container(self->device), &third);
		EXPECT_EQ(0, vfioext_device_hot_reset(self->device));
		vfioext_device_close(third);
	}
}

static int wanted;

static int on_removal(struct vfioext_device *device, uint32_t id, void *data)
{
	(void)device;
	(void)data;
	wanted += id != 0;
	return 0;
}

static bool wait_wanted(struct vfioext_device *device)
{
	struct pollfd fd = { .fd = vfioext_device_watch_fd(device), .events = POLLIN };
	long deadline = now_ms() + 5000 * slowness();

	while (now_ms() < deadline)
		if (poll(&fd, 1, 50) > 0 && vfioext_device_watch_dispatch(device) == 1)
			return true;
	return false;
}

#define UNBOUND "/tmp/unbound"

/*
 * By a program of its own: a child of this one would hold the device as well. The
 * driver's links in sysfs go before it waits for the device, and so do not tell.
 */
static void start_unbind(void)
{
	unlink(UNBOUND);
	run("(echo " EDU " > /sys/bus/pci/drivers/vfio-pci/unbind; : > " UNBOUND ") &");
}

static bool is_unbound(void)
{
	long deadline = now_ms() + 3000 * slowness();

	while (now_ms() < deadline && access(UNBOUND, F_OK))
		usleep(10000);
	return !access(UNBOUND, F_OK);
}

TEST_F(device, wanted_back)
{
	struct vfioext_container *container;
	struct vfioext_region *bar;
	uint64_t iova;
	void *memory;

	open_it(EDU, NULL, &self->device);
	container = vfioext_device_container(self->device);
	ASSERT_EQ(0, vfioext_dma_alloc(container, PAGE, 0, &memory, &iova));
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &bar));
	ASSERT_EQ(0, vfioext_region_map(bar));
	ASSERT_EQ(0, vfioext_device_watch(self->device, on_removal, NULL));
	EXPECT_EQ(-EBUSY, vfioext_device_watch(self->device, on_removal, NULL));
	EXPECT_EQ(0, vfioext_device_watch_dispatch(self->device));
	start_unbind();
	ASSERT_TRUE(wait_wanted(self->device));
	EXPECT_EQ(1, wanted);
	EXPECT_TRUE(is_unbound());
	EXPECT_TRUE(vfioext_device_lost(self->device));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(bar, 0));
	vfioext_write32(bar, 4, 1);
	EXPECT_EQ(-ENODEV, vfioext_device_reset(self->device));
	EXPECT_EQ(-ENODEV, vfioext_device_watch(self->device, NULL, NULL));
	/* The host has its device, and the driver frees what it had. */
	EXPECT_EQ(container, vfioext_device_container(self->device));
	EXPECT_EQ(0, vfioext_dma_free(container, memory, PAGE));
	EXPECT_NE(0, msync(memory, PAGE, MS_ASYNC));
	EXPECT_EQ(-ENOENT, vfioext_dma_unmap(container, iova, PAGE));
}

TEST_F(device, wanted_back_without_the_module)
{
	run("rmmod vfioext_consumer 2>/dev/null; rmmod vfioext && echo 'install vfioext /bin/false' > /etc/modprobe.d/x.conf");
	open_it(EDU, NULL, &self->device);
	ASSERT_EQ(0, vfioext_device_watch(self->device, NULL, NULL));
	start_unbind();
	EXPECT_TRUE(wait_wanted(self->device));
	EXPECT_TRUE(is_unbound());
	run("rm /etc/modprobe.d/x.conf; modprobe vfioext");
}

static void *read_on(void *data)
{
	const struct vfioext_region *bar = data;
	uint32_t value = 0;

	while (!vfioext_device_lost(bar->device) || value != UINT32_MAX)
		value = vfioext_read32(bar, 8);
	return NULL;
}

/* The device is pulled out while a thread reads its registers. */
TEST_F_TIMEOUT(device, hot_unplug, 120)
{
	struct vfioext_region *bar;
	pthread_t reader;

	bind_device(HOT);
	open_it(HOT, NULL, &self->device);
	ASSERT_EQ(0, vfioext_region_get(self->device, 0, &bar));
	ASSERT_EQ(0, vfioext_region_map(bar));
	ASSERT_EQ(0, vfioext_device_watch(self->device, NULL, NULL));
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_on, bar));
	EXPECT_TRUE(qmp("{\"execute\":\"qmp_capabilities\"}\n", "return"));
	EXPECT_TRUE(qmp("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"hot\"}}\n", "return"));
	EXPECT_TRUE(wait_wanted(self->device) || wait_wanted(self->device));
	ASSERT_EQ(0, pthread_join(reader, NULL));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(bar, 0));
}

struct driver_data {
	int devices;
};

static int probe(const struct vfioext_driver *driver, struct vfioext_device *device)
{
	struct driver_data *data = driver->data;

	if (!vfioext_config_read(device, PCI_VENDOR_ID, 2))
		return -EIO;
	data->devices++;
	return 0;
}

static void removed(const struct vfioext_driver *driver, struct vfioext_device *device)
{
	struct driver_data *data = driver->data;

	(void)device;
	data->devices--;
}

TEST_F(device, drivers)
{
	static const struct vfioext_device_id edu_id = {
		.vendor = 0x1234, .device = 0x11e8,
		.subsystem_vendor = VFIOEXT_ANY_ID, .subsystem_device = VFIOEXT_ANY_ID,
	};
	struct driver_data data = { 0 };
	struct vfioext_driver driver = {
		.name = "edu", .ids = &edu_id, .nr_ids = 1, .probe = probe, .remove = removed,
		.data = &data,
	};
	struct vfioext_bus *bus;

	ASSERT_EQ(0, vfioext_bus_new(self->ctx, NULL, &bus));
	ASSERT_EQ(0, vfioext_bus_register(bus, &driver));
	EXPECT_EQ(-EEXIST, vfioext_bus_register(bus, &driver));
	EXPECT_EQ(2, vfioext_bus_scan(bus));
	EXPECT_EQ(2, data.devices);
	EXPECT_EQ(-EALREADY, vfioext_bus_plug(bus, EDU));
	EXPECT_EQ(-ENOENT, vfioext_bus_plug(bus, TESTDEV));
	EXPECT_EQ(0, vfioext_bus_unplug(bus, EDU));
	EXPECT_EQ(-ENOENT, vfioext_bus_unplug(bus, EDU));
	EXPECT_EQ(1, data.devices);
	run("vfioext unbind " EDU " > /dev/null");
	EXPECT_EQ(-ENXIO, vfioext_bus_plug(bus, EDU));
	EXPECT_EQ(1, vfioext_bus_scan(bus));
	run("vfioext bind " EDU " > /dev/null");
	EXPECT_EQ(2, vfioext_bus_scan(bus));
	vfioext_bus_free(bus);
	EXPECT_EQ(0, data.devices);
}

int main(int argc, char **argv)
{
	run("modprobe vfio-pci && modprobe vfio_iommu_type1 && modprobe uio_pci_generic && modprobe vfioext && modprobe vfioext_mdev");
	return test_harness_run(argc, argv);
}
