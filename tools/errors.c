// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfioext.h"

static void verror(const char *format, va_list args)
{
	fflush(stdout);
	fputs("vfioext: ", stderr);
	vfprintf(stderr, format, args);
}

void error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	verror(format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Say what failed and why, in the library's or the kernel's words if they have any. */
int fail(struct vfioext *ctx, int ret, const char *format, ...)
{
	const char *message = vfioext_message(ctx);
	va_list args;

	va_start(args, format);
	verror(format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", message[0] ? message : strerror(-ret));
	if ((ret == -EPERM || ret == -EACCES) && !message[0])
		fprintf(stderr, "vfioext: this takes CAP_SYS_ADMIN, or root\n");
	return EXIT_FAILED;
}

int usage_error(const char *format, ...)
{
	va_list args;

	if (format) {
		va_start(args, format);
		verror(format, args);
		va_end(args);
		fputc('\n', stderr);
	}
	fprintf(stderr, "Try 'vfioext %s --help'.\n", current_command->name);
	return EXIT_USAGE;
}

int help(const char *options)
{
	printf("Usage: vfioext %s [OPTIONS] %s\n\nThe command to %s.\n\nOptions:\n%s",
	       current_command->name, current_command->arguments, current_command->summary,
	       options);
	return EXIT_DONE;
}

struct vfioext *open_context(void)
{
	struct vfioext *ctx = NULL;
	int ret = vfioext_new(&ctx, NULL);

	if (ret)
		error("%s", strerror(-ret));
	else
		vfioext_never_load(ctx);
	return ctx;
}

/* Seconds, with a fraction, to milliseconds. */
bool parse_ms(const char *text, uint32_t *ms)
{
	double seconds;
	char *end;

	errno = 0;
	seconds = strtod(text, &end);
	if (errno || end == text || *end || !isfinite(seconds) || seconds < 0 ||
	    seconds > UINT32_MAX / 1000)
		return false;
	*ms = (uint32_t)(seconds * 1000 + 0.5);
	return true;
}

bool parse_action(const char *text, uint32_t *action)
{
	for (*action = VFIOEXT_ACTION_NOTIFY; *action <= VFIOEXT_ACTION_SIGBUS; ++*action)
		if (!strcmp(text, name_of_action(*action)))
			return true;
	return false;
}
