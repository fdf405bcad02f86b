/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/region.h"

#define DPS_MBR_N_PRIMARY 4

/* One of the four primary partitions of an MBR table; size 0: its record is not used. */
typedef struct {
	uint8_t type;
	uint64_t start, size; /* bytes; inside of the disk */
} DpsMbrPartition;

/**
 * dps_mbr_read:
 * @disk: a disk with an MBR table, and with sectors of 512 bytes
 * @out: (out): what the records say; one that leads outside of the disk is as one that is not used
 *
 * Partitions inside of an extended one are not read: what boots is a primary one.
 *
 * Returns: %FALSE when the first sector cannot be read, or has no signature
 */
gboolean dps_mbr_read(const DpsRegion *disk, DpsMbrPartition out[DPS_MBR_N_PRIMARY]);
