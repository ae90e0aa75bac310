// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one rule for our module: a command that cannot do its work without it has it loaded,
 * as an administrator would, and says so. Who only looks never loads it, and nor does the
 * library for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfioext.h"

extern char **environ;

/* /sbin may not be in the path of who calls us. Return: 0, or an error. */
static int spawn_modprobe(pid_t *pid)
{
	char *const arguments[] = { "modprobe", "-q", "vfioext", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int fd, ret;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	ret = posix_spawn(pid, "/sbin/modprobe", &actions, &attributes, arguments, environ);
	if (ret)
		ret = posix_spawnp(pid, "modprobe", &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return ret;
}

static bool is_loaded(struct vfioext *ctx)
{
	struct vfioext_status status;

	vfioext_status(ctx, &status);
	return status.loaded;
}

/* Return: whether the module is there now. */
bool need_module(struct vfioext *ctx)
{
	int status;
	pid_t pid;

	if (is_loaded(ctx))
		return true;
	if (spawn_modprobe(&pid))
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	if (!is_loaded(ctx))
		return false;
	error("the module was not loaded: it is now");
	return true;
}
