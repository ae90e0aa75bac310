// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <errno.h>
#include <libvfio-user.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench.h"

#define DEVICES_MAX 128

const char server_name[] = "libvfio-user";

static char memory[REGION_SIZE];

static ssize_t access_region(vfu_ctx_t *ctx, char *buffer, size_t count, loff_t offset,
			     bool write)
{
	double begin, rate;
	int i;

	if (!write) {
		memcpy(buffer, memory + offset, count);
		return (ssize_t)count;
	}
	memcpy(memory + offset, buffer, count);
	if (offset == REGISTER_SIGNAL) {
		begin = now();
		for (i = 0; i < SIGNALS; i++)
			vfu_irq_trigger(ctx, 0);
		rate = SIGNALS / (now() - begin);
		memcpy(memory + REGISTER_SIGNAL, &rate, sizeof(rate));
	}
	return (ssize_t)count;
}

static void dma_register(vfu_ctx_t *ctx, vfu_dma_info_t *info)
{
	(void)ctx;
	(void)info;
}

static vfu_ctx_t *make(const char *path, int nr, int flags)
{
	char name[108];
	vfu_ctx_t *ctx;

	snprintf(name, sizeof(name), "%s.%d", path, nr);
	ctx = vfu_create_ctx(VFU_TRANS_SOCK, name, flags, NULL, VFU_DEV_TYPE_PCI);
	if (!ctx || vfu_pci_init(ctx, VFU_PCI_TYPE_CONVENTIONAL, PCI_HEADER_TYPE_NORMAL, 0) ||
	    vfu_setup_region(ctx, VFU_PCI_DEV_BAR0_REGION_IDX, REGION_SIZE, access_region,
			     VFU_REGION_FLAG_RW, NULL, 0, -1, 0) ||
	    vfu_setup_device_nr_irqs(ctx, VFU_DEV_MSIX_IRQ, VECTORS) ||
	    vfu_setup_device_dma(ctx, 1 << 20, dma_register, dma_register) ||
	    vfu_realize_ctx(ctx))
		err(1, "%s", name);
	return ctx;
}

/* One device: its calls wait themselves. */
static void serve_one(vfu_ctx_t *ctx)
{
	for (;;) {
		if (vfu_attach_ctx(ctx))
			err(1, "attach");
		while (vfu_run_ctx(ctx) >= 0 || errno == EINTR)
			;
	}
}

static void watch(int epoll, vfu_ctx_t *ctx)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = ctx };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, vfu_get_poll_fd(ctx), &event))
		err(1, "epoll");
}

/* Several: each is called when there is something for it. */
static void serve_all(vfu_ctx_t **ctx, int nr)
{
	struct epoll_event events[DEVICES_MAX];
	int epoll = epoll_create1(0), i, ready;

	for (i = 0; i < nr; i++) {
		while (vfu_attach_ctx(ctx[i]))
			if (errno != EAGAIN)
				err(1, "attach");
		watch(epoll, ctx[i]);
	}
	for (;;) {
		ready = epoll_wait(epoll, events, DEVICES_MAX, -1);
		for (i = 0; i < ready; i++)
			if (vfu_run_ctx(events[i].data.ptr) < 0 && errno == ENOTCONN)
				return;
	}
}

void serve(const char *path, int nr)
{
	vfu_ctx_t *ctx[DEVICES_MAX];
	int i;

	for (i = 0; i < nr; i++)
		ctx[i] = make(path, i, nr == 1 ? 0 : LIBVFIO_USER_FLAG_ATTACH_NB);
	if (nr == 1)
		serve_one(ctx[0]);
	else
		serve_all(ctx, nr);
}
