/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/cmdline.h"

static void
test_words(void)
{
	static const struct {
		const char *text;
		const char *words; /* "key=value|key|…", in one string */
	} rows[] = {
		{ NULL, "" },
		{ "  \n\t", "" },
		{ "quiet  rw\nroot=/dev/sda1", "quiet|rw|root=/dev/sda1" },
		{ "a=\"b c\" d", "a=b c|d" },
		{ "\"a=b c\" d", "a=b c|d" },
		{ "a='b \"c' x", "a=b \"c|x" },
		{ "a=b\\ c", "a=b\\|c" },
		{ "a=\"not closed d", "a=not closed d" },
		{ "a==b", "a==b" },
		{ "x=\x1b[2J", "x=\xef\xbf\xbd[2J" },
		{ "x=\xff", "x=\xef\xbf\xbd" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GString) joined = g_string_new(NULL);
		g_auto(DpsCmdline) cmdline;

		dps_cmdline_parse(rows[i].text, &cmdline);
		for (guint k = 0; k < cmdline.words->len; k++) {
			const DpsCmdlineWord *word =
				&g_array_index(cmdline.words, DpsCmdlineWord, k);

			g_string_append_printf(joined, "%s%s%s%s", k > 0 ? "|" : "", word->key,
					       word->value ? "=" : "",
					       word->value ? word->value : "");
		}
		g_assert_cmpstr(joined->str, ==, rows[i].words);
	}
}

static void
test_meaning(void)
{
	g_auto(DpsCmdline) line;

	dps_cmdline_parse(
		"root=/dev/sda1 root=LABEL=\"my root\" rootflags=subvol=/a/ rootflags=ro "
		"rootfstype=btrfs roothash=00ff usrhash=11 mount.usr=/dev/x "
		"mount.usrfstype=ext4 mount.usrflags=a mount.usrflags=b ro rw init=/sbin/i "
		"systemd.swap=off systemd.gpt-auto=0 rd.systemd.gpt_auto=yes",
		&line);
	g_assert_cmpstr(line.root, ==, "LABEL=my root");
	g_assert_cmpstr(line.rootflags, ==, "subvol=/a/,ro");
	g_assert_cmpstr(line.rootfstype, ==, "btrfs");
	g_assert_cmpstr(line.roothash, ==, "00ff");
	g_assert_cmpstr(line.usrhash, ==, "11");
	g_assert_cmpstr(line.usr, ==, "/dev/x");
	g_assert_cmpstr(line.usrfstype, ==, "ext4");
	g_assert_cmpstr(line.usrflags, ==, "a,b");
	g_assert_cmpstr(line.init, ==, "/sbin/i");
	g_assert_cmpstr(line.root_subvol, ==, "a");
	g_assert_null(line.root_subvolid);
	g_assert_true(line.has_other_root);
	g_assert_cmpint(line.rw, ==, DPS_CMDLINE_YES);
	g_assert_cmpint(line.swap, ==, DPS_CMDLINE_NO);
	g_assert_cmpint(line.gpt_auto, ==, DPS_CMDLINE_NO);
	g_assert_cmpint(line.rd_gpt_auto, ==, DPS_CMDLINE_YES);
	g_assert_cmpstr(dps_cmdline_get(&line, "systemd.gpt_auto"), ==, "0");
	g_assert_null(dps_cmdline_get(&line, "rw"));
}

static void
test_nothing_said(void)
{
	g_auto(DpsCmdline) line;

	dps_cmdline_parse("quiet systemd.gpt_auto=perhaps rw=1", &line);
	g_assert_null(line.root);
	g_assert_null(line.rootflags);
	g_assert_null(line.root_subvol);
	g_assert_false(line.has_other_root);
	g_assert_cmpint(line.rw, ==, DPS_CMDLINE_UNSET);
	g_assert_cmpint(line.gpt_auto, ==, DPS_CMDLINE_UNSET);
	g_assert_cmpint(line.rd_gpt_auto, ==, DPS_CMDLINE_UNSET);
}

static void
test_subvolume(void)
{
	static const struct {
		const char *text, *path, *id;
	} rows[] = {
		{ "rootflags=subvol=root", "root", NULL },
		{ "rootflags=compress=zstd,subvol=/@/x/", "@/x", NULL },
		{ "rootflags=subvol=/", "", NULL },
		{ "rootflags=subvolid=256", NULL, "256" },
		{ "rootflags=subvol=a,subvolid=5", NULL, "5" },
		{ "rootflags=subvolid=5 rootflags=subvol=b", "b", NULL },
		{ "rootflags=nosubvol=x", NULL, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(DpsCmdline) line;

		dps_cmdline_parse(rows[i].text, &line);
		g_assert_cmpstr(line.root_subvol, ==, rows[i].path);
		g_assert_cmpstr(line.root_subvolid, ==, rows[i].id);
	}
}

static void
test_discovery(void)
{
	static const struct {
		const char *text;
		gboolean in_257, in_258;
	} rows[] = {
		{ "", TRUE, TRUE },
		{ "quiet root", TRUE, TRUE },
		{ "root=gpt-auto", TRUE, TRUE },
		{ "root=dissect", FALSE, TRUE },
		{ "root=gpt-auto-force", FALSE, TRUE },
		{ "root=/dev/sda1", FALSE, FALSE },
		{ "root=", FALSE, FALSE },
		{ "root=/dev/sda1 root=gpt-auto", FALSE, TRUE },
		{ "root=gpt-auto root=off", FALSE, FALSE },
		{ "roothash=00", FALSE, FALSE },
		{ "systemd.gpt_auto=0", FALSE, FALSE },
		{ "rd.systemd.gpt_auto=no", FALSE, FALSE },
		{ "systemd.gpt_auto=0 rd.systemd.gpt_auto", TRUE, TRUE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(DpsCmdline) line;

		dps_cmdline_parse(rows[i].text, &line);
		g_assert_cmpint(dps_cmdline_root_is_discovered(&line, 257), ==, rows[i].in_257);
		g_assert_cmpint(dps_cmdline_root_is_discovered(&line, 258), ==, rows[i].in_258);
	}
}

/* No kernel sees more than 4096 bytes, and none sees a word that is cut there. */
static void
test_long(void)
{
	static const struct {
		guint before; /* bytes */
		const char *words;
		const char *root;
		guint n_words;
	} rows[] = {
		{ 4096 - 7, "root=/a", "/a", 2 }, /* the last word that is seen */
		{ 4096 - 7, "root=/a ", "/a", 2 },
		{ 4096 - 7, "root=/ab", NULL, 1 },
		{ 4096 - 7, "root=/a root=/b", "/a", 2 },
		{ 4096 - 3, "root=/a", NULL, 1 },
		{ 4096, "root=/a", NULL, 1 },
		{ 1 << 20, "root=/a", NULL, 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *filled = g_strnfill(rows[i].before, 'x');
		g_autofree char *text = NULL;
		g_auto(DpsCmdline) line;

		filled[rows[i].before - 1] = ' ';
		text = g_strconcat(filled, rows[i].words, NULL);
		dps_cmdline_parse(text, &line);
		g_assert_cmpstr(line.root, ==, rows[i].root);
		g_assert_cmpuint(line.words->len, ==, rows[i].n_words);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cmdline/words", test_words);
	g_test_add_func("/cmdline/meaning", test_meaning);
	g_test_add_func("/cmdline/nothing-said", test_nothing_said);
	g_test_add_func("/cmdline/subvolume", test_subvolume);
	g_test_add_func("/cmdline/discovery", test_discovery);
	g_test_add_func("/cmdline/long", test_long);
	return g_test_run();
}
