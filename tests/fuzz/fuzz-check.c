/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "../unit/fat-image.h"
#include "../unit/make-gpt.h"

#include <dps/dps.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A whole disk, in memory: a table whose entries are of the types that the first bytes say, and in
 * their first sectors what follows.  Everything that check does with an image is done with it.
 */
#define N_PARTITIONS 3

static const char *const types[] = {
	"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
	"bc13c2ff-59e6-4262-a352-b275fd6f7172", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
	"2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "41092b05-9fc8-4523-994f-2def0408b176",
	"0fc63daf-8483-4772-8e79-3d69d8477de4", "8484680c-9521-48c6-9c11-b0720656f69e",
};

static void
store_guid(uint8_t *p, const char *text)
{
	/* The first three fields are little-endian: UEFI 2.10 appendix A. */
	static const guint8 order[] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	guint n = 0;

	for (; *text; text++) {
		if (*text == '-')
			continue;
		p[order[n++]] = (guint8)(g_ascii_xdigit_value(text[0]) << 4 |
					 g_ascii_xdigit_value(text[1]));
		text++;
	}
}

static void
fill(TestDisk *disk, const uint8_t *data, size_t size)
{
	static const guint numbers[N_PARTITIONS] = { 1, 2, 4 };
	const uint64_t last = disk->n_sectors - 1;

	for (guint i = 0; i < N_PARTITIONS && size > 0; i++) {
		uint8_t *entry = disk->bytes + 2 * (size_t)disk->sector_size +
				 (size_t)(numbers[i] - 1) * disk->entry_size;
		size_t first = (size_t)dps_load_le64(entry + 32) * disk->sector_size;
		size_t end = (size_t)(dps_load_le64(entry + 40) + 1) * disk->sector_size;
		size_t share = MIN((size - 1) / (N_PARTITIONS - i), end - first);

		store_guid(entry, types[data[0] % G_N_ELEMENTS(types)]);
		memcpy(disk->bytes + first, data + 1, share);
		data += 1 + share;
		size -= 1 + share;
	}
	memcpy(disk->bytes + (last - test_disk_array_sectors(disk)) * disk->sector_size,
	       disk->bytes + 2 * (size_t)disk->sector_size,
	       (size_t)disk->n_entries * disk->entry_size);
	test_disk_seal(disk, 1);
	test_disk_seal(disk, last);
}

static void
check_disk(DpsDisk *disk)
{
	g_autoptr(DpsCheckOptions) options = dps_check_options_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) findings = NULL;

	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);

		dps_partition_get_content_type(partition);
		dps_partition_get_subvolumes(partition);
	}
	dps_check_options_set_arch(options, DPS_ARCH_X86_64);
	findings = dps_check(disk, NULL, options, &error);
	if (error)
		g_assert_true(g_utf8_validate(error->message, -1, NULL));
	for (guint i = 0; findings && i < findings->len; i++)
		g_assert_true(
			g_utf8_validate(dps_finding_get_message(findings->pdata[i]), -1, NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_auto(TestDisk) test = test_disk_new(512, 128, 128);
	g_autofree char *path = NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(GError) error = NULL;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	fill(&test, data, size);
	g_assert_cmpint(write(fd, test.bytes, test.size), ==, (ssize_t)test.size);
	path = g_strdup_printf("/proc/self/fd/%d", fd);
	disk = dps_disk_open(path, DPS_OPEN_READ_ONLY, &error);
	if (disk)
		check_disk(disk);
	else
		g_assert_true(g_utf8_validate(error->message, -1, NULL));
	close(fd);
	return 0;
}
