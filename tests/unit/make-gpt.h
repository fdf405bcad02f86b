/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/gpt.h"

/*
 * Disks in memory with a GUID partition table, written from the specification and not with the code
 * under test.  tests/against has disks that other people's tools made.
 */
typedef struct {
	uint32_t sector_size;
	uint64_t n_sectors;
	uint32_t n_entries, entry_size;
	uint8_t *bytes; /* n_sectors * sector_size */
	size_t size;
} TestDisk;

/* Three partitions: 1 (named "EFI"), 2 (attribute bits 5 and 63), 4 (no name); 3 is not used. */
TestDisk test_disk_new(uint32_t sector_size, uint32_t n_entries, uint32_t entry_size);

/* The same on a larger medium, with sectors of 512 bytes, and partition 4 at these. */
TestDisk test_disk_new_large(uint64_t n_sectors, uint64_t first, uint64_t last);

void test_disk_clear(TestDisk *disk);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestDisk, test_disk_clear)

DpsRegion test_disk_region(const TestDisk *disk);

/* Sectors that the array takes. */
uint64_t test_disk_array_sectors(const TestDisk *disk);

/* Makes both checksums of the header at @lba right, its array being where it says. */
void test_disk_seal(TestDisk *disk, uint64_t lba);

/* That of the header alone. */
void test_disk_seal_header(TestDisk *disk, uint64_t lba);

/* Grows the medium behind the table, which stays as it is. */
void test_disk_grow(TestDisk *disk, uint64_t n_more);
