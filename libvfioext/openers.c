// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which processes have files of devices open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "processes.h"
#include "uses.h"

dev_t file_number(const char *path, mode_t type)
{
	struct stat stat_;

	/* A file elsewhere may be of a server that does not answer. */
	if (strncmp(path, "/dev/", 5) || stat(path, &stat_) || (stat_.st_mode & S_IFMT) != type)
		return 0;
	return stat_.st_rdev;
}

/*
 * @files: what is looked for, @nr of them
 * @open: whether the process that is looked at has each
 */
struct search {
	const struct process_file *files;
	size_t nr;
	bool *open;
	opener_fn fn;
	void *data;
};

static void look_at_fd(void *data, int directory, const char *fd, const char *target)
{
	struct search *search = data;
	struct stat stat_;
	size_t i;

	if (strncmp(target, "/dev/", 5) || fstatat(directory, fd, &stat_, 0))
		return;
	for (i = 0; i < search->nr; i++)
		if (search->files[i].number == stat_.st_rdev &&
		    search->files[i].type == (stat_.st_mode & S_IFMT))
			search->open[i] = true;
}

static int look_at(void *data, int process, int pid)
{
	struct search *search = data;
	char comm[32];
	size_t i;

	if (pid == getpid())
		return 0;
	memset(search->open, 0, search->nr * sizeof(*search->open));
	process_walk_fds(process, look_at_fd, search);
	for (i = 0; i < search->nr; i++) {
		if (!search->open[i])
			continue;
		process_comm(process, comm, sizeof(comm));
		search->fn(search->data, i, pid, comm);
	}
	return 0;
}

void processes_with(struct survey *survey, const struct process_file *files, size_t nr,
		    opener_fn fn, void *data)
{
	struct search search = { .files = files, .nr = nr, .fn = fn, .data = data };

	if (!nr)
		return;
	search.open = calloc(nr, sizeof(*search.open));
	if (!search.open) {
		survey->error = -ENOMEM;
		return;
	}
	processes_walk(survey->proc, look_at, &search);
	free(search.open);
}
