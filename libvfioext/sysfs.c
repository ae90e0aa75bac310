// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "sysfs.h"

static int vpath(struct vfioext *ctx, char *path, const char *format, va_list args)
{
	int at = snprintf(path, PATH_MAX, "%s/", ctx->sysfs);
	int len = vsnprintf(path + at, PATH_MAX - at, format, args);

	return len < 0 || at + len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

#define PATH_OF(path, format, ret)			\
do {							\
	va_list args__;					\
							\
	va_start(args__, format);			\
	(ret) = vpath(ctx, path, format, args__);	\
	va_end(args__);					\
} while (0)

static int read_file(const char *path, char *value, size_t size)
{
	ssize_t len;
	int fd, ret;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, value, size - 1);
	ret = len < 0 ? -errno : (int)len;
	close(fd);
	value[ret < 0 ? 0 : ret] = '\0';
	return ret;
}

/* An attribute of several lines. Return: its length, or an error. */
int sysfs_read_lines(struct vfioext *ctx, char *value, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	int ret;

	value[0] = '\0';
	PATH_OF(path, format, ret);
	return ret ? ret : read_file(path, value, size);
}

/* The first line of an attribute. Return: its length, or an error. */
int sysfs_read(struct vfioext *ctx, char *value, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	int ret;

	value[0] = '\0';
	PATH_OF(path, format, ret);
	if (!ret)
		ret = read_file(path, value, size);
	if (ret < 0)
		return ret;
	value[strcspn(value, "\n")] = '\0';
	return (int)strlen(value);
}

int sysfs_read_hex(struct vfioext *ctx, uint32_t *value, const char *format, ...)
{
	char path[PATH_MAX], text[32], *end;
	unsigned long number;
	int ret;

	PATH_OF(path, format, ret);
	if (ret)
		return ret;
	ret = sysfs_read(ctx, text, sizeof(text), "%s", path + strlen(ctx->sysfs) + 1);
	if (ret < 0)
		return ret;
	errno = 0;
	number = strtoul(text, &end, 16);
	if (errno || end == text || *end || number > UINT32_MAX)
		return -EIO;
	*value = (uint32_t)number;
	return 0;
}

/* The last part of what a link leads to. */
int sysfs_read_link(struct vfioext *ctx, char *value, size_t size, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *last;
	ssize_t len;
	int ret;

	value[0] = '\0';
	PATH_OF(path, format, ret);
	if (ret)
		return ret;
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	strcpy(value, last);
	return 0;
}

/* In one write, as sysfs wants it. */
int sysfs_write(struct vfioext *ctx, const char *value, const char *format, ...)
{
	char path[PATH_MAX];
	int fd, ret;

	PATH_OF(path, format, ret);
	if (ret)
		return ret;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

bool sysfs_exists(struct vfioext *ctx, const char *format, ...)
{
	char path[PATH_MAX];
	int ret;

	PATH_OF(path, format, ret);
	return !ret && !access(path, F_OK);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted. Return: how many, or an error. */
int sysfs_list(struct vfioext *ctx, char ***names, const char *format, ...)
{
	char path[PATH_MAX], **list = NULL, **more;
	struct dirent *entry;
	int nr = 0, ret;
	DIR *dir;

	PATH_OF(path, format, ret);
	if (ret)
		return ret;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		more = realloc(list, (nr + 1) * sizeof(*list));
		if (!more)
			goto err_free;
		list = more;
		list[nr] = strdup(entry->d_name);
		if (!list[nr])
			goto err_free;
		nr++;
	}
	closedir(dir);
	if (nr)
		qsort(list, nr, sizeof(*list), compare_names);
	*names = list;
	return nr;

err_free:
	closedir(dir);
	sysfs_list_free(list, nr);
	return -ENOMEM;
}

void sysfs_list_free(char **names, int nr)
{
	while (nr > 0)
		free(names[--nr]);
	free(names);
}
