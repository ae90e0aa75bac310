// SPDX-License-Identifier: LGPL-2.1-or-later
/* Namespaces of processes, of which several have the same. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "namespaces.h"

bool namespaces_add(struct namespaces *met, struct survey *survey, const char *path)
{
	struct stat stat_;
	ino_t *more;
	size_t i;

	if (stat(path, &stat_))
		return false;
	for (i = 0; i < met->nr; i++)
		if (met->list[i] == stat_.st_ino)
			return false;
	more = realloc(met->list, (met->nr + 1) * sizeof(*more));
	if (!more) {
		survey->error = -ENOMEM;
		return false;
	}
	met->list = more;
	more[met->nr++] = stat_.st_ino;
	return true;
}

void namespaces_release(struct namespaces *met)
{
	free(met->list);
	met->list = NULL;
	met->nr = 0;
}
