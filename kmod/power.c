// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole host goes to sleep, or down.
 *
 * Asleep, and on the way there and back, no process can let go of anything: the clocks of
 * removals stand still. On its way down the kernel waits for every device whose driver is being
 * unbound; processes are gone by then, in-kernel users are told here.
 */
#include <linux/notifier.h>
#include <linux/reboot.h>
#include <linux/suspend.h>

#include "external_user.h"
#include "power.h"
#include "removal.h"

static int on_sleep(struct notifier_block *nb, unsigned long event, void *unused)
{
	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_SUSPEND_PREPARE:
	case PM_RESTORE_PREPARE:
		removal_clocks_freeze();
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_SUSPEND:
	case PM_POST_RESTORE:
		removal_clocks_thaw();
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block sleep_notifier = {
	.notifier_call = on_sleep,
};

static int on_reboot(struct notifier_block *nb, unsigned long event, void *unused)
{
	external_users_shut_down();
	return NOTIFY_DONE;
}

static struct notifier_block reboot_notifier = {
	.notifier_call = on_reboot,
};

int power_init(void)
{
	int ret = register_reboot_notifier(&reboot_notifier);

	if (ret)
		return ret;
	ret = register_pm_notifier(&sleep_notifier);
	if (ret)
		unregister_reboot_notifier(&reboot_notifier);
	return ret;
}

void power_exit(void)
{
	unregister_pm_notifier(&sleep_notifier);
	unregister_reboot_notifier(&reboot_notifier);
}
