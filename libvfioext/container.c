// SPDX-License-Identifier: LGPL-2.1-or-later
/* Address spaces, and how groups and devices get into them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vfioext/discovery.h>

#include "container.h"
#include "context.h"
#include "device.h"
#include "kernel_abi.h"
#include "opened.h"
#include "spapr.h"
#include "sysfs.h"
#include "token.h"
#include "unopened.h"

static int fail_step(struct vfioext *ctx, const char *step)
{
	int ret = -errno;

	return context_fail(ctx, ret, "%s: %s", step, strerror(-ret));
}

/* What the caller wants, else what the environment of a program without privileges says. */
static int choose_backend(struct vfioext *ctx, enum vfioext_backend *backend)
{
	const char *name = secure_getenv("VFIOEXT_BACKEND");

	if (*backend > VFIOEXT_BACKEND_USER)
		return context_fail(ctx, -EINVAL, "there is no backend %d", (int)*backend);
	if (*backend != VFIOEXT_BACKEND_ANY || !name || !name[0])
		return 0;
	if (!strcmp(name, "container"))
		*backend = VFIOEXT_BACKEND_CONTAINER;
	else if (!strcmp(name, "iommufd"))
		*backend = VFIOEXT_BACKEND_IOMMUFD;
	else
		return context_fail(ctx, -EINVAL, "VFIOEXT_BACKEND is '%.32s', and can be container or iommufd",
				    name);
	return 0;
}

static int open_container(struct vfioext *ctx, struct vfioext_container *container)
{
	bool noiommu = container->backend == VFIOEXT_BACKEND_NOIOMMU;

	container->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (container->fd < 0)
		return fail_step(ctx, "/dev/vfio/vfio");
	if (ioctl(container->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return context_fail(ctx, -EPROTO, "VFIO of another version");
	if (noiommu && ioctl(container->fd, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU) <= 0)
		return context_fail(ctx, -ENOENT, "no mode without an IOMMU; the host's administrator "
				    "allows it, unsafe as it is, with vfio's enable_unsafe_noiommu_mode");
	return noiommu ? 0 : spapr_begin(container);
}

static int open_iommufd(struct vfioext *ctx, struct vfioext_container *container)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int ret;

	if (!ctx->address_spaces)
		ctx->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (ctx->iommufd < 0)
		return fail_step(ctx, "/dev/iommu");
	if (ioctl(ctx->iommufd, IOMMU_IOAS_ALLOC, &alloc)) {
		ret = fail_step(ctx, "IOMMU_IOAS_ALLOC");
		if (!ctx->address_spaces)
			close(ctx->iommufd);
		return ret;
	}
	ctx->address_spaces++;
	container->fd = ctx->iommufd;
	container->ioas = alloc.out_ioas_id;
	return 0;
}

static void close_iommufd(struct vfioext *ctx, uint32_t ioas)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = ioas };

	ioctl(ctx->iommufd, IOMMU_DESTROY, &destroy);
	if (!--ctx->address_spaces)
		close(ctx->iommufd);
}

static void close_container(struct vfioext_container *container)
{
	if (container->fd >= 0)
		close(container->fd);
	container->fd = -1;
	if (container->registered)
		mappings_free(container->registered);
	container->registered = NULL;
}

/*
 * iommufd, if the kernel has it and we may open it. Whether we may open a device's own file
 * is seen when one is added: until then it is not settled.
 */
static int open_any(struct vfioext *ctx, struct vfioext_container *container)
{
	char message[sizeof(ctx->message)] = "";
	int ret;

	container->unsettled = true;
	container->backend = VFIOEXT_BACKEND_IOMMUFD;
	if (!access("/dev/vfio/devices", F_OK)) {
		if (!open_iommufd(ctx, container))
			return 0;
		strcpy(message, ctx->message);
	}
	container->unsettled = false;
	container->backend = VFIOEXT_BACKEND_CONTAINER;
	ret = open_container(ctx, container);
	return ret ? context_also(ctx, ret, message) : 0;
}

struct vfioext_container *container_alloc(struct vfioext *ctx, enum vfioext_backend backend)
{
	struct vfioext_container *container = calloc(1, sizeof(*container));

	if (!container)
		return NULL;
	pthread_mutex_init(&container->lock, NULL);
	pthread_mutex_init(&container->groups_lock, NULL);
	container->ctx = ctx;
	container->backend = backend;
	container->fd = -1;
	container->mappings = mappings_new();
	container->allocated = mappings_new();
	if (!container->mappings || !container->allocated) {
		vfioext_container_free(container);
		return NULL;
	}
	return container;
}

int vfioext_container_new(struct vfioext *ctx, enum vfioext_backend backend,
			  struct vfioext_container **container)
{
	struct vfioext_container *new;
	int ret;

	ctx->message[0] = '\0';
	ret = choose_backend(ctx, &backend);
	if (ret)
		return ret;
	new = container_alloc(ctx, backend);
	if (!new)
		return -ENOMEM;
	if (backend == VFIOEXT_BACKEND_ANY)
		ret = open_any(ctx, new);
	else if (backend == VFIOEXT_BACKEND_IOMMUFD)
		ret = open_iommufd(ctx, new);
	else if (backend != VFIOEXT_BACKEND_USER)
		ret = open_container(ctx, new);
	if (ret) {
		vfioext_container_free(new);
		return ret;
	}
	if (backend == VFIOEXT_BACKEND_NOIOMMU)
		context_fail(ctx, 0, "without an IOMMU nothing keeps a device of this container from any "
			     "memory of the host");
	*container = new;
	return 0;
}

/* Those that came from another process: of others, none is left without devices. */
static void free_groups(struct vfioext_container *container)
{
	struct group *group;

	while ((group = container->groups) != NULL) {
		container->groups = group->next;
		close(group->fd);
		free(group);
	}
}

int vfioext_container_free(struct vfioext_container *container)
{
	bool held;

	if (!container)
		return 0;
	pthread_mutex_lock(&container->lock);
	held = container->held;
	pthread_mutex_unlock(&container->lock);
	if (held)
		return -EBUSY;
	/* Closing it does not, while others have it open. */
	if (container->shared || container->lent)
		dma_unmap_own(container);
	free_groups(container);
	if (container->fd >= 0 && container->backend == VFIOEXT_BACKEND_IOMMUFD)
		close_iommufd(container->ctx, container->ioas);
	else
		close_container(container);
	allocations_forget(container);
	mappings_free(container->mappings);
	free(container->own_ranges);
	pthread_mutex_destroy(&container->groups_lock);
	pthread_mutex_destroy(&container->lock);
	free(container);
	return 0;
}

void container_hold(struct vfioext_container *container)
{
	pthread_mutex_lock(&container->lock);
	container->held++;
	pthread_mutex_unlock(&container->lock);
}

void container_unhold(struct vfioext_container *container)
{
	bool unused;

	pthread_mutex_lock(&container->lock);
	unused = !--container->held && container->orphaned;
	pthread_mutex_unlock(&container->lock);
	if (unused)
		vfioext_container_free(container);
}

/* Devices of one group may have it for their own together. */
void container_release(struct vfioext_container *container)
{
	bool unused;

	pthread_mutex_lock(&container->lock);
	if (container->owners)
		container->owners--;
	container->orphaned = !container->owners;
	unused = container->orphaned && !container->held;
	pthread_mutex_unlock(&container->lock);
	if (unused)
		vfioext_container_free(container);
}

enum vfioext_backend vfioext_container_backend(const struct vfioext_container *container)
{
	return container->backend;
}

int vfioext_container_fd(const struct vfioext_container *container)
{
	return container->fd;
}

static int open_group(struct vfioext_container *container, struct vfioext *ctx,
		      struct group *group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	bool noiommu = container->backend == VFIOEXT_BACKEND_NOIOMMU;
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%s%d", noiommu ? "noiommu-" : "", group->id);
	group->fd = open(path, O_RDWR | O_CLOEXEC);
	if (group->fd < 0 && errno == EBUSY)
		return unopened_group(ctx, group->id);
	if (group->fd < 0 && errno == ENOENT && !noiommu)
		return context_fail(ctx, -ENOENT, "%s: no such file; a group without an IOMMU is opened "
				    "with VFIOEXT_BACKEND_NOIOMMU alone", path);
	if (group->fd < 0)
		return fail_step(ctx, path);
	if (ioctl(group->fd, VFIO_GROUP_GET_STATUS, &status))
		return fail_step(ctx, "VFIO_GROUP_GET_STATUS");
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return unopened_group(ctx, group->id);
	return 0;
}

/* Others who got the container may have kept its IOMMU. */
static int set_iommu(struct vfioext_container *container, struct vfioext *ctx, int group)
{
	int type = container->backend == VFIOEXT_BACKEND_NOIOMMU ? VFIO_NOIOMMU_IOMMU :
		   container->registered ? VFIO_SPAPR_TCE_v2_IOMMU : VFIO_TYPE1v2_IOMMU;

	if (container->ready || !ioctl(container->fd, VFIO_SET_IOMMU, type) ||
	    (container->lent && errno == EINVAL))
		return 0;
	return unopened_iommu(container, ctx, group, errno);
}

/* The first group brings the IOMMU. */
static int attach_group(struct vfioext_container *container, struct vfioext *ctx,
			struct group *group)
{
	int ret;

	if (ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &container->fd))
		return unopened_container(container, ctx, group->id, errno);
	ret = set_iommu(container, ctx, group->id);
	if (ret)
		ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER);
	return ret;
}

static struct group *group_new(struct vfioext_container *container, int id)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->container = container;
	group->id = id;
	group->fd = -1;
	return group;
}

static void link_group(struct vfioext_container *container, struct group *group)
{
	group->container = container;
	pthread_mutex_lock(&container->groups_lock);
	group->next = container->groups;
	container->groups = group;
	pthread_mutex_unlock(&container->groups_lock);
}

static void unlink_group(struct group *group)
{
	struct group **at = &group->container->groups;

	pthread_mutex_lock(&group->container->groups_lock);
	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	pthread_mutex_unlock(&group->container->groups_lock);
}

struct group *container_find_group(const struct vfioext_container *container, int id)
{
	struct group *group = container->groups;

	while (group && group->id != id)
		group = group->next;
	return group;
}

static void group_free(struct group *group)
{
	if (group->fd >= 0)
		close(group->fd);
	free(group);
}

struct group *container_add_group(struct vfioext_container *container, int id, int fd)
{
	struct group *group = group_new(container, id);

	if (!group)
		return NULL;
	group->fd = fd;
	group->shared = true;
	link_group(container, group);
	return group;
}

static int device_from_group(struct vfioext_device *device, struct vfioext *ctx)
{
	const char *token = device->vf_token;
	char name[VFIOEXT_NAME_SIZE + 64];

	snprintf(name, sizeof(name), "%s%s%s", device->info.name, token ? " vf_token=" : "",
		 token ? token : "");
	device->fd = ioctl(device->group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (device->fd >= 0)
		return 0;
	if (errno == EACCES && !token)
		return context_fail(ctx, -EACCES, "%s wants the token of its physical function's owner",
				    device->info.name);
	return fail_step(ctx, "VFIO_GROUP_GET_DEVICE_FD");
}

/* The container's lock is held. */
static int add_by_group(struct vfioext_container *container, struct vfioext_device *device)
{
	struct group *group = container_find_group(container, device->info.group);
	struct vfioext *ctx = device->ctx;
	bool new = !group;
	int ret = 0;

	if (new && container->shared)
		return context_fail(ctx, -ENXIO, "group %d is not shared by the primary",
				    device->info.group);
	if (new) {
		group = group_new(container, device->info.group);
		if (!group)
			return -ENOMEM;
		ret = open_group(container, ctx, group);
		if (!ret)
			ret = attach_group(container, ctx, group);
		if (ret)
			goto err_free;
	}
	device->group = group;
	ret = device_from_group(device, ctx);
	if (ret)
		goto err_detach;
	if (new)
		link_group(container, group);
	group->devices++;
	return 0;

err_detach:
	device->group = NULL;
	if (new)
		ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER);
err_free:
	if (new)
		group_free(group);
	return ret;
}

static int open_device_file(struct vfioext_device *device)
{
	struct vfioext *ctx = device->ctx;
	char path[300], **names;
	int nr;

	nr = sysfs_list(ctx, &names, "bus/%s/devices/%s/vfio-dev", device->info.bus,
			device->info.name);
	if (nr < 1)
		return context_fail(ctx, -ENOENT, "%s has no device file", device->info.name);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", names[0]);
	sysfs_list_free(names, nr);
	device->fd = open(path, O_RDWR | O_CLOEXEC);
	return device->fd < 0 ? fail_step(ctx, path) : 0;
}

static int attach_iommufd(struct vfioext_container *container, struct vfioext_device *device)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = container->ioas,
	};

	if (ioctl(device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return unopened_attach(device->ctx, &device->info, errno);
	return 0;
}

static int bind_file(struct vfioext_container *container, struct vfioext_device *device)
{
	const char *token = device->vf_token;
	uint8_t uuid[TOKEN_SIZE];
	struct bind_with_token bind = {
		.argsz = token ? sizeof(bind) : sizeof(struct vfio_device_bind_iommufd),
		.flags = token ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0,
		.iommufd = container->fd,
		.token_uuid_ptr = (uintptr_t)uuid,
	};

	if (token)
		token_parse(token, uuid);
	if (!ioctl(device->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return 0;
	/* Linux 6.17 was the first to ask for a token here. */
	if (token && errno == EINVAL)
		return context_fail(device->ctx, -EOPNOTSUPP, "this kernel takes no token over iommufd; "
				    "set VFIOEXT_BACKEND=container");
	return unopened_bind(device->ctx, &device->info, errno);
}

static int add_by_file(struct vfioext_container *container, struct vfioext_device *device)
{
	int ret = open_device_file(device);

	if (ret)
		return ret;
	ret = bind_file(container, device);
	if (!ret)
		ret = attach_iommufd(container, device);
	if (ret) {
		close(device->fd);
		device->fd = -1;
	}
	return ret;
}

/*
 * The first device decides for a container that is to be whatever works: where its own file, or
 * iommufd, is not for us, its group may be. One that is held is so either way.
 */
static int add_by_either(struct vfioext_container *container, struct vfioext_device *device)
{
	struct vfioext *ctx = device->ctx;
	char message[sizeof(ctx->message)];
	int iommufd = container->fd, ret;

	ret = add_by_file(container, device);
	if (!ret || ret == -EBUSY)
		goto out;
	strcpy(message, ctx->message);
	container->backend = VFIOEXT_BACKEND_CONTAINER;
	ret = open_container(ctx, container);
	if (!ret)
		ret = add_by_group(container, device);
	if (!ret) {
		close_iommufd(ctx, container->ioas);
		goto out;
	}
	ret = context_also(ctx, ret, message);
	close_container(container);
	container->backend = VFIOEXT_BACKEND_IOMMUFD;
	container->fd = iommufd;
out:
	container->unsettled = ret;
	return ret;
}

/* What the devices of others see of memory nobody but they can tell. */
static int check_kind(struct vfioext_container *container, struct vfioext_device *device)
{
	bool user = container->backend == VFIOEXT_BACKEND_USER;

	if (user && !device->remote)
		return context_fail(device->ctx, -EXDEV, "the container is for vfio-user devices, and "
				    "%s is none", device->info.name);
	if (!user && device->remote)
		return context_fail(device->ctx, -EXDEV, "%s wants a container that was made with "
				    "VFIOEXT_BACKEND_USER", device->info.name);
	return 0;
}

static int add(struct vfioext_container *container, struct vfioext_device *device)
{
	switch (container->backend) {
	case VFIOEXT_BACKEND_USER:
		return remote_join(container, device);
	case VFIOEXT_BACKEND_IOMMUFD:
		return container->unsettled ? add_by_either(container, device) :
					      add_by_file(container, device);
	default:
		return add_by_group(container, device);
	}
}

void container_adopt_device(struct vfioext_container *container, struct vfioext_device *device)
{
	struct vfioext_container *before = device->container;

	container_hold(container);
	device->container = container;
	device->joined = true;
	if (before)
		container_unhold(before);
}

/* Open a device in a container. */
int container_add_device(struct vfioext_container *container, struct vfioext_device *device)
{
	int ret;

	ret = check_kind(container, device);
	if (ret)
		return ret;
	pthread_mutex_lock(&container->lock);
	ret = add(container, device);
	if (!ret && !container->ready) {
		container->ready = true;
		dma_begin(container);
	}
	pthread_mutex_unlock(&container->lock);
	if (ret)
		return ret;
	container_adopt_device(container, device);
	if (!device->remote)
		opened_add(device);
	return 0;
}

/*
 * The last device of a group takes it out, and the last group takes the IOMMU along; but
 * not from processes that have got the group: it leaves when none has it open.
 */
static void remove_group(struct vfioext_container *container, struct group *group)
{
	if (--group->devices || group->shared)
		return;
	unlink_group(group);
	if (!container->lent)
		ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER);
	group_free(group);
	if (!container->groups)
		dma_end(container);
}

/*
 * That of a lost device goes when another takes its number, for which no descriptor has to be
 * free; EBUSY is for a moment.
 */
static void close_device(struct vfioext_device *device)
{
	int ret = -1;

	if (vfioext_device_lost(device))
		do
			ret = dup3(device->ctx->nothing, device->fd, O_CLOEXEC);
		while (ret < 0 && (errno == EBUSY || errno == EINTR));
	if (ret >= 0)
		return;
	close(device->fd);
	device->fd = -1;
}

/* Close a device, and take it out of its container. */
void container_remove_device(struct vfioext_device *device)
{
	struct vfioext_container *container = device->container;

	opened_remove(device);
	pthread_mutex_lock(&container->lock);
	if (device->remote)
		remote_leave(device);
	else
		close_device(device);
	if (device->group)
		remove_group(container, device->group);
	device->group = NULL;
	device->joined = false;
	pthread_mutex_unlock(&container->lock);
}

/*
 * iommufd takes a device to another address space in one step.
 */
int container_move_device(struct vfioext_device *device, struct vfioext_container *to)
{
	struct vfioext_container *from = device->container;
	int ret;

	if (from->fd != to->fd)
		return context_fail(device->ctx, -EXDEV, "the containers are of different contexts, and "
				    "so of different openings of /dev/iommu");
	pthread_mutex_lock(&to->lock);
	ret = attach_iommufd(to, device);
	if (!ret)
		to->unsettled = false;
	if (!ret && !to->ready) {
		to->ready = true;
		dma_begin(to);
	}
	pthread_mutex_unlock(&to->lock);
	if (!ret)
		container_adopt_device(to, device);
	return ret;
}
