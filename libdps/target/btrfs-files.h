/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/files.h"

/**
 * dps_btrfs_open_files:
 * @region: the bytes of a partition that is not mounted; what it borrows must live longer
 * @subvolume: the number of the subvolume whose top is "/"; 0 for the default one
 * @error: %DPS_ERROR_NOT_FOUND: no such subvolume; %DPS_ERROR_UNSUPPORTED, %DPS_ERROR_CORRUPT,
 *   %DPS_ERROR_IO
 *
 * Other subvolumes are found where they lie in its directories, as in a mount.  A file that is
 * compressed in a way that this build cannot read is %DPS_ERROR_UNSUPPORTED.  A log tree is not
 * replayed, for nothing is written: if there is one, dps_files_get_note() says so.
 *
 * Returns: (transfer full): its files, %NULL on failure
 */
DpsFiles *dps_btrfs_open_files(const DpsRegion *region, uint64_t subvolume, GError **error);
