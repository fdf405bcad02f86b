/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

#define DPS_GUID_SIZE 16
#define DPS_GUID_TEXT_SIZE 37 /* 36 characters and a NUL */

/*
 * A GUID, its bytes in the order in which they are read aloud.  The first three fields are swapped
 * only where it meets a GPT entry on disk.
 */
typedef struct {
	uint8_t bytes[DPS_GUID_SIZE];
} DpsGuid;

/**
 * dps_guid_from_string:
 * @text: 36 characters, hexadecimal digits in either case, hyphens included
 * @out: (out): set only on success
 * @error: %DPS_ERROR_INVALID when @text is not a GUID
 *
 * Source: RFC 9562 section 4.
 *
 * Returns: %TRUE on success
 */
gboolean dps_guid_from_string(const char *text, DpsGuid *out, GError **error);

/* Writes 36 characters in lower case and a NUL. */
void dps_guid_to_string(const DpsGuid *guid, char out[DPS_GUID_TEXT_SIZE]);

/* From and to the form of a GPT entry.  Source: UEFI 2.10 appendix A. */
DpsGuid dps_guid_from_gpt(const uint8_t raw[DPS_GUID_SIZE]);
void dps_guid_to_gpt(const DpsGuid *guid, uint8_t raw[DPS_GUID_SIZE]);

gboolean dps_guid_is_null(const DpsGuid *guid);
gboolean dps_guid_equal(const DpsGuid *a, const DpsGuid *b);
