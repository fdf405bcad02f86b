/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/dps.h>
#include "btrfs-image.h"
#include "fault.h"
#include "make-gpt.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096
#define FIRST 1024 /* sectors: where partition 4 starts */
#define MACHINE_ID "0123456789abcdef0123456789abcdef"

/*
 * A disk whose partition 4 is a btrfs, in a file; and of its blocks those that hold anything, as
 * they are before, and as they are after a run that nothing disturbed.
 */
typedef struct {
	char *dir, *path, *backup;
	GArray *places; /* of off_t */
	GByteArray *before, *after;
} Fixture;

/* How partition 4's metadata lies, which decides how its default subvolume is written. */
typedef struct {
	const char *name;
	guint n_copies;
} Variant;

static const Variant variants[] = { { "dup", 2 }, { "single", 1 } };

static GByteArray *
read_blocks(Fixture *self)
{
	GByteArray *bytes = g_byte_array_new();
	uint8_t block[BLOCK];
	int fd = open(self->path, O_RDONLY | O_CLOEXEC);

	for (guint i = 0; i < self->places->len; i++) {
		g_assert_cmpint(pread(fd, block, BLOCK, g_array_index(self->places, off_t, i)), ==,
				BLOCK);
		g_byte_array_append(bytes, block, BLOCK);
	}
	close(fd);
	return bytes;
}

static gboolean
is_like(Fixture *self, const GByteArray *wanted)
{
	g_autoptr(GByteArray) now = read_blocks(self);

	return memcmp(now->data, wanted->data, wanted->len) == 0;
}

static void
reset(Fixture *self, const GByteArray *to)
{
	int fd = open(self->path, O_WRONLY | O_CLOEXEC);

	for (guint i = 0; i < self->places->len; i++)
		g_assert_cmpint(pwrite(fd, to->data + (size_t)i * BLOCK, BLOCK,
				       g_array_index(self->places, off_t, i)),
				==, BLOCK);
	close(fd);
}

static DpsDisk *
open_disk(Fixture *self, DpsOpenFlags flags)
{
	g_autoptr(GError) error = NULL;
	DpsDisk *disk = dps_disk_open(self->path, flags, &error);

	g_assert_no_error(error);
	return disk;
}

/* Every kind of change: types, flags, a UUID, a name, and the default subvolume. */
static DpsPlan *
make_plan(DpsDisk *disk)
{
	static const struct {
		DpsRole role;
		guint partition;
		DpsFlags set;
	} rows[] = {
		{ DPS_ROLE_HOME, 1, DPS_FLAG_GROWFS },
		{ DPS_ROLE_VAR, 2, 0 },
		{ DPS_ROLE_ROOT, 4, 0 },
	};
	g_autoptr(GError) error = NULL;
	DpsPlan *plan = dps_plan_new(disk, NULL, &error);

	g_assert_no_error(error);
	dps_plan_set_arch(plan, DPS_ARCH_X86_64);
	dps_plan_set_names(plan, TRUE);
	dps_plan_set_btrfs_default(plan, "root");
	g_assert_true(dps_plan_set_machine_id(plan, MACHINE_ID, &error));
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		dps_plan_assign(plan, rows[i].role, DPS_ARCH_NONE, rows[i].partition, rows[i].set,
				0, &error);
		g_assert_no_error(error);
	}
	dps_plan_prepare(plan, &error);
	g_assert_no_error(error);
	return plan;
}

/* Faults are set when everything is planned, so that they meet what writes. */
typedef struct {
	const char *call;
	guint nth;
	int how;
	gboolean is_standing; /* from then on */
} Planned;

static gboolean
run(DpsPlan *plan, const char *backup, const Planned *fault, gboolean *was_reached, GError **error)
{
	gboolean done;

	if (fault && fault->is_standing)
		fault_set_from(fault->call, fault->nth, fault->how);
	else if (fault)
		fault_set(fault->call, fault->nth, fault->how);
	done = dps_plan_apply(plan, backup, error);
	if (was_reached)
		*was_reached = fault_was_reached();
	fault_clear();
	return done;
}

static gboolean
apply(Fixture *self, const Planned *fault, gboolean *was_reached, GError **error)
{
	g_autoptr(DpsDisk) disk = open_disk(self, DPS_OPEN_WRITABLE);
	g_autoptr(DpsPlan) plan = make_plan(disk);

	return run(plan, self->backup, fault, was_reached, error);
}

static gboolean
undo(Fixture *self, const Planned *fault, gboolean *was_reached, GError **error)
{
	g_autoptr(DpsDisk) disk = open_disk(self, DPS_OPEN_WRITABLE);
	g_autoptr(DpsBackup) backup = dps_backup_open(self->backup, error);
	g_autoptr(DpsPlan) plan = NULL;

	g_assert_no_error(*error);
	plan = dps_plan_new_from_backup(disk, backup, error);
	g_assert_no_error(*error);
	return run(plan, "none", fault, was_reached, error);
}

static void
set_up(Fixture *self, gconstpointer data)
{
	const Variant *variant = data;
	/* The feature stays when a default is taken back, as with the kernel: it is there before.
	 */
	BtrfsImage btrfs = { .n_copies = variant->n_copies, .incompat = 1 << 1 };
	g_autoptr(GError) error = NULL;
	int fd;

	/* Each step is flushed hundreds of times: in memory that takes no time. */
	if (g_access("/dev/shm", W_OK) == 0)
		self->dir = g_mkdtemp(g_strdup("/dev/shm/dps-apply-XXXXXX"));
	else
		self->dir = g_dir_make_tmp("dps-apply-XXXXXX", NULL);
	self->path = g_build_filename(self->dir, "disk.raw", NULL);
	self->backup = g_build_filename(self->dir, "backup.json", NULL);
	self->places = g_array_new(FALSE, FALSE, sizeof(off_t));

	btrfs_image_make(&btrfs);
	{
		uint64_t last = FIRST + btrfs.size / 512 - 1;
		g_auto(TestDisk) disk = test_disk_new_large(last + 129, FIRST, last);
		static const uint8_t zeros[BLOCK];

		memcpy(disk.bytes + (size_t)FIRST * 512, btrfs.bytes, btrfs.size);
		btrfs_image_clear(&btrfs);
		fd = open(self->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		g_assert_cmpint(ftruncate(fd, (off_t)disk.size), ==, 0);
		for (off_t at = 0; at + BLOCK <= (off_t)disk.size; at += BLOCK)
			if (memcmp(disk.bytes + at, zeros, BLOCK) != 0) {
				g_assert_cmpint(pwrite(fd, disk.bytes + at, BLOCK, at), ==, BLOCK);
				g_array_append_val(self->places, at);
			}
		close(fd);
		g_assert_cmpuint(disk.size % BLOCK, ==, 0);
	}

	self->before = read_blocks(self);
	g_assert_true(apply(self, NULL, NULL, &error));
	g_assert_no_error(error);
	self->after = read_blocks(self);
	g_assert_false(is_like(self, self->before));
}

static void
tear_down(Fixture *self, gconstpointer data)
{
	g_unlink(self->path);
	g_unlink(self->backup);
	g_rmdir(self->dir);
	g_free(self->dir);
	g_free(self->path);
	g_free(self->backup);
	g_array_unref(self->places);
	g_byte_array_unref(self->before);
	g_byte_array_unref(self->after);
}

/* clang-format off */
static const struct {
	const char *call;
	int how;
	gboolean is_standing;
	guint stride; /* reads are many and alike */
} faults[] = {
	{ "open", EACCES, FALSE, 3 },
	{ "read", EIO, FALSE, 11 },
	{ "read", EIO, TRUE, 11 },
	{ "read", FAULT_SHORT, FALSE, 3 },
	{ "read", EINTR, FALSE, 7 },
	{ "write", EIO, FALSE, 1 },
	{ "write", ENOSPC, TRUE, 1 },
	{ "write", FAULT_SHORT, FALSE, 1 },
	{ "write", FAULT_LIE, FALSE, 1 },
	{ "flush", EIO, FALSE, 1 },
	{ "flush", EIO, TRUE, 1 },
	{ "link", EPERM, FALSE, 1 },
	{ "unlink", EACCES, FALSE, 1 },
	{ "advise", EIO, FALSE, 1 },
};
/* clang-format on */

/*
 * Each call in turn: it is done; or the disk is as it was, and says so; or it says that it is left
 * in between.  Then the same command again comes to the end.
 */
static void
test_each_call(Fixture *self, gboolean is_undo)
{
	const GByteArray *start = is_undo ? self->after : self->before;
	const GByteArray *end = is_undo ? self->before : self->after;
	gboolean (*command)(Fixture *, const Planned *, gboolean *, GError **) =
		is_undo ? undo : apply;
	guint n_between = 0;

	for (guint i = 0; i < G_N_ELEMENTS(faults); i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth += faults[i].stride) {
			const Planned fault = { faults[i].call, nth, faults[i].how,
						faults[i].is_standing };
			g_autoptr(GError) error = NULL, again = NULL;
			gboolean reached = FALSE, done;

			g_assert_cmpuint(nth, <, 2000);
			reset(self, start);
			if (!is_undo)
				g_unlink(self->backup);
			done = command(self, &fault, &reached, &error);
			was_reached = reached;
			g_test_message("%s %u: %d: %s", fault.call, nth, fault.how,
				       error ? error->message : "done");
			g_assert_cmpint(done, ==, error == NULL);
			g_assert_true(done || reached);
			/* No failures, but the other half of the work. */
			if (fault.how == FAULT_SHORT || fault.how == EINTR)
				g_assert_true(done);
			/* Before the first write: a table that cannot be read is not compared. */
			if (g_str_equal(fault.call, "advise") && !done)
				g_assert_nonnull(strstr(error->message, "nothing was changed"));
			if (done) {
				g_assert_true(is_like(self, end));
				continue;
			}
			if (strstr(error->message, "nothing was changed") ||
			    fault.how == FAULT_LIE) {
				g_assert_true(is_like(self, start));
			} else if (!is_like(self, start)) {
				g_assert_nonnull(strstr(error->message, "run "));
				n_between++;
			}
			done = command(self, NULL, NULL, &again);
			g_assert_no_error(again);
			g_assert_true(done);
			g_assert_true(is_like(self, end));
		}
	g_assert_cmpuint(n_between, >, 0); /* what breaks for good cannot be put back */
}

static void
test_apply(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	test_each_call(self, FALSE);

	/* And the backup of the last of them takes it back. */
	g_assert_true(undo(self, NULL, NULL, &error));
	g_assert_no_error(error);
	g_assert_true(is_like(self, self->before));
}

static void
test_undo(Fixture *self, gconstpointer data)
{
	test_each_call(self, TRUE);
}

/* What stands in the way before anything is written. */
static void
test_refusals(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *nowhere = g_build_filename(self->dir, "missing", "backup.json", NULL);
	g_autoptr(DpsDisk) reader = NULL, disk = NULL;
	g_autoptr(DpsPlan) read_only = NULL, late = NULL, taken = NULL, homeless = NULL;
	uint8_t byte = 0x99;
	int fd;

	reset(self, self->before);
	reader = open_disk(self, DPS_OPEN_READ_ONLY);
	read_only = make_plan(reader);
	g_assert_false(dps_plan_apply(read_only, "none", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	g_clear_error(&error);

	/* A name that is taken, and not by a backup of this. */
	g_assert_true(g_file_set_contents(self->backup, "{}", -1, NULL));
	disk = open_disk(self, DPS_OPEN_WRITABLE);
	taken = make_plan(disk);
	g_assert_false(dps_plan_apply(taken, self->backup, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_assert_false(dps_plan_get_applied(taken));
	g_assert_null(dps_plan_get_backup(taken));
	g_clear_error(&error);

	homeless = make_plan(disk);
	g_assert_false(dps_plan_apply(homeless, nowhere, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_nonnull(strstr(error->message, "--backup none"));
	g_clear_error(&error);

	/* Somebody without a lock wrote to the table since it was read. */
	late = make_plan(disk);
	fd = open(self->path, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(pwrite(fd, &byte, 1, 1024 + 128 + 56), ==, 1);
	close(fd);
	g_assert_false(dps_plan_apply(late, "none", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
}

/* Whatever holds it: a disk that was changed otherwise since is not taken back. */
static void
test_undo_refusals(Fixture *self, gconstpointer data)
{
	/* Of the entry of partition 2, in both arrays: what somebody made of it. */
	static const struct {
		const char *name;
		size_t at;
		int code;
		const char *says;
	} rows[] = {
		{ "type", 0, DPS_ERROR_CHANGED, "neither what it was nor" },
		{ "uuid", 16, DPS_ERROR_CHANGED, "not the one that was changed" },
		{ "start", 32, DPS_ERROR_CHANGED, "not the one that was changed" },
	};
	uint64_t last = FIRST + (UINT64_C(65) << 20) / 512 - 1 + 128;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsBackup) backup = dps_backup_open(self->backup, &error);
		TestDisk table = { .sector_size = 512,
				   .n_sectors = last + 1,
				   .n_entries = 128,
				   .entry_size = 128,
				   .size = (size_t)(last + 1) * 512 };
		char *bytes;
		gsize size;

		g_assert_no_error(error);
		reset(self, self->after);
		g_assert_true(g_file_get_contents(self->path, &bytes, &size, NULL));
		g_assert_cmpuint(size, ==, table.size);
		table.bytes = (uint8_t *)bytes;
		table.bytes[1024 + 128 + rows[i].at] ^= 0x01;
		table.bytes[(last - 32) * 512 + 128 + rows[i].at] ^= 0x01;
		test_disk_seal(&table, 1);
		test_disk_seal(&table, last);
		g_assert_true(g_file_set_contents(self->path, bytes, (gssize)size, NULL));
		test_disk_clear(&table);

		disk = open_disk(self, DPS_OPEN_WRITABLE);
		g_assert_null(dps_plan_new_from_backup(disk, backup, &error));
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, rows[i].says));
	}
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(Fixture *self, gconstpointer data);
	} tests[] = {
		{ "apply", test_apply },
		{ "undo", test_undo },
		{ "refusals", test_refusals },
		{ "undo-refusals", test_undo_refusals },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
		for (guint j = 0; j < G_N_ELEMENTS(variants); j++) {
			g_autofree char *name =
				g_strdup_printf("/apply/%s/%s", tests[i].name, variants[j].name);

			g_test_add(name, Fixture, &variants[j], set_up, tests[i].test, tear_down);
		}
	return g_test_run();
}
