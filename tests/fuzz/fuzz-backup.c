/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../unit/make-gpt.h"
#include "decide/backup.h"
#include "fuzz-files.h"
#include "temp-file.h"

/*
 * A backup file, and `undo` with it on a small disk that it may be of.
 *
 * Asserted: what fails says why, and leaves every byte of the disk; what is done changes type,
 * UUID, attributes and name of entries that the file names, the checksums, and nothing else; the
 * same again is refused or nothing to do.
 */
/* Entries' places and sizes, and all that is no table, are as they were. */
static void
check_untouched(const TestDisk *before, const uint8_t *now, const DpsBackup *backup)
{
	const uint64_t array = test_disk_array_sectors(before), last = before->n_sectors - 1;
	const size_t sector = before->sector_size;

	for (size_t at = 0; at < before->size; at++) {
		const uint64_t lba = at / sector;
		const size_t in_array = (lba >= 2 && lba < 2 + array) ? at - 2 * sector
					: (lba >= last - array && lba < last)
						? at - (last - array) * sector
						: SIZE_MAX;
		gboolean is_named = FALSE;

		if (now[at] == before->bytes[at])
			continue;
		if (lba == 1 || lba == last) {
			/* The two checksums. */
			g_assert_true((at % sector >= 16 && at % sector < 20) ||
				      (at % sector >= 88 && at % sector < 92));
			continue;
		}
		g_assert_cmpuint(in_array, !=, SIZE_MAX);
		g_assert_false(in_array % 128 >= 32 && in_array % 128 < 48);
		for (guint i = 0; i < backup->entries->len; i++) {
			const DpsBackupEntry *entry = backup->entries->pdata[i];

			is_named = is_named || entry->change->partition == in_array / 128 + 1;
		}
		g_assert_true(is_named);
	}
}

static gboolean
undo(DpsBackup *backup, guint *n_changes)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = dps_disk_open(fuzz_temp_get_path(), DPS_OPEN_WRITABLE, &error);
	g_autoptr(DpsPlan) plan = NULL;

	g_assert_no_error(error);
	plan = dps_plan_new_from_backup(disk, backup, &error);
	if (!plan) {
		fuzz_check_error(error);
		return FALSE;
	}
	*n_changes = dps_plan_get_changes(plan)->len;
	g_assert_true(dps_plan_apply(plan, "none", &error));
	g_assert_cmpint(dps_plan_get_applied(plan), ==, *n_changes > 0);
	return TRUE;
}

static void
run_undo(DpsBackup *backup)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autofree uint8_t *now = NULL;
	g_autoptr(GError) error = NULL;
	gsize size;
	guint n_changes = 0;
	gboolean ok;

	fuzz_temp_write(fuzz_temp_get_path(), disk.bytes, disk.size);
	ok = undo(backup, &n_changes);
	g_assert_true(g_file_get_contents(fuzz_temp_get_path(), (char **)&now, &size, &error));
	g_assert_cmpuint(size, ==, disk.size);
	if (!ok || n_changes == 0) {
		g_assert_cmpmem(now, disk.size, disk.bytes, disk.size);
	} else {
		check_untouched(&disk, now, backup);
		if (undo(backup, &n_changes))
			g_assert_cmpuint(n_changes, ==, 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBackup) backup = dps_backup_parse(text, size, "backup.json", &error);

	if (!backup) {
		fuzz_check_error(error);
		return 0;
	}
	g_assert_true(g_utf8_validate(dps_backup_get_time(backup), -1, NULL));
	for (guint i = 0; i < backup->entries->len; i++) {
		const DpsBackupEntry *entry = backup->entries->pdata[i];
		DpsChange *back = dps_change_turned_round(entry->change, "as it was");

		g_assert_cmpuint(entry->start, >, 0);
		g_assert_cmpint(dps_change_get_kind(back), ==, dps_change_get_kind(entry->change));
		dps_change_free(back);
	}
	run_undo(backup);
	return 0;
}
