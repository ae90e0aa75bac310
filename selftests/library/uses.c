// SPDX-License-Identifier: GPL-2.0-only
/* What a device is used for, against a made-up sysfs and a made-up /proc. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <vfioext/vfioext.h>

#include "kselftest_harness.h"

#include "../lib/sysfs_tree.h"

#define DEVICE "0000:02:00.0"
#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

FIXTURE(uses) {
	char root[64];
	struct vfioext *ctx;
	struct vfioext_uses uses;
};

FIXTURE_SETUP(uses)
{
	strcpy(self->root, "/tmp/vfioext-test-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->root));
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->root));
	add_pci(self->root, DEVICE, 1, "ahci", "0x010601");
	in_tree(self->root, "mkdir -p class/block class/net class/tty class/usb block proc/self/ns proc/1/ns proc/77/ns virtual");
	in_tree(self->root, "touch proc/self/ns/mnt proc/77/ns/mnt && ln proc/self/ns/mnt proc/1/ns/mnt");
}

FIXTURE_TEARDOWN(uses)
{
	vfioext_uses_release(&self->uses);
	vfioext_free(self->ctx);
	in_tree("/", "rm -rf %s", self->root);
}

/* A device of a class, at a path below another one. */
static void add_below(const char *root, const char *class, const char *path, const char *number)
{
	in_tree(root, "mkdir -p %s class/%s && ln -s $(pwd)/class/%s %s/subsystem && ln -sfn $(pwd)/%s class/%s/",
		path, class, class, path, path, class);
	if (number)
		in_tree(root, "echo %s > %s/dev", number, path);
}

static void add_disk(const char *root, const char *path, const char *number)
{
	add_below(root, "block", path, number);
	in_tree(root, "mkdir -p %s/holders", path);
}

static bool tells(const struct vfioext_uses *uses, enum vfioext_use_kind kind, const char *text)
{
	size_t i;

	for (i = 0; i < uses->nr; i++)
		if (uses->list[i].kind == kind && !strcmp(uses->list[i].text, text))
			return true;
	for (i = 0; i < uses->nr; i++)
		fprintf(stderr, "# %d: %s\n", uses->list[i].kind, uses->list[i].text);
	return false;
}

#define EXPECT_USE(kind, text)								\
	EXPECT_TRUE(tells(&self->uses, VFIOEXT_USE_##kind, text))

TEST_F(uses, none)
{
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_EQ(0, self->uses.nr);
	EXPECT_EQ(-ENODEV, vfioext_uses_get(self->ctx, "0000:77:00.0", &self->uses));
	EXPECT_EQ(0, self->uses.nr);
}

TEST_F(uses, mounts)
{
	add_disk(self->root, "bus/pci/devices/" DEVICE "/ata1/sda", "300:0");
	add_disk(self->root, "bus/pci/devices/" DEVICE "/ata1/sda/sda1", "300:1");
	add_disk(self->root, "bus/pci/devices/" DEVICE "/ata1/sda/sda2", "300:2");
	add_disk(self->root, "bus/pci/devices/" DEVICE "/ata1/sda/sda3", "300:3");
	in_tree(self->root, "echo '1 0 300:1 / /a\\\\040b rw shared:1 - ext4 /dev/sda1 rw' > proc/self/mountinfo");
	in_tree(self->root, "echo '2 0 0:44 / /btrfs rw - btrfs /dev/sda2 rw' >> proc/self/mountinfo");
	in_tree(self->root, "echo '3 0 301:1 / /other rw - ext4 /dev/sdb1 rw' >> proc/self/mountinfo");
	/* The same namespace, which is not read again, and another one. */
	add_disk(self->root, "bus/pci/devices/" DEVICE "/ata1/sda/sda4", "300:4");
	in_tree(self->root, "echo '4 0 300:4 / /not rw - ext4 /dev/sda4 rw' > proc/1/mountinfo");
	in_tree(self->root, "echo '5 0 300:3 / /c rw - ext4 /dev/sda3 rw' > proc/77/mountinfo");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_EQ(3, self->uses.nr);
	EXPECT_USE(MOUNT, "/dev/sda1 is mounted at /a b");
	EXPECT_USE(MOUNT, "/dev/sda2 is mounted at /btrfs");
	EXPECT_USE(MOUNT, "/dev/sda3 is mounted at /c, in the mount namespace of pid 77");
}

TEST_F(uses, stacked)
{
	add_disk(self->root, "bus/pci/devices/" DEVICE "/nvme/nvme0/nvme0c0n1", NULL);
	add_disk(self->root, "virtual/nvme0n1", "300:0");
	add_disk(self->root, "virtual/nvme0n1/nvme0n1p1", "300:1");
	add_disk(self->root, "virtual/md7", "301:7");
	add_disk(self->root, "virtual/dm-3", "302:3");
	in_tree(self->root, "mkdir virtual/md7/md virtual/dm-3/dm && echo raid1 > virtual/md7/md/level && echo vg-lv > virtual/dm-3/dm/name");
	in_tree(self->root, "ln -s ../../md7 virtual/nvme0n1/nvme0n1p1/holders/ && ln -s ../../dm-3 virtual/md7/holders/");
	in_tree(self->root, "echo '1 0 302:3 / /srv rw - ext4 /dev/mapper/vg-lv rw' > proc/self/mountinfo");
	in_tree(self->root, "(echo Filename Type; echo /dev/nvme0n1 partition) > proc/swaps");
	/* Holders that go round in a circle do not keep anybody. */
	in_tree(self->root, "ln -s ../../md7 virtual/dm-3/holders/");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_USE(HOLDER, "/dev/nvme0n1p1 is a member of md7 (raid1)");
	EXPECT_USE(HOLDER, "/dev/md7, which is on /dev/nvme0n1p1, is used by dm-3 (vg-lv)");
	EXPECT_USE(MOUNT, "/dev/dm-3, which is on /dev/nvme0n1p1, is mounted at /srv");
	EXPECT_USE(SWAP, "/dev/nvme0n1 is swapped to");
}

TEST_F(uses, loops)
{
	add_disk(self->root, "bus/pci/devices/" DEVICE "/sda", "300:0");
	add_disk(self->root, "virtual/loop0", "301:0");
	in_tree(self->root, "mkdir virtual/loop0/loop && echo /dev/sda > virtual/loop0/loop/backing_file && ln -s ../virtual/loop0 block/");
	in_tree(self->root, "echo '1 0 301:0 / /srv rw - ext4 /dev/loop0 rw' > proc/self/mountinfo");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_USE(HOLDER, "/dev/sda is behind loop0");
	EXPECT_USE(MOUNT, "/dev/loop0, which is on /dev/sda, is mounted at /srv");
}

/* An NVMe target opens a disk as anybody may. */
TEST_F(uses, targets)
{
	const char *targets = "kernel/config/nvmet/subsystems";

	add_disk(self->root, "bus/pci/devices/" DEVICE "/nvme/nvme0/nvme0c0n1", NULL);
	add_disk(self->root, "virtual/nvme0n1", "300:0");
	add_disk(self->root, "virtual/nvme0n1/nvme0n1p1", "300:1");
	add_below(self->root, "nvme", "bus/pci/devices/" DEVICE "/nvme/nvme0", NULL);
	in_tree(self->root, "mkdir -p %s/nqn.one/namespaces/1 %s/nqn.one/namespaces/2 %s/nqn.two/passthru", targets, targets, targets);
	in_tree(self->root, "cd %s/nqn.one/namespaces && echo /dev/nvme0n1p1 > 1/device_path && echo 1 > 1/enable", targets);
	in_tree(self->root, "cd %s/nqn.one/namespaces && echo /dev/nvme0n1 > 2/device_path && echo 0 > 2/enable", targets);
	in_tree(self->root, "cd %s/nqn.two/passthru && echo /dev/nvme0 > device_path && echo 1 > enable", targets);
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_EQ(2, self->uses.nr);
	EXPECT_USE(HOLDER, "/dev/nvme0n1p1 is exported by the NVMe target nqn.one");
	EXPECT_USE(HOLDER, "its nvme nvme0 is exported by the NVMe target nqn.two");
}

/* A directory of the host, in a virtual machine */
TEST_F(uses, shares)
{
	static const char *const drivers[] = { "9pnet_virtio", "virtiofs", "virtiofs" };
	size_t i;

	for (i = 0; i < 3; i++) {
		in_tree(self->root, "mkdir -p bus/virtio/devices bus/virtio/drivers/%s bus/pci/devices/" DEVICE "/virtio%zu", drivers[i], i);
		in_tree(self->root, "cd bus/pci/devices/" DEVICE "/virtio%zu && ln -s ../../../../virtio subsystem && ln -s ../../../../virtio/drivers/%s driver", i, drivers[i]);
		in_tree(self->root, "ln -s ../../pci/devices/" DEVICE "/virtio%zu bus/virtio/devices/", i);
	}
	in_tree(self->root, "printf 'root\\0' > bus/pci/devices/" DEVICE "/virtio0/mount_tag");
	in_tree(self->root, "mkdir -p fs/virtiofs/0 && echo home > fs/virtiofs/0/tag && ln -s ../../../bus/virtio/devices/virtio1 fs/virtiofs/0/device");
	in_tree(self->root, "echo '1 0 0:40 / / rw - 9p root rw' > proc/self/mountinfo");
	in_tree(self->root, "echo '2 0 0:41 / /other rw - 9p other rw' >> proc/self/mountinfo");
	in_tree(self->root, "echo '3 0 0:42 / /home rw - virtiofs home rw' >> proc/self/mountinfo");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_EQ(3, self->uses.nr);
	EXPECT_USE(MOUNT, "root of its virtio0 is mounted at /");
	EXPECT_USE(MOUNT, "home of its virtio1 is mounted at /home");
	EXPECT_USE(MOUNT, "home of its virtio2 may be what is mounted at /home");
}

TEST_F(uses, interfaces)
{
	add_below(self->root, "net", "bus/pci/devices/" DEVICE "/virtio3/net/eth0", NULL);
	in_tree(self->root, "mkdir -p class/net/br0 class/net/eth0.5 && echo DEVTYPE=bridge > class/net/br0/uevent && echo DEVTYPE=vlan > class/net/eth0.5/uevent");
	in_tree(self->root, "cd class/net/eth0/ && ln -s ../br0 master && ln -s ../br0 upper_br0 && ln -s ../eth0.5 upper_eth0.5");
	in_tree(self->root, "mkdir proc/net && printf 'Id Address Device\\n00000001 02:00:00:00:00:01 eth1\\n12340000 02:00:00:00:00:02     eth0 \\n' > proc/net/pppoe");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_EQ(3, self->uses.nr);
	EXPECT_USE(UPPER, "a PPPoE session is on eth0");
	EXPECT_USE(MASTER, "eth0 is a port of the bridge br0");
	EXPECT_USE(UPPER, "the vlan eth0.5 is on eth0");
}

TEST_F(uses, elsewhere)
{
	in_tree(self->root, "mkdir bus/pci/devices/" DEVICE "/net");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_USE(NAMESPACE, "its network interface is in another network namespace");
}

TEST_F(uses, others)
{
	const char *at = "bus/pci/devices/" DEVICE;

	in_tree(self->root, "echo 1 > %s/boot_vga", at);
	add_below(self->root, "tty", "bus/pci/devices/" DEVICE "/tty/ttyS4", "4:68");
	in_tree(self->root, "mkdir -p class/tty/console && echo tty0 ttyS4 > class/tty/console/active");
	add_below(self->root, "graphics", "bus/pci/devices/" DEVICE "/graphics/fb0", "29:0");
	in_tree(self->root, "mkdir -p class/vtconsole/vtcon1 && cd class/vtconsole/vtcon1 && echo '(M) frame buffer device' > name && echo 1 > bind");
	add_below(self->root, "usb", "bus/pci/devices/" DEVICE "/usb1/1-1", NULL);
	in_tree(self->root, "cd %s/usb1/1-1 && echo 00 > bDeviceClass && echo Stick > product", at);
	add_below(self->root, "usb", "bus/pci/devices/" DEVICE "/usb1/1-1/1-1:1.0", NULL);
	in_tree(self->root, "cd %s/usb1/1-1/1-1:1.0 && echo 08 > bInterfaceClass && mkdir driver", at);
	/* One that no driver has. */
	add_below(self->root, "usb", "bus/pci/devices/" DEVICE "/usb1/1-2", NULL);
	in_tree(self->root, "cd %s/usb1/1-2 && echo 00 > bDeviceClass", at);
	add_below(self->root, "input", "bus/pci/devices/" DEVICE "/input/input3", NULL);
	in_tree(self->root, "echo Keys > %s/input/input3/name", at);
	/* A jack of a sound card. */
	add_below(self->root, "input", "bus/pci/devices/" DEVICE "/sound/card0/input4", NULL);
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_EQ(5, self->uses.nr);
	EXPECT_USE(DISPLAY, "it is the boot VGA device");
	EXPECT_USE(CONSOLE, "its terminal ttyS4 is a console of the kernel");
	EXPECT_USE(CONSOLE, "its frame buffer fb0 shows the console");
	EXPECT_USE(USB, "the USB device 1-1 (Stick) is attached to it");
	EXPECT_USE(INPUT, "the input device input3 (Keys) is attached to it");
}

TEST_F(uses, children)
{
	add_pci(self->root, "0000:02:00.1", 2, NULL, "0x010802");
	in_tree(self->root, "ln -s ../0000:02:00.1 bus/pci/devices/" DEVICE "/virtfn0");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	ASSERT_EQ(1, self->uses.nr);
	EXPECT_TRUE(self->uses.list[0].harmless);
	EXPECT_USE(CHILDREN, "its 1 VF goes with its driver");
	vfioext_uses_release(&self->uses);
	add_pci(self->root, "0000:02:00.2", 3, "nvme", "0x010802");
	in_tree(self->root, "ln -s ../0000:02:00.2 bus/pci/devices/" DEVICE "/virtfn1");
	add_disk(self->root, "bus/pci/devices/0000:02:00.2/sda", "300:0");
	in_tree(self->root, "echo '1 0 300:0 / /srv rw - ext4 /dev/sda rw' > proc/self/mountinfo");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	ASSERT_EQ(1, self->uses.nr);
	EXPECT_FALSE(self->uses.list[0].harmless);
	EXPECT_USE(CHILD, "its VF 0000:02:00.2 is in use: /dev/sda is mounted at /srv");
}

TEST_F(uses, mdevs)
{
	add_mdev(self->root, UUID, 4, "vfio-pci");
	in_tree(self->root, "rm -r bus/mdev/devices/" UUID "/vfio-dev");
	add_below(self->root, "mdev", "bus/pci/devices/" DEVICE "/" UUID, NULL);
	in_tree(self->root, "rm class/mdev/" UUID " && ln -sfn $(pwd)/bus/mdev/devices bus/mdev/devices/" UUID "/x");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_USE(CHILDREN, "its 1 mdev goes with its driver");
}

TEST_F(uses, bridges)
{
	add_pci(self->root, "0000:00:1c.0", 5, "pcieport", "0x060400");
	add_below(self->root, "pci", "bus/pci/devices/0000:00:1c.0/" DEVICE, NULL);
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, "0000:00:1c.0", &self->uses));
	EXPECT_USE(BRIDGE, "it is a bridge");
	EXPECT_USE(BRIDGE, DEVICE " (ahci) is behind it");
}

/* Nothing in /proc or sysfs, however wrong, is more than a use that is not told. */
TEST_F(uses, damaged)
{
	add_disk(self->root, "bus/pci/devices/" DEVICE "/sda", "garbage");
	add_disk(self->root, "bus/pci/devices/" DEVICE "/nvme1c", NULL);
	add_disk(self->root, "bus/pci/devices/" DEVICE "/nvme0c0n99999999999999999999", NULL);
	add_disk(self->root, "bus/pci/devices/" DEVICE "/sdb", "300:0");
	in_tree(self->root, "ln -s /nowhere bus/pci/devices/" DEVICE "/sdb/holders/gone");
	in_tree(self->root, "printf '1 0\\n1 0 300:0\\n1 0 300:0 / /x rw\\n\\n - \\n1 0 300:0 / /y\\\\9 - ext4\\n' > proc/self/mountinfo");
	in_tree(self->root, "printf '1 0 300:0 / /z\\\\04 rw - ext4 none rw' >> proc/self/mountinfo");
	in_tree(self->root, "printf '\\n\\n/dev/\\n/dev/sdb\\\\' > proc/swaps");
	in_tree(self->root, "ln -s loop bus/pci/devices/" DEVICE "/loop && ln -s loop proc/99");
	add_below(self->root, "usb", "bus/pci/devices/" DEVICE "/usb", NULL);
	add_below(self->root, "net", "bus/pci/devices/" DEVICE "/net/eth9", NULL);
	in_tree(self->root, "ln -s . class/net/eth9/upper_ && ln -s x class/net/eth9/upper_gone");
	ASSERT_EQ(0, vfioext_uses_get(self->ctx, DEVICE, &self->uses));
	EXPECT_USE(HOLDER, "/dev/sdb is used by gone");
	EXPECT_USE(MOUNT, "/dev/sdb is mounted at /z\\04");
	EXPECT_USE(UPPER, "the interface gone is on eth9");
}

TEST_HARNESS_MAIN
