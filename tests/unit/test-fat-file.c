/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fat-esp.h"

static void
test_ranges(void)
{
	/* In one piece, in pieces, backwards. */
	static const guint chains[][6] = {
		{ 10, 11, 12, 13, 14, 15 },
		{ 10, 11, 20, 21, 15, 30 },
		{ 30, 25, 20, 15, 10, 5 },
	};
	const guint32 size = 5 * IMAGE_SECTOR + 100;

	for (guint w = 0; w < G_N_ELEMENTS(widths); w++) {
		for (guint c = 0; c < G_N_ELEMENTS(chains); c++) {
			g_autoptr(Image) image = image_new(widths[w], 40);
			ImageDir root = image_root(image);
			g_autoptr(DpsFatEntry) entry = NULL;
			g_autoptr(DpsFat) fat = NULL;

			/* Read as FAT12 by its count when it says 16: only 12 and 32 are so small.
			 */
			if (widths[w] == 16)
				continue;
			image_add_chain(image, chains[c], 6, size);
			image_add_short(image, &root, "FILE       ", 0x20, chains[c][0], size);
			fat = open_image(image);
			entry = dps_fat_lookup(fat, "file", NULL);

			/* Each from its own beginning, so that backward and forward steps mix. */
			for (guint32 from = 0; from < size; from += 97) {
				g_autoptr(DpsFatFile) file = dps_fat_open_file(fat, entry, NULL);
				DpsRegion region = dps_fat_file_get_region(file);
				guint8 got[600];

				for (guint k = 0; k < 3; k++) {
					guint32 at = k == 1 ? size - 1 - from : from;
					guint32 n = (guint32)MIN(sizeof(got), size - at);

					g_assert_true(dps_region_read(&region, at, got, n, NULL));
					for (guint j = 0; j < n; j++)
						g_assert_cmpuint(got[j], ==, image_content(at + j));
				}
				g_assert_false(dps_region_read(&region, size, got, 1, NULL));
			}
		}
	}
}

/* A FAT32 whose one file has 250 MB in clusters of 4 KiB, made up as it is read. */
typedef struct {
	guint8 boot[IMAGE_SECTOR];
	guint64 fat, data;
	guint64 n_bytes; /* that were asked for */
	guint n_reads;
} Large;

static gboolean
read_large(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	Large *large = data;
	guint8 *to = buffer;

	large->n_bytes += size;
	large->n_reads++;
	for (gsize i = 0; i < size; i++) {
		guint64 at = offset + i;
		guint8 entry[4];

		to[i] = 0;
		if (at < IMAGE_SECTOR) {
			to[i] = large->boot[at];
		} else if (at >= large->fat && at < large->data) {
			guint32 cluster = (guint32)((at - large->fat) / 4);

			dps_store_le32(entry, cluster + 1);
			to[i] = entry[at % 4];
		} else if (at >= large->data + 4096) {
			to[i] = image_content(at - large->data - 4096);
		}
	}
	return TRUE;
}

static void
test_large_file_costs_little(void)
{
	const guint32 size = 250000000, n_clusters = 70000, fat_sectors = 600;
	g_autoptr(Image) image = image_new(32, 8);
	Large large = { .fat = 8 * IMAGE_SECTOR };
	DpsFatEntry entry = { .name = (char *)"UKI.EFI", .cluster = 3, .size = size };
	DpsRegion region, bytes;
	g_autoptr(DpsFat) fat = NULL;
	g_autoptr(DpsFatFile) file = NULL;
	guint8 got[1024];

	memcpy(large.boot, image->bytes, IMAGE_SECTOR);
	large.boot[13] = 8;
	large.boot[16] = 1;
	dps_store_le32(large.boot + 36, fat_sectors);
	dps_store_le32(large.boot + 48, 0); /* no FSInfo, no backup */
	dps_store_le32(large.boot + 32, 8 + fat_sectors + n_clusters * 8);
	large.data = (8 + fat_sectors) * IMAGE_SECTOR;

	region =
		dps_region_over_reader(read_large, &large, large.data + (guint64)n_clusters * 4096);
	fat = dps_fat_open(&region, NULL);
	file = dps_fat_open_file(fat, &entry, NULL);
	bytes = dps_fat_file_get_region(file);

	/* The header: one cluster, and not even the FAT. */
	large.n_bytes = large.n_reads = 0;
	g_assert_true(dps_region_read(&bytes, 0, got, sizeof(got), NULL));
	g_assert_cmpuint(got[1000], ==, image_content(1000));
	g_assert_cmpuint(large.n_bytes, ==, sizeof(got));

	/* The end: the chain is followed there once, and 244 KiB of FAT are all that it has. */
	g_assert_true(dps_region_read(&bytes, size - 1024, got, 1024, NULL));
	g_assert_cmpuint(got[1023], ==, image_content(size - 1));
	g_assert_cmpuint(large.n_bytes, <, 260000);

	/* And then all places are known. */
	large.n_bytes = 0;
	g_assert_true(dps_region_read(&bytes, size / 2, got, 1024, NULL));
	g_assert_cmpuint(large.n_bytes, ==, 1024);

	/* Clusters that lie together are one read. */
	g_autofree guint8 *much = g_malloc(1 << 20);
	large.n_reads = 0;
	g_assert_true(dps_region_read(&bytes, 4096, much, 1 << 20, NULL));
	g_assert_cmpuint(large.n_reads, ==, 1);
}

static void
test_chains_that_lead_nowhere(void)
{
	static const struct {
		const char *what;
		guint32 value; /* of the second of three clusters */
		const char *message;
	} rows[] = {
		{ "free", 0, "marked as free" },
		{ "bad", 0x0FFFFFF7, "marked as bad" },
		{ "outside", 1000, "outside of the file system" },
		{ "reserved", 1, "outside of the file system" },
		{ "short", 0x0FFFFFFF, "the chain ends here" },
	};

	for (guint w = 0; w < 3; w += 2) {
		for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
			g_autoptr(Image) image = image_new(widths[w], 40);
			ImageDir root = image_root(image);
			guint first = image_add_file(image, &root, NULL, "FILE       ", 1500);
			g_autoptr(DpsFat) fat = open_image(image);
			g_autoptr(DpsFatEntry) entry = dps_fat_lookup(fat, "FILE", NULL);
			g_autoptr(DpsFatFile) file = dps_fat_open_file(fat, entry, NULL);
			DpsRegion region = dps_fat_file_get_region(file);
			g_autoptr(GError) error = NULL;
			guint8 got[1500];

			image_set(image, first + 1, rows[i].value);
			g_assert_true(dps_region_read(&region, 0, got, 1024, &error));
			g_assert_false(dps_region_read(&region, 0, got, 1500, &error));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			g_assert_nonnull(strstr(error->message, rows[i].message));
		}
	}
}

static void
test_impossible_files(void)
{
	static const DpsFatEntry rows[] = {
		{ .name = (char *)"outside", .cluster = 42, .size = 1 },
		{ .name = (char *)"nowhere", .cluster = 0, .size = 1 },
		{ .name = (char *)"huge", .cluster = 2, .size = 40 * IMAGE_SECTOR + 1 },
	};
	static const DpsFatEntry directory = { .name = (char *)"d", .attributes = 0x10 };
	g_autoptr(Image) image = image_new(12, 40);
	g_autoptr(DpsFat) fat = open_image(image);
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_clear_error(&error);
		g_assert_null(dps_fat_open_file(fat, &rows[i], &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	}
	g_clear_error(&error);
	g_assert_null(dps_fat_open_file(fat, &directory, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
	g_clear_error(&error);
	g_assert_null(dps_fat_list(fat, &rows[0], &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);

	/* Not the root once more: that would be a circle. */
	g_clear_error(&error);
	g_assert_null(dps_fat_list(fat, &directory, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fat-file/ranges", test_ranges);
	g_test_add_func("/fat-file/large-file-costs-little", test_large_file_costs_little);
	g_test_add_func("/fat-file/chains-that-lead-nowhere", test_chains_that_lead_nowhere);
	g_test_add_func("/fat-file/impossible-files", test_impossible_files);
	return g_test_run();
}
