/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Order between memory that a device reads and writes and the device's registers.
 *
 * A processor may carry out a store to memory after a later one to a register, and a load before an
 * earlier one: the device would be told of a descriptor that is not in memory yet. The accessors of
 * region.h have what it takes to hand memory over. What is here is for two parts of memory, and for
 * registers that are accessed with *_relaxed() or through a pointer. All of these are for the compiler,
 * too; on x86 for it alone, as a region is mapped without write combining there.
 */
#ifndef VFIOEXT_BARRIER_H
#define VFIOEXT_BARRIER_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__x86_64__) || defined(__i386__)
#define VFIOEXT_DMA_RMB ""
#define VFIOEXT_DMA_WMB ""
#define VFIOEXT_IO_RMB ""
#define VFIOEXT_IO_WMB ""
#elif defined(__aarch64__)
#define VFIOEXT_DMA_RMB "dmb oshld"
#define VFIOEXT_DMA_WMB "dmb oshst"
#define VFIOEXT_IO_RMB "dmb oshld"
#define VFIOEXT_IO_WMB "dmb oshst"
#elif defined(__powerpc64__)
/* The lighter one does not order registers, which are not cached. */
#define VFIOEXT_DMA_RMB "lwsync"
#define VFIOEXT_DMA_WMB "lwsync"
#define VFIOEXT_IO_RMB "sync"
#define VFIOEXT_IO_WMB "sync"
#elif defined(__riscv)
#define VFIOEXT_DMA_RMB "fence r,rw"
#define VFIOEXT_DMA_WMB "fence w,w"
#define VFIOEXT_IO_RMB "fence i,r"
#define VFIOEXT_IO_WMB "fence w,o"
#elif defined(__arm__) && __ARM_ARCH >= 7
#define VFIOEXT_DMA_RMB "dmb osh"
#define VFIOEXT_DMA_WMB "dmb oshst"
#define VFIOEXT_IO_RMB "dmb osh"
#define VFIOEXT_IO_WMB "dmb oshst"
#else
/* cppcheck-suppress preprocessorErrorDirective */
#error "vfioext/barrier.h lacks the barriers of this architecture between memory and registers"
#endif

/**
 * vfioext_dma_rmb() - loads of memory before it come first, then loads and stores after it
 *
 * For memory that the device writes: between the load that says that something is there (a phase
 * bit, an index) and those of what is there; and between the last load of it and the write of a
 * register that gives the memory back to the device.
 */
static inline void vfioext_dma_rmb(void)
{
	__asm__ __volatile__(VFIOEXT_DMA_RMB : : : "memory");
}

/**
 * vfioext_dma_wmb() - stores to memory before it come first, then stores to memory after it
 *
 * For memory that the device reads by itself: between the stores of what is there and the one
 * that says so.
 */
static inline void vfioext_dma_wmb(void)
{
	__asm__ __volatile__(VFIOEXT_DMA_WMB : : : "memory");
}

/**
 * vfioext_io_rmb() - reads of registers before it come first, then loads of memory after it
 *
 * Behind vfioext_read*_relaxed(); vfioext_read*() have it.
 */
static inline void vfioext_io_rmb(void)
{
	__asm__ __volatile__(VFIOEXT_IO_RMB : : : "memory");
}

/**
 * vfioext_io_wmb() - stores to memory before it come first, then writes of registers after it
 *
 * Before vfioext_write*_relaxed(); vfioext_write*() have it.
 */
static inline void vfioext_io_wmb(void)
{
	__asm__ __volatile__(VFIOEXT_IO_WMB : : : "memory");
}

#ifdef __cplusplus
}
#endif

#endif
