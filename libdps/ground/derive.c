/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/derive.h"
#include "ground/error.h"
#include "ground/types.h"

#include <string.h>

/* Digests of dm-verity: sha256 has 32 bytes, sha512 64.  The halves must not be one. */
#define MIN_HASH_BYTES DPS_GUID_SIZE
#define MAX_HASH_BYTES 64

#define MACHINE_ID_DIGITS 32

static void
read_hex(const char *digits, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(g_ascii_xdigit_value(digits[2 * i]) << 4 |
				     g_ascii_xdigit_value(digits[2 * i + 1]));
}

gboolean
dps_derive_verity(const char *root_hash, DpsGuid *data, DpsGuid *hash, GError **error)
{
	size_t digits = strlen(root_hash);
	uint8_t bytes[MAX_HASH_BYTES];
	DpsGuid first, last;

	if (strspn(root_hash, "0123456789abcdefABCDEF") != digits)
		return dps_throw(error, DPS_ERROR_INVALID,
				 "root hash: has characters that are no hexadecimal digits");
	if (digits % 2 != 0 || digits / 2 < MIN_HASH_BYTES || digits / 2 > MAX_HASH_BYTES)
		return dps_throw(error, DPS_ERROR_INVALID,
				 "root hash: %" G_GSIZE_FORMAT
				 " hexadecimal digits: a hash has 32 to 128, as sha256 has 64",
				 digits);

	read_hex(root_hash, bytes, digits / 2);
	memcpy(first.bytes, bytes, DPS_GUID_SIZE);
	memcpy(last.bytes, bytes + digits / 2 - DPS_GUID_SIZE, DPS_GUID_SIZE);
	if (dps_guid_is_null(&first) || dps_guid_is_null(&last))
		return dps_throw(error, DPS_ERROR_INVALID,
				 "root hash: one of its halves is zero: that is no partition UUID");

	*data = first;
	*hash = last;
	return TRUE;
}

static gboolean
read_machine_id(const char *text, uint8_t bytes[DPS_GUID_SIZE], GError **error)
{
	g_autofree char *stripped = g_strstrip(g_strdup(text));
	char digits[DPS_GUID_TEXT_SIZE];
	DpsGuid id;

	if (*stripped == '\0' || strcmp(stripped, "uninitialized") == 0)
		return dps_throw(error, DPS_ERROR_INVALID,
				 "machine id: %s: it is made at the first boot, so that no UUID "
				 "can be derived from it",
				 *stripped ? "uninitialized" : "empty");

	/* machine-id(5) has no hyphens; sd_id128_from_string(3) takes the form of a UUID, too. */
	if (strlen(stripped) == MACHINE_ID_DIGITS) {
		g_snprintf(digits, sizeof(digits), "%.8s-%.4s-%.4s-%.4s-%.12s", stripped,
			   stripped + 8, stripped + 12, stripped + 16, stripped + 20);
		if (!dps_guid_from_string(digits, &id, NULL))
			return dps_throw(
				error, DPS_ERROR_INVALID,
				"machine id: has characters that are no hexadecimal digits");
	} else if (!dps_guid_from_string(stripped, &id, NULL)) {
		return dps_throw(error, DPS_ERROR_INVALID,
				 "machine id: is not 32 hexadecimal digits");
	}
	if (dps_guid_is_null(&id))
		return dps_throw(error, DPS_ERROR_INVALID, "machine id: is zero");

	memcpy(bytes, id.bytes, DPS_GUID_SIZE);
	return TRUE;
}

gboolean
dps_derive_var(const char *machine_id, DpsGuid *out, GError **error)
{
	const DpsType *type = dps_type_lookup(DPS_ROLE_VAR, DPS_ARCH_NONE);
	uint8_t key[DPS_GUID_SIZE], digest[32];
	gsize digest_size = sizeof(digest);
	DpsGuid type_guid;
	GHmac *hmac;

	if (!read_machine_id(machine_id, key, error))
		return FALSE;
	if (!dps_guid_from_string(dps_type_get_uuid(type), &type_guid, error))
		return FALSE;

	hmac = g_hmac_new(G_CHECKSUM_SHA256, key, sizeof(key));
	g_hmac_update(hmac, type_guid.bytes, sizeof(type_guid.bytes));
	g_hmac_get_digest(hmac, digest, &digest_size);
	g_hmac_unref(hmac);

	memcpy(out->bytes, digest, DPS_GUID_SIZE);
	/* RFC 9562 section 5.4: version 4 and the variant, as sd_id128_get_app_specific() sets. */
	out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0f) | 0x40);
	out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3f) | 0x80);
	return TRUE;
}
