/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/text.h"

int
main(int argc, char **argv)
{
	static const struct {
		const char *bytes;
		gsize size;
		const char *clean;
	} rows[] = {
		{ "", 0, "" },
		{ "a\tb", 3, "a b" },
		{ "caf\xc3\xa9", 5, "café" },
		{ "\x1b[31mred", 8, "\xef\xbf\xbd[31mred" },
		{ "a\0b", 3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xff", 1, "\xef\xbf\xbd" },
		{ "\xc2\x9b", 2, "\xef\xbf\xbd" }, /* CSI in one character */
		{ "cut", 2, "cu" },
	};
	static const struct {
		const char *word, *quoted;
	} words[] = {
		{ "/dev/vda", "/dev/vda" }, { "", "''" },
		{ "a b", "'a b'" },	    { "$(rm)", "'$(rm)'" },
		{ "it's", "'it'\\''s'" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *clean = dps_text_clean(rows[i].bytes, rows[i].size);

		if (g_strcmp0(clean, rows[i].clean) != 0)
			g_print("not ok %u - '%s', not '%s'\n", i + 1, clean, rows[i].clean);
		else
			g_print("ok %u - %s\n", i + 1, rows[i].clean);
	}
	for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
		g_autofree char *quoted = dps_text_quote(words[i].word);

		if (g_strcmp0(quoted, words[i].quoted) != 0)
			g_print("not ");
		g_print("ok %u - %s\n", (guint)G_N_ELEMENTS(rows) + i + 1, quoted);
	}
	g_print("1..%u\n", (guint)(G_N_ELEMENTS(rows) + G_N_ELEMENTS(words)));
	return 0;
}
