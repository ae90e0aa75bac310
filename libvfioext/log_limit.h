/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client that comes and goes in a loop is not to fill the log. */
#ifndef LIBVFIOEXT_LOG_LIMIT_H
#define LIBVFIOEXT_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * All zeros at first.
 * @until_ms: the time that lines are counted in ends then
 * @nr: lines in it
 * @left_out: lines that were not let through since the last one that was
 */
struct log_limit {
	uint64_t until_ms;
	unsigned int nr;
	unsigned int left_out;
};

/*
 * May one more line be written? What was left out before is told at the end of it.
 * @text, @size: the line, and what room there is
 */
bool log_limit_pass(struct log_limit *limit, char *text, size_t size);

#endif
