/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-gpt.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "target/disk.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* The test disk in a file, with a swap area in partition 4. */
typedef struct {
	char *dir, *path;
} Fixture;

static void
put_file(Fixture *fixture, const TestDisk *disk)
{
	g_assert_true(
		g_file_set_contents(fixture->path, (char *)disk->bytes, (gssize)disk->size, NULL));
}

static TestDisk
make_disk(uint32_t sector_size)
{
	TestDisk disk = test_disk_new(sector_size, 128, 128);
	uint8_t *swap = disk.bytes + (size_t)500 * sector_size;

	/* Linux, include/linux/swap.h: the header of a swap area with pages of 4096 bytes */
	dps_store_le32(swap + 1024, 1);
	dps_store_le32(swap + 1028, 10);
	memset(swap + 1036, 0xab, 16);
	memcpy(swap + 1052, "zwei", 4);
	memcpy(swap + 4086, "SWAPSPACE2", 10);
	return disk;
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
	g_auto(TestDisk) disk = make_disk(512);

	fixture->dir = g_dir_make_tmp("dps-disk-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->dir, "disk.raw", NULL);
	put_file(fixture, &disk);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
	g_unlink(fixture->path);
	g_rmdir(fixture->dir);
	g_free(fixture->path);
	g_free(fixture->dir);
}

static DpsDisk *
open_disk(Fixture *fixture)
{
	g_autoptr(GError) error = NULL;
	DpsDisk *disk = dps_disk_open(fixture->path, DPS_OPEN_READ_ONLY, &error);

	g_assert_no_error(error);
	return disk;
}

static void
test_open(Fixture *fixture, gconstpointer data)
{
	static const uint32_t sizes[] = { 512, 4096 };

	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_auto(TestDisk) bytes = make_disk(sizes[i]);
		g_autoptr(DpsDisk) disk = NULL;
		DpsPartition *partition;

		put_file(fixture, &bytes);
		disk = open_disk(fixture);
		g_assert_cmpint(dps_disk_get_table(disk), ==, DPS_TABLE_GPT);
		g_assert_true(dps_disk_require_table(disk, NULL));
		g_assert_cmpuint(dps_disk_get_sector_size(disk), ==, sizes[i]);
		g_assert_cmpuint(dps_disk_get_size(disk), ==, 2048 * (guint64)sizes[i]);
		g_assert_cmpstr(dps_disk_get_uuid(disk), ==,
				"d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");
		g_assert_cmpuint(dps_disk_get_n_partitions(disk), ==, 3);
		partition = dps_disk_get_partition(disk, 2);
		g_assert_cmpuint(dps_partition_get_number(partition), ==, 4);
		g_assert_cmpuint(dps_partition_get_start(partition), ==, 500 * (guint64)sizes[i]);
		g_assert_cmpuint(dps_partition_get_size(partition), ==, 100 * (guint64)sizes[i]);
		g_assert_cmpstr(dps_partition_get_label(partition), ==, NULL);
		g_assert_cmpstr(dps_partition_get_node(partition), ==, NULL);
		g_assert_cmpstr(dps_partition_get_content_type(partition), ==, "swap");
		g_assert_cmpstr(dps_partition_get_content_label(partition), ==, "zwei");
		g_assert_cmpint(partition->content.kind, ==, DPS_CONTENT_SWAP);
		g_assert_null(dps_partition_get_type(partition));
		g_assert_null(dps_partition_get_subvolumes(partition));
		g_assert_false(dps_partition_is_member(partition));
		g_assert_cmpstr(dps_partition_describe_content(dps_disk_get_partition(disk, 0)), ==,
				"nothing that is known");
	}
}

static void
test_find(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *spec;
		guint number;
		gint code;
	} rows[] = {
		{ "1", 1, 0 },
		{ "4", 4, 0 },
		{ "3", 0, DPS_ERROR_NOT_FOUND },
		{ "0", 0, DPS_ERROR_INVALID },
		{ "4294967297", 0, DPS_ERROR_INVALID },
		{ "1x", 0, DPS_ERROR_INVALID },
		{ "-1", 0, DPS_ERROR_INVALID },
		{ "", 0, DPS_ERROR_INVALID },
		{ "sda1", 0, DPS_ERROR_INVALID },
		{ "/dev/null", 0, DPS_ERROR_INVALID },
		{ "/nonexistent/sda1", 0, DPS_ERROR_NOT_FOUND },
		{ "PARTLABEL=root", 2, 0 },
		{ "PARTLABEL=\"root\"", 2, 0 },
		{ "PARTLABEL='root'", 2, 0 },
		{ "PARTLABEL=Root", 0, DPS_ERROR_NOT_FOUND },
		{ "PARTLABEL=", 0, DPS_ERROR_INVALID },
		{ "LABEL=zwei", 4, 0 },
		{ "UUID=abababab-abab-abab-abab-abababababab", 4, 0 },
		{ "UUID=ABABABAB-ABAB-ABAB-ABAB-ABABABABABAB", 4, 0 },
		{ "PARTUUID=A2A2A2A2-a2a2-a2a2-a2a2-a2a2a2a2a2a2", 2, 0 },
		{ "PARTUUID=a9a9a9a9-a2a2-a2a2-a2a2-a2a2a2a2a2a2", 0, DPS_ERROR_NOT_FOUND },
		{ "ID=1", 0, DPS_ERROR_INVALID },
	};
	g_autoptr(DpsDisk) disk = open_disk(fixture);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		DpsPartition *partition = dps_disk_find_partition(disk, rows[i].spec, &error);

		g_test_message("%s", rows[i].spec);
		if (rows[i].code != 0) {
			g_assert_null(partition);
			g_assert_error(error, DPS_ERROR, rows[i].code);
			continue;
		}
		g_assert_no_error(error);
		g_assert_cmpuint(dps_partition_get_number(partition), ==, rows[i].number);
	}
}

static void
test_ambiguous(Fixture *fixture, gconstpointer data)
{
	g_auto(TestDisk) bytes = make_disk(512);
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(GError) error = NULL;

	memcpy(bytes.bytes + 1024 + 56, bytes.bytes + 1024 + 128 + 56, 72);
	test_disk_seal(&bytes, 1);
	put_file(fixture, &bytes);
	disk = open_disk(fixture);
	g_assert_null(dps_disk_find_partition(disk, "PARTLABEL=root", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_AMBIGUOUS);
	g_assert_nonnull(strstr(error->message, "partitions 1, 2"));
}

/* Disks without a table open, and say why there is none. */
static void
test_no_table(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *name;
		size_t at[2];
		uint8_t to;
		DpsTable table;
		gint code;
	} rows[] = {
		{ "both-headers",
		  { 512 + 60, 2047 * 512 + 60 },
		  0x11,
		  DPS_TABLE_GPT_DAMAGED,
		  DPS_ERROR_CORRUPT },
		{ "mbr-type", { 450 }, 0x83, DPS_TABLE_MBR, DPS_ERROR_NO_TABLE },
		/* the kernel wants the protective record at sector 1 */
		{ "mbr-start", { 454 }, 63, DPS_TABLE_MBR, DPS_ERROR_NO_TABLE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) bytes = make_disk(512);
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(GError) error = NULL;

		for (guint j = 0; j < 2; j++)
			if (rows[i].at[j])
				bytes.bytes[rows[i].at[j]] = rows[i].to;
		put_file(fixture, &bytes);
		disk = open_disk(fixture);
		g_test_message("%s", rows[i].name);
		g_assert_cmpint(dps_disk_get_table(disk), ==, rows[i].table);
		g_assert_false(dps_disk_require_table(disk, &error));
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, dps_disk_get_table_problem(disk)));
		g_assert_cmpuint(dps_disk_get_n_partitions(disk), ==, 0);
		g_assert_null(dps_disk_get_uuid(disk));
		g_assert_null(dps_disk_get_gpt(disk));
		g_assert_cmpuint(dps_disk_get_sector_size(disk), ==, 0);
	}
}

/* An entry that leads outside of the disk is shown, with nothing in it. */
static void
test_outside(Fixture *fixture, gconstpointer data)
{
	g_auto(TestDisk) bytes = make_disk(512);
	g_autoptr(DpsDisk) disk = NULL;

	dps_store_le64(bytes.bytes + 1024 + 128 + 32, UINT64_MAX - 9);
	dps_store_le64(bytes.bytes + 1024 + 128 + 40, UINT64_MAX - 1);
	test_disk_seal(&bytes, 1);
	put_file(fixture, &bytes);
	disk = open_disk(fixture);
	if (dps_disk_get_table(disk) == DPS_TABLE_GPT) {
		DpsPartition *partition = dps_disk_get_partition_by_number(disk, 2);

		g_assert_cmpuint(dps_partition_get_size(partition), ==, 0);
		g_assert_cmpint(partition->content.kind, ==, DPS_CONTENT_NONE);
	} else {
		g_assert_nonnull(strstr(dps_disk_get_table_problem(disk), "libfdisk"));
	}
}

static void
test_sector_size(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = NULL;

	g_assert_null(dps_disk_open_with_sector_size(fixture->path, 0, 1024, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
	disk = dps_disk_open_with_sector_size(fixture->path, 0, 4096, NULL);
	g_assert_cmpint(dps_disk_get_table(disk), ==, DPS_TABLE_GPT_DAMAGED);
	g_assert_nonnull(strstr(dps_disk_get_table_problem(disk), "sectors of 512 bytes"));
}

static void
test_refresh(Fixture *fixture, gconstpointer data)
{
	g_auto(TestDisk) bytes = make_disk(512);
	g_autoptr(DpsDisk) disk = dps_disk_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	int fd = dps_medium_get_fd(dps_disk_get_medium(disk));

	memset(bytes.bytes + 1024, 0, 128);
	test_disk_seal(&bytes, 1);
	g_assert_cmpint(pwrite(fd, bytes.bytes, bytes.size, 0), ==, bytes.size);
	g_assert_cmpuint(dps_disk_get_n_partitions(disk), ==, 3);
	g_assert_true(dps_disk_refresh(disk, NULL));
	g_assert_cmpuint(dps_disk_get_n_partitions(disk), ==, 2);
	g_assert_true(dps_disk_get_gpt(disk)->copies_differ);
}

/*
 * A header with a true checksum that asks for terabytes, in either copy or where the primary says
 * that the backup is: libfdisk would allocate them, and never sees the disk.  The good copy counts.
 */
static void
test_copy_that_asks_for_terabytes(Fixture *fixture, gconstpointer data)
{
	static const guint bad[] = { 1, 2047, 1000 };

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_auto(TestDisk) test = make_disk(512);
		uint8_t *header = test.bytes + (size_t)bad[i] * 512;
		g_autoptr(DpsDisk) disk = NULL;
		DpsRegion region;

		if (bad[i] == 1000) {
			memcpy(header, test.bytes + 2047 * 512, 512);
			dps_store_le64(header + 24, 1000);
			dps_store_le64(test.bytes + 512 + 32, 1000);
			test_disk_seal_header(&test, 1);
		}
		dps_store_le32(header + 80, UINT32_MAX);
		dps_store_le32(header + 84, 1 << 16);
		test_disk_seal_header(&test, bad[i]);
		put_file(fixture, &test);
		disk = open_disk(fixture);
		g_assert_cmpint(dps_disk_get_table(disk), ==, DPS_TABLE_GPT);
		g_assert_cmpuint(dps_disk_get_n_partitions(disk), ==, 3);
		region = dps_medium_get_region(dps_disk_get_medium(disk));
		g_assert_false(dps_gpt_is_safe_for_others(&region, dps_disk_get_gpt(disk)));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/disk/copy-that-asks-for-terabytes", test_copy_that_asks_for_terabytes);
	ADD("/disk/open", test_open);
	ADD("/disk/find", test_find);
	ADD("/disk/ambiguous", test_ambiguous);
	ADD("/disk/no-table", test_no_table);
	ADD("/disk/outside", test_outside);
	ADD("/disk/sector-size", test_sector_size);
	ADD("/disk/refresh", test_refresh);
#undef ADD
	return g_test_run();
}
