// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's ABI as the library defines it where the system's headers lack it, beside a
 * newer kernel's own headers. The numbers of the kernel are taken first, and its structures
 * get other names.
 */
#include <stddef.h>

#include "kselftest_harness.h"

#if __has_include("linux/iommufd.h")
#define iommu_destroy kernel_iommu_destroy
#define iommu_ioas_alloc kernel_iommu_ioas_alloc
#define iommu_iova_range kernel_iommu_iova_range
#define iommu_ioas_iova_ranges kernel_iommu_ioas_iova_ranges
#define iommu_ioas_map kernel_iommu_ioas_map
#define iommu_ioas_unmap kernel_iommu_ioas_unmap
#define vfio_device_bind_iommufd kernel_vfio_device_bind_iommufd
#define vfio_device_attach_iommufd_pt kernel_vfio_device_attach_iommufd_pt
#include <linux/iommufd.h>
#include <linux/vfio.h>
#endif

#ifdef VFIO_DEVICE_BIND_IOMMUFD
static const long kernel_numbers[] = {
	IOMMU_DESTROY,
	IOMMU_IOAS_ALLOC,
	IOMMU_IOAS_IOVA_RANGES,
	IOMMU_IOAS_MAP,
	IOMMU_IOAS_UNMAP,
	IOMMU_IOAS_MAP_FIXED_IOVA,
	IOMMU_IOAS_MAP_WRITEABLE,
	IOMMU_IOAS_MAP_READABLE,
	VFIO_DEVICE_BIND_IOMMUFD,
	VFIO_DEVICE_ATTACH_IOMMUFD_PT,
	VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
	VFIO_PCI_DEVID_NOT_OWNED,
	offsetof(struct vfio_pci_dependent_device, devid),
};

#undef iommu_destroy
#undef iommu_ioas_alloc
#undef iommu_iova_range
#undef iommu_ioas_iova_ranges
#undef iommu_ioas_map
#undef iommu_ioas_unmap
#undef vfio_device_bind_iommufd
#undef vfio_device_attach_iommufd_pt

#undef IOMMU_DESTROY
#undef IOMMU_IOAS_ALLOC
#undef IOMMU_IOAS_IOVA_RANGES
#undef IOMMU_IOAS_MAP
#undef IOMMU_IOAS_UNMAP
#undef VFIO_DEVICE_BIND_IOMMUFD
#undef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#undef VFIO_PCI_HOT_RESET_FLAG_DEV_ID
#undef VFIO_PCI_DEVID_NOT_OWNED

#define KERNEL_ABI_OWN
#include "../../libvfioext/kernel_abi.h"

static const long our_numbers[] = {
	IOMMU_DESTROY,
	IOMMU_IOAS_ALLOC,
	IOMMU_IOAS_IOVA_RANGES,
	IOMMU_IOAS_MAP,
	IOMMU_IOAS_UNMAP,
	IOMMU_IOAS_MAP_FIXED_IOVA,
	IOMMU_IOAS_MAP_WRITEABLE,
	IOMMU_IOAS_MAP_READABLE,
	VFIO_DEVICE_BIND_IOMMUFD,
	VFIO_DEVICE_ATTACH_IOMMUFD_PT,
	VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
	VFIO_PCI_DEVID_NOT_OWNED,
	offsetof(struct vfio_pci_dependent_device, group_id),
};

TEST(numbers)
{
	size_t i;

	ASSERT_EQ(sizeof(kernel_numbers), sizeof(our_numbers));
	for (i = 0; i < sizeof(our_numbers) / sizeof(our_numbers[0]); i++)
		EXPECT_EQ(kernel_numbers[i], our_numbers[i]);
}

#define EXPECT_SIZE(type) \
	EXPECT_EQ(sizeof(struct kernel_##type), sizeof(struct type))
#define EXPECT_MEMBER(type, member) do { \
	EXPECT_EQ(offsetof(struct kernel_##type, member), offsetof(struct type, member)); \
	EXPECT_EQ(sizeof(((struct kernel_##type *)NULL)->member), \
		  sizeof(((struct type *)NULL)->member)); \
} while (0)

TEST(address_spaces)
{
	EXPECT_SIZE(iommu_destroy);
	EXPECT_MEMBER(iommu_destroy, size);
	EXPECT_MEMBER(iommu_destroy, id);
	EXPECT_SIZE(iommu_ioas_alloc);
	EXPECT_MEMBER(iommu_ioas_alloc, size);
	EXPECT_MEMBER(iommu_ioas_alloc, flags);
	EXPECT_MEMBER(iommu_ioas_alloc, out_ioas_id);
	EXPECT_SIZE(iommu_iova_range);
	EXPECT_MEMBER(iommu_iova_range, start);
	EXPECT_MEMBER(iommu_iova_range, last);
	EXPECT_SIZE(iommu_ioas_iova_ranges);
	EXPECT_MEMBER(iommu_ioas_iova_ranges, size);
	EXPECT_MEMBER(iommu_ioas_iova_ranges, ioas_id);
	EXPECT_MEMBER(iommu_ioas_iova_ranges, num_iovas);
	EXPECT_MEMBER(iommu_ioas_iova_ranges, allowed_iovas);
	EXPECT_MEMBER(iommu_ioas_iova_ranges, out_iova_alignment);
}

TEST(mappings)
{
	EXPECT_SIZE(iommu_ioas_map);
	EXPECT_MEMBER(iommu_ioas_map, size);
	EXPECT_MEMBER(iommu_ioas_map, flags);
	EXPECT_MEMBER(iommu_ioas_map, ioas_id);
	EXPECT_MEMBER(iommu_ioas_map, user_va);
	EXPECT_MEMBER(iommu_ioas_map, length);
	EXPECT_MEMBER(iommu_ioas_map, iova);
	EXPECT_SIZE(iommu_ioas_unmap);
	EXPECT_MEMBER(iommu_ioas_unmap, size);
	EXPECT_MEMBER(iommu_ioas_unmap, ioas_id);
	EXPECT_MEMBER(iommu_ioas_unmap, iova);
	EXPECT_MEMBER(iommu_ioas_unmap, length);
}

/* Later kernels may add members at the end. */
TEST(devices)
{
	EXPECT_LE(sizeof(struct vfio_device_bind_iommufd),
		  sizeof(struct kernel_vfio_device_bind_iommufd));
	EXPECT_MEMBER(vfio_device_bind_iommufd, argsz);
	EXPECT_MEMBER(vfio_device_bind_iommufd, flags);
	EXPECT_MEMBER(vfio_device_bind_iommufd, iommufd);
	EXPECT_MEMBER(vfio_device_bind_iommufd, out_devid);
	EXPECT_LE(sizeof(struct vfio_device_attach_iommufd_pt),
		  sizeof(struct kernel_vfio_device_attach_iommufd_pt));
	EXPECT_MEMBER(vfio_device_attach_iommufd_pt, argsz);
	EXPECT_MEMBER(vfio_device_attach_iommufd_pt, flags);
	EXPECT_MEMBER(vfio_device_attach_iommufd_pt, pt_id);
}

#else

TEST(kernel_abi)
{
	SKIP(return, "headers of Linux 6.6 or newer are not there");
}

#endif

TEST_HARNESS_MAIN
