/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/keyfile.h"

#include <string.h>

/* clang-format off */
static const struct {
	const char *name;
	const char *text;
	const char *value; /* of ARCHITECTURE; NULL: it is not assigned */
} rows[] = {
	{ "plain", "ID=fedora\nARCHITECTURE=x86-64\nNAME=x\n", "x86-64" },
	{ "no-newline-at-the-end", "ARCHITECTURE=arm64", "arm64" },
	{ "double-quotes", "ARCHITECTURE=\"x86-64\"\n", "x86-64" },
	{ "single-quotes", "ARCHITECTURE='a b\\'\n", "a b\\" },
	{ "escapes", "ARCHITECTURE=\"a\\\"b\\$c\\`d\\\\e\\nf\"\n", "a\"b$c`d\\e\\nf" },
	{ "escape-outside", "ARCHITECTURE=a\\ b\n", "a b" },
	{ "joined", "ARCHITECTURE=a\"b c\"'d'\n", "ab cd" },
	{ "blank-ends-it", "ARCHITECTURE=a b\n", "a" },
	{ "empty", "ARCHITECTURE=\n", "" },
	{ "last-counts", "ARCHITECTURE=a\nARCHITECTURE=b\n", "b" },
	{ "broken-does-not-count", "ARCHITECTURE=a\nARCHITECTURE=\"b\n", "a" },
	{ "dos-lines", "ID=x\r\nARCHITECTURE=a\r\n", "a" },
	{ "indented", "  ARCHITECTURE=a\n", "a" },
	{ "not-utf-8", "ARCHITECTURE=a\xff\n", "a\xef\xbf\xbd" },
	{ "backslash-at-the-end", "ARCHITECTURE=a\\", "a\\" },
	{ "comment", "#ARCHITECTURE=a\n", NULL },
	{ "longer-name", "XARCHITECTURE=a\nARCHITECTUREX=b\n", NULL },
	{ "spaced", "ARCHITECTURE = a\n", NULL },
	{ "open-quote", "ARCHITECTURE=\"a\nB=\"\n", NULL },
	{ "name-alone", "ARCHITECTURE", NULL },
	{ "nothing", "", NULL },
};
/* clang-format on */

static void
test_lookup(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		gsize size = strlen(rows[i].text);
		g_autofree char *copy = g_memdup2(rows[i].text, size); /* ASan sees its edge */
		g_autofree char *value = dps_keyfile_lookup(copy, size, "ARCHITECTURE");

		g_test_message("%s", rows[i].name);
		g_assert_cmpstr(value, ==, rows[i].value);
	}
}

/* A NUL is a byte as any other, and ends nothing. */
static void
test_nul(void)
{
	static const char text[] = "A=x\0y\nB=z\n";
	g_autofree char *value = dps_keyfile_lookup(text, sizeof(text) - 1, "B");

	g_assert_cmpstr(value, ==, "z");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/keyfile/lookup", test_lookup);
	g_test_add_func("/keyfile/nul", test_nul);
	return g_test_run();
}
