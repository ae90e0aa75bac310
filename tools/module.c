// SPDX-License-Identifier: GPL-2.0-only
/* Modules of the kernel, loaded as an administrator would: by modprobe and its rules. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfioext.h"

static void run_modprobe(const char *name)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execlp("modprobe", "modprobe", "-q", "--", name, NULL);
	/* It may be where only root's PATH leads. */
	execl("/sbin/modprobe", "modprobe", "-q", "--", name, NULL);
	_exit(127);
}

/* Return: true if it is loaded now, or is built in. */
bool module_load(const char *name)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return false;
	if (!pid)
		run_modprobe(name);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Load a driver of PCI devices that is not there. Return: true if it is there now. */
bool module_load_driver(struct vfioext *ctx, const char *driver, char *found)
{
	return module_load(driver) && !vfioext_find_driver(ctx, driver, found);
}

/* Load what the host has for a device, as udev does for one that was plugged in. */
void module_load_for(const struct vfioext_device_info *info)
{
	char path[128], modalias[256];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s/modalias", info->bus, info->name);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(modalias, sizeof(modalias), file)) {
		modalias[strcspn(modalias, "\n")] = '\0';
		module_load(modalias);
	}
	fclose(file);
}
