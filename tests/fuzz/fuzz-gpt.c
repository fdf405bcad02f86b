/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "../unit/make-gpt.h"
#include "format/gpt-edit.h"

#include <string.h>

/*
 * Checksums hide everything behind them from a fuzzer: the input is a list of changes to a small
 * disk that is right, of five bytes each: where, an offset (two bytes, the low one first), a value,
 * and what to do with it.  The checksums are made true again unless the first byte says otherwise.
 */
#define CHANGE_SIZE 5
#define MAX_CHANGES 64

enum { MBR, PRIMARY_HEADER, PRIMARY_ENTRIES, BACKUP_ENTRIES, BACKUP_HEADER, N_PLACES };

static void
change(TestDisk *disk, uint64_t lba, uint64_t n_sectors, const uint8_t *data)
{
	size_t room = (size_t)n_sectors * disk->sector_size;
	uint8_t *place = disk->bytes + lba * disk->sector_size;
	size_t at = (data[1] | (size_t)data[2] << 8) % room;

	if (data[4] & 1)
		memset(place + at, data[3], MIN(8, room - at));
	else
		place[at] = data[3];
}

static void
check_edits(const TestDisk *disk, GPtrArray *edits)
{
	g_autofree uint8_t *bytes = g_memdup2(disk->bytes, disk->size);

	/* Inside, in order, each on what the one before it left. */
	for (guint i = 0; i < edits->len; i++) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);

		g_assert_cmpuint(edit->size, <=, disk->size);
		g_assert_cmpuint(edit->offset, <=, disk->size - edit->size);
		g_assert_cmpmem(bytes + edit->offset, edit->size, edit->old_bytes, edit->size);
		memcpy(bytes + edit->offset, edit->new_bytes, edit->size);
	}
}

static void
edit_all(const TestDisk *disk, const DpsGpt *gpt)
{
	for (guint i = 0; i <= gpt->entries->len; i++) {
		g_autoptr(GPtrArray) changes =
			g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);
		g_autoptr(GPtrArray) edits = NULL;
		g_autoptr(GError) error = NULL;
		g_autofree char *repairs = NULL;

		if (i > 0) {
			const DpsGptEntry *entry = gpt->entries->pdata[i - 1];
			DpsGptEntryChange *one = dps_gpt_entry_change_new(entry->number);

			one->set_type = TRUE;
			memset(&one->type_guid, 0x5A, sizeof(one->type_guid));
			g_ptr_array_add(changes, one);
		}
		if (dps_gpt_edit(gpt, changes, i % 2, &edits, &repairs, &error))
			check_edits(disk, edits);
		else
			fuzz_check_text(error->message);
		fuzz_check_text(repairs);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	const uint64_t array = test_disk_array_sectors(&disk), last = disk.n_sectors - 1;
	const uint64_t lbas[N_PLACES] = { 0, 1, 2, last - array, last };
	const uint64_t sizes[N_PLACES] = { 1, 1, array, array, 1 };
	const gboolean seal = size == 0 || data[0] != 0xFF;
	DpsRegion region = test_disk_region(&disk);
	g_autoptr(DpsGpt) gpt = NULL;
	g_autofree char *problem = NULL;
	DpsGptPresence presence;

	for (guint pass = 0; pass < 2; pass++) {
		for (guint i = 0; i < MAX_CHANGES && (i + 1) * CHANGE_SIZE < size; i++) {
			const uint8_t *one = data + 1 + (size_t)i * CHANGE_SIZE;
			guint place = one[0] % N_PLACES;
			gboolean is_array = place == PRIMARY_ENTRIES || place == BACKUP_ENTRIES;

			if (is_array == (pass == 0))
				change(&disk, lbas[place], sizes[place], one);
		}
		if (!seal)
			continue;
		if (pass == 0) {
			test_disk_seal(&disk, 1);
			test_disk_seal(&disk, last);
		} else {
			test_disk_seal_header(&disk, 1);
			test_disk_seal_header(&disk, last);
		}
	}

	g_assert_true(dps_gpt_read(&region, 0, &presence, &gpt, &problem, NULL));
	fuzz_check_text(problem);
	if (!gpt)
		return 0;
	fuzz_check_text(gpt->primary.problem);
	fuzz_check_text(gpt->backup.problem);
	for (guint i = 0; i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = gpt->entries->pdata[i];

		g_assert_true(g_utf8_validate(entry->name, -1, NULL));
		fuzz_check_text(entry->problem);
	}
	edit_all(&disk, gpt);
	return 0;
}
