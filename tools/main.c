// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "vfioext.h"

static const struct command commands[] = {
	{ "status", "", "tell what is loaded and what works", cmd_status },
	{ "list", "", "list groups and their devices", cmd_list },
	{ "show", "DEVICE", "show a device, its group and its removal", cmd_show },
	{ "who", "DEVICE|GROUP", "show who holds a device or a group", cmd_who },
	{ "monitor", "", "print events as they come", cmd_monitor },
	{ "bind", "DEVICE...", "bind devices to a VFIO driver", cmd_bind },
	{ "unbind", "DEVICE...", "ask for devices back, and unbind them", cmd_unbind },
	{ "policy", "[get|set] [DEVICE]", "read or change how devices are taken back", cmd_policy },
	{ "regions", "DEVICE", "show the regions of a device", cmd_regions },
	{ "read", "DEVICE PLACE", "read a register of a device", cmd_read },
	{ "write", "DEVICE PLACE VALUE", "write a register of a device", cmd_write },
	{ "share", "DEVICE...", "hand devices to other processes", cmd_share },
	{ "serve", "[DEVICE...]", "serve devices to a VM over vfio-user", cmd_serve },
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct command *current_command;

static void print_help(FILE *to)
{
	size_t i;

	fprintf(to, "Usage: vfioext COMMAND [OPTIONS]\n\n"
		"Take a VFIO device back, and see who has it.\n\nCommands:\n");
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(to, "  %-8s %-20s %s\n", commands[i].name, commands[i].arguments,
			commands[i].summary);
	fprintf(to, "\n'vfioext COMMAND --help' tells more. Exit status: 0 done, 1 failed,\n"
		"2 usage, 3 timed out, 130 interrupted.\n");
}

int main(int argc, char **argv)
{
	size_t i;

	if (!output_begin())
		return EXIT_FAILED;
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return output_finish(EXIT_DONE);
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		puts("vfioext " VERSION);
		return output_finish(EXIT_DONE);
	}
	for (i = 0; i < NR_COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		current_command = &commands[i];
		return output_finish(commands[i].run(argc - 1, argv + 1));
	}
	error("there is no command '%s'", argv[1]);
	fprintf(stderr, "Try 'vfioext --help'.\n");
	return EXIT_USAGE;
}
