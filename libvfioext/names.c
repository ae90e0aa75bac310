// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How people and programs write the name of a device or a group, and which one they mean.
 * vfioext_find_device() lists the spellings.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vfioext/discovery.h>

#include "context.h"
#include "names.h"
#include "remote.h"
#include "sysfs.h"

#define UUID_LENGTH 36

/* A PCI address; @domain is -1 if it was left out. */
struct address {
	long domain;
	unsigned long bus;
	unsigned long slot;
	unsigned long function;
};

/* A hexadecimal number of at most @digits, and what follows it. */
static bool take_hex(const char **at, size_t digits, unsigned long *number)
{
	size_t len = strspn(*at, "0123456789abcdefABCDEF");
	char text[16];

	if (!len || len > digits)
		return false;
	memcpy(text, *at, len);
	text[len] = '\0';
	*number = strtoul(text, NULL, 16);
	*at += len;
	return true;
}

/*
 * [DOMAIN:]BUS:SLOT.FUNCTION, in hexadecimal. @separators are those of the longest form,
 * "::." or libvirt's "___".
 */
static bool parse_address(const char *at, const char *separators, struct address *address)
{
	unsigned long parts[4];
	char between[4] = "";
	int nr = 0;

	while (take_hex(&at, 8, &parts[nr])) {
		nr++;
		if (!*at)
			break;
		if (nr == 4)
			return false;
		between[nr - 1] = *at++;
	}
	if (*at || nr < 3 || strcmp(between, separators + 4 - nr))
		return false;
	address->domain = nr == 4 ? (long)parts[0] : -1;
	address->bus = parts[nr - 3];
	address->slot = parts[nr - 2];
	address->function = parts[nr - 1];
	return address->bus <= 0xff && address->slot <= 0x1f && address->function <= 7;
}

static void print_address(const struct address *address, char *name)
{
	snprintf(name, VFIOEXT_NAME_SIZE, "%04lx:%02lx:%02lx.%lx", (unsigned long)address->domain,
		 address->bus, address->slot, address->function);
}

/* Does the name of a PCI device end with bus, slot and function? */
static bool is_at(const char *name, const struct address *address)
{
	struct address other;

	return parse_address(name, "::.", &other) && other.bus == address->bus &&
	       other.slot == address->slot && other.function == address->function;
}

/* Without a domain it is the only device that is there in any. */
static int find_in_any_domain(struct vfioext *ctx, const char *text,
			      const struct address *address, char *name)
{
	char others[128] = "";
	size_t at = 0;
	int nr, i, found = 0;
	char **names;

	nr = sysfs_list(ctx, &names, "bus/pci/devices");
	for (i = 0; i < nr; i++) {
		if (!is_at(names[i], address) || strlen(names[i]) >= VFIOEXT_NAME_SIZE)
			continue;
		strcpy(name, names[i]);
		if (at < sizeof(others))
			at += (size_t)snprintf(others + at, sizeof(others) - at, "%s%s",
					       at ? ", " : "", names[i]);
		found++;
	}
	if (nr >= 0)
		sysfs_list_free(names, nr);
	if (found > 1)
		return context_fail(ctx, -EINVAL, "'%.64s' is ambiguous: %s", text, others);
	return found ? 0 : -ENODEV;
}

/* A UUID, with @between for its dashes, and in lower case then. */
static bool parse_uuid(const char *text, char between, char *name)
{
	int i;

	for (i = 0; i < UUID_LENGTH; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != between : !isxdigit((unsigned char)text[i]))
			return false;
		name[i] = dash ? '-' : (char)tolower((unsigned char)text[i]);
	}
	name[i] = '\0';
	return true;
}

/*
 * The name that @text may stand for, however it is spelled.
 * Return: 0, -ENODEV if it is of no known form, -EINVAL if it is ambiguous.
 */
static int normalize(struct vfioext *ctx, const char *text, char *name)
{
	struct address address;
	const char *at = text;
	bool libvirt = false;

	if (!strncmp(text, "mdev_", 5) || !strncmp(text, "mdev:", 5)) {
		/* libvirt puts the parent's address behind. */
		if (parse_uuid(text + 5, text[4] == '_' ? '_' : '-', name) &&
		    (!text[5 + UUID_LENGTH] || text[4] == '_'))
			return 0;
		return -ENODEV;
	}
	if (!strncasecmp(text, "pci_", 4) || !strncasecmp(text, "pci:", 4)) {
		libvirt = text[3] == '_';
		at += 4;
	}
	if (strlen(text) == UUID_LENGTH && parse_uuid(text, '-', name))
		return 0;
	if (!parse_address(at, libvirt ? "___" : "::.", &address))
		return -ENODEV;
	if (address.domain < 0)
		return find_in_any_domain(ctx, text, &address, name);
	print_address(&address, name);
	return 0;
}

/* A path in sysfs: of a device, or of what is below it, such as an interface. */
static int find_by_path(struct vfioext *ctx, const char *path, struct vfioext_device_info *info)
{
	char root[PATH_MAX], real[PATH_MAX];
	size_t len;
	char *last;
	int ret;

	if (!realpath(ctx->sysfs, root) || !realpath(path, real))
		return context_fail(ctx, -ENODEV, "%.200s: %s", path, strerror(errno));
	len = strlen(root);
	if (strncmp(real, root, len) || real[len] != '/')
		return context_fail(ctx, -EINVAL, "%.200s is no path in %s", path, root);
	while ((last = strrchr(real + len, '/'))) {
		ret = is_name(last + 1) ? find_exactly(ctx, last + 1, info) : -ENODEV;
		if (ret != -ENODEV)
			return ret;
		*last = '\0';
	}
	return context_fail(ctx, -ENODEV, "%.200s belongs to no PCI device or mdev", path);
}

/* /dev/vfio/devices/vfio0 */
static int find_by_file(struct vfioext *ctx, const char *file, struct vfioext_device_info *info)
{
	char name[VFIOEXT_NAME_SIZE];

	if (!is_name(file))
		return context_fail(ctx, -EINVAL, "'%.64s' is no device's file", file);
	if (sysfs_read_link(ctx, name, sizeof(name), "class/vfio-dev/%s/device", file))
		return context_fail(ctx, -ENODEV, "no device has the file /dev/vfio/devices/%.64s",
				    file);
	return find_exactly(ctx, name, info);
}

bool vfioext_parse_group(const char *text, int *group)
{
	static const char *const prefixes[] = { "group:", "/dev/vfio/noiommu-", "/dev/vfio/" };
	unsigned long value;
	size_t i, len = 0;
	char *end;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]) && !len; i++)
		if (!strncmp(text, prefixes[i], strlen(prefixes[i])))
			len = strlen(prefixes[i]);
	text += len;
	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value > INT32_MAX)
		return false;
	*group = (int)value;
	return true;
}

/* A group that is given where one device is wanted. */
static int find_in_group(struct vfioext *ctx, const char *text, int group,
			 struct vfioext_device_info *info)
{
	struct vfioext_device_list members;
	char others[200] = "";
	size_t at = 0, i;
	int ret;

	ret = vfioext_list_group(ctx, group, &members);
	if (ret)
		return ret;
	for (i = 0; i < members.nr && at < sizeof(others); i++)
		at += (size_t)snprintf(others + at, sizeof(others) - at, "%s%s", at ? ", " : "",
				       members.list[i].name);
	if (members.nr == 1)
		*info = members.list[0];
	else
		ret = context_fail(ctx, -EINVAL, "%.64s is not one device, but has %zu: %s", text,
				   members.nr, others);
	vfioext_device_list_release(&members);
	return ret;
}

static bool is_number(const char *text)
{
	return !text[strspn(text, "0123456789")];
}

static int find(struct vfioext *ctx, const char *text, struct vfioext_device_info *info)
{
	static const char files[] = "/dev/vfio/devices/";
	char name[VFIOEXT_NAME_SIZE];
	int ret, group;

	if (remote_path(text))
		return context_fail(ctx, -EINVAL, "%.200s is none of the host's devices: it is served "
				    "by a process, and can be opened, but nothing else", text);
	if (!strncmp(text, files, strlen(files)))
		return find_by_file(ctx, text + strlen(files), info);
	if (vfioext_parse_group(text, &group) && !is_number(text))
		return find_in_group(ctx, text, group, info);
	if (text[0] == '/')
		return find_by_path(ctx, text, info);
	if (!is_name(text))
		return context_fail(ctx, -EINVAL, "'%.64s' is no name of a device", text);
	ret = find_exactly(ctx, text, info);
	if (ret != -ENODEV)
		return ret;
	ret = normalize(ctx, text, name);
	return ret ? ret : find_exactly(ctx, name, info);
}

int vfioext_find_device(struct vfioext *ctx, const char *text, struct vfioext_device_info *info)
{
	struct vfioext_device_info found;
	int ret;

	ctx->message[0] = '\0';
	ret = find(ctx, text, &found);
	if (!ret) {
		/* Only now, as @text may be the name in it. */
		*info = found;
		return 0;
	}
	if (ctx->message[0])
		return ret;
	if (ret == -ENODEV) {
		context_fail(ctx, ret, "no PCI device or mdev is called %s", text);
		nearest_suggest(ctx, text);
		return ret;
	}
	return context_fail(ctx, ret, "sysfs does not describe %s as expected: %s", text,
			    strerror(-ret));
}
