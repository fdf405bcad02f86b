/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "decide/backup.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBackup) backup = dps_backup_parse(text, size, "backup.json", &error);

	if (!backup) {
		fuzz_check_text(error->message);
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
	return 0;
}
