// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's modules, files and locks, as a user may see them. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "host.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

bool host_read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool read;

	if (!file)
		return false;
	read = fgets(line, (int)size, file);
	fclose(file);
	if (read)
		line[strcspn(line, "\n")] = '\0';
	return read;
}

/* Is this the path of a module's file? Its name may have - for _. */
static bool is_file_of(const char *line, const char *name)
{
	const char *path = line, *slash, *colon = strchr(line, ':');

	for (slash = strchr(line, '/'); slash && (!colon || slash < colon);
	     slash = strchr(slash + 1, '/'))
		path = slash + 1;
	for (; *name; name++, path++)
		if (*path != *name && !(*path == '-' && *name == '_'))
			return false;
	return !strncmp(path, ".ko", 3);
}

static bool is_listed(const char *list, const char *name)
{
	char path[256], line[4096];
	struct utsname system;
	bool found = false;
	FILE *file;

	if (uname(&system))
		return false;
	snprintf(path, sizeof(path), "/lib/modules/%s/%s", system.release, list);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = is_file_of(line, name);
	fclose(file);
	return found;
}

/* "loaded", "built in", "available" or "missing" */
const char *host_module(const char *name)
{
	char path[128], state[16];

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	if (host_read_line(path, state, sizeof(state)))
		return "loaded";
	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (!access(path, F_OK) || is_listed("modules.builtin", name))
		return "built in";
	return is_listed("modules.dep", name) ? "available" : "missing";
}

/* "yes", or why not; it is not opened, which would load what is behind it. */
const char *host_access(const char *path)
{
	if (!faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS))
		return "yes";
	return errno == EACCES || errno == EPERM ? "no permission" : "not there";
}

/* Four bytes of attributes come before the value. */
enum known host_secure_boot(void)
{
	unsigned char value[5];
	FILE *file;
	size_t len;

	if (access("/sys/firmware/efi", F_OK))
		return KNOWN_NO;
	file = fopen(SECURE_BOOT, "re");
	if (!file)
		return KNOWN_NOT;
	len = fread(value, 1, sizeof(value), file);
	fclose(file);
	return len == sizeof(value) ? value[4] == 1 : KNOWN_NOT;
}

/* The mode in brackets of "none [integrity] confidentiality". */
bool host_lockdown(char *mode, size_t size)
{
	char line[128], *begin, *end;

	if (!host_read_line("/sys/kernel/security/lockdown", line, sizeof(line)))
		return false;
	begin = strchr(line, '[');
	end = begin ? strchr(begin, ']') : NULL;
	if (!end)
		return false;
	*end = '\0';
	snprintf(mode, size, "%s", begin + 1);
	return true;
}

/* Would the kernel take a module that nobody signed? */
enum known host_takes_unsigned(void)
{
	char enforced[8], mode[32];
	bool locked = host_lockdown(mode, sizeof(mode));

	if (locked && strcmp(mode, "none"))
		return KNOWN_NO;
	if (!host_read_line("/sys/module/module/parameters/sig_enforce", enforced, sizeof(enforced)))
		return locked ? KNOWN_YES : KNOWN_NOT;
	return enforced[0] != 'Y';
}
