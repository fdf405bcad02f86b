/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/guid.h"
#include "ground/error.h"

#include <string.h>
#include <uuid/uuid.h>

gboolean
dps_guid_from_string(const char *text, DpsGuid *out, GError **error)
{
	uuid_t bytes;

	if (uuid_parse(text, bytes) != 0)
		return dps_throw(error, DPS_ERROR_INVALID, "%s: not a GUID", text);

	memcpy(out->bytes, bytes, sizeof(out->bytes));
	return TRUE;
}

void
dps_guid_to_string(const DpsGuid *guid, char out[DPS_GUID_TEXT_SIZE])
{
	uuid_unparse_lower(guid->bytes, out);
}

/* The first three fields are little-endian on disk; swapping them twice changes nothing. */
static void
swap_fields(const uint8_t from[DPS_GUID_SIZE], uint8_t to[DPS_GUID_SIZE])
{
	static const uint8_t order[DPS_GUID_SIZE] = { 3, 2, 1,	0,  5,	4,  7,	6,
						      8, 9, 10, 11, 12, 13, 14, 15 };

	for (size_t i = 0; i < DPS_GUID_SIZE; i++)
		to[i] = from[order[i]];
}

DpsGuid
dps_guid_from_gpt(const uint8_t raw[DPS_GUID_SIZE])
{
	DpsGuid guid = { { 0 } };

	swap_fields(raw, guid.bytes);
	return guid;
}

void
dps_guid_to_gpt(const DpsGuid *guid, uint8_t raw[DPS_GUID_SIZE])
{
	swap_fields(guid->bytes, raw);
}

gboolean
dps_guid_is_null(const DpsGuid *guid)
{
	return uuid_is_null(guid->bytes) == 1;
}

gboolean
dps_guid_equal(const DpsGuid *a, const DpsGuid *b)
{
	return memcmp(a->bytes, b->bytes, DPS_GUID_SIZE) == 0;
}
