/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-gpt.h"
#include "ground/bytes.h"

#include <string.h>

/* The shortest way to write it, and not the one in ground/crc32. */
static uint32_t
slow_crc32(const uint8_t *bytes, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size * 8; i++) {
		uint32_t bit = (crc ^ (uint32_t)(bytes[i / 8] >> (i % 8))) & 1;

		crc = crc >> 1 ^ (bit ? 0xedb88320 : 0);
	}
	return ~crc;
}

uint64_t
test_disk_array_sectors(const TestDisk *disk)
{
	return ((uint64_t)disk->n_entries * disk->entry_size + disk->sector_size - 1) /
	       disk->sector_size;
}

void
test_disk_seal_header(TestDisk *disk, uint64_t lba)
{
	uint8_t *header = disk->bytes + lba * disk->sector_size;

	dps_store_le32(header + 16, 0);
	dps_store_le32(header + 16,
		       slow_crc32(header, MIN(dps_load_le32(header + 12), disk->sector_size)));
}

void
test_disk_seal(TestDisk *disk, uint64_t lba)
{
	uint8_t *header = disk->bytes + lba * disk->sector_size;
	uint64_t array = dps_load_le64(header + 72) * disk->sector_size;

	dps_store_le32(header + 88,
		       slow_crc32(disk->bytes + array, (size_t)disk->n_entries * disk->entry_size));
	test_disk_seal_header(disk, lba);
}

static void
put_header(TestDisk *disk, uint64_t lba, uint64_t alternate, uint64_t entries)
{
	uint8_t *header = disk->bytes + lba * disk->sector_size;
	uint64_t array = test_disk_array_sectors(disk);

	memcpy(header, "EFI PART", 8);
	dps_store_le32(header + 8, 0x10000);
	dps_store_le32(header + 12, 92);
	dps_store_le64(header + 24, lba);
	dps_store_le64(header + 32, alternate);
	dps_store_le64(header + 40, 2 + array);
	dps_store_le64(header + 48, disk->n_sectors - 2 - array);
	memset(header + 56, 0xd1, 16);
	dps_store_le64(header + 72, entries);
	dps_store_le32(header + 80, disk->n_entries);
	dps_store_le32(header + 84, disk->entry_size);
	header[disk->sector_size - 1] = 0x77; /* behind the header: somebody's, and must stay */
	test_disk_seal(disk, lba);
}

static void
put_entry(TestDisk *disk, uint64_t array, uint32_t number, uint64_t first, uint64_t last,
	  uint64_t attributes, const char *name)
{
	uint8_t *entry =
		disk->bytes + array * disk->sector_size + (size_t)(number - 1) * disk->entry_size;

	memset(entry, 0x10 + (int)number, 16);
	memset(entry + 16, 0xa0 + (int)number, 16);
	dps_store_le64(entry + 32, first);
	dps_store_le64(entry + 40, last);
	dps_store_le64(entry + 48, attributes);
	for (size_t i = 0; i < strlen(name); i++)
		entry[56 + 2 * i] = (uint8_t)name[i];
}

static TestDisk
make_disk(uint32_t sector_size, uint64_t n_sectors, uint32_t n_entries, uint32_t entry_size,
	  uint64_t first, uint64_t last_of_4)
{
	TestDisk disk = {
		.sector_size = sector_size,
		.n_sectors = n_sectors,
		.n_entries = n_entries,
		.entry_size = entry_size,
	};
	uint64_t last, arrays[2];

	disk.size = (size_t)disk.n_sectors * sector_size;
	disk.bytes = g_malloc0(disk.size);
	last = disk.n_sectors - 1;
	arrays[0] = 2;
	arrays[1] = last - test_disk_array_sectors(&disk);

	for (int i = 0; i < 2; i++) {
		put_entry(&disk, arrays[i], 1, 300, 399, 0, "EFI");
		put_entry(&disk, arrays[i], 2, 400, 499, UINT64_C(1) << 63 | 1 << 5, "root");
		put_entry(&disk, arrays[i], 4, first, last_of_4, 0, "");
	}
	put_header(&disk, 1, last, arrays[0]);
	put_header(&disk, last, 1, arrays[1]);

	disk.bytes[0] = 0xeb; /* boot code */
	disk.bytes[446 + 4] = 0xee;
	dps_store_le32(disk.bytes + 446 + 8, 1);
	dps_store_le32(disk.bytes + 446 + 12, (uint32_t)last);
	disk.bytes[510] = 0x55;
	disk.bytes[511] = 0xaa;
	return disk;
}

TestDisk
test_disk_new(uint32_t sector_size, uint32_t n_entries, uint32_t entry_size)
{
	return make_disk(sector_size, 2048, n_entries, entry_size, 500, 599);
}

TestDisk
test_disk_new_large(uint64_t n_sectors, uint64_t first, uint64_t last)
{
	return make_disk(512, n_sectors, 128, 128, first, last);
}

void
test_disk_clear(TestDisk *disk)
{
	g_clear_pointer(&disk->bytes, g_free);
}

DpsRegion
test_disk_region(const TestDisk *disk)
{
	return dps_region_over_memory(disk->bytes, disk->size);
}

void
test_disk_grow(TestDisk *disk, uint64_t n_more)
{
	size_t size = disk->size + (size_t)n_more * disk->sector_size;

	disk->bytes = g_realloc(disk->bytes, size);
	memset(disk->bytes + disk->size, 0, size - disk->size);
	disk->size = size;
}
