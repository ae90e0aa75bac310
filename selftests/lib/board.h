/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device of vfio-user for the tests of our client: made with our server, and served by
 * a thread of the test. What it is told to do is in its registers.
 */
#ifndef SELFTESTS_BOARD_H
#define SELFTESTS_BOARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfioext/user.h>
#include <vfioext/vfioext.h>

#define REGISTERS 0
#define SHARED 2
#define SPARSE 4
#define LARGE 9
#define NR_REGIONS 10
#define BAR_SIZE 0x10000
#define SPARSE_SIZE 0x8000
#define LARGE_SIZE 0x280000
#define NR_MSIX 100
#define NR_MSI 4
#define BUFFER_SIZE 0x300000

/* Registers: what is written to others can be read again. */
enum {
	REG_RAISE = 0x00,
	REG_IOVA = 0x08,
	REG_SIZE = 0x10,
	REG_DMA = 0x18,
	REG_DONE = 0x20,
	REG_ERROR = 0x28,
	REG_REFUSE = 0x30,
	REG_WIDTH = 0x38,
	REG_FREE = 0x1000,
	REG_TABLE = 0x8000,
};

#define TO_MEMORY 1
#define TO_DEVICE 2

/* What of SPARSE is mapped. */
extern const struct vfioext_area areas[2];

/*
 * A device, and the thread that serves it.
 * @registers: REG_*
 * @shared: a region that clients map
 * @sparse: one that they map in part; what comes by messages is @holes
 * @buffer: for DMA
 */
struct board {
	struct vfioext *ctx;
	struct vfioext_user *server;
	struct vfioext_user_device *device;
	pthread_t thread;
	int stop;
	char path[64];
	uint8_t registers[BAR_SIZE];
	int shared_fd;
	uint8_t *shared;
	int sparse_fd;
	uint8_t *sparse;
	uint8_t *holes;
	uint8_t *large;
	uint8_t *buffer;
	atomic_uint resets;
	atomic_uint attached;
	atomic_uint detached;
	atomic_uint maps;
	atomic_uint maps_by_file;
	int reset_error;
};

struct board *board_new(const char *name);
void board_free(struct board *board);

bool board_start(struct board *board);
/* As if it were killed: nobody is told anything. */
void board_stop(struct board *board);

int open_board(struct vfioext *ctx, const struct board *board,
	       const struct vfioext_open *how, struct vfioext_device **device);

/* Memory that has no file. */
void *allocate(size_t size);

/* TO_MEMORY or TO_DEVICE. Return: the device's error. */
int dma(const struct vfioext_region *bar, uint64_t iova, uint64_t size, uint64_t command);

/* All of it to the device, and back again. Return: whether it came as it went. */
bool moves(const struct vfioext_region *bar, struct board *board, uint8_t *memory,
	   uint64_t iova, size_t size);

#endif
