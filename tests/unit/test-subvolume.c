/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "btrfs-image.h"
#include "fault.h"
#include "ground/error.h"
#include "target/subvolume.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

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
			/* The first that is opened is the device by itself. */
			if (in_use)
				fault_set("open", 1, EBUSY);
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

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/subvolume/device-in-use", test_device_in_use);
	return g_test_run();
}
