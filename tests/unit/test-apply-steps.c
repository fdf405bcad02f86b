/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "btrfs-image.h"
#include "decide/backup.h"
#include "fault.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "make-gpt.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Root in partition 2, a btrfs whose default is the top level and whose root is in "root". */
#define ROOT_FIRST UINT64_C(2048)
#define ROOT_SECTORS (UINT64_C(65) * 2048)
#define N_SECTORS (ROOT_FIRST + ROOT_SECTORS + 2048)
#define PAGE 4096

typedef struct {
	char *dir, *path, *backup;
	BtrfsImage image;
} Fixture;

/* Both copies of a table over N_SECTORS, of the one that make-gpt.c makes over 2048. */
static void
put_table(int fd)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);

	for (int copy = 0; copy < 2; copy++) {
		uint8_t *header = disk.bytes + (copy ? 2047 : 1) * 512;
		uint8_t *entry = disk.bytes + (copy ? 2015 : 2) * 512 + 128;

		dps_store_le64(entry + 32, ROOT_FIRST);
		dps_store_le64(entry + 40, ROOT_FIRST + ROOT_SECTORS - 1);
		dps_store_le64(entry + 48, 0);
		dps_store_le64(header + 48, N_SECTORS - 34);
		test_disk_seal(&disk, copy ? 2047 : 1);
		dps_store_le64(header + (copy ? 24 : 32), N_SECTORS - 1);
		if (copy)
			dps_store_le64(header + 72, N_SECTORS - 33);
		test_disk_seal_header(&disk, copy ? 2047 : 1);
	}
	g_assert_cmpint(pwrite(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	g_assert_cmpint(pwrite(fd, disk.bytes + 2015 * 512, 33 * 512, (N_SECTORS - 33) * 512), ==,
			33 * 512);
}

static void
put_disk(Fixture *self)
{
	static const uint8_t zeros[PAGE];
	int fd = open(self->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	g_assert_cmpint(ftruncate(fd, N_SECTORS * 512), ==, 0);
	put_table(fd);
	for (uint64_t at = 0; at < self->image.size; at += PAGE)
		if (memcmp(self->image.bytes + at, zeros, PAGE) != 0)
			g_assert_cmpint(pwrite(fd, self->image.bytes + at, PAGE,
					       (off_t)(ROOT_FIRST * 512 + at)),
					==, PAGE);
	close(fd);
}

static void
set_up(Fixture *self, gconstpointer data)
{
	self->dir = g_dir_make_tmp("dps-apply-XXXXXX", NULL);
	self->path = g_build_filename(self->dir, "disk.raw", NULL);
	self->backup = g_build_filename(self->dir, "backup.json", NULL);
	self->image = (BtrfsImage){ .n_copies = 2, .default_id = 5 };
	btrfs_image_make(&self->image);
	put_disk(self);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
	g_unlink(self->path);
	g_unlink(self->backup);
	g_rmdir(self->dir);
	btrfs_image_clear(&self->image);
	g_free(self->dir);
	g_free(self->path);
	g_free(self->backup);
}

/* Everything that may change, in one string: type and flags of each partition, the default. */
static char *
describe(Fixture *self)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = dps_disk_open(self->path, DPS_OPEN_READ_ONLY, &error);
	GString *text = g_string_new(NULL);
	const DpsGpt *gpt;

	g_assert_no_error(error);
	gpt = dps_disk_get_gpt(disk);
	g_assert_true(gpt->primary.good);
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);

		g_string_append_printf(text, "%u %.8s %#" G_GINT64_MODIFIER "x %s; ",
				       partition->number, dps_partition_get_type_uuid(partition),
				       partition->attributes,
				       partition->label ? partition->label : "-");
		if (partition->btrfs)
			g_string_append_printf(text, "default %" G_GUINT64_FORMAT "; ",
					       dps_btrfs_get_default_id(partition->btrfs));
	}
	g_string_append(text, gpt->backup.good && !gpt->copies_differ ? "whole" : "half");
	return g_string_free(text, FALSE);
}

#define OLD                                                                                        \
	"1 11111111 0 EFI; 2 12121212 0 root; default 5; 4 14141414 0 -; "                         \
	"whole"
/* The GUIDs of the specification: esp, root-x86-64, home. */
#define NEW                                                                                        \
	"1 c12a7328 0 EFI; 2 4f68bce3 0x800000000000000 root; default 256; "                       \
	"4 933ac7e1 0 -; whole"

static void
assert_disk(Fixture *self, const char *wanted)
{
	g_autofree char *found = describe(self);

	g_assert_cmpstr(found, ==, wanted);
}

static DpsDisk *
open_disk(Fixture *self)
{
	g_autoptr(GError) error = NULL;
	DpsDisk *disk = dps_disk_open(self->path, DPS_OPEN_WRITABLE, &error);

	g_assert_no_error(error);
	return disk;
}

static DpsPlan *
make_plan(DpsDisk *disk)
{
	g_autoptr(GError) error = NULL;
	DpsPlan *plan = dps_plan_new(disk, NULL, &error);

	g_assert_no_error(error);
	dps_plan_set_arch(plan, DPS_ARCH_X86_64);
	g_assert_true(dps_plan_assign(plan, DPS_ROLE_ESP, DPS_ARCH_NONE, 1, 0, 0, &error));
	g_assert_true(
		dps_plan_assign(plan, DPS_ROLE_ROOT, DPS_ARCH_NONE, 2, DPS_FLAG_GROWFS, 0, &error));
	g_assert_true(dps_plan_assign(plan, DPS_ROLE_HOME, DPS_ARCH_NONE, 4, 0, 0, &error));
	g_assert_no_error(error);
	return plan;
}

static gboolean
apply(Fixture *self, const char *backup, GError **error)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_plan(disk);
	gboolean good = dps_plan_apply(plan, backup, error);

	g_assert_cmpint(dps_plan_get_applied(plan), ==,
			good && dps_plan_get_changes(plan)->len > 0);
	return good;
}

static DpsPlan *
make_undo(Fixture *self, DpsDisk *disk, GError **error)
{
	g_autoptr(DpsBackup) backup = dps_backup_open(self->backup, NULL);

	g_assert_nonnull(backup);
	return dps_plan_new_from_backup(disk, backup, error);
}

static gboolean
undo(Fixture *self, GError **error)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_undo(self, disk, error);

	return plan && dps_plan_apply(plan, "none", error);
}

static gboolean
has_backup(Fixture *self)
{
	return g_file_test(self->backup, G_FILE_TEST_EXISTS);
}

static guint
count(const char *text, const char *part)
{
	guint n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

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
			if (i == 0 && nth <= 4)
				g_assert_cmpuint(count(calls, "write disk.raw"), ==, 2 * nth);
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
			if (!strstr(error->message, "nothing was changed")) {
				g_assert_nonnull(strstr(error->message, "left in between"));
				g_assert_true(has_backup(self));
			}
			g_clear_error(&error);
			if (back) {
				g_assert_true(undo(self, &error));
				assert_disk(self, OLD);
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

/* Each read fails in turn: nothing is half done for it, and nobody's error is lost. */
static void
test_reads(Fixture *self, gconstpointer data)
{
	for (guint nth = 1; nth < 200; nth++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = open_disk(self);
		g_autoptr(DpsPlan) plan = make_plan(disk);
		gboolean good, was_reached;

		g_assert_true(dps_plan_prepare(plan, NULL));
		fault_set("read disk.raw", nth, EIO);
		good = dps_plan_apply(plan, "none", &error);
		was_reached = fault_clear();
		g_clear_pointer(&plan, dps_plan_unref);
		g_clear_pointer(&disk, dps_disk_unref);
		assert_disk(self, good ? NEW : OLD);
		g_assert_cmpint(good, ==, error == NULL);
		if (!was_reached)
			return;
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

/* An older backup of the same run is kept also when this run fails; another one is not ours. */
static void
test_older_backup(Fixture *self, gconstpointer data)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_plan(disk);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL, *kept = NULL;
	static const char *const spoilt[][2] = {
		{ "d1d1d1d1-d1d1", "d2d1d1d1-d1d1" }, /* of another disk */
		{ "\"partition\": 4", "\"partition\": 3" },
		{ "a4a4a4a4", "a5a4a4a4" }, /* of another partition */
		{ "12121212", "12121213" }, /* from what it never was */
		{ "933ac7e1", "933ac7e2" }, /* to something else */
		{ "\"start\": 256000", "\"start\": 256512" },
		{ "\"kind\": \"flags\"", "\"kind\": \"name\"" },
	};

	g_assert_true(dps_plan_prepare(plan, &error));
	text = dps_backup_write(plan, "2026-01-01T00:00:00Z");
	g_clear_pointer(&plan, dps_plan_unref);
	g_clear_pointer(&disk, dps_disk_unref);

	for (guint i = 0; i < G_N_ELEMENTS(spoilt); i++) {
		g_auto(GStrv) parts = g_strsplit(text, spoilt[i][0], -1);
		g_autofree char *other = g_strjoinv(spoilt[i][1], parts);
		g_autoptr(GError) refused = NULL;

		g_test_message("%s", spoilt[i][0]);
		g_assert_cmpuint(g_strv_length(parts), >, 1);
		g_assert_true(g_file_set_contents(self->backup, other, -1, NULL));
		g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
		g_assert_false(apply(self, self->backup, &refused));
		g_assert_error(refused, DPS_ERROR, DPS_ERROR_REFUSED);
		g_assert_nonnull(strstr(refused->message, "nothing was changed"));
		assert_disk(self, OLD);
	}

	g_assert_true(g_file_set_contents(self->backup, text, -1, NULL));
	g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
	fault_set("flush disk.raw", 1, EIO);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	g_assert_true(g_file_get_contents(self->backup, &kept, NULL, NULL));
	g_assert_cmpstr(kept, ==, text);
	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	assert_disk(self, NEW);
}

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

/* Behind the comparison of the table, when the backup is being written: the sector that is about to
 * be written is compared again. */
static void
test_changed_late(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fault_set_event("flush /", 1, rename_by_another, self);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
}

static void
test_refusals(Fixture *self, gconstpointer data)
{
	g_autofree char *nowhere = g_build_filename(self->dir, "no", "where.json", NULL);
	g_autoptr(DpsDisk) reader = dps_disk_open(self->path, DPS_OPEN_READ_ONLY, NULL);
	g_autoptr(DpsPlan) plan = make_plan(reader);
	g_autoptr(GError) error = NULL;

	g_assert_false(dps_plan_apply(plan, "none", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	g_clear_error(&error);
	g_assert_false(apply(self, nowhere, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	assert_disk(self, OLD);

	/* An image keeps no backup unless one is named. */
	g_assert_true(apply(self, NULL, &error));
	assert_disk(self, NEW);
	g_assert_false(has_backup(self));
}

static void
set_byte(Fixture *self, off_t at, uint8_t to)
{
	int fd = open(self->path, O_RDWR | O_CLOEXEC);
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);

	g_assert_cmpint(pread(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	disk.bytes[at] = to;
	test_disk_seal(&disk, 1);
	g_assert_cmpint(pwrite(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	/* the backup the same, or it is bad too: here it may stay behind */
	close(fd);
}

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

#define HEAD                                                                                       \
	"{\"version\":1,\"what\":\"libdps "                                                        \
	"backup\",\"time\":\"t\",\"disk\":{\"path\":\"p\",\"uuid\":\"u\"},"
#define CHANGE(kind, number, uuid, start, from, to)                                                \
	HEAD "\"changes\":[{\"kind\":\"" kind "\",\"partition\":" number ",\"uuid\":\"" uuid       \
	     "\",\"start\":" start ",\"from\":" from ",\"to\":" to "}]}"
#define UUID "00000000-0000-0000-0000-000000000001"

static void
test_backup_files(void)
{
	static const struct {
		const char *text;
		gint code; /* 0: a good one */
	} rows[] = {
		{ CHANGE("type", "1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""), 0 },
		{ CHANGE("flags", "1", UUID, "1", "\"0x0000000000000000\"",
			 "\"0x8000000000000000\""),
		  0 },
		{ CHANGE("name", "1", UUID, "1", "\"\"", "\"a\""), 0 },
		{ CHANGE("btrfs-default", "1", UUID, "1", "{\"id\":5,\"path\":\"\"}",
			 "{\"id\":256,\"path\":null}"),
		  0 },
		{ HEAD "\"changes\":[]}", 0 },
		{ "", DPS_ERROR_CORRUPT },
		{ "[]", DPS_ERROR_CORRUPT },
		{ "{}", DPS_ERROR_CORRUPT },
		{ "{\"version\":1,\"version\":1}", DPS_ERROR_CORRUPT },
		{ HEAD "\"changes\":{}}", DPS_ERROR_CORRUPT },
		{ "{\"version\":2,\"what\":\"libdps backup\"}", DPS_ERROR_UNSUPPORTED },
		{ "{\"version\":1,\"what\":\"libdps backups\"}", DPS_ERROR_CORRUPT },
		{ "{\"what\":\"libdps backup\",\"disk\":{\"path\":\"p\",\"uuid\":\"u\"},"
		  "\"changes\":[]}",
		  DPS_ERROR_CORRUPT },
		{ "{\"what\":\"libdps backup\",\"time\":\"t\",\"disk\":{\"uuid\":\"u\"},"
		  "\"changes\":[]}",
		  DPS_ERROR_CORRUPT },
		{ "{\"what\":\"libdps backup\",\"time\":\"t\",\"disk\":{\"path\":\"p\"},"
		  "\"changes\":[]}",
		  DPS_ERROR_CORRUPT },
		{ CHANGE("typ", "1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("table", "1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "0", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "-1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "2147483648", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", "x", "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "0", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "-1", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "512", "\"x\"", "\"" UUID "\""), DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "512", "\"" UUID "\"", "null"), DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "\"0x0\"", "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "null", "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "\"000000000000000000\"",
			 "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "\"0x000000000000000g\"",
			 "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("name", "1", UUID, "1", "5", "\"a\""), DPS_ERROR_CORRUPT },
		{ CHANGE("btrfs-default", "1", UUID, "1", "{\"id\":0}", "{\"id\":256}"),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("btrfs-default", "1", UUID, "1", "{\"id\":5}", "{}"), DPS_ERROR_CORRUPT },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsBackup) backup =
			dps_backup_parse(rows[i].text, strlen(rows[i].text), "b.json", &error);

		g_test_message("%s", rows[i].text);
		g_assert_cmpint(backup != NULL, ==, rows[i].code == 0);
		if (rows[i].code) {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_true(g_str_has_prefix(error->message, "b.json: "));
		}
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/apply-steps/order", test_order);
	ADD("/apply-steps/faults", test_faults);
	ADD("/apply-steps/cut-off", test_cut_off);
	ADD("/apply-steps/reads", test_reads);
	ADD("/apply-steps/only-the-table", test_only_the_table);
	ADD("/apply-steps/older-backup", test_older_backup);
	ADD("/apply-steps/changed", test_changed);
	ADD("/apply-steps/changed-late", test_changed_late);
	ADD("/apply-steps/refusals", test_refusals);
	ADD("/apply-steps/undo-refusals", test_undo_refusals);
#undef ADD
	g_test_add_func("/apply-steps/backup-files", test_backup_files);
	return g_test_run();
}
