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

static uint64_t
cluster_offset(const DpsFat *self, uint32_t cluster)
{
	return self->geometry.data_offset +
	       (uint64_t)(cluster - DPS_FAT_CLUSTER_FIRST) * self->geometry.cluster_size;
}

void
dps_fat_entry_free(DpsFatEntry *entry)
{
	if (!entry)
		return;

	g_free(entry->name);
	g_free(entry);
}

gboolean
dps_fat_entry_is_special(const DpsFatEntry *entry)
{
	return entry->attributes & DPS_FAT_ATTRIBUTE_VOLUME || g_str_equal(entry->name, ".") ||
	       g_str_equal(entry->name, "..");
}

char *
dps_fat_fold_name(const char *name)
{
	GString *folded = g_string_new(NULL);

	/* One character for one, as the format has it: "ß" stays what it is. */
	for (const char *p = name; *p; p = g_utf8_next_char(p))
		g_string_append_unichar(folded, g_unichar_toupper(g_utf8_get_char(p)));
	return g_string_free(folded, FALSE);
}

void
dps_fat_walk_init(DpsFatWalk *walk, DpsFat *fat, uint32_t cluster)
{
	const DpsFatGeometry *geo = &fat->geometry;

	memset(walk, 0, sizeof(*walk));
	walk->fat = fat;
	walk->cluster = cluster == 0 && geo->width == 32 ? geo->root_cluster : cluster;

	/* What is no cluster must not be taken for the mark of the end: 1 is none either. */
	if ((walk->cluster != 0 || geo->width == 32) && !dps_fat_is_cluster(fat, walk->cluster))
		walk->cluster = 1;

	if (walk->cluster == 0) {
		walk->offset = geo->root_offset;
		walk->left = (uint64_t)geo->root_entries * DPS_FAT_SLOT_SIZE;
	}
}

/* Reads the next piece of the directory; at its end TRUE, and nothing is filled. */
static gboolean
walk_fill(DpsFatWalk *walk, GError **error)
{
	DpsFat *fat = walk->fat;
	uint32_t next = walk->cluster;
	size_t n;

	walk->at = walk->filled = 0;
	if (walk->left == 0) {
		if (walk->cluster == 0 || walk->cluster == DPS_FAT_CLUSTER_END)
			return TRUE;
		/* The first cluster comes from the entry of the directory, all others from the FAT.
		 */
		if (walk->n_slots > 0 && !dps_fat_next(fat, walk->cluster, &next, error))
			return FALSE;
		walk->cluster = next;
		if (next == DPS_FAT_CLUSTER_END)
			return TRUE;
		if (!dps_fat_is_cluster(fat, next))
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "cluster %" PRIu32 ": outside of the file system", next);
		walk->offset = cluster_offset(fat, next);
		walk->left = fat->geometry.cluster_size;
	}

	/* Whoever follows a loop comes by here, and is stopped. */
	if (walk->n_slots >= DPS_FAT_MAX_SLOTS)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "directory: more than %d entries, or its chain is a loop",
				 DPS_FAT_MAX_SLOTS);

	n = (size_t)MIN(DPS_FAT_WINDOW_SIZE, walk->left);
	if (!dps_region_read(&fat->region, walk->offset, walk->buffer, n, error))
		return FALSE;
	walk->offset += n;
	walk->left -= n;
	walk->filled = n;
	walk->n_slots += (guint)(n / DPS_FAT_SLOT_SIZE);
	return TRUE;
}

/* The specification, "Long Directory Entries": over the eleven bytes of the short name. */
static uint8_t
short_name_checksum(const uint8_t *slot)
{
	uint8_t sum = 0;

	for (guint i = 0; i < 11; i++)
		sum = (uint8_t)((sum & 1 ? 0x80 : 0) + (sum >> 1) + slot[i]);
	return sum;
}

/* One part of a long name; they come from the last to the first, and the last has bit 6. */
static void
walk_add_part(DpsFatWalk *walk, const uint8_t *slot)
{
	/* Where the 5, 6 and 2 characters of a part are. */
	static const uint8_t places[13] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
	guint part = slot[0] & 0x3F;
	gboolean fits;

	if (slot[0] & 0x40) {
		walk->is_broken |= walk->n_parts > 0;
		walk->n_parts = walk->next_part = part;
		walk->checksum = slot[13];
	}

	fits = part > 0 && part <= 20 && walk->n_parts > 0 && part == walk->next_part &&
	       walk->checksum == slot[13];
	if (!fits) {
		walk->is_broken = TRUE;
		walk->n_parts = 0;
		return;
	}
	for (guint i = 0; i < 13; i++)
		walk->units[(part - 1) * 13 + i] = dps_load_le16(slot + places[i]);
	walk->next_part--;
}

/* The name that the parts make, as UTF-8; NULL when they make none. */
static char *
join_parts(const DpsFatWalk *walk, gboolean *is_damaged, DpsFatFlaws *flaws)
{
	g_autoptr(GString) name = g_string_new(NULL);
	const guint n = walk->n_parts * 13;
	gboolean damaged = FALSE;

	/* A NUL ends it, unless it fills its parts to the last. */
	for (guint i = 0; i < n && walk->units[i] != 0; i++) {
		gunichar c = walk->units[i];

		if (c >= 0xD800 && c < 0xDC00 && i + 1 < n && walk->units[i + 1] >= 0xDC00 &&
		    walk->units[i + 1] < 0xE000) {
			c = 0x10000 + ((c - 0xD800) << 10) + (walk->units[i + 1] - 0xDC00U);
			i++;
		} else if ((c >= 0xD800 && c < 0xE000) || c == '/') {
			/* Half a character; or one that would make two names of this. */
			c = 0xFFFD;
			damaged = TRUE;
		}
		if (c < 0x20 || (c < 0x80 && strchr("\"*:<>?\\|", (int)c)) || damaged)
			*flaws |= DPS_FAT_FLAW_NAME;
		g_string_append_unichar(name, c);
	}

	if (name->len == 0 || g_str_equal(name->str, ".") || g_str_equal(name->str, "..")) {
		*flaws |= DPS_FAT_FLAW_LONG_NAME;
		return NULL;
	}
	*is_damaged = damaged;
	return g_string_free(g_steal_pointer(&name), FALSE);
}

/*
 * What is not ASCII in a short name depends on a code page that no one writes down: Linux takes 437
 * unless it is told otherwise, mtools 850.  The characters from 0x80 on where both are the same; 0
 * where they are not, and no two readers agree.
 */
/* clang-format off */
static const uint16_t code_page[128] = {
	0x00C7, 0x00FC, 0x00E9, 0x00E2, 0x00E4, 0x00E0, 0x00E5, 0x00E7,
	0x00EA, 0x00EB, 0x00E8, 0x00EF, 0x00EE, 0x00EC, 0x00C4, 0x00C5,
	0x00C9, 0x00E6, 0x00C6, 0x00F4, 0x00F6, 0x00F2, 0x00FB, 0x00F9,
	0x00FF, 0x00D6, 0x00DC, 0, 0x00A3, 0, 0, 0x0192,
	0x00E1, 0x00ED, 0x00F3, 0x00FA, 0x00F1, 0x00D1, 0x00AA, 0x00BA,
	0x00BF, 0, 0x00AC, 0x00BD, 0x00BC, 0x00A1, 0x00AB, 0x00BB,
	0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0, 0, 0,
	0, 0x2563, 0x2551, 0x2557, 0x255D, 0, 0, 0x2510,
	0x2514, 0x2534, 0x252C, 0x251C, 0x2500, 0x253C, 0, 0,
	0x255A, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256C, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0x2518, 0x250C, 0x2588, 0x2584, 0, 0, 0x2580,
	0, 0x00DF, 0, 0, 0, 0, 0x00B5, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0x00B1, 0, 0, 0, 0, 0x00F7, 0,
	0x00B0, 0, 0x00B7, 0, 0, 0x00B2, 0x25A0, 0x00A0,
};
/* clang-format on */

/* One character of a short name as it is shown; 0xFFFD when that is not known. */
static gunichar
decode_short(uint8_t byte, gboolean is_first)
{
	gunichar c = byte;

	/* 0x05 stands for 0xE5, which would mean that the slot is free. */
	if (is_first && byte == 0x05)
		byte = 0xE5;
	if (byte >= 0x80)
		c = code_page[byte - 0x80];
	/* A slash would make two names of this, and a dot perhaps "..". */
	return c == 0 || c == '/' || c == '.' || c == 0x05 ? 0xFFFD : c;
}

/*
 * A short name: eight characters, three of an ending, filled up with spaces.  Its letters are upper
 * case; two bits beside it say to show them in lower case (Windows NT and Linux).
 */
static void
read_short_name(const uint8_t *slot, DpsFatEntry *entry, GString *shown, DpsFatFlaws *flaws)
{
	char *to = entry->short_name;
	guint lengths[2] = { 8, 3 };

	for (guint part = 0, from = 0; part < 2; from += 8, part++) {
		while (lengths[part] > 0 && slot[from + lengths[part] - 1] == ' ')
			lengths[part]--;
		if (part == 1 && lengths[part] > 0) {
			*to++ = '.';
			g_string_append_c(shown, '.');
		}
		for (guint i = 0; i < lengths[part]; i++) {
			uint8_t byte = slot[from + i];
			gunichar c = decode_short(byte, from + i == 0);
			gboolean lower = slot[12] & (part == 0 ? 0x08 : 0x10);

			if ((byte < 0x20 && c == byte) || c == 0x7F ||
			    strchr("\"*+,./:;<=>?[\\]|", byte))
				*flaws |= DPS_FAT_FLAW_NAME;
			if (c == 0xFFFD)
				entry->is_name_damaged = TRUE;
			*to++ = c < 0x20 || c >= 0x7F ? '_' : (char)c;
			g_string_append_unichar(shown, lower ? g_unichar_tolower(c) : c);
		}
	}
	*to = '\0';

	if (shown->len == 0) {
		g_string_append_unichar(shown, 0xFFFD);
		entry->is_name_damaged = TRUE;
		*flaws |= DPS_FAT_FLAW_NAME;
	}
}

static DpsFatEntry *
make_entry(DpsFatWalk *walk, const uint8_t *slot, DpsFatFlaws *flaws)
{
	DpsFatEntry *entry = g_new0(DpsFatEntry, 1);
	g_autoptr(GString) shown = g_string_new(NULL);
	gboolean dots = slot[0] == '.' && (slot[1] == ' ' || slot[1] == '.') &&
			memcmp(slot + 2, "         ", 9) == 0;

	*flaws = walk->is_broken ? DPS_FAT_FLAW_LONG_NAME : 0;
	entry->attributes = slot[11];

	/* In FAT12 and FAT16 the upper half of the number is something else's. */
	entry->cluster = dps_load_le16(slot + 26);
	if (walk->fat->geometry.width == 32)
		entry->cluster |= (uint32_t)dps_load_le16(slot + 20) << 16;
	if (!(entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
		entry->size = dps_load_le32(slot + 28);

	if (dots) {
		entry->name = g_strdup(slot[1] == '.' ? ".." : ".");
		g_strlcpy(entry->short_name, entry->name, sizeof(entry->short_name));
		return entry;
	}

	if (walk->n_parts > 0) {
		if (walk->next_part == 0 && walk->checksum == short_name_checksum(slot))
			entry->name = join_parts(walk, &entry->is_name_damaged, flaws);
		else
			*flaws |= DPS_FAT_FLAW_LONG_NAME;
		entry->is_long = entry->name != NULL;
	}

	if (entry->is_long) {
		gboolean is_damaged = entry->is_name_damaged;

		read_short_name(slot, entry, shown, flaws);
		entry->is_name_damaged = is_damaged;
	} else if (entry->attributes & DPS_FAT_ATTRIBUTE_VOLUME) {
		DpsFatFlaws of_label; /* a label may have what a name may not */

		read_short_name(slot, entry, shown, &of_label);
		entry->name = g_string_free(g_steal_pointer(&shown), FALSE);
	} else {
		read_short_name(slot, entry, shown, flaws);
		if (slot[0] == ' ')
			*flaws |= DPS_FAT_FLAW_NAME;
		entry->name = g_string_free(g_steal_pointer(&shown), FALSE);
	}
	return entry;
}

gboolean
dps_fat_walk_next(DpsFatWalk *walk, DpsFatEntry **entry, DpsFatFlaws *flaws, GError **error)
{
	DpsFatFlaws found = 0;

	for (;;) {
		const uint8_t *slot;

		if (walk->at == walk->filled && !walk_fill(walk, error))
			return FALSE;
		if (walk->filled == 0)
			break;

		slot = walk->buffer + walk->at;
		if (slot[0] == 0) /* this slot and all behind it are free */
			break;
		walk->at += DPS_FAT_SLOT_SIZE;

		if (slot[0] == 0xE5) { /* deleted; parts in front of it are no one's */
			walk->is_broken |= walk->n_parts > 0;
			walk->n_parts = 0;
			continue;
		}
		/* No file may have these four bits: "Long Directory Entries", LDIR_Attr. */
		if ((slot[11] & 0x3F) == 0x0F) {
			walk_add_part(walk, slot);
			continue;
		}

		*entry = make_entry(walk, slot, &found);
		walk->n_parts = 0;
		walk->is_broken = FALSE;
		if (flaws)
			*flaws = found;
		return TRUE;
	}

	/* Stay at the end, also when asked again. */
	walk->at = walk->filled = 0;
	walk->left = 0;
	walk->cluster = DPS_FAT_CLUSTER_END;
	if (flaws)
		*flaws = walk->is_broken || walk->n_parts > 0 ? DPS_FAT_FLAW_LONG_NAME : 0;
	*entry = NULL;
	return TRUE;
}

static gboolean
check_is_directory(const DpsFatEntry *entry, GError **error)
{
	if (!(entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
		return dps_throw(error, DPS_ERROR_INVALID, "%s: not a directory", entry->name);

	/* Only the root, which has no entry on the medium and so no name, may begin nowhere. */
	if (entry->cluster == 0 && entry->name[0] != '\0')
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: a directory without a cluster",
				 entry->name);

	return TRUE;
}

static DpsFatEntry *
new_root_entry(void)
{
	DpsFatEntry *root = g_new0(DpsFatEntry, 1);

	root->name = g_strdup("");
	root->attributes = DPS_FAT_ATTRIBUTE_DIRECTORY;
	return root;
}

/* One name in one directory; *found is NULL when it is not there. */
static gboolean
find_in_directory(DpsFat *self, const DpsFatEntry *directory, const char *name, DpsFatEntry **found,
		  GError **error)
{
	g_autofree DpsFatWalk *walk = g_new(DpsFatWalk, 1);
	g_autofree char *wanted = dps_fat_fold_name(name);

	dps_fat_walk_init(walk, self, directory->cluster);
	for (;;) {
		g_autoptr(DpsFatEntry) entry = NULL;
		g_autofree char *folded = NULL;

		if (!dps_fat_walk_next(walk, &entry, NULL, error))
			return FALSE;
		if (!entry) {
			*found = NULL;
			return TRUE;
		}
		if (dps_fat_entry_is_special(entry))
			continue;

		folded = dps_fat_fold_name(entry->name);
		if (g_str_equal(folded, wanted) ||
		    g_ascii_strcasecmp(entry->short_name, name) == 0) {
			*found = g_steal_pointer(&entry);
			return TRUE;
		}
	}
}

DpsFatEntry *
dps_fat_lookup(DpsFat *self, const char *path, GError **error)
{
	g_autoptr(DpsFatEntry) at = new_root_entry();
	guint depth = 0;

	if (!g_utf8_validate(path, -1, NULL))
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "path: not UTF-8");

	for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
		g_autofree char *part = g_strndup(p, strcspn(p, "/"));
		DpsFatEntry *next = NULL;

		p += strlen(part);
		if (++depth > DPS_FAT_MAX_DEPTH)
			return dps_throw_null(error, DPS_ERROR_NOT_FOUND,
					      "%s: more than %d directories deep", path,
					      DPS_FAT_MAX_DEPTH);
		if (!(at->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
			return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
		if (!check_is_directory(at, error) ||
		    !find_in_directory(self, at, part, &next, error)) {
			g_prefix_error(error, "%s: ", path);
			return NULL;
		}
		if (!next)
			return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);

		dps_fat_entry_free(at);
		at = next;
	}
	return g_steal_pointer(&at);
}

GPtrArray *
dps_fat_list(DpsFat *self, const DpsFatEntry *directory, GError **error)
{
	g_autoptr(GPtrArray) entries = NULL;
	g_autofree DpsFatWalk *walk = NULL;

	if (!check_is_directory(directory, error))
		return NULL;

	entries = g_ptr_array_new_with_free_func((GDestroyNotify)dps_fat_entry_free);
	walk = g_new(DpsFatWalk, 1);
	dps_fat_walk_init(walk, self, directory->cluster);
	for (;;) {
		DpsFatEntry *entry;

		if (!dps_fat_walk_next(walk, &entry, NULL, error))
			return NULL;
		if (!entry)
			return g_steal_pointer(&entries);
		if (dps_fat_entry_is_special(entry))
			dps_fat_entry_free(entry);
		else
			g_ptr_array_add(entries, entry);
	}
}

/* Clusters that lie behind one another, in the file and on the medium. */
typedef struct {
	uint32_t index; /* of the first of them, in the file */
	uint32_t cluster;
	uint32_t count;
} Run;

/* What a file in more pieces has behind these is found by walking its chain: 192 KiB are enough. */
#define MAX_RUNS 16384

struct _DpsFatFile {
	DpsFat *fat;
	uint32_t size;
	uint32_t first;
	GArray *runs; /* (element-type Run): the beginning of the file, without a gap */

	/* Where the last walk stood, when that is behind the last run. */
	uint32_t cursor_index, cursor;
};

DpsFatFile *
dps_fat_open_file(DpsFat *self, const DpsFatEntry *entry, GError **error)
{
	const DpsFatGeometry *geo = &self->geometry;
	DpsFatFile *file;

	if (entry->attributes & (DPS_FAT_ATTRIBUTE_DIRECTORY | DPS_FAT_ATTRIBUTE_VOLUME))
		return dps_throw_null(error, DPS_ERROR_INVALID, "%s: not a file", entry->name);
	if (entry->size > (uint64_t)geo->n_clusters * geo->cluster_size)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: %" PRIu32 " bytes: more than the file system has",
				      entry->name, entry->size);
	if (entry->size > 0 && !dps_fat_is_cluster(self, entry->cluster))
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: begins at cluster %" PRIu32
				      ", outside of the file system",
				      entry->name, entry->cluster);

	file = g_new0(DpsFatFile, 1);
	file->fat = self;
	file->size = entry->size;
	file->first = entry->cluster;
	file->runs = g_array_new(FALSE, FALSE, sizeof(Run));
	return file;
}

void
dps_fat_file_free(DpsFatFile *file)
{
	if (!file)
		return;

	g_array_unref(file->runs);
	g_free(file);
}

/* Notes that the cluster with this number in the file, the next one to be known, is @cluster. */
static void
add_to_runs(DpsFatFile *file, uint32_t index, uint32_t cluster)
{
	Run *last =
		file->runs->len > 0 ? &g_array_index(file->runs, Run, file->runs->len - 1) : NULL;

	if (last && cluster == last->cluster + last->count && index == last->index + last->count) {
		last->count++;
	} else if (file->runs->len < MAX_RUNS && (!last || index == last->index + last->count)) {
		Run run = { .index = index, .cluster = cluster, .count = 1 };

		g_array_append_val(file->runs, run);
	}
}

/* The place of a cluster of the file, among those that are known; FALSE: not yet */
static gboolean
find_in_runs(const DpsFatFile *file, uint32_t index, uint32_t *cluster)
{
	guint low = 0, high = file->runs->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		const Run *run = &g_array_index(file->runs, Run, middle);

		if (index < run->index) {
			high = middle;
		} else if (index - run->index < run->count) {
			*cluster = run->cluster + (index - run->index);
			return TRUE;
		} else {
			low = middle + 1;
		}
	}
	return FALSE;
}

/* Which cluster is the one with this number in the file.  Never walks further than there. */
static gboolean
find_cluster(DpsFatFile *file, uint32_t index, uint32_t *cluster, GError **error)
{
	uint32_t at = file->first, i = 0;

	if (find_in_runs(file, index, cluster))
		return TRUE;

	if (file->runs->len == 0) {
		add_to_runs(file, 0, at);
	} else {
		const Run *last = &g_array_index(file->runs, Run, file->runs->len - 1);

		i = last->index + last->count - 1;
		at = last->cluster + last->count - 1;
	}
	if (file->cursor_index > i && file->cursor_index <= index) {
		i = file->cursor_index;
		at = file->cursor;
	}

	while (i < index) {
		uint32_t next;

		if (!dps_fat_next(file->fat, at, &next, error))
			return FALSE;
		if (next == DPS_FAT_CLUSTER_END)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "cluster %" PRIu32
					 ": the chain ends here, before the %" PRIu32
					 " bytes of the file",
					 at, file->size);
		at = next;
		i++;
		add_to_runs(file, i, at);
	}
	file->cursor_index = i;
	file->cursor = at;
	*cluster = at;
	return TRUE;
}

static gboolean
read_file(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	DpsFatFile *file = data;
	const uint64_t cluster_size = file->fat->geometry.cluster_size;
	uint8_t *to = buffer;

	while (size > 0) {
		/* A file has less than 2^32 bytes, so neither number is cut. */
		uint32_t index = (uint32_t)(offset / cluster_size), first, last, next;
		uint64_t within = offset % cluster_size, there;
		uint32_t n = 1;

		if (!find_cluster(file, index, &first, error))
			return FALSE;

		/* As many as lie behind one another are one read. */
		last = (uint32_t)((offset + size - 1) / cluster_size);
		while (index + n <= last) {
			if (!find_cluster(file, index + n, &next, error))
				return FALSE;
			if (next != first + n)
				break;
			n++;
		}

		there = MIN(n * cluster_size - within, size);
		if (!dps_region_read(&file->fat->region, cluster_offset(file->fat, first) + within,
				     to, (size_t)there, error))
			return FALSE;
		offset += there;
		to += there;
		size -= (size_t)there;
	}
	return TRUE;
}

DpsRegion
dps_fat_file_get_region(DpsFatFile *file)
{
	return dps_region_over_reader(read_file, file, file->size);
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
