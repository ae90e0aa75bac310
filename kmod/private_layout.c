// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where vfio.ko keeps what has no accessor: the running kernel's own BTF tells.
 *
 * An offset is used only for a group that proves it: what is found there must
 * agree with what public interfaces say about the same group. The first group
 * that does not agree ends the use of all of them.
 */
#include <linux/btf.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "compat.h"
#include "private_layout.h"

#define BTF_DIRECTORY "/sys/kernel/btf/"

struct member {
	const char *type;
	const char *name;
	u32 size;
	u32 offset;
	bool found;
};

enum {
	GROUP_CONTAINER_USERS,
	GROUP_IOMMU_GROUP,
	GROUP_CONTAINER,
	GROUP_TYPE,
	GROUP_LOCK,
	GROUP_OPENED_FILE,
	GROUP_IOMMUFD,
	GROUP_KVM,
	CONTAINER_IOMMU_DRIVER,
	DEVICE_FILE_DEVICE,
	NR_MEMBERS,
	NR_REQUIRED = GROUP_IOMMUFD,
};

/* A kernel may lack the members behind NR_REQUIRED, but for the IOMMU driver. */
static struct member members[NR_MEMBERS] __ro_after_init = {
	[GROUP_CONTAINER_USERS] = { "vfio_group", "container_users", sizeof(unsigned int) },
	[GROUP_IOMMU_GROUP] = { "vfio_group", "iommu_group", sizeof(void *) },
	[GROUP_CONTAINER] = { "vfio_group", "container", sizeof(void *) },
	[GROUP_TYPE] = { "vfio_group", "type", sizeof(unsigned int) },
	[GROUP_LOCK] = { "vfio_group", "group_lock", sizeof(struct mutex) },
	[GROUP_OPENED_FILE] = { "vfio_group", "opened_file", sizeof(void *) },
	[GROUP_IOMMUFD] = { "vfio_group", "iommufd", sizeof(void *) },
	[GROUP_KVM] = { "vfio_group", "kvm", sizeof(void *) },
	[CONTAINER_IOMMU_DRIVER] = { "vfio_container", "iommu_driver", sizeof(void *) },
	[DEVICE_FILE_DEVICE] = { "vfio_device_file", "device", sizeof(void *) },
};

/* NULL while nothing speaks against the layout, else what does. */
static const char *refusal = "not read yet";

#ifdef VFIOEXT_SELFTESTS
static int skew;
module_param_named(private_layout_skew, skew, int, 0444);
MODULE_PARM_DESC(private_layout_skew,
		 "For tests: bytes to add to each private offset, so that none proves itself");
#else
static const int skew;
#endif

static int refusal_get(char *buffer, const struct kernel_param *kp)
{
	const char *why = READ_ONCE(refusal);

	if (why)
		return sysfs_emit(buffer, "refused: %s\n", why);
	return sysfs_emit(buffer, "ok\n");
}

static const struct kernel_param_ops refusal_ops = { .get = refusal_get };
module_param_cb(private_layout, &refusal_ops, NULL, 0444);
MODULE_PARM_DESC(private_layout,
		 "Whether the layout of vfio's private data is known: ok, or why external users are refused");

static void refuse(const char *why)
{
	if (!cmpxchg(&refusal, NULL, why))
		pr_warn("external users are refused: %s\n", why);
}

/* One BTF blob; a module's blob goes on where vmlinux's types and strings end. */
struct btf_blob {
	void *data;
	const void *types;
	const void *types_end;
	const char *strings;
	u32 strings_len;
	const struct btf_blob *base;
	u32 nr_types;
	u32 mutex_id;
};

static const char *blob_string(const struct btf_blob *blob, u32 offset)
{
	if (blob->base) {
		if (offset < blob->base->strings_len)
			return blob->base->strings + offset;
		offset -= blob->base->strings_len;
	}
	return offset < blob->strings_len ? blob->strings + offset : "";
}

/* Bytes that follow a struct btf_type, or -1 for a kind not known here. */
static int kind_trailer(const struct btf_type *type)
{
	u32 vlen = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(u32);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return vlen * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return vlen * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return vlen * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return vlen * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return vlen * sizeof(struct btf_var_secinfo);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	default:
		return -1;
	}
}

static bool is_mutex(const struct btf_blob *blob, u32 type_id)
{
	return type_id == blob->mutex_id || (blob->base && type_id == blob->base->mutex_id);
}

static void __init take_members(const struct btf_blob *blob, const struct btf_type *type)
{
	const struct btf_member *member = (const struct btf_member *)(type + 1);
	const char *type_name = blob_string(blob, type->name_off);
	u32 i, j;

	for (i = 0; i < BTF_INFO_VLEN(type->info); i++, member++) {
		const char *name = blob_string(blob, member->name_off);

		for (j = 0; j < NR_MEMBERS; j++) {
			struct member *m = &members[j];

			if (strcmp(m->type, type_name) || strcmp(m->name, name))
				continue;
			if (j == GROUP_LOCK && !is_mutex(blob, member->type))
				continue;
			if (BTF_INFO_KFLAG(type->info) &&
			    BTF_MEMBER_BITFIELD_SIZE(member->offset))
				continue;
			m->offset = BTF_MEMBER_BIT_OFFSET(member->offset) / BITS_PER_BYTE + skew;
			m->found = m->offset + m->size <= type->size;
		}
	}
}

static bool __init is_wanted(const char *name)
{
	u32 i;

	for (i = 0; i < NR_MEMBERS; i++)
		if (!strcmp(members[i].type, name))
			return true;
	return false;
}

/* Structs of interest are visited twice: the mutex may come behind its user. */
static const char *__init walk_types(struct btf_blob *blob, bool take)
{
	u32 id = blob->base ? blob->base->nr_types : 1;
	const void *at = blob->types;

	for (; at < blob->types_end; id++) {
		const struct btf_type *type = at;
		const char *name;
		int trailer;

		if (blob->types_end - at < sizeof(*type))
			return "truncated BTF";
		trailer = kind_trailer(type);
		if (trailer < 0)
			return "BTF of a kind not known to this module";
		at += sizeof(*type);
		if (blob->types_end - at < trailer)
			return "truncated BTF";
		at += trailer;

		if (BTF_INFO_KIND(type->info) != BTF_KIND_STRUCT)
			continue;
		name = blob_string(blob, type->name_off);
		if (take && is_wanted(name))
			take_members(blob, type);
		else if (!take && !strcmp(name, "mutex"))
			blob->mutex_id = id;
	}
	blob->nr_types = id;
	return NULL;
}

/*
 * Not kernel_read_file(): that is for what the kernel is to trust, and security
 * modules of newer kernels warn of a kind they do not know.
 */
static ssize_t __init read_file(const char *path, void **data)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	loff_t size, at = 0;
	ssize_t ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = -EFBIG;
	size = i_size_read(file_inode(file));
	if (size <= 0 || size > SZ_256M)
		goto out_close;
	ret = -ENOMEM;
	*data = kvmalloc(size, GFP_KERNEL | __GFP_NOWARN);
	if (!*data)
		goto out_close;
	do {
		ret = kernel_read(file, *data + at, size - at, &at);
	} while (ret > 0 && at < size);
out_close:
	fput(file);
	return ret < 0 ? ret : at;
}

static const char *__init read_blob(struct btf_blob *blob, const char *path,
				    const struct btf_blob *base)
{
	const struct btf_header *header;
	const char *why;
	ssize_t len;

	*blob = (struct btf_blob){ .base = base };
	len = read_file(path, &blob->data);
	if (len < 0)
		return "no BTF below " BTF_DIRECTORY;

	header = blob->data;
	if (len < sizeof(*header) || header->magic != BTF_MAGIC || header->hdr_len > len)
		return "not BTF";
	len -= header->hdr_len;
	if (header->type_off > len || header->type_len > len - header->type_off ||
	    header->str_off > len || header->str_len > len - header->str_off ||
	    !header->str_len)
		return "truncated BTF";

	blob->types = blob->data + header->hdr_len + header->type_off;
	blob->types_end = blob->types + header->type_len;
	blob->strings = blob->data + header->hdr_len + header->str_off;
	blob->strings_len = header->str_len;
	if (blob->strings[blob->strings_len - 1])
		return "truncated BTF";

	why = walk_types(blob, false);
	return why ?: walk_types(blob, true);
}

static const char *__init read_layout(void)
{
	struct btf_blob vmlinux = {}, vfio = {};
	const char *why;
	u32 i;

	why = read_blob(&vmlinux, BTF_DIRECTORY "vmlinux", NULL);
	if (!why && !IS_BUILTIN(CONFIG_VFIO))
		why = read_blob(&vfio, BTF_DIRECTORY "vfio", &vmlinux);
	kvfree(vfio.data);
	kvfree(vmlinux.data);
	if (why)
		return why;

	for (i = 0; i < NR_REQUIRED; i++)
		if (!members[i].found)
			return "BTF lacks a member of vfio_group";
	if (!members[CONTAINER_IOMMU_DRIVER].found)
		return "BTF lacks vfio_container, VFIO has no containers here";
	return NULL;
}

void __init private_layout_init(void)
{
	const char *why = read_layout();

	WRITE_ONCE(refusal, NULL);
	if (why)
		refuse(why);
}

static void *member_of(const void *object, int which)
{
	return (void *)object + members[which].offset;
}

static void *pointer_of(const void *object, int which)
{
	return READ_ONCE(*(void **)member_of(object, which));
}

/**
 * private_layout_proved() - may private members of this group be used?
 * @group: a group that cannot go away meanwhile
 * @iommu_group: its IOMMU group, learned from one of its devices
 *
 * Return: false if the layout is not known, this group speaks against it, or
 * has just lost its last device.
 */
bool private_layout_proved(struct vfio_group *group, const struct iommu_group *iommu_group)
{
	unsigned int type;
	void *found;

	if (READ_ONCE(refusal))
		return false;
	found = pointer_of(group, GROUP_IOMMU_GROUP);
	if (!found)
		return false;
	if (found != iommu_group) {
		refuse("vfio_group.iommu_group is not where BTF says");
		return false;
	}
	type = READ_ONCE(*(unsigned int *)member_of(group, GROUP_TYPE));
	if (type > PRIVATE_GROUP_NOIOMMU) {
		refuse("vfio_group.type is not where BTF says");
		return false;
	}
	return true;
}

/**
 * private_layout_proved_by_file() - may private members of this group be written?
 * @group: a group for which private_layout_proved() is true
 * @filep: the file through which it is open
 *
 * The caller holds the group's lock, so that what is compared stands still.
 *
 * Return: false if the group speaks against the layout.
 */
bool private_layout_proved_by_file(struct vfio_group *group, const struct file *filep)
{
	bool users;

	lockdep_assert_held(private_group_lock(group));

	users = READ_ONCE(*private_container_users(group));
	if (pointer_of(group, GROUP_OPENED_FILE) != filep) {
		refuse("vfio_group.opened_file is not where BTF says");
		return false;
	}
	if (private_has_container(group) != users) {
		refuse("vfio_group.container_users is not where BTF says");
		return false;
	}
	return true;
}

struct mutex *private_group_lock(struct vfio_group *group)
{
	return member_of(group, GROUP_LOCK);
}

unsigned int *private_container_users(struct vfio_group *group)
{
	return member_of(group, GROUP_CONTAINER_USERS);
}

bool private_has_container(struct vfio_group *group)
{
	return pointer_of(group, GROUP_CONTAINER);
}

/* With the group's lock held: it keeps the container. */
bool private_has_iommu(struct vfio_group *group)
{
	void *container = pointer_of(group, GROUP_CONTAINER);

	return container && pointer_of(container, CONTAINER_IOMMU_DRIVER);
}

bool private_has_iommufd(struct vfio_group *group)
{
	return members[GROUP_IOMMUFD].found && pointer_of(group, GROUP_IOMMUFD);
}

/* The virtual machine that the group was given to, good for comparison only. */
const struct kvm *private_group_kvm(struct vfio_group *group)
{
	return members[GROUP_KVM].found ? pointer_of(group, GROUP_KVM) : NULL;
}

struct file **private_opened_file(struct vfio_group *group)
{
	return member_of(group, GROUP_OPENED_FILE);
}

enum private_group_type private_group_type(struct vfio_group *group)
{
	return READ_ONCE(*(unsigned int *)member_of(group, GROUP_TYPE));
}

/**
 * private_device_of_file() - the device behind a device file
 * @filep: a file that is known to be a VFIO device's
 *
 * Kernels with device files of their own type keep the device inside, others
 * are the private data itself. The result is good for comparison only.
 *
 * Return: the device, or NULL if that cannot be told.
 */
struct vfio_device *private_device_of_file(const struct file *filep)
{
	void *data = filep->private_data;

	if (!data)
		return NULL;
	if (!compat_has_device_file())
		return data;
	if (!members[DEVICE_FILE_DEVICE].found || skew)
		return NULL;
	return pointer_of(data, DEVICE_FILE_DEVICE);
}
