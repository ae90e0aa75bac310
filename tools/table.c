// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vfioext.h"

/* Return: false for an option that is not a table's. */
bool table_option(struct table_options *options, int option, const char *argument)
{
	switch (option) {
	case 'J':
		options->json = true;
		return true;
	case 'n':
		options->no_headings = true;
		return true;
	case 'r':
		options->raw = true;
		return true;
	case 'o':
		options->columns = argument;
		return true;
	default:
		return false;
	}
}

/*
 * The options of a command that has those of a table alone. Return: -1 to go on,
 * or what to exit with.
 */
int table_options_only(struct table_options *options, int argc, char **argv, const char *text)
{
	static const struct option long_options[] = { TABLE_LONG, { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, TABLE_SHORT, long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(text);
		if (!table_option(options, option, optarg))
			return usage_error(NULL);
	}
	return -1;
}

static int find_column(const struct table *table, const char *name, size_t len)
{
	int i;

	for (i = 0; i < table->nr_columns; i++)
		if (strlen(table->columns[i].name) == len &&
		    !strncasecmp(table->columns[i].name, name, len))
			return i;
	return -1;
}

static int unknown_column(const struct table *table, const char *name, size_t len)
{
	int i;

	error("there is no column '%.*s'; there are:", (int)len, name);
	for (i = 0; i < table->nr_columns; i++)
		fprintf(stderr, " %s", table->columns[i].name);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

static int choose_columns(struct table *table, const char *list)
{
	const int room = sizeof(table->shown) / sizeof(table->shown[0]);

	if (!*list) {
		error("no columns are given");
		return EXIT_USAGE;
	}
	while (*list) {
		size_t len = strcspn(list, ",");
		int column = find_column(table, list, len);

		if (column < 0 || table->nr_shown == room)
			return unknown_column(table, list, len);
		table->shown[table->nr_shown++] = column;
		list += len + (list[len] == ',');
	}
	return EXIT_DONE;
}

/* Return: 0, or what to exit with. */
int table_begin(struct table *table, const char *name, const struct table_options *options,
		const struct column *columns, int nr_columns, const char *defaults)
{
	int i, ret;

	memset(table, 0, sizeof(*table));
	table->columns = columns;
	table->nr_columns = nr_columns;
	table->json = options->json;
	ret = choose_columns(table, options->columns ? options->columns : defaults);
	if (ret)
		return ret;

	table->scols = scols_new_table();
	if (!table->scols) {
		error("no memory");
		return EXIT_FAILED;
	}
	scols_table_set_name(table->scols, name);
	scols_table_enable_json(table->scols, options->json);
	scols_table_enable_noheadings(table->scols, options->no_headings);
	scols_table_enable_raw(table->scols, options->raw);
	for (i = 0; i < table->nr_shown; i++) {
		const struct column *column = &columns[table->shown[i]];
		struct libscols_column *new;
		char heading[32];
		size_t c;

		snprintf(heading, sizeof(heading), "%s", column->name);
		for (c = 0; options->json && heading[c]; c++)
			if (heading[c] >= 'A' && heading[c] <= 'Z')
				heading[c] = (char)(heading[c] - 'A' + 'a');
		/* The lines of a tree are for eyes. */
		new = scols_table_new_column(table->scols, heading, 0,
					     options->raw ? column->flags & ~SCOLS_FL_TREE :
							    column->flags);
		if (!new) {
			error("no memory");
			scols_unref_table(table->scols);
			return EXIT_FAILED;
		}
		scols_column_set_json_type(new, column->json_type);
	}
	return EXIT_DONE;
}

struct libscols_line *table_line(struct table *table, struct libscols_line *parent)
{
	return scols_table_new_line(table->scols, parent);
}

/* A cell that is not shown, or for which there is no memory, stays empty. */
__attribute__((format(printf, 4, 0)))
static void put(struct table *table, struct libscols_line *line, int column, const char *format,
		va_list args)
{
	char value[512];
	int i;

	if (!line)
		return;
	vsnprintf(value, sizeof(value), format, args);
	for (i = 0; i < table->nr_shown; i++)
		if (table->shown[i] == column)
			scols_line_set_data(line, i, value);
}

void table_put(struct table *table, struct libscols_line *line, int column, const char *format,
	       ...)
{
	va_list args;

	va_start(args, format);
	put(table, line, column, format, args);
	va_end(args);
}

/* A line of a table that has a property in its first column and the value in the next. */
void table_put_property(struct table *table, const char *name, const char *format, ...)
{
	struct libscols_line *line = table_line(table, NULL);
	va_list args;

	table_put(table, line, 0, "%s", name);
	va_start(args, format);
	put(table, line, 1, format, args);
	va_end(args);
}

/* Print the table, unless the status is one of failure. Return: what to exit with. */
int table_end(struct table *table, int status)
{
	if (!status && scols_table_get_nlines(table->scols)) {
		if (scols_print_table(table->scols))
			status = EXIT_FAILED;
	} else if (!status && table->json) {
		printf("{\n   \"%s\": []\n}\n", scols_table_get_name(table->scols));
	}
	if (!status && table->partial)
		status = EXIT_FAILED;
	scols_unref_table(table->scols);
	return status;
}

/* What a table's command may be told besides. */
struct more_options {
	const char *vf_token;
	bool inside;
};

/* Return: -1 to go on, or what to exit with. */
static int command_options(const struct table_command *command, struct table_options *options,
			   struct more_options *more, int argc, char **argv)
{
	static const struct option long_options[] = {
		TABLE_LONG, { "vf-token", required_argument, NULL, 't' },
		{ "inside", no_argument, NULL, 'i' }, { 0 }
	};
	int option;

	if (!command->takes_token)
		return table_options_only(options, argc, argv, command->help);
	while ((option = getopt_long(argc, argv, TABLE_SHORT, long_options, NULL)) >= 0) {
		if (option == 'h')
			return help(command->help);
		if (option == 't' && !take_token(optarg, &more->vf_token))
			return usage_error("'%s' is no VF token, which is a UUID", optarg);
		if (option == 'i' && command->takes_inside)
			more->inside = true;
		else if (option != 't' && !table_option(options, option, optarg))
			return usage_error(NULL);
	}
	return -1;
}

int table_run(const struct table_command *command, int argc, char **argv)
{
	struct table_options options = { 0 };
	struct more_options more = { 0 };
	struct vfioext *ctx;
	struct table table;
	int ret;

	ret = command_options(command, &options, &more, argc, argv);
	if (ret >= 0)
		return ret;
	if (optind + 1 != argc)
		return usage_error("%s is needed", command->wants);
	ret = table_begin(&table, command->name, &options, command->columns, command->nr_columns,
			  command->defaults);
	if (ret)
		return ret;
	table.vf_token = more.vf_token;
	table.inside = more.inside;
	ctx = open_context();
	ret = ctx ? command->fill(ctx, &table, argv[optind]) : EXIT_FAILED;
	vfioext_free(ctx);
	return table_end(&table, ret);
}
