/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include "ground/region.h"

/*
 * FAT12, FAT16 and FAT32, read-only: what the boot sector says, and the FAT itself, which has for
 * each cluster the one behind it.  fat-directory has names, fat-file has bytes.
 *
 * Source: Microsoft Extensible Firmware Initiative FAT32 File System Specification 1.03 ("the
 * specification" in this module), and what Linux and the UEFI reference firmware make of it.
 */

/* The boot sector, as numbers.  Names of the specification are in brackets.  A value. */
typedef struct {
	guint sector_size;	   /* bytes (BPB_BytsPerSec): 512, 1024, 2048 or 4096 */
	guint sectors_per_cluster; /* (BPB_SecPerClus): a power of two */
	guint reserved_sectors;	   /* (BPB_RsvdSecCnt) */
	guint n_fats;		   /* (BPB_NumFATs) */
	guint root_entries;	/* (BPB_RootEntCnt): slots of the root directory of FAT12, FAT16 */
	uint32_t total_sectors; /* (BPB_TotSec16, BPB_TotSec32): may exceed the region */
	uint32_t fat_sectors;	/* of one copy (BPB_FATSz16, BPB_FATSz32) */
	guint8 media;		/* (BPB_Media) */

	/* Of FAT32 only, else 0. */
	guint ext_flags;	      /* (BPB_ExtFlags): 0x80: only one copy is in use */
	guint fs_version;	      /* (BPB_FSVer): 0 */
	uint32_t root_cluster;	      /* (BPB_RootClus) */
	guint fs_info_sector;	      /* (BPB_FSInfo) */
	guint backup_boot_sector;     /* (BPB_BkBootSec) */
	gboolean has_fs_info;	      /* its signatures are there, so the next two mean something */
	uint32_t fs_info_free;	      /* (FSI_Free_Count): a hint; 0xFFFFFFFF: unknown */
	gboolean is_backup_different; /* the backup boot sector is named and differs */

	guint8 state;	     /* (BS_Reserved1): DPS_FAT_STATE_… as Linux keeps them */
	gboolean has_serial; /* (BS_BootSig): the next two are there */
	uint32_t serial;     /* (BS_VolID) */
	char boot_label[12]; /* (BS_VolLab): spaces at the end cut off; may be no UTF-8 */

	/* Computed. */
	uint32_t n_clusters;	    /* of data, as the boot sector has them */
	guint width;		    /* bits of an entry, by its layout: what Linux goes by */
	guint width_by_count;	    /* by the number of clusters alone: what firmware goes by */
	uint64_t cluster_size;	    /* bytes */
	uint64_t fat_offset;	    /* bytes, of the copy in use */
	uint64_t fat_size;	    /* bytes, of one copy */
	uint64_t root_offset;	    /* bytes, of the root directory of FAT12 and FAT16, else 0 */
	uint64_t data_offset;	    /* bytes, of cluster 2 */
	uint64_t size;		    /* bytes: total_sectors */
	uint32_t n_clusters_usable; /* those that the FAT and the region both have room for */
} DpsFatGeometry;

/* Linux, fs/fat/inode.c: FAT_STATE_DIRTY in fat_set_state(); bit 1 asks for a surface test. */
#define DPS_FAT_STATE_DIRTY 0x01
#define DPS_FAT_STATE_ERROR 0x02

/* Fewer clusters than this: FAT12, FAT16 (the specification, "FAT Type Determination"). */
#define DPS_FAT16_MIN_CLUSTERS 4085
#define DPS_FAT32_MIN_CLUSTERS 65525

/**
 * dps_fat_read_geometry:
 * @region: the bytes of a partition
 * @out: (out): set only on success
 * @error: %DPS_ERROR_UNSUPPORTED: it does not look like FAT at all; %DPS_ERROR_CORRUPT: it does,
 * but cannot be read as one; %DPS_ERROR_IO
 *
 * Takes what Linux takes, so that checks can say what firmware will not take.
 *
 * Returns: %TRUE on success
 */
gboolean dps_fat_read_geometry(const DpsRegion *region, DpsFatGeometry *out, GError **error);

typedef struct _DpsFat DpsFat;

/**
 * dps_fat_open:
 * @region: the bytes of a partition; what it borrows must live longer
 * @error: as dps_fat_read_geometry() has it
 *
 * Returns: (transfer full): the file system, %NULL on failure
 */
DpsFat *dps_fat_open(const DpsRegion *region, GError **error);
void dps_fat_free(DpsFat *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFat, dps_fat_free)

const DpsFatGeometry *dps_fat_get_geometry(DpsFat *self);

/* What the first two entries and the boot sector say of the last unmount. */
typedef struct {
	gboolean is_dirty;   /* it was not unmounted cleanly */
	gboolean has_errors; /* a read or write failed while it was mounted */
	const char *where;   /* for messages: "boot sector", "FAT"; NULL when neither is set */
} DpsFatState;

gboolean dps_fat_read_state(DpsFat *self, DpsFatState *out, GError **error);

/**
 * dps_fat_count_free:
 * @self: a file system
 * @n_clusters: (out): how many clusters are free, counted: the number that FAT32 keeps is a hint
 * @error: %DPS_ERROR_CORRUPT, %DPS_ERROR_IO
 *
 * Returns: %TRUE on success
 */
gboolean dps_fat_count_free(DpsFat *self, uint32_t *n_clusters, GError **error);

/* What is below reads directories and files with it. */

/* Bytes (the specification, "Directory Structure"). */
#define DPS_FAT_SLOT_SIZE 32

/* The FAT and directories are read in pieces of this size: no smaller than a sector, so that
 * neither a cluster nor a directory ends inside of one. */
#define DPS_FAT_WINDOW_SIZE 4096

/* Entries of the FAT, whatever its width, are seen as if it had 28 bits. */
#define DPS_FAT_CLUSTER_FREE UINT32_C(0)
#define DPS_FAT_CLUSTER_FIRST UINT32_C(2)
#define DPS_FAT_CLUSTER_BAD UINT32_C(0x0FFFFFF7)
#define DPS_FAT_CLUSTER_END UINT32_C(0x0FFFFFFF)

const DpsRegion *dps_fat_get_region(DpsFat *self);
gboolean dps_fat_is_cluster(DpsFat *self, uint32_t cluster);

/* Bytes, in the region: where a cluster begins for which dps_fat_is_cluster() is true. */
uint64_t dps_fat_get_cluster_offset(DpsFat *self, uint32_t cluster);

/* The entry of @cluster in the copy in use: a cluster, or DPS_FAT_CLUSTER_FREE, _BAD, _END. */
gboolean dps_fat_read_entry(DpsFat *self, uint32_t cluster, uint32_t *value, GError **error);

/* The cluster behind @cluster in its chain, or DPS_FAT_CLUSTER_END; anything else is CORRUPT. */
gboolean dps_fat_next(DpsFat *self, uint32_t cluster, uint32_t *next, GError **error);

/* What fat-lookup keeps of directories. */
typedef struct {
	GHashTable *by_cluster; /* NULL before the first */
	guint n_kept;		/* names in it */
	guint slots_read;
} DpsFatDirectories;

DpsFatDirectories *dps_fat_get_directories(DpsFat *self);
