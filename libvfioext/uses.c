// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the host uses a device for: the list, and who looks at what. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "context.h"
#include "sysfs.h"
#include "uses.h"

/* What is open is looked at once more after this time: udev looks at disks for a moment. */
#define AGAIN_MS 200

static bool is_known(const struct vfioext_uses *uses, const struct vfioext_use *use)
{
	size_t i;

	for (i = 0; i < uses->nr; i++)
		if (!strcmp(uses->list[i].text, use->text))
			return true;
	return false;
}

void uses_add(struct survey *survey, enum vfioext_use_kind kind, const char *format, ...)
{
	struct vfioext_uses *uses = survey->uses;
	struct vfioext_use use = { .kind = kind, .harmless = kind == VFIOEXT_USE_CHILDREN };
	struct vfioext_use *more;
	va_list args;

	va_start(args, format);
	vsnprintf(use.text, sizeof(use.text), format, args);
	va_end(args);
	if (is_known(uses, &use))
		return;
	more = realloc(uses->list, (uses->nr + 1) * sizeof(*more));
	if (!more) {
		survey->error = -ENOMEM;
		return;
	}
	uses->list = more;
	more[uses->nr++] = use;
}

static int survey_run(struct vfioext *ctx, const struct vfioext_device_info *info,
		      struct vfioext_uses *uses)
{
	struct survey survey = {
		.ctx = ctx, .info = info, .uses = uses, .real = !strcmp(ctx->sysfs, "/sys"),
	};
	char link[PATH_MAX], real[PATH_MAX];
	int ret = 0;

	memset(uses, 0, sizeof(*uses));
	proc_path(ctx, survey.proc);
	snprintf(link, sizeof(link), "%s/bus/%s/devices/%s", ctx->sysfs, info->bus, info->name);
	if (realpath(link, real))
		ret = below_find(&survey.below, real);
	if (!ret)
		ret = below_add_heads(&survey);
	if (!ret) {
		uses_of_blocks(&survey);
		uses_of_shares(&survey);
		uses_of_interfaces(&survey);
		uses_of_files(&survey);
		uses_of_consoles(&survey);
		uses_of_children(&survey);
		ret = survey.error;
	}
	below_release(&survey.below);
	if (ret)
		vfioext_uses_release(uses);
	return ret;
}

/* May it be over in a moment? */
static bool may_pass(const struct vfioext_uses *uses)
{
	bool open = false;
	size_t i;

	for (i = 0; i < uses->nr; i++) {
		if (uses->list[i].kind != VFIOEXT_USE_OPEN && !uses->list[i].harmless)
			return false;
		open |= uses->list[i].kind == VFIOEXT_USE_OPEN;
	}
	return open;
}

int vfioext_uses_get(struct vfioext *ctx, const char *name, struct vfioext_uses *uses)
{
	struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };
	struct vfioext_device_info info;
	int ret;

	memset(uses, 0, sizeof(*uses));
	ret = vfioext_find_device(ctx, name, &info);
	if (ret)
		return ret;
	ret = survey_run(ctx, &info, uses);
	if (!ret && may_pass(uses)) {
		vfioext_uses_release(uses);
		nanosleep(&pause, NULL);
		ret = survey_run(ctx, &info, uses);
	}
	ctx->message[0] = '\0';
	return ret;
}

void vfioext_uses_release(struct vfioext_uses *uses)
{
	free(uses->list);
	memset(uses, 0, sizeof(*uses));
}
