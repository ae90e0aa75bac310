// SPDX-License-Identifier: GPL-2.0-only
/*
 * An in-kernel consumer of VFIO groups, in the style of KVM on POWER: user space
 * hands it a group file, it holds the group, and maps memory for the group's devices
 * without a trip to user space; how, consumer_iommu.h knows. When the device is to be
 * taken back it unmaps everything and lets go, or refuses, if a test told it to.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfioext.h>

#include "consumer_iommu.h"
#include "vfioext_consumer.h"

#define BENCH_MAX 10000000

struct consumer_mapping {
	struct list_head node;
	u64 iova;
	u32 flags;
	size_t nr_pages;
	struct page *pages[];
};

struct consumer {
	struct list_head node;
	/*
	 * Everything, and the get with the recording of its result. It is not held while user
	 * space's memory is looked at: that may wait for user space, and a removal for us.
	 */
	struct mutex lock;
	struct vfio_group *group;
	struct consumer_iommu iommu;
	struct list_head mappings;
	bool refuse;
	struct consumer_status status;
};

static LIST_HEAD(consumers);
/* Protects the list of consumers; taken before a consumer's own lock. */
static DEFINE_MUTEX(consumers_lock);

static void mapping_free(struct consumer_mapping *mapping)
{
	unpin_user_pages_dirty_lock(mapping->pages, mapping->nr_pages,
				    mapping->flags & CONSUMER_MAP_WRITE);
	kvfree(mapping);
}

static void consumer_unmap(struct consumer *consumer, struct consumer_mapping *mapping)
{
	consumer_iommu_unmap(&consumer->iommu, mapping->iova, mapping->pages, mapping->nr_pages);
	list_del(&mapping->node);
	consumer->status.maps--;
	mapping_free(mapping);
}

static void consumer_detach(struct consumer *consumer)
{
	struct consumer_mapping *mapping, *next;

	lockdep_assert_held(&consumer->lock);
	list_for_each_entry_safe(mapping, next, &consumer->mappings, node)
		consumer_unmap(consumer, mapping);
	consumer_iommu_put(&consumer->iommu);
	vfio_group_put_external_user(consumer->group);
	consumer->group = NULL;
	consumer->status.attached = 0;
}

static int is_in_group(struct device *dev, const void *id)
{
	struct iommu_group *iommu_group = iommu_group_get(dev);
	bool found = iommu_group && iommu_group_id(iommu_group) == *(const int *)id;

	iommu_group_put(iommu_group);
	return found;
}

/*
 * Any PCI device of the group leads to what they all map in. It may leave the group at
 * any time. A group of mdevs has none, and nothing to map.
 */
static void find_iommu(struct consumer *consumer, struct vfio_group *group)
{
	int id = vfio_external_user_iommu_id(group);
	struct device *dev = bus_find_device(&pci_bus_type, NULL, &id, is_in_group);

	consumer_iommu_get(&consumer->iommu, dev);
	put_device(dev);
}

/* Record a group that was got, or pass its error on. */
static long consumer_attached(struct consumer *consumer, struct vfio_group *group)
{
	if (IS_ERR(group))
		return PTR_ERR(group);
	find_iommu(consumer, group);
	consumer->group = group;
	consumer->status.attached = 1;
	return vfio_external_user_iommu_id(group);
}

static long consumer_attach(struct consumer *consumer, int fd)
{
	struct file *filep;
	long ret;

	if (consumer->group)
		return -EBUSY;
	filep = fget(fd);
	if (!filep)
		return -EBADF;
	ret = consumer_attached(consumer, vfio_group_get_external_user(filep));
	fput(filep);
	return ret;
}

static long consumer_attach_device(struct consumer *consumer, const char __user *arg)
{
	struct device *dev;
	char name[64];
	long ret;

	ret = strncpy_from_user(name, arg, sizeof(name));
	if (ret < 0)
		return ret;
	if (ret == sizeof(name))
		return -ENAMETOOLONG;
	dev = bus_find_device_by_name(&pci_bus_type, NULL, name);
	if (!dev)
		return -ENOENT;
	mutex_lock(&consumer->lock);
	if (consumer->group)
		ret = -EBUSY;
	else
		ret = consumer_attached(consumer, vfio_group_get_external_user_from_dev(dev));
	mutex_unlock(&consumer->lock);
	put_device(dev);
	return ret;
}

static long consumer_match(struct consumer *consumer, int fd)
{
	struct file *filep = fget(fd);
	long ret;

	if (!filep)
		return -EBADF;
	ret = vfio_external_group_match_file(consumer->group, filep);
	fput(filep);
	return ret;
}

static struct consumer_mapping *find_overlap(struct consumer *consumer, u64 iova, u64 size)
{
	struct consumer_mapping *mapping;

	list_for_each_entry(mapping, &consumer->mappings, node)
		if (iova < mapping->iova + mapping->nr_pages * PAGE_SIZE &&
		    mapping->iova < iova + size)
			return mapping;
	return NULL;
}

static int check_arguments(const struct consumer_map *map)
{
	u64 end;

	if (!PAGE_ALIGNED(map->vaddr) || !PAGE_ALIGNED(map->iova) || !PAGE_ALIGNED(map->size) ||
	    !map->size || check_add_overflow(map->iova, map->size, &end) || map->reserved ||
	    !map->flags || map->flags & ~(CONSUMER_MAP_READ | CONSUMER_MAP_WRITE))
		return -EINVAL;
	return map->size / PAGE_SIZE > CONSUMER_MAP_PAGES_MAX ? -E2BIG : 0;
}

static int check_place(struct consumer *consumer, const struct consumer_map *map)
{
	if (consumer->status.maps >= CONSUMER_MAPS_MAX)
		return -E2BIG;
	if (find_overlap(consumer, map->iova, map->size))
		return -EEXIST;
	return consumer_iommu_check(&consumer->iommu, map->iova, map->size);
}

/* The caller's memory, which the device is to be allowed no more than the caller is. */
static struct consumer_mapping *pin_memory(const struct consumer_map *map)
{
	size_t nr = map->size / PAGE_SIZE;
	struct consumer_mapping *mapping;
	long pinned;

	mapping = kvzalloc(struct_size(mapping, pages, nr), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return ERR_PTR(-ENOMEM);
	mapping->iova = map->iova;
	mapping->flags = map->flags;
	pinned = pin_user_pages_fast(map->vaddr, nr, FOLL_LONGTERM |
				     (map->flags & CONSUMER_MAP_WRITE ? FOLL_WRITE : 0),
				     mapping->pages);
	mapping->nr_pages = max(pinned, 0L);
	if (mapping->nr_pages == nr)
		return mapping;
	mapping_free(mapping);
	return ERR_PTR(pinned < 0 ? pinned : -EFAULT);
}

static int map_pages(struct consumer_iommu *iommu, struct consumer_mapping *mapping)
{
	size_t i;
	int ret;

	for (i = 0; i < mapping->nr_pages; i++) {
		ret = consumer_iommu_map(iommu, mapping->iova + i * PAGE_SIZE, mapping->pages[i],
					 mapping->flags);
		if (ret)
			goto err_unmap;
	}
	return 0;

err_unmap:
	consumer_iommu_unmap(iommu, mapping->iova, mapping->pages, i);
	return ret;
}

/* What user space told, with its memory pinned. */
static struct consumer_mapping *take_memory(const struct consumer_map *map)
{
	int ret = check_arguments(map);

	return ret ? ERR_PTR(ret) : pin_memory(map);
}

static long consumer_map(struct consumer *consumer, const struct consumer_map __user *arg)
{
	struct consumer_mapping *mapping;
	struct consumer_map map;
	int ret;

	if (copy_from_user(&map, arg, sizeof(map)))
		return -EFAULT;
	mapping = take_memory(&map);
	if (IS_ERR(mapping))
		return PTR_ERR(mapping);
	mutex_lock(&consumer->lock);
	ret = check_place(consumer, &map);
	if (!ret)
		ret = map_pages(&consumer->iommu, mapping);
	if (!ret) {
		list_add(&mapping->node, &consumer->mappings);
		consumer->status.maps++;
	}
	mutex_unlock(&consumer->lock);
	if (ret)
		mapping_free(mapping);
	return ret;
}

static long unmap_at(struct consumer *consumer, u64 iova)
{
	struct consumer_mapping *mapping;

	list_for_each_entry(mapping, &consumer->mappings, node) {
		if (mapping->iova != iova)
			continue;
		consumer_unmap(consumer, mapping);
		return 0;
	}
	return -ENOENT;
}

static long consumer_unmap_ioctl(struct consumer *consumer, const struct consumer_map __user *arg)
{
	struct consumer_map map;
	long ret;

	if (copy_from_user(&map, arg, sizeof(map)))
		return -EFAULT;
	mutex_lock(&consumer->lock);
	ret = unmap_at(consumer, map.iova);
	mutex_unlock(&consumer->lock);
	return ret;
}

static long consumer_status(struct consumer *consumer, struct consumer_status __user *arg)
{
	struct consumer_status status;

	mutex_lock(&consumer->lock);
	status = consumer->status;
	mutex_unlock(&consumer->lock);
	return copy_to_user(arg, &status, sizeof(status)) ? -EFAULT : 0;
}

static int bench_external_user(struct file *filep, u32 iterations, u64 *ns)
{
	ktime_t begun = ktime_get();
	u32 i;

	for (i = 0; i < iterations; i++) {
		struct vfio_group *group = vfio_group_get_external_user(filep);

		if (IS_ERR(group))
			return PTR_ERR(group);
		vfio_group_put_external_user(group);
		if (i % 1024)
			continue;
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	*ns = ktime_to_ns(ktime_sub(ktime_get(), begun));
	return 0;
}

static void bench_file(int fd, u32 iterations, u64 *ns)
{
	ktime_t begun = ktime_get();
	u32 i;

	for (i = 0; i < iterations; i++) {
		struct file *filep = fget(fd);

		if (filep)
			fput(filep);
		if (!(i % 1024))
			cond_resched();
	}
	*ns = ktime_to_ns(ktime_sub(ktime_get(), begun));
}

static long consumer_bench(struct consumer_bench __user *arg)
{
	struct consumer_bench bench;
	struct file *filep;
	int ret;

	if (copy_from_user(&bench, arg, sizeof(bench)))
		return -EFAULT;
	if (!bench.iterations || bench.iterations > BENCH_MAX)
		return -EINVAL;
	filep = fget(bench.group_fd);
	if (!filep)
		return -EBADF;
	ret = bench_external_user(filep, bench.iterations, &bench.external_user_ns);
	if (!ret)
		bench_file(bench.group_fd, bench.iterations, &bench.file_ns);
	fput(filep);
	if (!ret && copy_to_user(arg, &bench, sizeof(bench)))
		ret = -EFAULT;
	return ret;
}

/* As often as is told, what a hypercall of a guest would have done. */
static int bench_map(struct consumer_iommu *iommu, struct consumer_mapping *mapping,
		     struct consumer_bench_map *bench)
{
	ktime_t begun = ktime_get();
	int ret = 0;
	u32 i;

	for (i = 0; !ret && i < bench->iterations; i++) {
		ret = map_pages(iommu, mapping);
		if (!ret)
			consumer_iommu_unmap(iommu, mapping->iova, mapping->pages,
					     mapping->nr_pages);
		if (!ret && signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	bench->ns = ktime_to_ns(ktime_sub(ktime_get(), begun));
	return ret;
}

static long consumer_bench_map(struct consumer *consumer, struct consumer_bench_map __user *arg)
{
	struct consumer_mapping *mapping;
	struct consumer_bench_map bench;
	int ret;

	if (copy_from_user(&bench, arg, sizeof(bench)))
		return -EFAULT;
	if (!bench.iterations || bench.iterations > BENCH_MAX || bench.reserved)
		return -EINVAL;
	mapping = take_memory(&bench.map);
	if (IS_ERR(mapping))
		return PTR_ERR(mapping);
	mutex_lock(&consumer->lock);
	ret = check_place(consumer, &bench.map);
	if (!ret)
		ret = bench_map(&consumer->iommu, mapping, &bench);
	mutex_unlock(&consumer->lock);
	mapping_free(mapping);
	if (!ret && copy_to_user(arg, &bench, sizeof(bench)))
		ret = -EFAULT;
	return ret;
}

static long consumer_locked_ioctl(struct consumer *consumer, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case CONSUMER_ATTACH:
		return consumer_attach(consumer, arg);
	case CONSUMER_DETACH:
		if (!consumer->group)
			return -ENXIO;
		consumer_detach(consumer);
		return 0;
	case CONSUMER_MATCH:
		return consumer->group ? consumer_match(consumer, arg) : -ENXIO;
	case CONSUMER_REFUSE:
		consumer->refuse = arg;
		return 0;
	default:
		return -ENOTTY;
	}
}

static long consumer_ioctl(struct file *filep, unsigned int cmd, unsigned long arg)
{
	struct consumer *consumer = filep->private_data;
	void __user *user = (void __user *)arg;
	long ret;

	switch (cmd) {
	case CONSUMER_ATTACH_DEVICE:
		return consumer_attach_device(consumer, user);
	case CONSUMER_MAP:
		return consumer_map(consumer, user);
	case CONSUMER_UNMAP:
		return consumer_unmap_ioctl(consumer, user);
	case CONSUMER_STATUS:
		return consumer_status(consumer, user);
	case CONSUMER_BENCH:
		return consumer_bench(user);
	case CONSUMER_BENCH_MAP:
		return consumer_bench_map(consumer, user);
	}
	mutex_lock(&consumer->lock);
	ret = consumer_locked_ioctl(consumer, cmd, arg);
	mutex_unlock(&consumer->lock);
	return ret;
}

static int consumer_open(struct inode *inode, struct file *filep)
{
	struct consumer *consumer = kzalloc(sizeof(*consumer), GFP_KERNEL_ACCOUNT);

	if (!consumer)
		return -ENOMEM;
	mutex_init(&consumer->lock);
	INIT_LIST_HEAD(&consumer->mappings);
	filep->private_data = consumer;
	mutex_lock(&consumers_lock);
	list_add(&consumer->node, &consumers);
	mutex_unlock(&consumers_lock);
	return 0;
}

static int consumer_release(struct inode *inode, struct file *filep)
{
	struct consumer *consumer = filep->private_data;

	mutex_lock(&consumers_lock);
	list_del(&consumer->node);
	mutex_unlock(&consumers_lock);

	mutex_lock(&consumer->lock);
	if (consumer->group)
		consumer_detach(consumer);
	mutex_unlock(&consumer->lock);
	mutex_destroy(&consumer->lock);
	kfree(consumer);
	return 0;
}

static void consumer_told(struct consumer *consumer, const struct vfioext_removal_info *info)
{
	consumer->status.told++;
	consumer->status.last_id = info->id;
	strscpy(consumer->status.device, dev_name(info->dev), sizeof(consumer->status.device));
	if (consumer->refuse)
		return;
	consumer_detach(consumer);
	consumer->status.let_go++;
}

static int on_removal(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct vfioext_removal_info *info = data;
	struct consumer *consumer;

	mutex_lock(&consumers_lock);
	list_for_each_entry(consumer, &consumers, node) {
		mutex_lock(&consumer->lock);
		if (action == VFIOEXT_REMOVAL_LET_GO && consumer->group == info->group)
			consumer_told(consumer, info);
		if (action == VFIOEXT_REMOVAL_CANCELLED && consumer->status.last_id == info->id)
			consumer->status.called_off++;
		mutex_unlock(&consumer->lock);
	}
	mutex_unlock(&consumers_lock);
	return NOTIFY_OK;
}

static struct notifier_block removal_notifier = { .notifier_call = on_removal };

/* One that fails is told first, and others are told all the same. */
static int fail_removal(struct notifier_block *nb, unsigned long action, void *data)
{
	return notifier_from_errno(-EIO);
}

static struct notifier_block failing_notifier = { .notifier_call = fail_removal, .priority = 1 };

static const struct file_operations consumer_fops = {
	.owner = THIS_MODULE,
	.open = consumer_open,
	.release = consumer_release,
	.unlocked_ioctl = consumer_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice consumer_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vfioext_consumer",
	.fops = &consumer_fops,
	.mode = 0600,
};

static int __init consumer_init(void)
{
	int ret;

	ret = vfioext_register_removal_notifier(&removal_notifier);
	if (ret)
		return ret;
	ret = vfioext_register_removal_notifier(&failing_notifier);
	if (ret)
		goto err_removal;
	ret = misc_register(&consumer_device);
	if (ret)
		goto err_failing;
	return 0;

err_failing:
	vfioext_unregister_removal_notifier(&failing_notifier);
err_removal:
	vfioext_unregister_removal_notifier(&removal_notifier);
	return ret;
}

static void __exit consumer_exit(void)
{
	misc_deregister(&consumer_device);
	vfioext_unregister_removal_notifier(&failing_notifier);
	vfioext_unregister_removal_notifier(&removal_notifier);
}

module_init(consumer_init);
module_exit(consumer_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Example of an in-kernel consumer of VFIO groups");
MODULE_AUTHOR("The vfioext authors");
