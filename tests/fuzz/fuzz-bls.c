/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls.h"
#include "fuzz.h"

#include <string.h>

/*
 * A boot entry; its first line is its file's name, too.
 *
 * Asserted: what is told is text, and problems say something; paths stay inside of their partition;
 * an entry stands beside itself in the menu, and the order of two is that of the other two, turned
 * round; a pattern of plain characters matches itself.
 */
static void
check_all(GPtrArray *texts)
{
	for (guint i = 0; i < texts->len; i++)
		fuzz_check_text(texts->pdata[i]);
}

static void
check_entry(DpsBlsEntry *entry)
{
	const DpsBlsReader reader = { .arch = DPS_ARCH_AARCH64, .systemd_version = 257 };

	fuzz_check_text(entry->file_name);
	fuzz_check_text(entry->id);
	fuzz_check_text(entry->title);
	fuzz_check_text(entry->version);
	fuzz_check_text(entry->sort_key);
	fuzz_check_text(entry->machine_id);
	fuzz_check_text(entry->architecture);
	fuzz_check_text(entry->path);
	fuzz_check_text(entry->options);
	check_all(entry->initrds);
	check_all(entry->extras);
	check_all(entry->devicetree_overlays);
	for (guint i = 0; i < entry->problems->len; i++) {
		const DpsBlsProblem *problem = entry->problems->pdata[i];

		g_assert_cmpstr(problem->message, !=, "");
		fuzz_check_text(problem->message);
	}
	fuzz_check_text(dps_bls_hidden_to_string(dps_bls_entry_get_hidden(entry, &reader)));
	if (entry->path && entry->loader != DPS_BLS_LOADER_UKI_URL) {
		g_assert_false(g_str_has_prefix(entry->path, "../"));
		g_assert_null(strstr(entry->path, "/../"));
	}
}

static gboolean
is_plain(const char *text)
{
	for (; *text; text++)
		if (!g_ascii_isalnum(*text) && *text != '-' && *text != '.')
			return FALSE;
	return TRUE;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = size > 0 ? (const char *)data : "";
	const char *newline = memchr(text, '\n', size);
	const size_t first = newline ? (size_t)(newline - text) : size;
	g_autofree char *name = g_strndup(text, MIN(first, 4096));
	g_autofree char *path = dps_bls_path_normalise(name);
	g_autoptr(DpsBlsEntry) entry = dps_bls_entry_parse(name, text, size);
	g_autoptr(DpsBlsEntry) rest = dps_bls_entry_parse("b.conf", text + first, size - first);
	g_autofree char *pattern = g_strndup(text + first, MIN(size - first, 4096));

	check_entry(entry);
	check_entry(rest);
	g_assert_cmpint(dps_bls_entry_compare(entry, entry), ==, 0);
	g_assert_cmpint(CLAMP(dps_bls_entry_compare(entry, rest), -1, 1), ==,
			-CLAMP(dps_bls_entry_compare(rest, entry), -1, 1));
	/* It is bytes; that it stays inside is what counts. */
	if (path) {
		g_autofree char *again = dps_bls_path_normalise(path);

		g_assert_false(g_str_has_prefix(path, "../") || path[0] == '/');
		g_assert_cmpstr(again, ==, path);
	}
	dps_bls_glob(pattern, name);
	g_assert_true(!is_plain(name) || dps_bls_glob(name, name));
	g_assert_true(dps_bls_glob("*", name));
	return 0;
}
