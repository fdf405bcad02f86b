/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <unistd.h>

/*
 * A disk image that is written to, and a journal beside it: such a file needs a name.  The
 * directory goes with the process.
 */
static char *fuzz_temp_path;

static void
fuzz_temp_remove(void)
{
	g_autofree char *journal = g_strconcat(fuzz_temp_path, ".dps-journal", NULL);
	g_autofree char *directory = g_path_get_dirname(fuzz_temp_path);

	unlink(journal);
	unlink(fuzz_temp_path);
	rmdir(directory);
}

static inline const char *
fuzz_temp_get_path(void)
{
	g_autofree char *directory = NULL;

	if (fuzz_temp_path)
		return fuzz_temp_path;
	/* In memory where there is such a place: each input is written and flushed. */
	directory = g_build_filename(g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm"
										 : g_get_tmp_dir(),
				     "dps-fuzz-XXXXXX", NULL);
	g_assert_nonnull(g_mkdtemp(directory));
	fuzz_temp_path = g_build_filename(directory, "image", NULL);
	g_assert_cmpint(atexit(fuzz_temp_remove), ==, 0);
	return fuzz_temp_path;
}

static inline void
fuzz_temp_write(const char *path, const void *bytes, size_t size)
{
	g_autoptr(GError) error = NULL;

	/* In place: no rename, which would flush. */
	g_file_set_contents_full(path, bytes, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, &error);
	g_assert_no_error(error);
}
