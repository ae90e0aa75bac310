// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the kernel's log says of a device while something is done to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syslog.h>
#include <unistd.h>

#include "context.h"
#include "klog.h"

/* No record is longer. */
#define RECORD_SIZE 8192

int klog_begin(struct vfioext *ctx)
{
	int fd;

	/* The log of this host is not of a tree that was made up. */
	if (strcmp(ctx->sysfs, "/sys"))
		return -1;
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* "PRIORITY,SEQUENCE,TIME,FLAGS;TEXT", then lines that tell the device. */
static bool matches(const char *record, const char *text, const char *const *names)
{
	if (LOG_PRI(strtol(record, NULL, 10)) > LOG_WARNING)
		return false;
	for (; *names; names++)
		if ((*names)[0] && strstr(text, *names))
			return true;
	return false;
}

bool klog_find(int fd, const char *const *names, char *line, size_t size)
{
	char record[RECORD_SIZE], *text;
	bool found = false;
	ssize_t len;

	if (fd < 0)
		return false;
	/* EPIPE: records were overwritten, and the next is read. */
	while ((len = read(fd, record, sizeof(record) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		if (len < 0)
			continue;
		record[len] = '\0';
		text = strchr(record, ';');
		if (!text || !matches(record, text, names))
			continue;
		text++;
		text[strcspn(text, "\n")] = '\0';
		snprintf(line, size, "%s", text);
		found = true;
	}
	return found;
}

void klog_end(int fd)
{
	if (fd >= 0)
		close(fd);
}
