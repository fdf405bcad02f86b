/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/mbr.h"

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
			g_assert_true(dps_mbr_read(&region, found));
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

	g_assert_false(dps_mbr_read(&region, found));
	g_assert_false(dps_mbr_read(&small, found));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mbr/records", test_records);
	g_test_add_func("/mbr/no-table", test_no_table);
	return g_test_run();
}
