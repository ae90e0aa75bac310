// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO drivers of other kinds than vfio-pci, on devices of the platform bus:
 *
 * vfioext-odd.0: remove() waits for what release() completes, as vfio-ccw's did.
 * vfioext-odd.1: release() unregisters a notifier of the device's bus, as vfio-fsl-mc's does.
 * vfioext-odd.2: is given to vfio and taken from it while its driver stays bound, by its
 *	attribute "registered", as drivers do that have to be set up first.
 * vfioext-odd.3: request() takes as long as the module's parameter request_ms says.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "compat.h"

#define NR_DEVICES 4

enum { WAITS, NOTIFIED, LATE, SLOW };

static unsigned int request_ms;
module_param(request_ms, uint, 0644);
MODULE_PARM_DESC(request_ms, "how long the last device's request() takes");

static unsigned int remove_ms;
module_param(remove_ms, uint, 0644);
MODULE_PARM_DESC(remove_ms, "how long remove() takes before it turns to vfio");

static unsigned int requests;
module_param(requests, uint, 0444);
MODULE_PARM_DESC(requests, "how often request() was called");

struct odd_device {
	struct vfio_device vdev;
	struct notifier_block notifier;
	struct completion *released;
};

static struct platform_device *devices[NR_DEVICES];

static int on_bus_event(struct notifier_block *nb, unsigned long action, void *data)
{
	return NOTIFY_DONE;
}

static void odd_release(struct vfio_device *vdev)
{
	struct odd_device *odd = container_of(vdev, struct odd_device, vdev);
	struct completion *released = odd->released;

	if (odd->notifier.notifier_call)
		bus_unregister_notifier(&platform_bus_type, &odd->notifier);
	compat_vfio_free_device(vdev);
	if (released)
		complete(released);
}

static void odd_request(struct vfio_device *vdev, unsigned int count)
{
	requests++;
	if (to_platform_device(vdev->dev)->id == SLOW)
		msleep(request_ms);
}

static const struct vfio_device_ops odd_ops = {
	.name = "vfioext-odd",
	.release = odd_release,
	.request = odd_request,
	COMPAT_EMULATED_IOMMUFD_OPS
};

static int odd_register(struct platform_device *pdev)
{
	struct odd_device *odd = vfio_alloc_device(odd_device, vdev, &pdev->dev, &odd_ops);
	int ret = 0;

	if (IS_ERR(odd))
		return PTR_ERR(odd);
	if (pdev->id == NOTIFIED) {
		odd->notifier.notifier_call = on_bus_event;
		ret = bus_register_notifier(&platform_bus_type, &odd->notifier);
		if (ret)
			odd->notifier.notifier_call = NULL;
	}
	ret = ret ?: vfio_register_emulated_iommu_dev(&odd->vdev);
	if (ret)
		vfio_put_device(&odd->vdev);
	else
		platform_set_drvdata(pdev, odd);
	return ret;
}

static void odd_unregister(struct platform_device *pdev)
{
	struct odd_device *odd = platform_get_drvdata(pdev);
	DECLARE_COMPLETION_ONSTACK(released);

	if (!odd)
		return;
	platform_set_drvdata(pdev, NULL);
	vfio_unregister_group_dev(&odd->vdev);
	if (pdev->id == WAITS)
		odd->released = &released;
	vfio_put_device(&odd->vdev);
	if (pdev->id == WAITS)
		wait_for_completion(&released);
}

static ssize_t registered_store(struct device *dev, struct device_attribute *attr,
				const char *buffer, size_t size)
{
	struct platform_device *pdev = to_platform_device(dev);
	bool registered;
	int ret;

	ret = kstrtobool(buffer, &registered);
	if (ret)
		return ret;
	if (registered == !!platform_get_drvdata(pdev))
		return -EINVAL;
	if (registered)
		ret = odd_register(pdev);
	else
		odd_unregister(pdev);
	return ret ?: size;
}
static DEVICE_ATTR_WO(registered);

static struct attribute *odd_attrs[] = {
	&dev_attr_registered.attr,
	NULL
};
ATTRIBUTE_GROUPS(odd);

static int odd_probe(struct platform_device *pdev)
{
	return pdev->id == LATE ? 0 : odd_register(pdev);
}

static compat_remove_result odd_remove(struct platform_device *pdev)
{
	msleep(remove_ms);
	odd_unregister(pdev);
	return COMPAT_REMOVED;
}

static struct platform_driver odd_driver = {
	.probe = odd_probe,
	.remove = odd_remove,
	.driver = {
		.name = "vfioext-odd",
		.dev_groups = odd_groups,
	},
};

static void remove_devices(void)
{
	int i;

	for (i = 0; i < NR_DEVICES; i++)
		platform_device_unregister(devices[i]);
}

static int __init odd_init(void)
{
	int i, ret = 0;

	for (i = 0; i < NR_DEVICES && !ret; i++) {
		struct platform_device *pdev;

		pdev = platform_device_register_simple("vfioext-odd", i, NULL, 0);
		ret = PTR_ERR_OR_ZERO(pdev);
		devices[i] = ret ? NULL : pdev;
	}
	ret = ret ?: platform_driver_register(&odd_driver);
	if (ret)
		remove_devices();
	return ret;
}

static void __exit odd_exit(void)
{
	platform_driver_unregister(&odd_driver);
	remove_devices();
}

module_init(odd_init);
module_exit(odd_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO drivers of other kinds, to test with");
MODULE_AUTHOR("The vfioext authors");
