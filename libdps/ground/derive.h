/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include "ground/guid.h"

/* The partition UUIDs that the specification computes from something else. */

/**
 * dps_derive_verity:
 * @root_hash: a verity root hash: hexadecimal digits in either case, two a byte, 16 to 64 bytes
 * @data: (out): what the UUID of the data partition (root, usr) must be
 * @hash: (out): what the UUID of its verity partition must be
 * @error: %DPS_ERROR_INVALID when @root_hash is none, or one of its halves is zero
 *
 * The first and the last 16 bytes of the hash, unchanged: they need not look like a UUID of any
 * version.  Both are set on success only.
 *
 * Source: UAPI.2, "root-verity"; systemd's dissect-image refuses a zero half.
 *
 * Returns: %TRUE on success
 */
gboolean dps_derive_verity(const char *root_hash, DpsGuid *data, DpsGuid *hash, GError **error);

/**
 * dps_derive_var:
 * @machine_id: the content of machine-id: 32 hexadecimal digits, hyphens as in a UUID allowed;
 *   white space around it is skipped
 * @out: (out): what the UUID of the var partition must be; set only on success
 * @error: %DPS_ERROR_INVALID when @machine_id is none: empty, "uninitialized", all zero
 *
 * HMAC-SHA256 with the machine id as the key over the GUID of the type, both as 16 bytes in the
 * order in which they are read aloud; its first 16 bytes with version and variant bits forced to
 * those of a random UUID.  The text of the specification does not say the last step; systemd
 * does it, and ignores a partition whose UUID lacks it.
 *
 * Source: UAPI.2, "var"; sd_id128_get_machine_app_specific(3).
 *
 * Returns: %TRUE on success
 */
gboolean dps_derive_var(const char *machine_id, DpsGuid *out, GError **error);
