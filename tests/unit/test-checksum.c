/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "format/checksum.h"

#include <string.h>

static const struct {
	uint16_t type;
	const char *name;
	size_t size;
	const char *of_digits; /* of "123456789" */
	gboolean is_built;
} rows[] = {
	/* crc32c: RFC 3720's own check value */
	{ DPS_CHECKSUM_CRC32C, "crc32c", 4, "839206e3", TRUE },
	{ DPS_CHECKSUM_XXHASH64, "xxhash64", 8, "83aee640db41b88c", HAVE_XXHASH },
	{ DPS_CHECKSUM_SHA256, "sha256", 32,
	  "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225", HAVE_GCRYPT },
	{ DPS_CHECKSUM_BLAKE2B, "blake2b", 32,
	  "16e0bf1f85594a11e75030981c0b670370b3ad83a43f49ae58a2fd6f6513cde9", HAVE_GCRYPT },
};

static void
test_known_values(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GString) text = g_string_new(NULL);
		uint8_t out[DPS_CHECKSUM_MAX_SIZE];

		g_assert_cmpstr(dps_checksum_get_name(rows[i].type), ==, rows[i].name);
		g_assert_cmpuint(dps_checksum_get_size(rows[i].type), ==, rows[i].size);
		memset(out, 0xee, sizeof(out));
		if (!rows[i].is_built) {
			g_assert_false(dps_checksum_compute(rows[i].type, (const uint8_t *)"", 0,
							    out, &error));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
			g_assert_nonnull(strstr(error->message, rows[i].name));
			continue;
		}
		g_assert_true(dps_checksum_compute(rows[i].type, (const uint8_t *)"123456789", 9,
						   out, &error));
		g_assert_no_error(error);
		for (size_t j = 0; j < rows[i].size; j++)
			g_string_append_printf(text, "%02x", out[j]);
		g_assert_cmpstr(text->str, ==, rows[i].of_digits);
		for (size_t j = rows[i].size; j < sizeof(out); j++)
			g_assert_cmpuint(out[j], ==, 0);
	}
}

static void
test_unknown(void)
{
	static const uint16_t types[] = { 4, 5, UINT16_MAX };

	for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
		g_autoptr(GError) error = NULL;
		uint8_t out[DPS_CHECKSUM_MAX_SIZE] = { 7 };

		g_assert_null(dps_checksum_get_name(types[i]));
		g_assert_cmpuint(dps_checksum_get_size(types[i]), ==, 0);
		g_assert_false(dps_checksum_compute(types[i], (const uint8_t *)"", 0, out, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
		g_assert_cmpuint(out[0], ==, 7); /* untouched on failure */
	}
}

/* What was fed can be taken back, and four bytes lead from anywhere to anywhere. */
static void
test_backwards(void)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(1);

	for (guint i = 0; i < 200; i++) {
		uint8_t bytes[64];
		size_t size = (size_t)g_rand_int_range(random, 0, sizeof(bytes) + 1);
		uint32_t before = g_rand_int(random), wanted = g_rand_int(random), after;
		uint8_t bridge[4];

		for (size_t j = 0; j < size; j++)
			bytes[j] = (uint8_t)g_rand_int(random);
		after = dps_crc32c_feed(before, bytes, size);
		g_assert_cmphex(dps_crc32c_unfeed(after, bytes, size), ==, before);

		dps_crc32c_bridge(before, wanted, bridge);
		g_assert_cmphex(dps_crc32c_feed(before, bridge, sizeof(bridge)), ==, wanted);
	}
}

/* btrfs' hash of names: the kernel's own constant for the item of the default subvolume. */
static void
test_name_hash(void)
{
	g_assert_cmpuint(dps_crc32c_feed(~1u, (const uint8_t *)"default", 7), ==, 2378154706u);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/checksum/known-values", test_known_values);
	g_test_add_func("/checksum/unknown", test_unknown);
	g_test_add_func("/checksum/backwards", test_backwards);
	g_test_add_func("/checksum/name-hash", test_name_hash);
	return g_test_run();
}
