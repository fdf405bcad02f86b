/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "medium-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

void
set_up(Fixture *fixture, gconstpointer data)
{
	g_autofree uint8_t *bytes = g_malloc(SIZE);

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i % 251);
	fixture->dir = g_dir_make_tmp("dps-medium-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->dir, "disk.raw", NULL);
	g_assert_true(g_file_set_contents(fixture->path, (char *)bytes, SIZE, NULL));
}

void
tear_down(Fixture *fixture, gconstpointer data)
{
	g_unlink(fixture->path);
	g_rmdir(fixture->dir);
	g_free(fixture->path);
	g_free(fixture->dir);
}

GBytes *
get_bytes(Fixture *fixture)
{
	char *bytes;
	gsize size;

	g_assert_true(g_file_get_contents(fixture->path, &bytes, &size, NULL));
	return g_bytes_new_take(bytes, size);
}

void
add_edit(GPtrArray *edits, uint64_t offset, size_t size, uint8_t from_edit, uint8_t to)
{
	g_autofree uint8_t *old_bytes = g_malloc(size);
	g_autofree uint8_t *new_bytes = g_malloc(size);

	for (size_t i = 0; i < size; i++)
		old_bytes[i] = from_edit ? from_edit : (uint8_t)((offset + i) % 251);
	memset(new_bytes, to, size);
	g_ptr_array_add(edits, dps_edit_new(offset, old_bytes, new_bytes, size, "test bytes"));
}
