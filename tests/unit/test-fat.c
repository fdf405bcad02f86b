/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fat-esp.h"

static void
test_geometry(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(widths); i++) {
		g_autoptr(Image) image = make_esp(widths[i]);
		g_autoptr(DpsFat) fat = open_image(image);
		const DpsFatGeometry *geo = dps_fat_get_geometry(fat);

		g_assert_cmpuint(geo->width, ==, widths[i]);
		/* So few clusters are no FAT32, whatever the boot sector says. */
		g_assert_cmpuint(geo->width_by_count, ==, widths[i] == 16 ? 16 : 12);
		g_assert_cmpuint(geo->sector_size, ==, 512);
		g_assert_cmpuint(geo->cluster_size, ==, 512);
		g_assert_cmpuint(geo->n_clusters, ==, image->n_clusters);
		g_assert_cmpuint(geo->n_clusters_usable, ==, image->n_clusters);
		g_assert_cmpuint(geo->data_offset, ==, image->data);
		g_assert_cmpuint(geo->size, ==, image->size);
		g_assert_cmphex(geo->serial, ==, 0xC0FFEE01);
		g_assert_cmpstr(geo->boot_label, ==, "TEST");
		g_assert_cmpint(geo->has_fs_info, ==, widths[i] == 32);
		g_assert_false(geo->is_backup_different);
	}
}

/* The numbers that the width hangs on, with nothing behind the boot sector but its word. */
static void
test_width(void)
{
	static const struct {
		guint32 n_clusters;
		gboolean claims_fat32;
		guint width, by_count;
	} rows[] = {
		{ 1, FALSE, 12, 12 },	  { 4084, FALSE, 12, 12 },  { 4085, FALSE, 16, 16 },
		{ 65524, FALSE, 16, 16 }, { 65525, FALSE, 16, 32 }, { 4084, TRUE, 32, 12 },
		{ 65524, TRUE, 32, 16 },  { 65525, TRUE, 32, 32 },  { 1 << 28, TRUE, 32, 32 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(Image) image = image_new(rows[i].claims_fat32 ? 32 : 12, 8);
		DpsRegion region = dps_region_over_memory(image->bytes, image->size);
		guint first = (guint)(image->data / IMAGE_SECTOR);
		g_autoptr(GError) error = NULL;
		DpsFatGeometry geo;

		dps_store_le32(image->bytes + 32, first + rows[i].n_clusters);
		g_assert_true(dps_fat_read_geometry(&region, &geo, &error));
		g_assert_no_error(error);
		g_assert_cmpuint(geo.n_clusters, ==, rows[i].n_clusters);
		g_assert_cmpuint(geo.width, ==, rows[i].width);
		g_assert_cmpuint(geo.width_by_count, ==, rows[i].by_count);
		/* The word of the boot sector does not size anything: the region does. */
		g_assert_cmpuint(geo.n_clusters_usable, ==, MIN(rows[i].n_clusters, 8));
	}
}

/* Clusters that the table has no entries for cannot be used. */
static void
test_short_table(void)
{
	g_autoptr(Image) image = image_new(12, 1000);
	DpsRegion region = dps_region_over_memory(image->bytes, image->size);
	DpsFatGeometry geo;

	image_store16(image->bytes + 22, 1);
	g_assert_true(dps_fat_read_geometry(&region, &geo, NULL));
	g_assert_cmpuint(geo.n_clusters, >=, 1000);
	g_assert_cmpuint(geo.n_clusters_usable, ==, IMAGE_SECTOR * 8 / 12 - 2);
}

static void
test_bad_boot_sector(void)
{
	static const struct {
		const char *name;
		guint width;
		gsize at;
		const char *bytes;
		gsize size;
		int code;
		const char *message;
	} rows[] = {
		{ "signature", 12, 511, "\x00", 1, DPS_ERROR_UNSUPPORTED, "no 55 aa signature" },
		{ "sector size", 12, 11, "\x00\x03", 2, DPS_ERROR_UNSUPPORTED, "sector size 768" },
		{ "sector size", 12, 11, "\x00\x01", 2, DPS_ERROR_UNSUPPORTED, "sector size 256" },
		{ "sector size", 12, 11, "\x00\x20", 2, DPS_ERROR_UNSUPPORTED, "sector size 8192" },
		{ "cluster", 12, 13, "\x00", 1, DPS_ERROR_UNSUPPORTED, "0 sectors per cluster" },
		{ "cluster", 12, 13, "\x03", 1, DPS_ERROR_UNSUPPORTED, "3 sectors per cluster" },
		{ "reserved", 12, 14, "\x00\x00", 2, DPS_ERROR_UNSUPPORTED, "no reserved sectors" },
		{ "no FAT", 12, 16, "\x00", 1, DPS_ERROR_UNSUPPORTED, "no FATs" },
		{ "media", 12, 21, "\x12", 1, DPS_ERROR_UNSUPPORTED, "media byte 0x12" },
		{ "FAT size", 32, 36, "\x00\x00\x00\x00", 4, DPS_ERROR_CORRUPT, "no sectors" },
		{ "FAT size", 32, 36, "\xff\xff\xff\xff", 4, DPS_ERROR_CORRUPT, "no room" },
		{ "size", 12, 32, "\x05\x00\x00\x00", 4, DPS_ERROR_CORRUPT, "no room" },
		{ "cluster", 12, 13, "\x80", 1, DPS_ERROR_CORRUPT, "no room for a cluster" },
		{ "active", 32, 40, "\x82", 1, DPS_ERROR_CORRUPT, "FAT 2 is in use" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(Image) image = image_new(rows[i].width, 40);
		DpsRegion region = dps_region_over_memory(image->bytes, image->size);
		DpsFatGeometry geo = { .width = 99 };
		g_autoptr(GError) error = NULL;

		memcpy(image->bytes + rows[i].at, rows[i].bytes, rows[i].size);
		g_test_message("%s", rows[i].name);
		g_assert_false(dps_fat_read_geometry(&region, &geo, &error));
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, rows[i].message));
		g_assert_cmpuint(geo.width, ==, 99); /* untouched on failure */
	}
}

static void
test_backup_and_state_of_fat32(void)
{
	g_autoptr(Image) image = image_new(32, 40);
	DpsRegion region = dps_region_over_memory(image->bytes, image->size);
	DpsFatGeometry geo;

	image->bytes[65] = 1; /* dirty: only in the first, and no difference that counts */
	g_assert_true(dps_fat_read_geometry(&region, &geo, NULL));
	g_assert_false(geo.is_backup_different);
	g_assert_cmpuint(geo.state, ==, 1);
	image->bytes[6 * IMAGE_SECTOR + 67]++;
	g_assert_true(dps_fat_read_geometry(&region, &geo, NULL));
	g_assert_true(geo.is_backup_different);
	image->bytes[IMAGE_SECTOR + 484]++;
	g_assert_true(dps_fat_read_geometry(&region, &geo, NULL));
	g_assert_false(geo.has_fs_info);
}

static void
test_state(void)
{
	static const struct {
		guint width;
		guint8 byte;
		guint32 entry;
		gboolean is_dirty, has_errors;
		const char *where;
	} rows[] = {
		{ 12, 0, 0xFFF, FALSE, FALSE, NULL },
		{ 12, 1, 0x000, TRUE, FALSE, "boot sector" }, /* its FAT says nothing of it */
		{ 16, 0, 0xFFFF, FALSE, FALSE, NULL },
		{ 16, 0, 0x7FFF, TRUE, FALSE, "FAT" },
		{ 16, 0, 0xBFFF, FALSE, TRUE, "FAT" },
		{ 16, 1, 0x3FFF, TRUE, TRUE, "boot sector and FAT" },
		{ 32, 0, 0x0FFFFFFF, FALSE, FALSE, NULL },
		{ 32, 0, 0xF7FFFFFF, TRUE, FALSE, "FAT" },
		{ 32, 0, 0x0BFFFFFF, FALSE, TRUE, "FAT" },
		{ 32, 3, 0x0FFFFFFF, TRUE, TRUE, "boot sector" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		guint width = rows[i].width;
		g_autoptr(Image) image = image_new(width, width == 16 ? 4085 : 40);
		g_autoptr(DpsFat) fat = NULL;
		DpsFatState state;

		image->bytes[width == 32 ? 65 : 37] = rows[i].byte;
		image_set(image, 1, rows[i].entry);
		fat = open_image(image);
		g_assert_true(dps_fat_read_state(fat, &state, NULL));
		g_assert_cmpint(state.is_dirty, ==, rows[i].is_dirty);
		g_assert_cmpint(state.has_errors, ==, rows[i].has_errors);
		g_assert_cmpstr(state.where, ==, rows[i].where);
	}
}

static void
test_free(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(widths); i++) {
		g_autoptr(Image) image = make_esp(widths[i]);
		g_autoptr(DpsFat) fat = open_image(image);
		guint32 n_free = 0;

		g_assert_true(dps_fat_count_free(fat, &n_free, NULL));
		g_assert_cmpuint(n_free, ==, image->n_clusters - (image->next - 2));
	}
}

/* Lists, reads and checks all that can be reached: must end, and touch nothing outside. */
static void
read_directory(DpsFat *fat, const DpsFatEntry *directory, guint depth)
{
	g_autoptr(GPtrArray) entries = dps_fat_list(fat, directory, NULL);

	for (guint i = 0; entries && i < entries->len && i < 64; i++) {
		const DpsFatEntry *entry = g_ptr_array_index(entries, i);
		g_autoptr(DpsFatFile) file = dps_fat_open_file(fat, entry, NULL);
		guint8 got[IMAGE_SECTOR];

		g_assert_true(g_utf8_validate(entry->name, -1, NULL));
		if (entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY && depth < 4)
			read_directory(fat, entry, depth + 1);
		if (file) {
			DpsRegion region = dps_fat_file_get_region(file);

			for (guint64 at = 0; at < region.size; at += sizeof(got)) {
				gsize n = (gsize)MIN(sizeof(got), region.size - at);

				if (!dps_region_read(&region, at, got, n, NULL))
					break;
			}
		}
	}
}

static gboolean
read_all(const guint8 *bytes, gsize size)
{
	DpsRegion region = dps_region_over_memory(bytes, size);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFat) fat = dps_fat_open(&region, &error);
	g_autoptr(DpsFatEntry) root = NULL;
	g_autoptr(DpsFatEntry) entry = NULL;
	g_autoptr(GPtrArray) problems = NULL;
	DpsFatState state;
	guint32 n_free;

	if (!fat) {
		g_assert_nonnull(error);
		return FALSE;
	}
	root = dps_fat_lookup(fat, "/", NULL);
	read_directory(fat, root, 0);
	entry = dps_fat_lookup(fat, "/efi/boot/bootx64.efi", NULL);
	(void)dps_fat_read_state(fat, &state, NULL);
	(void)dps_fat_count_free(fat, &n_free, NULL);
	problems = dps_fat_check(fat, &error);
	g_assert_true((problems != NULL) == (error == NULL));
	g_assert_true(!problems || problems->len <= DPS_FAT_MAX_PROBLEMS);
	return problems && problems->len == 0;
}

static void
test_cut_short_anywhere(void)
{
	for (guint w = 0; w < 3; w += 2) {
		g_autoptr(Image) image = make_esp(widths[w]);

		g_assert_true(read_all(image->bytes, image->size));
		for (gsize size = 0; size < image->size; size += size < 1024 ? 1 : 37) {
			g_autofree guint8 *copy = g_memdup2(image->bytes, size);
			DpsRegion region = dps_region_over_memory(copy, size);
			g_autoptr(GError) error = NULL;
			DpsFatGeometry geo = { .width = 99 };

			if (size < IMAGE_SECTOR) {
				g_assert_false(dps_fat_read_geometry(&region, &geo, &error));
				g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
				g_assert_cmpuint(geo.width, ==, 99);
			}
			/* Of the last sectors no one has anything: only there it may look sound. */
			if (read_all(copy, size))
				g_assert_cmpuint(size, >=, image_cluster(image, image->next));
		}
	}
}

/* Bytes that matter, changed one by one: boot sector, FAT and directories. */
static void
test_changed_anywhere(void)
{
	for (guint w = 0; w < 3; w += 2) {
		g_autoptr(Image) image = make_esp(widths[w]);
		const gsize end = image_cluster(image, image->next);

		for (gsize at = 0; at < end; at++) {
			static const guint8 values[] = { 0x00, 0xFF, 0x01, 0x80 };
			const guint8 was = image->bytes[at];

			for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
				image->bytes[at] = values[i];
				if (at < IMAGE_SECTOR || values[i] != was)
					(void)read_all(image->bytes, image->size);
			}
			image->bytes[at] = was;
		}
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fat/geometry", test_geometry);
	g_test_add_func("/fat/width", test_width);
	g_test_add_func("/fat/short-table", test_short_table);
	g_test_add_func("/fat/bad-boot-sector", test_bad_boot_sector);
	g_test_add_func("/fat/backup-and-state", test_backup_and_state_of_fat32);
	g_test_add_func("/fat/state", test_state);
	g_test_add_func("/fat/free", test_free);
	g_test_add_func("/fat/cut-short-anywhere", test_cut_short_anywhere);
	g_test_add_func("/fat/changed-anywhere", test_changed_anywhere);
	return g_test_run();
}
