// SPDX-License-Identifier: GPL-2.0-only
/* The tool's own server, with a device that does nothing. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

const char server_name[] = "vfioext serve";

void serve(const char *path, int nr)
{
	int null = open("/dev/null", O_WRONLY);
	char name[108];

	/* Its log is not for the table. */
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
		err(1, "/dev/null");
	if (nr != 1)
		errx(1, "one device is served, not %d", nr);
	snprintf(name, sizeof(name), "%s.0", path);
	execlp("vfioext", "vfioext", "serve", "--example", "null", "--socket", name, NULL);
	err(1, "vfioext");
}
