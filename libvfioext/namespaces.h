/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBVFIOEXT_NAMESPACES_H
#define LIBVFIOEXT_NAMESPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "uses.h"

/* Those that were met. */
struct namespaces {
	ino_t *list;
	size_t nr;
};

/* Return: true if the namespace of a file was not met yet; it is now. */
bool namespaces_add(struct namespaces *met, struct survey *survey, const char *path);
void namespaces_release(struct namespaces *met);

#endif
