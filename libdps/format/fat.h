/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include "ground/region.h"

/*
 * FAT12, FAT16 and FAT32, read-only.
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

/* One file or directory.  A value. */
typedef struct {
	char *name;		  /* long where there is one; always valid UTF-8 */
	char short_name[13];	  /* "README.TXT", in ASCII; other characters as "_" */
	gboolean is_long;	  /* name is a long one */
	gboolean is_name_damaged; /* U+FFFD stands in it for what is no character */
	guint attributes;	  /* DPS_FAT_ATTRIBUTE_… */
	uint32_t cluster;	  /* its first; 0: an empty file, or the root of FAT12 and FAT16 */
	uint32_t size;		  /* bytes; 0 for a directory */
} DpsFatEntry;

/* The specification, "Directory Structure", DIR_Attr. */
#define DPS_FAT_ATTRIBUTE_READ_ONLY 0x01
#define DPS_FAT_ATTRIBUTE_HIDDEN 0x02
#define DPS_FAT_ATTRIBUTE_SYSTEM 0x04
#define DPS_FAT_ATTRIBUTE_VOLUME 0x08
#define DPS_FAT_ATTRIBUTE_DIRECTORY 0x10
#define DPS_FAT_ATTRIBUTE_ARCHIVE 0x20

void dps_fat_entry_free(DpsFatEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFatEntry, dps_fat_entry_free)

/* A directory has 65536 slots of 32 bytes at most (the specification; Linux FAT_MAX_DIR_SIZE). */
#define DPS_FAT_MAX_SLOTS 65536

/* What is deeper is not read: 260 characters are a path, so no one can have made it by Windows. */
#define DPS_FAT_MAX_DEPTH 128

/**
 * dps_fat_lookup:
 * @self: a file system
 * @path: parts divided by slashes; case does not matter, short names do as well; "" is the root
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_CORRUPT, %DPS_ERROR_IO
 *
 * Returns: (transfer full): what is there, %NULL on failure
 */
DpsFatEntry *dps_fat_lookup(DpsFat *self, const char *path, GError **error);

/**
 * dps_fat_list:
 * @self: a file system
 * @directory: one of its directories
 * @error: %DPS_ERROR_INVALID: no directory; %DPS_ERROR_CORRUPT; %DPS_ERROR_IO
 *
 * Returns: (transfer full) (element-type DpsFatEntry): in the order on the medium, without ".",
 *   ".." and the volume label; %NULL on failure
 */
GPtrArray *dps_fat_list(DpsFat *self, const DpsFatEntry *directory, GError **error);

/* A file that is open: remembers where its clusters are, as far as it has been read. */
typedef struct _DpsFatFile DpsFatFile;

/**
 * dps_fat_open_file:
 * @self: a file system; must live longer than what is returned
 * @entry: one of its files
 * @error: %DPS_ERROR_INVALID: no file; %DPS_ERROR_CORRUPT: it has a size but no cluster, or a size
 *   that the file system has no room for
 *
 * Returns: (transfer full): the open file, %NULL on failure
 */
DpsFatFile *dps_fat_open_file(DpsFat *self, const DpsFatEntry *entry, GError **error);
void dps_fat_file_free(DpsFatFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFatFile, dps_fat_file_free)

/* Its bytes.  Only those clusters, and that part of the FAT, are read that lead to them. */
DpsRegion dps_fat_file_get_region(DpsFatFile *file);

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

/* What is below lists and files, for fat-check. */

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

/* The entry of @cluster in the copy in use: a cluster, or DPS_FAT_CLUSTER_FREE, _BAD, _END. */
gboolean dps_fat_read_entry(DpsFat *self, uint32_t cluster, uint32_t *value, GError **error);

/* The cluster behind @cluster in its chain, or DPS_FAT_CLUSTER_END; anything else is CORRUPT. */
gboolean dps_fat_next(DpsFat *self, uint32_t cluster, uint32_t *next, GError **error);

/* What was wrong with how the name of an entry is written; the entry is read all the same. */
typedef enum {
	DPS_FAT_FLAW_LONG_NAME = 1 << 0, /* parts are missing, or belong to another entry */
	DPS_FAT_FLAW_NAME = 1 << 1,	 /* characters that no name may have */
} DpsFatFlaws;

/* A walk over the slots of one directory.  Large: not for the stack of a recursion. */
typedef struct {
	DpsFat *fat;
	uint32_t cluster;  /* which is read; 0 in the root of FAT12 and FAT16 */
	uint64_t offset;   /* bytes, in the region: of the next piece */
	uint64_t left;	   /* bytes: of the cluster or the root, behind the next piece's start */
	guint n_slots;	   /* read so far */
	size_t at, filled; /* bytes, in the buffer */
	uint8_t buffer[DPS_FAT_WINDOW_SIZE];

	/* The long name that is being put together. */
	uint16_t units[20 * 13]; /* 20 parts of 13 (the specification, "Long File Names") */
	guint n_parts;		 /* how many it has; 0: none is under way */
	guint next_part;	 /* which must come next, counted down; 0: all are there */
	uint8_t checksum;
	gboolean is_broken; /* parts were seen that fit nothing */
} DpsFatWalk;

void dps_fat_walk_init(DpsFatWalk *walk, DpsFat *fat, uint32_t cluster);

/* The next entry, also ".", ".." and the volume label; at the end TRUE and NULL. */
gboolean dps_fat_walk_next(DpsFatWalk *walk, DpsFatEntry **entry, DpsFatFlaws *flaws,
			   GError **error);

/* Whether @entry is one that dps_fat_list() leaves out. */
gboolean dps_fat_entry_is_special(const DpsFatEntry *entry);

/* A name as the format compares it. */
char *dps_fat_fold_name(const char *name);
