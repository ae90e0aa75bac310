// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NVMe namespaces that several controllers may have. Below each controller there is a path to
 * one, nvme0c1n2, that has no file; the disk nvme0n2 and the file ng0n2 are below none of them.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "uses.h"

static int add(struct survey *survey, const char *class, const char *name)
{
	char link[PATH_MAX], path[PATH_MAX];

	snprintf(link, sizeof(link), "%s/class/%s/%s", survey->ctx->sysfs, class, name);
	return realpath(link, path) ? below_add(&survey->below, path) : 0;
}

static int add_head(struct survey *survey, const char *path)
{
	int subsystem, controller, namespace, len = 0, ret;
	char name[64];

	if (sscanf(path, "nvme%dc%dn%d%n", &subsystem, &controller, &namespace, &len) < 3 ||
	    path[len])
		return 0;
	snprintf(name, sizeof(name), "nvme%dn%d", subsystem, namespace);
	ret = add(survey, "block", name);
	snprintf(name, sizeof(name), "ng%dn%d", subsystem, namespace);
	return ret ? ret : add(survey, "nvme-generic", name);
}

int below_add_heads(struct survey *survey)
{
	size_t nr = survey->below.nr, i;
	int ret = 0;

	/* The list moves as it grows, but not what it has of a device. */
	for (i = 0; i < nr && !ret; i++)
		if (!strcmp(survey->below.list[i].subsystem, "block") &&
		    !survey->below.list[i].number)
			ret = add_head(survey, survey->below.list[i].name);
	return ret;
}
