/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/mbr-partitions.h"
#include "format/mbr.h"

static DpsPartition *
partition_new(const DpsRegion *whole, guint number, const DpsMbrPartition *record)
{
	DpsPartition *partition = g_new0(DpsPartition, 1);

	partition->fd = -1;
	partition->number = number;
	partition->start = record->start;
	partition->size = record->size;
	if (!dps_region_narrow(whole, record->start, record->size, &partition->region, NULL) ||
	    !dps_content_probe(&partition->region, &partition->content, NULL))
		return partition;

	if (g_strcmp0(partition->content.type, "btrfs") == 0)
		partition->btrfs =
			dps_btrfs_open_offline(&partition->region, &partition->btrfs_error);
	return partition;
}

GPtrArray *
dps_mbr_list_partitions(DpsDisk *disk)
{
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)dps_partition_free);
	DpsMedium *medium = dps_disk_get_medium(disk);
	DpsRegion whole = dps_medium_get_region(medium);
	DpsMbrPartition records[DPS_MBR_N_PRIMARY];

	if (dps_disk_get_table(disk) != DPS_TABLE_MBR || !dps_mbr_read_partitions(&whole, records))
		return list;

	for (guint i = 0; i < DPS_MBR_N_PRIMARY; i++) {
		if (records[i].size == 0)
			continue;
		/* What is mounted from it was written past the cache of the whole disk. */
		if (dps_medium_is_device(medium) &&
		    !dps_medium_drop_cache(medium, records[i].start, records[i].size, NULL))
			continue;
		g_ptr_array_add(list, partition_new(&whole, i + 1, &records[i]));
	}
	return list;
}
