/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/os-release.h"

#include <string.h>

static void
test_parse(void)
{
	static const char text[] = "# comment\n"
				   "  NAME=Some Name  \n"
				   "PRETTY_NAME=''\n"
				   "ID=a\r\nID='b'\n"
				   "IMAGE_ID\n"
				   "VERSION=\"4\x1b\"\n"
				   "BUILD_ID=5\n";
	g_auto(DpsOsRelease) os = { 0 };

	dps_os_release_parse(text, sizeof(text) - 1, &os);
	g_assert_null(os.pretty_name);
	g_assert_null(os.image_id);
	g_assert_cmpstr(os.name, ==, "Some Name");
	g_assert_cmpstr(os.id, ==, "b");
	g_assert_cmpstr(dps_os_release_get_title(&os), ==, "Some Name");
	g_assert_cmpstr(dps_os_release_get_version(&os), ==, "4\xef\xbf\xbd");
	g_assert_cmpstr(dps_os_release_get_sort_key(&os), ==, "b");
}

/* What a menu shows: of the fields that are there the first in this order. */
static void
test_menu(void)
{
	static const struct {
		const char *text, *title, *version, *sort_key;
	} rows[] = {
		{ "PRETTY_NAME=P\nIMAGE_ID=i\nNAME=N\nID=d\n", "P", NULL, "i" },
		{ "IMAGE_ID=i\nNAME=N\nID=d\n", "i", NULL, "i" },
		{ "NAME=N\nID=d\n", "N", NULL, "d" },
		{ "ID=d\n", "d", NULL, "d" },
		{ "NAME=N\n", "N", NULL, NULL },
		{ "IMAGE_VERSION=1\nVERSION=2\nVERSION_ID=3\nBUILD_ID=4\n", NULL, "1", NULL },
		{ "VERSION=2\nVERSION_ID=3\nBUILD_ID=4\n", NULL, "2", NULL },
		{ "VERSION_ID=3\nBUILD_ID=4\n", NULL, "3", NULL },
		{ "BUILD_ID=4\n", NULL, "4", NULL },
		{ "", NULL, NULL, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(DpsOsRelease) os = { 0 };

		dps_os_release_parse(rows[i].text, strlen(rows[i].text), &os);
		g_assert_cmpstr(dps_os_release_get_title(&os), ==, rows[i].title);
		g_assert_cmpstr(dps_os_release_get_version(&os), ==, rows[i].version);
		g_assert_cmpstr(dps_os_release_get_sort_key(&os), ==, rows[i].sort_key);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/os-release/parse", test_parse);
	g_test_add_func("/os-release/menu", test_menu);
	return g_test_run();
}
