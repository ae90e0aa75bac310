// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buses whose devices VFIO drivers can have, and what happens on them.
 *
 * PCI, platform and mdev are known from the start. Any other (ap, ccw, fsl-mc,
 * cdx) shows itself when one of its devices turns up in the "vfio-dev" class,
 * and the class is known from the first VFIO device on.
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "bus.h"
#include "compat.h"
#include "group.h"
#include "removal.h"

#if IS_ENABLED(CONFIG_VFIO_MDEV)
#include <linux/mdev.h>
#endif

struct watched_bus {
	struct list_head node;
	compat_bus_type *bus;
	struct notifier_block nb;
};

/* Changed at load, at unload and by learn_work, never two of them at once. */
static LIST_HEAD(watched_buses);

static compat_class *vfio_class;
static void learn(struct work_struct *work);
static DECLARE_WORK(learn_work, learn);

/* The first VFIO device makes its class known; the rest waits for a work item. */
static void learn_class(struct device *dev)
{
	struct vfio_device *vdev;

	if (READ_ONCE(vfio_class))
		return;
	vdev = find_vfio_device(dev);
	if (!vdev)
		return;
	if (!cmpxchg(&vfio_class, NULL, vdev->device.class))
		schedule_work(&learn_work);
	put_device(&vdev->device);
}

static int on_bus_event(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;

	switch (action) {
	case BUS_NOTIFY_BOUND_DRIVER:
		removal_driver_found(dev);
		learn_class(dev);
		break;
	case BUS_NOTIFY_UNBIND_DRIVER:
		removal_driver_unbinds(dev);
		break;
	case BUS_NOTIFY_UNBOUND_DRIVER:
		removal_driver_unbound(dev);
		break;
	}
	return NOTIFY_DONE;
}

static int look_at_device(struct device *dev, void *unused)
{
	removal_driver_found(dev);
	learn_class(dev);
	return 0;
}

static int watch_bus(compat_bus_type *bus)
{
	struct watched_bus *watched = kzalloc(sizeof(*watched), GFP_KERNEL);
	int ret;

	if (!watched)
		return -ENOMEM;
	watched->bus = bus;
	watched->nb.notifier_call = on_bus_event;
	ret = bus_register_notifier(bus, &watched->nb);
	if (ret) {
		kfree(watched);
		return ret;
	}
	list_add(&watched->node, &watched_buses);
	/* After the notifier, so that nothing falls between. */
	bus_for_each_dev(bus, NULL, NULL, look_at_device);
	return 0;
}

static void unwatch_buses(void)
{
	struct watched_bus *watched, *next;

	list_for_each_entry_safe(watched, next, &watched_buses, node) {
		bus_unregister_notifier(watched->bus, &watched->nb);
		list_del(&watched->node);
		kfree(watched);
	}
}

static bool is_watched(compat_bus_type *bus)
{
	struct watched_bus *watched;

	list_for_each_entry(watched, &watched_buses, node)
		if (watched->bus == bus)
			return true;
	return false;
}

/* Called under the class's lock, where no bus can be watched. */
static int on_class_device(COMPAT_CLASS_INTERFACE_ARGS(dev))
{
	schedule_work(&learn_work);
	return 0;
}

static struct class_interface vfio_interface = {
	.add_dev = on_class_device,
};

static void learn(struct work_struct *work)
{
	struct class_dev_iter iter;
	compat_bus_type *bus;
	struct device *dev;

	if (!vfio_interface.class) {
		vfio_interface.class = (struct class *)vfio_class;
		if (class_interface_register(&vfio_interface))
			vfio_interface.class = NULL;
	}

	do {
		bus = NULL;
		class_dev_iter_init(&iter, (struct class *)vfio_class, NULL, NULL);
		while (!bus && (dev = class_dev_iter_next(&iter)))
			if (dev->parent && dev->parent->bus && !is_watched(dev->parent->bus))
				bus = dev->parent->bus;
		class_dev_iter_exit(&iter);
	} while (bus && !watch_bus(bus));
}

#if IS_ENABLED(CONFIG_VFIO_MDEV)
static int refuse_mdev(struct mdev_device *mdev)
{
	return -ENODEV;
}

/* The mdev bus has no exported name; it stands in a registered driver. */
static int watch_mdev(void)
{
	static struct mdev_driver driver = {
		.device_api = VFIO_DEVICE_API_PCI_STRING,
		.probe = refuse_mdev,
		.driver = {
			.name = "vfioext",
			.owner = THIS_MODULE,
			.mod_name = KBUILD_MODNAME,
		},
	};
	compat_bus_type *bus;
	int ret;

	ret = mdev_register_driver(&driver);
	if (ret)
		return ret;
	bus = driver.driver.bus;
	mdev_unregister_driver(&driver);
	return watch_bus(bus);
}
#else
static int watch_mdev(void)
{
	return 0;
}
#endif

int bus_init(void)
{
	int ret;

	ret = watch_bus(&pci_bus_type);
	if (!ret)
		ret = watch_bus(&platform_bus_type);
	if (!ret)
		ret = watch_mdev();
	if (ret)
		bus_exit();
	return ret;
}

/* When it returns, no notification is being handled and none will come. */
void bus_exit(void)
{
	cancel_work_sync(&learn_work);
	if (vfio_interface.class)
		class_interface_unregister(&vfio_interface);
	cancel_work_sync(&learn_work);
	unwatch_buses();
	cancel_work_sync(&learn_work);
}
