/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/mbr.h"
#include "ground/bytes.h"

#include <string.h>

/* Source: UEFI 2.10, tables 5-1 to 5-4. */
enum {
	SECTOR_SIZE = 512,
	CODE_SIZE = 440,
	RECORDS = 446,
	RECORD_SIZE = 16,
	RECORD_STATUS = 0,
	RECORD_TYPE = 4,
	RECORD_START = 8,
	RECORD_SECTORS = 12,
	SIGNATURE = 510,

	STATUS_ACTIVE = 0x80,
	TYPE_PROTECTIVE = 0xEE,
};

static gboolean
has_signature(const uint8_t *sector)
{
	return sector[SIGNATURE] == 0x55 && sector[SIGNATURE + 1] == 0xAA;
}

static const uint8_t *
get_record(const uint8_t *sector, guint n)
{
	return sector + RECORDS + (size_t)n * RECORD_SIZE;
}

static gboolean
code_has(const uint8_t *sector, const char *text)
{
	return memmem(sector, CODE_SIZE, text, strlen(text)) != NULL;
}

gboolean
dps_mbr_read(const DpsRegion *disk, DpsMbr *out, GError **error)
{
	uint8_t sector[SECTOR_SIZE] = { 0 };
	guint n_others = 0, n_odd = 0;
	DpsMbr mbr = { 0 };

	if (disk->size >= SECTOR_SIZE && !dps_region_read(disk, 0, sector, sizeof(sector), error))
		return FALSE;

	for (guint i = 0; i < DPS_MBR_N_PRIMARY && has_signature(sector); i++) {
		const uint8_t *record = get_record(sector, i);
		uint8_t status = record[RECORD_STATUS];

		/* The kernel wants both: block/partitions/efi.c, pmbr_part_valid(). */
		if (record[RECORD_TYPE] == TYPE_PROTECTIVE &&
		    dps_load_le32(record + RECORD_START) == 1) {
			mbr.is_marked_active |= !mbr.is_protective && (status & STATUS_ACTIVE) != 0;
			mbr.is_protective = TRUE;
		} else if (record[RECORD_TYPE] != 0) {
			n_others++;
		}
		/* A file system's boot sector has the signature too, and code in these places. */
		if (status != 0 && status != STATUS_ACTIVE)
			n_odd++;
	}
	/* It says its name and what failed: boot/i386/pc/boot.S of GRUB. */
	mbr.has_grub = code_has(sector, "GRUB") && code_has(sector, "Geom");
	mbr.is_hybrid = mbr.is_protective && n_others > 0;
	mbr.is_table = !mbr.is_protective && n_others > 0 && n_odd == 0;
	*out = mbr;
	return TRUE;
}

gboolean
dps_mbr_read_partitions(const DpsRegion *disk, DpsMbrPartition out[DPS_MBR_N_PRIMARY])
{
	uint8_t sector[SECTOR_SIZE];

	if (!dps_region_read(disk, 0, sector, sizeof(sector), NULL) || !has_signature(sector))
		return FALSE;

	for (guint i = 0; i < DPS_MBR_N_PRIMARY; i++) {
		const uint8_t *record = get_record(sector, i);
		uint64_t start = (uint64_t)dps_load_le32(record + RECORD_START) * SECTOR_SIZE;
		uint64_t size = (uint64_t)dps_load_le32(record + RECORD_SECTORS) * SECTOR_SIZE;

		out[i] = (DpsMbrPartition){ 0 };
		if (record[RECORD_TYPE] != 0 && start > 0 && start < disk->size &&
		    size <= disk->size - start)
			out[i] = (DpsMbrPartition){ record[RECORD_TYPE], start, size };
	}
	return TRUE;
}
