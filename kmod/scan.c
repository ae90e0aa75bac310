// SPDX-License-Identifier: GPL-2.0-only
/*
 * A walk over processes and what they have open or mapped.
 *
 * It waits for no process: one may be stuck with a lock held. Nor does anybody wait long for
 * the walk: it goes by process number, so that no lock is held from one process to the next,
 * and a process's files and mappings are looked at in batches.
 */
#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "scan.h"

#define BATCH 1024
#define BUSY_WAIT_US 2000

/*
 * A batch of descriptors.
 * @left: how many more this batch takes
 * @next: where the next one begins; negative when there are no more
 * @error: what the visitor returned for @next
 */
struct batch {
	struct process_scan *scan;
	unsigned int left;
	int next;
	int error;
};

static int look_at_fd(const void *data, struct file *file, unsigned int fd)
{
	struct batch *batch = (struct batch *)data;

	if (batch->left) {
		batch->left--;
		batch->error = batch->scan->visitor->file(batch->scan->data, file, false);
		if (!batch->error)
			return 0;
	}
	batch->next = fd;
	return 1;
}

/* Return: false if the rest of the process is not to be looked at. */
static bool scan_files(struct process_scan *scan, struct task_struct *thread)
{
	struct batch batch = { .scan = scan };

	do {
		unsigned int from = batch.next;

		batch.left = BATCH;
		batch.next = -1;
		batch.error = 0;
		task_lock(thread);
		if (thread->files)
			iterate_fd(thread->files, from, look_at_fd, &batch);
		task_unlock(thread);
		cond_resched();
		if (batch.error && !scan->visitor->room(scan->data))
			return false;
	} while (batch.next >= 0);
	return true;
}

static bool lock_mappings(struct process_scan *scan, struct mm_struct *mm)
{
	while (!mmap_read_trylock(mm)) {
		if (!scan->patience) {
			scan->busy = true;
			return false;
		}
		scan->patience--;
		usleep_range(BUSY_WAIT_US, 2 * BUSY_WAIT_US);
	}
	return true;
}

static bool scan_mappings(struct process_scan *scan, struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	unsigned long from = 0;
	unsigned int left;
	int error;

again:
	if (!lock_mappings(scan, mm))
		return true;
	left = BATCH;
	error = 0;
	{
		VMA_ITERATOR(vmi, mm, from);

		for_each_vma(vmi, vma) {
			from = vma->vm_start;
			if (!left--)
				break;
			if (vma->vm_file)
				error = scan->visitor->file(scan->data, vma->vm_file, true);
			if (error)
				break;
		}
	}
	mmap_read_unlock(mm);
	cond_resched();
	if (error && !scan->visitor->room(scan->data))
		return false;
	if (vma)
		goto again;
	return true;
}

/* The last reference on the mappings is not dropped here: that may take long. */
static bool scan_thread(struct process_scan *scan, struct task_struct *thread, bool files,
			bool mappings)
{
	struct mm_struct *mm;
	bool go_on = !files || scan_files(scan, thread);

	mm = go_on && mappings ? get_task_mm(thread) : NULL;
	if (mm) {
		go_on = scan_mappings(scan, mm);
		mmput_async(mm);
	}
	return go_on;
}

/*
 * The thread of a process that follows @last, or the first one, with a reference; the one on
 * @last is dropped. If @last has ended meanwhile, no more of the process can be found.
 */
static struct task_struct *next_thread_of(struct process_scan *scan, struct task_struct *process,
					  struct task_struct *last)
{
	const struct list_head *head = &process->signal->thread_head;
	struct task_struct *thread = NULL;
	const struct list_head *node;

	/* Not for_each_thread(), which checks a lock that no module can see. */
	rcu_read_lock();
	if (!last || pid_alive(last)) {
		node = rcu_dereference(list_next_rcu(last ? &last->thread_node : head));
		if (node != head)
			thread = get_task_struct(list_entry(node, struct task_struct, thread_node));
	} else {
		scan->busy = true;
	}
	rcu_read_unlock();
	if (last)
		put_task_struct(last);
	return thread;
}

/**
 * vfioext_scan_process() - look at one process
 * @scan: what is done with it
 * @process: its first thread, referenced, which may have ended before others
 *
 * Threads that share a table of files, or their mappings, with the one before are looked at
 * once: nearly all do.
 *
 * Context: may sleep, but waits for nobody.
 */
void vfioext_scan_process(struct process_scan *scan, struct task_struct *process)
{
	const struct files_struct *files, *last_files = NULL;
	const struct mm_struct *mm, *last_mm = NULL;
	struct task_struct *thread = NULL;
	bool go_on = true;

	if (!scan->visitor->begin(scan->data, process))
		return;
	while ((thread = next_thread_of(scan, process, thread))) {
		files = READ_ONCE(thread->files);
		mm = READ_ONCE(thread->mm);
		if (go_on)
			go_on = scan_thread(scan, thread, files != last_files, mm != last_mm);
		last_files = files ?: last_files;
		last_mm = mm ?: last_mm;
	}
	if (go_on)
		scan->visitor->end(scan->data, process);
}

/*
 * The process whose number is the lowest from @number on, with a reference, or NULL if the
 * lowest one is a further thread's.
 * Return: false if there is no such number.
 */
static bool process_from(int *number, struct task_struct **process)
{
	struct pid *pid;

	*process = NULL;
	rcu_read_lock();
	pid = find_ge_pid(*number, &init_pid_ns);
	if (pid) {
		*number = pid_nr(pid);
		*process = pid_task(pid, PIDTYPE_TGID);
		if (*process)
			get_task_struct(*process);
	}
	rcu_read_unlock();
	return pid;
}

/**
 * vfioext_scan_all() - look at every process
 * @scan: what is done with each, in the order of their numbers
 *
 * A process that is born meanwhile may be missed.
 *
 * Context: may sleep, but waits for nobody.
 */
void vfioext_scan_all(struct process_scan *scan)
{
	struct task_struct *process;
	int number;

	for (number = 1; process_from(&number, &process); number++) {
		if (process) {
			vfioext_scan_process(scan, process);
			put_task_struct(process);
		}
		cond_resched();
	}
}
