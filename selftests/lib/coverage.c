// SPDX-License-Identifier: GPL-2.0-only
/* The harness ends its children with _exit(), which forgets what they counted. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);

void _exit(int status)
{
	__gcov_dump();
	for (;;)
		syscall(SYS_exit_group, status);
}
