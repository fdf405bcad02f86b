/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "fault.h"
#include "ground/bytes.h"
#include "journal-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

static void
test_write(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;
	gboolean finished = TRUE;

	g_assert_false(dps_journal_is_pending(self->medium));
	g_assert_true(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_no_error(error);
	assert_image(self, 'b', 'b');
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
	g_assert_true(dps_journal_finish(self->medium, &finished, &error));
	g_assert_false(finished);
}

/* What would be too much to read again is not begun. */
static void
test_too_much(Fixture *self, gconstpointer data)
{
	static const struct {
		guint n;
		size_t size;
		gboolean good;
	} rows[] = { { 16, 512, TRUE }, { 17, 512, FALSE }, { 1, 524289, FALSE } };

	g_assert_cmpint(truncate(self->image, 1 << 20), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree uint8_t *old_bytes = g_malloc0(rows[i].size);
		g_autofree uint8_t *new_bytes = g_malloc0(rows[i].size);
		g_autoptr(GPtrArray) edits = dps_edit_list_new();
		g_autoptr(DpsMedium) medium = NULL;
		g_autoptr(GError) error = NULL;

		medium = dps_medium_open(self->image, DPS_OPEN_WRITABLE | DPS_OPEN_NO_LOCK, &error);
		g_assert_no_error(error);
		for (guint j = 0; j < rows[i].n; j++)
			g_ptr_array_add(edits,
					dps_edit_new(IMAGE_SIZE + j * rows[i].size, old_bytes,
						     new_bytes, rows[i].size, "edit"));
		g_assert_cmpint(dps_journal_write_edits(medium, 0, edits, NULL, &error), ==,
				rows[i].good);
		g_assert_false(dps_journal_is_pending(medium));
		if (rows[i].good)
			continue;
		g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
		g_assert_nonnull(strstr(error->message, "more than a journal takes"));
	}
}

/* Somebody's file is in the place: nothing is written over it, and nothing at all. */
static void
test_place_taken(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;

	g_assert_true(g_file_set_contents(self->journal, "mine", 4, NULL));
	g_assert_false(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_nonnull(strstr(error->message, self->journal));
	assert_image(self, 'a', 'a');
	g_assert_true(g_file_test(self->journal, G_FILE_TEST_EXISTS));
}

/* The image is not what the edits were made from: no journal stays behind. */
static void
test_image_changed_before(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;

	put_image(self, SECOND, 'x', EDIT_SIZE);
	g_assert_false(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	assert_image(self, 'a', 'x');
	g_assert_false(dps_journal_is_pending(self->medium));
}

/* Wherever the writing was cut off, it is finished. */
static void
test_finish(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();

	sum_journal(journal);
	for (size_t cut = 0; cut <= 2 * EDIT_SIZE; cut += 512) {
		g_autoptr(GError) error = NULL;
		gboolean finished = cut == 0;

		put_image(self, FIRST, 'a', EDIT_SIZE);
		put_image(self, SECOND, 'a', EDIT_SIZE);
		put_image(self, FIRST, 'b', MIN(cut, EDIT_SIZE));
		if (cut > EDIT_SIZE)
			put_image(self, SECOND, 'b', cut - EDIT_SIZE);
		put_journal(self, journal, journal->len);
		g_assert_true(dps_journal_is_pending(self->medium));
		g_assert_true(dps_journal_finish(self->medium, &finished, &error));
		g_assert_no_error(error);
		/* What nobody began is not done: it may be of what the image was before a copy. */
		g_assert_cmpint(finished, ==, cut > 0);
		assert_image(self, cut > 0 ? 'b' : 'a', cut > 0 ? 'b' : 'a');
		g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
	}
}

/*
 * Its removal was not flushed and the power was cut: its name is there again, and the image has
 * been anything since, half of old and new as after an undo, too.
 */
static void
test_comes_back(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *start;
		guint32 size; /* of the file; 0: as it was */
		gint code;    /* 0: removed, and nothing written */
	} rows[] = {
		{ "dps-journal 0\n", 0, 0 },
		{ "dps-journal 0\n", 16, 0 },
		{ "dps-journal 0\n", 15, DPS_ERROR_CORRUPT },
		{ "dps-journal 2\n", 0, DPS_ERROR_UNSUPPORTED },
		{ "dps-journal 01\n", 0, DPS_ERROR_UNSUPPORTED },
		{ "dps-journal 2\n", 31, DPS_ERROR_CORRUPT },
		{ "dps_journal 0\n", 0, DPS_ERROR_CORRUPT },
	};

	put_image(self, FIRST, 'b', EDIT_SIZE);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GByteArray) journal = make_journal();
		g_autoptr(GError) error = NULL;
		gboolean finished = TRUE;

		g_test_message("%s %u", rows[i].start, rows[i].size);
		sum_journal(journal);
		memset(journal->data, 0, 16);
		memcpy(journal->data, rows[i].start, strlen(rows[i].start));
		put_journal(self, journal, rows[i].size ? rows[i].size : journal->len);
		g_assert_cmpint(dps_journal_is_pending(self->medium), ==, rows[i].code != 0);
		g_assert_cmpint(dps_journal_finish(self->medium, &finished, &error), ==,
				rows[i].code == 0);
		if (rows[i].code)
			g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_cmpint(g_file_test(self->journal, G_FILE_TEST_EXISTS), ==,
				rows[i].code != 0);
		g_assert_false(finished);
		assert_image(self, 'b', 'a');
	}
}

/* One that is done is in nobody's way, also when it could not be removed. */
static void
test_done_is_in_no_way(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;

	journal->data[12] = '0';
	put_journal(self, journal, journal->len);
	g_assert_true(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_no_error(error);
	assert_image(self, 'b', 'b');
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
}

/* Somebody put another's file in the place: a name is taken away, and nothing is written to it. */
static void
test_mark_nobody_elses(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autofree char *elsewhere = g_build_filename(self->dir, "elsewhere", NULL);

	for (guint i = 0; i < 3; i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *bytes = NULL;

		put_journal(self, journal, i == 0 ? 15 : journal->len);
		if (i == 1)
			g_assert_cmpint(link(self->journal, elsewhere), ==, 0);
		else
			g_assert_cmpint(g_rename(self->journal, elsewhere), ==, 0);
		if (i == 0)
			g_assert_cmpint(link(elsewhere, self->journal), ==, 0);
		if (i == 2)
			g_assert_cmpint(symlink(elsewhere, self->journal), ==, 0);
		g_assert_true(dps_journal_remove(self->medium, &error));
		g_assert_no_error(error);
		g_assert_true(g_file_get_contents(elsewhere, &bytes, NULL, NULL));
		g_assert_true(g_str_has_prefix(bytes, "dps-journal 1\n"));
		g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
		g_unlink(elsewhere);
	}
}

/* A journal has its name when it is whole: half of one is damage, or somebody's file, and stays. */
static void
test_half_a_journal(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();

	sum_journal(journal);
	for (gsize size = 0; size < journal->len; size += size < 100 ? 1 : 333) {
		g_autoptr(GError) error = NULL;
		gboolean finished = TRUE;

		put_journal(self, journal, size);
		g_assert_false(dps_journal_finish(self->medium, &finished, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		g_assert_nonnull(strstr(error->message, self->journal));
		g_assert_false(finished);
		g_assert_true(dps_journal_is_pending(self->medium));
		assert_image(self, 'a', 'a');
	}
}

static void
append_edit(GByteArray *journal, uint64_t offset, uint32_t size)
{
	g_autofree uint8_t *bytes = g_malloc(16 + 2 * (size_t)size);

	dps_store_le64(bytes, offset);
	dps_store_le64(bytes + 8, size);
	memset(bytes + 16, 'a', size);
	memset(bytes + 16 + size, 'b', size);
	g_byte_array_append(journal, bytes, 16 + 2 * size);
	dps_store_le32(journal->data + 20, dps_load_le32(journal->data + 20) + 1);
	dps_store_le64(journal->data + 24, journal->len);
}

static void
spoil_empty(GByteArray *journal)
{
	append_edit(journal, 512, 0);
}

/* All the edits of no bytes that fit: to write each and to look at all before each took hours. */
static void
spoil_bomb(GByteArray *journal)
{
	while (journal->len + 16 <= 1 << 20)
		append_edit(journal, 512, 0);
}

static void
append_edits_up_to(GByteArray *journal, guint n)
{
	/* In no order of places: edits are written in theirs. */
	for (guint i = n - 1; i >= 2; i--)
		append_edit(journal, 32768 + i * 512, 512);
}

/* Each by itself as it should be. */
static void
spoil_many(GByteArray *journal)
{
	append_edits_up_to(journal, 17);
}

static void
test_as_many_as_can_be(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autoptr(GError) error = NULL;
	g_autofree char *bytes = NULL;
	gboolean finished = FALSE;

	append_edits_up_to(journal, 16);
	sum_journal(journal);
	put_image(self, FIRST, 'b', 512);
	put_journal(self, journal, journal->len);
	g_assert_true(dps_journal_finish(self->medium, &finished, &error));
	g_assert_no_error(error);
	g_assert_true(finished);
	g_assert_true(g_file_get_contents(self->image, &bytes, NULL, NULL));
	for (size_t i = FIRST; i < IMAGE_SIZE; i++) {
		gboolean is_new = i < FIRST + EDIT_SIZE ||
				  (i >= SECOND && i < SECOND + EDIT_SIZE) ||
				  (i >= 32768 + 2 * 512 && i < 32768 + 16 * 512);

		g_assert_cmpint(bytes[i], ==, is_new ? 'b' : 'a');
	}
}

static void
spoil_size(GByteArray *journal)
{
	dps_store_le64(journal->data + 32 + 8, UINT64_MAX);
}

static void
spoil_count(GByteArray *journal)
{
	dps_store_le32(journal->data + 20, UINT32_MAX);
}

static void
spoil_one_more(GByteArray *journal)
{
	dps_store_le32(journal->data + 20, 3);
}

static void
spoil_few(GByteArray *journal)
{
	dps_store_le32(journal->data + 20, 1);
}

static void
spoil_offset(GByteArray *journal)
{
	dps_store_le64(journal->data + 32, IMAGE_SIZE - 1);
}

static void
spoil_old(GByteArray *journal)
{
	memset(journal->data + 32 + 16, 'z', 512);
}

/* The second edit into the middle of the first, */
static void
spoil_second(GByteArray *journal)
{
	dps_store_le64(journal->data + 32 + 16 + 2 * EDIT_SIZE, FIRST + 512);
}

/* or over its last byte. */
static void
spoil_one_byte(GByteArray *journal)
{
	dps_store_le64(journal->data + 32 + 16 + 2 * EDIT_SIZE, FIRST + EDIT_SIZE - 1);
}

static void
spoil_file_size(GByteArray *journal)
{
	dps_store_le64(journal->data + 24, journal->len + 1);
}

/* One bit that the medium lost: the image may be half written, and the journal is all that tells.
 */
static void
test_damaged_journal(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autoptr(GError) error = NULL;

	sum_journal(journal);
	journal->data[journal->len - 1] ^= 1;
	put_journal(self, journal, journal->len);
	put_image(self, FIRST, 'b', 512);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_nonnull(strstr(error->message, "move this file away"));
	g_assert_true(dps_journal_is_pending(self->medium));
}

/* Journals with a true checksum that must not be followed: they and the image stay. */
static void
test_bad_journals(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *name;
		void (*spoil)(GByteArray *journal);
		int code;
	} rows[] = {
		{ "size", spoil_size, DPS_ERROR_CORRUPT },
		{ "count", spoil_count, DPS_ERROR_CORRUPT },
		{ "one-more", spoil_one_more, DPS_ERROR_CORRUPT },
		{ "few", spoil_few, DPS_ERROR_CORRUPT },
		{ "empty", spoil_empty, DPS_ERROR_CORRUPT },
		{ "many", spoil_many, DPS_ERROR_CORRUPT },
		{ "bomb", spoil_bomb, DPS_ERROR_CORRUPT },
		{ "offset", spoil_offset, DPS_ERROR_CORRUPT },
		{ "old", spoil_old, DPS_ERROR_CHANGED },
		{ "twice", spoil_second, DPS_ERROR_CORRUPT },
		{ "one-byte-twice", spoil_one_byte, DPS_ERROR_CORRUPT },
		{ "file-size", spoil_file_size, DPS_ERROR_CORRUPT },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GByteArray) journal = make_journal();
		g_autoptr(GError) error = NULL;

		g_test_message("%s", rows[i].name);
		rows[i].spoil(journal);
		sum_journal(journal);
		put_journal(self, journal, journal->len);
		g_assert_false(dps_journal_finish(self->medium, NULL, &error));
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, self->journal));
		assert_image(self, 'a', 'a');
		g_assert_true(dps_journal_is_pending(self->medium));
	}
}

/* Who may write the journal decides what is written to the image. */
static void
test_others_journal(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autofree char *elsewhere = g_build_filename(self->dir, "elsewhere", NULL);
	g_autoptr(GError) error = NULL;

	sum_journal(journal);
	put_journal(self, journal, journal->len);
	g_assert_cmpint(g_chmod(self->journal, 0620), ==, 0);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_clear_error(&error);

	g_assert_cmpint(g_chmod(self->journal, 0600), ==, 0);
	if (geteuid() == 0) {
		g_assert_cmpint(chown(self->journal, 65534, 65534), ==, 0);
		g_assert_false(dps_journal_finish(self->medium, NULL, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_clear_error(&error);
		g_assert_cmpint(chown(self->journal, 0, 0), ==, 0);
	}

	g_assert_cmpint(g_rename(self->journal, elsewhere), ==, 0);
	g_assert_cmpint(symlink(elsewhere, self->journal), ==, 0);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	assert_image(self, 'a', 'a');
	g_unlink(elsewhere);
}

/* Whose journal is followed: our own, the image's owner's, root's. */
static void
test_owners(Fixture *self, gconstpointer data)
{
	static const struct {
		uid_t we, image, journal;
		gboolean good;
	} rows[] = {
		{ 0, 65534, 65534, TRUE },	{ 65534, 65533, 65534, TRUE },
		{ 65534, 65534, 0, TRUE },	{ 0, 0, 65534, FALSE },
		{ 65534, 65534, 65533, FALSE }, { 65534, 0, 65533, FALSE },
	};
	g_autoptr(GByteArray) journal = make_journal();

	if (geteuid() != 0) {
		g_test_skip("SKIP: files of somebody else take root");
		return;
	}
	sum_journal(journal);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		gboolean good;

		g_test_message("we %u, image %u, journal %u", rows[i].we, rows[i].image,
			       rows[i].journal);
		put_image(self, FIRST, 'a', EDIT_SIZE);
		put_image(self, SECOND, 'a', EDIT_SIZE);
		/* What is not begun is not finished. */
		if (rows[i].good)
			put_image(self, FIRST, 'b', 512);
		put_journal(self, journal, journal->len);
		g_assert_cmpint(g_chmod(self->journal, 0644), ==, 0);
		g_assert_cmpint(chown(self->image, rows[i].image, 0), ==, 0);
		g_assert_cmpint(chown(self->journal, rows[i].journal, 0), ==, 0);
		/* Who we are, not what we may: the directory may be root's alone. */
		g_assert_cmpint(seteuid(rows[i].we), ==, 0);
		setfsuid(0);
		good = dps_journal_finish(self->medium, NULL, &error);
		g_assert_cmpint(seteuid(0), ==, 0);
		g_assert_cmpint(good, ==, rows[i].good);
		if (!good)
			g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		assert_image(self, good ? 'b' : 'a', good ? 'b' : 'a');
		g_assert_cmpint(dps_journal_is_pending(self->medium), ==, !good);
	}
}

/* As large as nobody's memory: nothing is made room for. */
static void
test_huge_journal(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autoptr(GError) error = NULL;

	sum_journal(journal);
	put_journal(self, journal, journal->len);
	g_assert_cmpint(truncate(self->journal, INT64_C(1) << 40), ==, 0);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_true(dps_journal_is_pending(self->medium));
}

/* A link that leads nowhere has the name, too: it is told of, not written over. */
static void
test_dangling_journal(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(symlink("nowhere", self->journal), ==, 0);
	g_assert_true(dps_journal_is_pending(self->medium));
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_nonnull(strstr(error->message, self->journal));
}

/* The journal lies beside the image itself, whatever name leads to it. */
static void
test_link_to_image(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autofree char *link_dir = g_dir_make_tmp("dps-journal-XXXXXX", NULL);
	g_autofree char *link = g_build_filename(link_dir, "link", NULL);
	g_autoptr(DpsMedium) medium = NULL;
	gboolean finished = FALSE;

	sum_journal(journal);
	put_journal(self, journal, journal->len);
	put_image(self, FIRST, 'b', 512);
	g_assert_cmpint(symlink(self->image, link), ==, 0);
	medium = dps_medium_open(link, DPS_OPEN_WRITABLE | DPS_OPEN_NO_LOCK, NULL);
	g_assert_true(dps_journal_is_pending(medium));
	g_assert_true(dps_journal_finish(medium, &finished, NULL));
	g_assert_true(finished);
	assert_image(self, 'b', 'b');
	g_unlink(link);
	g_rmdir(link_dir);
}

/* Each call fails in turn: what is there is old or new, or the journal can finish it. */
static const struct {
	const char *call;
	int how;
} each[] = {
	{ "open", EACCES },	  { "read", EIO },  { "read", FAULT_END },
	{ "write", ENOSPC },	  { "write", EIO }, { "write", FAULT_END },
	{ "write", FAULT_SHORT }, { "flush", EIO }, { "write", EINTR },
	{ "realpath", EACCES },	  { "fstat", EIO }, { "unlink", EACCES },
	{ "write", FAULT_LIE },
};

static void
assert_is_or_gets_whole(Fixture *self, gboolean is_said_written)
{
	g_autofree char *bytes = NULL;
	g_autoptr(GError) error = NULL;

	g_assert_true(dps_journal_finish(self->medium, NULL, &error));
	g_assert_no_error(error);
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
	g_assert_true(g_file_get_contents(self->image, &bytes, NULL, NULL));
	if (is_said_written)
		g_assert_cmpint(bytes[FIRST], ==, 'b');
	assert_image(self, bytes[FIRST], bytes[FIRST]);
	g_assert_true(bytes[FIRST] == 'a' || bytes[FIRST] == 'b');
	put_image(self, FIRST, 'a', EDIT_SIZE);
	put_image(self, SECOND, 'a', EDIT_SIZE);
}

static void
test_each_call_of_writing(Fixture *self, gconstpointer data)
{
	/* Once, or from then on: then nothing can be put back either. */
	for (guint i = 0; i < 2 * G_N_ELEMENTS(each); i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			g_autoptr(GPtrArray) edits = make_edits();
			g_autoptr(GError) error = NULL;
			guint row = i / 2;
			gboolean written;

			if (i % 2 == 1 && (each[row].how == EINTR || each[row].how == FAULT_LIE))
				break;
			g_test_message("call %s, fault %d, %u", each[row].call, each[row].how, nth);
			g_assert_cmpuint(nth, <, 200);
			if (i % 2 == 0)
				fault_set(each[row].call, nth, each[row].how);
			else
				fault_set_from(each[row].call, nth, each[row].how);
			written = dps_journal_write_edits(self->medium, 0, edits, NULL, &error);
			was_reached = fault_clear();
			g_assert_cmpint(written, ==, error == NULL);
			if (!was_reached)
				g_assert_true(written);
			assert_is_or_gets_whole(self, written);
		}
}

static void
test_each_call_of_finishing(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();

	sum_journal(journal);
	for (guint i = 0; i < G_N_ELEMENTS(each); i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			g_autoptr(GError) error = NULL;
			gboolean finished = FALSE, good;

			g_assert_cmpuint(nth, <, 200);
			put_image(self, FIRST, 'b', 512);
			put_journal(self, journal, journal->len);
			fault_set(each[i].call, nth, each[i].how);
			good = dps_journal_finish(self->medium, &finished, &error);
			was_reached = fault_clear();
			g_assert_cmpint(good, ==, error == NULL);
			g_assert_cmpint(good, ==, finished);
			assert_is_or_gets_whole(self, good);
		}
}

/* What was put back by other means: the journal goes, or it is said that it stays. */
static void
test_remove(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *calls[2]; /* that fail */
		gboolean good, is_pending;
	} rows[] = {
		/* either the mark or the removal is on the medium */
		{ { "unlink" }, TRUE, FALSE },
		{ { "flush /" }, TRUE, FALSE },
		{ { "open image.dps-journal" }, TRUE, FALSE },
		{ { "fstat image.dps-journal" }, TRUE, FALSE },
		{ { "read image.dps-journal" }, TRUE, FALSE },
		{ { "write image.dps-journal" }, TRUE, FALSE },
		{ { "flush image.dps-journal" }, TRUE, FALSE },
		/* neither */
		{ { "write image.dps-journal", "unlink" }, FALSE, TRUE },
		{ { "write image.dps-journal", "flush /" }, FALSE, FALSE },
		{ { "flush image.dps-journal", "unlink" }, FALSE, FALSE },
		{ { "flush image.dps-journal", "flush /" }, FALSE, FALSE },
	};
	g_autoptr(GByteArray) journal = make_journal();
	g_autoptr(GError) error = NULL;

	g_assert_true(dps_journal_remove(self->medium, &error)); /* none is there */
	g_assert_no_error(error);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%u", i);
		g_unlink(self->journal);
		put_journal(self, journal, journal->len);
		for (guint j = 0; j < 2 && rows[i].calls[j]; j++)
			fault_set(rows[i].calls[j], 1, EIO);
		g_assert_cmpint(dps_journal_remove(self->medium, &error), ==, rows[i].good);
		g_assert_true(fault_clear());
		if (!rows[i].good)
			g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		g_clear_error(&error);
		/* A flush that failed leaves the mark in the cache, and the name is gone by then.
		 */
		g_assert_cmpint(dps_journal_is_pending(self->medium), ==, rows[i].is_pending);
	}

	put_journal(self, journal, journal->len);
	g_assert_true(dps_journal_remove(self->medium, &error));
	g_assert_no_error(error);
	g_assert_false(dps_journal_is_pending(self->medium));
	assert_image(self, 'a', 'a');
}

/* What lies in /dev is gone with the next boot, and is not of the disk whose name it has. */
static void
test_device(Fixture *self, gconstpointer data)
{
	g_autoptr(GByteArray) journal = make_journal();
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(DpsMedium) device = NULL;
	g_autoptr(GError) error = NULL;
	gboolean finished = TRUE, is_left = TRUE;

	fault_set_device(self->image);
	device = dps_medium_open(self->image, DPS_OPEN_WRITABLE | DPS_OPEN_NO_LOCK, &error);
	g_assert_no_error(error);
	g_assert_true(dps_medium_is_device(device));
	g_assert_false(dps_journal_write_edits(device, 0, edits, &is_left, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_assert_nonnull(strstr(error->message, "a block device has no place for a journal"));
	g_clear_error(&error);
	g_assert_false(is_left);
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));

	sum_journal(journal);
	put_journal(self, journal, journal->len);
	g_assert_false(dps_journal_is_pending(device));
	g_assert_true(dps_journal_finish(device, &finished, &error));
	g_assert_no_error(error);
	g_assert_false(finished);
	fault_clear();
	g_assert_true(g_file_test(self->journal, G_FILE_TEST_EXISTS));
	assert_image(self, 'a', 'a');
}

/* Another kind of failure: the directory that the image was in is there no more. */
static void
test_no_place(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) edits = make_edits();
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(g_unlink(self->image), ==, 0);
	g_assert_false(dps_journal_write_edits(self->medium, 0, edits, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_false(dps_journal_finish(self->medium, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_false(dps_journal_is_pending(self->medium));
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(Fixture *self, gconstpointer data);
	} tests[] = {
		{ "/journal/write", test_write },
		{ "/journal/too-much", test_too_much },
		{ "/journal/place-taken", test_place_taken },
		{ "/journal/image-changed-before", test_image_changed_before },
		{ "/journal/finish", test_finish },
		{ "/journal/comes-back", test_comes_back },
		{ "/journal/done-is-in-no-way", test_done_is_in_no_way },
		{ "/journal/mark-nobody-elses", test_mark_nobody_elses },
		{ "/journal/half", test_half_a_journal },
		{ "/journal/damaged", test_damaged_journal },
		{ "/journal/as-many-as-can-be", test_as_many_as_can_be },
		{ "/journal/bad", test_bad_journals },
		{ "/journal/others", test_others_journal },
		{ "/journal/owners", test_owners },
		{ "/journal/huge", test_huge_journal },
		{ "/journal/dangling", test_dangling_journal },
		{ "/journal/link-to-image", test_link_to_image },
		{ "/journal/each-call-of-writing", test_each_call_of_writing },
		{ "/journal/each-call-of-finishing", test_each_call_of_finishing },
		{ "/journal/remove", test_remove },
		{ "/journal/device", test_device },
		{ "/journal/no-place", test_no_place },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].test, tear_down);
	return g_test_run();
}
