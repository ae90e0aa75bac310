/* SPDX-License-Identifier: GPL-2.0-only */
/* A container that can be shared, for each test of sharing on the host. */
#ifndef SELFTESTS_SHARE_FIXTURE_H
#define SELFTESTS_SHARE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "share.h"

FIXTURE(share);

FIXTURE_SETUP(share)
{
	/* What is opened once, and stays. */
	open_files();
	strcpy(self->directory, "/tmp/vfioext.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->directory));
	snprintf(self->sysfs, sizeof(self->sysfs), "%s/sys", self->directory);
	snprintf(self->path, sizeof(self->path), "%s/share", self->directory);
	snprintf(self->old, sizeof(self->old), "%s/.rte_mp_socket", self->directory);
	make_sysfs(self->sysfs);
	umask(022);
	self->files = open_files();
	self->inheritable = inheritable_files();
	ASSERT_EQ(0, vfioext_new(&self->ctx, self->sysfs));
	self->container = make_container(self->ctx, 3);
}

/* Nothing is left: neither a file open, nor one in the directory. */
FIXTURE_TEARDOWN(share)
{
	char command[128];

	stop_serving(self);
	vfioext_share_free(self->share);
	EXPECT_NE(0, access(self->path, F_OK));
	EXPECT_NE(0, access(self->old, F_OK));
	if (self->container)
		free_container(self->container);
	vfioext_free(self->ctx);
	EXPECT_EQ(self->files, open_files());
	snprintf(command, sizeof(command), "rm -rf %s/sys && rmdir %s", self->directory,
		 self->directory);
	EXPECT_EQ(0, system(command));
}

#endif
