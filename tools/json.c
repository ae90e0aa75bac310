// SPDX-License-Identifier: GPL-2.0-only
/* Members of a JSON object; tables make theirs themselves. */
#include <stdio.h>

#include "vfioext.h"

static void print_string(const char *value)
{
	const unsigned char *at;

	putchar('"');
	for (at = (const unsigned char *)value; *at; at++) {
		if (*at == '"' || *at == '\\')
			printf("\\%c", *at);
		else if (*at < ' ')
			printf("\\u%04x", *at);
		else
			putchar(*at);
	}
	putchar('"');
}

void json_string(const char *name, const char *value, bool first)
{
	if (!first)
		fputs(", ", stdout);
	print_string(name);
	fputs(": ", stdout);
	print_string(value);
}

void json_number(const char *name, unsigned long long value, bool first)
{
	if (!first)
		fputs(", ", stdout);
	print_string(name);
	printf(": %llu", value);
}

void json_boolean(const char *name, bool value, bool first)
{
	if (!first)
		fputs(", ", stdout);
	print_string(name);
	printf(": %s", value ? "true" : "false");
}

/* A list of strings; json_item() adds one. */
void json_list(const char *name, bool first)
{
	if (!first)
		fputs(", ", stdout);
	print_string(name);
	fputs(": [", stdout);
}

void json_item(const char *value, bool first)
{
	if (!first)
		fputs(", ", stdout);
	print_string(value);
}

void json_list_end(void)
{
	putchar(']');
}
