/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply-disk.h"
#include "fault.h"
#include "ground/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Another disk, a partition that was made anew, a value that somebody changed since. */
static void
test_undo_refusals(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *name;
		off_t at; /* on the disk, of the primary table */
		uint8_t to;
		gint code;
	} rows[] = {
		{ "disk-uuid", 512 + 56, 0x99, DPS_ERROR_REFUSED },
		{ "partition-uuid", 1024 + 16, 0x99, DPS_ERROR_CHANGED },
		{ "partition-start", 1024 + 3 * 128 + 32, 0xf5, DPS_ERROR_CHANGED },
		{ "partition-gone", 1024 + 3 * 128, 0, DPS_ERROR_CHANGED },
		{ "type", 1024, 0x99, DPS_ERROR_CHANGED },
		{ "flags", 1024 + 128 + 48, 0x04, DPS_ERROR_CHANGED },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *before = NULL, *after = NULL;

		g_test_message("%s", rows[i].name);
		put_disk(self);
		g_unlink(self->backup);
		g_assert_true(apply(self, self->backup, NULL));
		if (g_str_equal(rows[i].name, "partition-gone"))
			for (off_t at = rows[i].at; at < rows[i].at + 128; at++)
				set_byte(self, at, 0);
		else
			set_byte(self, rows[i].at, rows[i].to);
		before = describe(self);
		g_assert_false(undo(self, &error));
		g_assert_error(error, DPS_ERROR, rows[i].code);
		after = describe(self);
		g_assert_cmpstr(before, ==, after);
	}
}

static void
put_bytes(Fixture *self, uint64_t at, const void *bytes, size_t size)
{
	int fd = open(self->path, O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(pwrite(fd, bytes, size, (off_t)at), ==, size);
	close(fd);
}

static void
spoil_nothing(Fixture *self)
{
}

/* Made anew with another file system: what blkid and we know a btrfs by is gone. */
static void
spoil_btrfs(Fixture *self)
{
	static const uint8_t zeros[4096];

	for (uint64_t at = 65536; at < ROOT_SECTORS * 512; at <<= 10)
		put_bytes(self, ROOT_FIRST * 512 + at, zeros, sizeof(zeros));
}

/* Both copies of the root tree. */
static void
spoil_trees(Fixture *self)
{
	for (int copy = 0; copy < 2; copy++)
		put_bytes(self, ROOT_FIRST * 512 + self->image.roots[copy] + 200, "x", 1);
}

static void
spoil_subvolume(Fixture *self)
{
	change_backup(self, "\"id\": 5", "\"id\": 300");
}

static void
spoil_default(Fixture *self)
{
	change_backup(self, "\"id\": 256", "\"id\": 257");
}

static void
spoil_primary(Fixture *self)
{
	put_bytes(self, 512 + 56, "x", 1);
}

static void
spoil_disk(Fixture *self)
{
	g_assert_cmpint(truncate(self->path, 512), ==, 0);
	g_assert_cmpint(truncate(self->path, N_SECTORS * 512), ==, 0);
}

/* What cannot be read, found or written any more: told before anything is written. */
static void
test_what_is_gone(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *name;
		void (*spoil)(Fixture *self);
		gint code; /* 0: it is done */
		const char *says;
	} rows[] = {
		{ "nothing", spoil_nothing, 0, NULL },
		{ "btrfs", spoil_btrfs, DPS_ERROR_NOT_FOUND,
		  "disk.raw: partition 2: its btrfs cannot be read: mount it" },
		{ "trees", spoil_trees, DPS_ERROR_CORRUPT, "disk.raw: partition 2: btrfs: " },
		{ "subvolume", spoil_subvolume, DPS_ERROR_NOT_FOUND,
		  "subvolume 300: there is none" },
		{ "default", spoil_default, DPS_ERROR_CHANGED,
		  "its btrfs-default is neither what it was nor what it was changed to" },
		{ "primary", spoil_primary, DPS_ERROR_REFUSED, "the primary " },
		{ "disk", spoil_disk, DPS_ERROR_NO_TABLE, "disk.raw: no GUID partition table" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *before = NULL, *after = NULL, *calls = NULL;
		gsize size, size_after;
		gboolean good;

		g_test_message("%s", rows[i].name);
		put_disk(self);
		g_unlink(self->backup);
		g_assert_true(apply(self, self->backup, NULL));
		rows[i].spoil(self);
		g_assert_true(g_file_get_contents(self->path, &before, &size, NULL));
		fault_start_log();
		good = undo(self, &error);
		calls = fault_stop_log();
		if (rows[i].code == 0) {
			g_assert_true(good);
			continue;
		}
		g_assert_false(good);
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, rows[i].says));
		g_assert_cmpstr(calls, ==, "");
		g_assert_true(g_file_get_contents(self->path, &after, &size_after, NULL));
		g_assert_cmpmem(before, size, after, size_after);
	}
}

/* The last first, and the table before the defaults: in the order in which it is done. */
static void
test_order_of_changes(Fixture *self, gconstpointer data)
{
	static const struct {
		guint partition;
		const char *kind;
	} wanted[] = {
		{ 4, "type" }, { 2, "flags" }, { 2, "type" }, { 1, "type" }, { 2, "btrfs-default" },
	};
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(DpsPlan) plan = NULL;
	GPtrArray *changes;

	g_assert_true(apply(self, self->backup, &error));
	disk = open_disk(self);
	plan = make_undo(self, disk, &error);
	g_assert_no_error(error);
	changes = dps_plan_get_changes(plan);
	for (guint i = 0; i < changes->len; i++)
		g_test_message("%u %s", dps_change_get_partition(changes->pdata[i]),
			       dps_change_kind_to_string(dps_change_get_kind(changes->pdata[i])));
	g_assert_cmpuint(changes->len, ==, G_N_ELEMENTS(wanted));
	for (guint i = 0; i < changes->len; i++) {
		DpsChange *change = changes->pdata[i];

		g_assert_cmpuint(dps_change_get_partition(change), ==, wanted[i].partition);
		g_assert_cmpstr(dps_change_kind_to_string(dps_change_get_kind(change)), ==,
				wanted[i].kind);
	}
}

/* What is taken back already is no change. */
static void
test_twice(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(DpsPlan) plan = NULL;
	g_autofree char *calls = NULL;

	g_assert_true(apply(self, self->backup, &error));
	g_assert_true(undo(self, &error));
	disk = open_disk(self);
	plan = make_undo(self, disk, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(dps_plan_get_changes(plan)->len, ==, 0);
	fault_start_log();
	g_assert_true(dps_plan_apply(plan, "none", &error));
	calls = fault_stop_log();
	g_assert_cmpstr(calls, ==, "");
	assert_disk(self, OLD);
}

/* Behind the last write both copies of the leaf are read back; the third is what is read then. */
static void
fail_to_read(gpointer data)
{
	fault_set("read disk.raw", 3, EIO);
}

/*
 * An undo that has written everything and fails then puts everything back, the default first:
 * wherever that is cut off, a table that says where root is leads to the right subvolume.
 */
static void
test_put_back_is_cut_off(Fixture *self, gconstpointer data)
{
	guint n_writes = 0;

	for (guint nth = 8; n_writes < 7 + 7; nth++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *state = NULL, *calls = NULL;

		put_disk(self);
		g_unlink(self->backup);
		g_assert_true(apply(self, self->backup, &error));
		fault_start_log();
		fault_set_event("flush disk.raw", 7, fail_to_read, NULL);
		fault_set_from("write disk.raw", nth, EIO);
		g_assert_false(undo(self, &error));
		fault_clear();
		calls = fault_stop_log();
		state = describe(self);
		g_test_message("%u: %s: %s", nth, state, error->message);
		if (strstr(state, "2 4f68bce3"))
			g_assert_nonnull(strstr(state, "default 256;"));
		if (nth == 8 + 7) {
			n_writes = 7 + 7;
			g_assert_cmpuint(count(calls, "write disk.raw, flush disk.raw"), ==,
					 n_writes);
			g_assert_true(g_str_has_prefix(error->message, "nothing was changed: "));
			assert_disk(self, NEW);
		} else {
			g_assert_nonnull(strstr(error->message, "left in between"));
		}
		g_clear_error(&error);
		g_assert_true(undo(self, &error));
		g_assert_no_error(error);
		assert_disk(self, OLD);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/undo/refusals", test_undo_refusals);
	ADD("/undo/what-is-gone", test_what_is_gone);
	ADD("/undo/order-of-changes", test_order_of_changes);
	ADD("/undo/twice", test_twice);
	ADD("/undo/put-back-is-cut-off", test_put_back_is_cut_off);
#undef ADD
	return g_test_run();
}
