// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "context.h"

/* Leave a message behind, and pass the error on. */
int context_fail(struct vfioext *ctx, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ctx->message, sizeof(ctx->message), format, args);
	va_end(args);
	return error;
}

int context_also(struct vfioext *ctx, int error, const char *before)
{
	char message[sizeof(ctx->message)];

	if (!before[0])
		return error;
	strcpy(message, ctx->message);
	snprintf(ctx->message, sizeof(ctx->message), "%.250s; %.250s", before, message);
	return error;
}
