/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "fault.h"
#include "journal-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define JOURNAL "image.dps-journal"
#define WRITE_EDITS "write image, flush image, write image, flush image, "
#define REMOVE "write " JOURNAL ", flush " JOURNAL ", unlink " JOURNAL ", flush /"

/* The journal is there, and whole, before the image is written, and the image is whole before it
 * goes. */
static void
test_order(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GByteArray) bytes = make_journal();
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL, *finishing = NULL;

	fault_start_log();
	g_assert_true(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	calls = fault_stop_log();
	g_assert_cmpstr(calls, ==,
			"write new, flush new, link " JOURNAL ", flush /, " WRITE_EDITS REMOVE);
	assert_image(self, 'b', 'b');

	sum_journal(bytes);
	put_journal(self, bytes, bytes->len);
	put_image(self, FIRST, 'a', EDIT_SIZE / 2);
	fault_start_log();
	g_assert_true(dps_journal_finish(self->medium, NULL, &error));
	finishing = fault_stop_log();
	g_assert_cmpstr(finishing, ==, WRITE_EDITS REMOVE);
	assert_image(self, 'b', 'b');
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
		{ "write new", 1, ENOSPC, DPS_ERROR_NO_SPACE, 'a', FALSE },
		{ "write new", 1, FAULT_END, DPS_ERROR_IO, 'a', FALSE },
		{ "write new", 1, EINTR, 0, 'b', FALSE },
		{ "write new", 1, FAULT_SHORT, 0, 'b', FALSE },
		{ "flush new", 1, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "flush /", 1, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "write image", 1, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "write image", 2, EIO, DPS_ERROR_IO, 'a', FALSE },
		{ "write image", 2, FAULT_LIE, DPS_ERROR_IO, 'a', FALSE },
		{ "flush image", 2, EIO, DPS_ERROR_IO, 'a', FALSE },
		/* all written, and the journal still there, but done: the next run takes it away */
		{ "unlink", 1, EACCES, 0, 'b', TRUE },
		{ "flush /", 2, EIO, 0, 'b', FALSE },
		{ "write image.dps-journal", 1, EIO, 0, 'b', FALSE },
		{ "flush image.dps-journal", 1, EIO, 0, 'b', FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) edits = make_edits();
		g_autoptr(GError) error = NULL;
		gboolean good;

		g_test_message("%s %u: %d", rows[i].call, rows[i].nth, rows[i].how);
		put_image(self, 0, 'a', IMAGE_SIZE);
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
		g_assert_false(dps_journal_is_pending(self->medium));
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

/* One that is done and can neither be written nor removed, immutable perhaps, stops nobody. */
static void
test_done_and_not_removed(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;
	gboolean finished = TRUE;

	fault_set("unlink", 1, EACCES);
	g_assert_true(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_true(fault_clear());
	g_assert_true(g_file_test(self->journal, G_FILE_TEST_EXISTS));

	fault_set("write image.dps-journal", 1, EPERM);
	fault_set("unlink", 1, EPERM);
	g_assert_true(dps_journal_finish(self->medium, &finished, &error));
	g_assert_true(fault_clear());
	g_assert_no_error(error);
	g_assert_false(finished);
	assert_image(self, 'b', 'b');
}

/* What was put back is not there any more, whatever becomes of the journal's directory. */
static void
test_put_back_and_not_flushed(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call, *other;
		guint nth;
		gboolean is_left;
	} rows[] = {
		{ "flush /", NULL, 2, FALSE },
		{ "unlink", NULL, 1, FALSE },
		{ "flush /", "write image.dps-journal", 2, FALSE },
		{ "unlink", "write image.dps-journal", 1, TRUE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) edits = make_edits();
		g_autoptr(GError) error = NULL;
		gboolean is_left = !rows[i].is_left;

		fault_set("write image", 2, EIO);
		fault_set(rows[i].call, rows[i].nth, EIO);
		if (rows[i].other)
			fault_set(rows[i].other, 1, EIO);
		g_assert_false(dps_journal_write_edits(self->medium, 0, edits, &is_left, &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		assert_image(self, 'a', 'a');
		g_assert_cmpint(is_left, ==, rows[i].is_left);
		g_assert_cmpint(dps_journal_is_pending(self->medium), ==, rows[i].is_left);
		g_unlink(self->journal);
	}
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
		/* (JOURNAL begins as the image does: the third read is the first of the image) */
		{ "read " JOURNAL, 2, EIO },	 { "read image", 3, EIO },
		{ "fstat " JOURNAL, 1, EIO },	 { "fstat image", 1, EIO },
		{ "write image", 1, EIO },	 { "flush image", 2, EIO },
		{ "write image", 2, FAULT_LIE },
	};
	g_autoptr(GByteArray) bytes = make_journal();

	sum_journal(bytes);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		gboolean finished = TRUE;

		g_test_message("%s", rows[i].call);
		put_image(self, 0, 'a', IMAGE_SIZE);
		put_image(self, FIRST, 'b', 512);
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

/* All is written, and nothing can say so: who opens the image must hear of it. */
static void
test_finished_and_not_removed(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) bytes = make_journal();
	g_autoptr(GError) error = NULL;
	gboolean finished = FALSE;

	sum_journal(bytes);
	put_image(self, 0, 'a', IMAGE_SIZE);
	put_image(self, FIRST, 'b', 512);
	put_journal(self, bytes, bytes->len);
	fault_set("write " JOURNAL, 1, EPERM);
	fault_set("unlink", 1, EPERM);
	g_assert_false(dps_journal_finish(self->medium, &finished, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	assert_image(self, 'b', 'b');
	g_assert_true(dps_medium_is_finished(self->medium));
	g_assert_true(dps_journal_is_pending(self->medium));

	g_assert_true(dps_journal_finish(self->medium, &finished, NULL));
	assert_image(self, 'b', 'b');
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
}

/* Who cannot open a disk behind what was finished is told of that: its bytes are others. */
static void
test_open_behind_it(Fixture *self, gconstpointer data)
{
	static const char first[] = "what a run that was cut off had begun was finished first (";
	g_autoptr(GByteArray) bytes = make_journal();
	guint n_told = 0, n_before = 0, n_opened = 0;

	sum_journal(bytes);
	g_clear_pointer(&self->medium, dps_medium_unref);
	for (guint nth = 1; n_opened == 0; nth++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		gboolean was_reached;

		put_image(self, 0, 'a', IMAGE_SIZE);
		put_image(self, FIRST, 'b', 512);
		put_journal(self, bytes, bytes->len);
		fault_set_from("read image", nth, EIO);
		disk = dps_disk_open(self->image, DPS_OPEN_WRITABLE, &error);
		was_reached = fault_clear();
		if (disk) {
			g_assert_false(was_reached);
			g_assert_true(g_str_has_prefix(dps_disk_get_finished(disk), first));
			n_opened++;
			continue;
		}
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		g_test_message("%u: %s", nth, error->message);
		if (g_file_test(self->journal, G_FILE_TEST_EXISTS)) {
			g_assert_null(strstr(error->message, first));
			n_before++;
		} else {
			g_assert_true(g_str_has_prefix(error->message, first));
			g_assert_nonnull(strstr(error->message, "; then: "));
			assert_image(self, 'b', 'b');
			n_told++;
		}
	}
	g_assert_cmpuint(MIN(n_told, n_before), >, 0);

	/* Nothing is left to finish. */
	self->medium = dps_medium_open(self->image, DPS_OPEN_WRITABLE, NULL);
	g_assert_false(dps_medium_is_finished(self->medium));
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
		{ "/journal-steps/done-and-not-removed", test_done_and_not_removed },
		{ "/journal-steps/put-back-and-not-flushed", test_put_back_and_not_flushed },
		{ "/journal-steps/finish-faults", test_finish_faults },
		{ "/journal-steps/finished-and-not-removed", test_finished_and_not_removed },
		{ "/journal-steps/open-behind-it", test_open_behind_it },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].test, tear_down);
	return g_test_run();
}
