/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PCI configuration space of a device that is served: kept by the library, down to
 * what software writes to find out how large a BAR is.
 */
#ifndef VFIOEXT_USER_PCI_H
#define VFIOEXT_USER_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include <vfioext/user.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfioext_user_pci - what a PCI device is
 * @vendor: vendor's number
 * @device: device's number
 * @subsystem_vendor: of the card's vendor
 * @subsystem: of the card
 * @class_code: class, subclass and interface, as 0xccssii
 * @revision: revision
 * @interrupt_pin: 1 to 4 for INTA to INTD, 0 for none
 * @express: it has the configuration space of PCI Express, and its capability
 */
struct vfioext_user_pci {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint32_t class_code;
	uint8_t revision;
	uint8_t interrupt_pin;
	bool express;
};

/**
 * vfioext_user_pci_init() - make a device a PCI device
 * @device: a device that no client is attached to
 * @pci: what it is
 *
 * It gets the configuration space as region 7, the regions and kinds of interrupts that
 * vfio-pci has, the pin among them and the request interrupt. BARs, MSI and MSI-X are to
 * be added.
 *
 * Return: 0, -EINVAL if there is no such pin, -EEXIST if it is one, -EBUSY if a client is
 * attached, -ENOMEM.
 */
int vfioext_user_pci_init(struct vfioext_user_device *device, const struct vfioext_user_pci *pci);

/** What a BAR is; values are or-ed. */
#define VFIOEXT_USER_BAR_IO 0x1u
#define VFIOEXT_USER_BAR_64 0x2u
#define VFIOEXT_USER_BAR_PREFETCH 0x4u

/**
 * vfioext_user_pci_set_bar() - give the device a BAR, and the region of it, or take it away
 * @device: a PCI device that no client is attached to
 * @bar: 0 to 5; one of 64 bits takes the next one, too, which must be free
 * @flags: VFIOEXT_USER_BAR_*
 * @region: the region; its size is a power of two, of 16 bytes or more, of 4 for ports. Size 0
 *	without @flags: there is no such BAR any longer
 *
 * Return: 0; -EINVAL if there can be no such BAR, if the tables of MSI-X are where it is not, or
 * if the device was not made a PCI device; -EBUSY; -ENOMEM.
 */
int vfioext_user_pci_set_bar(struct vfioext_user_device *device, unsigned int bar,
			     unsigned int flags, const struct vfioext_user_region *region);

/**
 * vfioext_user_pci_add_capability() - add a capability
 * @device: a PCI device that no client is attached to
 * @id: its number (PCI_CAP_ID_*)
 * @data: what is behind its first two bytes
 * @writable: bits of @data that clients can write, or NULL for none
 * @size: bytes of both
 *
 * Return: where it is, -EINVAL, -EBUSY, or -ENOSPC.
 */
int vfioext_user_pci_add_capability(struct vfioext_user_device *device, uint8_t id,
				    const void *data, const void *writable, size_t size);

/**
 * vfioext_user_pci_add_extended() - add an extended capability of PCI Express
 * @device: a PCI Express device that no client is attached to
 * @id: its number (PCI_EXT_CAP_ID_*)
 * @version: its version
 * @data: what is behind its first four bytes
 * @writable: bits of @data that clients can write, or NULL for none
 * @size: bytes of both, a multiple of 4
 *
 * Return: as vfioext_user_pci_add_capability().
 */
int vfioext_user_pci_add_extended(struct vfioext_user_device *device, uint16_t id,
				  uint8_t version, const void *data, const void *writable,
				  size_t size);

/** vfioext_user_pci_add_pm() - power management, of states D0 and D3. */
int vfioext_user_pci_add_pm(struct vfioext_user_device *device);

/**
 * vfioext_user_pci_add_msi() - MSI
 * @device: a PCI device that no client is attached to
 * @vectors: 1, 2, 4, 8, 16 or 32
 *
 * Return: as vfioext_user_pci_add_capability().
 */
int vfioext_user_pci_add_msi(struct vfioext_user_device *device, unsigned int vectors);

/**
 * struct vfioext_user_msix - where MSI-X has its tables
 * @vectors: how many, 1 to 2048
 * @table_bar: the BAR that its table is in
 * @table_offset: where in it, a multiple of 8
 * @pba_bar: the BAR that the bits of what is pending are in
 * @pba_offset: where in it, a multiple of 8
 */
struct vfioext_user_msix {
	unsigned int vectors;
	unsigned int table_bar;
	uint32_t table_offset;
	unsigned int pba_bar;
	uint32_t pba_offset;
};

/**
 * vfioext_user_pci_add_msix() - MSI-X
 * @device: a PCI device that no client is attached to, which has the BARs already
 * @msix: where
 *
 * A VM manager keeps the tables itself: nothing has to be in the BARs there.
 *
 * Return: as vfioext_user_pci_add_capability().
 */
int vfioext_user_pci_add_msix(struct vfioext_user_device *device,
			      const struct vfioext_user_msix *msix);

/**
 * vfioext_user_pci_read() - read of the configuration space what clients see
 * @device: a PCI device
 * @offset: where
 * @width: 1, 2 or 4
 *
 * Return: the value, all ones where there is nothing.
 */
uint32_t vfioext_user_pci_read(const struct vfioext_user_device *device, unsigned int offset,
			       unsigned int width);

/**
 * vfioext_user_pci_write() - change it, read-only bits as well
 * @device: a PCI device
 * @offset: where
 * @width: 1, 2 or 4
 * @value: the value; where there is nothing it goes nowhere
 *
 * Without a client it is what it is at power on, too.
 */
void vfioext_user_pci_write(struct vfioext_user_device *device, unsigned int offset,
			    unsigned int width, uint32_t value);

/**
 * vfioext_user_pci_set_intx() - assert the interrupt pin, or take it back
 * @device: a PCI device that has one
 * @asserted: the device wants something
 *
 * The client is signaled as for a pin: when it is asserted, and whenever the client
 * unmasks it while it is. The status register tells it, as drivers want to see.
 */
void vfioext_user_pci_set_intx(struct vfioext_user_device *device, bool asserted);

/** vfioext_user_pci_is_master() - may the device do DMA? */
bool vfioext_user_pci_is_master(const struct vfioext_user_device *device);

#ifdef __cplusplus
}
#endif

#endif
