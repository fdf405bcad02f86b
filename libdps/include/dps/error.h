/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <dps/version.h>

G_BEGIN_DECLS

#define DPS_ERROR (dps_error_quark())

/**
 * DpsError:
 * @DPS_ERROR_INVALID: an argument makes no sense, whatever the disk: correct the call
 * @DPS_ERROR_NOT_FOUND: no such disk, partition, subvolume or file
 * @DPS_ERROR_NO_TABLE: there is no GUID partition table to work on
 * @DPS_ERROR_CORRUPT: bytes on the medium contradict their format
 * @DPS_ERROR_UNSUPPORTED: sound, but nothing that libdps can work on; the message names it
 * @DPS_ERROR_REFUSED: it would harm; the message says what is in the way
 * @DPS_ERROR_AMBIGUOUS: several things answer; the message lists them
 * @DPS_ERROR_BUSY: somebody else uses it now: try again, or stop them
 * @DPS_ERROR_PERMISSION: the caller may not do this
 * @DPS_ERROR_IO: the medium failed
 * @DPS_ERROR_NO_SPACE: no room for a file
 * @DPS_ERROR_CHANGED: it is no longer what it was when it was read
 *
 * Each code is a thing that a caller can act on.  A message is one line, SUBJECT: WHAT: WHY, and
 * ends with what to do where there is something.  Numbers are stable.
 *
 * Since: 0.1
 */
typedef enum {
	DPS_ERROR_INVALID = 1,
	DPS_ERROR_NOT_FOUND = 2,
	DPS_ERROR_NO_TABLE = 3,
	DPS_ERROR_CORRUPT = 4,
	DPS_ERROR_UNSUPPORTED = 5,
	DPS_ERROR_REFUSED = 6,
	DPS_ERROR_AMBIGUOUS = 7,
	DPS_ERROR_BUSY = 8,
	DPS_ERROR_PERMISSION = 9,
	DPS_ERROR_IO = 10,
	DPS_ERROR_NO_SPACE = 11,
	DPS_ERROR_CHANGED = 12,
} DpsError;

DPS_API GQuark dps_error_quark(void);

/**
 * dps_error_code_to_string:
 * @code: a #DpsError
 *
 * Returns: the code's stable name in kebab-case ("not-found"), as JSON documents have it; never
 *   %NULL ("unknown" for a number that is no code)
 * Since: 0.1
 */
DPS_API const char *dps_error_code_to_string(int code);

/**
 * dps_error_get_partition:
 * @error: any error
 *
 * Returns: the number of the partition that the error is about, 0 when it is about none
 * Since: 0.1
 */
DPS_API guint dps_error_get_partition(const GError *error);

G_END_DECLS
