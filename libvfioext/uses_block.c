// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Disks below a device, their partitions, and what is on top of them: md, dm, LVM, bcache by
 * the holders that the kernel lists, loop devices by the file behind them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blocks.h"
#include "context.h"
#include "sysfs.h"

static bool is_listed(const struct blocks *blocks, const char *path)
{
	size_t i;

	for (i = 0; i < blocks->nr; i++)
		if (!strcmp(blocks->list[i].path, path))
			return true;
	return false;
}

static void add(struct blocks *blocks, const struct below_device *device, long on)
{
	struct block *more, *block;

	if (is_listed(blocks, device->path))
		return;
	more = realloc(blocks->list, (blocks->nr + 1) * sizeof(*more));
	if (!more) {
		blocks->survey->error = -ENOMEM;
		return;
	}
	blocks->list = more;
	block = &more[blocks->nr];
	memset(block, 0, sizeof(*block));
	block->path = strdup(device->path);
	if (!block->path) {
		blocks->survey->error = -ENOMEM;
		return;
	}
	block->name = strrchr(block->path, '/') + 1;
	block->number = device->number;
	block->on = on;
	blocks->nr++;
}

/* A disk by its name in the class, and its partitions. */
static void add_disk(struct blocks *blocks, const char *name, long on)
{
	char link[PATH_MAX], path[PATH_MAX];
	struct below_device disk = { .path = path };
	struct below below = { 0 };
	unsigned int major, minor;
	char number[32];
	size_t i;

	snprintf(link, sizeof(link), "%s/class/block/%s", blocks->survey->ctx->sysfs, name);
	if (!realpath(link, path))
		return;
	below_read(&disk, "dev", number, sizeof(number));
	if (sscanf(number, "%u:%u", &major, &minor) == 2)
		disk.number = makedev(major, minor);
	add(blocks, &disk, on);
	if (below_find(&below, path))
		blocks->survey->error = -ENOMEM;
	for (i = 0; i < below.nr; i++)
		if (!strcmp(below.list[i].subsystem, "block"))
			add(blocks, &below.list[i], on);
	below_release(&below);
}

static void add_below(struct blocks *blocks)
{
	const struct below *below = &blocks->survey->below;
	size_t i;

	/* A path to an NVMe namespace is a disk without a file. */
	for (i = 0; i < below->nr; i++)
		if (!strcmp(below->list[i].subsystem, "block") && below->list[i].number)
			add(blocks, &below->list[i], -1);
}

long block_find(const struct blocks *blocks, dev_t number, const char *path)
{
	const char *name = strrchr(path, '/');
	size_t i;

	if (!number)
		number = file_number(path, S_IFBLK);
	for (i = 0; i < blocks->nr; i++)
		if (number ? blocks->list[i].number == number :
			     name && !strcmp(name + 1, blocks->list[i].name))
			return (long)i;
	return -1;
}

void block_use(struct blocks *blocks, size_t at, enum vfioext_use_kind kind, const char *what)
{
	const char *name = blocks->list[at].name;
	size_t base = at;

	blocks->list[base].used = true;
	while (blocks->list[base].on >= 0) {
		base = (size_t)blocks->list[base].on;
		blocks->list[base].used = true;
	}
	if (base == at)
		uses_add(blocks->survey, kind, "/dev/%s %s", name, what);
	else
		uses_add(blocks->survey, kind, "/dev/%s, which is on /dev/%s, %s", name,
			 blocks->list[base].name, what);
}

/* What the kernel, or an administrator, calls a block device that is on top of others. */
static void describe(struct blocks *blocks, const char *name, char *text, size_t size)
{
	static const struct {
		const char *attribute;
		const char *relation;
	} kinds[] = {
		{ "dm/name", "is used by" },
		{ "md/level", "is a member of" },
		{ "bcache/cache_mode", "is cached by" },
	};
	char value[64];
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (sysfs_read(blocks->survey->ctx, value, sizeof(value), "class/block/%s/%s", name,
			       kinds[i].attribute) < 0)
			continue;
		snprintf(text, size, "%s %.32s (%s)", kinds[i].relation, name, value);
		return;
	}
	snprintf(text, size, "is used by %.32s", name);
}

static void add_holders(struct blocks *blocks, size_t at)
{
	struct below_device holders = { .path = blocks->list[at].path };
	char path[PATH_MAX], text[160];
	struct dirent **names;
	int nr, i;

	if (!below_has(&holders, "holders"))
		return;
	snprintf(path, sizeof(path), "%.4000s/holders", holders.path);
	nr = scandir(path, &names, NULL, alphasort);
	for (i = 0; i < nr; i++) {
		if (names[i]->d_name[0] != '.') {
			describe(blocks, names[i]->d_name, text, sizeof(text));
			block_use(blocks, at, VFIOEXT_USE_HOLDER, text);
			add_disk(blocks, names[i]->d_name, (long)at);
		}
		free(names[i]);
	}
	if (nr >= 0)
		free(names);
}

/* The number of the disk behind a loop device, 0 if a file is, or it is not known. */
static dev_t read_behind(const char *loop)
{
	struct loop_info64 info = { 0 };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/%.32s", loop);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (ioctl(fd, LOOP_GET_STATUS64, &info))
		info.lo_rdevice = 0;
	close(fd);
	/* The kernel spells it as stat() does. */
	return info.lo_rdevice;
}

/* The block behind a loop device: a disk's file may be anywhere, as a container has it. */
static long find_behind(const struct blocks *blocks, const char *loop, const char *file)
{
	dev_t number;

	if (!strncmp(file, "/dev/", 5))
		return block_find(blocks, 0, file);
	number = blocks->survey->real ? read_behind(loop) : 0;
	return number ? block_find(blocks, number, "") : -1;
}

/* Loop devices have a file behind them, which may be a disk; the kernel has no holders then. */
static void add_loops(struct blocks *blocks)
{
	struct vfioext *ctx = blocks->survey->ctx;
	char file[256], text[64];
	char **names;
	int nr, i;
	long at;

	nr = sysfs_list(ctx, &names, "block");
	for (i = 0; i < nr; i++) {
		if (sysfs_read(ctx, file, sizeof(file), "block/%s/loop/backing_file", names[i]) <= 0)
			continue;
		at = find_behind(blocks, names[i], file);
		if (at < 0)
			continue;
		snprintf(text, sizeof(text), "is behind %.32s", names[i]);
		block_use(blocks, (size_t)at, VFIOEXT_USE_HOLDER, text);
		add_disk(blocks, names[i], at);
	}
	if (nr >= 0)
		sysfs_list_free(names, nr);
}

static void tell_opener(void *data, size_t file, int pid, const char *comm)
{
	char text[96];

	snprintf(text, sizeof(text), "is open in %s, pid %d", comm, pid);
	block_use(data, file, VFIOEXT_USE_OPEN, text);
}

/* A virtual machine, a database or a target of SPDK may have the disk itself. */
static void add_openers(struct blocks *blocks)
{
	struct process_file *files;
	size_t i;

	if (!blocks->survey->real || !blocks->nr)
		return;
	files = calloc(blocks->nr, sizeof(*files));
	if (!files) {
		blocks->survey->error = -ENOMEM;
		return;
	}
	for (i = 0; i < blocks->nr; i++) {
		files[i].type = S_IFBLK;
		files[i].number = blocks->list[i].number;
	}
	processes_with(blocks->survey, files, blocks->nr, tell_opener, blocks);
	free(files);
}

/* The kernel's own users, such as ZFS, open what they have exclusively. */
static void try_exclusively(struct blocks *blocks, size_t at)
{
	char path[128];
	size_t i;
	int fd;

	snprintf(path, sizeof(path), "/dev/%.100s", blocks->list[at].name);
	for (i = 0; path[i]; i++)
		if (path[i] == '!')
			path[i] = '/';
	if (file_number(path, S_IFBLK) != blocks->list[at].number)
		return;
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else if (errno == EBUSY)
		block_use(blocks, at, VFIOEXT_USE_OPEN,
			  "is open exclusively, by the kernel (ZFS or the like) or where it is not seen");
}

/* Partitions come after their disk, and a disk is busy with them: the last first. */
static void try_all(struct blocks *blocks)
{
	size_t i, j, len;

	for (i = blocks->survey->real ? blocks->nr : 0; i-- > 0;) {
		bool used = blocks->list[i].used;

		len = strlen(blocks->list[i].path);
		for (j = 0; j < blocks->nr; j++)
			if (!strncmp(blocks->list[j].path, blocks->list[i].path, len) &&
			    blocks->list[j].path[len] == '/')
				used |= blocks->list[j].used;
		if (!used && blocks->list[i].number)
			try_exclusively(blocks, i);
	}
}

void uses_of_blocks(struct survey *survey)
{
	struct blocks blocks = { .survey = survey };
	size_t i;

	add_below(&blocks);
	/* The list grows by what is on top, and that may have something on top, too. */
	for (i = 0; i < blocks.nr; i++) {
		add_holders(&blocks, i);
		if (i + 1 == blocks.nr)
			add_loops(&blocks);
	}
	if (blocks.nr) {
		uses_of_mounts(&blocks);
		uses_of_swaps(&blocks);
		uses_of_targets(&blocks);
		add_openers(&blocks);
		try_all(&blocks);
	}
	while (blocks.nr)
		free(blocks.list[--blocks.nr].path);
	free(blocks.list);
}
