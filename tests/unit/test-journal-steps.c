/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "fault.h"
#include "format/checksum.h"
#include "ground/bytes.h"
#include "target/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_SIZE 65536
#define EDIT_SIZE 2048
#define FIRST 4096
#define SECOND 20480

/* An image of 'a', and edits that make 'b' of two places of it. */
typedef struct {
	char *dir, *image, *journal;
	DpsMedium *medium;
} Fixture;

static void
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

static void
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

static GPtrArray *
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

/* The same edits as a journal, put together by hand: the file's format is a promise. */
static GByteArray *
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

static void
sum_journal(GByteArray *bytes)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	g_assert_true(dps_checksum_compute(DPS_CHECKSUM_CRC32C, bytes->data + 20, bytes->len - 20,
					   sum, NULL));
	memcpy(bytes->data + 16, sum, 4);
}

static void
put_journal(Fixture *self, const GByteArray *bytes, gsize size)
{
	g_assert_true(
		g_file_set_contents(self->journal, (const char *)bytes->data, (gssize)size, NULL));
	g_assert_cmpint(g_chmod(self->journal, 0600), ==, 0);
}

static void
put_image(Fixture *self, off_t at, char value, size_t size)
{
	g_autofree char *bytes = g_malloc(size);
	int fd = open(self->image, O_WRONLY | O_CLOEXEC);

	memset(bytes, value, size);
	g_assert_cmpint(pwrite(fd, bytes, size, at), ==, size);
	close(fd);
}

static void
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

static void
remake_image(Fixture *self)
{
	put_image(self, 0, 'a', IMAGE_SIZE);
}

#define JOURNAL "image.dps-journal"
#define WRITE_EDITS "write image, flush image, write image, flush image, "
#define REMOVE "unlink " JOURNAL ", flush /"

/* The journal is there before the image is written, and the image is whole before it goes. */
static void
test_order(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GByteArray) bytes = make_journal();
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL, *finishing = NULL, *dropping = NULL;

	fault_start_log();
	g_assert_true(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	calls = fault_stop_log();
	g_assert_cmpstr(calls, ==,
			"write " JOURNAL ", flush " JOURNAL ", flush /, " WRITE_EDITS REMOVE);
	assert_image(self, 'b', 'b');

	sum_journal(bytes);
	put_journal(self, bytes, bytes->len);
	put_image(self, FIRST, 'a', EDIT_SIZE / 2);
	fault_start_log();
	g_assert_true(dps_journal_finish(self->medium, NULL, &error));
	finishing = fault_stop_log();
	g_assert_cmpstr(finishing, ==, WRITE_EDITS REMOVE);
	assert_image(self, 'b', 'b');

	put_journal(self, bytes, bytes->len - 1);
	fault_start_log();
	g_assert_true(dps_journal_finish(self->medium, NULL, &error));
	dropping = fault_stop_log();
	g_assert_cmpstr(dropping, ==, REMOVE);
}

/* Whatever fails while edits are written: the image is old and the journal gone, or it is told. */
static void
test_faults(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
		gint code; /* 0: it is done all the same */
		char image;
		gboolean is_left; /* the journal */
	} rows[] = {
		{ "write " JOURNAL, 1, ENOSPC, DPS_ERROR_NO_SPACE, 'a', FALSE },
		{ "write " JOURNAL, 1, FAULT_END, DPS_ERROR_IO, 'a', FALSE },
		{ "write " JOURNAL, 1, EINTR, 0, 'b', FALSE },
		{ "write " JOURNAL, 1, FAULT_SHORT, 0, 'b', FALSE },
		{ "flush " JOURNAL, 1, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "flush /", 1, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "write image", 1, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "write image", 2, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "write image", 2, FAULT_LIE, DPS_ERROR_IO, 'a', FALSE },
		{ "flush image", 2, EIO, DPS_ERROR_IO, 'a', FALSE },
		/* all written, and the journal is still there: the next run takes it away */
		{ "unlink", 1, EACCES, DPS_ERROR_PERMISSION, 'b', TRUE },
		{ "flush /", 2, EIO, DPS_ERROR_IO, 'b', FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) edits = make_edits();
		g_autoptr(GError) error = NULL;
		gboolean good;

		g_test_message("%s %u: %d", rows[i].call, rows[i].nth, rows[i].how);
		remake_image(self);
		g_unlink(self->journal);
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		good = dps_journal_write_edits(self->medium, 0, edits, NULL, &error);
		g_assert_true(fault_clear());
		g_assert_cmpint(good, ==, rows[i].code == 0);
		if (rows[i].code)
			g_assert_error(error, DPS_ERROR, rows[i].code);
		assert_image(self, rows[i].image, rows[i].image);
		g_assert_cmpint(g_file_test(self->journal, G_FILE_TEST_EXISTS), ==,
				rows[i].is_left);
		g_assert_cmpint(dps_journal_is_pending(self->medium), ==, rows[i].is_left);
	}
}

/* What can neither be written nor put back is left to the journal, and the next run finishes it. */
static void
test_left_to_the_journal(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;
	gboolean finished = FALSE, is_left = FALSE;

	fault_set("write image", 2, EIO);
	fault_set("write image", 3, EIO); /* the first one back */
	g_assert_false(dps_journal_write_edits(self->medium, 0, edits, &is_left, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
	g_assert_true(is_left);
	g_assert_true(dps_journal_is_pending(self->medium));

	g_clear_error(&error);
	g_assert_true(dps_journal_finish(self->medium, &finished, &error));
	g_assert_true(finished);
	assert_image(self, 'b', 'b');
	g_assert_false(dps_journal_is_pending(self->medium));
}

/* A journal that cannot be read, checked or finished stays. */
static void
test_finish_faults(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
	} rows[] = {
		{ "read " JOURNAL, 1, EIO },	 { "read image", 1, EIO },
		{ "fstat " JOURNAL, 1, EIO },	 { "fstat image", 1, EIO },
		{ "write image", 1, EIO },	 { "flush image", 2, EIO },
		{ "write image", 2, FAULT_LIE }, { "unlink", 1, EIO },
	};
	g_autoptr(GByteArray) bytes = make_journal();

	sum_journal(bytes);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		gboolean finished = TRUE;

		g_test_message("%s", rows[i].call);
		remake_image(self);
		put_journal(self, bytes, bytes->len);
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		g_assert_false(dps_journal_finish(self->medium, &finished, &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		g_assert_false(finished);
		g_assert_true(dps_journal_is_pending(self->medium));
		g_assert_true(dps_journal_finish(self->medium, &finished, NULL));
		g_assert_true(finished);
		assert_image(self, 'b', 'b');
	}
}

/* The image was renamed or removed while it is open: there is no place for its journal. */
static void
test_no_place(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;
	g_autofree char *message = NULL;

	fault_set("open dps-journal-", 1, EMFILE);
	g_assert_false(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_true(fault_clear());
	message = g_strdup_printf("%s: open: ", self->dir);
	g_assert_true(g_str_has_prefix(error->message, message));
	g_clear_error(&error);

	g_unlink(self->image);
	g_assert_false(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_false(dps_journal_is_pending(self->medium));
}

/* Nobody writes into the other end, and nobody waits for it. */
static void
test_fifo(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(mkfifo(self->journal, 0600), ==, 0);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
}

/* What anybody, or the group, may write. */
static void
test_writable_by_others(Fixture *self, gconstpointer data)
{
	static const mode_t modes[] = { 0602, 0620 };
	g_autoptr(GByteArray) bytes = make_journal();

	sum_journal(bytes);
	for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
		g_autoptr(GError) error = NULL;

		put_journal(self, bytes, bytes->len);
		g_assert_cmpint(g_chmod(self->journal, modes[i]), ==, 0);
		g_assert_false(dps_journal_finish(self->medium, NULL, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		assert_image(self, 'a', 'a');
	}
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(Fixture *self, gconstpointer data);
	} tests[] = {
		{ "/journal-steps/no-place", test_no_place },
		{ "/journal-steps/fifo", test_fifo },
		{ "/journal-steps/writable-by-others", test_writable_by_others },
		{ "/journal-steps/order", test_order },
		{ "/journal-steps/faults", test_faults },
		{ "/journal-steps/left-to-the-journal", test_left_to_the_journal },
		{ "/journal-steps/finish-faults", test_finish_faults },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].test, tear_down);
	return g_test_run();
}
