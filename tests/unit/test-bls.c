/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls.h"
#include "format/loader-conf.h"
#include "format/shim-csv.h"
#include "ground/error.h"
#include "make-pe.h"

static void
test_glob(void)
{
	static const struct {
		const char *pattern, *text;
		gboolean matches;
	} rows[] = {
		{ "fedora.conf", "Fedora.conf", TRUE },
		{ "fedora", "fedora.conf", FALSE },
		{ "fedora*", "fedora.conf", TRUE },
		{ "*", "", TRUE },
		{ "", "", TRUE },
		{ "", "a", FALSE },
		{ "*.conf", "a.conf.conf", TRUE },
		{ "*.conf", "a.confx", FALSE },
		{ "a*b*c", "a-b-b-c", TRUE },
		{ "a*b*c", "a-c-b", FALSE },
		{ "a**c", "ac", TRUE },
		{ "a?c", "abc", TRUE },
		{ "a?", "a", FALSE },
		{ "[a-c]x", "Bx", TRUE },
		{ "[a-c]x", "dx", FALSE },
		{ "[c-a-z]x", "-x", TRUE },
		{ "[]a]", "]", TRUE },
		{ "[a-]", "-", TRUE },
		{ "[b-d]", "a", FALSE },
		{ "[a", "a", FALSE },
		{ "[", "[", FALSE },
		{ "\\*", "*", TRUE },
		{ "\\*", "a", FALSE },
		{ "[\\]]", "]", TRUE },
		{ "*[0-9].efi", "linux-6.1.efi", TRUE },
		{ "*[0-9].efi", "linux-6.x.efi", FALSE },
		{ "[b-", "c", FALSE },
		{ "a\\", "a\\", TRUE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%s %s", rows[i].pattern, rows[i].text);
		g_assert_cmpint(dps_bls_glob(rows[i].pattern, rows[i].text), ==, rows[i].matches);
	}
}

static void
test_glob_ends(void)
{
	g_autofree char *text = g_strnfill(4000, 'a');
	g_autoptr(GString) pattern = g_string_new(NULL);

	for (guint i = 0; i < 500; i++)
		g_string_append(pattern, "*a");
	g_string_append(pattern, "*b");
	g_assert_false(dps_bls_glob(pattern->str, text));
}

static void
test_names(void)
{
	static const struct {
		const char *name, *suffix, *id;
		gboolean is_counted;
		guint left, done;
	} rows[] = {
		{ "a.conf", ".conf", "a.conf", FALSE, 0, 0 },
		{ "a+3.conf", ".conf", "a.conf", TRUE, 3, 0 },
		{ "a+3-1.conf", ".conf", "a.conf", TRUE, 3, 1 },
		{ "a+0-3.efi", ".efi", "a.efi", TRUE, 0, 3 },
		{ "a+03-001.EFI", ".efi", "a.EFI", TRUE, 3, 1 },
		{ "a+1+2.conf", ".conf", "a+1.conf", TRUE, 2, 0 },
		{ "a+3.rpmsave", ".conf", "a+3.rpmsave", FALSE, 0, 0 },
		{ "a+3-.conf", ".conf", "a+3-.conf", FALSE, 0, 0 },
		{ "a+.conf", ".conf", "a+.conf", FALSE, 0, 0 },
		{ "a+3x.conf", ".conf", "a+3x.conf", FALSE, 0, 0 },
		{ "a+-3.conf", ".conf", "a+-3.conf", FALSE, 0, 0 },
		{ "a+2147483647.conf", ".conf", "a.conf", TRUE, 2147483647, 0 },
		{ "a+2147483648.conf", ".conf", "a+2147483648.conf", FALSE, 0, 0 },
		{ "a+99999999999999999999999.conf", ".conf", "a+99999999999999999999999.conf",
		  FALSE, 0, 0 },
		{ "6.1.0+git+3.conf", ".conf", "6.1.0+git.conf", TRUE, 3, 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(DpsBlsName) name = { 0 };

		dps_bls_name_parse(rows[i].name, rows[i].suffix, &name);
		g_assert_cmpstr(name.id, ==, rows[i].id);
		g_assert_cmpint(name.is_counted, ==, rows[i].is_counted);
		if (rows[i].is_counted) {
			g_assert_cmpuint(name.tries_left, ==, rows[i].left);
			g_assert_cmpuint(name.tries_done, ==, rows[i].done);
		}
	}
}

static void
test_valid_names(void)
{
	g_autofree char *longest = g_strnfill(255, 'a');
	g_autofree char *longer = g_strnfill(256, 'a');

	g_assert_true(dps_bls_name_is_valid("aZ09+-_.@"));
	g_assert_true(dps_bls_name_is_valid(longest));
	g_assert_false(dps_bls_name_is_valid(longer));
	g_assert_false(dps_bls_name_is_valid(""));
	g_assert_false(dps_bls_name_is_valid("a b"));
	g_assert_false(dps_bls_name_is_valid("caf\xc3\xa9"));
}

static void
test_paths(void)
{
	static const struct {
		const char *path, *normal;
	} rows[] = {
		{ "/a/b", "a/b" },     { "a/b", "a/b" },     { "//a//b", "a/b" },
		{ "/./a/./b", "a/b" }, { "/a/b/", NULL },    { "", NULL },
		{ "/", NULL },	       { ".", NULL },	     { "/a/../b", NULL },
		{ "..", NULL },	       { "a/..b", "a/..b" }, { "\\a\\b", "a/b" },
		{ "/a\\b", "a/b" },    { "\\a\\", NULL },    { "\\a\\..\\b", NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *normal = dps_bls_path_normalise(rows[i].path);

		g_assert_cmpstr(normal, ==, rows[i].normal);
	}
}

static DpsBlsEntry *
parse(const char *name, const char *text)
{
	g_autofree char *copy = g_memdup2(text, strlen(text)); /* without its NUL */

	return dps_bls_entry_parse(name, copy, strlen(text));
}

static void
test_type1(void)
{
	g_autoptr(DpsBlsEntry) entry =
		parse("f40+2-1.conf", "# a comment\n"
				      "title        Fedora 40\r\n"
				      "sort-key\tfedora\n"
				      "\n"
				      "machine-id   6a9857a393724b7a981ebb5b8495b9ea\n"
				      "version      6.8.0\n"
				      "options      root=LABEL=x\n"
				      "options      \"quiet splash\"\n"
				      "architecture X64\n"
				      "linux        /6a98/linux\n"
				      "initrd       /6a98/initrd\n"
				      "initrd       6a98//micro\n"
				      "extra        /x.cred\n"
				      "devicetree   /t.dtb\n"
				      "devicetree-overlay /a.dtbo b.dtbo");

	g_assert_cmpint(entry->type, ==, DPS_BLS_TYPE1);
	g_assert_cmpstr(entry->id, ==, "f40.conf");
	g_assert_cmpstr(entry->file_name, ==, "f40+2-1.conf");
	g_assert_true(entry->is_counted);
	g_assert_cmpuint(entry->tries_left, ==, 2);
	g_assert_cmpuint(entry->tries_done, ==, 1);
	g_assert_cmpstr(entry->title, ==, "Fedora 40");
	g_assert_cmpstr(entry->sort_key, ==, "fedora");
	g_assert_cmpstr(entry->machine_id, ==, "6a9857a393724b7a981ebb5b8495b9ea");
	g_assert_cmpstr(entry->version, ==, "6.8.0");
	g_assert_cmpstr(entry->options, ==, "root=LABEL=x quiet splash");
	g_assert_cmpint(entry->arch, ==, DPS_ARCH_X86_64);
	g_assert_cmpint(entry->loader, ==, DPS_BLS_LOADER_LINUX);
	g_assert_cmpstr(entry->path, ==, "6a98/linux");
	g_assert_cmpuint(entry->initrds->len, ==, 2);
	g_assert_cmpstr(entry->initrds->pdata[1], ==, "6a98/micro");
	g_assert_cmpstr(entry->extras->pdata[0], ==, "x.cred");
	g_assert_cmpstr(entry->devicetree, ==, "t.dtb");
	g_assert_cmpuint(entry->devicetree_overlays->len, ==, 2);
	g_assert_cmpint(entry->hidden, ==, DPS_BLS_SHOWN);
	g_assert_cmpuint(entry->problems->len, ==, 0);
}

static void
test_type1_problems(void)
{
	static const struct {
		const char *text;
		DpsBlsProblemKind kind;
		guint line;
		DpsBlsHidden hidden;
	} rows[] = {
		{ "linux /l\ngrub_users $x", DPS_BLS_PROBLEM_UNKNOWN_KEY, 2, DPS_BLS_SHOWN },
		{ "linux /l\ntitle", DPS_BLS_PROBLEM_NO_VALUE, 2, DPS_BLS_SHOWN },
		{ "linux /l\ninitrd /../x", DPS_BLS_PROBLEM_BAD_PATH, 2, DPS_BLS_SHOWN },
		{ "linux /l\nmachine-id X", DPS_BLS_PROBLEM_BAD_VALUE, 2, DPS_BLS_SHOWN },
		{ "linux /l\nextra /x.raw", DPS_BLS_PROBLEM_BAD_VALUE, 2, DPS_BLS_SHOWN },
		{ "uki /l\nprofile one", DPS_BLS_PROBLEM_BAD_VALUE, 2, DPS_BLS_SHOWN },
		{ "linux /l\narchitecture x86_64", DPS_BLS_PROBLEM_BAD_VALUE, 2,
		  DPS_BLS_HIDDEN_ARCH },
		{ "linux /l\nlinux /m", DPS_BLS_PROBLEM_REPEATED, 2, DPS_BLS_SHOWN },
		{ "linux /l\nefi /m", DPS_BLS_PROBLEM_CONFLICT, 2, DPS_BLS_HIDDEN_CONFLICT },
		{ "title x", DPS_BLS_PROBLEM_NO_LOADER, 0, DPS_BLS_HIDDEN_NO_LOADER },
		{ "", DPS_BLS_PROBLEM_NO_LOADER, 0, DPS_BLS_HIDDEN_NO_LOADER },
		{ "linux /l\ntitle \xff", DPS_BLS_PROBLEM_NOT_TEXT, 0, DPS_BLS_SHOWN },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(DpsBlsEntry) entry = parse("a.conf", rows[i].text);
		const DpsBlsReader reader = { 0 };
		const DpsBlsProblem *problem;

		g_test_message("%s", rows[i].text);
		g_assert_cmpuint(entry->problems->len, ==, 1);
		problem = entry->problems->pdata[0];
		g_assert_cmpint(problem->kind, ==, rows[i].kind);
		g_assert_cmpuint(problem->line, ==, rows[i].line);
		g_assert_cmpint(dps_bls_entry_get_hidden(entry, &reader), ==, rows[i].hidden);
	}
}

static void
test_many_problems(void)
{
	g_autoptr(GString) text = g_string_new("linux /l\n");
	g_autoptr(DpsBlsEntry) entry = NULL;

	/* A key that is cut inside of a character, and a path as long as the file. */
	g_string_append_printf(text, "%63s\xc3\xa9 y\n", "");
	for (guint i = 0; i < 63; i++)
		text->str[9 + i] = 'k';
	g_string_append(text, "initrd ../");
	for (guint i = 0; i < 100000; i++)
		g_string_append_c(text, 'p');
	g_string_append_c(text, '\n');
	for (guint i = 0; i < 100000; i++)
		g_string_append(text, "x y\n");
	entry = dps_bls_entry_parse("a.conf", text->str, text->len);
	g_assert_cmpuint(entry->problems->len, ==, 64);
	for (guint i = 0; i < 64; i++) {
		const char *message = ((DpsBlsProblem *)entry->problems->pdata[i])->message;

		g_assert_true(g_utf8_validate(message, -1, NULL));
		g_assert_cmpuint(strlen(message), <, 300);
	}
	g_assert_cmpstr(entry->path, ==, "l");
}

static gboolean
is_there(const char *path, gpointer data)
{
	return strcmp(path, data) == 0;
}

static void
test_hidden(void)
{
	char there[] = "there";
	static const struct {
		const char *name, *text;
		DpsArch arch;
		guint version;
		DpsBlsHidden hidden;
	} rows[] = {
		{ "a.conf", "linux there", DPS_ARCH_X86_64, 0, DPS_BLS_SHOWN },
		{ "a.CONF", "linux there", DPS_ARCH_X86_64, 0, DPS_BLS_SHOWN },
		{ ".a.conf", "linux there", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_NAME },
		{ "Auto-a.conf", "linux there", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_NAME },
		{ "a.conf.bak", "linux there", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_NAME },
		{ "conf", "linux there", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_NAME },
		{ "a.conf", "linux missing", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_FILE_MISSING },
		{ "a.conf", "linux there\narchitecture aa64", DPS_ARCH_X86_64, 0,
		  DPS_BLS_HIDDEN_ARCH },
		{ "a.conf", "linux there\narchitecture aa64", DPS_ARCH_NONE, 0, DPS_BLS_SHOWN },
		{ "a.conf", "linux there\narchitecture aA64", DPS_ARCH_AARCH64, 0, DPS_BLS_SHOWN },
		{ "a.conf", "uki there", DPS_ARCH_NONE, 0, DPS_BLS_SHOWN },
		{ "a.conf", "uki there", DPS_ARCH_NONE, 257, DPS_BLS_HIDDEN_TOO_OLD },
		{ "a.conf", "uki there", DPS_ARCH_NONE, 258, DPS_BLS_SHOWN },
		{ "a.conf", "uki-url http://x/y.efi", DPS_ARCH_NONE, 0, DPS_BLS_SHOWN },
		{ "a.conf", "uki-url :y.efi", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_RELATIVE_URL },
		{ "a.conf", "efi /EFI/boot/bootx64.efi", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_SELF },
		{ "a.conf", "linux ../there", DPS_ARCH_NONE, 0, DPS_BLS_HIDDEN_NO_LOADER },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(DpsBlsEntry) entry = parse(rows[i].name, rows[i].text);
		const DpsBlsReader reader = {
			.arch = rows[i].arch,
			.systemd_version = rows[i].version,
			.self_path = "EFI/BOOT/BOOTX64.EFI",
			.exists = is_there,
			.data = there,
		};

		g_test_message("%s: %s", rows[i].name, rows[i].text);
		g_assert_cmpint(dps_bls_entry_get_hidden(entry, &reader), ==, rows[i].hidden);
		g_assert_cmpint(*dps_bls_hidden_to_string(rows[i].hidden) == '\0', ==,
				rows[i].hidden == DPS_BLS_SHOWN);
	}
}

static GPtrArray *
entries_of(const char *name, uint16_t machine, const MakePeSection *sections, guint n)
{
	g_autoptr(GByteArray) file = make_pe(machine, sections, n);
	DpsRegion region = dps_region_over_memory(file->data, file->len);
	g_auto(DpsUki) uki = { 0 };

	g_assert_true(dps_uki_read(&region, &uki, NULL));
	return dps_bls_entries_from_uki(name, &uki);
}

static void
test_type2(void)
{
	static const MakePeSection sections[] = {
		TEXT_SECTION(".osrel", "NAME=Fedora\nIMAGE_ID=img\nVERSION_ID=40\n"),
		TEXT_SECTION(".cmdline", "quiet"),
		TEXT_SECTION(".linux", "x"),
		TEXT_SECTION(".profile", "ID=main"),
		TEXT_SECTION(".profile", "ID=debug"),
		TEXT_SECTION(".profile", "TITLE=Reset"),
		TEXT_SECTION(".profile", ""),
		{ ".osrel", NULL, 0 },
	};
	static const struct {
		const char *id, *title;
		DpsBlsHidden hidden;
	} rows[] = {
		{ "f.efi", "img", DPS_BLS_SHOWN },
		{ "f.efi@debug", "img (debug)", DPS_BLS_SHOWN },
		{ "f.efi@2", "img (Reset)", DPS_BLS_SHOWN },
		{ "f.efi@3", NULL, DPS_BLS_HIDDEN_NO_OS_RELEASE },
	};
	g_autoptr(GPtrArray) entries = entries_of("f+3.efi", 0x8664, sections, 8);
	const DpsBlsReader same = { .arch = DPS_ARCH_X86_64 }, other = { .arch = DPS_ARCH_X86 };

	g_assert_cmpuint(entries->len, ==, G_N_ELEMENTS(rows));
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		const DpsBlsEntry *entry = entries->pdata[i];

		g_assert_cmpstr(entry->id, ==, rows[i].id);
		g_assert_cmpstr(entry->base_id, ==, "f.efi");
		g_assert_cmpstr(entry->title, ==, rows[i].title);
		g_assert_cmpstr(entry->path, ==, "EFI/Linux/f+3.efi");
		g_assert_cmpuint(entry->profile, ==, i);
		g_assert_true(entry->is_counted);
		g_assert_cmpint(dps_bls_entry_get_hidden(entry, &same), ==, rows[i].hidden);
		g_assert_cmpint(dps_bls_entry_get_hidden(entry, &other), ==, DPS_BLS_HIDDEN_ARCH);
		if (rows[i].title) {
			g_assert_cmpstr(entry->version, ==, "40");
			g_assert_cmpstr(entry->sort_key, ==, "img");
			g_assert_cmpstr(entry->options, ==, "quiet");
		}
	}
}

static void
test_type2_hidden(void)
{
	static const MakePeSection no_osrel[] = { TEXT_SECTION(".linux", "x") };
	static const MakePeSection no_name[] = { TEXT_SECTION(".osrel", "X=y\n") };
	const DpsBlsReader reader = { 0 };
	struct {
		GPtrArray *entries;
		DpsBlsHidden hidden;
	} rows[] = {
		{ dps_bls_entries_from_uki("x.efi", NULL), DPS_BLS_HIDDEN_NOT_PE },
		{ dps_bls_entries_from_uki("x.txt", NULL), DPS_BLS_HIDDEN_NAME },
		{ entries_of("x.efi", 0x8664, no_osrel, 1), DPS_BLS_HIDDEN_NO_OS_RELEASE },
		{ entries_of("x.efi", 0x8664, no_name, 1), DPS_BLS_HIDDEN_NO_OS_RELEASE },
		{ entries_of("x.efi", 0x1234, no_osrel, 1), DPS_BLS_HIDDEN_ARCH },
		{ entries_of(".x.efi", 0x8664, no_osrel, 1), DPS_BLS_HIDDEN_NAME },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_cmpuint(rows[i].entries->len, ==, 1);
		g_assert_cmpint(dps_bls_entry_get_hidden(rows[i].entries->pdata[0], &reader), ==,
				rows[i].hidden);
		g_ptr_array_unref(rows[i].entries);
	}
}

static int
by_menu(gconstpointer a, gconstpointer b)
{
	return dps_bls_entry_compare(*(DpsBlsEntry *const *)a, *(DpsBlsEntry *const *)b);
}

static void
test_order(void)
{
	/* As the menu has them, from above. */
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "z.conf", "sort-key a\nversion 10" },
		{ "y.conf", "sort-key a\nversion 9" },
		{ "a.conf", "sort-key a\nversion 9" },
		{ "x.conf", "sort-key a\nmachine-id 00000000000000000000000000000000\nversion 11" },
		{ "t.conf", "sort-key a\nmachine-id 11111111111111111111111111111111\nversion 12" },
		{ "b.conf", "sort-key b" },
		{ "linux-6.10.conf", "" },
		{ "linux-6.9.conf", "" },
		{ "Linux-6.8+3.conf", "" },
		{ "linux-6.8+2.conf", "" },
		{ "linux-6.8+2-1.conf", "" },
		{ "w+0.conf", "sort-key a\nversion 99" },
		{ "zz+0-3.conf", "" },
	};
	g_autoptr(GPtrArray) entries =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_bls_entry_free);

	for (guint i = G_N_ELEMENTS(rows); i > 0; i--)
		g_ptr_array_add(entries, parse(rows[i - 1].name, rows[i - 1].text));
	g_ptr_array_sort(entries, by_menu);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpstr(((DpsBlsEntry *)entries->pdata[i])->file_name, ==, rows[i].name);

	g_assert_true(dps_bls_entry_is_bad(entries->pdata[12]));
	g_assert_false(dps_bls_entry_is_bad(entries->pdata[0]));
	g_assert_cmpint(dps_bls_select_default(entries, NULL), ==, 0);
	g_assert_cmpint(dps_bls_select_default(entries, "linux-*"), ==, 6);
	g_assert_cmpint(dps_bls_select_default(entries, "linux-6.9"), ==, 0);
	g_assert_cmpint(dps_bls_select_default(entries, "@saved"), ==, 0);
	g_ptr_array_set_size(entries, 0);
	g_assert_cmpint(dps_bls_select_default(entries, NULL), ==, -1);
}

static void
test_loader_conf(void)
{
	static const char text[] = "#timeout 9\n"
				   "timeout 3\n"
				   "default fedora-*\n"
				   "default @bad\n"
				   "console-mode keep\n"
				   "colour blue\n"
				   "editor\n";
	static const guint lines[] = { 4, 6, 7 };
	g_auto(DpsLoaderConf) conf = { 0 };
	static const DpsBlsProblemKind kinds[] = { DPS_BLS_PROBLEM_BAD_VALUE,
						   DPS_BLS_PROBLEM_UNKNOWN_KEY,
						   DPS_BLS_PROBLEM_NO_VALUE };

	dps_loader_conf_parse(text, sizeof(text) - 1, &conf);
	g_assert_cmpstr(conf.timeout, ==, "3");
	g_assert_cmpstr(conf.default_pattern, ==, "fedora-*");
	g_assert_null(conf.preferred);
	g_assert_cmpuint(conf.problems->len, ==, G_N_ELEMENTS(kinds));
	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		const DpsBlsProblem *problem = conf.problems->pdata[i];

		g_assert_cmpint(problem->kind, ==, kinds[i]);
		g_assert_cmpuint(problem->line, ==, lines[i]);
	}
}

static void
test_srel(void)
{
	g_assert_cmpint(dps_bls_srel_parse("type1\n", 6), ==, DPS_BLS_SREL_TYPE1);
	g_assert_cmpint(dps_bls_srel_parse("type1", 5), ==, DPS_BLS_SREL_TYPE1);
	g_assert_cmpint(dps_bls_srel_parse("other\n", 6), ==, DPS_BLS_SREL_FOREIGN);
	g_assert_cmpint(dps_bls_srel_parse("", 0), ==, DPS_BLS_SREL_FOREIGN);
}

static void
test_shim_csv(void)
{
	static const struct {
		const char *text; /* to be made UTF-16LE */
		guint n;	  /* 0: must fail */
		const char *file, *label, *options;
	} rows[] = {
		{ "\xef\xbb\xbfshimx64.efi,Fedora,,This is the boot entry for Fedora\n", 1,
		  "shimx64.efi", "Fedora", "" },
		{ "shimx64.efi,debian,\\linux.efi ,comment, and more", 1, "shimx64.efi", "debian",
		  "\\linux.efi " },
		{ "a,b\r\n\r\nc,d,e\r\n", 2, "a", "b", "" },
		{ "", 0 },
		{ "\n\n", 0 },
		{ "only-a-file\n", 0 },
		{ ",label\n", 0 },
		{ "file,\n", 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GPtrArray) lines = NULL;
		g_autofree gunichar2 *units = NULL;
		g_autoptr(GByteArray) bytes = g_byte_array_new();
		glong n;

		units = g_utf8_to_utf16(rows[i].text, -1, NULL, &n, NULL);
		for (glong k = 0; k < n; k++) {
			uint8_t pair[2] = { (uint8_t)units[k], (uint8_t)(units[k] >> 8) };

			g_byte_array_append(bytes, pair, 2);
		}
		lines = dps_shim_csv_parse(bytes->data, bytes->len, &error);
		if (rows[i].n == 0) {
			g_assert_null(lines);
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			continue;
		}
		g_assert_no_error(error);
		g_assert_cmpuint(lines->len, ==, rows[i].n);
		g_assert_cmpstr(((DpsShimCsvLine *)lines->pdata[0])->file, ==, rows[i].file);
		g_assert_cmpstr(((DpsShimCsvLine *)lines->pdata[0])->label, ==, rows[i].label);
		g_assert_cmpstr(((DpsShimCsvLine *)lines->pdata[0])->options, ==, rows[i].options);
	}

	g_assert_null(dps_shim_csv_parse("a,b", 3, NULL));	      /* an odd number of bytes */
	g_assert_null(dps_shim_csv_parse("\x00\xd8,\0b\0", 6, NULL)); /* half a surrogate pair */
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bls/glob", test_glob);
	g_test_add_func("/bls/glob-ends", test_glob_ends);
	g_test_add_func("/bls/names", test_names);
	g_test_add_func("/bls/valid-names", test_valid_names);
	g_test_add_func("/bls/paths", test_paths);
	g_test_add_func("/bls/type1", test_type1);
	g_test_add_func("/bls/type1-problems", test_type1_problems);
	g_test_add_func("/bls/many-problems", test_many_problems);
	g_test_add_func("/bls/hidden", test_hidden);
	g_test_add_func("/bls/type2", test_type2);
	g_test_add_func("/bls/type2-hidden", test_type2_hidden);
	g_test_add_func("/bls/order", test_order);
	g_test_add_func("/bls/loader-conf", test_loader_conf);
	g_test_add_func("/bls/srel", test_srel);
	g_test_add_func("/bls/shim-csv", test_shim_csv);
	return g_test_run();
}
