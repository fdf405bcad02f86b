/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/* How btrfs compresses extents of files, behind one call; each needs a library that a build may
 * lack, and then says so.  The numbers are those of an extent item. */
typedef enum {
	DPS_COMPRESSION_NONE = 0,
	DPS_COMPRESSION_ZLIB = 1,
	DPS_COMPRESSION_LZO = 2,
	DPS_COMPRESSION_ZSTD = 3,
} DpsCompression;

/**
 * dps_decompress:
 * @type: a #DpsCompression, as read from the medium
 * @data: one compressed extent; there may be padding behind it
 * @size: bytes
 * @out: (out): @out_size bytes; what the extent does not fill is zeros
 * @out_size: bytes; more is never produced, whatever the extent says
 * @error: %DPS_ERROR_UNSUPPORTED: no such compression, or this build of libdps has no library for
 *   it; %DPS_ERROR_CORRUPT
 *
 * Returns: %TRUE on success; what @out holds after a failure is of no meaning
 */
gboolean dps_decompress(uint8_t type, const uint8_t *data, size_t size, uint8_t *out,
			size_t out_size, GError **error);
