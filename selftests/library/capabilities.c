// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel says of a region, taken apart: good answers, damaged, and random ones. */
#include <errno.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"

#include "../../libvfioext/capabilities.h"

#define ROUNDS 200000
#define PAGE 4096

/* An answer with one capability of each sort, in this order. */
struct whole {
	struct vfio_region_info info;
	struct vfio_region_info_cap_type type;
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_sparse_mmap_area areas[3];
	struct vfio_info_cap_header msix;
};

static const struct whole good = {
	.info = {
		.argsz = sizeof(good),
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			 VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
		.index = 9,
		.cap_offset = offsetof(struct whole, type),
		.size = 0x10000,
		.offset = 9ULL << 40,
	},
	.type = {
		.header = { VFIO_REGION_INFO_CAP_TYPE, 1, offsetof(struct whole, sparse) },
		.type = 0x80008086,
		.subtype = 3,
	},
	.sparse = {
		.header = { VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, offsetof(struct whole, msix) },
		.nr_areas = 3,
	},
	.areas = { { 0x1000, 0x1000 }, { 0x4000, 0x2000 }, { 0xf000, 0x1000 } },
	.msix = { VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0 },
};

/* In memory of its own size, so that a read past its end is seen. */
static int parse(const void *answer, size_t size, struct parsed_region *region)
{
	void *copy = malloc(size ? size : 1);
	int ret;

	memcpy(copy, answer, size);
	ret = region_parse(size ? copy : (char *)copy + 1, size, PAGE, region);
	free(copy);
	return ret;
}

TEST(undamaged)
{
	struct parsed_region region;

	ASSERT_EQ(120, sizeof(good));
	ASSERT_EQ(0, parse(&good, sizeof(good), &region));
	EXPECT_EQ(good.info.flags, region.flags);
	EXPECT_EQ(0x10000, region.size);
	EXPECT_EQ(9ULL << 40, region.offset);
	EXPECT_TRUE(region.typed);
	EXPECT_EQ(0x80008086, region.type);
	EXPECT_EQ(3, region.subtype);
	EXPECT_TRUE(region.sparse);
	EXPECT_TRUE(region.msix_mappable);
	ASSERT_EQ(3, region.nr_areas);
	EXPECT_EQ(0, memcmp(region.areas, good.areas, sizeof(good.areas)));
	free(region.areas);
}

TEST(no_capabilities)
{
	struct parsed_region region;
	struct whole answer = good;

	answer.info.flags &= ~VFIO_REGION_INFO_FLAG_CAPS;
	answer.info.cap_offset = 0xffffffff;
	ASSERT_EQ(0, parse(&answer, sizeof(answer.info), &region));
	EXPECT_EQ(0x10000, region.size);
	EXPECT_FALSE(region.typed);
	EXPECT_FALSE(region.sparse);
	EXPECT_FALSE(region.msix_mappable);
	EXPECT_EQ(NULL, region.areas);
}

/* The capabilities' own alignment is not to be relied on. */
TEST(unaligned)
{
	struct parsed_region region;
	uint8_t bytes[sizeof(good) + 1];
	struct whole answer = good;

	answer.info.cap_offset += 1;
	answer.type.header.next += 1;
	answer.sparse.header.next += 1;
	memcpy(bytes, &answer, sizeof(answer.info));
	bytes[sizeof(answer.info)] = 0;
	memcpy(bytes + sizeof(answer.info) + 1, &answer.type,
	       sizeof(answer) - sizeof(answer.info));
	ASSERT_EQ(0, parse(bytes, sizeof(bytes), &region));
	EXPECT_EQ(3, region.subtype);
	EXPECT_TRUE(region.msix_mappable);
	ASSERT_EQ(3, region.nr_areas);
	EXPECT_EQ(0xf000, region.areas[2].offset);
	free(region.areas);
}

TEST(cut_short)
{
	struct parsed_region region;
	size_t size;

	for (size = 0; size < sizeof(good); size++) {
		EXPECT_EQ(-EPROTO, parse(&good, size, &region))
			TH_LOG("of %zu bytes", size);
		EXPECT_EQ(NULL, region.areas);
	}
}

#define AT(member) { offsetof(struct whole, member), sizeof(((struct whole *)0)->member) }

/* Up to two members that are other than in the good answer. @nr: areas that are left */
struct damage {
	const char *name;
	struct {
		struct {
			size_t offset;
			size_t size;
		} at;
		uint64_t value;
	} change[2];
	int ret;
	size_t nr;
};

static const struct damage damages[] = {
	{ "none", { }, 0, 3 },
	{ "capabilities nowhere", { { AT(info.cap_offset), 0 } }, -EPROTO, 0 },
	{ "capabilities in the answer itself", { { AT(info.cap_offset), 31 } }, -EPROTO, 0 },
	{ "capabilities at the end", { { AT(info.cap_offset), 120 } }, -EPROTO, 0 },
	{ "a header half out", { { AT(info.cap_offset), 113 } }, -EPROTO, 0 },
	{ "capabilities far away", { { AT(info.cap_offset), 0xffffffff } }, -EPROTO, 0 },
	{ "only the last capability", { { AT(info.cap_offset), 112 } }, 0, 0 },
	{ "a loop of one", { { AT(type.header.next), 32 } }, -EPROTO, 0 },
	{ "a loop of two", { { AT(sparse.header.next), 32 } }, -EPROTO, 0 },
	{ "a loop at the end", { { AT(msix.next), 112 } }, -EPROTO, 0 },
	{ "a header in a header", { { AT(type.header.next), 36 } }, -EPROTO, 0 },
	{ "back to the answer", { { AT(sparse.header.next), 8 } }, -EPROTO, 0 },
	{ "on past the end", { { AT(msix.next), 120 } }, -EPROTO, 0 },
	{ "far past the end", { { AT(msix.next), 0xfffffff8 } }, -EPROTO, 0 },
	{ "an early end", { { AT(type.header.next), 0 } }, 0, 0 },
	{ "sparse twice", { { AT(type.header.id), 1 }, { AT(type.type), 0 } }, -EPROTO, 0 },
	{ "type twice", { { AT(sparse.header.id), 2 } }, -EPROTO, 0 },
	{ "type that is cut", { { AT(msix.id), 2 } }, -EPROTO, 0 },
	{ "sparse that is cut", { { AT(msix.id), 1 }, { AT(sparse.header.id), 9 } }, -EPROTO, 0 },
	{ "unknown", { { AT(type.header.id), 77 }, { AT(msix.id), 0xffff } }, 0, 3 },
	{ "a later sparse", { { AT(sparse.header.version), 2 } }, 0, 0 },
	{ "no areas", { { AT(sparse.nr_areas), 0 } }, 0, 0 },
	{ "fewer areas", { { AT(sparse.nr_areas), 2 } }, 0, 2 },
	{ "more areas than there are", { { AT(sparse.nr_areas), 4 } }, -EPROTO, 0 },
	{ "areas without end", { { AT(sparse.nr_areas), 0xffffffff } }, -EPROTO, 0 },
	{ "areas that overflow", { { AT(sparse.nr_areas), 0x10000003 } }, -EPROTO, 0 },
	{ "an area off its page", { { AT(areas[1].offset), 0x4800 } }, -EPROTO, 0 },
	{ "half a page", { { AT(areas[1].size), 0x1800 } }, -EPROTO, 0 },
	{ "half a page at the end", { { AT(info.size), 0xf800 }, { AT(areas[2].size), 0x800 } }, 0, 3 },
	{ "a page too much", { { AT(areas[2].size), 0x2000 } }, -EPROTO, 0 },
	{ "half a page too much", { { AT(info.size), 0xf800 } }, -EPROTO, 0 },
	{ "behind the region", { { AT(areas[2].offset), 0x10000 } }, -EPROTO, 0 },
	{ "far behind the region", { { AT(areas[2].offset), 0xfffffffffffff000 } }, -EPROTO, 0 },
	{ "an area that overflows", { { AT(areas[2].size), 0xfffffffffffff000 } }, -EPROTO, 0 },
	{ "areas that overlap", { { AT(areas[0].size), 0x4000 } }, -EPROTO, 0 },
	{ "areas that touch", { { AT(areas[0].size), 0x3000 } }, 0, 3 },
	{ "the same twice", { { AT(areas[0].offset), 0x4000 }, { AT(areas[0].size), 0x2000 } },
	  -EPROTO, 0 },
	{ "not ascending", { { AT(areas[0].offset), 0x8000 } }, -EPROTO, 0 },
	{ "an empty area", { { AT(areas[0].size), 0 } }, 0, 2 },
	{ "an empty area anywhere", { { AT(areas[2].size), 0 }, { AT(areas[2].offset), 0 } }, 0, 2 },
	{ "a large region", { { AT(info.size), INT64_MAX }, { AT(info.offset), 0 } }, 0, 3 },
	{ "too large", { { AT(info.size), 1ULL << 63 }, { AT(info.offset), 0 } }, -EPROTO, 0 },
	{ "too far", { { AT(info.offset), INT64_MAX - 0xffff } }, -EPROTO, 0 },
	{ "as far as can be", { { AT(info.offset), INT64_MAX - 0x10000 } }, 0, 3 },
};

TEST(damaged)
{
	const struct damage *damage;
	struct parsed_region region;
	struct whole answer;
	size_t i, j;

	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		damage = &damages[i];
		answer = good;
		for (j = 0; j < 2; j++)
			memcpy((char *)&answer + damage->change[j].at.offset,
			       &damage->change[j].value, damage->change[j].at.size);
		EXPECT_EQ(damage->ret, parse(&answer, sizeof(answer), &region))
			TH_LOG("%s", damage->name);
		EXPECT_EQ(damage->nr, region.nr_areas)
			TH_LOG("%s", damage->name);
		free(region.areas);
	}
}

/* Areas can be mapped, one after the other, inside of the region. */
static bool is_sound(const struct parsed_region *region)
{
	uint64_t end = 0;
	size_t i;

	if (region->size > INT64_MAX || region->offset + region->size > INT64_MAX)
		return false;
	for (i = 0; i < region->nr_areas; i++) {
		const struct vfioext_area *area = &region->areas[i];

		if (!area->size || area->offset < end || area->offset % PAGE)
			return false;
		end = area->offset + area->size;
		if (end < area->offset || end > region->size)
			return false;
		if (end % PAGE && end != region->size)
			return false;
	}
	return region->sparse || !region->nr_areas;
}

/* Some bytes are other, mostly of those on which something depends. */
static void mutate(uint8_t *bytes, size_t size, unsigned int *seed)
{
	static const uint8_t values[] = { 0, 1, 2, 3, 8, 0x10, 0x20, 0x30, 0x70, 0x7f, 0x80, 0xff };
	unsigned int nr = 1 + (unsigned int)rand_r(seed) % 6;

	while (nr--) {
		uint8_t *at = &bytes[(size_t)rand_r(seed) % size];

		switch (rand_r(seed) % 3) {
		case 0:
			*at = values[(size_t)rand_r(seed) % sizeof(values)];
			break;
		case 1:
			*at ^= (uint8_t)(1 << rand_r(seed) % 8);
			break;
		default:
			*at = (uint8_t)rand_r(seed);
		}
	}
}

TEST(mutated)
{
	unsigned int seed = 1, round, accepted = 0;
	struct parsed_region region;
	struct whole answer;
	size_t size;

	for (round = 0; round < ROUNDS; round++) {
		answer = good;
		mutate((uint8_t *)&answer, sizeof(answer), &seed);
		size = rand_r(&seed) % 8 ? sizeof(answer) : (size_t)rand_r(&seed) % sizeof(answer);
		if (parse(&answer, size, &region)) {
			ASSERT_EQ(NULL, region.areas);
			continue;
		}
		accepted++;
		ASSERT_TRUE(is_sound(&region))
			TH_LOG("round %u", round);
		free(region.areas);
	}
	EXPECT_GT(accepted, ROUNDS / 20);
	EXPECT_LT(accepted, ROUNDS);
}

/* @nr: how many areas are left, and which */
struct around {
	uint64_t size;
	uint64_t table;
	uint64_t table_size;
	size_t nr;
	struct vfioext_area areas[2];
};

static const struct around arounds[] = {
	/* At the beginning, in the middle, at the end. */
	{ 0x4000, 0, 0x400, 1, { { 0x1000, 0x3000 } } },
	{ 0x4000, 0x1000, 0x1000, 2, { { 0, 0x1000 }, { 0x2000, 0x2000 } } },
	{ 0x4000, 0x3000, 0x1000, 1, { { 0, 0x3000 } } },
	/* Pages that it only touches. */
	{ 0x4000, 0x1ff8, 0x10, 2, { { 0, 0x1000 }, { 0x3000, 0x1000 } } },
	{ 0x4000, 0xff0, 0x10, 1, { { 0x1000, 0x3000 } } },
	{ 0x4000, 0x3ff0, 0x10, 1, { { 0, 0x3000 } } },
	/* Everywhere, and over the end. */
	{ 0x1000, 0x800, 0x10, 0, { { 0 } } },
	{ 0x4000, 0, 0x4000, 0, { { 0 } } },
	{ 0x4000, 0x2000, 0x8000, 1, { { 0, 0x2000 } } },
	{ 0x4000, 0x2000, UINT64_MAX, 1, { { 0, 0x2000 } } },
	/* Not in the region at all. */
	{ 0x4000, 0x4000, 0x10, 1, { { 0, 0x4000 } } },
	{ 0x4000, UINT64_MAX, 0x10, 1, { { 0, 0x4000 } } },
	/* Regions that end within a page. */
	{ 0x80, 0x40, 0x10, 0, { { 0 } } },
	{ 0x2800, 0x1000, 0x10, 2, { { 0, 0x1000 }, { 0x2000, 0x800 } } },
	{ 0x2800, 0x2000, 0x10, 1, { { 0, 0x2000 } } },
	{ 0, 0, 0x10, 0, { { 0 } } },
};

TEST(around_the_table)
{
	struct vfioext_area areas[2];
	size_t i, nr;

	for (i = 0; i < sizeof(arounds) / sizeof(arounds[0]); i++) {
		memset(areas, 0, sizeof(areas));
		nr = areas_around(arounds[i].size, arounds[i].table, arounds[i].table_size, PAGE,
				  areas);
		EXPECT_EQ(arounds[i].nr, nr)
			TH_LOG("case %zu", i);
		EXPECT_EQ(0, memcmp(areas, arounds[i].areas, sizeof(areas)))
			TH_LOG("case %zu", i);
	}
}

TEST_HARNESS_MAIN
