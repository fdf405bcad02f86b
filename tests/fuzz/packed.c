/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packed.h"
#include "format/checksum.h"
#include "ground/bytes.h"
#include "ground/crc32.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTOR 512
#define BLOCK 4096 /* tree blocks of btrfs begin at multiples of this */

void
fuzz_image_unpack(FuzzImage *self, const uint8_t *data, size_t size)
{
	*self = (FuzzImage){ .runs = g_array_new(FALSE, FALSE, sizeof(FuzzRun)) };
	if (size >= FUZZ_PACKED_HEADER) {
		self->flags = data[0];
		self->choice = data[1];
		self->size = MIN((uint64_t)dps_load_le32(data + 2) * SECTOR, FUZZ_IMAGE_MAX);
		data += FUZZ_PACKED_HEADER;
		size -= FUZZ_PACKED_HEADER;
	} else {
		size = 0;
	}
	/* At least one page: mmap(2) refuses nothing. */
	self->bytes = mmap(NULL, MAX(self->size, BLOCK), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	g_assert_true(self->bytes != MAP_FAILED);

	while (size >= FUZZ_PACKED_RUN) {
		FuzzRun run = { dps_load_le32(data), dps_load_le16(data + 4) };

		data += FUZZ_PACKED_RUN;
		size -= FUZZ_PACKED_RUN;
		run.size = MIN(run.size, size);
		if (run.offset < self->size) {
			size_t room = (size_t)MIN(run.size, self->size - run.offset);

			memcpy(self->bytes + run.offset, data, room);
			g_array_append_vals(self->runs, &(FuzzRun){ run.offset, room }, 1);
		}
		data += run.size;
		size -= run.size;
	}
}

void
fuzz_image_clear(FuzzImage *self)
{
	if (self->bytes)
		munmap(self->bytes, MAX(self->size, BLOCK));
	g_clear_pointer(&self->runs, g_array_unref);
	self->bytes = NULL;
}

static gboolean
is_inside(const FuzzImage *self, uint64_t offset, uint64_t size)
{
	return offset <= self->size && size <= self->size - offset;
}

/* GPT: UEFI 2.10 section 5.3.2 */

static void
seal_header(FuzzImage *self, uint64_t lba, uint32_t sector_size)
{
	uint8_t *header;
	uint64_t array, size;
	uint32_t header_size;

	if (lba > self->size / sector_size || !is_inside(self, lba * sector_size, sector_size))
		return;
	header = self->bytes + lba * sector_size;
	if (memcmp(header, "EFI PART", 8) != 0)
		return;
	array = dps_load_le64(header + 72);
	size = (uint64_t)dps_load_le32(header + 80) * dps_load_le32(header + 84);
	if (array <= self->size / sector_size && size <= 1 << 20 &&
	    is_inside(self, array * sector_size, size))
		dps_store_le32(header + 88,
			       dps_crc32(self->bytes + array * sector_size, (size_t)size));
	header_size = MIN(dps_load_le32(header + 12), sector_size);
	dps_store_le32(header + 16, 0);
	dps_store_le32(header + 16, dps_crc32(header, header_size));
}

static void
seal_gpt(FuzzImage *self)
{
	static const uint32_t sector_sizes[] = { 512, 4096 };

	for (guint i = 0; i < G_N_ELEMENTS(sector_sizes); i++) {
		const uint32_t sector_size = sector_sizes[i];

		if (!is_inside(self, sector_size, sector_size))
			continue;
		/* Where the primary says that the backup is, and where it belongs. */
		seal_header(self, dps_load_le64(self->bytes + sector_size + 32), sector_size);
		seal_header(self, self->size / sector_size - 1, sector_size);
		seal_header(self, 1, sector_size);
	}
}

/* btrfs: the on-disk format's struct btrfs_super_block and btrfs_header */

static void
seal_btrfs_block(FuzzImage *self, uint64_t offset, uint32_t size, uint16_t type)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	if (is_inside(self, offset, size) &&
	    dps_checksum_compute(type, self->bytes + offset + sizeof(sum), size - sizeof(sum), sum,
				 NULL))
		memcpy(self->bytes + offset, sum, sizeof(sum));
}

static void
seal_tree_blocks(FuzzImage *self, uint64_t super, uint16_t type, uint32_t node_size)
{
	const uint8_t *fsid = self->bytes + super + 32;
	uint64_t done = 0;

	for (guint i = 0; i < self->runs->len; i++) {
		const FuzzRun *run = &g_array_index(self->runs, FuzzRun, i);
		uint64_t at = run->offset - run->offset % BLOCK;

		/* Runs of a real image come in order; one block is not summed for each of its runs.
		 */
		for (at = MAX(at, done); at < run->offset + run->size; at += BLOCK) {
			if (is_inside(self, at, BLOCK) &&
			    memcmp(self->bytes + at + 64, "_BHRfS_M", 8) != 0 &&
			    memcmp(self->bytes + at + 32, fsid, 16) == 0)
				seal_btrfs_block(self, at, node_size, type);
			done = at + BLOCK;
		}
		if (i + 1 < self->runs->len &&
		    g_array_index(self->runs, FuzzRun, i + 1).offset < run->offset)
			done = 0;
	}
}

static void
seal_btrfs(FuzzImage *self)
{
	for (guint i = 0; i < self->runs->len; i++) {
		const FuzzRun *run = &g_array_index(self->runs, FuzzRun, i);
		uint64_t at = run->offset - run->offset % BLOCK;
		uint32_t node_size;
		uint16_t type;

		if (!is_inside(self, at, BLOCK) ||
		    memcmp(self->bytes + at + 64, "_BHRfS_M", 8) != 0)
			continue;
		type = dps_load_le16(self->bytes + at + 196);
		node_size = dps_load_le32(self->bytes + at + 148);
		if (node_size >= BLOCK && node_size <= 65536)
			seal_tree_blocks(self, at, type, node_size);
		seal_btrfs_block(self, at, BLOCK, type);
	}
}

/* FAT: the specification, "Long Directory Entries": the checksum of the short name behind them */

static gboolean
is_long_slot(const uint8_t *slot)
{
	return slot[11] == 0x0F && slot[12] == 0 && slot[26] == 0 && slot[27] == 0;
}

static void
seal_fat(FuzzImage *self)
{
	for (guint i = 0; i < self->runs->len; i++) {
		const FuzzRun *run = &g_array_index(self->runs, FuzzRun, i);
		uint64_t at = (run->offset + 31) / 32 * 32;

		for (; at + 32 <= run->offset + run->size; at += 32) {
			uint64_t last = at;
			guint8 sum = 0;

			if (!is_long_slot(self->bytes + at))
				continue;
			while (is_inside(self, last, 64) && is_long_slot(self->bytes + last))
				last += 32;
			for (guint k = 0; k < 11; k++)
				sum = (guint8)((sum << 7 | sum >> 1) + self->bytes[last + k]);
			for (; at < last; at += 32)
				self->bytes[at + 13] = sum;
		}
	}
}

/* ext4: Documentation/filesystems/ext4/super.rst: crc32c of what stands before it */

static void
seal_ext4(FuzzImage *self)
{
	enum { SUPER = 1024, SUM = 1020 };

	if (is_inside(self, SUPER, 1024) && dps_load_le16(self->bytes + SUPER + 56) == 0xEF53)
		dps_store_le32(self->bytes + SUPER + SUM,
			       dps_crc32c_feed(UINT32_MAX, self->bytes + SUPER, SUM));
}

void
fuzz_image_seal(FuzzImage *self)
{
	if (!(self->flags & FUZZ_KEEP_FAT_SUMS))
		seal_fat(self);
	if (!(self->flags & FUZZ_KEEP_EXT4_SUMS))
		seal_ext4(self);
	if (!(self->flags & FUZZ_KEEP_BTRFS_SUMS))
		seal_btrfs(self);
	if (!(self->flags & FUZZ_KEEP_GPT_SUMS))
		seal_gpt(self);
}

static gboolean
read_counted(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	FuzzImage *self = data;

	g_assert_true(is_inside(self, offset, size));
	self->bytes_read += size;
	memcpy(buffer, self->bytes + offset, size);
	return TRUE;
}

DpsRegion
fuzz_image_region(FuzzImage *self)
{
	return dps_region_over_reader(read_counted, self, self->size);
}

int
fuzz_image_to_fd(const FuzzImage *self)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(ftruncate(fd, (off_t)self->size), ==, 0);
	for (guint i = 0; i < self->runs->len; i++) {
		const FuzzRun *run = &g_array_index(self->runs, FuzzRun, i);
		/* Sealing may have changed what lies beside a run, never another block. */
		uint64_t start = run->offset - run->offset % BLOCK;
		uint64_t end =
			MIN((run->offset + run->size + BLOCK - 1) / BLOCK * BLOCK, self->size);

		g_assert_cmpint(pwrite(fd, self->bytes + start, end - start, (off_t)start), ==,
				(ssize_t)(end - start));
	}
	return fd;
}
