/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "medium-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Three edits, the last one over the first. */
static GPtrArray *
make_edits(void)
{
	GPtrArray *edits = dps_edit_list_new();

	add_edit(edits, 1000, 512, 0, 0xa1);
	add_edit(edits, 4000, 200, 0, 0xa2);
	add_edit(edits, 1100, 10, 0xa1, 0xa3);
	return edits;
}

static void
spoil(gpointer data)
{
	Fixture *fixture = data;
	int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(pwrite(fd, "?", 1, 1000), ==, 1);
	close(fd);
}

static void
spoil_last(gpointer data)
{
	Fixture *fixture = data;
	int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(pwrite(fd, "?", 1, 4000), ==, 1);
	close(fd);
}

/*
 * What every writer changes is in the place of the last edit, which is looked at last: another one
 * that writes while the others are looked at is seen before the first write.
 */
static void
test_last_place_last(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autofree char *calls = NULL;

	add_edit(edits, 1000, 512, 0, 0xa1);
	add_edit(edits, 4000, 200, 0, 0xa2);
	fault_start_log();
	fault_set_event("read", 2, spoil_last, fixture);
	g_assert_false(dps_medium_write_edits(medium, 0, edits, NULL, &error));
	g_assert_true(fault_clear());
	calls = fault_stop_log();
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_assert_cmpstr(calls, ==, "");
}

/* Each write is on the medium before the next one starts, forth and back. */
static void
test_flushes(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autofree char *forth = NULL, *back = NULL;
	static const char *wanted = "write disk.raw, flush disk.raw, write disk.raw, "
				    "flush disk.raw, write disk.raw, flush disk.raw";

	fault_start_log();
	g_assert_true(dps_medium_write_edits(medium, 0, edits, NULL, &error));
	forth = fault_stop_log();
	g_assert_cmpstr(forth, ==, wanted);

	fault_start_log();
	g_assert_true(dps_medium_put_back(medium, 0, edits, edits->len, &error));
	back = fault_stop_log();
	g_assert_cmpstr(back, ==, wanted);
}

/* What becomes of a write when a call fails: an error that says so, or nothing at all. */
static void
test_faults(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
		gint code; /* 0: it does not matter */
		guint done;
		const char *says;
	} rows[] = {
		{ "write", 1, EIO, DPS_ERROR_IO, 0, "step 1 of 3: " },
		{ "write", 2, EIO, DPS_ERROR_IO, 1, "step 2 of 3: " },
		{ "write", 3, FAULT_END, DPS_ERROR_IO, 2, "write" },
		{ "write", 2, EINTR, 0, 3, NULL },
		{ "write", 1, FAULT_SHORT, 0, 3, NULL },
		/* seen before the next step */
		{ "write", 2, FAULT_LIE, DPS_ERROR_IO, 2, "gives others back" },
		{ "write", 3, FAULT_LIE, DPS_ERROR_IO, 3, "gives others back" },
		{ "flush", 1, EIO, DPS_ERROR_IO, 0, "flush" },
		{ "flush", 3, EIO, DPS_ERROR_IO, 2, "flush" },
		{ "flush", 2, EINTR, 0, 3, NULL },
		{ "read", 1, EIO, DPS_ERROR_IO, 0, "test bytes: " },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GPtrArray) edits = make_edits();
		g_autoptr(DpsMedium) medium =
			dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
		g_autoptr(GBytes) before = get_bytes(fixture);
		g_autoptr(GBytes) after = NULL;
		guint done = 99;
		gboolean good;

		g_test_message("%s %u", rows[i].call, rows[i].nth);
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		good = dps_medium_write_edits(medium, 0, edits, &done, &error);
		g_assert_true(fault_clear());

		g_assert_cmpuint(done, ==, rows[i].done);
		g_assert_cmpint(good, ==, rows[i].code == 0);
		if (rows[i].code) {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_nonnull(strstr(error->message, rows[i].says));
			g_clear_error(&error);
		}
		g_assert_true(dps_medium_put_back(medium, 0, edits, done, &error));
		g_assert_no_error(error);
		after = get_bytes(fixture);
		g_assert_true(g_bytes_equal(before, after));
	}
}

/* Reads past the cache fail, and so do those through it. */
static void
test_unreadable(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autoptr(GError) back_error = NULL;
	guint done;

	g_assert_true(dps_medium_write_edits(medium, 0, edits, &done, NULL));
	fault_set_from("read", 1, EIO);
	g_assert_false(dps_medium_put_back(medium, 0, edits, done, &back_error));
	g_assert_true(fault_clear());
	g_assert_error(back_error, DPS_ERROR, DPS_ERROR_IO);
	g_assert_nonnull(strstr(back_error->message, "put back"));
}

/* Nothing of it is on the medium, and each step back says so. */
static void
test_put_back_faults(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
		const char *says;
	} rows[] = {
		{ "write", 1, EIO, "write" },
		{ "write", 3, EIO, "write" },
		{ "flush", 2, EIO, "flush" },
		{ "write", 2, FAULT_LIE, "put back: the medium took the bytes and gives others" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) edits = make_edits();
		g_autoptr(DpsMedium) medium =
			dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
		g_autoptr(GError) error = NULL;
		guint done;

		g_assert_true(dps_medium_write_edits(medium, 0, edits, &done, NULL));
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		g_assert_false(dps_medium_put_back(medium, 0, edits, done, &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		g_assert_nonnull(strstr(error->message, rows[i].says));
		g_assert_nonnull(strstr(error->message, "put back: "));
		g_assert_true(dps_medium_put_back(medium, 0, edits, done, NULL));
	}
}

/* A table at the very end of the medium, whatever its size. */
static void
test_last_bytes(Fixture *fixture, gconstpointer data)
{
	static const gsize sizes[] = { 1, 511, 512, 4096, 4097, 8191, 8192 };

	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autoptr(GPtrArray) edits = dps_edit_list_new();
		g_autoptr(DpsMedium) medium =
			dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
		g_autoptr(GError) error = NULL;

		add_edit(edits, SIZE - sizes[i], sizes[i], 0, 0xa1);
		g_assert_true(dps_medium_write_edits(medium, 0, edits, NULL, &error));
		g_assert_no_error(error);
		g_assert_true(dps_medium_put_back(medium, 0, edits, 1, &error));
		g_assert_no_error(error);
	}
}

static void
grow_foreign_byte(void *data)
{
	int fd = open(data, O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(pwrite(fd, "!", 1, 1511), ==, 1);
	close(fd);
}

/* The last byte of an edit is compared too: before it is written, behind it, and on the way back.
 */
static void
test_last_byte_is_compared(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autoptr(GError) error = NULL;
	guint done;

	add_edit(edits, 1000, 512, 0, 0xa1);
	fault_set_event("flush", 1, grow_foreign_byte, fixture->path);
	g_assert_false(dps_medium_write_edits(medium, 0, edits, &done, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_clear_error(&error);

	g_assert_false(dps_medium_put_back(medium, 0, edits, done, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_clear_error(&error);
	g_assert_false(dps_medium_write_edits(medium, 0, edits, &done, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_assert_cmpuint(done, ==, 0);
}

/*
 * What is read back comes from the medium and not from the cache: past it, where the file system
 * can do that, else after the cache was told to drop it.
 */
static void
test_past_the_cache(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	guint done;

	/* Each of three places, forth and back; back all of it is looked at before. */
	fault_set("direct", 3, EINVAL);
	g_assert_true(dps_medium_write_edits(medium, 0, edits, NULL, &error));
	g_assert_true(fault_clear());
	fault_set("direct", 6, EINVAL);
	g_assert_true(dps_medium_put_back(medium, 0, edits, edits->len, &error));
	g_assert_true(fault_clear());

	/* A read that ends early is none, past the cache or through it. */
	for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
		g_assert_cmpuint(nth, <, 100);
		fault_set("read", nth, FAULT_SHORT);
		g_assert_true(dps_medium_write_edits(medium, 0, edits, NULL, &error));
		was_reached = fault_clear();
		g_assert_no_error(error);
		g_assert_true(dps_medium_put_back(medium, 0, edits, edits->len, &error));
	}

	/* The medium gives other bytes as soon as the cache does not. */
	fault_set_from("direct", 1, EINVAL);
	fault_set_event("advise", 1, spoil, fixture);
	g_assert_false(dps_medium_write_edits(medium, 0, edits, &done, &error));
	g_assert_true(fault_clear());
	g_assert_cmpuint(done, ==, 3);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_clear_error(&error);
}

/* It was written, and cannot be read: that is no comparison. */
static void
test_not_read_back(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	guint n_read_back = 0;

	for (guint i = 0; i < 2; i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			g_autoptr(GError) error = NULL;
			guint done;
			gboolean good;

			g_assert_cmpuint(nth, <, 100);
			fault_set(i == 0 ? "advise" : "read", nth, EIO);
			fault_set_from("direct", 1, EINVAL);
			good = dps_medium_write_edits(medium, 0, edits, &done, &error);
			was_reached = fault_was_reached();
			fault_clear();
			g_assert_cmpint(good, ==, !was_reached);
			g_assert_cmpint(good, ==, error == NULL);
			if (error)
				g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
			if (error && strstr(error->message, ": read back: ")) {
				g_assert_cmpuint(done, ==, edits->len);
				n_read_back++;
			}
			g_clear_error(&error);
			g_assert_true(dps_medium_put_back(medium, 0, edits, done, &error));
			g_assert_no_error(error);
		}
	g_assert_cmpuint(n_read_back, ==, 2 * edits->len);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/medium-steps/last-place-last", test_last_place_last);
	ADD("/medium-steps/flushes", test_flushes);
	ADD("/medium-steps/faults", test_faults);
	ADD("/medium-steps/unreadable", test_unreadable);
	ADD("/medium-steps/put-back-faults", test_put_back_faults);
	ADD("/medium-steps/last-bytes", test_last_bytes);
	ADD("/medium-steps/last-byte-is-compared", test_last_byte_is_compared);
	ADD("/medium-steps/past-the-cache", test_past_the_cache);
	ADD("/medium-steps/not-read-back", test_not_read_back);
#undef ADD
	return g_test_run();
}
