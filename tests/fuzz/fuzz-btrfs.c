/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-subvolumes.h"
#include "fuzz-files.h"
#include "image-target.h"
#include "target/btrfs-files.h"

#include <inttypes.h>

/*
 * A btrfs (packed.h), its checksums made true: superblock, chunks, trees, the subvolumes with their
 * paths, and the files of two of them.
 *
 * Asserted: nothing outside of the partition is read; what is read in all is bounded, whatever the
 * trees say; what is told is text, and the same twice.
 */

/* format/btrfs-internal.h has 256 MiB for one question; a walk asks more of them. */
#define MAX_BYTES_READ (UINT64_C(2) << 30)

static void
tell_subvolumes(DpsBtrfsFs *fs, GString *told)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) list = NULL;
	DpsBtrfsDefault found = { .id = 99 };

	if (dps_btrfs_fs_read_default(fs, &found, &error)) {
		g_string_append_printf(told, "default %d %" PRIu64 "\n", found.exists, found.id);
	} else {
		g_assert_cmpuint(found.id, ==, 99);
		fuzz_tell_error(told, &error);
	}
	list = dps_btrfs_fs_list_subvolumes(fs, &error);
	if (!list)
		fuzz_tell_error(told, &error);
	for (guint i = 0; list && i < list->len; i++) {
		const DpsBtrfsSubvolumeInfo *info = list->pdata[i];

		g_string_append_printf(told, "%" PRIu64 " in %" PRIu64 " %s\n", info->id,
				       info->parent, info->path ? info->path : "?");
		if (i > 0)
			g_assert_cmpuint(info->id, >,
					 ((const DpsBtrfsSubvolumeInfo *)list->pdata[i - 1])->id);
	}
}

void
fuzz_image_tell(FuzzImage *image, GString *told)
{
	DpsRegion region = fuzz_image_region(image);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(&region, &error);
	const uint64_t subvolumes[] = { 0, 256 + image->choice % 4 };

	image->bytes_read = 0;
	if (!fs) {
		fuzz_tell_error(told, &error);
		return;
	}
	tell_subvolumes(fs, told);
	for (guint i = 0; i < G_N_ELEMENTS(subvolumes); i++) {
		g_autoptr(DpsFiles) files = dps_btrfs_open_files(&region, subvolumes[i], &error);

		if (files)
			fuzz_tell_files(files, "user.x", told);
		else
			fuzz_tell_error(told, &error);
	}
	g_assert_cmpuint(image->bytes_read, <=, MAX_BYTES_READ);
}
