/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/fat-directory.h"

/*
 * Names of a FAT, looked up as firmware does: case does not matter, and short names do as well.
 * Each directory is read once.
 */

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
