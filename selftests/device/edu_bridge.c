// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of edu, where another process has the device and serves it over vfio-user: its
 * registers, interrupts and DMA are the device's own.
 */
#include <sys/stat.h>
#include <unistd.h>
#include <vfioext/user_client.h>

#define SERVED "0000:00:03.0"
#define SOCKET "/run/vfioext-edu.sock"
#define EDU "user:" SOCKET
#define BACKEND VFIOEXT_BACKEND_ANY

static void start_server(void);
#define PREPARE() start_server()

#include "edu.c"

/* One for all tests: what one client leaves the next one finds. */
static void start_server(void)
{
	struct stat status;
	int tries;

	vfioext_user_client_init();
	if (!stat(SOCKET, &status))
		return;
	bind_device(SERVED);
	run("setsid vfioext serve " SERVED " --socket " SOCKET " > /dev/null 2>&1 &");
	for (tries = 0; tries < 200 && stat(SOCKET, &status); tries++)
		usleep(50000);
}
