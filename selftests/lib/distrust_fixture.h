/* SPDX-License-Identifier: GPL-2.0-only */
/* A bad server and its client, for each test of what ours distrusts. */
#ifndef SELFTESTS_DISTRUST_FIXTURE_H
#define SELFTESTS_DISTRUST_FIXTURE_H

#include <string.h>

#include "kselftest_harness.h"

#include "bad_server.h"
#include "steps.h"

FIXTURE(distrust) {
	struct server server;
	struct client client;
};

FIXTURE_SETUP(distrust)
{
	memset(&self->server, 0, sizeof(self->server));
}

FIXTURE_TEARDOWN(distrust)
{
	(void)self;
}

static bool begin(struct server *server, struct client *client)
{
	return server_start(server) && client_start(client);
}

static void end(struct server *server, struct client *client)
{
	client_stop(client);
	server_stop(server);
}

#endif
