/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/verity.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <string.h>

/* A verity area of 300 data blocks: superblock, one block above, three below it (sha512: five). */
static void
make_verity(uint8_t *area, size_t size)
{
	memset(area, 0, size);
	memcpy(area, "verity\0\0", 8);
	dps_store_le32(area + 8, 1);
	dps_store_le32(area + 12, 1);
	memset(area + 16, 0xab, 16);
	memcpy(area + 32, "sha256", 6);
	dps_store_le32(area + 64, 4096);
	dps_store_le32(area + 68, 4096);
	dps_store_le64(area + 72, 300);
	area[80] = 4;
	memcpy(area + 88, "salt", 4);
	for (size_t i = 4096; i < size; i++)
		area[i] = (uint8_t)(i >> 12);
}

#define AREA_SIZE (7 * 4096)

static void
test_superblock(void)
{
	uint8_t area[AREA_SIZE] = { 0 };
	DpsRegion region = dps_region_over_memory(area, sizeof(area));
	DpsVerity verity = { 0 };

	make_verity(area, sizeof(area));
	g_assert_true(dps_verity_read(&region, &verity, NULL));
	g_assert_cmpuint(verity.version, ==, 1);
	g_assert_cmpuint(verity.hash_type, ==, 1);
	g_assert_cmpuint(verity.uuid.bytes[15], ==, 0xab);
	g_assert_cmpstr(verity.algorithm, ==, "sha256");
	g_assert_cmpuint(verity.data_blocks, ==, 300);
	g_assert_cmpuint(verity.salt_size, ==, 4);
	/* 300 hashes, 128 to a block: 3 blocks, and one above them. */
	g_assert_cmpuint(verity.hash_area_size, ==, 5 * 4096);
}

static void
test_bad_superblock(void)
{
	static const struct {
		size_t at;
		uint32_t to;
		DpsError code;
	} rows[] = {
		{ 0, 0, DPS_ERROR_CORRUPT },	       { 8, 2, DPS_ERROR_UNSUPPORTED },
		{ 12, 2, DPS_ERROR_UNSUPPORTED },      { 32, 0, DPS_ERROR_CORRUPT },
		{ 32, 0x1b616873, DPS_ERROR_CORRUPT }, { 64, 0, DPS_ERROR_CORRUPT },
		{ 64, 4095, DPS_ERROR_CORRUPT },       { 64, 1 << 20, DPS_ERROR_CORRUPT },
		{ 68, 256, DPS_ERROR_CORRUPT },	       { 72, 0, DPS_ERROR_CORRUPT },
		{ 80, 257, DPS_ERROR_CORRUPT },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t area[512] = { 0 };
		DpsRegion region = dps_region_over_memory(area, sizeof(area));
		DpsVerity verity = { .version = 99 };
		g_autoptr(GError) error = NULL;

		make_verity(area, sizeof(area));
		dps_store_le32(area + rows[i].at, rows[i].to);
		g_assert_false(dps_verity_read(&region, &verity, &error));
		g_assert_error(error, DPS_ERROR, (int)rows[i].code);
		g_assert_cmpuint(verity.version, ==, 99);
	}
	for (size_t size = 0; size < 512; size++) {
		uint8_t area[512] = { 0 };
		DpsRegion region = dps_region_over_memory(area, size);
		DpsVerity verity;

		make_verity(area, sizeof(area));
		g_assert_false(dps_verity_read(&region, &verity, NULL));
	}
}

static void
test_root_hash(void)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t size;
		const char *hash; /* NULL: must fail */
		DpsError code;
	} rows[] = {
		/* (printf salt; head -c 4096 /dev/zero | tr '\0' '\1') | sha256sum */
		{ 0, "", 0, "db69b3fafdc1bbdb1c4cc6ef90ac05f53bebd26aea1b70f476d056f7a4f60b8a", 0 },
		{ 32, "sha1\0\0", 6, "ebe188a7c4bcfea837b3b98f0c75fe71401e70e3", 0 },
		{ 32, "sha512", 6,
		  "884175696e9262a1be1d9c75ddcdd5a3dc914c92349b69d9b0feb150a15df96b508b57386db727dc"
		  "4725ad5a65244603b9227e00b806bc72e9fa700f380ba522",
		  0 },
		/* hash type 0: the salt behind the block */
		{ 12, "", 1, "c21941e59f4a0f8d1d69a0d088e0e8e0e87cefcd302e1230e3d3ad71a6e09717",
		  0 },
		{ 32, "blake2", 6, NULL, DPS_ERROR_UNSUPPORTED },
		{ 72, "\1\0", 2, NULL, DPS_ERROR_UNSUPPORTED },
		{ 72, "\x81\2", 2, NULL, DPS_ERROR_CORRUPT }, /* 641: a block more than fits */
		{ 72, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, NULL, DPS_ERROR_CORRUPT },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		static uint8_t area[AREA_SIZE];
		DpsRegion region = dps_region_over_memory(area, sizeof(area));
		g_autofree char *hash = NULL;
		g_autoptr(GError) error = NULL;
		DpsVerity verity;

		make_verity(area, sizeof(area));
		memcpy(area + rows[i].at, rows[i].bytes, rows[i].size);
		g_assert_true(dps_verity_read(&region, &verity, NULL));
		hash = dps_verity_get_root_hash(&region, &verity, &error);
		g_assert_cmpstr(hash, ==, rows[i].hash);
		if (!rows[i].hash)
			g_assert_error(error, DPS_ERROR, (int)rows[i].code);
	}
}

#define HASH32 "0123456789ABCDEF0123456789abcdef"
#define HASH64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_signature(void)
{
	static const struct {
		const char *text;
		size_t signature_size; /* 0: must fail */
		const char *fingerprint;
	} rows[] = {
		{ "{\"rootHash\":\"" HASH32 "\",\"signature\":\"AAEC\"}", 3, NULL },
		{ "{\"rootHash\":\"" HASH32 "\",\"signature\":\"AAE=\",\"certificateFingerprint\":"
		  "\"" HASH64 "\"}",
		  2, HASH64 },
		{ " {\"signature\":\"AA==\\n\",\"rootHash\":\"" HASH32 "\",\"other\":1}\n", 1,
		  NULL },
		{ "", 0, NULL },
		{ "{", 0, NULL },
		{ "[]", 0, NULL },
		{ "{}", 0, NULL },
		{ "{\"rootHash\":1,\"signature\":\"AAEC\"}", 0, NULL },
		{ "{\"rootHash\":\"0123\",\"signature\":\"AAEC\"}", 0, NULL },
		{ "{\"rootHash\":\"" HASH32 "x\",\"signature\":\"AAEC\"}", 0, NULL },
		{ "{\"rootHash\":\"" HASH32 "\"}", 0, NULL },
		{ "{\"rootHash\":\"" HASH32 "\",\"signature\":\"\"}", 0, NULL },
		{ "{\"rootHash\":\"" HASH32 "\",\"signature\":\"A=EC\"}", 0, NULL },
		{ "{\"rootHash\":\"" HASH32 "\",\"signature\":\"AAE\"}", 0, NULL },
		{ "{\"rootHash\":\"" HASH32 "\",\"signature\":\"AAEC\","
		  "\"certificateFingerprint\":\"00\"}",
		  0, NULL },
		{ "{\"rootHash\":\"" HASH32 "\",\"rootHash\":\"" HASH32
		  "\",\"signature\":\"AAEC\"}",
		  0, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t padded[4096] = { 0 };
		DpsRegion region = dps_region_over_memory(padded, sizeof(padded));
		g_auto(DpsVeritySignature) signature = { 0 };
		g_autoptr(GError) error = NULL;

		memcpy(padded, rows[i].text, strlen(rows[i].text));
		if (rows[i].signature_size == 0) {
			g_assert_false(dps_verity_signature_read(&region, &signature, &error));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			g_assert_null(signature.root_hash);
			continue;
		}
		g_assert_true(dps_verity_signature_read(&region, &signature, &error));
		g_assert_cmpstr(signature.root_hash, ==, "0123456789abcdef0123456789abcdef");
		g_assert_cmpuint(signature.signature_size, ==, rows[i].signature_size);
		g_assert_cmpstr(signature.certificate_fingerprint, ==, rows[i].fingerprint);
	}
}

static void
test_signature_sizes(void)
{
	static const char text[] = "{\"rootHash\":\"" HASH32 "\",\"signature\":\"AAEC\"}";
	g_autofree char *bytes = g_strnfill(5 * 1024 * 1024, ' ');
	static const struct {
		size_t region, text, junk_at;
		int code; /* 0: fine */
	} rows[] = {
		{ sizeof(text) - 1, sizeof(text) - 1, 0, 0 },
		{ 4 * 1024 * 1024, 1000, 0, 0 },
		{ 4 * 1024 * 1024, 1000, 1001, DPS_ERROR_CORRUPT },
		{ 4 * 1024 * 1024 + 1, 1000, 0, DPS_ERROR_UNSUPPORTED },
		{ 4 * 1024 * 1024, 256 * 1024 + 1, 0, DPS_ERROR_UNSUPPORTED },
		{ 0, 0, 0, DPS_ERROR_CORRUPT },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		DpsRegion region = dps_region_over_memory(bytes, rows[i].region);
		g_auto(DpsVeritySignature) signature = { 0 };
		g_autoptr(GError) error = NULL;

		memset(bytes, ' ', rows[i].text);
		memset(bytes + rows[i].text, 0, rows[i].region - rows[i].text);
		memcpy(bytes, text, MIN(sizeof(text) - 1, rows[i].text));
		if (rows[i].junk_at)
			bytes[rows[i].junk_at] = 'x';
		g_assert_cmpint(dps_verity_signature_read(&region, &signature, &error), ==,
				rows[i].code == 0);
		if (rows[i].code)
			g_assert_error(error, DPS_ERROR, rows[i].code);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/verity/superblock", test_superblock);
	g_test_add_func("/verity/bad-superblock", test_bad_superblock);
	g_test_add_func("/verity/root-hash", test_root_hash);
	g_test_add_func("/verity/signature", test_signature);
	g_test_add_func("/verity/signature-sizes", test_signature_sizes);
	return g_test_run();
}
