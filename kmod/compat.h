/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the supported kernels, and nothing else. The rest
 * of the module reads as if on the newest one.
 */
#ifndef VFIOEXT_COMPAT_H
#define VFIOEXT_COMPAT_H

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/vfio.h>
#include <linux/version.h>
#include <net/genetlink.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vfioext needs Linux 6.1 or newer; up to 5.18 the external-user API is part of the kernel"
#endif

/* 6.14 made what is searched for const. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
typedef const void compat_match_data;
#else
typedef void compat_match_data;
#endif

/* 6.4 made the bus of a device const. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
typedef const struct bus_type compat_bus_type;
#else
typedef struct bus_type compat_bus_type;
#endif

/* 6.4 took the interface from the calls of a class interface, and made the class const. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define COMPAT_CLASS_INTERFACE_ARGS(dev) struct device *(dev)
typedef const struct class compat_class;
#else
#define COMPAT_CLASS_INTERFACE_ARGS(dev) struct device *(dev), struct class_interface *intf
typedef struct class compat_class;
#endif

/*
 * 6.12 took the allocation flags away, and so did some stable releases of older
 * kernels: the type of the function tells, not the version.
 */
typedef int compat_multicast_flags_fn(const struct genl_family *family, struct sk_buff *skb,
				      u32 portid, unsigned int group, gfp_t flags);
typedef int compat_multicast_fn(const struct genl_family *family, struct sk_buff *skb,
				u32 portid, unsigned int group);

static inline void compat_multicast_allns(const struct genl_family *family, struct sk_buff *skb,
					  unsigned int group)
{
	void *multicast = genlmsg_multicast_allns;

	rcu_read_lock();
	if (__same_type(genlmsg_multicast_allns, compat_multicast_flags_fn))
		((compat_multicast_flags_fn *)multicast)(family, skb, 0, group, GFP_ATOMIC);
	else
		((compat_multicast_fn *)multicast)(family, skb, 0, group);
	rcu_read_unlock();
}

/* 6.6 moved the attributes of a dump into a struct genl_info. */
static inline struct nlattr **compat_dump_attrs(struct netlink_callback *cb)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	return genl_dumpit_info(cb)->info.attrs;
#else
	return genl_dumpit_info(cb)->attrs;
#endif
}

/*
 * Take a reference on the file at @filep unless it is on its way out; the
 * caller holds a lock under which a dying file takes itself out of @filep.
 */
static inline struct file *compat_get_file_active(struct file **filep)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	return get_file_active(filep);
#else
	struct file *file = READ_ONCE(*filep);

	return file && get_file_rcu(file) ? file : NULL;
#endif
}

/* From 6.6 on a device file's private data is a struct vfio_device_file. */
static inline bool compat_has_device_file(void)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0);
}

/*
 * Is a file that of a VFIO device? From 6.6 on vfio tells what is a group's or a device's, and has
 * files in /dev/vfio/devices besides. Before, it is an anonymous inode, which only the kernel
 * gives a name.
 */
static inline bool compat_is_device_file(struct file *file)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	return vfio_file_is_valid(file) && !vfio_file_is_group(file);
#else
	return file_inode(file)->i_sb->s_magic == ANON_INODE_FS_MAGIC &&
	       !strcmp(file->f_path.dentry->d_name.name, "[vfio-device]");
#endif
}

/* From 6.6 on vfio can be built without groups. */
static inline struct vfio_group *compat_group_of(const struct vfio_device *vdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0) || defined(CONFIG_VFIO_GROUP)
	return vdev->group;
#else
	return NULL;
#endif
}

#endif
