/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-edit.h"
#include "format/btrfs-subvolumes.h"
#include "fuzz.h"
#include "mutate.h"
#include "packed.h"

#include <string.h>

/*
 * The default subvolume of a btrfs (packed.h) whose bytes are anything, checksums made true.
 *
 * Asserted of an edit that is refused: it says why, and gives nothing.  Of one that is not: each
 * edit is small, inside of the partition and on the bytes that are there; cut off behind any of
 * them the file system reads, with the old default or the new, unless a journal is asked for; at
 * the end it is the new one; subvolumes are as before; asked again there is nothing to do.
 */
#define MAX_EDIT 65536

static char *
list_subvolumes(const DpsRegion *region)
{
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(region, NULL);
	g_autoptr(GPtrArray) list = fs ? dps_btrfs_fs_list_subvolumes(fs, NULL) : NULL;
	GString *text = g_string_new(NULL);

	for (guint i = 0; list && i < list->len; i++) {
		const DpsBtrfsSubvolumeInfo *info = list->pdata[i];

		g_string_append_printf(text, "%" G_GUINT64_FORMAT " %s\n", info->id,
				       info->path ? info->path : "?");
	}
	return g_string_free(text, FALSE);
}

static uint64_t
read_default(const DpsRegion *region)
{
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(region, NULL);
	DpsBtrfsDefault found;

	return fs && dps_btrfs_fs_read_default(fs, &found, NULL) ? found.id : 0;
}

/* As target/medium does it: each edit finds the bytes that it was made for, or nothing is written.
 */
static gboolean
are_on_old_bytes(FuzzImage *image, GPtrArray *edits)
{
	gboolean all = TRUE;
	guint n;

	for (n = 0; n < edits->len; n++) {
		const DpsEdit *edit = edits->pdata[n];

		g_assert_cmpuint(edit->size, <=, MAX_EDIT);
		g_assert_cmpuint(edit->offset, <=, image->size - edit->size);
		if (memcmp(image->bytes + edit->offset, edit->old_bytes, edit->size) != 0) {
			all = FALSE;
			break;
		}
		memcpy(image->bytes + edit->offset, edit->new_bytes, edit->size);
	}
	while (n-- > 0) {
		const DpsEdit *edit = edits->pdata[n];

		memcpy(image->bytes + edit->offset, edit->old_bytes, edit->size);
	}
	return all;
}

static void
apply(FuzzImage *image, const DpsRegion *region, const DpsBtrfsEdit *edit, uint64_t id)
{
	const uint64_t before = read_default(region);
	g_autofree char *listed = list_subvolumes(region);
	g_autofree char *listed_now = NULL;
	g_autoptr(GError) error = NULL;
	g_auto(DpsBtrfsEdit) again = { NULL };

	/* All the old bytes are there: nothing that the editor makes itself stands in its way. */
	g_assert_true(are_on_old_bytes(image, edit->edits));
	for (guint i = 0; i < edit->edits->len; i++) {
		const DpsEdit *one = edit->edits->pdata[i];

		memcpy(image->bytes + one->offset, one->new_bytes, one->size);
		if (!edit->needs_journal) {
			uint64_t now = read_default(region);

			g_assert_true(now == before || now == id);
		}
	}
	g_assert_cmpuint(read_default(region), ==, id);
	listed_now = list_subvolumes(region);
	g_assert_cmpstr(listed_now, ==, listed);
	g_assert_true(dps_btrfs_edit_default(region, id, &again, &error));
	g_assert_cmpuint(again.edits->len, ==, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_auto(FuzzImage) image = { 0 };
	DpsRegion region;

	fuzz_image_unpack(&image, data, size);
	fuzz_image_seal(&image);
	region = fuzz_image_region(&image);
	for (uint64_t i = 0; i < 4; i++) {
		const uint64_t id = i == 3 ? DPS_BTRFS_FS_TREE : 256 + (image.choice + i) % 8;
		g_auto(DpsBtrfsEdit) edit = { NULL };
		g_autoptr(GError) error = NULL;

		if (dps_btrfs_edit_default(&region, id, &edit, &error)) {
			fuzz_check_text(edit.note);
			apply(&image, &region, &edit, id);
		} else {
			fuzz_check_error(error);
			g_assert_true(!edit.edits && !edit.note && !edit.needs_journal);
		}
	}
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, TRUE);
}
