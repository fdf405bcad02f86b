/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "medium-fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A file that seems to be a block device: what is asked of one, and what becomes of the answers. */
static void
test_open(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
		gint code; /* 0: it opens */
		const char *says;
	} rows[] = {
		{ "lock", 2, EIO, 0, NULL },
		{ "ioctl", 1, EIO, DPS_ERROR_IO, "disk.raw: size: " },
		{ "ioctl", 2, EIO, DPS_ERROR_IO, "disk.raw: sector size: " },
		{ "ioctl", 3, ENOTTY, 0, NULL }, /* whether it is read-only; a write will say */
		{ "open disk.raw", 1, EACCES, DPS_ERROR_PERMISSION, "try again as root" },
		{ "open disk.raw", 1, EROFS, DPS_ERROR_PERMISSION, "disk.raw: open for writing: " },
		{ "lock", 1, EIO, DPS_ERROR_IO, "disk.raw: lock: " },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsMedium) medium = NULL;

		fault_set_device(fixture->path);
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error);
		g_assert_cmpint(fault_clear(), ==, i > 0);
		g_assert_cmpint(medium != NULL, ==, rows[i].code == 0);
		if (medium) {
			g_assert_no_error(error);
			g_assert_true(dps_medium_is_device(medium));
			g_assert_cmpuint(dps_medium_get_size(medium), ==, SIZE);
			g_assert_cmpuint(dps_medium_get_sector_size(medium), ==, 512);
			g_assert_cmpuint(dps_medium_get_device(medium), ==, makedev(240, 7));
		} else {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_nonnull(strstr(error->message, rows[i].says));
		}
	}
}

/* The last close of the writer is what udev waits for; reading goes on. */
static void
test_stop_writing(Fixture *fixture, gconstpointer data)
{
	for (guint n_failing = 0; n_failing < 3; n_failing++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsMedium) medium = NULL, next = NULL;
		DpsRegion region;
		uint8_t byte = 0;

		fault_set_device(fixture->path);
		medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error);
		g_assert_no_error(error);
		if (n_failing == 2)
			fault_set_from("open", 1, EMFILE);
		else if (n_failing == 1)
			fault_set("open", 1, ENOENT); /* no /proc */
		dps_medium_stop_writing(medium);
		g_assert_true(fault_clear());
		g_assert_false(dps_medium_is_writable(medium));
		dps_medium_stop_writing(medium); /* there is nothing to stop */
		region = dps_medium_get_region(medium);
		g_assert_true(dps_region_read(&region, 7, &byte, 1, NULL));
		g_assert_cmpuint(byte, ==, 7);

		/* Its lock is gone, also where it could not be closed. */
		next = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE | DPS_OPEN_LOCK_NONBLOCK,
				       &error);
		g_assert_no_error(error);
		g_assert_nonnull(next);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/medium-device/open", test_open);
	ADD("/medium-device/stop-writing", test_stop_writing);
#undef ADD
	return g_test_run();
}
