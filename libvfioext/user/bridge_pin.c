// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To map memory for a device of the host pins it, which for a large VM may take minutes; a
 * client waits for an answer no longer than some seconds (QEMU: 5, its x-msg-timeout).
 *
 * So memory is mapped piece by piece, each as large as takes a moment. What is not done in
 * time goes on between the messages of clients, which are answered before. Until all is
 * there the device may not master the bus: a client that lets it is told that it does, and
 * it does when the last piece is mapped.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vfioext/config.h>
#include <vfioext/dma.h>

#include "../share_message.h"
#include "bridge.h"

#define PIECE_MIN (2ULL << 20)
#define PIECE_MAX (1024ULL << 20)

/* A piece that took less is followed by a larger one; by a smaller one if it took more. */
#define SHORT_MS 20
#define LONG_MS 80

/*
 * How long clients wait at most, for one message or several that follow each other: for memory
 * that the device cannot reach yet; for that of a device which may use it at once; and for it
 * to master the bus.
 */
#define MAP_MS 1000
#define MAP_MASTER_MS 3500
#define MASTER_MS 2000

/*
 * Memory that is being mapped.
 * @bridge: whose client has it; others of its container may have it as well
 * @memory: all of it; of which @done bytes are mapped
 */
struct pinning {
	struct pinning *next;
	struct vfioext_user_bridge *bridge;
	struct vfioext_user_memory memory;
	uint64_t done;
};

/*
 * @fd: eventfd that can be read as long as something is being mapped
 * @list: what is, in the order in which it came
 * @piece: size of the next piece
 * @spent_ms: how long clients were kept waiting, less what they let pass since
 * @last_ms: until when
 * @bridges: how many there are
 */
struct pinner {
	struct source source;
	struct vfioext_user *server;
	int fd;
	struct pinning *list;
	uint64_t piece;
	uint64_t spent_ms;
	uint64_t last_ms;
	unsigned int bridges;
};

static struct pinner *pinner_of(const struct vfioext_user_bridge *bridge)
{
	return bridge->served->server->pinner;
}

static bool see_the_same(const struct vfioext_user_bridge *a, const struct vfioext_user_bridge *b)
{
	return a == b || bridge_container(a) == bridge_container(b);
}

static bool is_pending(const struct vfioext_user_bridge *bridge)
{
	const struct pinning *pinning = pinner_of(bridge)->list;

	while (pinning && !see_the_same(pinning->bridge, bridge))
		pinning = pinning->next;
	return pinning;
}

/* What begins and ends on boundaries of huge pages lets the IOMMU have large ones. */
static uint64_t next_piece(const struct pinner *pinner, const struct pinning *pinning)
{
	uint64_t left = pinning->memory.size - pinning->done;
	uint64_t piece = pinner->piece - (pinning->memory.iova + pinning->done) % PIECE_MIN;

	return piece < left ? piece : left;
}

static int map_piece(struct pinner *pinner, struct pinning *pinning)
{
	const struct vfioext_user_memory *memory = &pinning->memory;
	uint64_t iova = memory->iova + pinning->done, size = next_piece(pinner, pinning);
	uint64_t before = share_now_ms(), took;
	unsigned int flags = VFIOEXT_DMA_FIXED;
	int ret;

	flags |= memory->flags & VFIOEXT_USER_READ ? VFIOEXT_DMA_READ : 0;
	flags |= memory->flags & VFIOEXT_USER_WRITE ? VFIOEXT_DMA_WRITE : 0;
	ret = vfioext_dma_map(bridge_container(pinning->bridge),
			      (uint8_t *)memory->vaddr + pinning->done, size, flags, &iova);
	if (ret)
		return ret;
	pinning->done += size;
	took = share_now_ms() - before;
	if (took < SHORT_MS && pinner->piece < PIECE_MAX)
		pinner->piece *= 2;
	else if (took > LONG_MS && pinner->piece > PIECE_MIN)
		pinner->piece /= 2;
	return 0;
}

static void forget(struct pinner *pinner, struct pinning *pinning)
{
	struct pinning **at = &pinner->list;
	eventfd_t count;

	while (*at != pinning)
		at = &(*at)->next;
	*at = pinning->next;
	free(pinning);
	if (!pinner->list)
		eventfd_read(pinner->fd, &count);
}

/* Call a function with each bridge that is in a bridge's container, which itself is one. */
static void call_each(struct vfioext_user_bridge *bridge,
		      void (*fn)(struct vfioext_user_bridge *bridge))
{
	struct vfioext_user_device *device = bridge->served->server->devices;
	struct vfioext_user_bridge *other;

	for (; device; device = device->next) {
		other = bridge_of(device);
		if (other && see_the_same(other, bridge))
			fn(other);
	}
}

static void let_master(struct vfioext_user_bridge *bridge)
{
	if (!bridge->master_held || vfioext_device_lost(bridge->device))
		return;
	bridge->master_held = false;
	if (vfioext_device_set_master(bridge->device, true))
		device_log(bridge->served, "the device cannot be let master the bus");
	else
		device_log(bridge->served, "all memory is mapped, and the device masters the bus");
}

static void drop_client(struct vfioext_user_bridge *bridge)
{
	vfioext_user_device_detach(bridge->served);
}

/* The client was told that it is mapped. */
static void give_up(struct pinner *pinner, struct pinning *pinning, int error)
{
	struct vfioext_user_bridge *bridge = pinning->bridge;
	const char *message = vfioext_message(pinner->server->ctx);

	device_log(bridge->served, "%llu of %llu KiB of memory at %#llx cannot be mapped, and the client is dropped: %s",
		   (unsigned long long)(pinning->memory.size - pinning->done) >> 10,
		   (unsigned long long)pinning->memory.size >> 10,
		   (unsigned long long)pinning->memory.iova,
		   message[0] ? message : strerror(-error));
	forget(pinner, pinning);
	call_each(bridge, drop_client);
}

static void go_on(struct pinner *pinner)
{
	struct pinning *pinning = pinner->list;
	struct vfioext_user_bridge *bridge = pinning->bridge;
	int ret;

	if (vfioext_device_lost(bridge->device)) {
		forget(pinner, pinning);
		return;
	}
	ret = map_piece(pinner, pinning);
	if (ret) {
		give_up(pinner, pinning, ret);
		return;
	}
	if (pinning->done < pinning->memory.size)
		return;
	forget(pinner, pinning);
	if (!is_pending(bridge))
		call_each(bridge, let_master);
}

static void on_pinner(struct source *source, uint32_t events)
{
	struct pinner *pinner = (struct pinner *)source;

	(void)events;
	if (pinner->list)
		go_on(pinner);
}

int pinner_get(struct vfioext_user *server)
{
	struct pinner *new = server->pinner;
	int ret;

	if (new) {
		new->bridges++;
		return 0;
	}
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->source.ready = on_pinner;
	new->server = server;
	new->piece = PIECE_MIN;
	new->bridges = 1;
	new->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (new->fd < 0) {
		ret = -errno;
		goto err_free;
	}
	ret = server_watch(server, new->fd, EPOLLIN, &new->source);
	if (ret)
		goto err_close;
	server->pinner = new;
	return 0;

err_close:
	close(new->fd);
err_free:
	free(new);
	return ret;
}

void pinner_put(struct vfioext_user *server)
{
	struct pinner *pinner = server->pinner;

	if (--pinner->bridges)
		return;
	server_forget(server, pinner->fd, &pinner->source);
	while (pinner->list)
		forget(pinner, pinner->list);
	close(pinner->fd);
	free(pinner);
	server->pinner = NULL;
}

/* May the device do DMA already? */
static bool is_master(const struct vfioext_user_bridge *bridge)
{
	return !vfioext_device_is_pci(bridge->device) ||
	       vfioext_config_read(bridge->device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

/*
 * As long as a client that waits can be kept waiting, which may wait for an answer to the last
 * of many messages.
 */
static int map_in_time(struct pinner *pinner, struct pinning *pinning)
{
	uint64_t may = is_master(pinning->bridge) ? MAP_MASTER_MS : MAP_MS;
	uint64_t begun = share_now_ms(), passed = begun - pinner->last_ms, before;
	int ret;

	before = pinner->spent_ms > passed ? pinner->spent_ms - passed : 0;
	do {
		ret = map_piece(pinner, pinning);
		pinner->last_ms = share_now_ms();
		pinner->spent_ms = before + (pinner->last_ms - begun);
	} while (!ret && !pinner->list && pinning->done < pinning->memory.size &&
		 pinner->spent_ms < may);
	return ret;
}

/* What is not done in time is done later. */
static int begin(struct pinner *pinner, struct pinning *pinning)
{
	struct pinning **at = &pinner->list;
	int ret = map_in_time(pinner, pinning);

	if (ret)
		return ret;
	if (pinning->done == pinning->memory.size) {
		free(pinning);
		return 0;
	}
	if (is_master(pinning->bridge))
		device_log(pinning->bridge->served, "the device masters the bus, and memory at %#llx is still being mapped",
			   (unsigned long long)pinning->memory.iova);
	while (*at)
		at = &(*at)->next;
	*at = pinning;
	eventfd_write(pinner->fd, 1);
	return 0;
}

int pin(struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory)
{
	struct pinning *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return -ENOMEM;
	new->bridge = bridge;
	new->memory = *memory;
	ret = begin(pinner_of(bridge), new);
	if (!ret)
		return 0;
	device_log(bridge->served, "%s", vfioext_message(bridge->served->server->ctx));
	if (new->done)
		vfioext_dma_unmap(bridge_container(bridge), memory->iova, new->done);
	free(new);
	return ret;
}

static struct pinning *find(const struct vfioext_user_bridge *bridge, uint64_t iova)
{
	struct pinning *pinning = pinner_of(bridge)->list;

	while (pinning && (pinning->memory.iova != iova || !see_the_same(pinning->bridge, bridge)))
		pinning = pinning->next;
	return pinning;
}

int unpin(struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory)
{
	struct pinning *pinning = find(bridge, memory->iova);
	uint64_t size = memory->size;
	int ret;

	if (pinning) {
		size = pinning->done;
		forget(pinner_of(bridge), pinning);
		if (!is_pending(bridge))
			call_each(bridge, let_master);
	}
	if (vfioext_device_lost(bridge->device))
		return 0;
	ret = vfioext_dma_unmap(bridge_container(bridge), memory->iova, size);
	if (ret)
		device_log(bridge->served, "memory at %#llx cannot be unmapped, and the device may still reach it: %s",
			   (unsigned long long)memory->iova, strerror(-ret));
	return ret;
}

void pin_hand_over(struct vfioext_user_bridge *bridge, const struct vfioext_user_memory *memory)
{
	struct pinning *pinning = find(bridge, memory->iova);
	struct vfioext_user_device *device = bridge->served->server->devices;
	struct vfioext_user_memory theirs;
	struct vfioext_user_bridge *other;

	for (; pinning && pinning->bridge == bridge && device; device = device->next) {
		other = bridge_of(device);
		if (!other || other == bridge || !see_the_same(other, bridge) ||
		    memory_in_range(&device->memory, memory->iova,
				    memory->iova + (memory->size - 1), &theirs))
			continue;
		pinning->bridge = other;
		pinning->memory.vaddr = theirs.vaddr;
	}
}

bool pin_finish(struct vfioext_user_bridge *bridge)
{
	uint64_t deadline = share_now_ms() + MASTER_MS;

	while (is_pending(bridge) && share_now_ms() < deadline)
		go_on(pinner_of(bridge));
	return !is_pending(bridge) && !bridge->served->session->doomed;
}
