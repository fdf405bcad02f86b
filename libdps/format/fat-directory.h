/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/fat.h"

/*
 * The directories of a FAT: slots of 32 bytes, in which a file has its short name, and in front of
 * that the parts of a long one.  A name is looked up as firmware does: case does not matter, and
 * short names do as well.
 */

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
