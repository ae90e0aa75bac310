// SPDX-License-Identifier: GPL-2.0-only
/* Who may connect to a socket of ours, as users name them. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "access.h"
#include "vfioext.h"

static bool parse_id(const char *text, uint32_t *id)
{
	uint64_t number;

	if (!parse_number(text, &number) || number >= UINT32_MAX)
		return false;
	*id = (uint32_t)number;
	return true;
}

bool parse_user(const char *name, uid_t *uid)
{
	const struct passwd *user = getpwnam(name);

	if (!user)
		return parse_id(name, uid);
	*uid = user->pw_uid;
	return true;
}

bool parse_gid(const char *name, gid_t *gid)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return parse_id(name, gid);
	*gid = group->gr_gid;
	return true;
}

/* Octal, and no more than what a socket can grant. */
static bool parse_mode(const char *text, mode_t *mode)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 8);
	if (errno || end == text || *end || !value || value > 0777)
		return false;
	*mode = (mode_t)value;
	return true;
}

/* Return: 0, what to exit with, or -1 if the option is another's. */
int access_option(struct socket_access *access, int option, const char *argument)
{
	switch (option) {
	case ACCESS_GROUP:
		access->has_group = parse_gid(argument, &access->group);
		return access->has_group ? EXIT_DONE :
		       usage_error("there is no group '%s'", argument);
	case ACCESS_MODE:
		return parse_mode(argument, &access->mode) ? EXIT_DONE :
		       usage_error("'%s' is no mode of a file, such as 0660", argument);
	case ACCESS_TRUST:
		access->trust_directory = true;
		return EXIT_DONE;
	case ACCESS_TOKEN:
		if (!is_token(argument))
			return usage_error("'%s' is no VF token, which is a UUID", argument);
		access->vf_token = argument;
		return EXIT_DONE;
	default:
		return -1;
	}
}

/* Who is named has to get through; a group is for those who are in it. */
mode_t access_mode(const struct socket_access *access, bool named)
{
	if (access->mode)
		return access->mode;
	if (access->has_group)
		return 0660;
	return named ? 0666 : 0;
}

/* Of a socket that could not be made in a directory that is not safe: what can be done. */
void access_hint(const struct socket_access *access, int ret)
{
	if (ret == -EPERM && !access->trust_directory)
		error("if all who may write to the directory are to be trusted, "
		      "--trust-directory makes the socket there");
}
