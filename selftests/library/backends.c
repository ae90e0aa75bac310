// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands behind a container, and why a device is not opened: what the kernel has in /dev, and
 * what it says to each step, is made up below.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vfioext/container.h>
#include <vfioext/device.h>
#include <vfioext/dma.h>
#include <vfioext/driver.h>
#include <vfioext/reset.h>

#include "kselftest_harness.h"

#include "../../libvfioext/kernel_abi.h"
#include "../lib/sysfs_tree.h"

#define FIRST "0000:00:03.0"
#define BESIDE "0000:00:04.0"
#define ALONE "0000:00:05.0"
#define PHYSICAL "0000:02:00.0"
#define VIRTUAL "0000:02:00.1"
#define STRANGE "0000:03:00.1"
#define TOKEN "8b631a5c-7a1e-4A4b-8c6d-0123456789ab"
#define PAGE 4096

/* What it is opened by: 0, or the error of open() or of the step; what the kernel was asked. */
static struct fake {
	int iommu, vfio, group, file;
	bool no_files, not_viable, tokens;
	int set_container, set_iommu, bind, attach, get_device, map, feature;
	int maps, address_spaces_gone;
	char device_name[128];
	uint8_t token[16];
	bool has_token;
	unsigned int reset_groups;
} fake;

/* Requests of a container and of a device have the same numbers. */
static bool is_device[1024];

static int give(int error)
{
	if (!error)
		return (int)syscall(SYS_memfd_create, "fake", 0);
	errno = error;
	return -1;
}

static int give_device(int error)
{
	int fd = give(error);

	if (fd >= 0)
		is_device[fd] = true;
	return fd;
}

static int says(int error)
{
	errno = error;
	return error ? -1 : 0;
}

int close(int fd)
{
	if (fd >= 0 && fd < 1024)
		is_device[fd] = false;
	return (int)syscall(SYS_close, fd);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	if (!strcmp(path, "/dev/iommu"))
		return give(fake.iommu);
	if (!strcmp(path, "/dev/vfio/vfio"))
		return give(fake.vfio);
	if (!strncmp(path, "/dev/vfio/devices/", 18))
		return give_device(fake.file);
	if (!strncmp(path, "/dev/vfio/", 10))
		return give(fake.group);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int access(const char *path, int mode)
{
	if (!strcmp(path, "/dev/vfio/devices"))
		return says(fake.no_files ? ENOENT : 0);
	return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

static int bind_file(const struct bind_with_token *bind)
{
	if (bind->flags && !fake.tokens)
		return says(EINVAL);
	fake.has_token = bind->flags & VFIO_DEVICE_BIND_FLAG_TOKEN;
	if (fake.has_token)
		memcpy(fake.token, (const void *)(uintptr_t)bind->token_uuid_ptr, sizeof(fake.token));
	return says(fake.bind);
}

static int get_device(const char *name)
{
	snprintf(fake.device_name, sizeof(fake.device_name), "%s", name);
	return give_device(fake.get_device);
}

/* FIRST, of group 3, and ALONE, of 5, are on one bus. */
static int reset_info(struct vfio_pci_hot_reset_info *info)
{
	info->count = 3;
	if (info->argsz < sizeof(*info) + 3 * sizeof(info->devices[0]))
		return says(ENOSPC);
	memset(info->devices, 0, 3 * sizeof(info->devices[0]));
	info->devices[0].group_id = 3;
	info->devices[0].devfn = 3 << 3;
	info->devices[1].group_id = 5;
	info->devices[1].devfn = 5 << 3;
	info->devices[2].group_id = 3;
	info->devices[2].devfn = 4 << 3;
	return 0;
}

static int set_feature(const struct vfio_device_feature *feature)
{
	if (feature->flags != (VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN) ||
	    feature->argsz != sizeof(*feature) + sizeof(fake.token))
		return says(EINVAL);
	memcpy(fake.token, feature->data, sizeof(fake.token));
	return says(fake.feature);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *data;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (request == VFIO_IOMMU_GET_INFO)
		return is_device[fd] ? reset_info(data) : 0;
	if (request == VFIO_IOMMU_MAP_DMA && is_device[fd]) {
		fake.reset_groups = ((struct vfio_pci_hot_reset *)data)->count;
		return 0;
	}
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)data)->flags =
			fake.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		return says(fake.set_container);
	case VFIO_SET_IOMMU:
		return says(fake.set_iommu);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(data);
	case VFIO_DEVICE_BIND_IOMMUFD:
		return bind_file(data);
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return says(fake.attach);
	case VFIO_IOMMU_MAP_DMA:
	case IOMMU_IOAS_MAP:
		fake.maps++;
		return says(fake.map);
	case IOMMU_DESTROY:
		fake.address_spaces_gone++;
		return 0;
	case VFIO_DEVICE_FEATURE:
		return set_feature(data);
	case VFIO_DEVICE_GET_INFO:
		*(struct vfio_device_info *)data = (struct vfio_device_info){
			.flags = VFIO_DEVICE_FLAGS_PCI,
			.num_regions = VFIO_PCI_NUM_REGIONS,
		};
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		((struct vfio_region_info *)data)->size = 4096;
		return 0;
	default:
		return 0;
	}
}

FIXTURE(backends) {
	char root[32];
	struct vfioext *ctx;
	struct vfioext_device *device;
	struct vfioext_device *other;
	struct rlimit locked;
};

static void add_vfio(const char *root, const char *name, int group)
{
	add_pci(root, name, group, "vfio-pci", "0x020000");
	in_tree(root, "mkdir -p bus/pci/devices/%s/vfio-dev/vfio%d", name, group);
}

FIXTURE_SETUP(backends)
{
	memset(&fake, 0, sizeof(fake));
	memset(is_device, 0, sizeof(is_device));
	self->device = NULL;
	self->other = NULL;
	strcpy(self->root, "/tmp/backendsXXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	add_vfio(self->root, FIRST, 3);
	add_vfio(self->root, BESIDE, 3);
	add_vfio(self->root, ALONE, 5);
	add_vfio(self->root, PHYSICAL, 6);
	add_vfio(self->root, VIRTUAL, 7);
	add_vfio(self->root, STRANGE, 9);
	in_tree(self->root, "echo 2 > bus/pci/devices/" PHYSICAL "/sriov_totalvfs");
	in_tree(self->root, "ln -s ../" PHYSICAL " bus/pci/devices/" VIRTUAL "/physfn");
	/* Its physical function is a driver's of the host. */
	add_pci(self->root, "0000:03:00.0", 8, "nic", "0x020000");
	in_tree(self->root, "ln -s ../0000:03:00.0 bus/pci/devices/" STRANGE "/physfn");
	in_tree(self->root, "mkdir -p module/vfio_iommu_type1");
	unsetenv("VFIOEXT_BACKEND");
	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &self->locked));
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->root));
	vfioext_never_load(self->ctx);
}

FIXTURE_TEARDOWN(backends)
{
	vfioext_device_close(self->other);
	vfioext_device_close(self->device);
	vfioext_free(self->ctx);
	in_tree("/tmp", "rm -r %s", self->root);
}

#define OPEN(name, how, device) vfioext_device_open(self->ctx, name, how, device)
#define BACKEND_OF(device) vfioext_container_backend(vfioext_device_container(device))
#define EXPECT_SAYS(words) EXPECT_NE(NULL, strstr(vfioext_message(self->ctx), words)) { \
	TH_LOG("it says: %s", vfioext_message(self->ctx)); \
}

TEST_F(backends, iommufd_where_all_of_it_is_ours)
{
	ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_IOMMUFD, BACKEND_OF(self->device));
	EXPECT_EQ(-1, vfioext_device_group_fd(self->device));
}

static void expect_group(struct __test_metadata *_metadata, struct _test_data_backends *self)
{
	ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device)) {
		TH_LOG("%s", vfioext_message(self->ctx));
	}
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER, BACKEND_OF(self->device));
	EXPECT_LE(0, vfioext_device_group_fd(self->device));
	EXPECT_EQ(0, strcmp(FIRST, fake.device_name));
}

/* /dev/iommu is root's, or not there, or of a kernel whose devices have no files. */
TEST_F(backends, group_where_iommufd_is_not_ours)
{
	fake.iommu = EACCES;
	expect_group(_metadata, self);
}

TEST_F(backends, group_where_there_is_no_iommufd)
{
	fake.iommu = ENOENT;
	expect_group(_metadata, self);
}

TEST_F(backends, group_where_devices_have_no_files)
{
	fake.no_files = true;
	expect_group(_metadata, self);
}

/* The group is ours, and the device's own file is not, or is not made. */
TEST_F(backends, group_where_the_file_is_not_ours)
{
	fake.file = EACCES;
	expect_group(_metadata, self);
}

/* vfio_iommu_type1 may have what iommufd has not: allow_unsafe_interrupts. */
TEST_F(backends, group_where_iommufd_refuses)
{
	fake.bind = EPERM;
	expect_group(_metadata, self);
}

/* A container that was made before is settled by its first device, and then is for all. */
TEST_F(backends, container_that_is_settled_later)
{
	struct vfioext_open how = { 0 };

	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_ANY, &how.container));
	fake.file = EACCES;
	ASSERT_EQ(0, OPEN(FIRST, &how, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER, vfioext_container_backend(how.container));
	fake.file = 0;
	ASSERT_EQ(0, OPEN(ALONE, &how, &self->other));
	EXPECT_LE(0, vfioext_device_group_fd(self->other));
	vfioext_device_close(self->other);
	vfioext_device_close(self->device);
	self->device = NULL;
	self->other = NULL;
	EXPECT_EQ(0, vfioext_container_free(how.container));
}

TEST_F(backends, container_that_no_device_has_settled)
{
	struct vfioext_open how = { 0 };

	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_ANY, &how.container));
	fake.file = EACCES;
	fake.group = EACCES;
	EXPECT_EQ(-EACCES, OPEN(FIRST, &how, &self->device));
	fake.file = 0;
	EXPECT_EQ(0, OPEN(FIRST, &how, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_IOMMUFD, vfioext_container_backend(how.container));
	fake.file = EACCES;
	fake.group = 0;
	EXPECT_EQ(-EACCES, OPEN(ALONE, &how, &self->other));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_container_free(how.container));

	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_ANY, &how.container));
	fake.group = EACCES;
	EXPECT_EQ(-EACCES, OPEN(FIRST, &how, &self->device));
	fake.group = 0;
	EXPECT_EQ(0, OPEN(FIRST, &how, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER, vfioext_container_backend(how.container));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_container_free(how.container));
}

/* Nothing is ours: both are said. */
TEST_F(backends, nothing_may_be_opened)
{
	fake.iommu = EACCES;
	fake.vfio = ENOENT;
	EXPECT_EQ(-ENOENT, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("/dev/iommu: Permission denied; /dev/vfio/vfio: No such file");
	fake.iommu = 0;
	fake.vfio = 0;
	fake.file = EACCES;
	fake.group = EACCES;
	EXPECT_EQ(-EACCES, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("/dev/vfio/devices/vfio3: Permission denied; /dev/vfio/3: Permission denied");
}

/* Who wants one gets that one, or nothing. */
TEST_F(backends, what_is_asked_for)
{
	struct vfioext_open how = { .backend = VFIOEXT_BACKEND_IOMMUFD };

	fake.file = EACCES;
	EXPECT_EQ(-EACCES, OPEN(FIRST, &how, &self->device));
	setenv("VFIOEXT_BACKEND", "iommufd", 1);
	EXPECT_EQ(-EACCES, OPEN(FIRST, NULL, &self->device));
	fake.file = 0;
	setenv("VFIOEXT_BACKEND", "container", 1);
	ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER, BACKEND_OF(self->device));
}

/* Held: the group would be as well, so it is not tried. */
TEST_F(backends, open_already)
{
	fake.bind = EINVAL;
	EXPECT_EQ(-EBUSY, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS(FIRST " is open already; 'vfioext who " FIRST "' tells who has it");
	EXPECT_EQ('\0', fake.device_name[0]);
	fake.bind = EBUSY;
	EXPECT_EQ(-EBUSY, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("group 3 is open already; 'vfioext who 3' tells who has it");
	fake.iommu = EACCES;
	fake.group = EBUSY;
	EXPECT_EQ(-EBUSY, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("group 3 is open already");
}

/* A driver of the host has a device of the group. */
TEST_F(backends, not_viable)
{
	add_pci(self->root, "0000:00:06.0", 3, "nvme", "0x010802");
	fake.bind = EBUSY;
	EXPECT_EQ(-EBUSY, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("group 3 is not viable: 0000:00:06.0 is bound to nvme");
	fake.bind = EPERM;
	fake.group = ENOENT;
	EXPECT_EQ(-ENOENT, OPEN(FIRST, NULL, &self->device));
	EXPECT_EQ(NULL, strstr(vfioext_message(self->ctx), "viable"));
	fake.group = 0;
	fake.not_viable = true;
	EXPECT_EQ(-EBUSY, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("0000:00:06.0 is bound to nvme");
}

TEST_F(backends, interrupts_are_not_isolated)
{
	fake.bind = EPERM;
	fake.set_iommu = EPERM;
	EXPECT_EQ(-EPERM, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("iommufd's allow_unsafe_interrupts=1");
	EXPECT_SAYS("VFIO_SET_IOMMU: the host has no interrupt remapping; vfio_iommu_type1's allow_unsafe_interrupts=1");
}

TEST_F(backends, module_that_is_not_loaded)
{
	fake.iommu = ENOENT;
	fake.set_iommu = ENODEV;
	EXPECT_EQ(-ENODEV, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("VFIO_SET_IOMMU: No such device");
	in_tree(self->root, "rmdir module/vfio_iommu_type1");
	EXPECT_EQ(-ENODEV, OPEN(FIRST, NULL, &self->device));
	EXPECT_SAYS("vfio_iommu_type1 is not loaded");
}

/* Each kernel says it at another step, and some as if it were interrupts. */
TEST_F(backends, memory_of_the_firmware)
{
	int *steps[] = { &fake.bind, &fake.attach, &fake.set_container, &fake.set_iommu };
	int errors[] = { EINVAL, EPERM };
	size_t i, j;

	in_tree(self->root, "printf '0x0 0xfff direct-relaxable\\n0xfee00000 0xfeefffff msi\\n' > kernel/iommu_groups/5/reserved_regions");
	in_tree(self->root, "printf '0x0 0xfff direct\\n0xfee00000 0xfeefffff msi\\n' > kernel/iommu_groups/3/reserved_regions");
	for (i = 0; i < 4; i++) {
		fake.iommu = i < 2 ? 0 : EACCES;
		fake.vfio = i < 2 ? EACCES : 0;
		for (j = 0; j < 2; j++) {
			*steps[i] = errors[j];
			EXPECT_GT(0, OPEN(FIRST, NULL, &self->device));
			EXPECT_SAYS("the firmware wants memory");
			EXPECT_GT(0, OPEN(ALONE, NULL, &self->device));
			EXPECT_EQ(NULL, strstr(vfioext_message(self->ctx), "firmware"));
		}
		*steps[i] = 0;
	}
}

/* In whatever container the first is; a device is still opened once. */
TEST_F(backends, group_has_one_container)
{
	struct vfioext_container *container;

	ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device));
	ASSERT_EQ(0, OPEN(BESIDE, NULL, &self->other));
	container = vfioext_device_container(self->device);
	EXPECT_EQ(container, vfioext_device_container(self->other));
	vfioext_device_close(self->device);
	EXPECT_EQ(VFIOEXT_BACKEND_IOMMUFD, vfioext_container_backend(container));
	ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device));
	EXPECT_EQ(container, vfioext_device_container(self->device));
	vfioext_device_close(self->other);
	ASSERT_EQ(0, OPEN(ALONE, NULL, &self->other));
	EXPECT_NE(container, vfioext_device_container(self->other));
	EXPECT_EQ(0, fake.address_spaces_gone);
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(1, fake.address_spaces_gone);
}

TEST_F(backends, group_in_an_explicit_container)
{
	struct vfioext_open how = { 0 };

	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_CONTAINER, &how.container));
	ASSERT_EQ(0, OPEN(FIRST, &how, &self->device));
	ASSERT_EQ(0, OPEN(BESIDE, NULL, &self->other));
	EXPECT_EQ(how.container, vfioext_device_container(self->other));
	vfioext_device_close(self->device);
	EXPECT_EQ(-EBUSY, vfioext_container_free(how.container));
	vfioext_device_close(self->other);
	self->device = NULL;
	self->other = NULL;
	EXPECT_EQ(0, vfioext_container_free(how.container));
}

/* Nothing else moves with it, so it does not move. */
TEST_F(backends, group_does_not_move_in_part)
{
	struct vfioext_container *container;

	ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device));
	ASSERT_EQ(0, OPEN(BESIDE, NULL, &self->other));
	ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_IOMMUFD, &container));
	EXPECT_EQ(-EBUSY, vfioext_device_move(self->device, container));
	vfioext_device_close(self->other);
	self->other = NULL;
	EXPECT_EQ(0, vfioext_device_move(self->device, container));
	vfioext_device_close(self->device);
	self->device = NULL;
	EXPECT_EQ(0, vfioext_container_free(container));
}

/* A device that moves is as good as one that is opened there. */
TEST_F(backends, container_that_is_settled_by_a_move)
{
	struct vfioext_open how = { 0 };
	int i;

	for (i = 0; i < 2; i++) {
		fake.file = i ? EACCES : 0;
		ASSERT_EQ(0, OPEN(FIRST, NULL, &self->device));
		ASSERT_EQ(0, vfioext_container_new(self->ctx, VFIOEXT_BACKEND_ANY, &how.container));
		ASSERT_EQ(0, vfioext_device_move(self->device, how.container)) {
			TH_LOG("%s", vfioext_message(self->ctx));
		}
		EXPECT_EQ(i ? VFIOEXT_BACKEND_CONTAINER : VFIOEXT_BACKEND_IOMMUFD,
			  vfioext_container_backend(how.container));
		fake.file = EACCES;
		EXPECT_EQ(i ? 0 : -EACCES, OPEN(ALONE, &how, &self->other));
		vfioext_device_close(self->other);
		vfioext_device_close(self->device);
		self->other = NULL;
		self->device = NULL;
		EXPECT_EQ(0, vfioext_container_free(how.container));
	}
}

static const uint8_t token_bytes[] = {
	0x8b, 0x63, 0x1a, 0x5c, 0x7a, 0x1e, 0x4a, 0x4b, 0x8c, 0x6d, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
};

TEST_F(backends, token_over_iommufd)
{
	struct vfioext_open how = { .vf_token = TOKEN };

	fake.tokens = true;
	ASSERT_EQ(0, OPEN(VIRTUAL, &how, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_IOMMUFD, BACKEND_OF(self->device));
	EXPECT_TRUE(fake.has_token);
	EXPECT_EQ(0, memcmp(token_bytes, fake.token, sizeof(token_bytes)));
	fake.bind = EACCES;
	fake.get_device = EACCES;
	EXPECT_EQ(-EACCES, OPEN(PHYSICAL, NULL, &self->other));
	EXPECT_SAYS("token");
}

/* An older kernel asks for it by the group alone. */
TEST_F(backends, token_over_iommufd_before_it_was_known)
{
	struct vfioext_open how = { .vf_token = TOKEN };

	ASSERT_EQ(0, OPEN(VIRTUAL, &how, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_CONTAINER, BACKEND_OF(self->device));
	EXPECT_EQ(0, strcmp(VIRTUAL " vf_token=" TOKEN, fake.device_name));
	how.backend = VFIOEXT_BACKEND_IOMMUFD;
	EXPECT_EQ(-EOPNOTSUPP, OPEN(PHYSICAL, &how, &self->other));
	EXPECT_SAYS("VFIOEXT_BACKEND=container");
}

TEST_F(backends, token_for_what_has_none)
{
	struct vfioext_open how = { .vf_token = TOKEN };

	ASSERT_EQ(0, OPEN(FIRST, &how, &self->device));
	EXPECT_EQ(VFIOEXT_BACKEND_IOMMUFD, BACKEND_OF(self->device));
	EXPECT_FALSE(fake.has_token);
	fake.iommu = EACCES;
	how.backend = VFIOEXT_BACKEND_CONTAINER;
	ASSERT_EQ(0, OPEN(STRANGE, &how, &self->other));
	EXPECT_EQ(0, strcmp(STRANGE, fake.device_name));
}

TEST_F(backends, token_that_is_none)
{
	static const char *const texts[] = {
		"", "8b631a5c", TOKEN "0", "8b631a5c-7a1e-4a4b-8c6d-0123456789ag", "8b631a5c07a1e-4a4b-8c6d-0123456789ab",
	};
	struct vfioext_open how = { 0 };
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		how.vf_token = texts[i];
		EXPECT_EQ(-EINVAL, OPEN(VIRTUAL, &how, &self->device));
		EXPECT_SAYS("a token is a UUID");
	}
}

TEST_F(backends, token_that_an_owner_sets)
{
	ASSERT_EQ(0, OPEN(PHYSICAL, NULL, &self->device));
	ASSERT_EQ(0, vfioext_device_set_vf_token(self->device, TOKEN));
	EXPECT_EQ(0, memcmp(token_bytes, fake.token, sizeof(token_bytes)));
	EXPECT_EQ(-EINVAL, vfioext_device_set_vf_token(self->device, "x"));
	fake.feature = ENOTTY;
	EXPECT_EQ(-ENOTSUP, vfioext_device_set_vf_token(self->device, TOKEN));
	EXPECT_SAYS("no virtual functions");
}

/* Memory is mapped if the kernel maps it, whatever the limits say. */
TEST_F(backends, locked_memory_is_the_kernels)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct rlimit limit = { 8 << 20, self->locked.rlim_max };
	struct vfioext_container *container;
	uint64_t iova;
	void *memory;
	int i;

	/* Who may lock without end knows no limit. */
	ASSERT_EQ(0, syscall(SYS_capset, &header, none));
	for (i = 0; i < 2; i++) {
		fake.iommu = i ? EACCES : 0;
		fake.map = 0;
		ASSERT_EQ(0, OPEN(ALONE, NULL, &self->device));
		container = vfioext_device_container(self->device);
		limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		fake.maps = 0;
		EXPECT_EQ(0, vfioext_dma_alloc(container, 64 << 20, 0, &memory, &iova)) {
			TH_LOG("%s", vfioext_message(self->ctx));
		}
		EXPECT_EQ(1, fake.maps);
		EXPECT_EQ(0, vfioext_dma_free(container, memory, 64 << 20));
		fake.map = ENOMEM;
		EXPECT_EQ(-ENOMEM, vfioext_dma_alloc(container, 64 << 20, 0, &memory, &iova));
		EXPECT_SAYS("65536 KiB cannot be locked in memory, ");
		EXPECT_SAYS("raise RLIMIT_MEMLOCK");
		vfioext_device_close(self->device);
		self->device = NULL;
	}
	setrlimit(RLIMIT_MEMLOCK, &self->locked);
}

/* Where it is not the limit, the limit is not blamed. */
TEST_F(backends, no_memory_of_another_kind)
{
	struct vfioext_container *container;
	uint64_t iova;
	void *memory;

	fake.iommu = EACCES;
	ASSERT_EQ(0, OPEN(ALONE, NULL, &self->device));
	container = vfioext_device_container(self->device);
	fake.map = ENOMEM;
	EXPECT_EQ(-ENOMEM, vfioext_dma_alloc(container, PAGE, 0, &memory, &iova));
	EXPECT_EQ(NULL, strstr(vfioext_message(self->ctx), "RLIMIT"));
	EXPECT_SAYS("Cannot allocate memory");
}

TEST_F(backends, unknown_flags)
{
	struct vfioext_container *container;
	uint64_t iova = 0x1000;
	void *memory;

	ASSERT_EQ(0, OPEN(ALONE, NULL, &self->device));
	container = vfioext_device_container(self->device);
	EXPECT_EQ(-EINVAL, vfioext_dma_alloc(container, PAGE, 0x10, &memory, &iova));
	EXPECT_SAYS("0x10");
	ASSERT_EQ(0, vfioext_dma_alloc(container, PAGE, VFIOEXT_DMA_HUGE, &memory, &iova));
	EXPECT_EQ(-EINVAL, vfioext_dma_map(container, memory, PAGE, VFIOEXT_DMA_HUGE, &iova));
	EXPECT_EQ(-EINVAL, vfioext_dma_map(container, memory, PAGE, 1u << 31, &iova));
	EXPECT_EQ(0, vfioext_dma_free(container, memory, PAGE));
}

/* The groups of one reset may be in several containers, of several contexts. */
TEST_F(backends, hot_reset_over_containers)
{
	struct vfioext_open how = { .backend = VFIOEXT_BACKEND_CONTAINER };
	struct vfioext_hot_reset reset;
	struct vfioext *another;

	ASSERT_EQ(0, vfioext_new(&another, self->root));
	ASSERT_EQ(0, OPEN(FIRST, &how, &self->device));
	EXPECT_EQ(-EPERM, vfioext_device_hot_reset(self->device));
	EXPECT_SAYS(ALONE);
	ASSERT_EQ(0, vfioext_device_open(another, ALONE, &how, &self->other));
	ASSERT_EQ(0, vfioext_device_get_hot_reset(self->device, &reset));
	EXPECT_EQ(3, reset.nr);
	EXPECT_TRUE(reset.possible);
	vfioext_hot_reset_release(&reset);
	EXPECT_EQ(0, vfioext_device_hot_reset(self->device));
	EXPECT_EQ(2, fake.reset_groups);
	vfioext_device_close(self->other);
	self->other = NULL;
	EXPECT_EQ(-EPERM, vfioext_device_hot_reset(self->device));
	vfioext_free(another);
}

static int take(const struct vfioext_driver *driver, struct vfioext_device *device)
{
	(void)driver;
	return strcmp(vfioext_device_info(device)->name, ALONE) ? 0 : -EIO;
}

/* What is left out of a scan, and why. */
TEST_F(backends, scan_says_what_it_left_out)
{
	static const struct vfioext_device_id id = { 0x1234, VFIOEXT_ANY_ID, VFIOEXT_ANY_ID, VFIOEXT_ANY_ID };
	static const struct vfioext_driver driver = { .name = "x", .ids = &id, .nr_ids = 1, .probe = take };
	const struct vfioext_left_out *left;
	struct vfioext_bus *bus;
	size_t nr;

	ASSERT_EQ(0, vfioext_bus_new(self->ctx, NULL, &bus));
	EXPECT_EQ(0, vfioext_bus_scan(bus));
	EXPECT_EQ(NULL, vfioext_bus_left_out(bus, &nr));
	ASSERT_EQ(0, vfioext_bus_register(bus, &driver));
	/* Both of a group are opened. */
	EXPECT_EQ(5, vfioext_bus_scan(bus));
	left = vfioext_bus_left_out(bus, &nr);
	ASSERT_EQ(1, nr);
	EXPECT_EQ(0, strcmp(ALONE, left[0].name));
	EXPECT_EQ(-EIO, left[0].error);
	vfioext_bus_free(bus);

	fake.file = EACCES;
	fake.group = EACCES;
	ASSERT_EQ(0, vfioext_bus_new(self->ctx, NULL, &bus));
	ASSERT_EQ(0, vfioext_bus_register(bus, &driver));
	EXPECT_EQ(0, vfioext_bus_scan(bus));
	left = vfioext_bus_left_out(bus, &nr);
	ASSERT_EQ(6, nr);
	EXPECT_EQ(-EACCES, left[0].error);
	EXPECT_NE(NULL, strstr(left[0].reason, "/dev/vfio/devices/vfio"));
	fake.file = 0;
	EXPECT_EQ(5, vfioext_bus_scan(bus));
	vfioext_bus_left_out(bus, &nr);
	EXPECT_EQ(1, nr);
	vfioext_bus_free(bus);
}

TEST_HARNESS_MAIN
