/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/derive.h"
#include "ground/error.h"

#define SHA256_HASH "0123456789abcdef0123456789ABCDEFfedcba9876543210fedcba9876543210"

static void
test_verity(void)
{
	static const struct {
		const char *hash, *data, *verity; /* NULL: must fail */
	} rows[] = {
		{ SHA256_HASH, "01234567-89ab-cdef-0123-456789abcdef",
		  "fedcba98-7654-3210-fedc-ba9876543210" },
		/* As short as it may be, both are the same. */
		{ "00000000000000000000000000000001", "00000000-0000-0000-0000-000000000001",
		  "00000000-0000-0000-0000-000000000001" },
		/* sha1: they overlap */
		{ "0123456789abcdef0123456789abcdef01234567",
		  "01234567-89ab-cdef-0123-456789abcdef", "89abcdef-0123-4567-89ab-cdef01234567" },
		{ "", NULL, NULL },
		{ "0123456789abcdef0123456789abcd", NULL, NULL },
		{ SHA256_HASH "0", NULL, NULL },
		{ SHA256_HASH SHA256_HASH "00", NULL, NULL },
		{ "0123456789abcdef0123456789abcdeg", NULL, NULL },
		{ "0x23456789abcdef0123456789abcdef01", NULL, NULL },
		{ "0000000000000000000000000000000001234567890123456789012345678901", NULL, NULL },
		{ "0123456789012345678901234567890100000000000000000000000000000000", NULL, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		DpsGuid data = { { 99 } }, verity = { { 99 } };
		g_autoptr(GError) error = NULL;
		char text[DPS_GUID_TEXT_SIZE];

		if (!rows[i].data) {
			g_assert_false(dps_derive_verity(rows[i].hash, &data, &verity, &error));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
			g_assert_cmpuint(data.bytes[0], ==, 99);
			g_assert_cmpuint(verity.bytes[0], ==, 99);
			continue;
		}
		g_assert_true(dps_derive_verity(rows[i].hash, &data, &verity, &error));
		dps_guid_to_string(&data, text);
		g_assert_cmpstr(text, ==, rows[i].data);
		dps_guid_to_string(&verity, text);
		g_assert_cmpstr(text, ==, rows[i].verity);
	}
}

static void
test_var(void)
{
	/* What `systemd-id128 var-partition-uuid` says, and -a 4d21b016… of older versions. */
	static const struct {
		const char *machine_id, *uuid; /* NULL: must fail */
	} rows[] = {
		{ "3d1219c7c4c5404aaa1f6d2a48adfda4", "24e43059-9734-49cd-a32e-bcae30d648ed" },
		{ "3D1219C7C4C5404AAA1F6D2A48ADFDA4\n", "24e43059-9734-49cd-a32e-bcae30d648ed" },
		{ "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4", "24e43059-9734-49cd-a32e-bcae30d648ed" },
		{ "", NULL },
		{ "\n", NULL },
		{ "uninitialized\n", NULL },
		{ "00000000000000000000000000000000", NULL },
		{ "3d1219c7c4c5404aaa1f6d2a48adfda", NULL },
		{ "3d1219c7c4c5404aaa1f6d2a48adfdag", NULL },
		{ "3d1219c7c4c5404aaa1f6d2a48adfda4a", NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		DpsGuid guid = { { 99 } };
		char text[DPS_GUID_TEXT_SIZE];

		if (!rows[i].uuid) {
			g_assert_false(dps_derive_var(rows[i].machine_id, &guid, &error));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
			g_assert_cmpuint(guid.bytes[0], ==, 99);
			continue;
		}
		g_assert_true(dps_derive_var(rows[i].machine_id, &guid, &error));
		dps_guid_to_string(&guid, text);
		g_assert_cmpstr(text, ==, rows[i].uuid);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/derive/verity", test_verity);
	g_test_add_func("/derive/var", test_var);
	return g_test_run();
}
