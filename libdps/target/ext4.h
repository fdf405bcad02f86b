/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/files.h"

/**
 * dps_ext4_open:
 * @region: the bytes of a partition that is not mounted; what it borrows must live longer
 * @error: %DPS_ERROR_UNSUPPORTED: this libdps was built without libext2fs, or the file system has
 *   features that libext2fs does not know; %DPS_ERROR_CORRUPT; %DPS_ERROR_IO
 *
 * Reads ext2, ext3 and ext4.  The journal is not replayed, for nothing is written: if there is
 * something to replay, dps_files_get_note() says so.
 *
 * Returns: (transfer full): its files, %NULL on failure
 */
DpsFiles *dps_ext4_open(const DpsRegion *region, GError **error);
