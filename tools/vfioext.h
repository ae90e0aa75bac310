/* SPDX-License-Identifier: GPL-2.0-only */
/* What the subcommands share. */
#ifndef TOOLS_VFIOEXT_H
#define TOOLS_VFIOEXT_H

#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <linux/vfioext.h>
#include <stdbool.h>
#include <sys/types.h>
#include <vfioext/vfioext.h>

/* A device's regions lie beyond 4 GiB in its file. */
_Static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64");

#define VERSION "0.1"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_TIMED_OUT = 3,
	EXIT_INTERRUPTED = 130,
};

struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(int argc, char **argv);
};

extern const struct command *current_command;

int cmd_status(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_who(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_unbind(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_regions(int argc, char **argv);
int cmd_share(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_read(int argc, char **argv);
int cmd_write(int argc, char **argv);

/* errors.c */
void error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fail(struct vfioext *ctx, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int help(const char *options);
struct vfioext *open_context(void);
bool parse_ms(const char *text, uint32_t *ms);
bool parse_action(const char *text, uint32_t *action);

/* output.c */
bool output_begin(void);
bool output_lost(void);
int output_finish(int status);

/* log.c */
void print_log(const char *text, void *data);

/* token.c */
#define TOKEN_HELP "     --vf-token UUID   the token that the PF's owner has set\n"
bool is_token(const char *text);
bool take_token(const char *text, const char **token);
bool is_served(const char *name);
int open_device(struct vfioext *ctx, const char *name, const char *token,
		struct vfioext_container *container, struct vfioext_device **device);

/* files.c: as many descriptors as may be had, for those who serve many */
void raise_file_limit(void);

/* need.c */
bool need_module(struct vfioext *ctx);

/* table.c */
struct column {
	const char *name;
	int flags;
	int json_type;
};

struct table_options {
	bool json;
	bool no_headings;
	bool raw;
	const char *columns;
};

/* The options of every table, for getopt_long() and for --help. */
#define TABLE_SHORT "Jnro:h"
#define TABLE_LONG						\
	{ "json", no_argument, NULL, 'J' },			\
	{ "noheadings", no_argument, NULL, 'n' },		\
	{ "raw", no_argument, NULL, 'r' },			\
	{ "output", required_argument, NULL, 'o' },		\
	{ "help", no_argument, NULL, 'h' }
#define TABLE_HELP						\
	" -J, --json            print JSON\n"			\
	" -n, --noheadings      print no headings\n"		\
	" -r, --raw             print unaligned\n"		\
	" -o, --output COLUMNS  print these columns\n"		\
	" -h, --help            print this\n"

struct table {
	struct libscols_table *scols;
	const struct column *columns;
	int nr_columns;
	int shown[16];
	int nr_shown;
	bool json;
	bool partial;	/* it is printed, and is a failure all the same */
	bool inside;
	const char *vf_token;
};

bool table_option(struct table_options *options, int option, const char *argument);
int table_options_only(struct table_options *options, int argc, char **argv, const char *text);
int table_begin(struct table *table, const char *name, const struct table_options *options,
		const struct column *columns, int nr_columns, const char *defaults);
struct libscols_line *table_line(struct table *table, struct libscols_line *parent);
void table_put(struct table *table, struct libscols_line *line, int column, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));
void table_put_property(struct table *table, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int table_end(struct table *table, int status);

/* A command that shows one thing, which it is told, as a table. */
struct table_command {
	const char *name;
	const char *help;
	const char *wants;
	bool takes_token;
	bool takes_inside;
	const struct column *columns;
	int nr_columns;
	const char *defaults;
	int (*fill)(struct vfioext *ctx, struct table *table, const char *what);
};

int table_run(const struct table_command *command, int argc, char **argv);

/* names.c */
void names_begin(void);
const char *names_device(const struct vfioext_device_info *info, char *buffer, size_t size);
const char *names_class(const struct vfioext_device_info *info, char *buffer, size_t size);
void names_end(void);
const char *printable(char *name);
const char *name_of_origin(uint32_t origin);
const char *name_of_state(uint32_t state);
const char *name_of_outcome(int outcome);
const char *name_of_action(uint32_t action);
const char *name_of_type(uint32_t type);

/* place.c */
#define PLACE_HELP \
	"\nA place is bar0 to bar5, rom, config, vga or a region's number, and +OFFSET.\n"

struct place {
	unsigned int region;
	uint64_t offset;
};

const char *name_of_region(const struct vfioext_device *device, unsigned int index);
bool parse_number(const char *text, uint64_t *number);
bool parse_place(const char *text, struct place *place);
bool parse_width(const char *text, unsigned int *width);
int find_place(struct vfioext *ctx, struct vfioext_device *device, const struct place *place,
	       uint64_t size, struct vfioext_region **region);

/* inside.c */
void put_inside(struct table *table, struct vfioext_device *device);

/* offer.c */
int show_offer(const char *path, const struct table_options *options);

/* held.c */
bool held_read(const char *name, const struct place *place, unsigned int width, uint64_t *value);
bool held_write(const char *name, const struct place *place, unsigned int width, uint64_t value);

/* child.c */
typedef int (*child_fn)(struct vfioext *ctx, const void *data);

struct child {
	pid_t pid;
	int message_fd;
	char message[512];
};

int signals_catch(void);
int signals_take(int signals);
int child_start(struct child *child, struct vfioext *ctx, child_fn fn, const void *data);
bool child_ended(struct child *child, int *status);

/* targets.c: the devices that are named, each once; of a group all that can be bound. */
int targets_find(struct vfioext *ctx, char **names, int nr, struct vfioext_device_list *targets);

/*
 * uses.c: say what the host uses a device for. Return: EXIT_DONE if it may be taken, which
 * @force allows whatever it is used for.
 */
int uses_check(struct vfioext *ctx, const struct vfioext_device_info *info, bool force, bool json);

/*
 * persist.c: keep the driver that a device has, which undoes it for one of the host's; no
 * longer do so; is it so?
 */
int persist_keep(const struct vfioext_device_info *info, bool quiet);
int persist_undo(const struct vfioext_device_info *info, bool quiet);
bool persist_find(const struct vfioext_device_info *info);

/* module.c */
bool module_load(const char *name);
bool module_load_driver(struct vfioext *ctx, const char *driver, char *found);
void module_load_for(const struct vfioext_device_info *info);

/* json.c */
void json_string(const char *name, const char *value, bool first);
void json_number(const char *name, unsigned long long value, bool first);
void json_boolean(const char *name, bool value, bool first);
void json_list(const char *name, bool first);
void json_item(const char *value, bool first);
void json_list_end(void);

#endif
