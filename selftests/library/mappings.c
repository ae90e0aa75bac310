// SPDX-License-Identifier: GPL-2.0-only
/* What is mapped for DMA: two trees against a plain list, and readers beside a writer. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vfioext/dma.h>

#include "../../libvfioext/mappings.h"
#include "../../libvfioext/tree.h"
#include "kselftest_harness.h"

#define PAGE 4096ULL
#define OPERATIONS 10000
#define LIST_MAX 2000
#define READERS 3
#define STAYING 300
#define CHANGING 600

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x ? x : 1;
	return *state * 0x2545f4914f6cdd1dULL >> 16;
}

static uint64_t last_of(uint64_t begin, uint64_t size)
{
	return begin + size - 1;
}

static bool holds(uint64_t begin, uint64_t size, uint64_t address)
{
	return address >= begin && address <= last_of(begin, size);
}

static bool same(const struct mapping *a, const struct mapping *b)
{
	return a->vaddr == b->vaddr && a->iova == b->iova && a->size == b->size &&
	       a->flags == b->flags;
}

FIXTURE(mappings) {
	struct mappings *mappings;
	struct mapping *list;
	size_t nr;
	uint64_t random;
};

FIXTURE_SETUP(mappings)
{
	const char *seed = getenv("SEED");

	self->random = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 1000003;
	self->nr = 0;
	self->list = calloc(LIST_MAX, sizeof(*self->list));
	self->mappings = mappings_new();
	ASSERT_NE(NULL, self->list);
	ASSERT_NE(NULL, self->mappings);
}

FIXTURE_TEARDOWN(mappings)
{
	mappings_free(self->mappings);
	free(self->list);
}

#define RUN FIXTURE_DATA(mappings)
#define EXPECTATIONS struct __test_metadata *_metadata, struct _test_data_mappings *self

static uint64_t pick(RUN *self, uint64_t below)
{
	return next_random(&self->random) % below;
}

static bool list_overlaps(const RUN *self, uint64_t iova, uint64_t size)
{
	size_t i;

	for (i = 0; i < self->nr; i++)
		if (iova <= last_of(self->list[i].iova, self->list[i].size) &&
		    last_of(iova, size) >= self->list[i].iova)
			return true;
	return false;
}

static const struct mapping *list_at_iova(const RUN *self, uint64_t iova)
{
	size_t i;

	for (i = 0; i < self->nr; i++)
		if (holds(self->list[i].iova, self->list[i].size, iova))
			return &self->list[i];
	return NULL;
}

static bool list_has_vaddr(const RUN *self, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < self->nr; i++)
		if (holds(self->list[i].vaddr, self->list[i].size, vaddr))
			return true;
	return false;
}

static bool list_has(const RUN *self, const struct mapping *mapping)
{
	size_t i;

	for (i = 0; i < self->nr; i++)
		if (same(&self->list[i], mapping))
			return true;
	return false;
}

static void check_iova(EXPECTATIONS, uint64_t iova)
{
	const struct mapping *expected = list_at_iova(self, iova);
	struct mapping found;
	bool is_found = mappings_by_iova(self->mappings, iova, &found);

	ASSERT_EQ(!!expected, is_found) TH_LOG("at IOVA %#llx", (unsigned long long)iova);
	if (expected)
		ASSERT_TRUE(same(expected, &found));
}

static void check_vaddr(EXPECTATIONS, uint64_t vaddr)
{
	struct mapping found;
	bool is_found = mappings_by_vaddr(self->mappings, vaddr, &found);

	ASSERT_EQ(list_has_vaddr(self, vaddr), is_found)
		TH_LOG("at %#llx in memory", (unsigned long long)vaddr);
	if (!is_found)
		return;
	ASSERT_TRUE(holds(found.vaddr, found.size, vaddr));
	ASSERT_TRUE(list_has(self, &found));
}

/* The lowest that begins at or behind an IOVA. */
static void check_next(EXPECTATIONS, uint64_t iova)
{
	const struct mapping *expected = NULL;
	struct mapping found;
	size_t i;

	for (i = 0; i < self->nr; i++)
		if (self->list[i].iova >= iova &&
		    (!expected || self->list[i].iova < expected->iova))
			expected = &self->list[i];
	ASSERT_EQ(!!expected, mappings_next(self->mappings, iova, &found));
	if (expected)
		ASSERT_TRUE(same(expected, &found));
}

/* One of those that begin there, or the next. */
static void check_next_vaddr(EXPECTATIONS, uint64_t vaddr)
{
	const struct mapping *expected = NULL;
	struct mapping found;
	size_t i;

	for (i = 0; i < self->nr; i++)
		if (self->list[i].vaddr >= vaddr &&
		    (!expected || self->list[i].vaddr < expected->vaddr))
			expected = &self->list[i];
	ASSERT_EQ(!!expected, mappings_next_vaddr(self->mappings, vaddr, &found));
	if (expected)
		ASSERT_TRUE(expected->vaddr == found.vaddr && list_has(self, &found));
}

static void check_around(EXPECTATIONS, uint64_t iova, uint64_t vaddr, uint64_t size)
{
	const uint64_t offsets[] = { 0, size / 2, size - 1, size, UINT64_MAX };
	size_t i;

	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		check_iova(_metadata, self, iova + offsets[i]);
		check_vaddr(_metadata, self, vaddr + offsets[i]);
		check_next_vaddr(_metadata, self, vaddr + offsets[i]);
		check_next(_metadata, self, iova + offsets[i]);
	}
}

/* Some memory more than once, in pieces that overlap: there are few places for many. */
static struct mapping any_mapping(RUN *self)
{
	return (struct mapping){
		.vaddr = (0x10000 + pick(self, LIST_MAX * 4)) * PAGE,
		.size = (pick(self, 20) ? 1 + pick(self, 4) : 1 + pick(self, 600)) * PAGE,
		.flags = (uint32_t)next_random(&self->random),
	};
}

static void add(EXPECTATIONS, const struct mapping *mapping)
{
	bool overlaps = list_overlaps(self, mapping->iova, mapping->size);

	ASSERT_EQ(overlaps ? -EEXIST : 0, mappings_add(self->mappings, mapping));
	if (!overlaps)
		self->list[self->nr++] = *mapping;
	check_around(_metadata, self, mapping->iova, mapping->vaddr, mapping->size);
}

static void remove_nth(EXPECTATIONS, size_t nth)
{
	struct mapping expected = self->list[nth], removed;

	ASSERT_EQ(0, mappings_remove(self->mappings, expected.iova, &removed));
	ASSERT_TRUE(same(&expected, &removed));
	self->list[nth] = self->list[--self->nr];
	ASSERT_EQ(-ENOENT, mappings_remove(self->mappings, expected.iova, NULL));
	check_around(_metadata, self, expected.iova, expected.vaddr, expected.size);
}

static bool list_fits(const RUN *self, const struct vfioext_iova_range *range, uint64_t from,
		      uint64_t size, uint64_t align)
{
	uint64_t iova = (from + align - 1) / align * align;

	return iova && iova >= from && iova >= range->start && iova <= range->last &&
	       range->last - iova >= size - 1 && !list_overlaps(self, iova, size);
}

/* If anything is free, then so is the beginning of a range, or what is behind a mapping. */
static bool list_has_room(const RUN *self, const struct vfioext_iova_range *ranges, size_t nr,
			  uint64_t size, uint64_t align)
{
	size_t i, j;

	for (i = 0; i < nr; i++) {
		if (list_fits(self, &ranges[i], ranges[i].start ? ranges[i].start : 1, size, align))
			return true;
		for (j = 0; j < self->nr; j++)
			if (list_fits(self, &ranges[i], self->list[j].iova + self->list[j].size,
				      size, align))
				return true;
	}
	return false;
}

static bool in_a_range(const struct vfioext_iova_range *ranges, size_t nr, uint64_t iova,
		       uint64_t size)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (iova >= ranges[i].start && last_of(iova, size) >= iova &&
		    last_of(iova, size) <= ranges[i].last)
			return true;
	return false;
}

/* Return: whether something is free, as it should be if the list says so. */
static bool find_free(EXPECTATIONS, const struct vfioext_iova_range *ranges, size_t nr,
		      uint64_t size, uint64_t align, uint64_t *iova)
{
	bool has_room = list_has_room(self, ranges, nr, size, align);

	ASSERT_EQ(has_room ? 0 : -ENOSPC,
		  mappings_find_free(self->mappings, ranges, nr, size, align, iova)) {
		TH_LOG("%#llx bytes, aligned to %#llx", (unsigned long long)size,
		       (unsigned long long)align);
	}
	if (!has_room)
		return false;
	ASSERT_NE(0, *iova);
	ASSERT_EQ(0, *iova % align);
	ASSERT_TRUE(in_a_range(ranges, nr, *iova, size));
	ASSERT_FALSE(list_overlaps(self, *iova, size));
	return true;
}

static const struct vfioext_iova_range random_ranges[] = {
	{ 0, 700 * PAGE - 1 },
	{ 800 * PAGE, 800 * PAGE + 10 },
	{ 900 * PAGE, 4500 * PAGE - 1 },
};

static void operate(EXPECTATIONS, bool grow)
{
	unsigned int operation = pick(self, 10);
	struct mapping mapping = any_mapping(self);

	if (operation < (grow ? 3 : 8)) {
		if (self->nr)
			remove_nth(_metadata, self, pick(self, self->nr));
	} else if (self->nr == LIST_MAX || operation == 9) {
		check_around(_metadata, self, pick(self, 4600 * PAGE), mapping.vaddr, mapping.size);
	} else if (operation & 1) {
		mapping.iova = pick(self, 4600) * PAGE;
		add(_metadata, self, &mapping);
	} else if (find_free(_metadata, self, random_ranges, 3, mapping.size,
			     PAGE << pick(self, 5), &mapping.iova)) {
		add(_metadata, self, &mapping);
	}
	ASSERT_EQ(self->nr, mappings_count(self->mappings));
}

TEST_F_TIMEOUT(mappings, random, 300)
{
	int i, phase = OPERATIONS / 5;

	TH_LOG("SEED=%llu", (unsigned long long)self->random);
	for (i = 0; i < OPERATIONS; i++)
		operate(_metadata, self, i / phase % 2 == 0);
	while (self->nr)
		remove_nth(_metadata, self, pick(self, self->nr));
	EXPECT_EQ(0, mappings_count(self->mappings));
}

/* The same, deeper and with fewer looks: none but those that the change concerns. */
TEST_F_TIMEOUT(mappings, many, 300)
{
	const size_t nr = 50000;
	struct mapping mapping = { .size = PAGE }, found;
	size_t i, at = 0;

	/* A step that shares no factor with nr leads to each once, in no order. */
	for (i = 0; i < nr; i++, at = (at + 27011) % nr) {
		mapping.iova = (at + 1) * 2 * PAGE;
		mapping.vaddr = (1ULL << 40) - at * 2 * PAGE;
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	}
	for (i = 0; i < nr; i++) {
		ASSERT_TRUE(mappings_by_iova(self->mappings, (i + 1) * 2 * PAGE + 5, &found));
		ASSERT_EQ((1ULL << 40) - i * 2 * PAGE, found.vaddr);
		ASSERT_TRUE(mappings_by_vaddr(self->mappings, found.vaddr + PAGE - 1, &found));
		ASSERT_EQ((i + 1) * 2 * PAGE, found.iova);
		ASSERT_FALSE(mappings_by_iova(self->mappings, found.iova + PAGE, &found));
		ASSERT_FALSE(mappings_by_vaddr(self->mappings, found.vaddr + PAGE, &found));
	}
	for (i = 0; i < nr; i++, at = (at + 11003) % nr)
		ASSERT_EQ(0, mappings_remove(self->mappings, (at + 1) * 2 * PAGE, NULL));
	EXPECT_FALSE(mappings_next(self->mappings, 0, &found));
	EXPECT_EQ(0, mappings_count(self->mappings));
}

/* The first reaches over all others, far from where they begin. */
TEST_F(mappings, nested)
{
	struct mapping large = { 1000 * PAGE, 1ULL << 40, 2000 * PAGE, 7 }, small, found;
	int i;

	ASSERT_EQ(0, mappings_add(self->mappings, &large));
	for (i = 0; i < 900; i++) {
		small = (struct mapping){ (1001 + 2 * i) * PAGE, (1 + i) * PAGE, PAGE, 1 };
		ASSERT_EQ(0, mappings_add(self->mappings, &small));
	}
	for (i = 0; i < 900; i++) {
		ASSERT_TRUE(mappings_by_vaddr(self->mappings, (1002 + 2 * i) * PAGE, &found));
		ASSERT_TRUE(same(&large, &found));
	}
	EXPECT_TRUE(mappings_by_vaddr(self->mappings, 3000 * PAGE - 1, &found));
	EXPECT_FALSE(mappings_by_vaddr(self->mappings, 3000 * PAGE, &found));
	EXPECT_FALSE(mappings_by_vaddr(self->mappings, 1000 * PAGE - 1, &found));
	ASSERT_EQ(0, mappings_remove(self->mappings, large.iova, NULL));
	for (i = 0; i < 900; i++) {
		ASSERT_FALSE(mappings_by_vaddr(self->mappings, (1002 + 2 * i) * PAGE, &found));
		ASSERT_TRUE(mappings_by_vaddr(self->mappings, (1001 + 2 * i) * PAGE, &found));
	}
}

TEST_F(mappings, same_memory)
{
	struct mapping mapping = { .vaddr = 5 * PAGE, .flags = 3 }, found;
	uint64_t i;

	/* Each is longer than those before it, and they go in another order. */
	for (i = 1; i <= 1000; i++) {
		mapping.iova = (i * 7919 % 1009) << 32;
		mapping.size = i * PAGE;
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	}
	for (i = 1000; i >= 1; i--) {
		ASSERT_TRUE(mappings_by_vaddr(self->mappings, 5 * PAGE + i * PAGE - 1, &found));
		ASSERT_EQ(i * PAGE, found.size);
		ASSERT_FALSE(mappings_by_vaddr(self->mappings, 5 * PAGE + i * PAGE, &found));
		ASSERT_EQ(0, mappings_remove(self->mappings, (i * 7919 % 1009) << 32, &found));
		ASSERT_EQ(i * PAGE, found.size);
	}
}

TEST_F(mappings, refused)
{
	struct mapping mapping = { PAGE, 4 * PAGE, 2 * PAGE, 1 }, wrong = mapping, found;
	uint64_t iova;

	ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	EXPECT_EQ(-EEXIST, mappings_add(self->mappings, &mapping));
	wrong.iova = 3 * PAGE;
	EXPECT_EQ(-EEXIST, mappings_add(self->mappings, &wrong));
	wrong.iova = 5 * PAGE;
	EXPECT_EQ(-EEXIST, mappings_add(self->mappings, &wrong));
	wrong.iova = 6 * PAGE - 1;
	EXPECT_EQ(-EEXIST, mappings_add(self->mappings, &wrong));
	wrong.iova = 2 * PAGE + 1;
	EXPECT_EQ(-EEXIST, mappings_add(self->mappings, &wrong));
	wrong.iova = PAGE;
	wrong.size = 9 * PAGE;
	EXPECT_EQ(-EEXIST, mappings_add(self->mappings, &wrong));
	wrong.size = 0;
	EXPECT_EQ(-EINVAL, mappings_add(self->mappings, &wrong));
	wrong = (struct mapping){ PAGE, -PAGE, PAGE + 1, 1 };
	EXPECT_EQ(-EINVAL, mappings_add(self->mappings, &wrong));
	wrong = (struct mapping){ -PAGE, PAGE, PAGE + 1, 1 };
	EXPECT_EQ(-EINVAL, mappings_add(self->mappings, &wrong));
	EXPECT_EQ(-ENOENT, mappings_remove(self->mappings, 5 * PAGE, NULL));
	EXPECT_EQ(-EINVAL, mappings_find_free(self->mappings, NULL, 0, 0, PAGE, &iova));
	EXPECT_EQ(-ENOSPC, mappings_find_free(self->mappings, NULL, 0, PAGE, PAGE, &iova));
	EXPECT_EQ(1, mappings_count(self->mappings));
	ASSERT_TRUE(mappings_by_vaddr(self->mappings, PAGE, &found));
	EXPECT_TRUE(same(&mapping, &found));
}

/* The very last address of all belongs to mappings, too. */
TEST_F(mappings, last_address)
{
	const struct vfioext_iova_range range = { UINT64_MAX - 4 * PAGE + 1, UINT64_MAX };
	struct mapping mapping = { -PAGE, -PAGE, PAGE, 2 }, byte = { UINT64_MAX, UINT64_MAX, 1, 4 };
	struct mapping found;
	uint64_t iova;
	int i;

	EXPECT_FALSE(mappings_by_iova(self->mappings, UINT64_MAX, &found));
	EXPECT_FALSE(mappings_by_vaddr(self->mappings, UINT64_MAX, &found));
	ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	EXPECT_TRUE(mappings_by_iova(self->mappings, UINT64_MAX, &found));
	EXPECT_TRUE(mappings_by_vaddr(self->mappings, UINT64_MAX, &found));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, mappings_find_free(self->mappings, &range, 1, PAGE, PAGE, &iova));
		mapping = (struct mapping){ PAGE, iova, PAGE, 1 };
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	}
	EXPECT_EQ(-ENOSPC, mappings_find_free(self->mappings, &range, 1, PAGE, PAGE, &iova));
	ASSERT_EQ(0, mappings_remove(self->mappings, -PAGE, NULL));
	ASSERT_EQ(0, mappings_find_free(self->mappings, &range, 1, PAGE, PAGE, &iova));
	EXPECT_EQ(-PAGE, iova);
	EXPECT_EQ(-ENOSPC, mappings_find_free(self->mappings, &range, 1, PAGE, 1 << 30, &iova));
	ASSERT_EQ(0, mappings_add(self->mappings, &byte));
	EXPECT_TRUE(mappings_by_iova(self->mappings, UINT64_MAX, &found));
	EXPECT_TRUE(same(&byte, &found));
	EXPECT_FALSE(mappings_by_iova(self->mappings, UINT64_MAX - 1, &found));
	EXPECT_TRUE(mappings_by_vaddr(self->mappings, UINT64_MAX, &found));
	EXPECT_FALSE(mappings_by_vaddr(self->mappings, UINT64_MAX - 1, &found));
}

/* Map one page after the other until no more fits. */
static size_t fill(EXPECTATIONS, const struct vfioext_iova_range *ranges, size_t nr)
{
	struct mapping mapping = { .vaddr = 64 * PAGE, .size = PAGE, .flags = 3 };
	size_t filled = 0;

	while (self->nr < LIST_MAX &&
	       find_free(_metadata, self, ranges, nr, PAGE, PAGE, &mapping.iova)) {
		add(_metadata, self, &mapping);
		filled++;
	}
	return filled;
}

TEST_F(mappings, ranges_with_holes)
{
	const struct vfioext_iova_range ranges[] = {
		{ 0, 10 * PAGE - 1 },
		{ 20 * PAGE + 1, 31 * PAGE - 1 },
		{ 40 * PAGE, 41 * PAGE - 2 },
		{ -50 * PAGE, UINT64_MAX },
	};
	struct mapping fixed = { PAGE, 25 * PAGE, PAGE, 1 };
	uint64_t iova;

	add(_metadata, self, &fixed);
	EXPECT_EQ(9 + 10 - 1 + 0 + 50, fill(_metadata, self, ranges, 4));
	remove_nth(_metadata, self, 7);
	EXPECT_EQ(1, fill(_metadata, self, ranges, 4));
	EXPECT_FALSE(find_free(_metadata, self, ranges, 4, 1, 1, &iova) &&
		     iova >= 10 * PAGE && iova <= 20 * PAGE);
}

TEST_F_TIMEOUT(mappings, exhaustion, 120)
{
	const struct vfioext_iova_range range = { PAGE, 1001 * PAGE - 1 };
	uint64_t iova;
	int i;

	ASSERT_EQ(1000, fill(_metadata, self, &range, 1));
	for (i = 0; i < 100; i++)
		remove_nth(_metadata, self, pick(self, self->nr));
	EXPECT_EQ(100, fill(_metadata, self, &range, 1));
	/* Two neighbours give room for two pages, but these must be aligned. */
	for (i = 0; i < 1000; i++)
		if (self->list[i].iova == 501 * PAGE)
			break;
	remove_nth(_metadata, self, i);
	for (i = 0; i < 999; i++)
		if (self->list[i].iova == 502 * PAGE)
			break;
	remove_nth(_metadata, self, i);
	EXPECT_FALSE(find_free(_metadata, self, &range, 1, 2 * PAGE, 2 * PAGE, &iova));
	EXPECT_TRUE(find_free(_metadata, self, &range, 1, 2 * PAGE, PAGE, &iova));
	EXPECT_EQ(501 * PAGE, iova);
}

#define GAPS 3000

static uint64_t nth_place(unsigned int nth, unsigned int wide)
{
	return (2 + 2 * nth + (nth > wide ? 64 : 0)) * PAGE;
}

/* In vain for the most part, so that no more is taken to be free than is. */
static void search_all(RUN *self, unsigned int wide)
{
	struct vfioext_iova_range range = { 0, nth_place(GAPS - 1, wide) };
	struct mapping first;
	uint64_t iova;

	if (mappings_next(self->mappings, 0, &first)) {
		range.start = first.iova;
		mappings_find_free(self->mappings, &range, 1, 66 * PAGE, 1, &iova);
	}
}

/* Pages with a page between them, and somewhere more, in one of three orders. */
static void scatter(EXPECTATIONS, unsigned int order, unsigned int wide)
{
	struct mapping mapping = { PAGE, 0, PAGE, 1 };
	unsigned int i, nth = pick(self, GAPS);

	for (i = 0; i < GAPS; i++) {
		if (order == 0)
			nth = i;
		else if (order == 1)
			nth = GAPS - 1 - i;
		else
			nth = (nth + 1007) % GAPS;
		mapping.iova = nth_place(nth, wide);
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
		if (i % 20 == 0)
			search_all(self, wide);
	}
}

/* Make one gap as wide as none is, and fill it again. */
static void reopen(EXPECTATIONS, const struct vfioext_iova_range *range, unsigned int wide)
{
	unsigned int first = 1 + pick(self, GAPS - 200), nr = 70 + pick(self, 100), i;
	uint64_t begin = nth_place(first - 1, wide) + PAGE, end = nth_place(first + nr, wide), iova;
	struct mapping mapping = { PAGE, 0, PAGE, 1 };

	for (i = first; i < first + nr; i++)
		ASSERT_EQ(0, mappings_remove(self->mappings, nth_place(i, wide), NULL));
	EXPECT_EQ(-ENOSPC,
		  mappings_find_free(self->mappings, range, 1, end - begin + 1, 1, &iova));
	ASSERT_EQ(0, mappings_find_free(self->mappings, range, 1, end - begin, 1, &iova));
	ASSERT_EQ(begin, iova);
	for (i = first; i < first + nr; i++) {
		mapping.iova = nth_place(i, wide);
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	}
}

/* The one that is wide enough is always found, however the trees came to be. */
TEST_F_TIMEOUT(mappings, gaps, 120)
{
	struct vfioext_iova_range range = { 2 * PAGE, 0 };
	unsigned int round, i, wide;
	uint64_t iova;

	TH_LOG("SEED=%llu", (unsigned long long)self->random);
	for (round = 0; round < 30; round++) {
		wide = pick(self, GAPS - 1);
		range.last = nth_place(GAPS - 1, wide);
		scatter(_metadata, self, round % 3, wide);
		ASSERT_EQ(0, mappings_find_free(self->mappings, &range, 1, 65 * PAGE, 1, &iova));
		ASSERT_EQ(nth_place(wide, wide) + PAGE, iova);
		ASSERT_EQ(-ENOSPC,
			  mappings_find_free(self->mappings, &range, 1, 66 * PAGE, 1, &iova));
		for (i = 0; i < 80; i++)
			reopen(_metadata, self, &range, wide);
		for (i = 0; i < GAPS; i++)
			ASSERT_EQ(0, mappings_remove(self->mappings, nth_place(i, wide), NULL));
	}
}

/* What is freed is the last to be given again. */
TEST_F(mappings, rolling)
{
	const struct vfioext_iova_range range = { 0, 11 * PAGE - 1 };
	struct mapping mapping = { PAGE, 0, PAGE, 1 };
	uint64_t iova;
	int i;

	for (i = 1; i <= 25; i++) {
		ASSERT_EQ(0, mappings_find_free(self->mappings, &range, 1, PAGE, PAGE, &iova));
		ASSERT_EQ(((i - 1) % 10 + 1) * PAGE, iova);
		mapping.iova = iova;
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
		ASSERT_EQ(0, mappings_remove(self->mappings, mapping.iova, NULL));
	}
	EXPECT_EQ(-ENOSPC, mappings_find_free(self->mappings, &range, 1, 11 * PAGE, PAGE, &iova));
	ASSERT_EQ(0, mappings_find_free(self->mappings, &range, 1, 10 * PAGE, PAGE, &iova));
	EXPECT_EQ(PAGE, iova);
}

/*
 * For the threads. That a mapping is one that ever was can be told from itself, as its
 * flags are made of the rest; those that stay are told by their place.
 */
struct race {
	struct mappings *mappings;
	atomic_bool *stop;
	uint64_t random;
	unsigned long found;
	unsigned long wrong;
	unsigned long missed;
};

static uint32_t seal(const struct mapping *mapping)
{
	uint64_t state = mapping->vaddr * 31 + mapping->iova * 17 + mapping->size;

	return (uint32_t)next_random(&state);
}

/* Those that stay lie between those that change, which overlap in memory. */
static struct mapping nth(unsigned int at, uint64_t variant)
{
	bool stays = at % 3 == 0;
	struct mapping mapping = {
		.iova = (1 + at) * 16 * PAGE,
		.vaddr = stays ? (1ULL << 40) + at * 16 * PAGE :
				 (1ULL << 32) + variant % 5000 * PAGE,
		.size = stays ? 16 * PAGE : (1 + variant % 16) * PAGE,
	};

	mapping.flags = seal(&mapping);
	return mapping;
}

static bool is_wrong(const struct mapping *found, uint64_t begin, uint64_t address,
		     const struct mapping *stays)
{
	return !holds(begin, found->size, address) || found->flags != seal(found) ||
	       (stays && !same(stays, found));
}

static void read_one(struct race *race, unsigned int at, uint64_t random)
{
	struct mapping expected = nth(at, 0), *stays = at % 3 ? NULL : &expected, found;
	uint64_t offset = random % (16 * PAGE), iova = expected.iova + offset;
	uint64_t vaddr = stays ? stays->vaddr + offset : (1ULL << 32) + random % (5000 * PAGE);

	if (mappings_by_iova(race->mappings, iova, &found)) {
		race->found++;
		race->wrong += is_wrong(&found, found.iova, iova, stays);
	} else {
		race->missed += !!stays;
	}
	if (mappings_by_vaddr(race->mappings, vaddr, &found)) {
		race->found++;
		race->wrong += is_wrong(&found, found.vaddr, vaddr, stays);
	} else {
		race->missed += !!stays;
	}
}

static void *reader(void *argument)
{
	struct race *race = argument;
	unsigned int at;

	while (!atomic_load(race->stop)) {
		at = next_random(&race->random) % (STAYING + CHANGING);
		read_one(race, at, next_random(&race->random));
	}
	return NULL;
}

/* Many at once, so that the trees grow and shrink by levels, and nodes change trees. */
static void write_round(EXPECTATIONS, bool *is_there)
{
	unsigned int i, at, goal = pick(self, 2);
	struct mapping mapping;
	int expected;

	for (i = 0; i < 500; i++) {
		at = pick(self, STAYING + CHANGING);
		mapping = nth(at, next_random(&self->random));
		if (is_there[at] && at % 3 && (!goal || !pick(self, 8))) {
			ASSERT_EQ(0, mappings_remove(self->mappings, mapping.iova, NULL));
			is_there[at] = false;
		} else if (goal || !pick(self, 8)) {
			expected = is_there[at] ? -EEXIST : 0;
			ASSERT_EQ(expected, mappings_add(self->mappings, &mapping));
			is_there[at] = true;
		}
	}
}

TEST_F_TIMEOUT(mappings, readers_beside_writer, 120)
{
	bool is_there[STAYING + CHANGING] = { false };
	struct race races[READERS] = { { NULL } };
	pthread_t readers[READERS];
	atomic_bool stop = false;
	time_t end = time(NULL) + 4;
	struct mapping mapping;
	unsigned int i;

	for (i = 0; i < STAYING + CHANGING; i += 3) {
		mapping = nth(i, 0);
		is_there[i] = true;
		ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
	}
	for (i = 0; i < READERS; i++) {
		races[i] = (struct race){ self->mappings, &stop, self->random + i, 0, 0, 0 };
		ASSERT_EQ(0, pthread_create(&readers[i], NULL, reader, &races[i]));
	}
	while (time(NULL) < end)
		write_round(_metadata, self, is_there);
	atomic_store(&stop, true);
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i], NULL);
		EXPECT_LT(0, races[i].found);
		EXPECT_EQ(0, races[i].wrong);
		EXPECT_EQ(0, races[i].missed);
	}
}

#define DENSE 3000
#define DENSE_ROUNDS 6

/* Pages side by side, in another order in memory than for devices; anew each round. */
static struct mapping dense_at(unsigned int i, unsigned int round)
{
	uint64_t other = (i * 7 + round * 11) % DENSE;

	return (struct mapping){ (other + 1) * PAGE, (i + 1) * PAGE, PAGE, round + 1 };
}

static void expect_dense(EXPECTATIONS, unsigned int i, unsigned int round, bool there)
{
	struct mapping mapping = dense_at(i, round), found;
	uint64_t offset = pick(self, PAGE);

	ASSERT_EQ(there, mappings_by_iova(self->mappings, mapping.iova + offset, &found));
	if (there)
		ASSERT_TRUE(same(&mapping, &found));
	ASSERT_EQ(there, mappings_by_vaddr(self->mappings, mapping.vaddr + offset, &found));
	if (there)
		ASSERT_TRUE(same(&mapping, &found));
}

/*
 * What was found is found again at once, and only as long as it is there: also where its place
 * is another's by then, in the other tree, too, as both are of the same numbers.
 */
TEST_F(mappings, dense)
{
	unsigned int round, part, i;
	struct mapping mapping;

	for (round = 0; round < DENSE_ROUNDS; round++) {
		for (i = 0; i < DENSE; i++) {
			mapping = dense_at(i, round);
			ASSERT_EQ(0, mappings_add(self->mappings, &mapping));
		}
		for (i = 0; i < 2 * DENSE; i++)
			expect_dense(_metadata, self, i % DENSE, round, true);
		for (part = 0; part < 3; part++) {
			for (i = part; i < DENSE; i += 3)
				ASSERT_EQ(0, mappings_remove(self->mappings, (i + 1) * PAGE, NULL));
			for (i = 0; i < DENSE; i++)
				expect_dense(_metadata, self, i, round, i % 3 > part);
		}
	}
}

struct waiting {
	struct tree *tree;
	bool found;
};

static void *find_one(void *data)
{
	struct waiting *waiting = data;
	struct entry entry;

	waiting->found = tree_find(waiting->tree, PAGE, &entry);
	return NULL;
}

/* A writer that is stopped in the middle: who waits for it lets others run, and it. */
TEST(stopped_writer)
{
	struct entry entry = { PAGE, 2 * PAGE - 1, 0, 0, NULL };
	struct tree *tree = aligned_alloc(CACHE_LINE, sizeof(*tree));
	struct waiting waiting = { tree, false };
	struct nodes nodes = { NULL };
	struct timespec used;
	pthread_t thread;
	clockid_t clock;

	memset(tree, 0, sizeof(*tree));
	ASSERT_EQ(0, tree_init(tree, &nodes, true));
	ASSERT_EQ(0, nodes_reserve(&nodes, tree_nodes_to_add(tree)));
	tree_add(tree, &nodes, &entry);
	put(tree->sequence, get(tree->sequence) + 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, find_one, &waiting));
	ASSERT_EQ(0, pthread_getcpuclockid(thread, &clock));
	/* By then it would have had far more than 50 ms. */
	usleep(500000);
	ASSERT_EQ(0, clock_gettime(clock, &used));
	EXPECT_EQ(0, used.tv_sec);
	EXPECT_GT(50000000, used.tv_nsec);
	put(tree->sequence, get(tree->sequence) + 1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_TRUE(waiting.found);
	nodes_free(&nodes);
	free(tree);
}

TEST_HARNESS_MAIN
