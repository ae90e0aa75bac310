/* SPDX-License-Identifier: GPL-2.0-only */
/* Who may connect to a socket that serve or share makes. */
#ifndef TOOLS_ACCESS_H
#define TOOLS_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Beyond all characters, for getopt_long(). */
enum { ACCESS_GROUP = 0x100, ACCESS_MODE, ACCESS_TRUST, ACCESS_TOKEN };

#define ACCESS_LONG							\
	{ "socket-group", required_argument, NULL, ACCESS_GROUP },	\
	{ "socket-mode", required_argument, NULL, ACCESS_MODE },	\
	{ "trust-directory", no_argument, NULL, ACCESS_TRUST },		\
	{ "vf-token", required_argument, NULL, ACCESS_TOKEN }
#define ACCESS_HELP							\
	"     --socket-group G  let members of this group connect\n"	\
	"     --socket-mode M   the socket's mode, octal (0600; 0660 with a group)\n"	\
	"     --trust-directory make the socket even where others may replace it\n"	\
	"     --vf-token UUID   the token that the PF's owner has set\n"

struct socket_access {
	mode_t mode;
	bool has_group;
	gid_t group;
	bool trust_directory;
	const char *vf_token;
};

bool parse_user(const char *name, uid_t *uid);
bool parse_gid(const char *name, gid_t *gid);
int access_option(struct socket_access *access, int option, const char *argument);
mode_t access_mode(const struct socket_access *access, bool named);
void access_hint(const struct socket_access *access, int ret);

#endif
