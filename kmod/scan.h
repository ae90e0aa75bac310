/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIOEXT_SCAN_H
#define VFIOEXT_SCAN_H

#include <linux/types.h>

struct file;
struct task_struct;

/**
 * struct process_visitor - what is done with each process, and with each of its files
 * @begin: a process comes; return false to pass it over. It may be exiting.
 * @file: a file that a descriptor of it refers to, or a mapping (@mapped). Called in
 *	atomic context: the file stays for the length of the call. Return 0, or -ENOMEM to
 *	be called again with the same file once @room has been.
 * @room: make room for @file; may sleep. Return false to give the process up.
 * @end: all its files have come; not called after @begin or @room returned false
 */
struct process_visitor {
	bool (*begin)(void *data, struct task_struct *process);
	int (*file)(void *data, struct file *file, bool mapped);
	bool (*room)(void *data);
	void (*end)(void *data, struct task_struct *process);
};

/**
 * struct process_scan - a look at processes
 * @visitor: what is done with each
 * @data: given to it
 * @patience: how often a lock that somebody holds is tried again, in all
 * @busy: in the end mappings of some process could not be looked at
 */
struct process_scan {
	const struct process_visitor *visitor;
	void *data;
	unsigned int patience;
	bool busy;
};

void vfioext_scan_all(struct process_scan *scan);
void vfioext_scan_process(struct process_scan *scan, struct task_struct *process);

#endif
