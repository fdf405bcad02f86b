/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-gpt.h"
#include "failing-region.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <string.h>

static DpsGptPresence
read_table(const TestDisk *disk, guint sector_size, DpsGpt **gpt, char **problem)
{
	g_autoptr(GError) error = NULL;
	DpsRegion region = test_disk_region(disk);
	DpsGptPresence presence = 0;

	g_assert_true(dps_gpt_read(&region, sector_size, &presence, gpt, problem, &error));
	g_assert_no_error(error);
	g_assert_true((presence == DPS_GPT_PRESENT) == (*gpt != NULL));
	g_assert_true((presence == DPS_GPT_PRESENT) == (*problem == NULL));
	return presence;
}

static DpsGpt *
read_good(const TestDisk *disk)
{
	g_autofree char *problem = NULL;
	DpsGpt *gpt;

	read_table(disk, 0, &gpt, &problem);
	g_assert_cmpstr(problem, ==, NULL);
	return gpt;
}

static const struct {
	uint32_t sector_size, n_entries, entry_size;
} shapes[] = {
	{ 512, 128, 128 },  { 4096, 128, 128 }, { 512, 4, 128 },   { 512, 56, 128 },
	{ 4096, 56, 128 },  { 512, 128, 256 },	{ 512, 256, 128 }, { 4096, 4, 128 },
	{ 512, 1024, 128 }, { 512, 256, 512 },
};

static void
test_shapes(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_auto(TestDisk) disk = test_disk_new(shapes[i].sector_size, shapes[i].n_entries,
						      shapes[i].entry_size);
		g_autoptr(DpsGpt) gpt = read_good(&disk);
		const DpsGptEntry *entry;

		g_assert_cmpuint(gpt->sector_size, ==, shapes[i].sector_size);
		g_assert_true(gpt->primary.good && gpt->backup.good);
		g_assert_true(gpt->current == &gpt->primary);
		g_assert_cmpint(gpt->state, ==, DPS_GPT_WHOLE);
		g_assert_false(gpt->copies_differ || gpt->backup_misplaced || gpt->mbr.is_hybrid);
		g_assert_cmpuint(gpt->entries->len, ==, 3);
		g_assert_null(dps_gpt_get_entry(gpt, 3));
		g_assert_null(dps_gpt_get_entry(gpt, 0));
		entry = dps_gpt_get_entry(gpt, 2);
		g_assert_cmpstr(entry->name, ==, "root");
		g_assert_cmphex(entry->attributes, ==, UINT64_C(0x8000000000000020));
		g_assert_cmpuint(entry->first_lba, ==, 400);
		g_assert_cmpuint(entry->last_lba, ==, 499);
		g_assert_cmpstr(entry->problem, ==, NULL);
	}
}

/* Where no backup can be none is looked for: the one in the last sector is. */
static void
test_alternate(void)
{
	static const uint64_t named[] = { 0, 1, 2, 2048, UINT64_MAX };

	for (guint i = 0; i < G_N_ELEMENTS(named); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;

		dps_store_le64(disk.bytes + 512 + 32, named[i]);
		test_disk_seal_header(&disk, 1);
		gpt = read_good(&disk);
		g_assert_true(gpt->primary.good && gpt->backup.good);
		g_assert_cmpuint(gpt->backup.header_lba, ==, disk.n_sectors - 1);
	}
}

/* One field of the primary header changed, its checksums right again: the backup is used. */
static void
test_header_rules(void)
{
	static const struct {
		const char *name;
		size_t at, size; /* the field */
		uint64_t to;
		const char *problem;
	} rows[] = {
		{ "size-small", 12, 4, 91, "header size 91" },
		{ "size-large", 12, 4, 513, "header size 513" },
		{ "size-huge", 12, 4, UINT32_MAX, "header size 4294967295" },
		{ "my-lba", 24, 8, 2, "header says it is at sector 2" },
		{ "usable-reversed", 40, 8, 2047, "usable sectors 2047 to 2014" },
		{ "usable-behind-end", 48, 8, 2048,
		  "usable up to sector 2048, and the disk has 2048: cut short, or made for a "
		  "larger "
		  "disk" },
		{ "entry-size-1", 84, 4, 1, "entry size 1" },
		{ "entry-size-64", 84, 4, 64, "entry size 64" },
		{ "entry-size-192", 84, 4, 192, "entry size 192" },
		{ "entry-size-0", 84, 4, 0, "entry size 0" },
		{ "array-large", 84, 4, 2048, "128 entries of 2048 bytes" },
		{ "entry-size-huge", 84, 4, UINT32_C(1) << 31, "128 entries of 2147483648 bytes" },
		{ "entries-0", 80, 4, 0, "0 entries of 128 bytes" },
		{ "entries-1025", 80, 4, 1025, "1025 entries of 128 bytes" },
		{ "entries-huge", 80, 4, UINT32_MAX, "4294967295 entries of 128 bytes" },
		{ "array-over-header", 72, 8, 1, "entries at sector 1" },
		{ "array-in-mbr", 72, 8, 0, "entries at sector 0" },
		{ "array-behind-end", 72, 8, 2040, "entries at sector 2040" },
		{ "array-behind-end-by-one", 72, 8, 2017, "entries at sector 2017" },
		{ "array-wraps", 72, 8, UINT64_MAX - 3, "entries at sector 18446744073709551612" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;
		uint8_t *header = disk.bytes + 512;

		if (rows[i].size == 4)
			dps_store_le32(header + rows[i].at, (uint32_t)rows[i].to);
		else
			dps_store_le64(header + rows[i].at, rows[i].to);
		test_disk_seal_header(&disk, 1);

		gpt = read_good(&disk);
		g_assert_cmpstr(gpt->primary.problem, ==, rows[i].problem);
		g_assert_false(gpt->primary.good);
		g_assert_true(gpt->backup.good);
		g_assert_true(gpt->current == &gpt->backup);
		g_assert_cmpuint(gpt->entries->len, ==, 3);
	}
}

/* Bytes broken here and there: which copy counts, and what is said of the other. */
static void
test_damage(void)
{
	static const struct {
		const char *name;
		uint64_t sectors[3]; /* one byte of each is changed; 0: no more */
		DpsGptPresence presence;
		gboolean primary_good, backup_good;
	} rows[] = {
		{ "primary-header", { 1 }, DPS_GPT_PRESENT, FALSE, TRUE },
		{ "primary-array", { 33 }, DPS_GPT_PRESENT, FALSE, TRUE },
		{ "backup-header", { 2047 }, DPS_GPT_PRESENT, TRUE, FALSE },
		{ "backup-array", { 2015 }, DPS_GPT_PRESENT, TRUE, FALSE },
		{ "both-headers", { 1, 2047 }, DPS_GPT_DAMAGED, FALSE, FALSE },
		{ "both-arrays", { 2, 2015 }, DPS_GPT_DAMAGED, FALSE, FALSE },
		{ "crossed", { 1, 2015 }, DPS_GPT_DAMAGED, FALSE, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;
		g_autofree char *problem = NULL;

		for (guint j = 0; rows[i].sectors[j] != 0; j++)
			disk.bytes[rows[i].sectors[j] * 512 + 60] ^= 0x40;
		g_test_message("%s", rows[i].name);
		g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, rows[i].presence);
		if (!gpt) {
			g_assert_true(g_str_has_prefix(problem, "primary: "));
			continue;
		}
		g_assert_cmpint(gpt->primary.good, ==, rows[i].primary_good);
		g_assert_cmpint(gpt->backup.good, ==, rows[i].backup_good);
		g_assert_cmpuint(gpt->entries->len, ==, 3);
	}
}

static void
test_no_table(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;
	g_autofree char *problem = NULL;
	uint8_t *mbr = disk.bytes;

	/* An MBR table over the remains of a GPT: the GPT is history. */
	mbr[446 + 4] = 0x83;
	g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, DPS_GPT_MBR);
	g_clear_pointer(&problem, g_free);

	/* No MBR at all: the kernel reads no GPT. */
	mbr[510] = 0;
	g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, DPS_GPT_DAMAGED);
	g_assert_nonnull(strstr(problem, "no protective MBR"));
	g_clear_pointer(&problem, g_free);

	/* Only the protective record. */
	mbr[510] = 0x55;
	mbr[446 + 4] = 0xee;
	memset(disk.bytes + 512, 0, disk.size - 512);
	g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, DPS_GPT_MBR);
	g_clear_pointer(&problem, g_free);

	memset(disk.bytes, 0, 512);
	g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, DPS_GPT_NONE);
	g_clear_pointer(&problem, g_free);

	/* Media of every small size, with and without bytes. */
	for (disk.size = 0; disk.size < 3 * 4096; disk.size += 511) {
		g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, DPS_GPT_NONE);
		g_clear_pointer(&problem, g_free);
	}
}

static void
test_cut_short_anywhere(void)
{
	for (uint64_t n = 0; n < 2048; n += 61) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autofree uint8_t *all = disk.bytes;
		g_autoptr(DpsGpt) gpt = NULL;
		g_autofree char *problem = NULL;

		disk.size = n * 512;
		disk.bytes = g_memdup2(all, disk.size); /* so that a sanitizer sees its edge */
		read_table(&disk, 0, &gpt, &problem);
		g_assert_null(gpt);
	}
}

static void
test_sector_size_is_told(void)
{
	g_auto(TestDisk) disk = test_disk_new(4096, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;
	g_autofree char *problem = NULL;

	g_assert_cmpint(read_table(&disk, 512, &gpt, &problem), ==, DPS_GPT_DAMAGED);
	g_assert_nonnull(strstr(problem, "written for sectors of 4096 bytes"));
}

static void
test_odd(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;

	disk.bytes[446 + 16 + 4] = 0x0c;			/* a hybrid MBR */
	dps_store_le64(disk.bytes + 1024 + 128 + 32, 350);	/* 2 begins inside of 1 */
	dps_store_le64(disk.bytes + 1024 + 3 * 128 + 40, 4000); /* 4 ends outside */
	test_disk_seal(&disk, 1);
	test_disk_grow(&disk, 100);

	gpt = read_good(&disk);
	g_assert_true(gpt->mbr.is_hybrid);
	g_assert_true(gpt->copies_differ);
	g_assert_true(gpt->backup_misplaced);
	g_assert_cmpstr(dps_gpt_get_entry(gpt, 1)->problem, ==, "it overlaps partition 2");
	g_assert_cmpstr(dps_gpt_get_entry(gpt, 2)->problem, ==, "it overlaps partition 1");
	g_assert_nonnull(strstr(dps_gpt_get_entry(gpt, 4)->problem, "usable area"));
}

static void
test_names(void)
{
	static const struct {
		const char *name;
		uint16_t units[36];
		const char *text;
	} rows[] = {
		{ "pair", { 0xd83d, 0xdcbe }, "\xf0\x9f\x92\xbe" },
		{ "lone-high",
		  { 'a', 0xd83d, 'b' },
		  "a\xef\xbf\xbd"
		  "b" },
		{ "lone-low",
		  { 0xdcbe, 'b' },
		  "\xef\xbf\xbd"
		  "b" },
		{ "reversed", { 0xdcbe, 0xd83d }, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "full",
		  { 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a',
		    'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a',
		    'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 0xd83d },
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xef\xbf\xbd" },
		{ "hidden-tail", { 'a', 0, 'b' }, "a" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;

		for (guint j = 0; j < 36; j++) {
			disk.bytes[1024 + 56 + 2 * j] = (uint8_t)rows[i].units[j];
			disk.bytes[1024 + 57 + 2 * j] = (uint8_t)(rows[i].units[j] >> 8);
		}
		test_disk_seal(&disk, 1);
		gpt = read_good(&disk);
		g_assert_cmpstr(dps_gpt_get_entry(gpt, 1)->name, ==, rows[i].text);
		g_assert_true(g_utf8_validate(dps_gpt_get_entry(gpt, 1)->name, -1, NULL));
	}
}

/* Any byte of what is read, changed at random: never a crash, and what is read is in bounds. */
static void
test_noise(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (guint i = 0; i < 400; i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 56, 128);
		g_autoptr(DpsGpt) gpt = NULL;
		g_autofree char *problem = NULL;
		guint n = (guint)g_rand_int_range(rand, 1, 6);

		for (guint j = 0; j < n; j++)
			disk.bytes[512 + g_rand_int_range(rand, 8, 96)] =
				(uint8_t)g_rand_int_range(rand, 0, 256);
		test_disk_seal_header(&disk, 1);
		read_table(&disk, 0, &gpt, &problem);
		g_assert_nonnull(gpt); /* the backup is good */
	}
}

/* One field of the backup header changed: the primary is used, and says what the backup is not. */
static void
test_backup_header_rules(void)
{
	static const struct {
		uint64_t entries_lba;
		const char *problem;
	} rows[] = {
		{ 2016, "entries lie over the header" },
		{ 1000, "entries at sector 1000, not behind the usable area" },
		{ 2014, "entries at sector 2014, not behind the usable area" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;

		dps_store_le64(disk.bytes + (size_t)2047 * 512 + 72, rows[i].entries_lba);
		test_disk_seal(&disk, 2047);
		gpt = read_good(&disk);
		g_assert_true(gpt->primary.good);
		g_assert_false(gpt->backup.good);
		g_assert_cmpstr(gpt->backup.problem, ==, rows[i].problem);
	}
}

/* Where the two copies would be written, and why they cannot be. */
static void
test_places(void)
{
	static const struct {
		const char *name;
		uint64_t first_usable, alternate;
		gboolean has_backup;
		const char *primary, *backup; /* NULL: there is a place */
	} rows[] = {
		{ "good", 34, 2047, TRUE, NULL, NULL },
		{ "no-backup", 34, 2047, FALSE, NULL, NULL },
		{ "no-room-in-front", 33, 2047, TRUE,
		  "its entries do not fit between sector 2 and the first usable sector, 33", NULL },
		{ "among-partitions", 34, 1000, FALSE, NULL,
		  "it belongs in sector 1000, inside of the usable area" },
		{ "no-room-behind", 34, 2016, FALSE, NULL,
		  "there is no room for its entries behind the usable area" },
		{ "behind-the-end", 34, 5000, FALSE, NULL,
		  "it belongs in sector 5000, and the disk has 2048" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;

		g_test_message("%s", rows[i].name);
		dps_store_le64(disk.bytes + 512 + 32, rows[i].alternate);
		dps_store_le64(disk.bytes + 512 + 40, rows[i].first_usable);
		test_disk_seal(&disk, 1);
		if (!rows[i].has_backup)
			memset(disk.bytes + (size_t)2047 * 512, 0, 512);
		gpt = read_good(&disk);
		g_assert_true(gpt->primary.good);
		g_assert_cmpint(gpt->backup.good, ==, rows[i].has_backup);
		g_assert_cmpstr(gpt->primary_place.problem, ==, rows[i].primary);
		g_assert_cmpstr(gpt->backup_place.problem, ==, rows[i].backup);
	}
}

/* A boot sector has the signature of an MBR, and code where one has its records. */
static void
test_boot_sector(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;
	g_autofree char *problem = NULL;

	memset(disk.bytes, 0, disk.size);
	memset(disk.bytes + 446, 0x5a, 64);
	disk.bytes[510] = 0x55;
	disk.bytes[511] = 0xaa;
	g_assert_cmpint(read_table(&disk, 0, &gpt, &problem), ==, DPS_GPT_NONE);
}

static gboolean
read_any(const DpsRegion *region, GError **error)
{
	g_autoptr(DpsGpt) gpt = NULL;
	g_autofree char *problem = NULL;
	DpsGptPresence presence;

	return dps_gpt_read(region, 512, &presence, &gpt, &problem, error);
}

static void
test_broken_medium(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	DpsRegion region = test_disk_region(&disk);

	failing_region_try_each(&region, read_any);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gpt/broken-medium", test_broken_medium);
	g_test_add_func("/gpt/backup-header-rules", test_backup_header_rules);
	g_test_add_func("/gpt/places", test_places);
	g_test_add_func("/gpt/boot-sector", test_boot_sector);
	g_test_add_func("/gpt/shapes", test_shapes);
	g_test_add_func("/gpt/alternate", test_alternate);
	g_test_add_func("/gpt/header-rules", test_header_rules);
	g_test_add_func("/gpt/damage", test_damage);
	g_test_add_func("/gpt/no-table", test_no_table);
	g_test_add_func("/gpt/cut-short-anywhere", test_cut_short_anywhere);
	g_test_add_func("/gpt/sector-size-is-told", test_sector_size_is_told);
	g_test_add_func("/gpt/odd", test_odd);
	g_test_add_func("/gpt/names", test_names);
	g_test_add_func("/gpt/noise", test_noise);
	return g_test_run();
}
