/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-gpt.h"
#include "format/gpt-cutoff.h"
#include "ground/bytes.h"

#include <string.h>

static DpsGpt *
read_table(const TestDisk *disk)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *problem = NULL;
	DpsRegion region = test_disk_region(disk);
	DpsGptPresence presence;
	DpsGpt *gpt = NULL;

	g_assert_true(dps_gpt_read(&region, 0, &presence, &gpt, &problem, &error));
	g_assert_no_error(error);
	return gpt;
}

static void
put_type(uint8_t *entry, const char *uuid)
{
	DpsGuid guid;

	g_assert_true(dps_guid_from_string(uuid, &guid, NULL));
	dps_guid_to_gpt(&guid, entry);
}

#define ROOT_TYPE "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
#define HOME_TYPE "933ac7e1-2eb4-4f13-b844-0e14e2aef915"

static void
put_name(uint8_t *entry, const char *name)
{
	for (gsize i = 0; i < strlen(name); i++)
		entry[56 + 2 * i] = (uint8_t)name[i];
}

/* What becomes of an entry of the backup; those of the primary are 2 root, 4 home without a name.
 */
static void
do_type(uint8_t *entry)
{
	put_type(entry, HOME_TYPE);
}

static void
do_old_type(uint8_t *entry)
{
	memset(entry, 0x55, 16);
}

static void
do_flags(uint8_t *entry)
{
	dps_store_le64(entry + 48,
		       dps_load_le64(entry + 48) ^ UINT64_C(1) << 59 ^ UINT64_C(1) << 63);
}

static void
do_uuid(uint8_t *entry)
{
	memset(entry + 16, 0x99, 16);
}

static void
do_name(uint8_t *entry)
{
	put_name(entry, "home-2");
}

static void
bad_type_bit(uint8_t *entry)
{
	entry[3] ^= 0x10;
}

static void
bad_type_seven(uint8_t *entry)
{
	for (guint i = 0; i < 7; i++)
		entry[i] ^= 0xff;
}

static void
bad_uuid_bit(uint8_t *entry)
{
	entry[20] ^= 1;
}

static void
bad_flag(uint8_t *entry)
{
	entry[48] ^= 2;
}

static void
bad_name(uint8_t *entry)
{
	put_name(entry, "data");
}

static void
bad_first(uint8_t *entry)
{
	entry[32]++;
}

static void
bad_last(uint8_t *entry)
{
	entry[40]++;
}

static void
bad_tail(uint8_t *entry)
{
	entry[200] ^= 1;
}

static void
bad_zeros(uint8_t *entry)
{
	memset(entry, 0, 128);
}

static void
bad_no_type(uint8_t *entry)
{
	memset(entry, 0, 16);
}

static void
test_entries(void)
{
	static const struct {
		const char *name;
		void (*change)(uint8_t *entry);
		guint number;
		gboolean is_ours;
	} rows[] = {
		{ "type", do_type, 2, TRUE },
		{ "any type that it had", do_old_type, 2, TRUE },
		{ "flags", do_flags, 2, TRUE },
		{ "uuid", do_uuid, 2, TRUE },
		{ "name", do_name, 4, TRUE },
		{ "other entry's type", do_type, 1, FALSE },
		{ "type, one bit", bad_type_bit, 2, FALSE },
		{ "type, seven bytes", bad_type_seven, 2, FALSE },
		{ "uuid, one bit", bad_uuid_bit, 2, FALSE },
		{ "a flag of firmware", bad_flag, 2, FALSE },
		{ "another name", bad_name, 4, FALSE },
		{ "the name of another type", do_name, 2, FALSE },
		{ "start", bad_first, 2, FALSE },
		{ "end", bad_last, 2, FALSE },
		{ "behind the entry", bad_tail, 2, FALSE },
		{ "gone", bad_zeros, 2, FALSE },
		{ "gone, and the rest of it is there", bad_no_type, 2, FALSE },
		{ "new", do_type, 3, FALSE },
	};

	for (guint i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 64, 256);
		g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint));
		g_autoptr(DpsGpt) gpt = NULL;
		uint8_t *backup = disk.bytes + (disk.n_sectors - 33) * 512;
		guint row = i / 2;

		for (guint n = 2; n <= 4; n++)
			g_array_append_val(numbers, n);
		for (guint j = 0; j < 2; j++) {
			uint8_t *array = j == 0 ? disk.bytes + 1024 : backup;

			put_type(array + 256, ROOT_TYPE);
			memset(array + 256 + 56, 0, 72);
			put_type(array + 3 * 256, HOME_TYPE);
		}
		test_disk_seal(&disk, 1);
		test_disk_seal(&disk, disk.n_sectors - 1);
		rows[row].change(backup + (size_t)(rows[row].number - 1) * 256);
		/* Behind its header or not yet there: the copies differ, or its checksum is wrong.
		 */
		if (i % 2 == 0)
			test_disk_seal(&disk, disk.n_sectors - 1);
		gpt = read_table(&disk);
		g_test_message("%s", rows[row].name);
		g_assert_true(gpt->primary.good && (!gpt->backup.good || gpt->copies_differ));
		g_assert_cmpint(dps_gpt_backup_is_cut_off(gpt, numbers), ==, rows[row].is_ours);
		/* Of any entry, when they are not known. */
		if (rows[row].number == 1)
			g_assert_true(dps_gpt_backup_is_cut_off(gpt, NULL));
	}
}

static void
test_headers(void)
{
	static const struct {
		const char *name;
		size_t at;	 /* byte of the backup's header that is changed; 0: none */
		gboolean sealed; /* the header's checksum is made true */
		gboolean is_ours;
	} rows[] = {
		{ "whole", 0, TRUE, FALSE }, /* there is nothing to finish */
		{ "checksum of the entries", 88, TRUE, TRUE },
		{ "header", 60, FALSE, FALSE },
		{ "another disk", 60, TRUE, FALSE },
		{ "usable area", 40, TRUE, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;
		uint64_t last = disk.n_sectors - 1;

		if (rows[i].at)
			disk.bytes[last * 512 + rows[i].at] ^= 1;
		if (rows[i].sealed)
			test_disk_seal_header(&disk, last);
		gpt = read_table(&disk);
		g_test_message("%s", rows[i].name);
		g_assert_cmpint(dps_gpt_backup_is_cut_off(gpt, NULL), ==, rows[i].is_ours);
	}
}

/* Tables of other shapes are not each other's copies, whatever their bytes are. */
static void
test_shapes(void)
{
	static const struct {
		uint32_t n_entries, entry_size;
	} of_backup[] = { { 128, 128 }, { 64, 256 } };

	for (guint i = 0; i < G_N_ELEMENTS(of_backup); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(DpsGpt) gpt = NULL;
		uint64_t last = disk.n_sectors - 1;

		dps_store_le32(disk.bytes + 512 + 80, 64);
		dps_store_le32(disk.bytes + last * 512 + 80, of_backup[i].n_entries);
		dps_store_le32(disk.bytes + last * 512 + 84, of_backup[i].entry_size);
		disk.n_entries = 64;
		test_disk_seal(&disk, 1);
		disk.n_entries = of_backup[i].n_entries;
		disk.entry_size = of_backup[i].entry_size;
		test_disk_seal(&disk, last);
		gpt = read_table(&disk);
		g_assert_true(gpt->primary.good && gpt->backup.good && gpt->copies_differ);
		g_assert_false(dps_gpt_backup_is_cut_off(gpt, NULL));
	}
}

/* Of one type that nobody knows another such one: no write of ours. */
static void
test_unknown_types(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;
	uint64_t last = disk.n_sectors - 1;

	memset(disk.bytes + 1024 + 128, 0x51, 16);
	memset(disk.bytes + (last - 32) * 512 + 128, 0xae, 16);
	test_disk_seal(&disk, 1);
	test_disk_seal(&disk, last);
	gpt = read_table(&disk);
	g_assert_true(gpt->copies_differ);
	g_assert_false(dps_gpt_backup_is_cut_off(gpt, NULL));
}

/* The primary looks for it elsewhere, beyond the end: the one in the last sector is not that one.
 */
static void
test_another_place(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;
	uint64_t last = disk.n_sectors - 1;

	disk.bytes[last * 512 + 88] ^= 1;
	test_disk_seal_header(&disk, last);
	gpt = read_table(&disk);
	g_assert_true(dps_gpt_backup_is_cut_off(gpt, NULL));
	g_clear_pointer(&gpt, dps_gpt_free);
	dps_store_le64(disk.bytes + 512 + 32, last + 5);
	test_disk_seal_header(&disk, 1);
	gpt = read_table(&disk);
	g_assert_true(gpt->primary.good && gpt->backup.header_good);
	g_assert_false(dps_gpt_backup_is_cut_off(gpt, NULL));
}

/* Which copy is right cannot be told from a primary that is bad. */
static void
test_bad_primary(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;

	disk.bytes[512 + 60] ^= 1;
	gpt = read_table(&disk);
	g_assert_true(!gpt->primary.good && gpt->backup.good);
	g_assert_false(dps_gpt_backup_is_cut_off(gpt, NULL));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gpt-cutoff/entries", test_entries);
	g_test_add_func("/gpt-cutoff/headers", test_headers);
	g_test_add_func("/gpt-cutoff/shapes", test_shapes);
	g_test_add_func("/gpt-cutoff/unknown-types", test_unknown_types);
	g_test_add_func("/gpt-cutoff/another-place", test_another_place);
	g_test_add_func("/gpt-cutoff/bad-primary", test_bad_primary);
	return g_test_run();
}
