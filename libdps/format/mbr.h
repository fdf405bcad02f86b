/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/region.h"

/*
 * The first sector of a disk: an MBR of its own, or one that protects a GPT.
 *
 * Source: UEFI 2.10, section 5.2.
 */

/* What it says.  Records count with a signature behind them only. */
typedef struct {
	gboolean is_protective;	   /* a record of type 0xEE starts in sector 1 */
	gboolean is_marked_active; /* that record is: OVMF before 2021-08 and others mind */
	gboolean is_hybrid;	   /* there are other records beside that one */
	gboolean is_table;	   /* records without a protective one, and no boot sector's code */
	gboolean has_grub;	   /* the code before the records is GRUB's for BIOS */
} DpsMbr;

/**
 * dps_mbr_read:
 * @disk: the whole medium
 * @out: (out): what its first 512 bytes say, also when it has less; set on success
 * @error: %DPS_ERROR_IO and its kin when they cannot be read
 *
 * Returns: %TRUE on success
 */
gboolean dps_mbr_read(const DpsRegion *disk, DpsMbr *out, GError **error);

#define DPS_MBR_N_PRIMARY 4

/* One of the four primary partitions of an MBR table; size 0: its record is not used. */
typedef struct {
	uint8_t type;
	uint64_t start, size; /* bytes; inside of the disk */
} DpsMbrPartition;

/**
 * dps_mbr_read_partitions:
 * @disk: a disk with an MBR table, and with sectors of 512 bytes
 * @out: (out): what the records say; one that leads outside of the disk is as one that is not used
 *
 * Partitions inside of an extended one are not read: what boots is a primary one.
 *
 * Returns: %FALSE when the first sector cannot be read, or has no signature
 */
gboolean dps_mbr_read_partitions(const DpsRegion *disk, DpsMbrPartition out[DPS_MBR_N_PRIMARY]);
