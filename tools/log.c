// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes on, for a server: a line that nobody reads, or for which there is no room, is no
 * reason to wait, or to end.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfioext.h"

/* A pipe that has room takes so much at once. */
#define LOG_MAX 4096

/*
 * A pipe or a terminal is opened once more, so as not to block: the flag would be that of others,
 * too, who have the same file. Where that is not possible, standard output itself.
 */
static int open_log(void)
{
	struct stat stat;
	int fd = -1;

	if (!fstat(STDOUT_FILENO, &stat) && (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode)))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? STDOUT_FILENO : fd;
}

static bool put(int fd, const char *line, size_t size)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	struct stat stat;

	if (!fstat(fd, &stat) && S_ISSOCK(stat.st_mode))
		return send(fd, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return false;
	return write(fd, line, size) == (ssize_t)size;
}

/* What was lost is told when there is room again. */
void print_log(const char *text, void *data)
{
	static int fd = -1;
	static unsigned int lost;
	char line[LOG_MAX];
	int size;

	(void)data;
	if (fd < 0)
		fd = open_log();
	if (lost)
		size = snprintf(line, sizeof(line), "%s (%u lines were lost before)\n", text, lost);
	else
		size = snprintf(line, sizeof(line), "%s\n", text);
	if (size >= (int)sizeof(line)) {
		size = sizeof(line) - 1;
		line[size - 1] = '\n';
	}
	lost = put(fd, line, (size_t)size) ? 0 : lost + 1;
}
