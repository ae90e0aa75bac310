/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of sharing on the host have in common. The containers are made here,
 * and what stands for the kernel's files are memory files, which can be told from each
 * other wherever they are handed to. The kernel's mappings are counted.
 */
#ifndef SELFTESTS_SHARE_H
#define SELFTESTS_SHARE_H

#include <pthread.h>
#include <stdatomic.h>
#include <vfioext/vfioext.h>

#include "../../libvfioext/container.h"
#include "../../libvfioext/device.h"
#include "../../libvfioext/share.h"

/* DPDK's wire. */
#define OK 0
#define NO_FD 1
#define ERROR 0xff
#define CONTAINER 0x100
#define GROUP 0x200
#define CLEAR 0x300

/* Groups that are shared; one that is there and is not; one that is not there. */
#define FIRST 3
#define SECOND 11
#define OTHER 20
#define MISSING 21

/* No test waits longer for anything. */
#define LONG_MS 5000

/*
 * What each test has: the data of FIXTURE(share), by the name that the harness has for
 * them. That can be included in one file of a program alone.
 */
struct _test_data_share {
	struct vfioext *ctx;
	struct vfioext_share *share;
	struct vfioext_container *container;
	char directory[32];
	char sysfs[64];
	char path[64];
	char old[64];
	unsigned int files;
	unsigned int inheritable;
	pthread_t thread;
	bool serving;
	_Atomic bool stop;
};

/* The kernel's mappings; of those removed, how many calls were for all. */
extern unsigned int mapped, unmapped, unmapped_all;
extern uint64_t last_unmapped;

bool same_file(int a, int b);
unsigned int open_files(void);
/* Where another thread serves, which closes later what its clients have left. */
bool files_become(unsigned int nr);

/* Files that an exec would pass on. */
unsigned int inheritable_files(void);

/* Groups of so many devices as the tests count on. */
void make_sysfs(const char *sysfs);

/* With groups, a hole in its addresses, and maps. */
struct vfioext_container *make_container(struct vfioext *ctx, unsigned int nr_maps);
void free_container(struct vfioext_container *container);

/* Share the container, by our protocol and by DPDK's; serve in a thread. */
int begin_share(struct _test_data_share *self, struct vfioext_share_options options, bool own,
		bool old);
void start_serving(struct _test_data_share *self);
void stop_serving(struct _test_data_share *self);

/* A peer that has nothing of the library's. */
int raw_socket(const char *path, bool server);
ssize_t raw_send(int socket, const void *record, size_t size, const int *fds, size_t nr);
void send_int(int socket, int value);

/* Return: the record's length, -1 on error; *fd is -1 without one, -2 with several. */
ssize_t raw_receive(int socket, void *record, size_t size, int *fd);

/* The value of a record of one int, which has an fd or has none; -1 if it is another. */
int receive_int(int socket, int *fd);

/* The error that the own protocol answers with; 1 if it is no error. */
int receive_error(int socket);
bool hung_up(int socket);

/* A request of DPDK's, and its answer; -2 if the server did not hang up after it. */
int ask_old(const char *path, int request, int number, int *fd);

/* Since a time of share_now_ms(). */
unsigned int ms_since(uint64_t begin);

/* What came to one who attached. */
struct heard {
	unsigned int complete;
	unsigned int events;
	unsigned int gone;
	struct vfioext_event last;
};

/* Dispatch on both sides, in this thread, until nothing moves. */
int run_both(struct vfioext_share *share, struct vfioext_attachment *attachment,
	     struct heard *heard);

#endif
