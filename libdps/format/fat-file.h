/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/fat-directory.h"

/*
 * The bytes of a file in a FAT, as a region, so that a format within (a PE, a text) is read as one
 * on a partition is.
 */

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
