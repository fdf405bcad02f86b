/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "btrfs-image.h"
#include "fault.h"
#include "format/checksum.h"
#include "ground/error.h"
#include "target/subvolume.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* What has a device open for itself (a mount, a RAID) keeps an edit in place away from it. */
static void
test_device_in_use(void)
{
	g_autofree char *dir = g_dir_make_tmp("dps-subvolume-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "disk.raw", NULL);
	BtrfsImage image = { .n_copies = 2, .default_id = 5 };

	btrfs_image_make(&image);
	g_assert_true(
		g_file_set_contents(path, (const char *)image.bytes, (gssize)image.size, NULL));

	for (int in_use = 1; in_use >= 0; in_use--) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsMedium) medium = NULL;
		g_autoptr(DpsBtrfs) btrfs = NULL;
		g_autofree char *calls = NULL;
		DpsRegion region;
		gboolean good;

		fault_set_device(path);
		medium = dps_medium_open(path, DPS_OPEN_WRITABLE, &error);
		g_assert_no_error(error);
		region = dps_medium_get_region(medium);
		btrfs = dps_btrfs_open_offline(&region, &error);
		g_assert_no_error(error);

		for (int write = 0; write < 2; write++) {
			g_test_message("in use %d, write %d", in_use, write);
			if (in_use)
				fault_set("exclusive", 1, EBUSY);
			fault_start_log();
			good = write ? dps_btrfs_set_default(btrfs, 256, medium, 0, NULL, &error)
				     : dps_btrfs_check_writable(btrfs, 256, NULL, &error);
			g_clear_pointer(&calls, g_free);
			calls = fault_stop_log();
			g_assert_cmpint(good, ==, !in_use);
			g_assert_cmpint(strstr(calls, "write disk.raw") != NULL, ==,
					write && !in_use);
			if (in_use) {
				g_assert_true(fault_clear());
				fault_set_device(path);
				g_assert_error(error, DPS_ERROR, DPS_ERROR_BUSY);
				g_assert_nonnull(strstr(error->message, "in use"));
				g_clear_error(&error);
			}
		}
		fault_clear();
		g_assert_no_error(error);
	}
	btrfs_image_clear(&image);
	g_unlink(path);
	g_rmdir(dir);
}

/* A btrfs in an image: its metadata once, with a checksum that takes a journal; or twice. */
typedef struct {
	char *dir, *path, *journal;
	BtrfsImage image;
	DpsMedium *medium;
	DpsBtrfs *btrfs;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	DpsRegion region;

	self->dir = g_dir_make_tmp("dps-subvolume-XXXXXX", NULL);
	self->path = g_build_filename(self->dir, "disk.raw", NULL);
	self->journal = g_strconcat(self->path, ".dps-journal", NULL);
	self->image = (BtrfsImage){ .n_copies = data ? 2 : 1,
				    .default_id = 5,
				    .checksum = data ? 0 : DPS_CHECKSUM_SHA256 };
	btrfs_image_make(&self->image);
	g_assert_true(g_file_set_contents(self->path, (const char *)self->image.bytes,
					  (gssize)self->image.size, NULL));
	self->medium = dps_medium_open(self->path, DPS_OPEN_WRITABLE, &error);
	g_assert_no_error(error);
	region = dps_medium_get_region(self->medium);
	self->btrfs = dps_btrfs_open_offline(&region, &error);
	g_assert_no_error(error);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
	dps_btrfs_free(self->btrfs);
	dps_medium_unref(self->medium);
	btrfs_image_clear(&self->image);
	g_unlink(self->journal);
	g_unlink(self->path);
	g_rmdir(self->dir);
	g_free(self->journal);
	g_free(self->path);
	g_free(self->dir);
}

static void
assert_as_before(Fixture *self)
{
	g_autofree char *now = NULL;
	gsize size;

	g_assert_true(g_file_get_contents(self->path, &now, &size, NULL));
	g_assert_cmpmem(now, size, self->image.bytes, self->image.size);
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
}

/* A device has no place for a journal, which is told before anything is planned. */
static void
test_no_journal_on_a_device(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(dps_btrfs_check_writable(self->btrfs, 256, NULL, &error));
	fault_set_device(self->path);
	g_assert_false(dps_btrfs_check_writable(self->btrfs, 256, NULL, &error));
	fault_clear();
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_assert_nonnull(strstr(error->message, "mount it"));
}

/* What was written is put back through a journal of its own, as safely. */
static void
test_put_back_through_a_journal(Fixture *self, gconstpointer data)
{
	g_auto(DpsBtrfsWritten) written = { NULL };
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL;

	g_assert_true(dps_btrfs_set_default(self->btrfs, 256, self->medium, 0, &written, &error));
	g_assert_no_error(error);
	fault_start_log();
	g_assert_true(dps_btrfs_put_back(&written, self->medium, 0, &error));
	calls = fault_stop_log();
	g_assert_no_error(error);
	g_assert_true(g_str_has_prefix(
		calls, "write new, flush new, link disk.raw.dps-journal, flush /, write disk.raw"));
	assert_as_before(self);
}

/* The journal could neither be marked nor removed: while it is there, it goes with what is put
 * back. */
static void
test_put_back_beside_a_journal(Fixture *self, gconstpointer data)
{
	g_auto(DpsBtrfsWritten) written = { NULL };
	g_autoptr(GError) error = NULL;

	fault_set("write disk.raw.dps-journal", 1, EIO);
	fault_set("unlink", 1, EACCES);
	g_assert_false(dps_btrfs_set_default(self->btrfs, 256, self->medium, 0, &written, &error));
	g_assert_true(fault_clear());
	g_assert_true(g_file_test(self->journal, G_FILE_TEST_EXISTS));
	g_assert_nonnull(written.edits);
	g_clear_error(&error);
	g_assert_true(dps_btrfs_put_back(&written, self->medium, 0, &error));
	g_assert_no_error(error);
	assert_as_before(self);
}

/* Cut off, with half of the leaf written: it is finished first, by whoever sets it again. */
static void
test_cut_off(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fault_set("write disk.raw", 3, FAULT_SHORT);
	fault_set_from("write disk.raw", 4, EIO);
	g_assert_false(dps_btrfs_set_default(self->btrfs, 256, self->medium, 0, NULL, &error));
	g_assert_true(fault_clear());
	g_assert_true(g_file_test(self->journal, G_FILE_TEST_EXISTS));
	g_clear_error(&error);
	g_assert_true(dps_btrfs_set_default(self->btrfs, 257, self->medium, 0, NULL, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(dps_btrfs_get_default_id(self->btrfs), ==, 257);
	g_assert_false(g_file_test(self->journal, G_FILE_TEST_EXISTS));
}

static void
spoil_leaf(gpointer data)
{
	Fixture *self = data;
	int fd = open(self->path, O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(
		pwrite(fd, "?", 1, (off_t)(self->image.roots[0] + self->image.default_entry + 20)),
		==, 1);
	close(fd);
}

/* Somebody writes behind our first write: that is taken back, and theirs stays. */
static void
test_changed_between_two_writes(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fault_set_event("flush disk.raw", 1, spoil_leaf, self);
	g_assert_false(dps_btrfs_set_default(self->btrfs, 256, self->medium, 0, NULL, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	self->image.bytes[self->image.roots[0] + self->image.default_entry + 20] = '?';
	assert_as_before(self);
}

int
main(int argc, char **argv)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE] = { 0 };

	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/subvolume/device-in-use", test_device_in_use);
#define ADD(name, twice, function) g_test_add(name, Fixture, twice, set_up, function, tear_down)
	ADD("/subvolume/changed-between-two-writes", "twice", test_changed_between_two_writes);
	/* Built without SHA-256 there is nothing that takes a journal wherever its entry is. */
	if (dps_checksum_compute(DPS_CHECKSUM_SHA256, sum, 0, sum, NULL)) {
		ADD("/subvolume/no-journal-on-a-device", NULL, test_no_journal_on_a_device);
		ADD("/subvolume/put-back-through-a-journal", NULL, test_put_back_through_a_journal);
		ADD("/subvolume/put-back-beside-a-journal", NULL, test_put_back_beside_a_journal);
		ADD("/subvolume/cut-off", NULL, test_cut_off);
	}
#undef ADD
	return g_test_run();
}
