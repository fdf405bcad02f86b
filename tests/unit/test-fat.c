/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fat-image.h"
#include "format/fat-check.h"
#include "format/fat-file.h"
#include "ground/error.h"

static const guint widths[] = { 12, 16, 32 };

/* EFI/BOOT/BOOTX64.EFI, a file with a long name in the root, and an empty one. */
static Image *
make_esp(guint width)
{
	Image *image = image_new(width, width == 16 ? DPS_FAT16_MIN_CLUSTERS : 40);
	ImageDir root = image_root(image), efi, boot;

	image_add_short(image, &root, "THE LABEL  ", 0x08, 0, 0);
	efi = image_add_dir(image, &root, "EFI        ");
	boot = image_add_dir(image, &efi, "BOOT       ");
	image_add_file(image, &boot, NULL, "BOOTX64 EFI", 3000);
	image_add_file(image, &root, "Größe und mehr.conf", "GRE~1   CON", 700);
	image_add_file(image, &root, NULL, "EMPTY      ", 0);
	return image;
}

static DpsFat *
open_image(const Image *image)
{
	DpsRegion region = dps_region_over_memory(image->bytes, image->size);
	g_autoptr(GError) error = NULL;
	DpsFat *fat = dps_fat_open(&region, &error);

	g_assert_no_error(error);
	return fat;
}

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

/* How a name is written, and what comes of it. */
static void
test_names(void)
{
	enum { GOOD, NO_LONG, BAD_CHECKSUM, BAD_ORDER, ORPHAN, DELETED };
	static const struct {
		const char *long_name; /* NULL: none */
		gunichar2 instead;     /* of the first unit of it, when not 0 */
		int how;
		const char *short_name;
		guint8 case_bits;
		const char *name, *alias;
		gboolean damaged;
	} rows[] = {
		{ NULL, 0, GOOD, "README  TXT", 0x00, "README.TXT", "README.TXT", FALSE },
		{ NULL, 0, GOOD, "README  TXT", 0x08, "readme.TXT", "README.TXT", FALSE },
		{ NULL, 0, GOOD, "README  TXT", 0x10, "README.txt", "README.TXT", FALSE },
		{ NULL, 0, GOOD, "README  TXT", 0x18, "readme.txt", "README.TXT", FALSE },
		{ NULL, 0, GOOD, "NOEXT      ", 0x18, "noext", "NOEXT", FALSE },
		{ NULL, 0, GOOD, "A B     C  ", 0, "A B.C", "A B.C", FALSE },
		/* Where the code pages agree: ö, ß; where they do not; and 0xE5 at the front. */
		{ NULL, 0, GOOD,
		  "GR\x99\xE1"
		  "E      ",
		  0x08, "gr\303\266\303\237e", "GR__E", FALSE },
		{ NULL, 0, GOOD, "A\x9D         ", 0, "A\xEF\xBF\xBD", "A_", TRUE },
		{ NULL, 0, GOOD, "\x05PER       ", 0, "\xEF\xBF\xBDPER", "_PER", TRUE },
		{ NULL, 0, GOOD, "\x9Dxx        ", 0, "\xEF\xBF\xBDxx", "_xx", TRUE },
		{ NULL, 0, GOOD, "A/B     C  ", 0,
		  "A\xEF\xBF\xBD"
		  "B.C",
		  "A_B.C", TRUE },
		{ NULL, 0, GOOD, "        .  ", 0, ".\xEF\xBF\xBD", "._", TRUE },
		{ NULL, 0, GOOD, "           ", 0, "\xEF\xBF\xBD", "", TRUE },
		{ "a", 0, GOOD, "A          ", 0, "a", "A", FALSE },
		{ "exactly13char", 0, GOOD, "EXACTL~1   ", 0, "exactly13char", "EXACTL~1", FALSE },
		{ "fourteen chars", 0, GOOD, "FOURTE~1   ", 0, "fourteen chars", "FOURTE~1",
		  FALSE },
		{ "Gr\303\266\303\237e", 0, GOOD, "GRE~1      ", 0, "Gr\303\266\303\237e", "GRE~1",
		  FALSE },
		{ "\360\237\220\247.efi", 0, GOOD, "_~1     EFI", 0, "\360\237\220\247.efi",
		  "_~1.EFI", FALSE },
		{ "xhalf", 0xD800, GOOD, "HALF~1     ", 0, "\xEF\xBF\xBDhalf", "HALF~1", TRUE },
		{ "xhalf", 0xDC00, GOOD, "HALF~1     ", 0, "\xEF\xBF\xBDhalf", "HALF~1", TRUE },
		{ "x..", '/', GOOD, "SLASH~1    ", 0, "\xEF\xBF\xBD..", "SLASH~1", TRUE },
		{ "..", 0, GOOD, "DOTS~1     ", 0, "DOTS~1", "DOTS~1", FALSE },
		{ "long name", 0, BAD_CHECKSUM, "LONGNA~1   ", 0, "LONGNA~1", "LONGNA~1", FALSE },
		{ "two parts of a name", 0, BAD_ORDER, "TWOPAR~1   ", 0, "TWOPAR~1", "TWOPAR~1",
		  FALSE },
		{ "two parts of a name", 0, ORPHAN, "TWOPAR~1   ", 0, "TWOPAR~1", "TWOPAR~1",
		  FALSE },
		{ "two parts of a name", 0, DELETED, "TWOPAR~1   ", 0, "TWOPAR~1", "TWOPAR~1",
		  FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(Image) image = image_new(12, 40);
		ImageDir root = image_root(image);
		gsize start = root.at;
		g_autoptr(DpsFat) fat = open_image(image);
		g_autoptr(DpsFatEntry) top = dps_fat_lookup(fat, "/", NULL);
		g_autoptr(DpsFatEntry) again = NULL;
		g_autoptr(GPtrArray) entries = NULL;
		const DpsFatEntry *entry;

		g_assert_cmpuint(strlen(rows[i].short_name), ==, 11);
		if (rows[i].long_name)
			image_add_name(image, &root, rows[i].long_name, rows[i].short_name);
		if (rows[i].instead)
			image_store16(image->bytes + start + 1, rows[i].instead);
		if (rows[i].how == BAD_CHECKSUM)
			image->bytes[start + 13]++;
		if (rows[i].how == BAD_ORDER)
			image->bytes[start] = 0x43;
		if (rows[i].how == ORPHAN)
			root.at -= 32; /* over the last part */
		if (rows[i].how == DELETED)
			image_slot(image, &root)[0] = 0xE5;
		image_add_short(image, &root, rows[i].short_name, 0x20, 0, 0)[12] =
			rows[i].case_bits;

		entries = dps_fat_list(fat, top, NULL);
		g_assert_cmpuint(entries->len, ==, 1);
		entry = g_ptr_array_index(entries, 0);
		g_assert_cmpstr(entry->name, ==, rows[i].name);
		g_assert_cmpstr(entry->short_name, ==, rows[i].alias);
		g_assert_cmpint(entry->is_name_damaged, ==, rows[i].damaged);
		g_assert_true(g_utf8_validate(entry->name, -1, NULL));
		if (!rows[i].damaged) {
			again = dps_fat_lookup(fat, rows[i].name, NULL);
			g_assert_nonnull(again);
		}
	}
}

/* 255 characters take 20 parts, and the whole of a sector and more: over two clusters. */
static void
test_longest_name(void)
{
	g_autoptr(Image) image = image_new(12, 40);
	g_autofree char *name = g_strnfill(255, 'n');
	ImageDir root = image_root(image);
	g_autoptr(DpsFat) fat = open_image(image);
	g_autoptr(DpsFatEntry) entry = NULL;

	image_add_file(image, &root, name, "NNNNNN~1   ", 5);
	entry = dps_fat_lookup(fat, name, NULL);
	g_assert_nonnull(entry);
	g_assert_cmpuint(entry->size, ==, 5);
}

static void
test_lookup(void)
{
	static const struct {
		const char *path;
		int code; /* 0: it is there */
		const char *name;
	} rows[] = {
		{ "", 0, "" },
		{ "/", 0, "" },
		{ "/EFI/BOOT/BOOTX64.EFI", 0, "BOOTX64.EFI" },
		{ "efi/boot/bootx64.efi", 0, "BOOTX64.EFI" },
		{ "//efi//BooT/", 0, "BOOT" },
		{ "GRÖßE UND MEHR.CONF", 0, "Größe und mehr.conf" },
		{ "gre~1.con", 0, "Größe und mehr.conf" },
		{ "/EFI/BOOT/BOOTX64.EF", DPS_ERROR_NOT_FOUND, NULL },
		{ "/EFI/BOOT/BOOTX64.EFI/x", DPS_ERROR_NOT_FOUND, NULL },
		{ "/EFI/../EFI", DPS_ERROR_NOT_FOUND, NULL },
		{ "/EFI/.", DPS_ERROR_NOT_FOUND, NULL },
		{ "/THE LABEL", DPS_ERROR_NOT_FOUND, NULL },
		{ "\xff", DPS_ERROR_NOT_FOUND, NULL },
	};

	for (guint w = 0; w < G_N_ELEMENTS(widths); w++) {
		g_autoptr(Image) image = make_esp(widths[w]);
		g_autoptr(DpsFat) fat = open_image(image);

		for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
			g_autoptr(GError) error = NULL;
			g_autoptr(DpsFatEntry) entry = dps_fat_lookup(fat, rows[i].path, &error);

			if (rows[i].code == 0) {
				g_assert_no_error(error);
				g_assert_cmpstr(entry->name, ==, rows[i].name);
			} else {
				g_assert_null(entry);
				g_assert_error(error, DPS_ERROR, rows[i].code);
			}
		}
	}
}

/* Far more parts than any path has, through a directory that contains itself. */
static void
test_too_deep(void)
{
	g_autoptr(Image) image = image_new(12, 40);
	ImageDir root = image_root(image), dir = image_add_dir(image, &root, "D          ");
	g_autoptr(DpsFat) fat = open_image(image);
	g_autoptr(GString) path = g_string_new(NULL);
	g_autoptr(DpsFatEntry) entry = NULL;
	g_autoptr(GError) error = NULL;

	image_add_short(image, &dir, "D          ", 0x10, dir.cluster, 0);
	for (guint i = 0; i < DPS_FAT_MAX_DEPTH; i++)
		g_string_append(path, "/d");
	entry = dps_fat_lookup(fat, path->str, &error);
	g_assert_no_error(error);
	g_string_append(path, "/d");
	g_assert_null(dps_fat_lookup(fat, path->str, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

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

/* A directory whose chain is a loop, full to the last slot: reading ends, with an error. */
static void
test_looped_directory(void)
{
	g_autoptr(Image) image = image_new(32, 40);
	ImageDir root = image_root(image);
	g_autoptr(DpsFat) fat = NULL;
	g_autoptr(DpsFatEntry) top = NULL;
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < IMAGE_SECTOR / 32; i++)
		image_add_short(image, &root, "FILE       ", 0x20, 0, 0);
	image_set(image, 2, 2);
	fat = open_image(image);
	top = dps_fat_lookup(fat, "", NULL);
	g_assert_null(dps_fat_list(fat, top, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_nonnull(strstr(error->message, "loop"));
	g_clear_error(&error);
	g_assert_null(dps_fat_lookup(fat, "other", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
}

static void
test_root_of_fat32_nowhere(void)
{
	static const guint32 rows[] = { 0, 1, 42, 0xFFFFFFFF };

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(Image) image = image_new(32, 40);
		g_autoptr(DpsFat) fat = NULL;
		g_autoptr(DpsFatEntry) top = NULL;
		g_autoptr(GError) error = NULL;

		dps_store_le32(image->bytes + 44, rows[i]);
		fat = open_image(image);
		top = dps_fat_lookup(fat, "", NULL);
		g_assert_null(dps_fat_list(fat, top, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	}
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

static void
test_sound(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(widths); i++) {
		g_autoptr(Image) image = make_esp(widths[i]);
		g_autoptr(DpsFat) fat = open_image(image);
		g_autoptr(GError) error = NULL;
		g_autoptr(GPtrArray) problems = dps_fat_check(fat, &error);

		g_assert_no_error(error);
		for (guint k = 0; k < problems->len; k++)
			g_test_message("%s", ((DpsFatProblem *)problems->pdata[k])->message);
		g_assert_cmpuint(problems->len, ==, 0);
	}
}

/* Each fault planted alone is found, where it is, and is all that is found. */
typedef enum {
	COPY,
	MIRROR_OFF,
	LOST,
	CROSS,
	LOOP,
	SELF,
	FREE_IN_CHAIN,
	OUTSIDE,
	TOO_LONG,
	TOO_SHORT,
	NO_CLUSTER,
	CHECKSUM,
	ORPHAN_AT_END,
	CHARACTER,
	TWICE,
	DOT,
	NO_DOTS,
	BAD_DIR,
} Fault;

static void
plant(Image *image, Fault fault)
{
	ImageDir root = image_root(image), dir;
	guint first;

	image_add_file(image, &root, "first file", "FIRSTF~1   ", 1000);
	first = image_add_file(image, &root, NULL, "FILE       ", 1500);
	dir = image_add_dir(image, &root, "DIR        ");
	switch (fault) {
	case COPY:
	case MIRROR_OFF:
		/* Of a cluster that nobody uses, in the second copy alone. */
		image->bytes[image->fat + image->fat_sectors * IMAGE_SECTOR + 30] ^= 0x10;
		if (fault == MIRROR_OFF)
			image->bytes[40] = image->bytes[6 * IMAGE_SECTOR + 40] = 0x80;
		break;
	case LOST:
		image_set(image, 20, 21);
		image_set(image, 21, 0x0FFFFFFF);
		break;
	case CROSS:
		image_add_short(image, &dir, "OTHER      ", 0x20, first, 1500);
		break;
	case LOOP:
		image_set(image, first + 2, first);
		break;
	case SELF:
		image_add_short(image, &dir, "SELF       ", 0x10, dir.cluster, 0);
		break;
	case FREE_IN_CHAIN:
		image_set(image, first + 2, 0);
		break;
	case OUTSIDE:
		image_set(image, first + 2, 1000);
		break;
	case TOO_LONG:
		dps_store_le32(image->bytes + root.at - 64 + 28, 1024);
		break;
	case TOO_SHORT:
		dps_store_le32(image->bytes + root.at - 64 + 28, 1537);
		break;
	case NO_CLUSTER:
		image_add_short(image, &dir, "NOTHING    ", 0x20, 0, 5);
		break;
	case CHECKSUM:
		image->bytes[image_root(image).at + 13] ^= 1;
		break;
	case ORPHAN_AT_END:
		image_add_name(image, &dir, "nobody's", "NOBODY~1   ");
		break;
	case CHARACTER:
		image_add_file(image, &dir, "what?", "WHAT~1     ", 0);
		break;
	case TWICE:
		image_add_file(image, &dir, "Boot.efi", "BOOT~1  EFI", 0);
		image_add_file(image, &dir, "BOOT.EFI", "BOOT~2  EFI", 0);
		break;
	case DOT:
		image_store16(image->bytes + image_cluster(image, dir.cluster) + 26, 9);
		break;
	case NO_DOTS:
		memset(image->bytes + image_cluster(image, dir.cluster), 0, 64);
		break;
	case BAD_DIR:
		image_store16(image->bytes + root.at - 32 + 26, 0);
		image_set(image, dir.cluster, 0);
		break;
	}
}

static void
test_faults(void)
{
	static const struct {
		Fault fault;
		guint width;
		int kind; /* -1: none */
		const char *path, *message;
	} rows[] = {
		{ COPY, 12, DPS_FAT_PROBLEM_COPIES_DIFFER, NULL, "FAT 2 differ" },
		{ COPY, 32, DPS_FAT_PROBLEM_COPIES_DIFFER, NULL, "cluster 7" },
		{ MIRROR_OFF, 32, -1, NULL, NULL },
		{ LOST, 12, DPS_FAT_PROBLEM_LOST, NULL, "2 clusters (1024 bytes)" },
		{ LOST, 32, DPS_FAT_PROBLEM_LOST, NULL, "the first is 20" },
		{ CROSS, 12, DPS_FAT_PROBLEM_CROSS_LINKED, "/DIR/OTHER", "belongs to another" },
		{ LOOP, 12, DPS_FAT_PROBLEM_CROSS_LINKED, "/FILE", "loop" },
		{ LOOP, 32, DPS_FAT_PROBLEM_CROSS_LINKED, "/FILE", "loop" },
		{ SELF, 12, DPS_FAT_PROBLEM_CROSS_LINKED, "/DIR/SELF", "loop" },
		{ FREE_IN_CHAIN, 12, DPS_FAT_PROBLEM_BAD_CHAIN, "/FILE", "marked as free" },
		{ OUTSIDE, 32, DPS_FAT_PROBLEM_BAD_CHAIN, "/FILE", "outside" },
		{ TOO_LONG, 12, DPS_FAT_PROBLEM_SIZE, "/FILE", "1024 bytes are 2 clusters" },
		{ TOO_SHORT, 32, DPS_FAT_PROBLEM_SIZE, "/FILE", "are 4 clusters" },
		{ NO_CLUSTER, 12, DPS_FAT_PROBLEM_SIZE, "/DIR/NOTHING", "has 0" },
		{ CHECKSUM, 12, DPS_FAT_PROBLEM_LONG_NAME, "/FIRSTF~1", "belong to no file" },
		{ ORPHAN_AT_END, 12, DPS_FAT_PROBLEM_LONG_NAME, "/DIR", "ends with parts" },
		{ CHARACTER, 32, DPS_FAT_PROBLEM_NAME, "/DIR/what?", "no name may have" },
		{ TWICE, 12, DPS_FAT_PROBLEM_SAME_NAME, "/DIR/BOOT.EFI", "twice" },
		{ DOT, 12, DPS_FAT_PROBLEM_DIRECTORY, "/DIR", "leads to cluster 9" },
		{ NO_DOTS, 32, DPS_FAT_PROBLEM_DIRECTORY, "/DIR", "does not begin" },
		{ BAD_DIR, 12, DPS_FAT_PROBLEM_BAD_CHAIN, "/DIR", "outside" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(Image) image = image_new(rows[i].width, 40);
		g_autoptr(DpsFat) fat = NULL;
		g_autoptr(GPtrArray) problems = NULL;
		const DpsFatProblem *problem;

		plant(image, rows[i].fault);
		fat = open_image(image);
		problems = dps_fat_check(fat, NULL);
		g_test_message("row %u", i);
		for (guint k = 0; k < problems->len; k++)
			g_test_message("%s", ((DpsFatProblem *)problems->pdata[k])->message);
		g_assert_cmpuint(problems->len, ==, rows[i].kind < 0 ? 0 : 1);
		if (problems->len == 0)
			continue;
		problem = g_ptr_array_index(problems, 0);
		g_assert_cmpint(problem->kind, ==, rows[i].kind);
		g_assert_cmpstr(problem->path, ==, rows[i].path);
		g_assert_nonnull(strstr(problem->message, rows[i].message));
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
	g_test_add_func("/fat/bad-boot-sector", test_bad_boot_sector);
	g_test_add_func("/fat/backup-and-state", test_backup_and_state_of_fat32);
	g_test_add_func("/fat/names", test_names);
	g_test_add_func("/fat/longest-name", test_longest_name);
	g_test_add_func("/fat/lookup", test_lookup);
	g_test_add_func("/fat/too-deep", test_too_deep);
	g_test_add_func("/fat/ranges", test_ranges);
	g_test_add_func("/fat/large-file-costs-little", test_large_file_costs_little);
	g_test_add_func("/fat/chains-that-lead-nowhere", test_chains_that_lead_nowhere);
	g_test_add_func("/fat/impossible-files", test_impossible_files);
	g_test_add_func("/fat/looped-directory", test_looped_directory);
	g_test_add_func("/fat/root-nowhere", test_root_of_fat32_nowhere);
	g_test_add_func("/fat/state", test_state);
	g_test_add_func("/fat/free", test_free);
	g_test_add_func("/fat/sound", test_sound);
	g_test_add_func("/fat/faults", test_faults);
	g_test_add_func("/fat/cut-short-anywhere", test_cut_short_anywhere);
	g_test_add_func("/fat/changed-anywhere", test_changed_anywhere);
	return g_test_run();
}
