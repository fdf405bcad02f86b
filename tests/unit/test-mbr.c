/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/mbr.h"
#include "failing-region.h"

#include <string.h>

#define DISK_SIZE (UINT64_C(64) * 512)

/* One record: status, CHS, type, CHS, first sector, sectors. */
typedef struct {
	const char *name;
	uint8_t record[16];
	uint8_t type;
	uint64_t start, size;
} Case;

/* clang-format off */
static const Case cases[] = {
	{ "linux", { 0x80, 0, 0, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0 }, 0x83, 8 * 512, 4 * 512 },
	{ "to the end", { 0, 0, 0, 0, 0x0c, 0, 0, 0, 60, 0, 0, 0, 4, 0, 0, 0 }, 0x0c, 60 * 512, 4 * 512 },
	{ "unused", { 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0 }, 0, 0, 0 },
	{ "one beyond the end", { 0, 0, 0, 0, 0x83, 0, 0, 0, 60, 0, 0, 0, 5, 0, 0, 0 }, 0, 0, 0 },
	{ "starts at the end", { 0, 0, 0, 0, 0x83, 0, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0 }, 0, 0, 0 },
	{ "largest numbers", { 0, 0, 0, 0, 0x83, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255 }, 0, 0, 0 },
	{ "starts at the table", { 0, 0, 0, 0, 0x83, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0 }, 0, 0, 0 },
};
/* clang-format on */

static void
test_records(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		for (guint slot = 0; slot < DPS_MBR_N_PRIMARY; slot++) {
			g_autofree uint8_t *disk = g_malloc0(DISK_SIZE);
			DpsRegion region = dps_region_over_memory(disk, DISK_SIZE);
			DpsMbrPartition found[DPS_MBR_N_PRIMARY];

			g_test_message("%s in slot %u", cases[i].name, slot);
			memcpy(disk + 446 + slot * 16, cases[i].record, 16);
			disk[510] = 0x55;
			disk[511] = 0xAA;
			g_assert_true(dps_mbr_read_partitions(&region, found));
			for (guint j = 0; j < DPS_MBR_N_PRIMARY; j++) {
				gboolean here = j == slot;

				g_assert_cmpuint(found[j].type, ==, here ? cases[i].type : 0);
				g_assert_cmpuint(found[j].start, ==, here ? cases[i].start : 0);
				g_assert_cmpuint(found[j].size, ==, here ? cases[i].size : 0);
			}
		}
	}
}

static void
test_no_table(void)
{
	uint8_t disk[1024] = { [510] = 0x55 };
	DpsRegion region = dps_region_over_memory(disk, sizeof(disk));
	DpsRegion small = dps_region_over_memory(disk, 511);
	DpsMbrPartition found[DPS_MBR_N_PRIMARY];

	g_assert_false(dps_mbr_read_partitions(&region, found));
	g_assert_false(dps_mbr_read_partitions(&small, found));
}

#define RECORD(status, type, start) status, 0, 0, 0, type, 0, 0, 0, start, 0, 0, 0, 9, 0, 0, 0

static void
test_what_it_is(void)
{
	static const struct {
		const char *name;
		uint8_t records[2 * 16];
		DpsMbr wanted;
	} rows[] = {
		{ "none", { 0 }, { 0 } },
		{ "protective", { RECORD(0, 0xEE, 1) }, { .is_protective = TRUE } },
		{ "in the second",
		  { RECORD(0, 0, 0), RECORD(0, 0xEE, 1) },
		  { .is_protective = TRUE } },
		{ "active",
		  { RECORD(0x80, 0xEE, 1) },
		  { .is_protective = TRUE, .is_marked_active = TRUE } },
		{ "the first of two counts",
		  { RECORD(0, 0xEE, 1), RECORD(0x80, 0xEE, 1) },
		  { .is_protective = TRUE } },
		{ "hybrid",
		  { RECORD(0, 0xEE, 1), RECORD(0x80, 0x0c, 8) },
		  { .is_protective = TRUE, .is_hybrid = TRUE } },
		{ "starts elsewhere", { RECORD(0, 0xEE, 2) }, { .is_table = TRUE } },
		{ "table", { RECORD(0x80, 0x83, 8) }, { .is_table = TRUE } },
		{ "code of a boot sector", { RECORD(0x33, 0x83, 8) }, { 0 } },
		{ "protective, with code",
		  { RECORD(0, 0xEE, 1), RECORD(0x33, 0, 8) },
		  { .is_protective = TRUE } },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		for (guint signature = 0; signature < 2; signature++) {
			const DpsMbr nothing = { 0 };
			uint8_t disk[512] = { [510] = 0x55, [511] = signature ? 0xAA : 0 };
			DpsRegion region = dps_region_over_memory(disk, sizeof(disk));
			DpsMbr mbr;

			g_test_message("%s, signature %u", rows[i].name, signature);
			memcpy(disk + 446, rows[i].records, sizeof(rows[i].records));
			g_assert_true(dps_mbr_read(&region, &mbr, NULL));
			g_assert_cmpmem(&mbr, sizeof(mbr), signature ? &rows[i].wanted : &nothing,
					sizeof(mbr));
		}
	}
}

static void
test_grub(void)
{
	static const struct {
		const char *name, *geom;
		size_t at;
		gboolean wanted;
	} rows[] = {
		{ "GRUB", "Geom", 436, TRUE },
		{ "GRUB", "Geom", 437, FALSE }, /* in the disk's signature */
		{ "GRUB", "", 100, FALSE },
		{ "", "Geom", 100, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t disk[512] = { 0 };
		DpsRegion region = dps_region_over_memory(disk, sizeof(disk));
		DpsMbr mbr;

		memcpy(disk, rows[i].name, strlen(rows[i].name));
		memcpy(disk + rows[i].at, rows[i].geom, strlen(rows[i].geom));
		g_assert_true(dps_mbr_read(&region, &mbr, NULL));
		g_assert_cmpint(mbr.has_grub, ==, rows[i].wanted);
	}
}

static void
test_short_and_unreadable(void)
{
	uint8_t disk[511] = { 0 };
	DpsRegion small = dps_region_over_memory(disk, sizeof(disk));
	FailingRegion failing = { .first = 1, .last = 1 };
	DpsRegion broken = dps_region_over_reader(failing_region_read, &failing, 4096);
	g_autoptr(GError) error = NULL;
	const DpsMbr nothing = { 0 };
	DpsMbr mbr = { .is_hybrid = TRUE };

	g_assert_false(dps_mbr_read(&broken, &mbr, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
	g_assert_true(mbr.is_hybrid); /* untouched */
	g_assert_true(dps_mbr_read(&small, &mbr, NULL));
	g_assert_cmpmem(&mbr, sizeof(mbr), &nothing, sizeof(nothing));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mbr/what-it-is", test_what_it_is);
	g_test_add_func("/mbr/grub", test_grub);
	g_test_add_func("/mbr/short-and-unreadable", test_short_and_unreadable);
	g_test_add_func("/mbr/records", test_records);
	g_test_add_func("/mbr/no-table", test_no_table);
	return g_test_run();
}
