// SPDX-License-Identifier: GPL-2.0-only
/* The driver of NVMe with the emulated controller: client and server on one host. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfioext/user_client.h>

/* As it is opened; behind the kind is where the socket is. */
static char address[64];
#define NVME address
#define SOCKET (address + 5)
#define MODEL "vfioext nvme-ish "
#define PREPARE() vfioext_user_client_init()

#define OWN_MAIN
#include "nvme.c"

/* One for all tests: what one client leaves the next one finds. */
int main(int argc, char **argv)
{
	struct stat status;
	int tries, ret;
	pid_t server;

	snprintf(address, sizeof(address), "user:/tmp/vfioext-nvme-%d.sock", getpid());
	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		/* Its lines are none of ours. */
		if (freopen("/dev/null", "w", stdout))
			execlp("vfioext", "vfioext", "serve", "--example", "nvme-ish", "--socket",
			       SOCKET, NULL);
		_exit(127);
	}
	for (tries = 0; tries < 200 && stat(SOCKET, &status); tries++)
		usleep(50000);
	ret = test_harness_run(argc, argv);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	return ret;
}
