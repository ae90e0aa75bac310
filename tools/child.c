// SPDX-License-Identifier: GPL-2.0-only
/*
 * What blocks in the kernel blocks a child, so that the tool itself can always
 * be stopped. Signals are read, so that it ends in good order.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfioext.h"

/* Have signals come through a file descriptor; a child's end is one of them. */
int signals_catch(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGHUP);
	sigaddset(&stop, SIGCHLD);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	return signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Return: the signal to stop on, or 0. */
int signals_take(int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			return (int)info.ssi_signo;
	return 0;
}

/* It may outlive the tool, and must not keep who reads the tool's output waiting. */
static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
}

/*
 * The tool's connection to the module is closed here, as its end is to be noticed when the
 * tool is killed: it calls off what was asked for.
 */
static int run(struct vfioext *ctx, child_fn fn, const void *data, int message_fd)
{
	const char *message;
	int ret;

	vfioext_free(ctx);
	detach();
	ret = vfioext_new(&ctx, NULL);
	if (ret)
		return ret;
	vfioext_never_load(ctx);
	ret = fn(ctx, data);
	message = vfioext_message(ctx);
	if (ret)
		dprintf(message_fd, "%s", message[0] ? message : strerror(-ret));
	return ret;
}

/* Run @fn in a child, with a context of its own. Return: 0, or a negative error. */
int child_start(struct child *child, struct vfioext *ctx, child_fn fn, const void *data)
{
	int pipes[2], ret;

	child->message[0] = '\0';
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	fflush(stdout);
	child->pid = fork();
	if (child->pid < 0) {
		ret = -errno;
		close(pipes[0]);
		close(pipes[1]);
		return ret;
	}
	if (!child->pid)
		_exit(run(ctx, fn, data, pipes[1]) ? EXIT_FAILED : EXIT_DONE);
	close(pipes[1]);
	child->message_fd = pipes[0];
	return 0;
}

/* Does not wait. Once it returns true, @status and the child's message are set. */
bool child_ended(struct child *child, int *status)
{
	ssize_t len;
	int raw;

	if (waitpid(child->pid, &raw, WNOHANG) != child->pid)
		return false;
	len = read(child->message_fd, child->message, sizeof(child->message) - 1);
	child->message[len > 0 ? len : 0] = '\0';
	close(child->message_fd);
	*status = WIFEXITED(raw) ? WEXITSTATUS(raw) : EXIT_FAILED;
	return true;
}
