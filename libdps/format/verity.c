/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/verity.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "ground/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/*
 *	0	"verity\0\0"
 *	8	u32 version, u32 hash type
 *	16	UUID, 16 bytes
 *	32	algorithm, 32 bytes
 *	64	u32 data block size, u32 hash block size
 *	72	u64 data blocks
 *	80	u16 salt size, 6 bytes of nothing
 *	88	salt, 256 bytes
 *
 * Source: cryptsetup, "DM-Verity on-disk superblock"; padded to 512 bytes.
 */
#define SUPERBLOCK_SIZE 512
#define SUPERBLOCK_MAGIC "verity\0\0"
#define SUPERBLOCK_VERSION 8
#define SUPERBLOCK_HASH_TYPE 12
#define SUPERBLOCK_UUID 16
#define SUPERBLOCK_ALGORITHM 32
#define SUPERBLOCK_DATA_BLOCK_SIZE 64
#define SUPERBLOCK_HASH_BLOCK_SIZE 68
#define SUPERBLOCK_DATA_BLOCKS 72
#define SUPERBLOCK_SALT_SIZE 80
#define SUPERBLOCK_SALT 88

#define MIN_BLOCK_SIZE 512
#define MAX_BLOCK_SIZE ((size_t)512 * 1024) /* cryptsetup, VERITY_BLOCK_SIZE_OK() */

/* What systemd reads of a signature partition (dissect-image.c); and how much of it may be JSON: a
 * signature has some KiB, and a parser takes twenty times the memory of its text. */
#define MAX_PARTITION_SIZE ((size_t)4 * 1024 * 1024)
#define MAX_DOCUMENT_SIZE ((size_t)256 * 1024)

static gboolean
is_block_size(uint32_t size)
{
	return size >= MIN_BLOCK_SIZE && size <= MAX_BLOCK_SIZE && (size & (size - 1)) == 0;
}

static gboolean
get_digest(const char *algorithm, GChecksumType *type, size_t *size)
{
	static const struct {
		const char *name;
		GChecksumType type;
	} known[] = {
		{ "sha1", G_CHECKSUM_SHA1 },
		{ "sha256", G_CHECKSUM_SHA256 },
		{ "sha384", G_CHECKSUM_SHA384 },
		{ "sha512", G_CHECKSUM_SHA512 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
		if (strcmp(algorithm, known[i].name) != 0)
			continue;
		*type = known[i].type;
		*size = (size_t)g_checksum_type_get_length(known[i].type);
		return TRUE;
	}
	return FALSE;
}

/*
 * Superblock and hash blocks, in bytes: each level holds one digest for each block of the level
 * below, in slots of a power of two bytes.  0 when that is not known or more than 64 bits.
 */
static uint64_t
get_hash_area_size(const DpsVerity *verity)
{
	uint64_t blocks = verity->data_blocks, sum = 0;
	size_t digest_size, slot = 1;
	GChecksumType type;
	uint64_t per_block;

	if (!get_digest(verity->algorithm, &type, &digest_size))
		return 0;
	while (slot < digest_size)
		slot *= 2;
	per_block = verity->hash_block_size / slot;

	/* At least 8 slots a block: at most 22 turns. */
	while (blocks > 1) {
		blocks = blocks / per_block + (blocks % per_block != 0);
		if (sum > UINT64_MAX - blocks)
			return 0;
		sum += blocks;
	}
	if (sum > UINT64_MAX / verity->hash_block_size - 1)
		return 0;

	return (sum + 1) * verity->hash_block_size;
}

gboolean
dps_verity_read(const DpsRegion *region, DpsVerity *out, GError **error)
{
	uint8_t raw[SUPERBLOCK_SIZE];
	DpsVerity verity = { 0 };

	if (!dps_region_read(region, 0, raw, sizeof(raw), error))
		return FALSE;
	if (memcmp(raw, SUPERBLOCK_MAGIC, 8) != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "no verity superblock at the start of the partition");

	verity.version = dps_load_le32(raw + SUPERBLOCK_VERSION);
	verity.hash_type = dps_load_le32(raw + SUPERBLOCK_HASH_TYPE);
	verity.data_block_size = dps_load_le32(raw + SUPERBLOCK_DATA_BLOCK_SIZE);
	verity.hash_block_size = dps_load_le32(raw + SUPERBLOCK_HASH_BLOCK_SIZE);
	verity.data_blocks = dps_load_le64(raw + SUPERBLOCK_DATA_BLOCKS);
	verity.salt_size = dps_load_le16(raw + SUPERBLOCK_SALT_SIZE);
	memcpy(verity.uuid.bytes, raw + SUPERBLOCK_UUID, DPS_GUID_SIZE);
	memcpy(verity.algorithm, raw + SUPERBLOCK_ALGORITHM, 32);
	memcpy(verity.salt, raw + SUPERBLOCK_SALT, sizeof(verity.salt));

	if (verity.version != 1 || verity.hash_type > 1)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "verity superblock: version %" PRIu32 ", hash type %" PRIu32
				 ": not known",
				 verity.version, verity.hash_type);
	for (const char *c = verity.algorithm; *c; c++)
		if (!g_ascii_isgraph(*c))
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "verity superblock: the name of the algorithm is no text");
	if (verity.algorithm[0] == '\0' || !is_block_size(verity.data_block_size) ||
	    !is_block_size(verity.hash_block_size) || verity.data_blocks == 0 ||
	    verity.salt_size > sizeof(verity.salt))
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "verity superblock: %" PRIu64 " data blocks of %" PRIu32
				 " bytes, hash blocks of %" PRIu32 ", %u bytes of salt: that is no "
				 "hash tree",
				 verity.data_blocks, verity.data_block_size, verity.hash_block_size,
				 verity.salt_size);

	verity.hash_area_size = get_hash_area_size(&verity);
	*out = verity;
	return TRUE;
}

char *
dps_verity_get_root_hash(const DpsRegion *region, const DpsVerity *verity, GError **error)
{
	g_autoptr(GChecksum) checksum = NULL;
	g_autofree uint8_t *block = NULL;
	GChecksumType type;
	size_t digest_size;

	if (!get_digest(verity->algorithm, &type, &digest_size))
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "verity: algorithm %s: cannot be computed here",
				      verity->algorithm);
	if (verity->data_blocks < 2)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "verity: a single data block has no hash block above it");
	if (verity->hash_area_size == 0 || verity->hash_area_size > region->size)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "verity: the hashes of %" PRIu64
				      " data blocks do not fit into %" PRIu64 " bytes",
				      verity->data_blocks, region->size);

	/* The levels follow the superblock's block from the top one down. */
	block = g_malloc(verity->hash_block_size);
	if (!dps_region_read(region, verity->hash_block_size, block, verity->hash_block_size,
			     error))
		return NULL;

	checksum = g_checksum_new(type);
	if (verity->hash_type == 1)
		g_checksum_update(checksum, verity->salt, verity->salt_size);
	g_checksum_update(checksum, block, verity->hash_block_size);
	if (verity->hash_type == 0)
		g_checksum_update(checksum, verity->salt, verity->salt_size);
	return g_strdup(g_checksum_get_string(checksum));
}

/* The document, and nothing but NULs behind it. */
static gboolean
read_document(const DpsRegion *region, char **text, size_t *size, GError **error)
{
	g_autofree char *bytes = NULL;
	size_t length;

	if (region->size > MAX_PARTITION_SIZE)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "verity signature: partition of %" PRIu64
				 " bytes: systemd reads no more than 4 MiB",
				 region->size);

	bytes = g_malloc((size_t)region->size + 1);
	if (!dps_region_read(region, 0, bytes, (size_t)region->size, error))
		return FALSE;
	bytes[region->size] = '\0';

	length = strlen(bytes);
	for (size_t i = length; i < region->size; i++)
		if (bytes[i] != '\0')
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "verity signature: something stands behind the document");
	if (length == 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "verity signature: is empty");
	if (length > MAX_DOCUMENT_SIZE)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "verity signature: document of %" G_GSIZE_FORMAT
				 " bytes: larger than any signature",
				 length);

	*text = g_steal_pointer(&bytes);
	*size = length;
	return TRUE;
}

static DpsVeritySignature
steal_signature(DpsVeritySignature *signature)
{
	DpsVeritySignature stolen = *signature;

	*signature = (DpsVeritySignature){ 0 };
	return stolen;
}

/* (transfer full) (nullable): hexadecimal digits of at least @min_bytes, in lower case */
static char *
get_hex(json_t *document, const char *key, size_t min_bytes)
{
	const char *text = json_string_value(json_object_get(document, key));
	size_t size = text ? strlen(text) : 0;

	if (!text || size % 2 != 0 || size < 2 * min_bytes ||
	    strspn(text, "0123456789abcdefABCDEF") != size)
		return NULL;

	return g_ascii_strdown(text, -1);
}

/* Bytes behind a base64 text; 0 when it is none.  systemd allows white space in it. */
static size_t
get_base64_size(const char *text)
{
	size_t digits = 0, padding = 0;

	for (; *text; text++) {
		if (g_ascii_isspace(*text))
			continue;
		if (*text == '=')
			padding++;
		else if (padding > 0 || !(g_ascii_isalnum(*text) || *text == '+' || *text == '/'))
			return 0;
		else
			digits++;
	}
	if (padding > 2 || (digits + padding) % 4 != 0)
		return 0;

	return digits * 3 / 4;
}

gboolean
dps_verity_signature_read(const DpsRegion *region, DpsVeritySignature *out, GError **error)
{
	g_auto(DpsVeritySignature) signature = { 0 };
	g_autofree char *text = NULL;
	json_error_t where;
	json_t *document, *value;
	gboolean is_bad_fingerprint;
	size_t size = 0;

	if (!read_document(region, &text, &size, error))
		return FALSE;

	document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	if (!document) {
		g_autofree char *why = dps_text_clean(where.text, strlen(where.text));

		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "verity signature: line %d: no JSON document: %s", where.line,
				 why);
	}

	signature.root_hash = get_hex(document, "rootHash", DPS_GUID_SIZE);
	value = json_object_get(document, "signature");
	if (json_is_string(value))
		signature.signature_size = get_base64_size(json_string_value(value));
	value = json_object_get(document, "certificateFingerprint");
	signature.certificate_fingerprint = get_hex(document, "certificateFingerprint", 32);

	is_bad_fingerprint = value && !json_is_null(value) && !signature.certificate_fingerprint;
	json_decref(document);

	if (!signature.root_hash)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "verity signature: rootHash is missing or no hash");
	if (signature.signature_size == 0)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "verity signature: signature is missing or no base64 text");
	if (is_bad_fingerprint)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "verity signature: certificateFingerprint is no SHA-256 hash");

	*out = steal_signature(&signature);
	return TRUE;
}

void
dps_verity_signature_clear(DpsVeritySignature *signature)
{
	g_clear_pointer(&signature->root_hash, g_free);
	g_clear_pointer(&signature->certificate_fingerprint, g_free);
	signature->signature_size = 0;
}
