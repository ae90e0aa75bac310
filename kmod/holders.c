// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which processes hold a device: through a descriptor of it or of its group,
 * through a mapping, which outlives the descriptor, or through KVM, which keeps
 * the files that it was given.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include "compat.h"
#include "group.h"
#include "holders.h"
#include "private_layout.h"
#include "scan.h"

#if IS_ENABLED(CONFIG_KVM)
#include <linux/kvm_host.h>
#endif

#define PATIENCE 50

/*
 * Files that were seen, each once though several processes may have it.
 * @index: by their addresses
 * @no_room_for: what @index had no room for
 */
struct seen_files {
	struct xarray index;
	struct file *no_room_for;
};

/*
 * @target: what is sought
 * @scope: whose processes are looked at
 * @found: the processes found
 * @files: every device file, to tell which handles have an owner
 * @nr_files: how many
 * @now: the process being looked into
 * @in_kvm: the target was given to a virtual machine
 * @error: there was no memory for all of it
 */
struct search {
	const struct holder_target *target;
	enum holder_scope scope;
	struct list_head found;
	struct seen_files files;
	unsigned int nr_files;
	struct holder now;
	bool in_kvm;
	int error;
};

/* Most files are those of built-in code. */
static bool may_be_vfio_file(const struct file *file)
{
	return IS_BUILTIN(CONFIG_VFIO) || file->f_op->owner;
}

static bool is_in_target(const struct holder_target *target, const struct file *file)
{
	const struct vfio_device *vdev = private_device_of_file(file);
	unsigned int i;

	for (i = 0; i < target->nr_devices; i++)
		if (target->devices[i].vdev == vdev)
			return true;
	return false;
}

/* The virtual machine of a KVM VFIO device, or NULL if the file is none. */
static const struct kvm *kvm_of_file(const struct file *file)
{
#if IS_ENABLED(CONFIG_KVM)
	const struct kvm_device *device = file->private_data;

	if (file_inode(file)->i_sb->s_magic == ANON_INODE_FS_MAGIC &&
	    !strcmp(file->f_path.dentry->d_name.name, "kvm-vfio"))
		return device->kvm;
#endif
	return NULL;
}

static bool is_in_kvm(const struct holder_target *target)
{
	unsigned int i;

	for (i = 0; i < target->nr_devices; i++)
		if (target->devices[i].kvm)
			return true;
	return target->group_kvm;
}

/* What KVM keeps cannot be seen, but it is told apart by its virtual machine. */
static void look_at_kvm(struct search *search, const struct file *file)
{
	const struct holder_target *target = search->target;
	const struct kvm *kvm = kvm_of_file(file);
	bool has_device = false;
	unsigned int i;

	if (!kvm)
		return;
	for (i = 0; i < target->nr_devices; i++)
		if (target->devices[i].kvm == kvm)
			has_device = true;
	if (has_device)
		search->now.kvm_has_device = true;
	if (has_device || target->group_kvm == kvm)
		search->now.kvm_fds++;
}

/*
 * In atomic context: what memory there is not at hand is waited for in make_room().
 * Return: 1 if the file is new, 0, or -ENOMEM.
 */
static int note_file(struct seen_files *files, struct file *file)
{
	unsigned long index = (unsigned long)file;

	if (xa_load(&files->index, index))
		return 0;
	if (!xa_err(xa_store(&files->index, index, file, GFP_NOWAIT)))
		return 1;
	files->no_room_for = file;
	return -ENOMEM;
}

static int make_room(struct seen_files *files)
{
	return xa_reserve(&files->index, (unsigned long)files->no_room_for, GFP_KERNEL);
}

static bool make_search_room(void *data)
{
	struct search *search = data;

	search->error = make_room(&search->files);
	return !search->error;
}

static int look_at_file(void *data, struct file *file, bool mapped)
{
	struct search *search = data;
	int ret;

	if (search->in_kvm && !mapped)
		look_at_kvm(search, file);
	if (!may_be_vfio_file(file))
		return 0;
	if (vfio_file_is_group(file)) {
		if (file->private_data == search->target->group)
			search->now.group_fds++;
		return 0;
	}
	if (!compat_is_device_file(file) || !is_in_target(search->target, file))
		return 0;
	ret = note_file(&search->files, file);
	if (ret < 0)
		return ret;
	search->nr_files += ret;
	if (mapped)
		search->now.mappings++;
	else
		search->now.device_fds++;
	return 0;
}

static bool is_visible(struct task_struct *process)
{
	bool visible;

	rcu_read_lock();
	visible = pid_nr_ns(task_tgid(process), task_active_pid_ns(current));
	rcu_read_unlock();
	return visible;
}

/*
 * What ptrace asks first of who would read another process: its user and groups, and no more
 * capabilities than the reader's. Ptrace's own check is for the kernel alone.
 */
static bool may_look_into(struct task_struct *process)
{
	const struct cred *mine = current_cred();
	const struct cred *theirs;
	bool same;

	if (same_thread_group(process, current))
		return true;
	theirs = get_task_cred(process);
	same = mine->user_ns == theirs->user_ns &&
	       uid_eq(mine->uid, theirs->uid) && uid_eq(mine->uid, theirs->euid) &&
	       uid_eq(mine->uid, theirs->suid) &&
	       gid_eq(mine->gid, theirs->gid) && gid_eq(mine->gid, theirs->egid) &&
	       gid_eq(mine->gid, theirs->sgid) &&
	       cap_issubset(theirs->cap_permitted, mine->cap_permitted);
	put_cred(theirs);
	return same && is_visible(process);
}

static bool begin_process(void *data, struct task_struct *process)
{
	struct search *search = data;

	if (search->error || (search->scope == HOLDERS_OWN && !may_look_into(process)))
		return false;
	memset(&search->now, 0, sizeof(search->now));
	return true;
}

static bool holds_something(const struct holder *holder)
{
	return holder->group_fds || holder->kvm_fds || holder_has_device(holder);
}

static void note_process(void *data, struct task_struct *process)
{
	struct search *search = data;
	struct holder *holder;

	if (!holds_something(&search->now))
		return;
	holder = kmemdup(&search->now, sizeof(*holder), GFP_KERNEL);
	if (!holder) {
		search->error = -ENOMEM;
		return;
	}
	rcu_read_lock();
	holder->pid = get_pid(task_tgid(process));
	rcu_read_unlock();
	holder->uid = task_uid(process);
	holder->spared = is_global_init(process) || (process->flags & PF_KTHREAD);
	get_task_comm(holder->comm, process);
	list_add_tail(&holder->node, &search->found);
}

static const struct process_visitor search_visitor = {
	.begin = begin_process,
	.file = look_at_file,
	.room = make_search_room,
	.end = note_process,
};

static void free_holders(struct list_head *list)
{
	struct holder *holder, *next;

	list_for_each_entry_safe(holder, next, list, node) {
		put_pid(holder->pid);
		kfree(holder);
	}
	INIT_LIST_HEAD(list);
}

/**
 * holders_find() - find out who holds a target
 * @target: the target
 * @scope: whose processes are looked at
 * @holders: where the answer goes, to be given to holders_release()
 *
 * Mappings that stay busy are left to be seen as unaccounted.
 *
 * Context: may sleep, but waits for nobody; no lock that a process could need is held.
 * Return: 0, or -ENOMEM.
 */
int holders_find(const struct holder_target *target, enum holder_scope scope,
		 struct holders *holders)
{
	struct search search = { .target = target, .scope = scope, .in_kvm = is_in_kvm(target) };
	struct process_scan scan = {
		.visitor = &search_visitor,
		.data = &search,
		.patience = PATIENCE,
	};
	struct holder *holder;

	INIT_LIST_HEAD(&search.found);
	xa_init(&search.files.index);
	vfioext_scan_all(&scan);
	xa_destroy(&search.files.index);
	if (search.error) {
		free_holders(&search.found);
		return search.error;
	}
	INIT_LIST_HEAD(&holders->list);
	list_splice(&search.found, &holders->list);
	holders->unaccounted = target->handles > search.nr_files ?
			       target->handles - search.nr_files : 0;
	/* If every handle is some process's, KVM has none of its own. */
	if (!holders->unaccounted)
		list_for_each_entry(holder, &holders->list, node)
			holder->kvm_has_device = false;
	return 0;
}

void holders_release(struct holders *holders)
{
	free_holders(&holders->list);
}

/* What a process has by now, as if nothing else had been looked at. */
static void look_at_one(struct search *search, struct task_struct *process)
{
	struct process_scan scan = {
		.visitor = &search_visitor,
		.data = search,
		.patience = PATIENCE,
	};

	INIT_LIST_HEAD(&search->found);
	xa_init(&search->files.index);
	vfioext_scan_process(&scan, process);
	xa_destroy(&search->files.index);
	free_holders(&search->found);
}

/**
 * holders_look_again() - leave out who has let go since the holders were found
 * @target: the target
 * @holders: its holders; those that have no device of it any longer are taken out
 *
 * On a host of many processes a good while lies between the look at a process and
 * what is done about it.
 *
 * Context: as holders_find().
 */
void holders_look_again(const struct holder_target *target, struct holders *holders)
{
	struct holder *holder, *next;

	list_for_each_entry_safe(holder, next, &holders->list, node) {
		struct search search = { .target = target, .in_kvm = is_in_kvm(target) };
		struct task_struct *process = get_pid_task(holder->pid, PIDTYPE_TGID);

		if (process) {
			look_at_one(&search, process);
			put_task_struct(process);
		}
		if (!holders->unaccounted)
			search.now.kvm_has_device = false;
		if (search.error || holder_has_device(&search.now))
			continue;
		list_del(&holder->node);
		put_pid(holder->pid);
		kfree(holder);
	}
}

static bool is_to_be_signaled(const struct holder *holder)
{
	return holder_has_device(holder) && !holder->spared;
}

/**
 * holders_count() - how many processes holders_signal() sends a signal
 * @holders: who
 */
unsigned int holders_count(const struct holders *holders)
{
	const struct holder *holder;
	unsigned int nr = 0;

	list_for_each_entry(holder, &holders->list, node)
		nr += is_to_be_signaled(holder);
	return nr;
}

/**
 * holders_signal() - send SIGBUS to the processes that hold a device
 * @holders: who
 *
 * Its si_code is SI_KERNEL, which no fault of a process has. Who has the group open
 * alone keeps no device, and is left alone, as are pid 1 and the kernel.
 */
void holders_signal(const struct holders *holders)
{
	const struct holder *holder;

	list_for_each_entry(holder, &holders->list, node)
		if (is_to_be_signaled(holder))
			kill_pid(holder->pid, SIGBUS, 1);
}

/**
 * holder_is_current() - does the calling process hold a device of the target?
 * @target: the target
 *
 * Context: as holders_find().
 */
bool holder_is_current(const struct holder_target *target)
{
	struct search search = { .target = target, .in_kvm = is_in_kvm(target) };

	look_at_one(&search, current->group_leader);
	return holder_has_device(&search.now);
}

static bool walk_begin(void *data, struct task_struct *process)
{
	return true;
}

/* Each device file is referenced when it is noted. */
static int walk_file(void *data, struct file *file, bool mapped)
{
	int ret;

	if (!may_be_vfio_file(file) || !compat_is_device_file(file))
		return 0;
	ret = note_file(data, file);
	if (ret <= 0)
		return ret;
	get_file(file);
	return 0;
}

static bool walk_room(void *data)
{
	return !make_room(data);
}

static void walk_end(void *data, struct task_struct *process)
{
}

/**
 * holders_walk_devices() - find every device that some process has open
 * @fn: called with each, once a file; the file, and so the device, stays meanwhile
 *
 * Context: as holders_find().
 */
void holders_walk_devices(holder_device_fn fn)
{
	static const struct process_visitor visitor = {
		.begin = walk_begin,
		.file = walk_file,
		.room = walk_room,
		.end = walk_end,
	};
	struct seen_files files = {};
	struct process_scan scan = { .visitor = &visitor, .data = &files, .patience = PATIENCE };
	struct vfio_device *vdev;
	unsigned long index;
	struct file *file;

	xa_init(&files.index);
	vfioext_scan_all(&scan);
	xa_for_each(&files.index, index, file) {
		vdev = private_device_of_file(file);
		if (vdev)
			fn(vdev);
		fput(file);
	}
	xa_destroy(&files.index);
}

/* The tracking_lock is held, here and below. */
static int target_alloc(struct holder_target *target, struct tracked_group *tg, unsigned int nr)
{
	lockdep_assert_held(&tracking_lock);
	memset(target, 0, sizeof(*target));
	target->group = tg->group;
	target->devices = kcalloc(nr, sizeof(*target->devices), GFP_KERNEL);
	return target->devices ? 0 : -ENOMEM;
}

static void target_add(struct holder_target *target, struct tracked_device *td)
{
	if (!td->vdev)
		return;
	target->devices[target->nr_devices++] = (struct target_device){
		.vdev = td->vdev,
		.kvm = READ_ONCE(td->vdev->kvm),
	};
	target->handles += tracked_device_handles(td);
}

/* A group that has no device left is going. */
static int target_finish(struct holder_target *target, struct tracked_group *tg)
{
	struct vfio_device *vdev;

	if (!target->nr_devices) {
		holder_target_release(target);
		return -ENODEV;
	}
	vdev = tracked_group_hold(tg);
	if (!vdev)
		return 0;
	if (tracked_group_proved(tg))
		target->group_kvm = private_group_kvm(tg->group);
	vfio_registration_put(vdev);
	return 0;
}

/**
 * holder_target_device() - seek the holders of one device
 * @target: to be given to holder_target_release()
 * @td: the device
 *
 * Return: 0, -ENODEV if nothing holds it any longer and it is going, -ENOMEM.
 */
int holder_target_device(struct holder_target *target, struct tracked_device *td)
{
	int ret = target_alloc(target, td->tg, 1);

	if (ret)
		return ret;
	target_add(target, td);
	return target_finish(target, td->tg);
}

/**
 * holder_target_group() - seek the holders of a group and all its devices
 * @target: to be given to holder_target_release()
 * @tg: the group
 *
 * Return: as holder_target_device().
 */
int holder_target_group(struct holder_target *target, struct tracked_group *tg)
{
	struct tracked_device *td;
	unsigned int nr = 0;
	int ret;

	list_for_each_entry(td, &tg->devices, group_node)
		nr++;
	ret = target_alloc(target, tg, nr);
	if (ret)
		return ret;
	list_for_each_entry(td, &tg->devices, group_node)
		target_add(target, td);
	return target_finish(target, tg);
}

void holder_target_release(struct holder_target *target)
{
	kfree(target->devices);
	target->devices = NULL;
	target->nr_devices = 0;
}
