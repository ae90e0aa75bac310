// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buses whose devices VFIO drivers can have, and what happens on them.
 *
 * Those that can be named are watched from the start. Any other (ap, ccw) shows itself when
 * one of its devices turns up in the "vfio-dev" class, which tells of every VFIO device,
 * also of one that its driver registers long after it was bound. The class has no name to be
 * found by: it is known from the first VFIO device on.
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
#ifdef CONFIG_FSL_MC_BUS
#include <linux/fsl/mc.h>
#endif
#ifdef CONFIG_CDX_BUS
#include <linux/cdx/cdx_bus.h>
#endif
#ifdef CONFIG_ARM_AMBA
#include <linux/amba/bus.h>
#endif

#define SETTLE_MS 10
#define MAX_SETTLES 100

struct watched_bus {
	struct list_head node;
	compat_bus_type *bus;
	struct notifier_block nb;
};

/* Protects what follows; no bus's or class's callback takes it. */
static DEFINE_MUTEX(buses_lock);
static LIST_HEAD(watched_buses);
static bool stopping;
static bool class_watched;

static compat_class *vfio_class;
static atomic_t settles;
static void look_at_class(struct work_struct *work);
static DECLARE_DELAYED_WORK(class_work, look_at_class);

static void look_at_class_later(void)
{
	atomic_set(&settles, MAX_SETTLES);
	schedule_delayed_work(&class_work, msecs_to_jiffies(SETTLE_MS));
}

static void vfio_device_found(struct device *dev)
{
	struct vfio_device *vdev = find_vfio_device(dev);

	if (!vdev)
		return;
	removal_device_found(dev, vdev);
	if (!cmpxchg(&vfio_class, NULL, vdev->device.class))
		look_at_class_later();
	put_device(&vdev->device);
}

/* The driver has not begun to let go: the VFIO device is there, if there is one. */
static void driver_unbinds(struct device *dev)
{
	struct vfio_device *vdev = find_vfio_device(dev);

	removal_driver_unbinds(dev, vdev);
	if (vdev)
		put_device(&vdev->device);
}

static int on_bus_event(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;

	switch (action) {
	case BUS_NOTIFY_BOUND_DRIVER:
		vfio_device_found(dev);
		break;
	case BUS_NOTIFY_UNBIND_DRIVER:
		driver_unbinds(dev);
		break;
	case BUS_NOTIFY_UNBOUND_DRIVER:
		removal_driver_unbound(dev);
		break;
	}
	return NOTIFY_DONE;
}

static int look_at_device(struct device *dev, void *unused)
{
	vfio_device_found(dev);
	return 0;
}

static bool is_watched(compat_bus_type *bus)
{
	struct watched_bus *watched;

	list_for_each_entry(watched, &watched_buses, node)
		if (watched->bus == bus)
			return true;
	return false;
}

static int watch_bus_locked(compat_bus_type *bus)
{
	struct watched_bus *watched;
	int ret;

	if (stopping || is_watched(bus))
		return 0;
	watched = kzalloc(sizeof(*watched), GFP_KERNEL);
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

static int watch_bus(compat_bus_type *bus)
{
	int ret;

	mutex_lock(&buses_lock);
	ret = watch_bus_locked(bus);
	mutex_unlock(&buses_lock);
	return ret;
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

/* Called under the class's lock, before the device is registered with vfio. */
static int on_class_device(COMPAT_CLASS_INTERFACE_ARGS(dev))
{
	look_at_class_later();
	return 0;
}

static void on_class_device_gone(COMPAT_CLASS_INTERFACE_ARGS(dev))
{
	removal_device_unregisters(container_of(dev, struct vfio_device, device));
}

static struct class_interface vfio_interface = {
	.add_dev = on_class_device,
	.remove_dev = on_class_device_gone,
};

static void watch_class(void)
{
	mutex_lock(&buses_lock);
	if (!stopping && !class_watched) {
		vfio_interface.class = (struct class *)vfio_class;
		class_watched = !class_interface_register(&vfio_interface);
	}
	mutex_unlock(&buses_lock);
}

/*
 * While it is registered a VFIO device keeps its device, and that its driver; the driver's
 * module is kept for longer: the last reference on the VFIO device may be dropped here.
 * Return: false if it is being registered or let go.
 */
static bool class_device_found(struct vfio_device *vdev, struct module **owner)
{
	struct device *dev;
	bool known;

	if (!vfio_registration_get(vdev))
		return false;
	dev = get_device(vdev->dev);
	known = dev->driver && try_module_get(dev->driver->owner);
	if (known)
		*owner = dev->driver->owner;
	vfio_registration_put(vdev);
	if (known && !watch_bus(dev->bus))
		removal_device_found(dev, vdev);
	put_device(dev);
	return known;
}

static void look_at_class(struct work_struct *work)
{
	struct module *owner, *last_owner = NULL;
	struct class_dev_iter iter;
	struct device *child;
	bool settled = true;

	watch_class();
	class_dev_iter_init(&iter, (struct class *)vfio_class, NULL, NULL);
	while ((child = class_dev_iter_next(&iter))) {
		module_put(last_owner);
		owner = NULL;
		settled &= class_device_found(container_of(child, struct vfio_device, device),
					      &owner);
		last_owner = owner;
	}
	class_dev_iter_exit(&iter);
	module_put(last_owner);
	if (!settled && atomic_dec_if_positive(&settles) > 0)
		schedule_delayed_work(&class_work, msecs_to_jiffies(SETTLE_MS));
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

	ret = watch_bus(&pci_bus_type) ?: watch_bus(&platform_bus_type);
#ifdef CONFIG_FSL_MC_BUS
	ret = ret ?: watch_bus(&fsl_mc_bus_type);
#endif
#ifdef CONFIG_CDX_BUS
	ret = ret ?: watch_bus(&cdx_bus_type);
#endif
#ifdef CONFIG_ARM_AMBA
	ret = ret ?: watch_bus(&amba_bustype);
#endif
	return ret ?: watch_mdev();
}

/* When it returns, no notification is being handled and none will come. */
void bus_exit(void)
{
	mutex_lock(&buses_lock);
	stopping = true;
	mutex_unlock(&buses_lock);
	if (class_watched)
		class_interface_unregister(&vfio_interface);
	unwatch_buses();
	cancel_delayed_work_sync(&class_work);
}
