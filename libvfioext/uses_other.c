// SPDX-License-Identifier: LGPL-2.1-or-later
/* Displays, consoles, input, USB, files of devices that are open, and what is behind a bridge. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "context.h"
#include "sysfs.h"
#include "uses.h"

#define CLASS_BRIDGE 0x06
#define USB_CLASS_HUB "09"

static void tell_opener(void *data, size_t file, int pid, const char *comm)
{
	struct survey *survey = data;

	uses_add(survey, VFIOEXT_USE_OPEN, "its %s %s is open in %s, pid %d",
		 survey->below.list[file].subsystem, survey->below.list[file].name, comm, pid);
}

/* Files that are no disk's: of a display, a sound card, a terminal. */
void uses_of_files(struct survey *survey)
{
	const struct below *below = &survey->below;
	struct process_file *files;
	size_t i;

	if (!survey->real || !below->nr)
		return;
	files = calloc(below->nr, sizeof(*files));
	if (!files) {
		survey->error = -ENOMEM;
		return;
	}
	for (i = 0; i < below->nr; i++) {
		/* Its own handles are not a use by the host. */
		if (!strcmp(below->list[i].subsystem, "block") ||
		    !strcmp(below->list[i].subsystem, "vfio-dev"))
			continue;
		files[i].type = S_IFCHR;
		files[i].number = below->list[i].number;
	}
	/* No file has the number 0. */
	processes_with(survey, files, below->nr, tell_opener, survey);
	free(files);
}

/* A frame buffer shows the console if a console of that kind is bound. */
static bool shows_console(struct vfioext *ctx)
{
	char **names, text[64];
	bool shows = false;
	int nr, i;

	nr = sysfs_list(ctx, &names, "class/vtconsole");
	for (i = 0; i < nr; i++)
		if (sysfs_read(ctx, text, sizeof(text), "class/vtconsole/%s/name", names[i]) > 0 &&
		    strstr(text, "frame buffer") &&
		    sysfs_read(ctx, text, sizeof(text), "class/vtconsole/%s/bind", names[i]) > 0 &&
		    text[0] == '1')
			shows = true;
	if (nr >= 0)
		sysfs_list_free(names, nr);
	return shows;
}

/* Is a terminal among those that the kernel's messages go to? */
static bool is_console(struct vfioext *ctx, const char *name)
{
	char active[256], *word, *rest = active;

	if (sysfs_read(ctx, active, sizeof(active), "class/tty/console/active") <= 0)
		return false;
	while ((word = strsep(&rest, " ")))
		if (!strcmp(word, name))
			return true;
	return false;
}

/* Has a driver an interface of it? */
static bool is_driven(const struct below *below, const struct below_device *usb)
{
	size_t len = strlen(usb->path), i;

	for (i = 0; i < below->nr; i++)
		if (!strncmp(below->list[i].path, usb->path, len) &&
		    below->list[i].path[len] == '/' &&
		    below_has(&below->list[i], "bInterfaceClass") &&
		    below_has(&below->list[i], "driver"))
			return true;
	return false;
}

static void look_at_usb(struct survey *survey, const struct below_device *device)
{
	char class[8], product[64];

	below_read(device, "bDeviceClass", class, sizeof(class));
	if (!class[0] || !strcmp(class, USB_CLASS_HUB) || !is_driven(&survey->below, device))
		return;
	below_read(device, "product", product, sizeof(product));
	uses_add(survey, VFIOEXT_USE_USB, "the USB device %s (%s) is attached to it", device->name,
		 product[0] ? product : "unnamed");
}

/* The jacks of a sound card are input devices, too, and no one types on them. */
static bool is_jack(const struct below_device *device)
{
	return strstr(device->path, "/sound/card");
}

static void look_at_device(struct survey *survey, const struct below_device *device)
{
	char text[64];

	if (!strcmp(device->subsystem, "graphics") && !strncmp(device->name, "fb", 2) &&
	    shows_console(survey->ctx)) {
		uses_add(survey, VFIOEXT_USE_CONSOLE, "its frame buffer %s shows the console",
			 device->name);
	} else if (!strcmp(device->subsystem, "tty") && is_console(survey->ctx, device->name)) {
		uses_add(survey, VFIOEXT_USE_CONSOLE, "its terminal %s is a console of the kernel",
			 device->name);
	} else if (!strcmp(device->subsystem, "input") && !strncmp(device->name, "input", 5) &&
		   !is_jack(device)) {
		below_read(device, "name", text, sizeof(text));
		uses_add(survey, VFIOEXT_USE_INPUT, "the input device %s (%s) is attached to it",
			 device->name, text);
	} else if (!strcmp(device->subsystem, "usb")) {
		look_at_usb(survey, device);
	} else if (!strcmp(device->subsystem, "pci") &&
		   !sysfs_read_link(survey->ctx, text, sizeof(text), "bus/pci/devices/%s/driver",
				    device->name)) {
		uses_add(survey, VFIOEXT_USE_BRIDGE, "%s (%s) is behind it", device->name, text);
	}
}

void uses_of_consoles(struct survey *survey)
{
	const struct vfioext_device_info *info = survey->info;
	char text[8];
	size_t i;

	if (sysfs_read(survey->ctx, text, sizeof(text), "bus/pci/devices/%s/boot_vga",
		       info->name) > 0 && text[0] == '1')
		uses_add(survey, VFIOEXT_USE_DISPLAY, "it is the boot VGA device");
	if (info->class_code >> 16 == CLASS_BRIDGE)
		uses_add(survey, VFIOEXT_USE_BRIDGE, "it is a bridge");
	for (i = 0; i < survey->below.nr; i++)
		look_at_device(survey, &survey->below.list[i]);
}
