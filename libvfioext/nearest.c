// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names of devices that look like one that is not there. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <vfioext/context.h>

#include "context.h"
#include "names.h"
#include "sysfs.h"

#define NEAREST_MAX 3
/* More than so many differences are no slip of the finger. */
#define DISTANCE_MAX 3

struct nearest {
	char names[NEAREST_MAX][VFIOEXT_NAME_SIZE];
	unsigned int distances[NEAREST_MAX];
	size_t nr;
};

/* How many characters to add, drop or change (Levenshtein), whatever their case. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[VFIOEXT_NAME_SIZE + 1], corner, up;
	size_t len = strlen(b), i, j;

	for (j = 0; j <= len; j++)
		row[j] = (unsigned int)j;
	for (i = 0; a[i]; i++) {
		corner = row[0]++;
		for (j = 0; j < len; j++) {
			unsigned int same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);
			unsigned int best = same ? corner : corner + 1;

			up = row[j + 1];
			if (up + 1 < best)
				best = up + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			corner = up;
			row[j + 1] = best;
		}
	}
	return row[len];
}

/* Sorted, and the last falls out. */
static void add(struct nearest *nearest, const char *name, unsigned int far)
{
	size_t at = nearest->nr, i;

	while (at && nearest->distances[at - 1] > far)
		at--;
	if (at == NEAREST_MAX)
		return;
	if (nearest->nr < NEAREST_MAX)
		nearest->nr++;
	for (i = nearest->nr - 1; i > at; i--) {
		strcpy(nearest->names[i], nearest->names[i - 1]);
		nearest->distances[i] = nearest->distances[i - 1];
	}
	strcpy(nearest->names[at], name);
	nearest->distances[at] = far;
}

static void look_on(struct vfioext *ctx, const char *bus, const char *text,
		    struct nearest *nearest)
{
	unsigned int far, shorter;
	char **names;
	int nr, i;

	nr = sysfs_list(ctx, &names, "bus/%s/devices", bus);
	if (nr < 0)
		return;
	for (i = 0; i < nr; i++) {
		if (strlen(names[i]) >= VFIOEXT_NAME_SIZE)
			continue;
		far = distance(text, names[i]);
		/* The domain may have been left out. */
		shorter = strchr(names[i], ':') ? distance(text, strchr(names[i], ':') + 1) : far;
		if (shorter < far)
			far = shorter;
		if (far <= DISTANCE_MAX)
			add(nearest, names[i], far);
	}
	sysfs_list_free(names, nr);
}

void nearest_suggest(struct vfioext *ctx, const char *text)
{
	struct nearest nearest = { .nr = 0 };
	char *message = ctx->message;
	size_t at = strlen(message), i;

	if (strlen(text) >= VFIOEXT_NAME_SIZE)
		return;
	look_on(ctx, "pci", text, &nearest);
	look_on(ctx, "mdev", text, &nearest);
	for (i = 0; i < nearest.nr && at < sizeof(ctx->message); i++)
		at += (size_t)snprintf(message + at, sizeof(ctx->message) - at, "%s%s",
				       i ? ", " : "; the nearest: ", nearest.names[i]);
}
