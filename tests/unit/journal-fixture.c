/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal-fixture.h"
#include "format/checksum.h"
#include "ground/bytes.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

void
set_up(Fixture *self, gconstpointer data)
{
	g_autofree char *bytes = g_malloc(IMAGE_SIZE);
	g_autoptr(GError) error = NULL;

	memset(bytes, 'a', IMAGE_SIZE);
	self->dir = g_dir_make_tmp("dps-journal-XXXXXX", NULL);
	self->image = g_build_filename(self->dir, "image", NULL);
	self->journal = g_strconcat(self->image, ".dps-journal", NULL);
	g_assert_true(g_file_set_contents(self->image, bytes, IMAGE_SIZE, NULL));
	self->medium = dps_medium_open(self->image, DPS_OPEN_WRITABLE, &error);
	g_assert_no_error(error);
}

void
tear_down(Fixture *self, gconstpointer data)
{
	dps_medium_unref(self->medium);
	g_unlink(self->image);
	g_unlink(self->journal);
	g_rmdir(self->dir);
	g_free(self->dir);
	g_free(self->image);
	g_free(self->journal);
}

GPtrArray *
make_edits(void)
{
	GPtrArray *edits = dps_edit_list_new();
	uint8_t old_bytes[EDIT_SIZE], new_bytes[EDIT_SIZE];

	memset(old_bytes, 'a', sizeof(old_bytes));
	memset(new_bytes, 'b', sizeof(new_bytes));
	g_ptr_array_add(edits, dps_edit_new(FIRST, old_bytes, new_bytes, EDIT_SIZE, "first"));
	g_ptr_array_add(edits, dps_edit_new(SECOND, old_bytes, new_bytes, EDIT_SIZE, "second"));
	return edits;
}

GByteArray *
make_journal(void)
{
	GByteArray *bytes = g_byte_array_new();
	uint8_t header[32] = "dps-journal 1\n";
	uint8_t edit[16] = { 0 };
	uint8_t content[EDIT_SIZE];

	dps_store_le32(header + 20, 2);
	dps_store_le64(header + 24, 32 + 2 * (16 + 2 * EDIT_SIZE));
	g_byte_array_append(bytes, header, sizeof(header));
	for (guint i = 0; i < 2; i++) {
		dps_store_le64(edit, i == 0 ? FIRST : SECOND);
		dps_store_le64(edit + 8, EDIT_SIZE);
		g_byte_array_append(bytes, edit, sizeof(edit));
		memset(content, 'a', sizeof(content));
		g_byte_array_append(bytes, content, sizeof(content));
		memset(content, 'b', sizeof(content));
		g_byte_array_append(bytes, content, sizeof(content));
	}
	return bytes;
}

void
sum_journal(GByteArray *bytes)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	g_assert_true(dps_checksum_compute(DPS_CHECKSUM_CRC32C, bytes->data + 20, bytes->len - 20,
					   sum, NULL));
	memcpy(bytes->data + 16, sum, 4);
}

void
put_journal(Fixture *self, const GByteArray *bytes, gsize size)
{
	g_assert_true(
		g_file_set_contents(self->journal, (const char *)bytes->data, (gssize)size, NULL));
	g_assert_cmpint(g_chmod(self->journal, 0600), ==, 0);
}

void
put_image(Fixture *self, off_t at, char value, size_t size)
{
	g_autofree char *bytes = g_malloc(size + 1); /* never NULL */
	int fd = open(self->image, O_WRONLY | O_CLOEXEC);

	memset(bytes, value, size);
	g_assert_cmpint(pwrite(fd, bytes, size, at), ==, size);
	close(fd);
}

void
assert_image(Fixture *self, char first, char second)
{
	g_autofree char *bytes = NULL;
	gsize size;

	g_assert_true(g_file_get_contents(self->image, &bytes, &size, NULL));
	g_assert_cmpuint(size, ==, IMAGE_SIZE);
	for (gsize i = 0; i < size; i++) {
		char wanted = i >= FIRST && i < FIRST + EDIT_SIZE     ? first
			      : i >= SECOND && i < SECOND + EDIT_SIZE ? second
								      : 'a';

		g_assert_cmpint(bytes[i], ==, wanted);
	}
}
