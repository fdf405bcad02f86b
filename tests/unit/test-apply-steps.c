/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply-disk.h"
#include "fault.h"
#include "format/checksum.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "make-gpt.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The backup is on the medium before anything else is written, and each step before the next. */
static void
test_order(Fixture *self, gconstpointer data)
{
	static const char *first = "write new, flush new, link backup.json, flush /, ";
	g_autofree char *before = NULL, *after = NULL, *forth = NULL, *again = NULL, *back = NULL;
	g_autoptr(GError) error = NULL;
	gsize size, size_after;
	struct stat st;

	g_assert_true(g_file_get_contents(self->path, &before, &size, NULL));
	assert_disk(self, OLD);
	fault_start_log();
	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	forth = fault_stop_log();
	g_assert_true(g_str_has_prefix(forth, first));
	/* both superblocks, both copies of the leaf, the five steps of the table */
	g_assert_cmpuint(count(forth, "write disk.raw, flush disk.raw"), ==, 9);
	g_assert_cmpuint(count(forth, "write"), ==, 10);
	assert_disk(self, NEW);
	g_assert_cmpint(stat(self->backup, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 0777, ==, 0600);

	fault_start_log();
	g_assert_true(apply(self, self->backup, &error)); /* nothing to do: no file, no refusal */
	again = fault_stop_log();
	g_assert_cmpstr(again, ==, "");

	fault_start_log();
	g_assert_true(undo(self, &error));
	g_assert_no_error(error);
	back = fault_stop_log();
	g_assert_cmpuint(count(back, "write disk.raw, flush disk.raw"), ==, 7);
	g_assert_cmpuint(count(back, "write"), ==, 7);
	assert_disk(self, OLD);
	/* The superblocks keep their flag, as the kernel leaves it: the rest is what it was. */
	g_assert_true(g_file_get_contents(self->path, &after, &size_after, NULL));
	g_assert_cmpuint(size, ==, size_after);
	g_assert_cmpmem(before, ROOT_FIRST * 512, after, ROOT_FIRST * 512);
	g_assert_true(memcmp(before + size - 33 * 512, after + size - 33 * 512, 33 * 512) == 0);
}

/* Every write, flush and link fails in turn: all is as it was, the backup is gone, and it is told.
 */
static void
test_faults(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call;
		int how;
		guint n; /* of such calls */
		gboolean recovers;
	} rows[] = {
		{ "write disk.raw", EIO, 9, FALSE },
		{ "write disk.raw", FAULT_LIE, 9, FALSE },
		{ "write disk.raw", FAULT_SHORT, 9, TRUE },
		{ "flush disk.raw", EIO, 9, FALSE },
		{ "flush disk.raw", EINTR, 9, TRUE },
		{ "write new", ENOSPC, 1, FALSE },
		{ "flush new", EIO, 1, FALSE },
		{ "flush /", EIO, 1, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		for (guint nth = 1; nth <= rows[i].n; nth++) {
			g_autoptr(GError) error = NULL;
			g_autofree char *calls = NULL;
			gboolean good;

			g_test_message("%s %u", rows[i].call, nth);
			put_disk(self);
			fault_start_log();
			fault_set(rows[i].call, nth, rows[i].how);
			good = apply(self, self->backup, &error);
			g_assert_true(fault_clear());
			calls = fault_stop_log();
			/* The default could not be set: the table is not even begun. */
			if (i == 0 && nth <= 4) {
				g_assert_cmpuint(count(calls, "write disk.raw"), ==, 2 * nth);
				g_assert_nonnull(
					strstr(error->message, "disk.raw: partition 2: btrfs: "));
				g_assert_cmpuint(dps_error_get_partition(error), ==, 2);
			}
			g_assert_cmpint(good, ==, rows[i].recovers);
			g_assert_cmpint(has_backup(self), ==, good);
			if (good) {
				assert_disk(self, NEW);
				g_unlink(self->backup);
			} else {
				g_assert_nonnull(strstr(error->message, "nothing was changed: "));
				assert_disk(self, OLD);
			}
		}
}

/* One copy alone would be right until the other is read. */
static void
assert_leaves_agree(Fixture *self)
{
	const uint32_t size = self->image.node_size;
	g_autofree uint8_t *one = g_malloc(size), *other = g_malloc(size);
	int fd = open(self->path, O_RDONLY | O_CLOEXEC);

	g_assert_cmpint(pread(fd, one, size, (off_t)(ROOT_FIRST * 512 + self->image.roots[0])), ==,
			size);
	g_assert_cmpint(pread(fd, other, size, (off_t)(ROOT_FIRST * 512 + self->image.roots[1])),
			==, size);
	close(fd);
	g_assert_cmpmem(one, size, other, size);
}

/* The disk goes away at each write: what is left is told, leads to no wrong root, and is finished.
 */
static void
test_cut_off(Fixture *self, gconstpointer data)
{
	for (int back = 0; back < 2; back++)
		for (guint nth = 1; nth <= (back ? 7 : 9); nth++) {
			g_autoptr(GError) error = NULL;
			g_autofree char *state = NULL;
			gboolean table_new;

			if (back) {
				g_unlink(self->backup);
				g_assert_true(apply(self, self->backup, &error));
			} else {
				put_disk(self);
			}
			g_test_message("%s %u", back ? "undo" : "apply", nth);
			fault_set_from("write disk.raw", nth, EIO);
			g_assert_false(back ? undo(self, &error)
					    : apply(self, self->backup, &error));
			g_assert_true(fault_clear());
			g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);

			state = describe(self);
			table_new = strstr(state, "2 4f68bce3") != NULL;
			if (table_new)
				g_assert_nonnull(strstr(state, "default 256;"));
			if (!strstr(error->message, "nothing was changed"))
				g_assert_true(has_backup(self));
			/* Of the first write there is nothing: then nothing is in between. */
			if (nth == 1) {
				g_assert_nonnull(strstr(error->message, "reads as it was before"));
				g_assert_cmpstr(state, ==, back ? NEW : OLD);
			} else if (!strstr(error->message, "nothing was changed")) {
				g_assert_nonnull(strstr(error->message, "left in between"));
			}
			g_clear_error(&error);
			if (back) {
				g_assert_true(undo(self, &error));
				assert_disk(self, OLD);
				assert_leaves_agree(self);
				continue;
			}
			/* The same call again: the backup that is there is of this run, and stays.
			 */
			g_assert_true(apply(self, self->backup, &error));
			g_assert_no_error(error);
			assert_disk(self, NEW);
			g_assert_true(undo(self, &error));
			g_assert_no_error(error);
			assert_disk(self, OLD);
			g_unlink(self->backup);
		}
}

/* The leaf that is read first is torn: the other says that all is taken back, and it is not. */
static void
test_torn_undo(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(apply(self, self->backup, &error));
	fault_set("write disk.raw", 7, FAULT_SHORT);
	fault_set_from("write disk.raw", 8, EIO);
	g_assert_false(undo(self, &error));
	g_assert_true(fault_clear());
	g_clear_error(&error);
	g_assert_true(undo(self, &error));
	g_assert_no_error(error);
	assert_disk(self, OLD);
	assert_leaves_agree(self);
}

/* One copy, and a checksum that no four bytes can keep: such edits go to a journal first. */
static gboolean
need_a_journal(Fixture *self)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	if (!dps_checksum_compute(DPS_CHECKSUM_SHA256, (const uint8_t *)"", 0, sum, NULL)) {
		g_test_skip("built without SHA-256");
		return FALSE;
	}
	btrfs_image_clear(&self->image);
	self->image =
		(BtrfsImage){ .n_copies = 1, .default_id = 5, .checksum = DPS_CHECKSUM_SHA256 };
	btrfs_image_make(&self->image);
	return TRUE;
}

/* The disk goes away in the middle of a write that a journal is for: until it is finished, the
 * journal stays, whatever else went wrong. */
static void
test_journal_is_kept(Fixture *self, gconstpointer data)
{
	guint n_kept = 0;
	g_autofree char *journal = g_strconcat(self->path, ".dps-journal", NULL);

	if (!need_a_journal(self))
		return;

	/* Torn in the middle, or not begun. */
	for (guint i = 2; i <= 2 * 10 + 1; i++) {
		g_autoptr(GError) error = NULL;
		guint nth = i / 2;

		put_disk(self);
		g_test_message("%u", i);
		fault_set("write disk.raw", nth, i % 2 ? EIO : FAULT_SHORT);
		fault_set_from("write disk.raw", nth + 1, EIO);
		if (apply(self, "none", &error)) {
			fault_clear();
			break;
		}
		fault_clear();
		if (g_file_test(journal, G_FILE_TEST_EXISTS)) {
			g_assert_nonnull(strstr(error->message, "the journal beside it has"));
			n_kept++;
		}
		g_clear_error(&error);
		g_assert_true(apply(self, "none", &error));
		g_assert_no_error(error);
		assert_disk(self, NEW);
		g_assert_false(g_file_test(journal, G_FILE_TEST_EXISTS));
	}
	g_assert_cmpuint(n_kept, >, 0);
}

/* One that has its name and could not be flushed nor removed at once would be finished by the next
 * run, which may want something else. */
static void
test_journal_is_removed(Fixture *self, gconstpointer data)
{
	g_autofree char *journal = g_strconcat(self->path, ".dps-journal", NULL);
	g_autoptr(GError) error = NULL;

	if (!need_a_journal(self))
		return;
	put_disk(self);
	fault_set("flush /", 1, EIO);
	fault_set("unlink disk.raw.dps-journal", 1, EACCES);
	g_assert_false(apply(self, "none", &error));
	g_assert_true(fault_clear());
	g_assert_true(g_str_has_prefix(error->message, "nothing was changed: "));
	g_assert_false(g_file_test(journal, G_FILE_TEST_EXISTS));
	assert_disk(self, OLD);
}

/* Each read fails in turn: nothing is half done for it, and nobody's error is lost. */
static void
test_reads(Fixture *self, gconstpointer data)
{
	guint n_lost = 0;

	for (guint nth = 1; nth < 400; nth++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = open_disk(self);
		g_autoptr(DpsPlan) plan = make_plan(disk);
		gboolean good, was_reached;

		g_assert_true(dps_plan_prepare(plan, NULL));
		fault_set("read disk.raw", nth, EIO);
		good = dps_plan_apply(plan, "none", &error);
		was_reached = fault_clear();
		/* All of them were given a type: not while what they hold cannot be seen. */
		for (guint i = 0; good && i < dps_disk_get_n_partitions(disk); i++)
			g_assert_null(
				dps_partition_get_content_problem(dps_disk_get_partition(disk, i)));
		g_clear_pointer(&plan, dps_plan_unref);
		g_clear_pointer(&disk, dps_disk_unref);
		assert_disk(self, good ? NEW : OLD);
		g_assert_cmpint(good, ==, error == NULL);
		/* Also where it is the table that is read again: nobody changed it. */
		if (!good) {
			g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
			g_assert_nonnull(strstr(error->message, "nothing was changed: "));
			g_assert_null(strstr(error->message, "reads back otherwise"));
			n_lost += strstr(error->message, "cannot be read any more") != NULL;
		}
		if (!was_reached) {
			g_assert_cmpuint(n_lost, >, 0);
			return;
		}
		if (good)
			put_disk(self);
	}
	g_assert_not_reached();
}

/* All is there but the last step of the table: it is finished, and there is nothing to undo. */
static void
test_only_the_table(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fault_set_from("write disk.raw", 9, EIO);
	g_assert_false(apply(self, "none", &error));
	g_assert_true(fault_clear());
	g_assert_nonnull(strstr(error->message, "left in between"));
	g_clear_error(&error);
	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	assert_disk(self, NEW);
	g_assert_false(has_backup(self));
}

/* A bad backup of the table is made good along the way, which is nothing to take back. */
static void
test_table_is_made_good(Fixture *self, gconstpointer data)
{
	static const uint8_t zeros[512];
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	int fd = open(self->path, O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(pwrite(fd, zeros, 512, (N_SECTORS - 1) * 512), ==, 512);
	close(fd);
	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	assert_disk(self, NEW);
	g_assert_true(g_file_get_contents(self->backup, &text, NULL, NULL));
	g_assert_null(strstr(text, "table"));
	g_assert_true(undo(self, &error));
	g_assert_no_error(error);
	assert_disk(self, OLD);
}

/* apply() plans by itself what nobody has planned, and then may refuse it. */
static void
test_not_planned(Fixture *self, gconstpointer data)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_plan(disk);
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL;

	dps_plan_set_btrfs_default(plan, "no/such");
	fault_start_log();
	g_assert_false(dps_plan_apply(plan, self->backup, &error));
	calls = fault_stop_log();
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_cmpstr(calls, ==, "");
	g_clear_error(&error);

	/* It can be put right, and is not spent. */
	dps_plan_set_btrfs_default(plan, "root");
	g_assert_true(dps_plan_apply(plan, self->backup, &error));
	g_assert_no_error(error);
	g_assert_true(dps_plan_get_applied(plan));
	g_assert_cmpstr(dps_plan_get_backup(plan), ==, self->backup);

	/* Now it is: what it was made from is not there any more. */
	g_test_expect_message(NULL, G_LOG_LEVEL_CRITICAL, "*DPS_PLAN_SPENT*");
	g_assert_false(dps_plan_apply(plan, self->backup, &error));
	g_test_assert_expected_messages();
}

static guint64
get_default(DpsDisk *disk)
{
	return dps_subvolume_get_id(
		dps_partition_get_default_subvolume(dps_disk_get_partition_by_number(disk, 2)));
}

/* Whoever has the disk open sees in it what is on it, also when all was put back. */
static void
test_the_object_afterwards(Fixture *self, gconstpointer data)
{
	g_autoptr(DpsDisk) disk = open_disk(self), again = NULL;
	g_autoptr(DpsPlan) plan = make_plan(disk), second = NULL;
	g_autoptr(GError) error = NULL;

	g_assert_cmpuint(get_default(disk), ==, 5);
	fault_set("flush disk.raw", 9, EIO);
	g_assert_false(dps_plan_apply(plan, "none", &error));
	g_assert_true(fault_clear());
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	g_assert_cmpuint(get_default(disk), ==, 5);

	second = make_plan(disk);
	g_assert_true(dps_plan_apply(second, "none", &error));
	g_assert_no_error(error);
	g_assert_cmpuint(get_default(disk), ==, 256);
	g_assert_cmpstr(dps_partition_get_type_uuid(dps_disk_get_partition_by_number(disk, 1)), ==,
			"c12a7328-f81f-11d2-ba4b-00a0c93ec93b");

	/* The writer is closed, and its lock with it: that is what udev waits for. */
	again = dps_disk_open(self->path, DPS_OPEN_WRITABLE | DPS_OPEN_LOCK_NONBLOCK, &error);
	g_assert_no_error(error);
	g_assert_nonnull(again);
}

static void
test_refusals(Fixture *self, gconstpointer data)
{
	g_autofree char *nowhere = g_build_filename(self->dir, "no", "where.json", NULL);
	g_autofree char *nowhere_dir = g_strconcat(self->dir, "/", NULL);
	g_autoptr(DpsDisk) reader = dps_disk_open(self->path, DPS_OPEN_READ_ONLY, NULL);
	g_autoptr(DpsPlan) plan = make_plan(reader);
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL;

	fault_start_log();
	g_assert_false(dps_plan_apply(plan, self->backup, &error));
	calls = fault_stop_log();
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	g_assert_nonnull(strstr(error->message, "was opened to read only"));
	g_assert_cmpstr(calls, ==, "");
	g_clear_error(&error);
	g_assert_false(apply(self, nowhere, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	assert_disk(self, OLD);

	g_assert_false(apply(self, nowhere_dir, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
	g_assert_nonnull(strstr(error->message, "a directory: name a file in it"));
	g_clear_error(&error);
	assert_disk(self, OLD);

	/* An image keeps no backup unless one is named: nowhere. */
	g_clear_pointer(&calls, g_free);
	fault_start_log();
	g_assert_true(apply(self, NULL, &error));
	calls = fault_stop_log();
	g_assert_null(strstr(calls, "link"));
	assert_disk(self, NEW);
	g_assert_false(has_backup(self));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/apply-steps/order", test_order);
	ADD("/apply-steps/faults", test_faults);
	ADD("/apply-steps/cut-off", test_cut_off);
	ADD("/apply-steps/torn-undo", test_torn_undo);
	ADD("/apply-steps/journal-is-kept", test_journal_is_kept);
	ADD("/apply-steps/journal-is-removed", test_journal_is_removed);
	ADD("/apply-steps/reads", test_reads);
	ADD("/apply-steps/only-the-table", test_only_the_table);
	ADD("/apply-steps/table-is-made-good", test_table_is_made_good);
	ADD("/apply-steps/not-planned", test_not_planned);
	ADD("/apply-steps/the-object-afterwards", test_the_object_afterwards);
	ADD("/apply-steps/refusals", test_refusals);
#undef ADD
	return g_test_run();
}
