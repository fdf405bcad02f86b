/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/disk.h"
#include "target/partition.h"

/**
 * dps_mbr_list_partitions:
 * @disk: a disk
 *
 * The primary partitions of a disk with an MBR table, for those who read what is in them: nothing
 * can be discovered on such a disk, so they are none of dps_disk_get_partition().  One that cannot
 * be read has no content.
 *
 * Returns: (transfer full) (element-type DpsPartition): without type and UUID; empty for another
 *   table
 */
GPtrArray *dps_mbr_list_partitions(DpsDisk *disk);
