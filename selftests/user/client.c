// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our client and our server: a device that is made here, and opened as any other. Its
 * regions, its configuration space and its interrupts.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/user_pci.h>

#include "../lib/board_fixture.h"
#include "../lib/wire.h"

TEST_F(client, is_what_it_is)
{
	const struct vfioext_device_info *info = vfioext_device_info(self->device);

	EXPECT_EQ(0, strncmp(info->name, "user:/tmp/vfioext-client-", 25));
	EXPECT_STREQ("user", info->bus);
	EXPECT_STREQ("vfio-user", info->driver);
	EXPECT_TRUE(info->vfio);
	EXPECT_EQ(-1, info->group);
	EXPECT_EQ(0x1234, info->vendor);
	EXPECT_EQ(0x5678, info->device);
	EXPECT_EQ(0x9abc, info->subsystem_vendor);
	EXPECT_EQ(0xdef0, info->subsystem_device);
	EXPECT_EQ(0x010203, info->class_code);
	EXPECT_TRUE(vfioext_device_is_pci(self->device));
	EXPECT_EQ(NR_REGIONS, vfioext_device_nr_regions(self->device));
	EXPECT_EQ(5, vfioext_device_nr_irqs(self->device));
	EXPECT_EQ(-1, vfioext_device_fd(self->device));
	EXPECT_EQ(-1, vfioext_device_group_fd(self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_USER, vfioext_container_backend(self->container));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

TEST_F(client, a_path_that_is_long)
{
	struct vfioext_device *device;
	const char *name;

	vfioext_device_close(self->device);
	self->device = NULL;
	board_stop(self->board);
	snprintf(self->board->path, sizeof(self->board->path),
		 "/tmp/vfioext-with-a-name-that-is-too-long-for-a-device-%d", getpid());
	ASSERT_TRUE(board_start(self->board));
	ASSERT_EQ(0, open_board(self->ctx, self->board, NULL, &device));
	name = vfioext_device_info(device)->name;
	EXPECT_EQ(VFIOEXT_NAME_SIZE - 1, strlen(name));
	EXPECT_EQ(0, strncmp(name, "user:...", 8));
	EXPECT_STREQ(self->board->path + strlen(self->board->path) - 55, name + 8);
	vfioext_device_close(device);
}

TEST_F(client, one_client_at_a_time)
{
	struct vfioext_device *device;

	EXPECT_EQ(-EBUSY, open_board(self->ctx, self->board, NULL, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "another client"));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

TEST_F(client, nobody_listens)
{
	struct vfioext_device *device;
	char name[300] = "user:", path[80];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT_EQ(-ENOENT, vfioext_device_open(self->ctx, "user:/tmp/vfioext-none", NULL, &device));
	EXPECT_EQ(-EINVAL, vfioext_device_open(self->ctx, name, NULL, &device));
	memset(name + 5, 'x', 256);
	EXPECT_EQ(-ENAMETOOLONG, vfioext_device_open(self->ctx, name, NULL, &device));
	snprintf(path, sizeof(path), "/tmp/vfioext-deaf-%d.sock", getpid());
	strcpy(address.sun_path, path);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	snprintf(name, sizeof(name), "user:%s", path);
	EXPECT_EQ(-ECONNREFUSED, vfioext_device_open(self->ctx, name, NULL, &device));
	EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), "nobody listens"));
	unlink(path);
}

TEST_F(client, registers)
{
	uint8_t bytes[16], back[16];
	unsigned int i;

	vfioext_write64(self->bar, REG_FREE, 0x1122334455667788);
	EXPECT_EQ(0x1122334455667788, vfioext_read64(self->bar, REG_FREE));
	EXPECT_EQ(8, vfioext_read64(self->bar, REG_WIDTH));
	EXPECT_EQ(0x55667788, vfioext_read32(self->bar, REG_FREE));
	EXPECT_EQ(0x1122, vfioext_read16(self->bar, REG_FREE + 6));
	EXPECT_EQ(0x77, vfioext_read8(self->bar, REG_FREE + 1));
	vfioext_write32(self->bar, REG_FREE, 0xaabbccdd);
	EXPECT_EQ(4, vfioext_read64(self->bar, REG_WIDTH));
	vfioext_write16(self->bar, REG_FREE, 0xeeff);
	EXPECT_EQ(2, vfioext_read64(self->bar, REG_WIDTH));
	vfioext_write8(self->bar, REG_FREE, 0x99);
	EXPECT_EQ(1, vfioext_read64(self->bar, REG_WIDTH));
	EXPECT_EQ(0x11223344aabbee99, vfioext_read64(self->bar, REG_FREE));
	/* In pieces as the kernel has them: each may be a register. */
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + 1);
	EXPECT_EQ(0, vfioext_region_write(self->bar, bytes, 15, REG_FREE + 1));
	EXPECT_EQ(8, vfioext_read64(self->bar, REG_WIDTH));
	EXPECT_EQ(0, vfioext_region_read(self->bar, back, 15, REG_FREE + 1));
	EXPECT_EQ(0, memcmp(bytes, back, 15));
	EXPECT_EQ(-EINVAL, vfioext_region_read(self->bar, back, 2, BAR_SIZE - 1));
	EXPECT_EQ(UINT32_MAX, vfioext_read32(self->bar, BAR_SIZE));
	EXPECT_EQ(-ENOTSUP, vfioext_region_map(self->bar));
}

TEST_F(client, errors_of_writes)
{
	uint32_t value = 1;

	/* One that nobody waits for is refused in silence. */
	vfioext_write32(self->bar, REG_REFUSE, value);
	EXPECT_EQ(-EILSEQ, vfioext_region_write(self->bar, &value, sizeof(value), REG_REFUSE));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

TEST_F(client, more_than_one_message)
{
	uint8_t *bytes = malloc(LARGE_SIZE), *back = malloc(LARGE_SIZE);
	struct vfioext_region *region;
	size_t i;

	ASSERT_EQ(0, vfioext_region_get(self->device, LARGE, &region));
	EXPECT_EQ(LARGE_SIZE, region->size);
	EXPECT_EQ(0x77, region->type);
	EXPECT_EQ(0x88, region->subtype);
	for (i = 0; i < LARGE_SIZE; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 12) + (i >> 20));
	EXPECT_EQ(0, vfioext_region_write(region, bytes, LARGE_SIZE, 0));
	EXPECT_EQ(0, memcmp(bytes, self->board->large, LARGE_SIZE));
	EXPECT_EQ(0, vfioext_region_read(region, back, LARGE_SIZE, 0));
	EXPECT_EQ(0, memcmp(bytes, back, LARGE_SIZE));
	memset(back, 0, LARGE_SIZE);
	EXPECT_EQ(0, vfioext_region_read(region, back, LARGE_SIZE - 5, 3));
	EXPECT_EQ(0, memcmp(bytes + 3, back, LARGE_SIZE - 5));
	free(bytes);
	free(back);
}

TEST_F(client, posted_writes_come_in_order)
{
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		vfioext_write32(self->bar, REG_FREE + i % 64 * 4, i);
		if (i % 1000 == 0)
			ASSERT_EQ(i, vfioext_read32(self->bar, REG_FREE + i % 64 * 4));
	}
	EXPECT_EQ(i - 1, vfioext_read32(self->bar, REG_FREE + (i - 1) % 64 * 4));
	/* They come, too, when nothing follows. */
	vfioext_write8(self->bar, REG_FREE, 0x42);
	for (i = 0; i < 1000 && self->board->registers[REG_FREE] != 0x42; i++)
		usleep(1000);
	EXPECT_GT(1000, i);
}

TEST_F(client, mapped_region)
{
	struct vfioext_region *region;

	ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
	EXPECT_EQ(1, region->nr_areas);
	vfioext_write32(region, 0x100, 1);
	EXPECT_EQ(1, vfioext_read32(region, 0x100));
	ASSERT_EQ(0, vfioext_region_map(region));
	EXPECT_NE(0, region->fast_size);
	EXPECT_EQ(1, vfioext_read32(region, 0x100));
	vfioext_write32(region, 0x100, 2);
	EXPECT_EQ(2, self->board->shared[0x100]);
	self->board->shared[0x101] = 3;
	EXPECT_EQ(0x302, vfioext_read32(region, 0x100));
	EXPECT_EQ(region->base + 0x100, vfioext_region_pointer(region, 0x100, 4));
	/* What is not mapped is in order with what is. */
	vfioext_write32(self->bar, REG_FREE, 5);
	EXPECT_EQ(5, self->board->registers[REG_FREE]);
	vfioext_region_unmap(region);
	EXPECT_EQ(NULL, region->base);
	EXPECT_EQ(0x302, vfioext_read32(region, 0x100));
	EXPECT_EQ(0, vfioext_region_map(region));
}

static bool is_mapped(unsigned int offset)
{
	return (offset >= 0x1000 && offset < 0x2000) || (offset >= 0x3000 && offset < 0x5000);
}

TEST_F(client, sparse_region)
{
	uint8_t back[SPARSE_SIZE], bytes[SPARSE_SIZE];
	struct vfioext_region *region;
	unsigned int i;

	ASSERT_EQ(0, vfioext_region_get(self->device, SPARSE, &region));
	ASSERT_EQ(2, region->nr_areas);
	EXPECT_EQ(0, memcmp(areas, region->areas, sizeof(areas)));
	ASSERT_EQ(0, vfioext_region_map(region));
	for (i = 0; i < SPARSE_SIZE; i++)
		bytes[i] = (uint8_t)(i + (i >> 8));
	/* Through holes and areas. */
	EXPECT_EQ(0, vfioext_region_write(region, bytes, SPARSE_SIZE, 0));
	for (i = 0; i < SPARSE_SIZE; i++) {
		ASSERT_EQ(is_mapped(i) ? bytes[i] : 0, self->board->sparse[i]);
		ASSERT_EQ(is_mapped(i) ? 0 : bytes[i], self->board->holes[i]);
	}
	EXPECT_EQ(0, vfioext_region_read(region, back, SPARSE_SIZE, 0));
	EXPECT_EQ(0, memcmp(bytes, back, SPARSE_SIZE));
	EXPECT_EQ(NULL, vfioext_region_pointer(region, 0, 4));
	EXPECT_EQ(NULL, vfioext_region_pointer(region, 0x1ffc, 8));
	EXPECT_NE(NULL, vfioext_region_pointer(region, 0x1ffc, 4));
	EXPECT_NE(NULL, vfioext_region_pointer(region, 0x3000, 0x2000));
	/* Also where it begins in the middle of one, and ends in another. */
	EXPECT_EQ(0, vfioext_region_read(region, back, 0x2345, 0x1801));
	EXPECT_EQ(0, memcmp(bytes + 0x1801, back, 0x2345));
	vfioext_write32(region, 0x2000, 0x12345678);
	EXPECT_EQ(0x12345678, vfioext_read32(region, 0x2000));
}

/* A file that is made shorter under it is the server's own fault, and no end of ours. */
TEST_F(client, region_without_its_file)
{
	struct vfioext_region *region;

	ASSERT_EQ(0, vfioext_region_get(self->device, SHARED, &region));
	ASSERT_EQ(0, vfioext_region_map(region));
	vfioext_write32(region, 0x8000, 1);
	ASSERT_EQ(0, ftruncate(self->board->shared_fd, 0x1000));
	EXPECT_EQ(0, vfioext_read32(region, 0x8000));
	vfioext_write32(region, 0x9000, 7);
	vfioext_region_unmap(region);
	ASSERT_EQ(0, ftruncate(self->board->shared_fd, BAR_SIZE));
}

TEST_F(client, configuration_space)
{
	unsigned int id = 0;
	int at, nr = 0;

	EXPECT_EQ(0x1234, vfioext_config_read(self->device, PCI_VENDOR_ID, 2));
	EXPECT_EQ(0x56781234, vfioext_config_read(self->device, PCI_VENDOR_ID, 4));
	at = vfioext_config_capability(self->device, PCI_CAP_ID_MSIX);
	ASSERT_LT(0, at);
	EXPECT_EQ(NR_MSIX - 1, vfioext_config_read(self->device, at + PCI_MSIX_FLAGS, 2) &
			       PCI_MSIX_FLAGS_QSIZE);
	EXPECT_LT(0, vfioext_config_capability(self->device, PCI_CAP_ID_MSI));
	EXPECT_LT(0, vfioext_config_capability(self->device, PCI_CAP_ID_EXP));
	EXPECT_EQ(0, vfioext_config_capability(self->device, PCI_CAP_ID_AGP));
	for (at = 0; (at = vfioext_config_next_capability(self->device, at, false, &id)) > 0;)
		nr++;
	EXPECT_EQ(3, nr);
	EXPECT_EQ(0, vfioext_config_write(self->device, PCI_INTERRUPT_LINE, 1, 11));
	EXPECT_EQ(11, vfioext_config_read(self->device, PCI_INTERRUPT_LINE, 1));
	EXPECT_EQ(0, vfioext_device_set_master(self->device, true));
	EXPECT_TRUE(vfioext_user_pci_is_master(self->board->device));
	vfioext_device_close(self->device);
	self->device = NULL;
	while (!self->board->detached)
		usleep(1000);
	EXPECT_FALSE(vfioext_user_pci_is_master(self->board->device));
}

static void raise_irq(const struct vfioext_region *bar, unsigned int irq, unsigned int vector)
{
	vfioext_write64(bar, REG_RAISE, irq << 16 | vector);
	/* The answer to this comes when that is done. */
	vfioext_read64(bar, REG_WIDTH);
}

TEST_F(client, pin)
{
	int fd = eventfd(0, EFD_NONBLOCK), unmask = eventfd(0, EFD_NONBLOCK), i;
	struct vfioext_irq_info info;

	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_INTX, &info));
	EXPECT_EQ(1, info.count);
	EXPECT_TRUE(info.maskable);
	EXPECT_TRUE(info.automasked);
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_INTX, 0, &fd, 1));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(1, eventfd_count(fd));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(0, eventfd_count(fd));
	EXPECT_EQ(0, vfioext_irq_unmask(self->device, VFIOEXT_IRQ_INTX, 0));
	EXPECT_EQ(1, eventfd_count(fd));
	EXPECT_EQ(0, vfioext_irq_unmask(self->device, VFIOEXT_IRQ_INTX, 0));
	EXPECT_EQ(0, vfioext_irq_mask(self->device, VFIOEXT_IRQ_INTX, 0));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(0, eventfd_count(fd));
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, unmask));
	eventfd_write(unmask, 1);
	for (i = 0; i < 1000 && !eventfd_count(fd); i++)
		usleep(1000);
	EXPECT_GT(1000, i);
	EXPECT_EQ(0, vfioext_irq_set_unmask_eventfd(self->device, -1));
	EXPECT_EQ(0, vfioext_irq_trigger(self->device, VFIOEXT_IRQ_INTX, 0));
	EXPECT_EQ(1, eventfd_count(fd));
	EXPECT_EQ(0, vfioext_irq_disable(self->device, VFIOEXT_IRQ_INTX));
	raise_irq(self->bar, 0, 0);
	EXPECT_EQ(0, eventfd_count(fd));
	close(fd);
	close(unmask);
}

/* More than go with one message. */
TEST_F(client, many_vectors)
{
	int fds[NR_MSIX], some[3], closed = -1, bad = 1000000;
	struct vfioext_irq_info info;
	unsigned int i;

	ASSERT_EQ(0, vfioext_irq_get_info(self->device, VFIOEXT_IRQ_MSIX, &info));
	EXPECT_EQ(NR_MSIX, info.count);
	for (i = 0; i < NR_MSIX; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 0, fds, 40));
	EXPECT_EQ(-EBUSY, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, fds, 1));
	ASSERT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 40, fds + 40, NR_MSIX - 40));
	for (i = 0; i < NR_MSIX; i++) {
		eventfd_count(fds[i]);
		raise_irq(self->bar, 2, i);
		EXPECT_EQ(1, eventfd_count(fds[i]));
	}
	/* One in the middle is taken away, and the others go on. */
	some[0] = fds[50];
	some[1] = closed;
	some[2] = fds[52];
	EXPECT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 50, some, 3));
	for (i = 49; i < 54; i++)
		raise_irq(self->bar, 2, i);
	for (i = 49; i < 54; i++)
		EXPECT_EQ(i == 51 ? 0 : 1, eventfd_count(fds[i]));
	/* What cannot be set leaves all as it was, and the connection, too. */
	EXPECT_EQ(-EBADF, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, 10, &bad, 1));
	EXPECT_EQ(-EINVAL, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSIX, NR_MSIX, fds, 1));
	eventfd_count(fds[10]);
	raise_irq(self->bar, 2, 10);
	EXPECT_EQ(1, eventfd_count(fds[10]));
	EXPECT_EQ(-ENOTSUP, vfioext_irq_mask(self->device, VFIOEXT_IRQ_MSIX, 0));
	EXPECT_EQ(0, vfioext_irq_disable(self->device, VFIOEXT_IRQ_MSIX));
	raise_irq(self->bar, 2, 3);
	EXPECT_EQ(0, eventfd_count(fds[3]));
	EXPECT_EQ(0, vfioext_irq_set(self->device, VFIOEXT_IRQ_MSI, 0, fds, NR_MSI));
	raise_irq(self->bar, 1, 3);
	EXPECT_EQ(1, eventfd_count(fds[3]));
	for (i = 0; i < NR_MSIX; i++)
		close(fds[i]);
}

TEST_F(client, reset)
{
	EXPECT_EQ(0, vfioext_device_reset(self->device));
	EXPECT_EQ(1, self->board->resets);
	self->board->reset_error = -EIO;
	EXPECT_EQ(-EIO, vfioext_device_reset(self->device));
	EXPECT_EQ(-ENOTSUP, vfioext_device_hot_reset(self->device));
	EXPECT_FALSE(vfioext_device_lost(self->device));
}

TEST_HARNESS_MAIN
