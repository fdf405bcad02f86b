/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply-disk.h"
#include "fault.h"
#include "format/gpt.h"
#include "ground/error.h"
#include "make-gpt.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Another program, which takes no lock, at the worst moments. */

static void
rename_by_another(void *data)
{
	Fixture *self = data;
	int fd = open(self->path, O_RDWR | O_CLOEXEC);
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);

	g_assert_cmpint(pread(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	disk.bytes[1024 + 56] = 'X';
	test_disk_seal(&disk, 1);
	g_assert_cmpint(pwrite(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	close(fd);
}

/* Somebody without a lock: seen before the first write, whenever it was. */
static void
test_changed(Fixture *self, gconstpointer data)
{
	/* What differs from the plan: an entry, or the header alone. */
	for (int header = 0; header < 2; header++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *calls = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsPlan) plan = NULL;

		put_disk(self);
		disk = open_disk(self);
		plan = make_plan(disk);
		g_assert_true(dps_plan_prepare(plan, &error));
		if (header) {
			int fd = open(self->path, O_RDWR | O_CLOEXEC);
			uint8_t byte = 0x78; /* behind the header: no checksum covers it */

			g_assert_cmpint(pwrite(fd, &byte, 1, 1023), ==, 1);
			close(fd);
		} else {
			rename_by_another(self);
		}
		fault_start_log();
		g_assert_false(dps_plan_apply(plan, self->backup, &error));
		calls = fault_stop_log();
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
		g_assert_cmpstr(calls, ==, "");
		g_assert_false(has_backup(self));
	}
}

/* As other tools do it: both copies, whatever is there. */
static void
put_their_table(void *data)
{
	Fixture *self = data;
	int fd = open(self->path, O_WRONLY | O_CLOEXEC);

	put_table(fd, 0x99);
	close(fd);
}
#define THEIRS "4 14141499 0 -; whole"

/* When the table is compared, the cache may hold what was on the disk a while ago. */
static void
test_changed_in_the_cache(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL;
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_plan(disk);

	g_assert_true(dps_plan_prepare(plan, &error));
	fault_start_log();
	fault_set_event("advise", 1, put_their_table, self);
	g_assert_false(dps_plan_apply(plan, self->backup, &error));
	g_assert_true(fault_clear());
	calls = fault_stop_log();
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_assert_nonnull(strstr(error->message, "the partition table was changed since"));
	g_assert_cmpstr(calls, ==, "");
}

/* Behind the comparison of the table, when the backup is being written: the sector that is about to
 * be written is compared again. */
static void
test_changed_late(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fault_set_event("flush /", 1, put_their_table, self);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_assert_true(g_str_has_prefix(error->message, "nothing was changed: "));
	assert_disk(self, "1 11111111 0 EFI; 2 12121212 0 root; default 5; " THEIRS);
	g_assert_false(has_backup(self));
	g_clear_error(&error);

	put_disk(self);
	fault_set_event("flush /", 1, rename_by_another, self);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	/* Theirs is no table of ours that was cut off: it is not put back, and that is no trouble.
	 */
	g_assert_true(g_str_has_prefix(error->message, "nothing was changed: "));
	assert_disk(self, "1 11111111 0 XFI; 2 12121212 0 root; default 5; 4 14141414 0 -; half");
	g_assert_false(has_backup(self));
}

/* Behind our first write of the table, and not to that place: ours is taken back before it is said
 * that nothing was changed. */
static void
test_changed_between_two_writes(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *before = NULL, *after = NULL, *calls = NULL;
	gsize size;

	g_assert_true(g_file_get_contents(self->path, &before, &size, NULL));
	fault_start_log();
	/* Behind both superblocks and both leaves. */
	fault_set_event("flush disk.raw", 5, rename_by_another, self);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	calls = fault_stop_log();
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_assert_true(g_str_has_prefix(error->message, "nothing was changed: "));
	g_assert_false(has_backup(self));
	g_assert_true(g_file_get_contents(self->path, &after, &size, NULL));
	g_assert_cmpmem(before + (N_SECTORS - 33) * 512, 33 * 512, after + (N_SECTORS - 33) * 512,
			33 * 512);
}

/* Half of theirs and half of the old one would be a table that is damaged: there is none. */
static void
test_changed_while_it_is_read(Fixture *self, gconstpointer data)
{
	guint n_theirs = 0, nth;

	for (nth = 1;; nth++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		const DpsGpt *gpt;

		g_assert_cmpuint(nth, <, 500);
		put_disk(self);
		fault_set_event("read disk.raw", nth, put_their_table, self);
		disk = dps_disk_open(self->path, DPS_OPEN_READ_ONLY, &error);
		g_assert_no_error(error);
		if (!fault_clear())
			break;
		gpt = dps_disk_get_gpt(disk);
		/* Or libfdisk, which reads behind us, has theirs. */
		if (!gpt) {
			g_assert_false(dps_disk_require_table(disk, &error));
			g_assert_nonnull(strstr(error->message, "differently"));
			continue;
		}
		g_assert_true(gpt->primary.good && gpt->backup.good && !gpt->copies_differ);
		n_theirs += g_str_has_prefix(
			dps_partition_get_type_uuid(dps_disk_get_partition_by_number(disk, 4)),
			"14141499");
	}
	g_assert_cmpuint(n_theirs, >, 3);
	g_assert_cmpuint(n_theirs, <, nth - 1);
}

/*
 * Behind our last comparison of what was written nothing looks at the bytes again, but the table
 * and the file system are read once more, and must say what was planned.
 */
static void
test_changed_at_each_read(Fixture *self, gconstpointer data)
{
	guint n_seen_by_reading = 0;

	for (guint nth = 1;; nth++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsPlan) plan = NULL;
		g_autofree char *state = NULL;
		gboolean good;

		g_assert_cmpuint(nth, <, 500);
		put_disk(self);
		g_unlink(self->backup);
		disk = open_disk(self);
		plan = make_plan(disk);
		g_assert_true(dps_plan_prepare(plan, &error));
		fault_set_event("read disk.raw", nth, put_their_table, self);
		good = dps_plan_apply(plan, self->backup, &error);
		g_assert_true(fault_clear());
		state = describe(self);
		g_test_message("%u: %s: %s", nth, state, good ? "done" : error->message);
		/* What they wrote stays as it is, all of it. */
		g_assert_true(g_str_has_prefix(state, "1 11111111 0 EFI; 2 12121212 0 root; "));
		g_assert_true(g_str_has_suffix(state, THEIRS));
		if (good)
			break; /* all was seen to be good before */
		if (strstr(error->message, ": reads back otherwise than it was written")) {
			n_seen_by_reading++;
			g_assert_nonnull(strstr(error->message, "another program wrote to the disk "
								"meanwhile"));
			g_assert_nonnull(strstr(error->message, "dps-tag undo "));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
			g_assert_cmpuint(dps_error_get_partition(error), ==, 1);
			g_assert_true(has_backup(self));
		} else if (strstr(error->message, "nothing was changed")) {
			g_assert_nonnull(strstr(state, "default 5;"));
			g_assert_false(has_backup(self));
		}
	}
	g_assert_cmpuint(n_seen_by_reading, >, 0);
}

/* What somebody makes of our new table: a byte of partition 4's entry, in both copies. */
typedef struct {
	Fixture *self;
	off_t at;
	uint8_t mask;
} Byte;

static void
change_new_table(void *data)
{
	const Byte *byte = data;
	uint8_t *bytes = g_malloc(N_SECTORS * 512);
	TestDisk disk = { .sector_size = 512,
			  .n_sectors = N_SECTORS,
			  .n_entries = 128,
			  .entry_size = 128,
			  .bytes = bytes,
			  .size = N_SECTORS * 512 };
	const off_t places[] = { 0, (N_SECTORS - 33) * 512 };
	const size_t sizes[] = { 34 * 512, 33 * 512 };
	int fd = open(byte->self->path, O_RDWR | O_CLOEXEC);

	for (guint i = 0; i < 2; i++)
		g_assert_cmpint(pread(fd, bytes + places[i], sizes[i], places[i]), ==, sizes[i]);
	for (guint i = 0; i < 2; i++)
		bytes[(i ? places[1] : 1024) + (off_t)3 * 128 + byte->at] ^= byte->mask;
	test_disk_seal(&disk, 1);
	test_disk_seal(&disk, N_SECTORS - 1);
	for (guint i = 0; i < 2; i++)
		g_assert_cmpint(pwrite(fd, bytes + places[i], sizes[i], places[i]), ==, sizes[i]);
	close(fd);
	g_free(bytes);
}

/* Behind the last write its five places are compared, each in a read. */
static void
change_behind_comparison(void *data)
{
	fault_set_event("read disk.raw", 6, change_new_table, data);
}

/* Every thing that was changed is looked at when all is written and compared. */
static void
test_each_thing_is_read_back(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *kind;
		off_t at;
		uint8_t mask;
	} rows[] = { { "type", 0, 1 }, { "flags", 48, 4 }, { "uuid", 16, 1 }, { "name", 56, 2 } };

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		Byte byte = { self, rows[i].at, rows[i].mask };
		g_autofree char *wanted =
			g_strdup_printf("partition 4: %s: reads back otherwise", rows[i].kind);
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsPlan) plan = NULL;

		g_test_message("%s", rows[i].kind);
		put_disk(self);
		disk = open_disk(self);
		plan = dps_plan_new(disk, NULL, &error);
		dps_plan_set_names(plan, TRUE);
		g_assert_true(
			dps_plan_set_machine_id(plan, "0123456789abcdef0123456789abcdef", &error));
		g_assert_true(dps_plan_assign(plan, DPS_ROLE_VAR, DPS_ARCH_NONE, 4, DPS_FLAG_GROWFS,
					      0, &error));
		g_assert_true(dps_plan_prepare(plan, &error));
		fault_set_event("flush disk.raw", 5, change_behind_comparison, &byte);
		g_assert_false(dps_plan_apply(plan, "none", &error));
		g_assert_true(fault_clear());
		g_assert_nonnull(strstr(error->message, wanted));
	}
}

static void
wipe_btrfs(Fixture *self)
{
	static const uint8_t zeros[4096];
	int fd = open(self->path, O_WRONLY | O_CLOEXEC);

	for (uint64_t at = 65536; at < ROOT_SECTORS * 512; at <<= 10)
		g_assert_cmpint(pwrite(fd, zeros, sizeof(zeros), (off_t)(ROOT_FIRST * 512 + at)),
				==, sizeof(zeros));
	close(fd);
}

static void
remove_partition_2(Fixture *self)
{
	for (off_t at = 1024 + 128; at < 1024 + 256; at++)
		set_byte(self, at, 0);
}

static void
remove_table(Fixture *self)
{
	g_assert_cmpint(truncate(self->path, 512), ==, 0);
	g_assert_cmpint(truncate(self->path, N_SECTORS * 512), ==, 0);
}

static void
change_nothing(Fixture *self)
{
}

/* The disk was read again between the plan and its run: the plan is of what was there before. */
static void
test_read_again(Fixture *self, gconstpointer data)
{
	static const struct {
		void (*change)(Fixture *self);
		gint code; /* 0: it is done */
		const char *says;
	} rows[] = {
		{ change_nothing, 0, NULL },
		{ remove_partition_2, DPS_ERROR_CHANGED, "the partition table was changed since" },
		{ remove_table, DPS_ERROR_CHANGED, "the partition table was changed since" },
		{ wipe_btrfs, DPS_ERROR_NOT_FOUND,
		  "nothing was changed: disk.raw: partition 2: its btrfs cannot be read" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsPlan) plan = NULL;
		g_autofree char *calls = NULL;
		g_auto(GStrv) parts = NULL;
		g_autofree char *said = NULL;
		gboolean good;

		put_disk(self);
		disk = open_disk(self);
		plan = make_plan(disk);
		g_assert_true(dps_plan_prepare(plan, &error));
		rows[i].change(self);
		g_assert_true(dps_disk_refresh(disk, &error));
		g_assert_no_error(error);
		fault_start_log();
		good = dps_plan_apply(plan, self->backup, &error);
		calls = fault_stop_log();
		if (rows[i].code == 0) {
			g_assert_no_error(error);
			g_assert_true(good);
			g_unlink(self->backup);
			continue;
		}
		g_assert_error(error, DPS_ERROR, rows[i].code);
		parts = g_strsplit(error->message, self->path, -1);
		said = g_strjoinv("disk.raw", parts);
		g_assert_nonnull(strstr(said, rows[i].says));
		g_assert_null(strstr(calls, "write disk.raw"));
		g_assert_false(has_backup(self));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/apply-others/changed", test_changed);
	ADD("/apply-others/changed-in-the-cache", test_changed_in_the_cache);
	ADD("/apply-others/changed-late", test_changed_late);
	ADD("/apply-others/changed-between-two-writes", test_changed_between_two_writes);
	ADD("/apply-others/changed-while-it-is-read", test_changed_while_it_is_read);
	ADD("/apply-others/changed-at-each-read", test_changed_at_each_read);
	ADD("/apply-others/each-thing-is-read-back", test_each_thing_is_read_back);
	ADD("/apply-others/read-again", test_read_again);
#undef ADD
	return g_test_run();
}
