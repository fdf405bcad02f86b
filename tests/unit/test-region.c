/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/error.h"
#include "ground/region.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const uint8_t bytes[] = { 0, 1, 2, 3, 4, 5, 6, 7 };

static void
test_bounds(void)
{
	static const struct {
		uint64_t offset, size;
		gboolean inside;
	} rows[] = {
		{ 0, 8, TRUE },		  { 8, 0, TRUE },	    { 7, 1, TRUE },
		{ 0, 9, FALSE },	  { 8, 1, FALSE },	    { 9, 0, FALSE },
		{ UINT64_MAX, 2, FALSE }, { 2, UINT64_MAX, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		DpsRegion region = dps_region_over_memory(bytes, sizeof(bytes));
		DpsRegion part = { .fd = 99 };

		g_assert_cmpint(
			dps_region_narrow(&region, rows[i].offset, rows[i].size, &part, &error), ==,
			rows[i].inside);
		if (rows[i].inside) {
			g_assert_no_error(error);
			g_assert_cmpuint(part.size, ==, rows[i].size);
		} else {
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			g_assert_cmpint(part.fd, ==, 99); /* untouched on failure */
		}
	}
}

static void
test_parts_of_parts(void)
{
	DpsRegion whole = dps_region_over_memory(bytes, sizeof(bytes));
	DpsRegion outer, inner;
	uint8_t got[2];

	g_assert_true(dps_region_narrow(&whole, 2, 5, &outer, NULL));
	g_assert_true(dps_region_narrow(&outer, 1, 2, &inner, NULL));
	g_assert_true(dps_region_read(&inner, 0, got, 2, NULL));
	g_assert_cmpmem(got, 2, bytes + 3, 2);
	g_assert_false(dps_region_read(&inner, 1, got, 2, NULL));
}

static void
test_file(void)
{
	g_autofree char *name = NULL;
	g_autoptr(GError) error = NULL;
	int fd = g_file_open_tmp("dps-region-XXXXXX", &name, NULL);
	DpsRegion region, part;
	uint8_t got[4];

	g_assert_cmpint(write(fd, bytes, sizeof(bytes)), ==, sizeof(bytes));
	region = dps_region_over_fd(fd, 2, 100); /* says more than the file has */
	g_assert_true(dps_region_narrow(&region, 2, 50, &part, NULL));
	g_assert_true(dps_region_read(&part, 0, got, 4, NULL));
	g_assert_cmpmem(got, 4, bytes + 4, 4);
	g_assert_false(dps_region_read(&part, 1, got, 4, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);

	close(fd);
	g_unlink(name);
}

static void
test_huge_start(void)
{
	DpsRegion region = dps_region_over_fd(0, UINT64_MAX - 5, UINT64_MAX);

	g_assert_cmpuint(region.start + region.size, <=, INT64_MAX);
}

/* Counts its calls, and fails when it is asked for the byte that data points at. */
typedef struct {
	guint calls;
	uint64_t bad;
} FakeReader;

static gboolean
read_fake(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	FakeReader *fake = data;

	fake->calls++;
	g_assert_cmpuint(offset, <=, sizeof(bytes));
	g_assert_cmpuint(size, <=, sizeof(bytes) - offset);
	if (offset <= fake->bad && fake->bad < offset + size)
		return dps_throw(error, DPS_ERROR_IO, "the fake medium: read");

	memcpy(buffer, bytes + offset, size);
	return TRUE;
}

static void
test_reader(void)
{
	FakeReader fake = { .bad = 6 };
	DpsRegion whole = dps_region_over_reader(read_fake, &fake, sizeof(bytes));
	g_autoptr(GError) error = NULL;
	DpsRegion outer, inner;
	uint8_t got[8];

	g_assert_true(dps_region_read(&whole, 0, got, 6, &error));
	g_assert_cmpmem(got, 6, bytes, 6);

	g_assert_true(dps_region_narrow(&whole, 2, 6, &outer, &error));
	g_assert_true(dps_region_narrow(&outer, 1, 3, &inner, &error));
	g_assert_true(dps_region_read(&inner, 1, got, 2, &error));
	g_assert_cmpmem(got, 2, bytes + 4, 2);
	g_assert_cmpuint(fake.calls, ==, 2);

	/* Nothing to read and nothing inside: the reader hears of neither. */
	g_assert_true(dps_region_read(&inner, 3, got, 0, &error));
	g_assert_no_error(error);
	g_assert_false(dps_region_read(&inner, 2, got, 2, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_cmpuint(fake.calls, ==, 2);

	g_clear_error(&error);
	g_assert_false(dps_region_read(&outer, 4, got, 1, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/region/bounds", test_bounds);
	g_test_add_func("/region/parts-of-parts", test_parts_of_parts);
	g_test_add_func("/region/file", test_file);
	g_test_add_func("/region/reader", test_reader);
	g_test_add_func("/region/huge-start", test_huge_start);
	return g_test_run();
}
