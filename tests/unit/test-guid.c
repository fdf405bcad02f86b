/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/error.h"
#include "ground/guid.h"

static void
test_gpt_form(void)
{
	/* The ESP's type as sgdisk writes it on disk. */
	static const uint8_t raw[DPS_GUID_SIZE] = {
		0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
		0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b
	};
	DpsGuid guid = dps_guid_from_gpt(raw);
	char text[DPS_GUID_TEXT_SIZE];
	uint8_t again[DPS_GUID_SIZE];

	dps_guid_to_string(&guid, text);
	g_assert_cmpstr(text, ==, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
	dps_guid_to_gpt(&guid, again);
	g_assert_cmpmem(again, sizeof(again), raw, sizeof(raw));
}

static void
test_text(void)
{
	static const char *const bad[] = {
		"",
		"c12a7328",
		"c12a7328-f81f-11d2-ba4b-00a0c93ec93",
		"c12a7328f81f11d2ba4b00a0c93ec93b",
		"{c12a7328-f81f-11d2-ba4b-00a0c93ec93b}",
		"g12a7328-f81f-11d2-ba4b-00a0c93ec93b",
		"c12a7328-f81f-11d2-ba4b-00a0c93ec93b ",
	};
	DpsGuid guid;

	g_assert_true(dps_guid_from_string("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", &guid, NULL));
	g_assert_cmphex(guid.bytes[0], ==, 0xc1);

	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		DpsGuid kept = guid;

		g_assert_false(dps_guid_from_string(bad[i], &kept, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
		g_assert_true(dps_guid_equal(&kept, &guid)); /* untouched on failure */
	}
}

static void
test_null(void)
{
	DpsGuid guid = { { 0 } };

	g_assert_true(dps_guid_is_null(&guid));
	guid.bytes[15] = 1;
	g_assert_false(dps_guid_is_null(&guid));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/guid/gpt-form", test_gpt_form);
	g_test_add_func("/guid/text", test_text);
	g_test_add_func("/guid/null", test_null);
	return g_test_run();
}
