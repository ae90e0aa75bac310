// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is printed, and where nobody gets it. A pipe that is closed must not kill the tool in
 * the middle of its work with a device, and what it was to tell must not end up in a file
 * that happens to have the descriptor of standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfioext.h"

/* Writing to a standard output that was closed is to fail: it is opened for reading. */
static bool open_null(int descriptor)
{
	int fd;

	if (fcntl(descriptor, F_GETFD) >= 0)
		return true;
	fd = open("/dev/null", descriptor == STDOUT_FILENO ? O_RDONLY : O_RDWR);
	return fd == descriptor;
}

/* Return: false if a descriptor that was closed could not be opened. */
bool output_begin(void)
{
	int descriptor;

	signal(SIGPIPE, SIG_IGN);
	for (descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
		if (!open_null(descriptor))
			return false;
	return true;
}

/* Nothing is written: a socket would send even that. */
static bool refuses_writing(void)
{
	struct stat stat;

	return !fstat(STDOUT_FILENO, &stat) && !S_ISSOCK(stat.st_mode) &&
	       write(STDOUT_FILENO, "", 0) < 0 && errno != EAGAIN && errno != EINTR;
}

/*
 * Is there nobody who gets what is printed? Known of a pipe or a terminal as soon as its
 * other end is closed; of a disk that is full once something was written.
 */
bool output_lost(void)
{
	struct pollfd fd = { .fd = STDOUT_FILENO };

	if (ferror(stdout) || refuses_writing())
		return true;
	return poll(&fd, 1, 0) > 0 && fd.revents & (POLLERR | POLLHUP | POLLNVAL);
}

/* What was printed must have arrived. Return: the status to exit with. */
int output_finish(int status)
{
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	/* Who closes a pipe has read enough. */
	if (errno && errno != EPIPE)
		error("writing: %s", strerror(errno));
	return status ? status : EXIT_FAILED;
}
