/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "btrfs-image.h"
#include "failing-region.h"
#include "ground/bytes.h"
#include "target/btrfs-files.h"

#include <string.h>

/* What reading the file gives: its bytes, or NULL and an error. */
static char *
read_file(const BtrfsImage *image, const char *path, size_t *size, GError **error)
{
	DpsRegion region = btrfs_image_region(image);
	g_autoptr(DpsFiles) files = dps_btrfs_open_files(&region, 0, error);

	return files ? dps_files_read(files, path, 1 << 20, size, error) : NULL;
}

static void
test_whole(void)
{
	BtrfsImage image = { .default_id = 257 };
	g_autoptr(DpsFiles) files = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) list = NULL;
	g_autoptr(GBytes) value = NULL;
	g_autofree char *bytes = NULL;
	const DpsFileInfo *info;
	DpsRegion region;
	size_t size;

	btrfs_image_make(&image);
	bytes = read_file(&image, "/file", &size, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(size, ==, BTRFS_IMAGE_FILE_SIZE);
	for (size_t i = 0; i < size; i++)
		g_assert_cmpint(bytes[i], ==, i < 4096 ? 0 : 'x');

	region = btrfs_image_region(&image);
	files = dps_btrfs_open_files(&region, 256, &error);
	g_assert_no_error(error);
	list = dps_files_list(files, "/", &error);
	g_assert_no_error(error);
	g_assert_cmpuint(list->len, ==, 1);
	info = g_ptr_array_index(list, 0);
	g_assert_cmpstr(info->name, ==, "file");
	g_assert_cmpint(info->kind, ==, DPS_FILE_REGULAR);
	g_assert_cmpuint(info->size, ==, BTRFS_IMAGE_FILE_SIZE);
	g_assert_cmpuint(info->mode, ==, 0644);

	g_assert_true(dps_files_get_attribute(files, "/file", "user.x", &value, &error));
	g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), "user.x", 6);
	g_clear_pointer(&value, g_bytes_unref);
	g_assert_true(dps_files_get_attribute(files, "/file", "user.y", &value, &error));
	g_assert_null(value);
	g_assert_null(dps_files_get_note(files));
	btrfs_image_clear(&image);
}

static void
test_not_there(void)
{
	static const struct {
		const char *path;
		int code;
	} rows[] = {
		{ "/none", DPS_ERROR_NOT_FOUND },
		{ "/file/below", DPS_ERROR_NOT_FOUND },
		{ "/d/none", DPS_ERROR_NOT_FOUND },
		{ "/", DPS_ERROR_INVALID },
	};
	BtrfsImage image = { 0 };
	DpsRegion region;
	g_autoptr(GError) error = NULL;

	btrfs_image_make(&image);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) local = NULL;

		g_assert_null(read_file(&image, rows[i].path, NULL, &local));
		g_assert_error(local, DPS_ERROR, rows[i].code);
	}
	region = btrfs_image_region(&image);
	g_assert_null(dps_btrfs_open_files(&region, 4711, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	btrfs_image_clear(&image);
}

/* What would lead out of its directory when somebody puts a path together with it. */
static void
test_names_that_none_can_have(void)
{
	static const struct {
		const char *name; /* four bytes */
		size_t size;
	} rows[] = { { "fi/e", 4 }, { "/ile", 4 }, { "fil/", 4 }, { "file", 0 } };

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		BtrfsImage image = { 0 };
		g_autoptr(DpsFiles) files = NULL;
		g_autoptr(GError) error = NULL;
		DpsRegion region;
		uint8_t *entry;

		g_test_message("%s, %zu", rows[i].name, rows[i].size);
		btrfs_image_make(&image);
		entry = btrfs_image_find(&image, image.tops[0], 256, DPS_BTRFS_DIR_INDEX);
		entry[25] = (uint8_t)(4 - rows[i].size); /* the rest is data */
		entry[27] = (uint8_t)rows[i].size;
		memcpy(entry + 30, rows[i].name, 4);
		btrfs_image_sum_leaf(&image, image.tops);

		region = btrfs_image_region(&image);
		files = dps_btrfs_open_files(&region, 0, &error);
		g_assert_no_error(error);
		g_assert_null(dps_files_list(files, "/", &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		g_assert_nonnull(strstr(error->message, "no file can have"));
		btrfs_image_clear(&image);
	}
}

/* Extents that must fail: what to store where in the item. */
static const struct {
	const char *name;
	size_t at;
	guint bits;
	uint64_t value;
	int code;
	const char *words;
} bad_extents[] = {
	{ "type", 20, 8, 3, DPS_ERROR_CORRUPT, "type 3" },
	{ "encrypted", 17, 8, 1, DPS_ERROR_UNSUPPORTED, "encrypted" },
	{ "encoded", 18, 8, 1, DPS_ERROR_UNSUPPORTED, "encrypted" },
	{ "compression", 16, 8, 9, DPS_ERROR_UNSUPPORTED, "compression 9" },
	{ "lzo", 16, 8, 2, DPS_ERROR_UNSUPPORTED, "lzo" },
	{ "zlib", 16, 8, 1, HAVE_ZLIB ? DPS_ERROR_CORRUPT : DPS_ERROR_UNSUPPORTED, "zlib" },
	{ "zstd", 16, 8, 3, HAVE_ZSTD ? DPS_ERROR_CORRUPT : DPS_ERROR_UNSUPPORTED, "zstd" },
	{ "nothing", 45, 64, 0, DPS_ERROR_CORRUPT, "0 bytes" },
	{ "endless", 45, 64, UINT64_MAX, DPS_ERROR_CORRUPT, "bytes at" },
	{ "longer", 45, 64, 4097, DPS_ERROR_CORRUPT, "4097 bytes" },
	{ "shifted", 37, 64, 1, DPS_ERROR_CORRUPT, "at 1 of 4096" },
	{ "behind", 37, 64, UINT64_MAX, DPS_ERROR_CORRUPT, "bytes at" },
	{ "outside", 21, 64, UINT64_C(1) << 60, DPS_ERROR_CORRUPT, "in no chunk" },
	{ "over-the-end", 21, 64, 0x17ff800, DPS_ERROR_CORRUPT, "crosses" },
	{ "wraps", 21, 64, UINT64_MAX, DPS_ERROR_CORRUPT, "" },
};

static void
test_bad_extents(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(bad_extents); i++) {
		BtrfsImage image = { 0 };
		g_autoptr(GError) error = NULL;
		uint8_t *extent;

		g_test_message("%s", bad_extents[i].name);
		btrfs_image_make(&image);
		extent = btrfs_image_find(&image, image.tops[0], 258, DPS_BTRFS_EXTENT_DATA);
		for (guint j = 0; j < bad_extents[i].bits / 8; j++)
			extent[bad_extents[i].at + j] = (uint8_t)(bad_extents[i].value >> 8 * j);
		btrfs_image_sum_leaf(&image, image.tops);
		g_assert_null(read_file(&image, "/file", NULL, &error));
		g_assert_error(error, DPS_ERROR, bad_extents[i].code);
		g_assert_nonnull(strstr(error->message, bad_extents[i].words));
		btrfs_image_clear(&image);
	}
}

/* A compressed extent says how large it is: that is never believed beyond what btrfs writes. */
static void
test_compressed_sizes(void)
{
	static const size_t places[] = { 8, 29 }; /* decompressed, compressed */

	for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
		BtrfsImage image = { 0 };
		g_autoptr(GError) error = NULL;
		uint8_t *extent;

		btrfs_image_make(&image);
		extent = btrfs_image_find(&image, image.tops[0], 258, DPS_BTRFS_EXTENT_DATA);
		extent[16] = 3;
		dps_store_le64(extent + places[i], UINT64_C(1) << 40);
		btrfs_image_sum_leaf(&image, image.tops);
		g_assert_null(read_file(&image, "/file", NULL, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		g_assert_nonnull(strstr(error->message, "1099511627776"));
		btrfs_image_clear(&image);
	}
}

/* Whatever the bytes of the tree are, it ends, and nothing outside of them is read. */
static void
test_random_bytes(void)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(30);
	BtrfsImage image = { .node_size = 4096 };
	uint8_t saved[4096];

	btrfs_image_make(&image);
	memcpy(saved, image.bytes + image.tops[0], sizeof(saved));
	for (guint i = 0; i < 3000; i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *bytes = NULL;
		guint n = (guint)g_rand_int_range(random, 1, 6);

		while (n-- > 0) {
			/* The items, or their data at the end. */
			int at = g_rand_boolean(random) ? g_rand_int_range(random, 80, 330)
							: g_rand_int_range(random, 3400, 4096);

			image.bytes[image.tops[0] + (uint64_t)at] = (uint8_t)g_rand_int(random);
		}
		btrfs_image_sum_leaf(&image, image.tops);
		bytes = read_file(&image, "/file", NULL, &error);
		g_assert_true((bytes == NULL) == (error != NULL));
		memcpy(image.bytes + image.tops[0], saved, sizeof(saved));
	}
	btrfs_image_clear(&image);
}

/* Everything that files of a btrfs are asked for. */
static gboolean
ask_all(const DpsRegion *region, GError **error)
{
	g_autoptr(DpsFiles) files = dps_btrfs_open_files(region, 256, error);
	g_autoptr(GPtrArray) list = NULL;
	g_autoptr(GBytes) value = NULL;
	g_autofree char *bytes = NULL;
	DpsFileInfo *info;
	size_t size;

	if (!files)
		return FALSE;
	list = dps_files_list(files, "/", error);
	if (!list || !dps_files_lookup(files, "/file", &info, error))
		return FALSE;
	dps_file_info_free(info);
	if (!dps_files_get_attribute(files, "/file", "user.x", &value, error))
		return FALSE;
	bytes = dps_files_read(files, "/file", 1 << 20, &size, error);
	return bytes != NULL;
}

static void
test_broken_medium(void)
{
	BtrfsImage image = { 0 };
	DpsRegion region;

	btrfs_image_make(&image);
	region = btrfs_image_region(&image);
	failing_region_try_each(&region, ask_all);
	btrfs_image_clear(&image);
}

/* What is asked of a file and is of another kind of file. */
static void
test_other_kinds(void)
{
	BtrfsImage image = { 0 };
	g_autoptr(DpsFiles) files = NULL;
	g_autoptr(GError) error = NULL;
	DpsRegion region;
	uint64_t n;

	btrfs_image_make(&image);
	region = btrfs_image_region(&image);
	files = dps_btrfs_open_files(&region, 256, &error);
	g_assert_no_error(error);
	g_assert_null(dps_files_list(files, "/file", &error));
	g_assert_nonnull(error);
	g_clear_error(&error);
	g_assert_false(dps_files_get_space(files, &n, &n, &n, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	btrfs_image_clear(&image);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/btrfs-file/broken-medium", test_broken_medium);
	g_test_add_func("/btrfs-file/other-kinds", test_other_kinds);
	g_test_add_func("/btrfs-file/whole", test_whole);
	g_test_add_func("/btrfs-file/not-there", test_not_there);
	g_test_add_func("/btrfs-file/names-that-none-can-have", test_names_that_none_can_have);
	g_test_add_func("/btrfs-file/bad-extents", test_bad_extents);
	g_test_add_func("/btrfs-file/compressed-sizes", test_compressed_sizes);
	g_test_add_func("/btrfs-file/random-bytes", test_random_bytes);
	return g_test_run();
}
