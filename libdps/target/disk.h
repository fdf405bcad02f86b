/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/disk.h>
#include "format/gpt.h"
#include "target/blockdev.h"
#include "target/medium.h"
#include "target/partition.h"

/* What the decide floor needs of a disk beyond the public door. */

/* (nullable): our reading of both copies of the table; NULL unless the table is DPS_TABLE_GPT */
const DpsGpt *dps_disk_get_gpt(DpsDisk *disk);

DpsMedium *dps_disk_get_medium(DpsDisk *disk);

/* Whether @path leads to this disk, by whatever name it was opened. */
gboolean dps_disk_is_at(DpsDisk *disk, const char *path);

/* One line for people: why the disk has no table that can be used; NULL when it has one. */
const char *dps_disk_get_table_problem(DpsDisk *disk);

/**
 * dps_disk_find_backing:
 * @disk: a disk
 * @backing: what something stands on
 * @partition: (out) (nullable): the partition that it is; %NULL: the whole disk, or one that is not
 *   in the table
 *
 * Also where the disk is an image and @backing is a loop device over a part of it.
 *
 * Returns: whether @backing is on @disk
 */
gboolean dps_disk_find_backing(DpsDisk *disk, const DpsBacking *backing, DpsPartition **partition);

/* Whether the partition has what "LABEL=", "UUID=", "PARTLABEL=" or "PARTUUID=" says. */
gboolean dps_partition_has_tag(DpsPartition *partition, const char *tag);
