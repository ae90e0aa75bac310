// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mediated parent without hardware, whose devices look like PCI devices: a BAR
 * with two areas that can be mapped, one that cannot be, MSI-X and a request
 * interrupt. It shows what a parent has to do, and no more.
 */
#include <linux/eventfd.h>
#include <linux/mdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci_regs.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "vfioext_mdev.h"

#define CONFIG_SIZE 256
#define MDEV_OFFSET_SHIFT 40
#define MDEV_OFFSET_MASK ((1ULL << MDEV_OFFSET_SHIFT) - 1)

static unsigned int instances = 16;
module_param(instances, uint, 0444);
MODULE_PARM_DESC(instances, "How many devices there may be at a time");

/*
 * @bar0: what is mapped; the hole of it is not used
 */
struct example {
	struct vfio_device vdev;
	/*
	 * Everything below. Never held while user memory is touched: that may
	 * sleep for ever, and request() must not.
	 */
	struct mutex lock;
	u8 config[CONFIG_SIZE];
	void *bar0;
	u8 bar2[MDEV_BAR2_SIZE];
	u8 bar4[MDEV_BAR4_SIZE];
	u32 doorbell;
	u32 resets;
	struct eventfd_ctx *vectors[MDEV_VECTORS];
	struct eventfd_ctx *request;
};

static struct platform_device *parent_device;
/* Does nothing but name the device's driver, and so the type "vfioext_mdev-sparse". */
static struct platform_driver parent_driver = { .driver = { .name = "vfioext_mdev" } };
static struct mdev_parent parent;
static struct mdev_type sparse_type = {
	.sysfs_name = "sparse",
	.pretty_name = "Example device with sparse regions",
};
static struct mdev_type *types[] = { &sparse_type };

static struct example *to_example(struct vfio_device *vdev)
{
	return container_of(vdev, struct example, vdev);
}

static void put16(struct example *example, unsigned int at, u16 value)
{
	*(__le16 *)&example->config[at] = cpu_to_le16(value);
}

static void put32(struct example *example, unsigned int at, u32 value)
{
	*(__le32 *)&example->config[at] = cpu_to_le32(value);
}

static u32 bar_size(unsigned int index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return MDEV_BAR0_SIZE;
	case VFIO_PCI_BAR2_REGION_INDEX:
		return MDEV_BAR2_SIZE;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return MDEV_BAR4_SIZE;
	default:
		return 0;
	}
}

static void reset_config(struct example *example)
{
	memset(example->config, 0, CONFIG_SIZE);
	put16(example, PCI_VENDOR_ID, MDEV_VENDOR);
	put16(example, PCI_DEVICE_ID, MDEV_DEVICE);
	put16(example, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put16(example, PCI_CLASS_DEVICE, 0x00ff);
	example->config[PCI_CAPABILITY_LIST] = MDEV_MSIX_CAP;
	example->config[MDEV_MSIX_CAP] = PCI_CAP_ID_MSIX;
	put16(example, MDEV_MSIX_CAP + PCI_MSIX_FLAGS, MDEV_VECTORS - 1);
	put32(example, MDEV_MSIX_CAP + PCI_MSIX_TABLE, 4);
	put32(example, MDEV_MSIX_CAP + PCI_MSIX_PBA, 0x800 | 4);
}

static void reset_device(struct example *example)
{
	reset_config(example);
	memset(example->bar0, 0, MDEV_BAR0_SIZE);
	memset(example->bar2, 0, MDEV_BAR2_SIZE);
	memset(example->bar4, 0, MDEV_BAR4_SIZE);
	example->doorbell = 0;
}

/* A BAR keeps the bits above its size: all ones read back tell the size. */
static void write_bar(struct example *example, unsigned int at, u32 value)
{
	u32 size = bar_size((at - PCI_BASE_ADDRESS_0) / 4);

	put32(example, at, size ? value & ~(size - 1) : 0);
}

static int write_config(struct example *example, loff_t at, u32 value, size_t width)
{
	if (at >= PCI_BASE_ADDRESS_0 && at <= PCI_BASE_ADDRESS_5 && width == 4 && !(at % 4))
		write_bar(example, at, value);
	else if (at == PCI_COMMAND && width == 2)
		put16(example, PCI_COMMAND, value);
	else if (at == MDEV_MSIX_CAP + PCI_MSIX_FLAGS && width == 2)
		put16(example, at, (value & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)) |
				   (MDEV_VECTORS - 1));
	return 0;
}

static void ring(struct example *example, u32 vector)
{
	example->doorbell = vector;
	if (vector < MDEV_VECTORS && example->vectors[vector])
		compat_eventfd_signal(example->vectors[vector]);
}

/* What lies at an offset that is plain memory, or NULL. */
static void *memory_at(struct example *example, unsigned int index, loff_t at)
{
	switch (index) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return example->config + at;
	case VFIO_PCI_BAR0_REGION_INDEX:
		if (at >= MDEV_AREA0_SIZE && at < MDEV_AREA1_START)
			return NULL;
		return example->bar0 + at;
	case VFIO_PCI_BAR2_REGION_INDEX:
		return example->bar2 + at;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return example->bar4 + at;
	default:
		return NULL;
	}
}

static u32 read_value(struct example *example, unsigned int index, loff_t at, size_t width)
{
	void *memory = memory_at(example, index, at);
	__le32 value = 0;

	if (memory)
		memcpy(&value, memory, width);
	else if (at == MDEV_DOORBELL)
		value = cpu_to_le32(example->doorbell);
	else if (at == MDEV_RESETS)
		value = cpu_to_le32(example->resets);
	return le32_to_cpu(value);
}

static void write_value(struct example *example, unsigned int index, loff_t at, u32 value,
			size_t width)
{
	void *memory = memory_at(example, index, at);
	__le32 le = cpu_to_le32(value);

	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		write_config(example, at, value, width);
	else if (memory)
		memcpy(memory, &le, width);
	else if (at == MDEV_DOORBELL && width == 4)
		ring(example, value);
}

static u64 region_size(unsigned int index)
{
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? CONFIG_SIZE : bar_size(index);
}

/* One aligned access of 1, 2 or 4 bytes. Return: its width, or an error. */
static ssize_t access_once(struct example *example, char __user *buf, size_t left, loff_t pos,
			   bool write)
{
	unsigned int index = pos >> MDEV_OFFSET_SHIFT;
	loff_t at = pos & MDEV_OFFSET_MASK;
	size_t width = left >= 4 && !(at % 4) ? 4 : left >= 2 && !(at % 2) ? 2 : 1;
	__le32 value = 0;

	if (at >= region_size(index) || width > region_size(index) - at)
		return -EINVAL;
	if (write) {
		if (copy_from_user(&value, buf, width))
			return -EFAULT;
		mutex_lock(&example->lock);
		write_value(example, index, at, le32_to_cpu(value), width);
		mutex_unlock(&example->lock);
	} else {
		mutex_lock(&example->lock);
		value = cpu_to_le32(read_value(example, index, at, width));
		mutex_unlock(&example->lock);
		if (copy_to_user(buf, &value, width))
			return -EFAULT;
	}
	return width;
}

static ssize_t access_all(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos,
			  bool write)
{
	struct example *example = to_example(vdev);
	ssize_t ret = 0;
	size_t done;

	for (done = 0; done < count; done += ret, *ppos += ret) {
		ret = access_once(example, buf + done, count - done, *ppos, write);
		if (ret < 0)
			break;
	}
	return done ? done : ret;
}

static ssize_t example_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	return access_all(vdev, buf, count, ppos, false);
}

static ssize_t example_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			     loff_t *ppos)
{
	return access_all(vdev, (char __user *)buf, count, ppos, true);
}

/* The areas alone can be mapped; the mapping keeps the file, and so the device. */
static int example_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct example *example = to_example(vdev);
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 size = vma->vm_end - vma->vm_start;
	u64 start = offset & MDEV_OFFSET_MASK, end = start + size;

	if (offset >> MDEV_OFFSET_SHIFT != VFIO_PCI_BAR0_REGION_INDEX ||
	    !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (end > MDEV_AREA0_START + MDEV_AREA0_SIZE &&
	    (start < MDEV_AREA1_START || end > MDEV_BAR0_SIZE))
		return -EINVAL;
	return remap_vmalloc_range(vma, example->bar0, start >> PAGE_SHIFT);
}

static int sparse_caps(struct vfio_region_info *info, struct vfio_info_cap *caps)
{
	struct {
		struct vfio_region_info_cap_sparse_mmap sparse;
		struct vfio_region_sparse_mmap_area areas[2];
	} cap = {
		.sparse = {
			.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
			.nr_areas = 2,
		},
		.areas = {
			{ .offset = MDEV_AREA0_START, .size = MDEV_AREA0_SIZE },
			{ .offset = MDEV_AREA1_START, .size = MDEV_AREA1_SIZE },
		},
	};

	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return vfio_info_add_capability(caps, &cap.sparse.header, sizeof(cap));
}

static int example_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
			       struct vfio_info_cap *caps)
{
	if (info->index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info->offset = (u64)info->index << MDEV_OFFSET_SHIFT;
	info->size = region_size(info->index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	return info->index == VFIO_PCI_BAR0_REGION_INDEX ? sparse_caps(info, caps) : 0;
}

static unsigned int vectors_of(unsigned int index)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return MDEV_VECTORS;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

static long get_irq_info(struct vfio_irq_info __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.count = vectors_of(info.index);
	info.flags = info.count ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE : 0;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

/* Put an eventfd in a slot; -1 empties it. */
static int set_trigger(struct eventfd_ctx **slot, s32 fd)
{
	struct eventfd_ctx *trigger = NULL;

	if (fd >= 0) {
		trigger = eventfd_ctx_fdget(fd);
		if (IS_ERR(trigger))
			return PTR_ERR(trigger);
	} else if (fd != -1) {
		return -EINVAL;
	}
	if (*slot)
		eventfd_ctx_put(*slot);
	*slot = trigger;
	return 0;
}

static struct eventfd_ctx **triggers_of(struct example *example, unsigned int index)
{
	return index == VFIO_PCI_REQ_IRQ_INDEX ? &example->request : example->vectors;
}

static void clear_triggers(struct example *example, unsigned int index)
{
	unsigned int i;

	for (i = 0; i < vectors_of(index); i++)
		set_trigger(&triggers_of(example, index)[i], -1);
}

static int set_triggers(struct example *example, const struct vfio_irq_set *set, const s32 *fds)
{
	unsigned int i;
	int ret;

	for (i = 0; i < set->count; i++) {
		ret = set_trigger(&triggers_of(example, set->index)[set->start + i], fds[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/* Triggers by eventfd, and none to end those of an index: what the examples need. */
static long set_irqs(struct example *example, struct vfio_irq_set __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_set, count);
	struct vfio_irq_set set;
	size_t data_size = 0;
	s32 *fds = NULL;
	int ret;

	if (copy_from_user(&set, arg, minsz))
		return -EFAULT;
	ret = vfio_set_irqs_validate_and_prepare(&set, vectors_of(set.index), VFIO_PCI_NUM_IRQS,
						 &data_size);
	if (ret)
		return ret;
	if ((set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EINVAL;
	switch (set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		if (set.count)
			return -EINVAL;
		mutex_lock(&example->lock);
		clear_triggers(example, set.index);
		mutex_unlock(&example->lock);
		return 0;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		fds = memdup_user((void __user *)arg + minsz, data_size);
		if (IS_ERR(fds))
			return PTR_ERR(fds);
		mutex_lock(&example->lock);
		ret = set_triggers(example, &set, fds);
		mutex_unlock(&example->lock);
		kfree(fds);
		return ret;
	default:
		return -EINVAL;
	}
}

static long get_info(struct vfio_device_info __user *arg)
{
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long example_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct example *example = to_example(vdev);
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(user);
	case VFIO_DEVICE_GET_REGION_INFO:
		return compat_region_info(vdev, user, example_region_info);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(user);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(example, user);
	case VFIO_DEVICE_RESET:
		mutex_lock(&example->lock);
		reset_device(example);
		example->resets++;
		mutex_unlock(&example->lock);
		return 0;
	default:
		return -ENOTTY;
	}
}

/* The host wants the device back, and says so again every 10 s. */
static void example_request(struct vfio_device *vdev, unsigned int count)
{
	struct example *example = to_example(vdev);

	mutex_lock(&example->lock);
	if (example->request)
		compat_eventfd_signal(example->request);
	mutex_unlock(&example->lock);
}

/* Nothing of this user is left for the next. */
static void example_close(struct vfio_device *vdev)
{
	struct example *example = to_example(vdev);

	mutex_lock(&example->lock);
	clear_triggers(example, VFIO_PCI_MSIX_IRQ_INDEX);
	clear_triggers(example, VFIO_PCI_REQ_IRQ_INDEX);
	reset_device(example);
	mutex_unlock(&example->lock);
}

static int example_init(struct vfio_device *vdev)
{
	struct example *example = to_example(vdev);

	example->bar0 = vmalloc_user(MDEV_BAR0_SIZE);
	if (!example->bar0)
		return -ENOMEM;
	mutex_init(&example->lock);
	reset_device(example);
	return 0;
}

static void example_release(struct vfio_device *vdev)
{
	struct example *example = to_example(vdev);

	vfree(example->bar0);
	mutex_destroy(&example->lock);
	compat_vfio_free_device(vdev);
}

static const struct vfio_device_ops example_ops = {
	.name = "vfioext_mdev",
	.init = example_init,
	.release = example_release,
	.close_device = example_close,
	.read = example_read,
	.write = example_write,
	.mmap = example_mmap,
	.ioctl = example_ioctl,
	.request = example_request,
	COMPAT_REGION_INFO_OPS(example_region_info)
	COMPAT_EMULATED_IOMMUFD_OPS
};

static int example_probe(struct mdev_device *mdev)
{
	struct example *example = vfio_alloc_device(example, vdev, &mdev->dev, &example_ops);
	int ret;

	if (IS_ERR(example))
		return PTR_ERR(example);
	ret = vfio_register_emulated_iommu_dev(&example->vdev);
	if (ret) {
		vfio_put_device(&example->vdev);
		return ret;
	}
	dev_set_drvdata(&mdev->dev, example);
	return 0;
}

static void example_remove(struct mdev_device *mdev)
{
	struct example *example = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&example->vdev);
	vfio_put_device(&example->vdev);
}

/* Without get_available(), the core counts up to max_instances. */
static struct mdev_driver example_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.driver = {
		.name = "vfioext_mdev",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
	.probe = example_probe,
	.remove = example_remove,
};

static int __init example_module_init(void)
{
	int ret;

	example_driver.max_instances = instances;
	ret = mdev_register_driver(&example_driver);
	if (ret)
		return ret;
	ret = platform_driver_register(&parent_driver);
	if (ret)
		goto err_mdev_driver;
	parent_device = platform_device_register_simple("vfioext_mdev", PLATFORM_DEVID_NONE, NULL,
							0);
	if (IS_ERR(parent_device)) {
		ret = PTR_ERR(parent_device);
		goto err_driver;
	}
	ret = mdev_register_parent(&parent, &parent_device->dev, &example_driver, types,
				   ARRAY_SIZE(types));
	if (ret)
		goto err_device;
	return 0;

err_device:
	platform_device_unregister(parent_device);
err_driver:
	platform_driver_unregister(&parent_driver);
err_mdev_driver:
	mdev_unregister_driver(&example_driver);
	return ret;
}

static void __exit example_module_exit(void)
{
	mdev_unregister_parent(&parent);
	platform_device_unregister(parent_device);
	platform_driver_unregister(&parent_driver);
	mdev_unregister_driver(&example_driver);
}

module_init(example_module_init);
module_exit(example_module_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Example of a mediated parent");
MODULE_AUTHOR("The vfioext authors");
