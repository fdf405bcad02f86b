/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <dps/types.h>
#include <dps/version.h>

G_BEGIN_DECLS

/**
 * DpsDisk:
 *
 * A disk or a disk image: its GUID partition table and what its partitions hold, as read when it
 * was opened.  Objects share nothing; use one disk, and what it lends, from one thread at a time;
 * the last reference may go in any thread.
 */
typedef struct _DpsDisk DpsDisk;

/**
 * DpsPartition:
 *
 * One used entry of the table.  Lent by its disk, and gone with it; dps_plan_apply() and
 * dps_disk_refresh() replace the partitions of the disk that they work on.
 */
typedef struct _DpsPartition DpsPartition;

/**
 * DpsSubvolume:
 *
 * One subvolume of a btrfs.  Lent by its partition.
 */
typedef struct _DpsSubvolume DpsSubvolume;

/**
 * DpsOpenFlags:
 * @DPS_OPEN_READ_ONLY: read, write nothing, take no lock
 * @DPS_OPEN_WRITABLE: and hold an exclusive lock on the whole disk until the last unref
 * @DPS_OPEN_LOCK_NONBLOCK: do not wait for the lock
 * @DPS_OPEN_NO_LOCK: the caller holds it (an osbuild loopback, `udevadm lock`)
 *
 * Since: 0.1
 */
typedef enum {
	DPS_OPEN_READ_ONLY = 0,
	DPS_OPEN_WRITABLE = 1 << 0,
	DPS_OPEN_LOCK_NONBLOCK = 1 << 1,
	DPS_OPEN_NO_LOCK = 1 << 2,
} DpsOpenFlags;

/**
 * DpsTable:
 * @DPS_TABLE_NONE: no partition table
 * @DPS_TABLE_GPT: a GUID partition table, at least one copy of it good
 * @DPS_TABLE_GPT_DAMAGED: signs of a GUID partition table, and no copy that can be used
 * @DPS_TABLE_MBR: an MBR partition table ("dos")
 *
 * What the disk is partitioned with.
 *
 * Since: 0.1
 */
typedef enum {
	DPS_TABLE_NONE = 0,
	DPS_TABLE_GPT = 1,
	DPS_TABLE_GPT_DAMAGED = 2,
	DPS_TABLE_MBR = 3,
} DpsTable;

/**
 * dps_disk_open:
 * @path: a block device or an image file
 * @flags: how
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION, %DPS_ERROR_IO; %DPS_ERROR_BUSY when another
 *   process holds the lock, and when an image file to be written is attached to a loop device or
 *   open in a virtual machine; %DPS_ERROR_UNSUPPORTED when @path is no disk
 *
 * Reads the table, and finds the sector size of an image by looking for the table at 512 and 4096.
 * A disk without a usable table opens too, without partitions: see dps_disk_get_table().
 *
 * The lock is flock(2) on the descriptor that writes, as https://systemd.io/BLOCK_DEVICE_LOCKING
 * asks for; who comes second waits a short while, and the message then says who holds it.
 *
 * Returns: (transfer full): the disk, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsDisk *dps_disk_open(const char *path, DpsOpenFlags flags,
			       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * dps_disk_open_with_sector_size:
 * @path: as for dps_disk_open()
 * @flags: as for dps_disk_open()
 * @sector_size: 512 or 4096 bytes, or 0 to find out; a block device has its own
 * @error: as for dps_disk_open(); %DPS_ERROR_INVALID for another @sector_size
 *
 * Returns: (transfer full): the disk, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsDisk *dps_disk_open_with_sector_size(const char *path, DpsOpenFlags flags,
						guint sector_size,
						GError **error) G_GNUC_WARN_UNUSED_RESULT;

DPS_API DpsDisk *dps_disk_ref(DpsDisk *disk);
DPS_API void dps_disk_unref(DpsDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsDisk, dps_disk_unref)

/**
 * dps_disk_refresh:
 * @disk: a disk
 * @error: as for dps_disk_open()
 *
 * Reads the disk again, through the same descriptor.  Partitions that were lent are gone.
 *
 * Returns: %TRUE on success; on failure @disk is as it was
 * Since: 0.1
 */
DPS_API gboolean dps_disk_refresh(DpsDisk *disk, GError **error);

/**
 * dps_disk_get_finished:
 * @disk: a disk
 *
 * To open an image for writing finishes what a run that was cut off had begun, as its journal has
 * it.  Whatever fails behind that, the image is another than before.
 *
 * Returns: (nullable): that and what was finished, one line for people; %NULL: there was nothing
 * Since: 0.1
 */
DPS_API const char *dps_disk_get_finished(DpsDisk *disk);

/* What a disk is.  Strings belong to the disk; that of the UUID is gone with the next refresh. */
DPS_API const char *dps_disk_get_path(DpsDisk *disk);  /* as it was opened */
DPS_API guint64 dps_disk_get_size(DpsDisk *disk);      /* bytes */
DPS_API guint dps_disk_get_sector_size(DpsDisk *disk); /* bytes; 0 without a table */
DPS_API const char *dps_disk_get_uuid(DpsDisk *disk);  /* lower case; %NULL without a table */
DPS_API DpsTable dps_disk_get_table(DpsDisk *disk);

/**
 * dps_disk_require_table:
 * @disk: a disk
 * @error: %DPS_ERROR_NO_TABLE: there is none, and what there is instead; %DPS_ERROR_CORRUPT: it is
 *   damaged beyond use, and what is wrong with each copy
 *
 * Returns: whether @disk has a GUID partition table that can be read
 * Since: 0.1
 */
DPS_API gboolean dps_disk_require_table(DpsDisk *disk, GError **error);

/**
 * dps_disk_get_n_partitions:
 * @disk: a disk
 *
 * Returns: how many entries of the table are used
 * Since: 0.1
 */
DPS_API guint dps_disk_get_n_partitions(DpsDisk *disk);

/**
 * dps_disk_get_partition:
 * @disk: a disk
 * @index: 0 to dps_disk_get_n_partitions() - 1: a place in the order of the table, not a number
 *
 * Returns: (transfer none): the partition
 * Since: 0.1
 */
DPS_API DpsPartition *dps_disk_get_partition(DpsDisk *disk, guint index);

/**
 * dps_disk_get_partition_by_number:
 * @disk: a disk
 * @number: the number of an entry, counted from 1
 *
 * Returns: (transfer none) (nullable): the partition, %NULL when that entry is not used
 * Since: 0.1
 */
DPS_API DpsPartition *dps_disk_get_partition_by_number(DpsDisk *disk, guint number);

/**
 * dps_disk_find_partition:
 * @disk: a disk
 * @spec: a number, a device node, or `LABEL=`, `UUID=`, `PARTLABEL=` or `PARTUUID=` with a value
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_AMBIGUOUS, %DPS_ERROR_INVALID
 *
 * Returns: (transfer none): the one partition that @spec names, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsPartition *dps_disk_find_partition(DpsDisk *disk, const char *spec, GError **error);

/* What a partition is.  Strings are valid UTF-8 and belong to the partition. */
DPS_API guint dps_partition_get_number(DpsPartition *partition);     /* counted from 1 */
DPS_API const char *dps_partition_get_node(DpsPartition *partition); /* %NULL: it has none */
DPS_API guint64 dps_partition_get_start(DpsPartition *partition);    /* bytes from the disk's */
DPS_API guint64 dps_partition_get_size(DpsPartition *partition);     /* bytes */
DPS_API const char *dps_partition_get_type_uuid(DpsPartition *partition); /* lower case */
DPS_API const DpsType *dps_partition_get_type(DpsPartition *partition); /* %NULL: not of the DPS */
DPS_API const char *dps_partition_get_uuid(DpsPartition *partition);	/* lower case */
DPS_API const char *dps_partition_get_label(DpsPartition *partition);	/* %NULL when empty */
DPS_API guint64 dps_partition_get_attributes(DpsPartition *partition);	/* all bits: DpsFlags */

/*
 * What a partition holds, as libblkid recognises it ("vfat", "btrfs", "crypto_LUKS"); each %NULL
 * when it does not.
 */
DPS_API const char *dps_partition_get_content_type(DpsPartition *partition);
DPS_API const char *dps_partition_get_content_uuid(DpsPartition *partition);
DPS_API const char *dps_partition_get_content_label(DpsPartition *partition);

/**
 * dps_partition_get_content_problem:
 * @partition: a partition
 *
 * A sector that the medium does not give makes what the partition holds unknown, and no more: the
 * table and the other partitions are as they are.  No type is given to such a partition.
 *
 * Returns: (transfer none) (nullable): why what it holds could not be read ("Input/output error");
 *   %NULL when it could
 * Since: 0.1
 */
DPS_API const char *dps_partition_get_content_problem(DpsPartition *partition);

/**
 * dps_partition_get_default_subvolume:
 * @partition: a partition
 *
 * Returns: (transfer none) (nullable): the subvolume of a btrfs that is mounted when none is asked
 *   for; %NULL when it is no btrfs or could not be read
 * Since: 0.1
 */
DPS_API const DpsSubvolume *dps_partition_get_default_subvolume(DpsPartition *partition);

/**
 * dps_partition_get_subvolumes:
 * @partition: a partition
 *
 * Returns: (transfer none) (element-type DpsSubvolume) (nullable): the subvolumes of a btrfs, by
 *   number, the top level (5) among them; %NULL when it is no btrfs or could not be read
 * Since: 0.1
 */
DPS_API GPtrArray *dps_partition_get_subvolumes(DpsPartition *partition);

DPS_API guint64 dps_subvolume_get_id(const DpsSubvolume *subvolume);
DPS_API const char *dps_subvolume_get_path(const DpsSubvolume *subvolume); /* "/": the top level */

G_END_DECLS
