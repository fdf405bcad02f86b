/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/keyfile.h"
#include "format/lines.h"
#include "format/loader-conf.h"
#include "format/uki.h"
#include "fuzz.h"

/*
 * What lies beside boot entries and in images: loader.conf, entries.srel, os-release.
 *
 * Asserted: what is told is text; line numbers are those of lines that are there, and go up.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = size > 0 ? (const char *)data : "";
	static const char *const names[] = { "NAME", "ID", "VERSION_ID", "PRETTY_NAME" };
	DpsLines lines = dps_lines_over(text, size, " \t");
	g_auto(DpsOsRelease) os_release = { 0 };
	g_auto(DpsLoaderConf) conf = { 0 };
	char *key = NULL, *value = NULL;
	guint number = 0, n_lines = 1;

	for (size_t i = 0; i < size; i++)
		n_lines += text[i] == '\n' || text[i] == '\r';
	while (dps_lines_next(&lines, &key, &value)) {
		g_assert_cmpuint(lines.number, >, number);
		g_assert_cmpuint(lines.number, <=, n_lines);
		number = lines.number;
		fuzz_check_text(key);
		fuzz_check_text(value);
		g_clear_pointer(&key, g_free);
		g_clear_pointer(&value, g_free);
	}

	dps_loader_conf_parse(text, size, &conf);
	fuzz_check_text(conf.default_pattern);
	fuzz_check_text(conf.preferred);
	fuzz_check_text(conf.timeout);
	for (guint i = 0; i < conf.problems->len; i++)
		fuzz_check_text(((const DpsBlsProblem *)conf.problems->pdata[i])->message);
	dps_bls_srel_parse(text, size);

	dps_os_release_parse(text, size, &os_release);
	fuzz_check_text(dps_os_release_get_title(&os_release));
	fuzz_check_text(dps_os_release_get_version(&os_release));
	fuzz_check_text(dps_os_release_get_sort_key(&os_release));
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *found = dps_keyfile_lookup(text, size, names[i]);

		g_assert_true(!found || g_utf8_validate(found, -1, NULL));
	}
	return 0;
}
