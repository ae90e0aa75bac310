// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A socket at a path that nobody else listens at. It is made beside the path, under the
 * lock, and takes its place when it is complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"
#include "listener.h"
#include "share_message.h"

#define LOCK_SUFFIX ".lock"
#define NEW_SUFFIX ".new"
#define LOCK_TRIES 16

struct name {
	char text[sizeof(((struct listener *)0)->path) + sizeof(LOCK_SUFFIX)];
};

static struct name suffixed(const struct listener *listener, const char *suffix)
{
	struct name name;

	snprintf(name.text, sizeof(name.text), "%s%s", listener->name, suffix);
	return name;
}

static int fail(struct vfioext *ctx, const struct listener *listener, const char *step)
{
	int ret = -errno;

	return context_fail(ctx, ret, "%s: %s: %s", listener->path, step, strerror(-ret));
}

static int take_path(struct vfioext *ctx, struct listener *listener, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (strlen(path) + strlen(NEW_SUFFIX) >= sizeof(listener->path))
		return context_fail(ctx, -ENAMETOOLONG, "a socket's path has at most %zu bytes",
				    sizeof(listener->path) - 1 - strlen(NEW_SUFFIX));
	strcpy(listener->path, path);
	listener->name = listener->path + (slash ? slash - path + 1 : 0);
	if (!listener->name[0] || !strcmp(listener->name, ".") || !strcmp(listener->name, ".."))
		return context_fail(ctx, -EINVAL, "'%s' is no socket's path", path);
	return 0;
}

/* Whoever may write there could put something of his own in the place of what is made. */
static int open_directory(struct vfioext *ctx, struct listener *listener)
{
	size_t len = (size_t)(listener->name - listener->path);
	char path[sizeof(listener->path)] = ".";
	struct stat stat;

	if (len)
		snprintf(path, sizeof(path), "%.*s", (int)len, listener->path);
	listener->directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (listener->directory < 0 || fstat(listener->directory, &stat))
		return fail(ctx, listener, "directory");
	if (stat.st_uid && stat.st_uid != geteuid())
		return context_fail(ctx, -EPERM, "%s: user %u owns the directory", listener->path,
				    stat.st_uid);
	if (stat.st_mode & 0022 && !(stat.st_mode & S_ISVTX))
		return context_fail(ctx, -EPERM, "%s: others may write to the directory, of mode "
				    "%04o", listener->path, stat.st_mode & 07777);
	return 0;
}

/* Is what is locked still what others would lock? Who ends removes his lock. */
static int check_lock(struct vfioext *ctx, struct listener *listener, const char *name)
{
	struct stat locked, there;

	if (fstat(listener->lock, &locked))
		return fail(ctx, listener, "lock");
	if (!S_ISREG(locked.st_mode) || (locked.st_uid && locked.st_uid != geteuid()))
		return context_fail(ctx, -EPERM, "%s" LOCK_SUFFIX " belongs to somebody else",
				    listener->path);
	if (flock(listener->lock, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return context_fail(ctx, -EADDRINUSE, "%s: another process serves there",
					    listener->path);
		return fail(ctx, listener, "lock");
	}
	if (!fstatat(listener->directory, name, &there, AT_SYMLINK_NOFOLLOW) &&
	    there.st_dev == locked.st_dev && there.st_ino == locked.st_ino)
		return 0;
	return -EAGAIN;
}

static int take_lock(struct vfioext *ctx, struct listener *listener)
{
	struct name name = suffixed(listener, LOCK_SUFFIX);
	int tries, ret = -EAGAIN;

	for (tries = 0; tries < LOCK_TRIES && ret == -EAGAIN; tries++) {
		listener->lock = openat(listener->directory, name.text,
					O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
					0600);
		if (listener->lock < 0)
			return fail(ctx, listener, "lock");
		ret = check_lock(ctx, listener, name.text);
		if (ret) {
			close(listener->lock);
			listener->lock = -1;
		}
	}
	return ret == -EAGAIN ? context_fail(ctx, -EADDRINUSE, "%s: others serve there",
					     listener->path) : ret;
}

/*
 * A primary of DPDK's takes no lock: only asking tells whether it is there. Where a
 * socket does not answer with a refusal, somebody has it.
 */
static int check_stale(struct vfioext *ctx, struct listener *listener)
{
	struct stat stat;
	int fd;

	if (fstatat(listener->directory, listener->name, &stat, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : fail(ctx, listener, "stat");
	if (!S_ISSOCK(stat.st_mode))
		return context_fail(ctx, -EEXIST, "%s is there and is no socket", listener->path);
	fd = share_connect(listener->path, 0);
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return 0;
	if (fd >= 0)
		close(fd);
	return context_fail(ctx, -EADDRINUSE, "%s: another process listens there", listener->path);
}

/* The mode is less than it is to be, never more, until it is as it is to be. */
static int bind_beside(struct vfioext *ctx, struct listener *listener, const char *beside,
		       mode_t mode)
{
	size_t len = (size_t)(listener->name - listener->path);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat stat;

	listener->fd = socket(AF_UNIX, listener->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return fail(ctx, listener, "socket");
	/* Whether it fits was seen when the path was taken. */
	memcpy(address.sun_path, listener->path, len);
	strcpy(address.sun_path + len, beside);
	unlinkat(listener->directory, beside, 0);
	if (fchmod(listener->fd, mode))
		return fail(ctx, listener, "mode");
	if (bind(listener->fd, (struct sockaddr *)&address, sizeof(address)))
		return fail(ctx, listener, "bind");
	if (fchmodat(listener->directory, beside, mode, 0) ||
	    fstatat(listener->directory, beside, &stat, AT_SYMLINK_NOFOLLOW))
		return fail(ctx, listener, "mode");
	if (!S_ISSOCK(stat.st_mode))
		return context_fail(ctx, -EPERM, "%s: somebody was in the way", listener->path);
	listener->device = stat.st_dev;
	listener->inode = stat.st_ino;
	return 0;
}

static int publish(struct vfioext *ctx, struct listener *listener, mode_t mode)
{
	struct name beside = suffixed(listener, NEW_SUFFIX);
	int ret;

	ret = bind_beside(ctx, listener, beside.text, mode);
	if (ret)
		goto err_unlink;
	if (listen(listener->fd, SOMAXCONN)) {
		ret = fail(ctx, listener, "listen");
		goto err_unlink;
	}
	if (renameat(listener->directory, beside.text, listener->directory, listener->name)) {
		ret = fail(ctx, listener, "rename");
		goto err_unlink;
	}
	listener->published = true;
	return 0;

err_unlink:
	unlinkat(listener->directory, beside.text, 0);
	return ret;
}

void listener_init(struct listener *listener)
{
	memset(listener, 0, sizeof(*listener));
	listener->fd = -1;
	listener->directory = -1;
	listener->lock = -1;
}

int listener_open(struct vfioext *ctx, struct listener *listener, const char *path, mode_t mode,
		  int type)
{
	int ret;

	listener->type = type;
	ret = take_path(ctx, listener, path);
	if (!ret)
		ret = open_directory(ctx, listener);
	if (!ret)
		ret = take_lock(ctx, listener);
	if (!ret)
		ret = check_stale(ctx, listener);
	if (!ret)
		ret = publish(ctx, listener, mode);
	if (ret)
		listener_close(listener);
	return ret;
}

static void unlink_own(struct listener *listener, const char *name, dev_t device, ino_t inode)
{
	struct stat stat;

	if (!fstatat(listener->directory, name, &stat, AT_SYMLINK_NOFOLLOW) &&
	    stat.st_dev == device && stat.st_ino == inode)
		unlinkat(listener->directory, name, 0);
}

/* The lock goes last: until then nobody else makes a socket there. */
void listener_close(struct listener *listener)
{
	struct name name;
	struct stat stat;

	if (listener->published)
		unlink_own(listener, listener->name, listener->device, listener->inode);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->lock >= 0) {
		name = suffixed(listener, LOCK_SUFFIX);
		if (!fstat(listener->lock, &stat))
			unlink_own(listener, name.text, stat.st_dev, stat.st_ino);
		close(listener->lock);
	}
	if (listener->directory >= 0)
		close(listener->directory);
	listener_init(listener);
}
