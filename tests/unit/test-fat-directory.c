/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fat-esp.h"
#include "failing-region.h"

/* How a name is written, and what comes of it. */
static void
test_names(void)
{
	enum { GOOD, NO_LONG, BAD_CHECKSUM, BAD_ORDER, ORPHAN, DELETED, EXCHANGED, ANOTHERS };
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
		{ "a name that has three parts of it", 0, EXCHANGED, "ANAMET~1   ", 0, "ANAMET~1",
		  "ANAMET~1", FALSE },
		{ "a name that has three parts of it", 0, ANOTHERS, "ANAMET~1   ", 0, "ANAMET~1",
		  "ANAMET~1", FALSE },
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
		if (rows[i].how == EXCHANGED) {
			image->bytes[start + 32] = 1;
			image->bytes[start + 64] = 2;
		}
		if (rows[i].how == ANOTHERS)
			image->bytes[start + 32 + 13]++;
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

/* Each directory is read once, however many names are asked for. */
static void
test_reads(void)
{
	g_autoptr(Image) image = image_new(12, 40);
	ImageDir root = image_root(image), directory = image_add_dir(image, &root, "D          ");
	FailingRegion counted = { .first = G_MAXUINT };
	g_autoptr(DpsFat) fat = NULL;
	DpsRegion region;
	guint n_reads = 0;

	image_add_file(image, &directory, "a long name", "ALONGN~1   ", 0);
	counted.below = dps_region_over_memory(image->bytes, image->size);
	region = dps_region_over_reader(failing_region_read, &counted, image->size);
	fat = dps_fat_open(&region, NULL);
	for (guint i = 0; i < 1000; i++) {
		g_autoptr(DpsFatEntry) found = dps_fat_lookup(fat, "/d/a LONG name", NULL);
		g_autoptr(DpsFatEntry) same = dps_fat_lookup(fat, "/d/alongn~1", NULL);
		g_autoptr(DpsFatEntry) missing = dps_fat_lookup(fat, "/d/b", NULL);
		g_autoptr(DpsFatEntry) top = dps_fat_lookup(fat, "/d", NULL);
		g_autoptr(GPtrArray) names = dps_fat_list(fat, top, NULL);

		g_assert_cmpstr(found->name, ==, "a long name");
		g_assert_cmpstr(same->name, ==, "a long name");
		g_assert_null(missing);
		g_assert_cmpuint(names->len, ==, 1);
		if (i == 0)
			n_reads = counted.n_reads;
	}
	g_assert_cmpuint(counted.n_reads, ==, n_reads);
}

/* Directories that lead into one another's clusters are read so often, and no more. */
static void
test_shared_clusters(void)
{
	g_autoptr(Image) image = image_new(12, 40);
	g_autoptr(DpsFat) fat = NULL;
	guint n_looped = 0, n_refused = 0;

	for (guint i = 2; i < 42; i++) {
		image_set(image, i, i < 41 ? i + 1 : 2);
		memset(image->bytes + image_cluster(image, i), 0xE5, IMAGE_SECTOR);
	}
	fat = open_image(image);
	for (guint i = 2; i < 42; i++) {
		DpsFatEntry directory = { .name = (char *)"d",
					  .attributes = DPS_FAT_ATTRIBUTE_DIRECTORY,
					  .cluster = i };
		g_autoptr(GError) error = NULL;

		g_assert_null(dps_fat_list(fat, &directory, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		n_looped += strstr(error->message, "loop") != NULL;
		n_refused += strstr(error->message, "share") != NULL;
	}
	g_assert_cmpuint(n_looped, >=, 32);
	g_assert_cmpuint(n_refused, >, 0);
	g_assert_cmpuint(n_looped + n_refused, ==, 40);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fat-directory/names", test_names);
	g_test_add_func("/fat-directory/longest-name", test_longest_name);
	g_test_add_func("/fat-directory/lookup", test_lookup);
	g_test_add_func("/fat-directory/too-deep", test_too_deep);
	g_test_add_func("/fat-directory/looped", test_looped_directory);
	g_test_add_func("/fat-directory/root-nowhere", test_root_of_fat32_nowhere);
	g_test_add_func("/fat-directory/reads", test_reads);
	g_test_add_func("/fat-directory/shared-clusters", test_shared_clusters);
	return g_test_run();
}
