/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/fat.h"

/* Whether a FAT is consistent: what fsck.fat -n would find. */

typedef enum {
	DPS_FAT_PROBLEM_COPIES_DIFFER, /* of the FAT */
	DPS_FAT_PROBLEM_CROSS_LINKED,  /* a cluster belongs to two files, or a chain is a loop */
	DPS_FAT_PROBLEM_LOST,	       /* clusters are in use, but by no file */
	DPS_FAT_PROBLEM_BAD_CHAIN,     /* leads to no cluster, or to one that is free or bad */
	DPS_FAT_PROBLEM_SIZE,	       /* the chain is shorter or longer than the file */
	DPS_FAT_PROBLEM_LONG_NAME,     /* wrong checksum, order or number of parts */
	DPS_FAT_PROBLEM_NAME,	       /* not a name: characters that no name may have */
	DPS_FAT_PROBLEM_SAME_NAME,     /* twice in a directory, when case is ignored */
	DPS_FAT_PROBLEM_DIRECTORY,     /* cannot be read, or too deep, or "." and ".." are wrong */
} DpsFatProblemKind;

typedef struct {
	DpsFatProblemKind kind;
	char *path;    /* "/EFI/BOOT"; NULL: the file system as a whole */
	char *message; /* one line */
} DpsFatProblem;

/* A check stops to list here; who has so many needs fsck.fat and not a list. */
#define DPS_FAT_MAX_PROBLEMS 100

/* The check keeps a bit a cluster: not more than 8 MiB. */
#define DPS_FAT_MAX_CHECKED_CLUSTERS (UINT32_C(1) << 26)

/**
 * dps_fat_check:
 * @self: a file system
 * @error: %DPS_ERROR_UNSUPPORTED: more than %DPS_FAT_MAX_CHECKED_CLUSTERS; %DPS_ERROR_IO
 *
 * Walks all directories and the FAT.  Each cluster is visited once, so it ends on any input.
 *
 * Returns: (transfer full) (element-type DpsFatProblem): what is wrong, empty when nothing is;
 *   %NULL on failure
 */
GPtrArray *dps_fat_check(DpsFat *self, GError **error);
