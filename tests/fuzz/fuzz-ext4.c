/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz-files.h"
#include "image-target.h"
#include "target/ext4.h"

/*
 * An ext2, ext3 or ext4 (packed.h) through libext2fs: its directories, files, links, attributes.
 *
 * Asserted: nothing outside of the partition is read; what is read in all is bounded; what is told
 * is text, and the same twice.
 */
#define MAX_BYTES_READ (UINT64_C(4) << 30)

void
fuzz_image_tell(FuzzImage *image, GString *told)
{
	DpsRegion region = fuzz_image_region(image);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFiles) files = dps_ext4_open(&region, &error);

	image->bytes_read = 0;
	if (files)
		fuzz_tell_files(files, "user.x", told);
	else
		fuzz_tell_error(told, &error);
	g_assert_cmpuint(image->bytes_read, <=, MAX_BYTES_READ);
}
