// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which processes hold a device: through a descriptor of it or of its group,
 * through a mapping, which outlives the descriptor, or through KVM, which keeps
 * the files that it was given.
 *
 * Nothing here sleeps while it looks: a process may be stuck with a lock held.
 */
#include <linux/cdev.h>
#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include "compat.h"
#include "group.h"
#include "holders.h"
#include "private_layout.h"

#if IS_ENABLED(CONFIG_KVM)
#include <linux/kvm_host.h>
#endif

#define FIRST_CAPACITY 32
#define BUSY_RETRIES 5
#define BUSY_WAIT_US 2000

/*
 * @target: what is sought; NULL for every device there is
 * @found: the processes found, room for @capacity; more are counted only
 * @files: every device file seen once, to tell which handles have an owner;
 *	referenced if every device is sought
 * @now: the process being looked into
 * @in_kvm: the target was given to a virtual machine
 * @busy: mappings could not be looked at, somebody was changing them
 * @error: no memory for @files
 */
struct search {
	const struct holder_target *target;
	struct holder *found;
	unsigned int nr;
	unsigned int capacity;
	struct xarray files;
	unsigned long nr_files;
	struct holder now;
	bool in_kvm;
	bool busy;
	int error;
};

static bool is_vfio_file(const struct file *file)
{
	const struct module *owner = file->f_op->owner;

	if (IS_BUILTIN(CONFIG_VFIO))
		return !owner;
	return owner && !strcmp(module_name((struct module *)owner), "vfio");
}

/* A device file is an anonymous inode's, or the one of /dev/vfio/devices/. */
static bool is_device_file(const struct file *file)
{
	const struct inode *inode = file_inode(file);
	const struct kobject *parent;

	if (!is_vfio_file(file))
		return false;
	if (!S_ISCHR(inode->i_mode))
		return !strcmp(file->f_path.dentry->d_name.name, "[vfio-device]");
	if (!inode->i_cdev)
		return false;
	parent = inode->i_cdev->kobj.parent;
	if (!parent)
		return false;
	return !strcmp(container_of(parent, struct device, kobj)->class->name, "vfio-dev");
}

static bool targets_file(const struct holder_target *target, const struct file *file)
{
	const struct vfio_device *vdev;
	unsigned int i;

	if (!is_device_file(file))
		return false;
	if (!target)
		return true;
	vdev = private_device_of_file(file);
	for (i = 0; i < target->nr_vdevs; i++)
		if (target->vdevs[i] == vdev)
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

	for (i = 0; i < target->nr_vdevs; i++)
		if (READ_ONCE(target->vdevs[i]->kvm))
			return true;
	return target->group_kvm;
}

/* What KVM keeps cannot be seen, but it is told apart by its virtual machine. */
static void look_at_kvm(struct search *search, const struct file *file)
{
	const struct holder_target *target = search->target;
	const struct kvm *kvm = kvm_of_file(file);
	unsigned int i;

	if (!kvm)
		return;
	for (i = 0; i < target->nr_vdevs; i++)
		if (READ_ONCE(target->vdevs[i]->kvm) == kvm)
			search->now.kvm_has_device = true;
	if (search->now.kvm_has_device || target->group_kvm == kvm)
		search->now.kvm_fds++;
}

static void note_file(struct search *search, struct file *file)
{
	int ret = xa_insert(&search->files, (unsigned long)file, file, GFP_ATOMIC);

	if (!ret) {
		search->nr_files++;
		if (!search->target)
			get_file(file);
	} else if (ret != -EBUSY) {
		search->error = ret;
	}
}

static int look_at_fd(const void *data, struct file *file, unsigned int fd)
{
	struct search *search = (struct search *)data;

	if (search->in_kvm)
		look_at_kvm(search, file);
	if (!file->f_op->owner && !IS_BUILTIN(CONFIG_VFIO))
		return 0;
	if (vfio_file_is_group(file)) {
		if (search->target && file->private_data == search->target->group)
			search->now.group_fds++;
	} else if (targets_file(search->target, file)) {
		search->now.device_fds++;
		note_file(search, file);
	}
	return 0;
}

/* The task is locked, so that it keeps its mm. */
static void look_at_mm(struct search *search, struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	if (!mmap_read_trylock(mm)) {
		search->busy = true;
		return;
	}
	{
		VMA_ITERATOR(vmi, mm, 0);

		for_each_vma(vmi, vma) {
			if (!vma->vm_file || !targets_file(search->target, vma->vm_file))
				continue;
			search->now.mappings++;
			note_file(search, vma->vm_file);
		}
	}
	mmap_read_unlock(mm);
}

/* All threads: one may have a file table of its own, or have outlived the first. */
static void look_at_process(struct search *search, struct task_struct *process)
{
	struct files_struct *last_files = NULL;
	struct mm_struct *last_mm = NULL;
	struct task_struct *thread;

	memset(&search->now, 0, sizeof(search->now));
	/* Not for_each_thread(), which checks a lock that no module can see. */
	list_for_each_entry_rcu(thread, &process->signal->thread_head, thread_node) {
		task_lock(thread);
		if (thread->files && thread->files != last_files) {
			last_files = thread->files;
			iterate_fd(thread->files, 0, look_at_fd, search);
		}
		if (thread->mm && thread->mm != last_mm && !(thread->flags & PF_KTHREAD)) {
			last_mm = thread->mm;
			look_at_mm(search, thread->mm);
		}
		task_unlock(thread);
	}
}

static bool holds_something(const struct holder *holder)
{
	return holder->group_fds || holder->kvm_fds || holder_has_device(holder);
}

static void note_process(struct search *search, struct task_struct *process)
{
	struct holder *holder = &search->now;

	if (!holds_something(holder))
		return;
	if (search->nr++ >= search->capacity)
		return;

	holder->pid = get_pid(task_tgid(process));
	holder->uid = task_uid(process);
	holder->spared = is_global_init(process) || (process->flags & PF_KTHREAD);
	get_task_comm(holder->comm, process);
	search->found[search->nr - 1] = *holder;
}

static void look_at_all(struct search *search)
{
	struct task_struct *process;

	rcu_read_lock();
	for_each_process(process) {
		look_at_process(search, process);
		note_process(search, process);
	}
	rcu_read_unlock();
}

static void search_reset(struct search *search)
{
	unsigned int i;

	for (i = 0; i < min(search->nr, search->capacity); i++)
		put_pid(search->found[i].pid);
	xa_destroy(&search->files);
	search->nr = 0;
	search->nr_files = 0;
	search->busy = false;
	search->error = 0;
}

static int search_grow(struct search *search, unsigned int capacity)
{
	kvfree(search->found);
	search->found = kvcalloc(capacity, sizeof(*search->found), GFP_KERNEL);
	search->capacity = search->found ? capacity : 0;
	return search->found ? 0 : -ENOMEM;
}

/*
 * Look until there was room for every process, and every mapping could be seen;
 * what stays busy is left to be seen as unaccounted.
 */
static int search_run(struct search *search)
{
	unsigned int busy = 0;
	int ret = search_grow(search, FIRST_CAPACITY);

	while (!ret) {
		look_at_all(search);
		if (search->error) {
			ret = search->error;
		} else if (search->nr > search->capacity) {
			unsigned int wanted = search->nr + search->nr / 2;

			search_reset(search);
			ret = search_grow(search, wanted);
		} else if (search->busy && busy++ < BUSY_RETRIES) {
			search_reset(search);
			usleep_range(BUSY_WAIT_US, 2 * BUSY_WAIT_US);
		} else {
			return 0;
		}
	}
	search_reset(search);
	kvfree(search->found);
	return ret;
}

static int compare_holders(const void *a, const void *b)
{
	const struct holder *left = a, *right = b;

	return pid_nr(left->pid) - pid_nr(right->pid);
}

static unsigned int open_handles(const struct holder_target *target)
{
	unsigned int i, handles = 0;

	for (i = 0; i < target->nr_vdevs; i++)
		handles += READ_ONCE(target->vdevs[i]->open_count);
	return handles;
}

/**
 * holders_find() - find out who holds a target
 * @target: the target
 * @holders: where the answer goes, to be given to holders_release()
 *
 * Context: may sleep, but waits for nobody.
 * Return: 0, or -ENOMEM.
 */
int holders_find(const struct holder_target *target, struct holders *holders)
{
	struct search search = { .target = target };
	unsigned int handles, i;
	int ret;

	search.in_kvm = is_in_kvm(target);
	xa_init(&search.files);
	ret = search_run(&search);
	if (ret)
		return ret;

	sort(search.found, search.nr, sizeof(*search.found), compare_holders, NULL);
	handles = open_handles(target);
	holders->list = search.found;
	holders->nr = search.nr;
	holders->unaccounted = handles > search.nr_files ? handles - search.nr_files : 0;
	/* If every handle is some process's, KVM has none of its own. */
	for (i = 0; i < holders->nr && !holders->unaccounted; i++)
		holders->list[i].kvm_has_device = false;
	xa_destroy(&search.files);
	return 0;
}

void holders_release(struct holders *holders)
{
	unsigned int i;

	for (i = 0; i < holders->nr; i++)
		put_pid(holders->list[i].pid);
	kvfree(holders->list);
	holders->list = NULL;
	holders->nr = 0;
}

/**
 * holders_signal() - send SIGBUS to the processes that hold a device
 * @holders: who
 *
 * Who has the group open alone keeps no device, and is left alone, as are pid 1
 * and the kernel.
 *
 * Return: how many processes there are to be sent one.
 */
unsigned int holders_signal(const struct holders *holders)
{
	unsigned int i, nr = 0;

	for (i = 0; i < holders->nr; i++) {
		const struct holder *holder = &holders->list[i];

		if (holder->spared || !holder_has_device(holder))
			continue;
		kill_pid(holder->pid, SIGBUS, 1);
		nr++;
	}
	return nr;
}

/**
 * holder_is_current() - does the calling process hold a device of the target?
 * @target: the target
 */
bool holder_is_current(const struct holder_target *target)
{
	struct search search = { .target = target, .in_kvm = is_in_kvm(target) };

	xa_init(&search.files);
	rcu_read_lock();
	look_at_process(&search, current->group_leader);
	rcu_read_unlock();
	xa_destroy(&search.files);
	return holder_has_device(&search.now);
}

/**
 * holders_walk_devices() - find every device that some process has open
 * @fn: called with each, once a file; the file, and so the device, stays meanwhile
 *
 * Context: may sleep, but waits for nobody.
 */
void holders_walk_devices(holder_device_fn fn)
{
	struct search search = {};
	struct vfio_device *vdev;
	unsigned int busy = 0;
	unsigned long index;
	struct file *file;

	xa_init(&search.files);
	do {
		search.busy = false;
		look_at_all(&search);
		if (search.busy)
			usleep_range(BUSY_WAIT_US, 2 * BUSY_WAIT_US);
	} while (search.busy && busy++ < BUSY_RETRIES);

	xa_for_each(&search.files, index, file) {
		vdev = private_device_of_file(file);
		if (vdev)
			fn(vdev);
		fput(file);
	}
	xa_destroy(&search.files);
}

/* The tracking_lock is held, here and below. */
static int target_alloc(struct holder_target *target, struct tracked_group *tg, unsigned int nr)
{
	lockdep_assert_held(&tracking_lock);
	target->group = tg->group;
	target->nr_vdevs = 0;
	target->group_kvm = NULL;
	target->vdevs = kcalloc(nr, sizeof(*target->vdevs), GFP_KERNEL);
	return target->vdevs ? 0 : -ENOMEM;
}

static void target_add(struct holder_target *target, struct tracked_device *td)
{
	if (vfio_registration_get(td->vdev))
		target->vdevs[target->nr_vdevs++] = td->vdev;
}

/* A target without devices is one that has just gone; one with them has its group. */
static int target_finish(struct holder_target *target, struct tracked_group *tg)
{
	if (!target->nr_vdevs) {
		holder_target_release(target);
		return -ENODEV;
	}
	if (tracked_group_proved(tg))
		target->group_kvm = private_group_kvm(tg->group);
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
	unsigned int i;

	for (i = 0; i < target->nr_vdevs; i++)
		vfio_registration_put(target->vdevs[i]);
	kfree(target->vdevs);
	target->vdevs = NULL;
	target->nr_vdevs = 0;
}
