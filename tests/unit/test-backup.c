/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/plan.h>
#include "decide/backup.h"
#include "ground/error.h"

#include <string.h>

/* One change of each kind, as files of the first version have them: they must be read for ever. */
static const char good[] =
	"{\"version\": 1, \"what\": \"libdps backup\", \"time\": \"2026-01-02T03:04:05Z\",\n"
	" \"disk\": {\"path\": \"/tmp/disk.raw\", \"uuid\": "
	"\"d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1\"},\n"
	" \"changes\": [\n"
#define ENTRY(kind, from, to)                                                                      \
	"{\"kind\": \"" kind "\", \"partition\": 2, \"uuid\": "                                    \
	"\"a2a2a2a2-a2a2-a2a2-a2a2-a2a2a2a2a2a2\", \"start\": 204800, \"from\": " from             \
	", \"to\": " to "}"
	/* clang-format off */
	ENTRY("type", "\"12121212-1212-1212-1212-121212121212\"", "\"4f68bce3-e8cd-4db1-96e7-fbcaf984b709\"") ",\n"
	ENTRY("uuid", "\"a2a2a2a2-a2a2-a2a2-a2a2-a2a2a2a2a2a2\"", "\"01234567-89ab-cdef-0123-456789abcdef\"") ",\n"
	ENTRY("flags", "\"0x8000000000000020\"", "\"0x0800000000000000\"") ",\n"
	ENTRY("name", "\"\"", "\"root-x86-64\"") ",\n"
	ENTRY("btrfs-default", "{\"id\": 5, \"path\": null}", "{\"id\": 256, \"path\": \"root\"}")
	/* clang-format on */
	"]}\n";

static DpsBackup *
parse(const char *text, GError **error)
{
	return dps_backup_parse(text, strlen(text), "backup.json", error);
}

static void
test_good(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBackup) backup = parse(good, &error);
	static const char *const texts[][2] = {
		{ "12121212-1212-1212-1212-121212121212", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" },
		{ "a2a2a2a2-a2a2-a2a2-a2a2-a2a2a2a2a2a2", "01234567-89ab-cdef-0123-456789abcdef" },
		{ "0x8000000000000020", "0x0800000000000000" },
		{ "", "root-x86-64" },
		{ "5 (not there)", "256 root" },
	};

	g_assert_no_error(error);
	g_assert_cmpstr(dps_backup_get_disk_path(backup), ==, "/tmp/disk.raw");
	g_assert_cmpstr(dps_backup_get_disk_uuid(backup), ==,
			"d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");
	g_assert_cmpstr(dps_backup_get_time(backup), ==, "2026-01-02T03:04:05Z");
	g_assert_cmpuint(backup->entries->len, ==, G_N_ELEMENTS(texts));
	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		const DpsBackupEntry *entry = backup->entries->pdata[i];

		g_assert_cmpuint(entry->start, ==, 204800);
		g_assert_cmpuint(dps_change_get_partition(entry->change), ==, 2);
		g_assert_cmpstr(dps_change_get_from(entry->change), ==, texts[i][0]);
		g_assert_cmpstr(dps_change_get_to(entry->change), ==, texts[i][1]);
	}
	g_assert_true(dps_backup_ref(backup) == backup);
	dps_backup_unref(backup);
}

/* The good one with one thing made another. */
/* clang-format off */
static const struct {
	const char *name, *from, *to;
	int code;
	const char *says;
} bad[] = {
	{ "no-json", "]}\n", "", DPS_ERROR_CORRUPT, "line 8: no JSON" },
	{ "twice", "\"version\": 1,", "\"version\": 1, \"version\": 1,", DPS_ERROR_CORRUPT, "no JSON" },
	{ "no-object", good, "[]", DPS_ERROR_CORRUPT, "no backup that dps-tag made" },
	{ "what", "libdps backup", "a shopping list", DPS_ERROR_CORRUPT, "no backup that dps-tag made" },
	{ "no-version", "\"version\": 1", "\"revision\": 1", DPS_ERROR_CORRUPT, "no version" },
	{ "version-text", "\"version\": 1", "\"version\": \"1\"", DPS_ERROR_CORRUPT, "no version" },
	{ "version-negative", "\"version\": 1", "\"version\": -1", DPS_ERROR_CORRUPT, "no version" },
	{ "newer", "\"version\": 1", "\"version\": 2", DPS_ERROR_UNSUPPORTED, "version 2: made by a newer dps-tag" },
	{ "no-time", "\"time\"", "\"thyme\"", DPS_ERROR_CORRUPT, "something is missing" },
	{ "no-path", "\"/tmp/disk.raw\"", "17", DPS_ERROR_CORRUPT, "something is missing" },
	{ "no-disk", "\"disk\"", "\"disc\"", DPS_ERROR_CORRUPT, "something is missing" },
	{ "no-changes", "\"changes\"", "\"chances\"", DPS_ERROR_CORRUPT, "something is missing" },
	{ "kind", "\"kind\": \"type\"", "\"kind\": \"hype\"", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "kind-that-is-not-taken-back", "\"kind\": \"type\"", "\"kind\": \"table\"", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "kind-no-text", "\"kind\": \"type\"", "\"kind\": 1", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "partition-0", "\"partition\": 2", "\"partition\": 0", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "partition-past-tables", "\"partition\": 2", "\"partition\": 1025", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "same-twice", "\"kind\": \"uuid\"", "\"kind\": \"type\"", DPS_ERROR_CORRUPT, "change 2 of it" },
	{ "partition-large", "\"partition\": 2", "\"partition\": 4294967298", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "start", "\"start\": 204800", "\"start\": -1", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "uuid", "\"uuid\": \"a2a2", "\"uuid\": \"zzzz", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "type-from", "\"12121212", "\"1212", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "type-to", "\"4f68bce3-e8cd-4db1-96e7-fbcaf984b709\"", "null", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "flags-without-0x", "\"0x8000000000000020\"", "\"8000000000000020\"", DPS_ERROR_CORRUPT, "change 3 of it" },
	{ "flags-short", "\"0x8000000000000020\"", "\"0x20\"", DPS_ERROR_CORRUPT, "change 3 of it" },
	{ "flags-no-digits", "\"0x8000000000000020\"", "\"0x80000000000000zz\"", DPS_ERROR_CORRUPT, "change 3 of it" },
	{ "flags-sign", "\"0x8000000000000020\"", "\"0x-000000000000020\"", DPS_ERROR_CORRUPT, "change 3 of it" },
	{ "flags-number", "\"0x8000000000000020\"", "32", DPS_ERROR_CORRUPT, "change 3 of it" },
	{ "name-number", "\"root-x86-64\"", "4", DPS_ERROR_CORRUPT, "change 4 of it" },
	{ "name-long", "\"root-x86-64\"", "\"0123456789012345678901234567890123456\"", DPS_ERROR_CORRUPT, "change 4 of it" },
	{ "name-pairs", "\"root-x86-64\"", "\"😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀x\"", DPS_ERROR_CORRUPT, "change 4 of it" },
	{ "type-from-null", "\"12121212-1212-1212-1212-121212121212\"", "\"00000000-0000-0000-0000-000000000000\"", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "type-to-null", "\"4f68bce3-e8cd-4db1-96e7-fbcaf984b709\"", "\"00000000-0000-0000-0000-000000000000\"", DPS_ERROR_CORRUPT, "change 1 of it" },
	{ "uuid-from-null", "\"from\": \"a2a2a2a2-a2a2-a2a2-a2a2-a2a2a2a2a2a2\"", "\"from\": \"00000000-0000-0000-0000-000000000000\"", DPS_ERROR_CORRUPT, "change 2 of it" },
	{ "uuid-from-another", "\"from\": \"a2a2a2a2", "\"from\": \"a3a2a2a2", DPS_ERROR_CORRUPT, "change 2 of it" },
	{ "uuid-to-null", "\"01234567-89ab-cdef-0123-456789abcdef\"", "\"00000000-0000-0000-0000-000000000000\"", DPS_ERROR_CORRUPT, "change 2 of it" },
	{ "subvolume-0", "\"id\": 5", "\"id\": 0", DPS_ERROR_CORRUPT, "change 5 of it" },
	{ "subvolume-negative", "\"id\": 256", "\"id\": -256", DPS_ERROR_CORRUPT, "change 5 of it" },
	{ "subvolume-number", "{\"id\": 256, \"path\": \"root\"}", "256", DPS_ERROR_CORRUPT, "change 5 of it" },
};
/* clang-format on */

static void
test_bad(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		const char *at = strstr(good, bad[i].from);
		g_autofree char *text = g_strdup_printf("%.*s%s%s", (int)(at - good), good,
							bad[i].to, at + strlen(bad[i].from));
		g_autoptr(GError) error = NULL;

		g_test_message("%s", bad[i].name);
		g_assert_null(parse(text, &error));
		g_assert_error(error, DPS_ERROR, bad[i].code);
		g_assert_true(g_str_has_prefix(error->message, "backup.json: "));
		g_assert_nonnull(strstr(error->message, bad[i].says));
	}
}

/* Cut off anywhere it is no backup; and who made it may have put anything into it. */
static void
test_cut_short(void)
{
	for (gsize size = 0; size < strlen(good) - 2; size++) {
		g_autofree char *copy = g_memdup2(good, size); /* ASan sees its edge */
		g_autoptr(GError) error = NULL;

		g_assert_null(dps_backup_parse(copy, size, "backup.json", &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	}
}

static void
test_open(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(dps_backup_open("/nonexistent/backup.json", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_null(dps_backup_open("/dev/null", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
}

static void
test_kinds(void)
{
	for (DpsChangeKind kind = DPS_CHANGE_TYPE; kind <= DPS_CHANGE_TABLE; kind++)
		g_assert_cmpint(dps_change_kind_from_string(dps_change_kind_to_string(kind)), ==,
				kind);
	g_assert_null(dps_change_kind_to_string(0));
	g_assert_null(dps_change_kind_to_string(DPS_CHANGE_TABLE + 1));
	g_assert_null(dps_change_kind_to_string((DpsChangeKind)1000000));
	g_assert_cmpint(dps_change_kind_from_string("other"), ==, 0);
}

/* Texts are equal by what they are, and nothing else of a value counts. */
static void
test_values(void)
{
	const DpsValue a = { .text = (char *)"a" }, b = { .text = (char *)"b" }, none = { 0 };
	const DpsValue five = { .subvolume = 5 };

	g_assert_true(dps_value_equal(DPS_CHANGE_NAME, &a, &a));
	g_assert_false(dps_value_equal(DPS_CHANGE_NAME, &a, &b));
	g_assert_false(dps_value_equal(DPS_CHANGE_NAME, &a, &none));
	g_assert_true(dps_value_equal(DPS_CHANGE_FLAGS, &a, &b));
	g_assert_true(dps_value_equal(DPS_CHANGE_BTRFS_DEFAULT, &a, &b));
	g_assert_false(dps_value_equal(DPS_CHANGE_BTRFS_DEFAULT, &a, &five));
	g_assert_true(dps_value_equal(DPS_CHANGE_TYPE, &a, &b));
}

#define HEAD                                                                                       \
	"{\"version\":1,\"what\":\"libdps "                                                        \
	"backup\",\"time\":\"t\",\"disk\":{\"path\":\"p\",\"uuid\":\"u\"},"
#define CHANGE(kind, number, uuid, start, from, to)                                                \
	HEAD "\"changes\":[{\"kind\":\"" kind "\",\"partition\":" number ",\"uuid\":\"" uuid       \
	     "\",\"start\":" start ",\"from\":" from ",\"to\":" to "}]}"
#define UUID "00000000-0000-0000-0000-000000000001"
#define NULL_UUID "00000000-0000-0000-0000-000000000000"

static void
test_files(void)
{
	static const struct {
		const char *text;
		gint code; /* 0: a good one */
	} rows[] = {
		{ CHANGE("type", "1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""), 0 },
		{ CHANGE("flags", "1", UUID, "1", "\"0x0000000000000000\"",
			 "\"0x8000000000000000\""),
		  0 },
		{ CHANGE("name", "1", UUID, "1", "\"\"", "\"a\""), 0 },
		{ CHANGE("name", "1", UUID, "1", "\"\"",
			 "\"012345678901234567890123456789012345\""),
		  0 },
		/* The entry had none: that is as it was. */
		{ CHANGE("uuid", "1", NULL_UUID, "1", "\"" NULL_UUID "\"", "\"" UUID "\""), 0 },
		{ CHANGE("btrfs-default", "1", UUID, "1", "{\"id\":5,\"path\":\"\"}",
			 "{\"id\":256,\"path\":null}"),
		  0 },
		{ HEAD "\"changes\":[]}", 0 },
		{ "", DPS_ERROR_CORRUPT },
		{ "[]", DPS_ERROR_CORRUPT },
		{ "{}", DPS_ERROR_CORRUPT },
		{ "{\"version\":1,\"version\":1}", DPS_ERROR_CORRUPT },
		{ HEAD "\"changes\":{}}", DPS_ERROR_CORRUPT },
		{ "{\"version\":2,\"what\":\"libdps backup\"}", DPS_ERROR_UNSUPPORTED },
		{ "{\"version\":1,\"what\":\"libdps backups\"}", DPS_ERROR_CORRUPT },
		{ "{\"what\":\"libdps backup\",\"disk\":{\"path\":\"p\",\"uuid\":\"u\"},"
		  "\"changes\":[]}",
		  DPS_ERROR_CORRUPT },
		{ "{\"what\":\"libdps backup\",\"time\":\"t\",\"disk\":{\"uuid\":\"u\"},"
		  "\"changes\":[]}",
		  DPS_ERROR_CORRUPT },
		{ "{\"what\":\"libdps backup\",\"time\":\"t\",\"disk\":{\"path\":\"p\"},"
		  "\"changes\":[]}",
		  DPS_ERROR_CORRUPT },
		{ CHANGE("typ", "1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("table", "1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "0", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "-1", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "2147483648", UUID, "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", "x", "512", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "0", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "-1", "\"" UUID "\"", "\"" UUID "\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "512", "\"x\"", "\"" UUID "\""), DPS_ERROR_CORRUPT },
		{ CHANGE("type", "1", UUID, "512", "\"" UUID "\"", "null"), DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "\"0x0\"", "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "null", "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "\"000000000000000000\"",
			 "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("flags", "1", UUID, "1", "\"0x000000000000000g\"",
			 "\"0x0000000000000000\""),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("name", "1", UUID, "1", "5", "\"a\""), DPS_ERROR_CORRUPT },
		{ CHANGE("btrfs-default", "1", UUID, "1", "{\"id\":0}", "{\"id\":256}"),
		  DPS_ERROR_CORRUPT },
		{ CHANGE("btrfs-default", "1", UUID, "1", "{\"id\":5}", "{}"), DPS_ERROR_CORRUPT },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsBackup) backup =
			dps_backup_parse(rows[i].text, strlen(rows[i].text), "b.json", &error);

		g_test_message("%s", rows[i].text);
		g_assert_cmpint(backup != NULL, ==, rows[i].code == 0);
		if (rows[i].code) {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_true(g_str_has_prefix(error->message, "b.json: "));
		}
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/backup/good", test_good);
	g_test_add_func("/backup/bad", test_bad);
	g_test_add_func("/backup/cut-short", test_cut_short);
	g_test_add_func("/backup/open", test_open);
	g_test_add_func("/backup/files", test_files);
	g_test_add_func("/backup/kinds", test_kinds);
	g_test_add_func("/backup/values", test_values);
	return g_test_run();
}
