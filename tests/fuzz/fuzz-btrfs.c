/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "../unit/btrfs-image.h"
#include "format/btrfs-edit.h"
#include "format/btrfs-subvolumes.h"
#include "target/btrfs-files.h"

#include <string.h>

/*
 * Whole images are nothing to change at random: a checksum is wrong at once.  The input is a list
 * of changes to a small image that is right, of five bytes each: a block, an offset (two bytes,
 * the low one first), a value, and what to do with it.  Checksums are made true again.
 */
#define CHANGE_SIZE 5
#define BLOCK_SIZE 4096
#define MAX_CHANGES 64

static void
change(BtrfsImage *image, const uint64_t *blocks, const uint8_t *data)
{
	uint8_t *block = image->bytes + blocks[data[0] % 4];
	size_t at = (data[1] | (size_t)data[2] << 8) % BLOCK_SIZE;

	if (data[4] & 1)
		memset(block + at, data[3], MIN(8, BLOCK_SIZE - at));
	else
		block[at] = data[3];
}

static void
read_all(const DpsRegion *region)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(region, &error);
	g_autoptr(DpsFiles) files = NULL;
	g_autoptr(GPtrArray) list = NULL;
	g_autoptr(GPtrArray) names = NULL;
	g_autoptr(GBytes) value = NULL;
	g_autofree char *bytes = NULL;
	DpsBtrfsDefault found;
	DpsBtrfsEdit edit = { NULL };

	if (!fs) {
		fuzz_check_text(error->message);
		return;
	}
	list = dps_btrfs_fs_list_subvolumes(fs, NULL);
	if (dps_btrfs_fs_read_default(fs, &found, NULL) &&
	    dps_btrfs_edit_default(region, 257, &edit, &error)) {
		/* All that is ever written is small, and inside. */
		for (guint i = 0; i < edit.edits->len; i++) {
			const DpsEdit *one = g_ptr_array_index(edit.edits, i);

			g_assert_cmpuint(one->size, <=, 65536);
			g_assert_cmpuint(one->offset, <=, region->size - one->size);
		}
		fuzz_check_text(edit.note);
		dps_btrfs_edit_clear(&edit);
	}
	if (error)
		fuzz_check_text(error->message);

	files = dps_btrfs_open_files(region, 0, NULL);
	if (!files)
		return;
	names = dps_files_list(files, "/", NULL);
	bytes = dps_files_read(files, "/file", 1 << 20, NULL, NULL);
	dps_files_get_attribute(files, "/file", "user.x", &value, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BtrfsImage image = { .node_size = BLOCK_SIZE, .n_copies = 1 };
	DpsRegion region;

	btrfs_image_make(&image);
	region = btrfs_image_region(&image);
	{
		const uint64_t blocks[] = { 0x10000, 0x100000, image.roots[0], image.tops[0] };

		for (guint i = 0; i < MAX_CHANGES && size >= CHANGE_SIZE; i++) {
			change(&image, blocks, data);
			data += CHANGE_SIZE;
			size -= CHANGE_SIZE;
		}
		for (guint i = 0; i < G_N_ELEMENTS(blocks); i++)
			btrfs_image_sum(&image, blocks[i], BLOCK_SIZE);
	}
	read_all(&region);
	btrfs_image_clear(&image);
	return 0;
}
