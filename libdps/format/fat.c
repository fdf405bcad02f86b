/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/fat.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/* The boot sector's fields are in its first 512 bytes, whatever the sector size. */
#define BOOT_SIZE 512

/* The specification, "FSInfo Sector Structure": signatures at 0, 484 and 508. */
#define FS_INFO_LEAD 0x41615252
#define FS_INFO_STRUCT 0x61417272
#define FS_INFO_TRAIL 0xAA550000

/* BPB_ExtFlags: bit 7: no mirroring, bits 0 to 3: the copy in use. */
#define EXT_FLAG_NO_MIRROR 0x80

/* What 12, 16 and 28 bits can count up to before the marks for bad and end begin. */
static uint32_t
max_clusters(guint width)
{
	return (width == 12   ? 0xFF7
		: width == 16 ? 0xFFF7
			      : DPS_FAT_CLUSTER_BAD) -
	       DPS_FAT_CLUSTER_FIRST;
}

struct _DpsFat {
	DpsRegion region;
	DpsFatGeometry geometry;

	/* The piece of the FAT that was read last; window_size is 0 before the first. */
	uint64_t window_offset;
	size_t window_size;
	uint8_t window[DPS_FAT_WINDOW_SIZE];

	DpsFatDirectories directories;
};

static gboolean
is_power_of_two(guint n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/*
 * Linux, fs/fat/inode.c, fat_read_bpb(): what must hold before the other fields mean anything.
 * NTFS and exFAT have the signature too, but zeros where these are.
 */
static gboolean
check_looks_like_fat(const uint8_t *boot, GError **error)
{
	guint sector_size = dps_load_le16(boot + 11);
	guint media = boot[21];

	if (boot[510] != 0x55 || boot[511] != 0xAA)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "boot sector: no 55 aa signature: not FAT");
	if (!is_power_of_two(sector_size) || sector_size < 512 || sector_size > 4096)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "boot sector: sector size %u: not FAT", sector_size);
	if (!is_power_of_two(boot[13]))
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "boot sector: %u sectors per cluster: not FAT", boot[13]);
	if (dps_load_le16(boot + 14) == 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "boot sector: no reserved sectors: not FAT");
	if (boot[16] == 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "boot sector: no FATs: not FAT");
	if (media != 0xF0 && media < 0xF8)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "boot sector: media byte %#x: not FAT", media);

	return TRUE;
}

/* What only FAT32 has; its sectors beside the boot sector are read for what they say. */
static gboolean
read_fat32_fields(const DpsRegion *region, const uint8_t *boot, DpsFatGeometry *geo, GError **error)
{
	uint8_t sector[BOOT_SIZE];

	geo->ext_flags = dps_load_le16(boot + 40);
	geo->fs_version = dps_load_le16(boot + 42);
	geo->root_cluster = dps_load_le32(boot + 44) & 0x0FFFFFFF;
	geo->fs_info_sector = dps_load_le16(boot + 48);
	geo->backup_boot_sector = dps_load_le16(boot + 50);

	/* 0 and 0xFFFF both mean that there is none; so does a place outside of the reserved ones.
	 */
	if (geo->fs_info_sector > 0 && geo->fs_info_sector < geo->reserved_sectors) {
		uint64_t at = (uint64_t)geo->fs_info_sector * geo->sector_size;

		if (!dps_region_read(region, at, sector, sizeof(sector), error))
			return FALSE;
		geo->has_fs_info = dps_load_le32(sector) == FS_INFO_LEAD &&
				   dps_load_le32(sector + 484) == FS_INFO_STRUCT &&
				   dps_load_le32(sector + 508) == FS_INFO_TRAIL;
		if (geo->has_fs_info)
			geo->fs_info_free = dps_load_le32(sector + 488);
	}

	if (geo->backup_boot_sector > 0 && geo->backup_boot_sector < geo->reserved_sectors) {
		uint64_t at = (uint64_t)geo->backup_boot_sector * geo->sector_size;

		if (!dps_region_read(region, at, sector, sizeof(sector), error))
			return FALSE;
		sector[65] = boot[65]; /* the state is kept in the first alone */
		geo->is_backup_different = memcmp(sector, boot, sizeof(sector)) != 0;
	}
	return TRUE;
}

gboolean
dps_fat_read_geometry(const DpsRegion *region, DpsFatGeometry *out, GError **error)
{
	DpsFatGeometry geo = { 0 };
	uint8_t boot[BOOT_SIZE];
	uint64_t root_sectors, data_sector, active = 0;
	uint64_t fat_there, data_there;
	const uint8_t *tail;

	if (!dps_region_read(region, 0, boot, sizeof(boot), error) ||
	    !check_looks_like_fat(boot, error))
		return FALSE;

	geo.sector_size = dps_load_le16(boot + 11);
	geo.sectors_per_cluster = boot[13];
	geo.reserved_sectors = dps_load_le16(boot + 14);
	geo.n_fats = boot[16];
	geo.root_entries = dps_load_le16(boot + 17);
	geo.total_sectors = dps_load_le16(boot + 19);
	if (geo.total_sectors == 0)
		geo.total_sectors = dps_load_le32(boot + 32);
	geo.media = boot[21];
	geo.fat_sectors = dps_load_le16(boot + 22);

	/* "FAT Type Determination": a 16-bit size of zero is how FAT32 says that it is FAT32. */
	if (geo.fat_sectors == 0) {
		geo.width = 32;
		geo.fat_sectors = dps_load_le32(boot + 36);
		if (!read_fat32_fields(region, boot, &geo, error))
			return FALSE;
	}
	if (geo.fat_sectors == 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "boot sector: FAT of no sectors");

	/* The tail of the boot sector begins at 36, for FAT32 behind its own fields. */
	tail = boot + (geo.width == 32 ? 64 : 36);
	geo.state = tail[1];
	if (tail[2] == 0x29 || tail[2] == 0x28) {
		geo.has_serial = TRUE;
		geo.serial = dps_load_le32(tail + 3);
	}
	if (tail[2] == 0x29) {
		memcpy(geo.boot_label, tail + 7, 11);
		g_strchomp(geo.boot_label);
	}

	root_sectors = ((uint64_t)geo.root_entries * DPS_FAT_SLOT_SIZE + geo.sector_size - 1) /
		       geo.sector_size;
	data_sector = geo.reserved_sectors + (uint64_t)geo.n_fats * geo.fat_sectors + root_sectors;
	if (data_sector >= geo.total_sectors)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "boot sector: %" PRIu32 " sectors: no room behind the FATs, which "
				 "end at %" PRIu64,
				 geo.total_sectors, data_sector);

	geo.n_clusters = (uint32_t)((geo.total_sectors - data_sector) / geo.sectors_per_cluster);
	if (geo.n_clusters == 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "boot sector: no room for a cluster");

	geo.width_by_count = geo.n_clusters < DPS_FAT16_MIN_CLUSTERS   ? 12
			     : geo.n_clusters < DPS_FAT32_MIN_CLUSTERS ? 16
								       : 32;
	if (geo.width == 0)
		geo.width = geo.width_by_count == 12 ? 12 : 16;

	/* Linux reads the first copy always; the specification, mtools and Windows the one in use.
	 */
	if (geo.ext_flags & EXT_FLAG_NO_MIRROR)
		active = geo.ext_flags & 0x0F;
	if (active >= geo.n_fats)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "boot sector: FAT %" PRIu64 " is in use, but there are %u", active,
				 geo.n_fats);

	/* Each product is below 2^32 * 2^12: none of these can wrap. */
	geo.cluster_size = (uint64_t)geo.sectors_per_cluster * geo.sector_size;
	geo.fat_size = (uint64_t)geo.fat_sectors * geo.sector_size;
	geo.fat_offset = (uint64_t)geo.reserved_sectors * geo.sector_size + active * geo.fat_size;
	geo.data_offset = data_sector * geo.sector_size;
	geo.size = (uint64_t)geo.total_sectors * geo.sector_size;
	if (geo.width != 32)
		geo.root_offset = (data_sector - root_sectors) * geo.sector_size;

	fat_there = region->size > geo.fat_offset ? region->size - geo.fat_offset : 0;
	fat_there = MIN(fat_there, geo.fat_size) * 8 / geo.width;
	data_there = region->size > geo.data_offset ? region->size - geo.data_offset : 0;
	data_there /= geo.cluster_size;
	geo.n_clusters_usable = MIN(geo.n_clusters, max_clusters(geo.width));
	geo.n_clusters_usable = (uint32_t)MIN(
		geo.n_clusters_usable,
		fat_there > DPS_FAT_CLUSTER_FIRST ? fat_there - DPS_FAT_CLUSTER_FIRST : 0);
	geo.n_clusters_usable = (uint32_t)MIN(geo.n_clusters_usable, data_there);

	*out = geo;
	return TRUE;
}

DpsFat *
dps_fat_open(const DpsRegion *region, GError **error)
{
	DpsFatGeometry geometry;
	DpsFat *self;

	if (!dps_fat_read_geometry(region, &geometry, error))
		return NULL;

	self = g_new0(DpsFat, 1);
	self->region = *region;
	self->geometry = geometry;
	return self;
}

void
dps_fat_free(DpsFat *self)
{
	if (!self)
		return;

	g_clear_pointer(&self->directories.by_cluster, g_hash_table_unref);
	g_free(self);
}

const DpsFatGeometry *
dps_fat_get_geometry(DpsFat *self)
{
	return &self->geometry;
}

const DpsRegion *
dps_fat_get_region(DpsFat *self)
{
	return &self->region;
}

gboolean
dps_fat_is_cluster(DpsFat *self, uint32_t cluster)
{
	return cluster >= DPS_FAT_CLUSTER_FIRST &&
	       cluster - DPS_FAT_CLUSTER_FIRST < self->geometry.n_clusters_usable;
}

/* The bytes of the copy in use from @offset on, at least one and at most a window full. */
static gboolean
get_fat_bytes(DpsFat *self, uint64_t offset, const uint8_t **bytes, size_t *size, GError **error)
{
	uint64_t start = offset - offset % DPS_FAT_WINDOW_SIZE;
	const DpsFatGeometry *geo = &self->geometry;

	if (offset >= geo->fat_size)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "FAT: byte %" PRIu64 ": outside of its %" PRIu64, offset,
				 geo->fat_size);

	if (self->window_size == 0 || self->window_offset != start) {
		size_t n = (size_t)MIN(DPS_FAT_WINDOW_SIZE, geo->fat_size - start);

		self->window_size = 0;
		if (!dps_region_read(&self->region, geo->fat_offset + start, self->window, n,
				     error))
			return FALSE;
		self->window_offset = start;
		self->window_size = n;
	}

	*bytes = self->window + (offset - start);
	*size = self->window_size - (size_t)(offset - start);
	return TRUE;
}

/* Twelve bits begin at any nibble, and may lie across two windows. */
static gboolean
read_entry_12(DpsFat *self, uint32_t cluster, uint32_t *value, GError **error)
{
	uint64_t offset = (uint64_t)cluster * 3 / 2;
	guint both = 0;

	for (guint i = 0; i < 2; i++) {
		const uint8_t *bytes;
		size_t size;

		if (!get_fat_bytes(self, offset + i, &bytes, &size, error))
			return FALSE;
		both |= (guint)bytes[0] << 8 * i;
	}
	*value = cluster % 2 ? both >> 4 : both & 0xFFF;
	return TRUE;
}

/* The entry as it is, with no meaning given to it. */
static gboolean
read_raw_entry(DpsFat *self, uint32_t cluster, uint32_t *value, GError **error)
{
	const guint width = self->geometry.width;
	const uint8_t *bytes;
	size_t size;

	if (width == 12)
		return read_entry_12(self, cluster, value, error);

	/* Entries divide windows and sectors: a whole one is there. */
	if (!get_fat_bytes(self, (uint64_t)cluster * (width / 8), &bytes, &size, error))
		return FALSE;

	/* The upper four bits of FAT32 are reserved and kept as they are. */
	*value = width == 16 ? dps_load_le16(bytes) : dps_load_le32(bytes) & 0x0FFFFFFF;
	return TRUE;
}

static uint32_t
widen(guint width, uint32_t value)
{
	const uint32_t bad = width == 12 ? 0xFF7 : width == 16 ? 0xFFF7 : DPS_FAT_CLUSTER_BAD;

	return value < bad ? value : value == bad ? DPS_FAT_CLUSTER_BAD : DPS_FAT_CLUSTER_END;
}

gboolean
dps_fat_read_entry(DpsFat *self, uint32_t cluster, uint32_t *value, GError **error)
{
	uint32_t raw = 0;

	if (!dps_fat_is_cluster(self, cluster))
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "cluster %" PRIu32 ": outside of the file system", cluster);
	if (!read_raw_entry(self, cluster, &raw, error))
		return FALSE;

	*value = widen(self->geometry.width, raw);
	return TRUE;
}

gboolean
dps_fat_next(DpsFat *self, uint32_t cluster, uint32_t *next, GError **error)
{
	uint32_t value = 0;

	if (!dps_fat_read_entry(self, cluster, &value, error))
		return FALSE;
	if (value == DPS_FAT_CLUSTER_FREE || value == DPS_FAT_CLUSTER_BAD)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "cluster %" PRIu32 ": in a chain, but marked as %s", cluster,
				 value == DPS_FAT_CLUSTER_FREE ? "free" : "bad");
	if (value != DPS_FAT_CLUSTER_END && !dps_fat_is_cluster(self, value))
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "cluster %" PRIu32 ": leads to cluster %" PRIu32
				 ", outside of the file system",
				 cluster, value);

	*next = value;
	return TRUE;
}

uint64_t
dps_fat_get_cluster_offset(DpsFat *self, uint32_t cluster)
{
	return self->geometry.data_offset +
	       (uint64_t)(cluster - DPS_FAT_CLUSTER_FIRST) * self->geometry.cluster_size;
}

gboolean
dps_fat_read_state(DpsFat *self, DpsFatState *out, GError **error)
{
	const DpsFatGeometry *geo = &self->geometry;
	DpsFatState state = { 0 };
	uint32_t entry, clean, no_error;

	if (geo->state & (DPS_FAT_STATE_DIRTY | DPS_FAT_STATE_ERROR)) {
		state.is_dirty = (geo->state & DPS_FAT_STATE_DIRTY) != 0;
		state.has_errors = (geo->state & DPS_FAT_STATE_ERROR) != 0;
		state.where = "boot sector";
	}

	/* The specification, "FAT Volume Dirty": two bits of the second entry, not in FAT12. */
	if (geo->width != 12) {
		clean = geo->width == 16 ? 0x8000 : 0x08000000;
		no_error = clean >> 1;
		if (!read_raw_entry(self, 1, &entry, error))
			return FALSE;
		if ((entry & (clean | no_error)) != (clean | no_error)) {
			state.is_dirty |= !(entry & clean);
			state.has_errors |= !(entry & no_error);
			state.where = state.where ? "boot sector and FAT" : "FAT";
		}
	}

	*out = state;
	return TRUE;
}

gboolean
dps_fat_count_free(DpsFat *self, uint32_t *n_clusters, GError **error)
{
	const DpsFatGeometry *geo = &self->geometry;
	const uint64_t end = DPS_FAT_CLUSTER_FIRST + (uint64_t)geo->n_clusters_usable;
	uint32_t n = 0;

	for (uint64_t cluster = DPS_FAT_CLUSTER_FIRST; cluster < end; cluster++) {
		uint32_t value = 0;

		if (!read_raw_entry(self, (uint32_t)cluster, &value, error))
			return FALSE;
		n += value == DPS_FAT_CLUSTER_FREE;
	}
	*n_clusters = n;
	return TRUE;
}

DpsFatDirectories *
dps_fat_get_directories(DpsFat *self)
{
	return &self->directories;
}
