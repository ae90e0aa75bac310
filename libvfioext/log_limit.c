// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdio.h>
#include <string.h>

#include "log_limit.h"
#include "share_message.h"

/* So many in so long a time; more than clients that mean well have to say. */
#define LINES_MAX 100
#define TIME_MS 60000

bool log_limit_pass(struct log_limit *limit, char *text, size_t size)
{
	uint64_t now = share_now_ms();
	size_t length = strlen(text);

	if (now >= limit->until_ms) {
		limit->until_ms = now + TIME_MS;
		limit->nr = 0;
	}
	if (limit->nr == LINES_MAX) {
		limit->left_out++;
		return false;
	}
	limit->nr++;
	if (limit->left_out)
		snprintf(text + length, size - length, " (%u lines were left out before)",
			 limit->left_out);
	limit->left_out = 0;
	return true;
}
