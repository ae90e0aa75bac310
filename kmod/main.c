// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfioext: take a VFIO device back. The parts come up in order and go down in
 * reverse, but for netlink, which is told of everything that comes and goes; and removals and
 * devices are forgotten while the buses are watched still.
 */
#include <linux/module.h>

#include "asker.h"
#include "bus.h"
#include "group.h"
#include "netlink.h"
#include "power.h"
#include "private_layout.h"
#include "removal.h"

/* What was found is forgotten, and no more is taken note of. */
static void forget_all(void)
{
	removal_stop();
	untrack_all();
	bus_exit();
	tracking_exit();
	removal_exit();
}

static int __init vfioext_init(void)
{
	int ret;

	private_layout_init();
	ret = asker_init();
	if (ret)
		return ret;
	ret = removal_init();
	if (ret)
		goto err_asker;
	ret = netlink_init();
	if (ret)
		goto err_removal;
	ret = bus_init();
	if (ret)
		goto err_bus;
	ret = power_init();
	if (ret)
		goto err_bus;
	removal_find_under_way();
	return 0;

err_bus:
	forget_all();
	netlink_exit();
	asker_exit();
	return ret;
err_removal:
	removal_exit();
err_asker:
	asker_exit();
	return ret;
}

static void __exit vfioext_exit(void)
{
	power_exit();
	forget_all();
	netlink_exit();
	asker_exit();
}

module_init(vfioext_init);
module_exit(vfioext_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO external users, removal notification and holders");
MODULE_AUTHOR("The vfioext authors");
MODULE_VERSION("0.1");
