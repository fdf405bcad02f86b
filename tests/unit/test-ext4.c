/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/bytes.h"
#include "ground/error.h"
#include "target/ext4.h"

/* A superblock that says enough to be looked at: 8 MiB in blocks of 1 KiB, in one group. */
static guint8 *
make_super(gsize size)
{
	guint8 *bytes = g_malloc0(size), *super = bytes + 1024;

	dps_store_le32(super + 0, 128);	  /* inodes */
	dps_store_le32(super + 4, 8192);  /* blocks */
	dps_store_le32(super + 20, 1);	  /* the first of them */
	dps_store_le32(super + 32, 8192); /* blocks a group */
	dps_store_le32(super + 36, 8192); /* fragments a group */
	dps_store_le32(super + 40, 128);  /* inodes a group */
	super[56] = 0x53;
	super[57] = 0xEF;
	dps_store_le32(super + 76, 1); /* revision */
	dps_store_le32(super + 84, 11);
	super[88] = 128; /* inode size */
	return bytes;
}

/* What libext2fs would size its memory by is held against the region before it sees it. */
static void
test_bad_superblock(void)
{
	static const struct {
		const char *what;
		gsize at;
		guint32 value;
		int code;
	} rows[] = {
		{ "magic", 56, 0, DPS_ERROR_UNSUPPORTED },
		{ "block size", 24, 7, DPS_ERROR_CORRUPT },
		{ "block size", 24, 0xFFFFFFFF, DPS_ERROR_CORRUPT },
		{ "blocks", 4, 8193, DPS_ERROR_CORRUPT },
		{ "blocks", 4, 0xFFFFFFFF, DPS_ERROR_CORRUPT },
		{ "group", 32, 0, DPS_ERROR_UNSUPPORTED },
		{ "features", 96, 0x80000000, DPS_ERROR_UNSUPPORTED },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		const gsize size = 8192 * 1024;
		g_autofree guint8 *bytes = make_super(size);
		DpsRegion region = dps_region_over_memory(bytes, size);
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsFiles) files = NULL;

		dps_store_le32(bytes + 1024 + rows[i].at, rows[i].value);
		files = dps_ext4_open(&region, &error);
		g_assert_null(files);
		g_test_message("%s: %s", rows[i].what, error->message);
#if HAVE_EXT2FS
		g_assert_error(error, DPS_ERROR, rows[i].code);
#else
		g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
#endif
	}
}

/* All inodes are zeros: it opens, and then nothing in it can be read. */
static void
test_empty_inodes(void)
{
#if HAVE_EXT2FS
	const gsize size = 8192 * 1024;
	g_autofree guint8 *bytes = make_super(size);
	DpsRegion region = dps_region_over_memory(bytes, size);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFiles) files = NULL;

	dps_store_le32(bytes + 2048 + 8, 5); /* where the inodes are */
	files = dps_ext4_open(&region, &error);
	g_assert_no_error(error);
	g_assert_nonnull(dps_files_get_note(files)); /* the state says: not unmounted cleanly */
	g_assert_false(dps_files_lookup(files, "/etc/os-release", NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
#else
	g_test_skip("built without libext2fs");
#endif
}

static void
test_cut_short(void)
{
	const gsize size = 8192 * 1024;
	g_autofree guint8 *bytes = make_super(size);

	for (gsize n = 0; n < 4096; n += 7) {
		g_autofree guint8 *copy = g_memdup2(bytes, n);
		DpsRegion region = dps_region_over_memory(copy, n);
		g_autoptr(GError) error = NULL;

		g_assert_null(dps_ext4_open(&region, &error));
		g_assert_nonnull(error);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ext4/bad-superblock", test_bad_superblock);
	g_test_add_func("/ext4/empty-inodes", test_empty_inodes);
	g_test_add_func("/ext4/cut-short", test_cut_short);
	return g_test_run();
}
