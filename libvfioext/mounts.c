// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is mounted, in whatever mount namespace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "mounts.h"
#include "namespaces.h"
#include "processes.h"
#include "uses.h"

void mounts_unescape(char *text)
{
	unsigned int byte;
	char *to = text;

	for (; *text; text++, to++) {
		*to = *text;
		if (text[0] == '\\' && sscanf(text + 1, "%3o", &byte) == 1 && strlen(text) >= 4) {
			*to = (char)byte;
			text += 3;
		}
	}
	*to = '\0';
}

/* A line of mountinfo: "36 35 98:0 /root /mnt rw - ext4 /dev/sda rw". */
static void take_line(const char *line, struct mount *mount, mount_fn fn, void *data)
{
	const char *separator = strstr(line, " - ");
	unsigned int major, minor;

	mount->point = NULL;
	mount->type = NULL;
	mount->source = NULL;
	if (separator &&
	    sscanf(line, "%*d %*d %u:%u %*s %ms", &major, &minor, &mount->point) == 3 &&
	    sscanf(separator, " - %ms %ms", &mount->type, &mount->source) == 2) {
		mounts_unescape(mount->point);
		mounts_unescape(mount->source);
		mount->number = major ? makedev(major, minor) : 0;
		fn(data, mount);
	}
	free(mount->point);
	free(mount->type);
	free(mount->source);
}

static void read_mounts(struct survey *survey, const char *process, const char *where, mount_fn fn,
			void *data)
{
	struct mount mount = { .where = where };
	char path[400], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/mountinfo", survey->proc, process);
	file = fopen(path, "re");
	if (!file)
		return;
	while (getline(&line, &size, file) > 0)
		take_line(line, &mount, fn, data);
	free(line);
	fclose(file);
}

/* Return: true if the mount namespace of a process was not met yet. */
static bool is_new(struct survey *survey, struct namespaces *met, const char *process)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s/ns/mnt", survey->proc, process);
	return namespaces_add(met, survey, path);
}

/*
 * What is done with the mounts of each namespace.
 * @met: those that were read
 */
struct walk {
	struct survey *survey;
	struct namespaces met;
	mount_fn fn;
	void *data;
};

static int look_at(void *data, int process, int pid)
{
	struct walk *walk = data;
	char name[16], where[64];

	(void)process;
	snprintf(name, sizeof(name), "%d", pid);
	if (!is_new(walk->survey, &walk->met, name))
		return 0;
	snprintf(where, sizeof(where), ", in the mount namespace of pid %d", pid);
	read_mounts(walk->survey, name, where, walk->fn, walk->data);
	return 0;
}

void mounts_walk(struct survey *survey, mount_fn fn, void *data)
{
	struct walk walk = { .survey = survey, .fn = fn, .data = data };

	is_new(survey, &walk.met, "self");
	read_mounts(survey, "self", "", fn, data);
	processes_walk(survey->proc, look_at, &walk);
	namespaces_release(&walk.met);
}
