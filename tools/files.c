// SPDX-License-Identifier: GPL-2.0-only
#include <sys/resource.h>

#include "vfioext.h"

/* Shells and service managers set it low for programs that call select(), which ours do not. */
void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
