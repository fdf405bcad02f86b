/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/version.h"

#include <glib.h>

/* From the specification's text, and from `systemd-analyze compare-versions`. */
static const char *const ascending[][2] = {
	{ "", "a" },
	{ "~1", "" },
	{ "9", "10" },
	{ "foo_9", "foo_10" },
	{ "10~rc1", "10" },
	{ "Fedora", "1" },
	{ "A", "a" },
	{ "122.1", "123~rc1-1" },
	{ "123~rc1-1", "123" },
	{ "123", "123-a" },
	{ "123-a", "123-a.1" },
	{ "123-a.1", "123-1" },
	{ "123-1", "123-1.1" },
	{ "123-1.1", "123^post1" },
	{ "123^post1", "123.a-1" },
	{ "123.a-1", "123.1-1" },
	{ "123.1-1", "123a-1" },
	{ "123a-1", "124-1" },
	{ "ab", "abc" },
};

static const char *const equal[][2] = {
	{ "", "" }, { "11", "0011" }, { "a_1", "a+1" }, { "_1", "1" }, { "1_", "1" }, { "ä1", "1" },
};

static void
test_order(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(ascending); i++) {
		g_test_message("%s < %s", ascending[i][0], ascending[i][1]);
		g_assert_cmpint(dps_version_compare(ascending[i][0], ascending[i][1]), <, 0);
		g_assert_cmpint(dps_version_compare(ascending[i][1], ascending[i][0]), >, 0);
	}
	for (guint i = 0; i < G_N_ELEMENTS(equal); i++)
		g_assert_cmpint(dps_version_compare(equal[i][0], equal[i][1]), ==, 0);

	g_assert_cmpint(dps_version_compare(NULL, ""), ==, 0);
	g_assert_cmpint(dps_version_compare(NULL, "x"), <, 0);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/version/order", test_order);
	return g_test_run();
}
