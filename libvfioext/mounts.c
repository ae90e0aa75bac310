// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is mounted, in whatever mount namespace. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "mounts.h"
#include "namespaces.h"
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

void mounts_walk(struct survey *survey, mount_fn fn, void *data)
{
	struct namespaces met = { 0 };
	struct dirent *entry;
	char where[64];
	DIR *dir;

	is_new(survey, &met, "self");
	read_mounts(survey, "self", "", fn, data);
	dir = opendir(survey->proc);
	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || strlen(entry->d_name) > 16 ||
		    !is_new(survey, &met, entry->d_name))
			continue;
		snprintf(where, sizeof(where), ", in the mount namespace of pid %.16s",
			 entry->d_name);
		read_mounts(survey, entry->d_name, where, fn, data);
	}
	if (dir)
		closedir(dir);
	namespaces_release(&met);
}
