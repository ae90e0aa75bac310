// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A socket at a path that nobody else listens at. It is made beside the path, under the
 * lock, and takes its place when it is complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"
#include "listener.h"
#include "share_message.h"

#define LOCK_SUFFIX ".lock"
/* What is in a lock: a file of that name without it is somebody else's. */
#define LOCK_TEXT "vfioext\n"
#define LOCK_TRIES 16
#define BESIDE_TRIES 100

/* The name of a file, with a suffix. */
struct name {
	char text[NAME_MAX + 1];
};

struct beside {
	char text[24];
};

static struct name lock_name(const struct listener *listener)
{
	struct name name;

	snprintf(name.text, sizeof(name.text), "%s" LOCK_SUFFIX, listener->name);
	return name;
}

/* Nobody else's, as far as a number at random goes; what is made there is made anew. */
static struct beside beside_name(void)
{
	struct beside name;
	uint32_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = (uint32_t)getpid();
	snprintf(name.text, sizeof(name.text), ".vfioext-%08x", number);
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

	if (strlen(path) >= sizeof(listener->path) ||
	    strlen(slash ? slash + 1 : path) + strlen(LOCK_SUFFIX) > NAME_MAX)
		return context_fail(ctx, -ENAMETOOLONG, "a socket's path has at most %zu bytes, and its "
				    "last part %zu", sizeof(listener->path) - 1,
				    NAME_MAX - strlen(LOCK_SUFFIX));
	strcpy(listener->path, path);
	listener->name = listener->path + (slash ? slash - path + 1 : 0);
	if (!listener->name[0] || !strcmp(listener->name, ".") || !strcmp(listener->name, ".."))
		return context_fail(ctx, -EINVAL, "'%s' is no socket's path", path);
	return 0;
}

/*
 * Whoever may write there can put a socket of his own in the place of ours, and have what
 * our clients say. Nothing that is done here goes wrong by it.
 */
static int check_directory(struct vfioext *ctx, struct listener *listener)
{
	struct stat stat;

	if (fstat(listener->directory, &stat))
		return fail(ctx, listener, "directory");
	if (stat.st_uid && stat.st_uid != geteuid())
		return context_fail(ctx, -EPERM, "%s: user %u owns the directory, and could replace the "
				    "socket", listener->path, stat.st_uid);
	if (stat.st_mode & 0022 && !(stat.st_mode & S_ISVTX))
		return context_fail(ctx, -EPERM, "%s: others may write to the directory, of mode "
				    "%04o, and could replace the socket", listener->path,
				    stat.st_mode & 07777);
	return 0;
}

static int open_directory(struct vfioext *ctx, struct listener *listener,
			  const struct listener_how *how)
{
	size_t len = (size_t)(listener->name - listener->path);
	char path[sizeof(listener->path)] = ".";

	if (len)
		snprintf(path, sizeof(path), "%.*s", (int)len, listener->path);
	listener->directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (listener->directory < 0)
		return fail(ctx, listener, "directory");
	return how->trust_directory ? 0 : check_directory(ctx, listener);
}

/* Made beside its name and locked before it gets it: nobody sees one that is not. */
static int make_lock(struct vfioext *ctx, struct listener *listener, const char *name)
{
	struct beside beside = beside_name();
	int ret = 0;

	listener->lock = openat(listener->directory, beside.text,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (listener->lock < 0)
		return errno == EEXIST ? -EAGAIN : fail(ctx, listener, "lock");
	if (write(listener->lock, LOCK_TEXT, strlen(LOCK_TEXT)) != (ssize_t)strlen(LOCK_TEXT) ||
	    flock(listener->lock, LOCK_EX | LOCK_NB))
		ret = fail(ctx, listener, "lock");
	else if (linkat(listener->directory, beside.text, listener->directory, name, 0))
		ret = errno == EEXIST ? -EAGAIN : fail(ctx, listener, "lock");
	unlinkat(listener->directory, beside.text, 0);
	return ret;
}

static bool is_our_lock(int fd, const struct stat *stat)
{
	char text[sizeof(LOCK_TEXT)];

	return S_ISREG(stat->st_mode) && (!stat->st_uid || stat->st_uid == geteuid()) &&
	       pread(fd, text, sizeof(text), 0) == (ssize_t)strlen(LOCK_TEXT) &&
	       !memcmp(text, LOCK_TEXT, strlen(LOCK_TEXT));
}

/* Is what is locked still what others would lock? Who ends removes his lock. */
static int check_lock(struct vfioext *ctx, struct listener *listener, const char *name)
{
	struct stat locked, there;

	if (fstat(listener->lock, &locked))
		return fail(ctx, listener, "lock");
	if (!is_our_lock(listener->lock, &locked))
		return context_fail(ctx, -EEXIST, "%s" LOCK_SUFFIX " is there and is no lock of vfioext's; "
				    "it has to be moved, or the socket made elsewhere", listener->path);
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

/* One that a process which was killed has left behind is taken over. */
static int open_lock(struct vfioext *ctx, struct listener *listener, const char *name)
{
	listener->lock = openat(listener->directory, name,
				O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (listener->lock < 0 && errno == ENOENT)
		return make_lock(ctx, listener, name);
	if (listener->lock < 0)
		return fail(ctx, listener, "lock");
	return check_lock(ctx, listener, name);
}

static int take_lock(struct vfioext *ctx, struct listener *listener)
{
	struct name name = lock_name(listener);
	int tries, ret = -EAGAIN;

	for (tries = 0; tries < LOCK_TRIES && ret == -EAGAIN; tries++) {
		ret = open_lock(ctx, listener, name.text);
		if (ret && listener->lock >= 0) {
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

/* A path that is too long for an address leads through the directory that is open. */
static void address_of(const struct listener *listener, const char *beside,
		       struct sockaddr_un *address)
{
	size_t len = (size_t)(listener->name - listener->path);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (len + strlen(beside) < sizeof(address->sun_path)) {
		memcpy(address->sun_path, listener->path, len);
		strcpy(address->sun_path + len, beside);
	} else {
		snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
			 listener->directory, beside);
	}
}

/*
 * What is there by then is looked at through one descriptor: whoever swaps it for something
 * else has nothing of that changed.
 */
static int set_owner(struct vfioext *ctx, struct listener *listener, const char *beside,
		     const struct listener_how *how)
{
	int fd = openat(listener->directory, beside, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret = 0;
	struct stat stat;
	char path[64];

	if (fd < 0 || fstat(fd, &stat)) {
		ret = fail(ctx, listener, "socket");
	} else if (!S_ISSOCK(stat.st_mode) || stat.st_uid != geteuid()) {
		ret = context_fail(ctx, -EPERM, "%s: somebody was in the way", listener->path);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (how->has_group && fchownat(fd, "", (uid_t)-1, how->group, AT_EMPTY_PATH))
			ret = fail(ctx, listener, "group");
		else if (chmod(path, how->mode))
			ret = fail(ctx, listener, "mode");
		listener->device = stat.st_dev;
		listener->inode = stat.st_ino;
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

/* The mode is less than it is to be, never more, until it is as it is to be. */
static int bind_beside(struct vfioext *ctx, struct listener *listener, const char *beside,
		       const struct listener_how *how)
{
	struct sockaddr_un address;
	int ret;

	address_of(listener, beside, &address);
	listener->fd = socket(AF_UNIX, listener->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return fail(ctx, listener, "socket");
	/* Before it has its group, what that may do is nobody's. */
	if (fchmod(listener->fd, how->has_group ? how->mode & 0600 : how->mode))
		return fail(ctx, listener, "mode");
	if (bind(listener->fd, (struct sockaddr *)&address, sizeof(address)))
		return errno == EADDRINUSE ? -EAGAIN : fail(ctx, listener, "bind");
	ret = set_owner(ctx, listener, beside, how);
	if (ret)
		unlinkat(listener->directory, beside, 0);
	return ret;
}

static int publish(struct vfioext *ctx, struct listener *listener,
		   const struct listener_how *how)
{
	struct beside beside;
	int tries, ret = -EAGAIN;

	for (tries = 0; tries < BESIDE_TRIES && ret == -EAGAIN; tries++) {
		if (listener->fd >= 0)
			close(listener->fd);
		beside = beside_name();
		ret = bind_beside(ctx, listener, beside.text, how);
	}
	if (ret)
		return ret == -EAGAIN ? context_fail(ctx, -EADDRINUSE, "%s: no name is free beside it",
						     listener->path) : ret;
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

int listener_open(struct vfioext *ctx, struct listener *listener, const char *path, int type,
		  const struct listener_how *how)
{
	int ret;

	listener->type = type;
	ret = take_path(ctx, listener, path);
	if (!ret)
		ret = open_directory(ctx, listener, how);
	if (!ret)
		ret = take_lock(ctx, listener);
	if (!ret)
		ret = check_stale(ctx, listener);
	if (!ret)
		ret = publish(ctx, listener, how);
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
		name = lock_name(listener);
		if (!fstat(listener->lock, &stat))
			unlink_own(listener, name.text, stat.st_dev, stat.st_ino);
		close(listener->lock);
	}
	if (listener->directory >= 0)
		close(listener->directory);
	listener_init(listener);
}
