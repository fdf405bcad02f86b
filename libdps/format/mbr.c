/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/mbr.h"
#include "ground/bytes.h"

/* Source: UEFI 2.10, tables 5-1 and 5-2. */
enum {
	SECTOR_SIZE = 512,
	RECORDS = 446,
	RECORD_SIZE = 16,
	RECORD_TYPE = 4,
	RECORD_START = 8,
	RECORD_SECTORS = 12,
	SIGNATURE = 510,
};

gboolean
dps_mbr_read(const DpsRegion *disk, DpsMbrPartition out[DPS_MBR_N_PRIMARY])
{
	uint8_t sector[SECTOR_SIZE];

	if (!dps_region_read(disk, 0, sector, sizeof(sector), NULL) || sector[SIGNATURE] != 0x55 ||
	    sector[SIGNATURE + 1] != 0xAA)
		return FALSE;

	for (guint i = 0; i < DPS_MBR_N_PRIMARY; i++) {
		const uint8_t *record = sector + RECORDS + (size_t)i * RECORD_SIZE;
		uint64_t start = (uint64_t)dps_load_le32(record + RECORD_START) * SECTOR_SIZE;
		uint64_t size = (uint64_t)dps_load_le32(record + RECORD_SECTORS) * SECTOR_SIZE;

		out[i] = (DpsMbrPartition){ 0 };
		if (record[RECORD_TYPE] != 0 && start > 0 && start < disk->size &&
		    size <= disk->size - start)
			out[i] = (DpsMbrPartition){ record[RECORD_TYPE], start, size };
	}
	return TRUE;
}
