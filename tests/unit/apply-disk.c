/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply-disk.h"
#include "ground/bytes.h"
#include "make-gpt.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096

void
put_table(int fd, uint8_t type_of_4)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);

	for (int copy = 0; copy < 2; copy++) {
		uint8_t *header = disk.bytes + (copy ? 2047 : 1) * 512;
		uint8_t *entry = disk.bytes + (copy ? 2015 : 2) * 512 + 128;

		dps_store_le64(entry + 32, ROOT_FIRST);
		dps_store_le64(entry + 40, ROOT_FIRST + ROOT_SECTORS - 1);
		dps_store_le64(entry + 48, 0);
		entry[2 * 128] = type_of_4;
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

void
put_disk(Fixture *self)
{
	static const uint8_t zeros[PAGE];
	int fd = open(self->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	g_assert_cmpint(ftruncate(fd, N_SECTORS * 512), ==, 0);
	put_table(fd, 0x14);
	for (uint64_t at = 0; at < self->image.size; at += PAGE)
		if (memcmp(self->image.bytes + at, zeros, PAGE) != 0)
			g_assert_cmpint(pwrite(fd, self->image.bytes + at, PAGE,
					       (off_t)(ROOT_FIRST * 512 + at)),
					==, PAGE);
	close(fd);
}

void
set_up(Fixture *self, gconstpointer data)
{
	self->dir = g_dir_make_tmp("dps-apply-XXXXXX", NULL);
	self->path = g_build_filename(self->dir, "disk.raw", NULL);
	self->backup = g_build_filename(self->dir, "backup.json", NULL);
	self->image = (BtrfsImage){ .n_copies = 2, .default_id = 5 };
	btrfs_image_make(&self->image);
	put_disk(self);
}

void
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
char *
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

void
assert_disk(Fixture *self, const char *wanted)
{
	g_autofree char *found = describe(self);

	g_assert_cmpstr(found, ==, wanted);
}

DpsDisk *
open_disk(Fixture *self)
{
	g_autoptr(GError) error = NULL;
	DpsDisk *disk = dps_disk_open(self->path, DPS_OPEN_WRITABLE, &error);

	g_assert_no_error(error);
	return disk;
}

DpsPlan *
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

gboolean
apply(Fixture *self, const char *backup, GError **error)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_plan(disk);
	gboolean good = dps_plan_apply(plan, backup, error);

	g_assert_cmpint(dps_plan_get_applied(plan), ==,
			good && dps_plan_get_changes(plan)->len > 0);
	/* What it says to have written is there. */
	if (dps_plan_get_backup(plan))
		g_assert_true(g_file_test(dps_plan_get_backup(plan), G_FILE_TEST_EXISTS));
	return good;
}

DpsPlan *
make_undo(Fixture *self, DpsDisk *disk, GError **error)
{
	g_autoptr(DpsBackup) backup = dps_backup_open(self->backup, NULL);

	g_assert_nonnull(backup);
	return dps_plan_new_from_backup(disk, backup, error);
}

gboolean
undo(Fixture *self, GError **error)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_undo(self, disk, error);

	return plan && dps_plan_apply(plan, "none", error);
}

void
set_byte(Fixture *self, off_t at, uint8_t to)
{
	int fd = open(self->path, O_RDWR | O_CLOEXEC);
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);

	g_assert_cmpint(pread(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	disk.bytes[at] = to;
	test_disk_seal(&disk, 1);
	g_assert_cmpint(pwrite(fd, disk.bytes, 2015 * 512, 0), ==, 2015 * 512);
	close(fd);
}

void
change_backup(Fixture *self, const char *from, const char *to)
{
	g_autofree char *text = NULL, *other = NULL;
	g_auto(GStrv) parts = NULL;

	g_assert_true(g_file_get_contents(self->backup, &text, NULL, NULL));
	parts = g_strsplit(text, from, -1);
	g_assert_cmpuint(g_strv_length(parts), ==, 2);
	other = g_strjoinv(to, parts);
	g_assert_true(g_file_set_contents(self->backup, other, -1, NULL));
}

gboolean
has_backup(Fixture *self)
{
	return g_file_test(self->backup, G_FILE_TEST_EXISTS);
}

guint
count(const char *text, const char *part)
{
	guint n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}
